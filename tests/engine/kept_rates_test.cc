// Slow rates over restarts: kills, clean ends, power cuts, wall clocks that jump, a full disk. Seen
// at the servers.

#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "engine/io/planted.h"
#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

// The rate of each scope in turn, at the provider of mx0.sim or where none fits.
enum class Of { provider, site, source, group, tenant_at_site, tenant_at_provider, global };
constexpr Of kAll[] = {Of::provider,           Of::site,  Of::source, Of::group, Of::tenant_at_site,
                       Of::tenant_at_provider, Of::global};

void set_rate(EngineSettings& settings, Of of, queue::Rate rate) {
  constexpr auto kMessages = static_cast<size_t>(Resource::message_rate);
  if (of == Of::provider || of == Of::group || of == Of::tenant_at_provider) add_provider(settings);
  switch (of) {
    case Of::provider:
      settings.providers[0].per_source.rates[kMessages] = rate;
      break;
    case Of::site:
      settings.fallback_limits.rates[kMessages] = rate;
      break;
    case Of::source:
      settings.sources[0].limits.rates[kMessages] = rate;
      break;
    case Of::group:
      settings.groups.emplace_back().name = "g";
      settings.groups[0].limits.rates[kMessages] = rate;
      settings.providers[0].groups = {0};
      break;
    case Of::tenant_at_site:
      settings.fallback_per_tenant.rates[kMessages] = rate;
      break;
    case Of::tenant_at_provider:
      settings.providers[0].per_tenant.rates[kMessages] = rate;
      break;
    case Of::global:
      settings.global_limits.rates[kMessages] = rate;
      break;
  }
}

SmallEngine::Change with_rate(Of of, queue::Rate rate = {6, kHour}) {
  return [=](EngineSettings& settings, Faults&) {
    settings.rate_states = 64;
    set_rate(settings, of, rate);
  };
}

// When they were taken, in order.
std::vector<int64_t> times(const SmallEngine& engine) {
  std::vector<int64_t> all;
  for (const auto& [to, receipts] : engine.internet.ledger) {
    for (const Receipt& receipt : receipts) all.push_back(receipt.at_mono_ns);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// The most within any hour.
size_t most_in_an_hour(const std::vector<int64_t>& times) {
  size_t most = 0, first = 0;
  for (size_t last = 0; last < times.size(); ++last) {
    while (times[last] - times[first] >= kHour) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

// Twenty lives of which each is shorter than it takes to get a token from nothing.
std::vector<int64_t> over_kills(SmallEngine& engine, uint64_t seed) {
  std::mt19937_64 random(seed);
  engine.feed("b", SmallEngine::recipients(200));
  for (int kill = 0; kill < 20; ++kill) {
    engine.run_to(engine.clock.mono + 2 * kMinute + static_cast<int64_t>(random() % 7) * kMinute);
    engine.restart(1 + static_cast<unsigned>(random() % 4));
  }
  engine.run_to(engine.clock.mono + kMinute);
  return times(engine);
}

class Plant {
 public:
  explicit Plant(io::Planted defect) { io::planted = defect; }
  ~Plant() { io::planted = io::Planted::none; }
};

TEST(KeptRates, ASlowRateKeepsItsPaceOverKills) {
  for (const Of of : kAll) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      SmallEngine engine(with_rate(of), 2);
      const int64_t begun = engine.clock.mono;
      const std::vector<int64_t> taken = over_kills(engine, seed);
      const auto allowed = static_cast<size_t>((engine.clock.mono - begun) / (kHour / 6));
      EXPECT_LE(most_in_an_hour(taken), 6u) << static_cast<int>(of) << " " << seed;
      EXPECT_GE(taken.size(), allowed * 8 / 10) << static_cast<int>(of) << " " << seed;
    }
  }
}

TEST(KeptRates, WithoutItsStateItWouldStarve) {
  const Plant plant(io::Planted::rates_forgotten);
  SmallEngine engine(with_rate(Of::provider), 2);
  EXPECT_EQ(over_kills(engine, 1).size(), 0u);
}

// Everybody who has a rate of his own keeps it, whoever owns it then.
TEST(KeptRates, OfManySitesEachKeepsItsOwn) {
  SmallEngine engine(with_rate(Of::site, {2, kHour}), 3);
  for (unsigned domain = 0; domain < 20; ++domain) {
    engine.feed("b" + std::to_string(domain), SmallEngine::recipients(10, domain));
    engine.run_to(engine.clock.mono + kMinute);
  }
  for (const unsigned shards : {1u, 4u, 2u, 3u, 1u, 2u, 4u, 1u}) {
    engine.run_to(engine.clock.mono + 20 * kMinute);
    engine.restart(shards);
  }
  std::map<std::string, std::vector<int64_t>> by_domain;
  for (const auto& [to, receipts] : engine.internet.ledger)
    by_domain[to.substr(to.find('@'))].push_back(receipts.front().at_mono_ns);
  EXPECT_EQ(by_domain.size(), 20u);
  for (auto& [domain, taken] : by_domain) {
    std::sort(taken.begin(), taken.end());
    EXPECT_LE(most_in_an_hour(taken), 2u) << domain;
    EXPECT_GE(taken.size(), 4u) << domain;  // of five
  }
}

// One has used his up, the other has not: neither has the other's state after a start.
TEST(KeptRates, TwoOfAKindHaveTwoStates) {
  for (const Of of : {Of::site, Of::tenant_at_site, Of::tenant_at_provider}) {
    const unsigned domain = of == Of::site ? 1 : 0;
    const std::string to = "@d" + std::to_string(domain) + ".sim";
    SmallEngine engine(with_rate(of, {2, kHour}), 2);
    engine.feed("early", {"early" + to}, "", "other");
    engine.run_to(engine.clock.mono + 45 * kMinute);
    EXPECT_TRUE(engine.taken("early" + to));
    engine.feed("b", SmallEngine::recipients(10));
    engine.run_to(engine.clock.mono + 35 * kMinute);
    EXPECT_EQ(times(engine).size(), 2u);
    engine.restart(3);
    engine.feed("late", {"late" + to}, "", "other");
    engine.run_to(engine.clock.mono + 20 * kMinute);
    EXPECT_TRUE(engine.taken("late" + to)) << static_cast<int>(of);
    EXPECT_EQ(times(engine).size(), 3u) << static_cast<int>(of);
  }
}

// More rates than there are places: none lets too much through.
TEST(KeptRates, WhatGivesWayIsAsIfItHadBeenUsedUp) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.rate_states = 3;
    set_rate(settings, Of::site, {2, kHour});
  });
  for (unsigned domain = 0; domain < 8; ++domain)
    engine.feed("b" + std::to_string(domain), SmallEngine::recipients(20, domain));
  for (int kill = 0; kill < 12; ++kill) {
    engine.run_to(engine.clock.mono + 40 * kMinute);
    engine.restart();
  }
  std::map<std::string, std::vector<int64_t>> by_domain;
  for (const auto& [to, receipts] : engine.internet.ledger)
    by_domain[to.substr(to.find('@'))].push_back(receipts.front().at_mono_ns);
  for (auto& [domain, taken] : by_domain) {
    std::sort(taken.begin(), taken.end());
    EXPECT_LE(most_in_an_hour(taken), 2u) << domain;
  }
}

TEST(KeptRates, ACleanEndIsRememberedByTheNextBoot) {
  SmallEngine engine(with_rate(Of::provider), 2);
  engine.feed("b", SmallEngine::recipients(100));
  const int64_t begun = engine.clock.mono;
  for (int boot = 0; boot < 20; ++boot) {
    engine.run_to(engine.clock.mono + 7 * kMinute);
    engine.stop_and_reboot();
  }
  const std::vector<int64_t> taken = times(engine);
  EXPECT_LE(most_in_an_hour(taken), 6u);
  EXPECT_GE(taken.size(), static_cast<size_t>((engine.clock.mono - begun) / (kHour / 6)) * 8 / 10);
}

// The kernel had written an hour's first states, and none of what came then.
std::vector<int64_t> over_power_cuts(SmallEngine& engine) {
  engine.feed("b", SmallEngine::recipients(200));
  for (int cut = 0; cut < 20; ++cut) {
    engine.run_to(engine.clock.mono + 11 * kMinute);
    engine.storage.settle();
    engine.run_to(engine.clock.mono + 55 * kMinute);
    engine.cut_power();
  }
  return times(engine);
}

TEST(KeptRates, APowerCutLetsNothingTooMuchThrough) {
  SmallEngine engine(with_rate(Of::provider));
  const std::vector<int64_t> taken = over_power_cuts(engine);
  EXPECT_LE(most_in_an_hour(taken), 6u);
  EXPECT_GE(taken.size(), 80u);  // an interval is lost with each
}

TEST(KeptRates, BelievedAfterAPowerCutTheyWould) {
  const Plant plant(io::Planted::rates_of_any_boot);
  SmallEngine engine(with_rate(Of::provider));
  EXPECT_GT(most_in_an_hour(over_power_cuts(engine)), 6u);
}

// Between two lives the wall clock jumps: one token too many at most, and no more than a span lost.
TEST(KeptRates, AWallClockThatJumpsNeitherFloodsNorStalls) {
  for (const int64_t jump : {-400 * 24 * kHour, -2 * kHour, -5 * kMinute, 5 * kMinute, 2 * kHour,
                             20 * 24 * kHour, 400 * 24 * kHour}) {
    SmallEngine engine(with_rate(Of::provider));
    engine.feed("b", SmallEngine::recipients(100));
    engine.run_to(engine.clock.mono + 65 * kMinute);
    engine.clock.wall_minus_mono += jump;
    engine.restart();
    const int64_t restarted = engine.clock.mono;
    engine.run_to(restarted + 3 * kHour);
    const std::vector<int64_t> taken = times(engine);
    EXPECT_LE(most_in_an_hour(taken), 7u) << jump / kMinute;
    const auto after = static_cast<size_t>(
        std::count_if(taken.begin(), taken.end(), [&](int64_t at) { return at > restarted; }));
    EXPECT_GE(after, 10u) << jump / kMinute;
  }
}

// A rate that the policy has changed meanwhile: after the start it holds as after a reload.
TEST(KeptRates, AChangedRateHoldsFromTheStartOn) {
  SmallEngine engine(with_rate(Of::provider, {60, kHour}));
  engine.feed("b", SmallEngine::recipients(200));
  engine.run_to(engine.clock.mono + 2 * kHour);
  engine.settings.providers[0].per_source.rates[static_cast<size_t>(Resource::message_rate)] = {
      6, kHour};
  engine.restart();
  const int64_t restarted = engine.clock.mono;
  engine.run_to(restarted + 4 * kHour);
  std::vector<int64_t> after = times(engine);
  std::erase_if(after, [&](int64_t at) { return at < restarted; });
  EXPECT_LE(most_in_an_hour(after), 6u);
  EXPECT_GE(after.size(), 18u);
}

// A life in which nobody asks for it loses nothing of it: one shard or another carries it over.
TEST(KeptRates, NotAskedForItIsCarriedOver) {
  for (const Of of : kAll) {
    SmallEngine engine(with_rate(of), 2);
    engine.feed("b", SmallEngine::recipients(6));
    engine.run_to(engine.clock.mono + 65 * kMinute);
    EXPECT_EQ(times(engine).size(), 6u);
    for (const unsigned shards : {3u, 1u, 4u, 2u}) {
      engine.restart(shards);
      engine.run_to(engine.clock.mono + 4 * kMinute);
    }
    engine.feed("c", {"later@d0.sim"});
    engine.run_to(engine.clock.mono + kMinute);
    EXPECT_EQ(times(engine).size(), 7u) << static_cast<int>(of);
  }
}

size_t files_of_rates(const SmallEngine& engine) {
  const std::vector<std::string> paths = engine.storage.paths();
  return static_cast<size_t>(std::count_if(paths.begin(), paths.end(), [](const std::string& path) {
    return path.find("/rates-") != path.npos;
  }));
}

// Mail goes, rates hold, and what is not known any more is not believed.
TEST(KeptRates, AFullDiskIsSaidAndGoneOnWith) {
  SmallEngine engine(with_rate(Of::provider), 2);
  engine.damage_wanted = true;
  engine.feed("b", SmallEngine::recipients(100));
  engine.run_to(engine.clock.mono + 65 * kMinute);
  EXPECT_TRUE(engine.damages.empty());
  engine.storage.faults.fail_errno = 28;  // ENOSPC
  engine.storage.faults.fail_kinds = bit(DiskCall::map_now);
  engine.storage.faults.fail_count = UINT64_MAX;
  engine.storage.faults.fail_call = 1;
  engine.restart();
  EXPECT_EQ(std::count_if(engine.damages.begin(), engine.damages.end(),
                          [](const std::string& what) {
                            return what.find("/rates-") != what.npos &&
                                   what.find("No space left") != what.npos;
                          }),
            2);
  engine.run_to(engine.clock.mono + 65 * kMinute);
  EXPECT_EQ(files_of_rates(engine), 0u);
  engine.storage.faults.fail_call = 0;
  engine.restart();
  EXPECT_EQ(files_of_rates(engine), 2u);
  engine.run_to(engine.clock.mono + 65 * kMinute);
  EXPECT_LE(most_in_an_hour(times(engine)), 6u);
  EXPECT_GE(times(engine).size(), 16u);
}

// Each life leaves one file per shard.
TEST(KeptRates, OldFilesGo) {
  SmallEngine engine(with_rate(Of::provider), 4);
  engine.feed("b", SmallEngine::recipients(100));
  for (const unsigned shards : {4u, 2u, 3u, 1u}) {
    engine.restart(shards);
    engine.run_to(engine.clock.mono + kMinute);
    EXPECT_EQ(files_of_rates(engine), shards);
  }
}

}  // namespace
}  // namespace veredus::sim
