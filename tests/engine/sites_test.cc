// What waits, flows and fails at each site.

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kSecond = SmallEngine::kSecond;

// Over all shards.
std::map<std::string, SiteState> by_key(SmallEngine& engine) {
  std::map<std::string, SiteState> all;
  for (SiteState& state : engine.sites()) {
    const auto [known, fresh] = all.try_emplace(state.site, state);
    if (fresh) continue;
    SiteState& sum = known->second;
    sum.waiting += state.waiting;
    sum.ready += state.ready;
    sum.in_flight += state.in_flight;
    sum.delivered += state.delivered;
    sum.deferred += state.deferred;
    sum.failed += state.failed;
    sum.connections += state.connections;
  }
  return all;
}
constexpr const char* kSite0 = "mx0-b.sim,mx0.sim";
constexpr const char* kSite1 = "mx1-b.sim,mx1.sim";

TEST(SitesTest, CountsWhatWaitsAndWhatBecameOfIt) {
  for (const unsigned shards : {1u, 3u}) {
    SmallEngine engine(nullptr, shards);
    engine.feed("a", SmallEngine::recipients(70, 0));
    EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 70; }, 100 * kSecond));
    engine.internet.faults.recipient_later = 1;
    engine.feed("b", SmallEngine::recipients(30, 1));
    engine.run_to(engine.clock.mono + 20 * kSecond);
    engine.internet.faults.recipient_later = 0;
    engine.internet.faults.recipient_never = 1;
    engine.feed("c", SmallEngine::recipients(20, 0));
    engine.run_to(engine.clock.mono + 20 * kSecond);
    const auto sites = by_key(engine);
    ASSERT_TRUE(sites.contains(kSite0) && sites.contains(kSite1)) << sites.size();
    const SiteState& first = sites.at(kSite0);
    EXPECT_EQ(first.delivered, 70u);
    EXPECT_EQ(first.failed, 20u);
    EXPECT_EQ(first.deferred, 0u);
    EXPECT_EQ(first.waiting, 0u);
    EXPECT_EQ(first.in_flight, 0u);
    EXPECT_THAT(first.last_reply, HasSubstr("550"));
    const SiteState& second = sites.at(kSite1);
    EXPECT_EQ(second.deferred, 30u);
    EXPECT_EQ(second.waiting, 30u);
    EXPECT_EQ(second.ready, 0u);
    EXPECT_THAT(second.domains, ElementsAre("d1.sim"));
    EXPECT_THAT(second.conditions, IsEmpty());
  }
}

// Waiting = for its time + ready + in flight, and all is gone in the end, whatever became of it.
TEST(SitesTest, NobodyIsLeftOverWhenAllIsSettled) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults& faults) {
        settings.retry.max_age_ns = 3600 * kSecond;
        faults.recipient_later = 0.3;
        faults.recipient_never = 0.2;
        faults.reset_before_reply = 0.1;
        faults.dns_failure = 0.3;
        faults.connect_refused = 0.2;
      },
      2);
  for (unsigned domain = 0; domain < 5; ++domain)
    engine.feed("b" + std::to_string(domain), SmallEngine::recipients(50, domain));
  queue::Order cancel;
  cancel.kind = queue::Order::Kind::cancel;
  cancel.filter = {.domain = "d3.sim"};
  cancel.last_batch = engine.number_of("b4");
  engine.order(cancel);
  for (int look = 0; look < 20; ++look) {
    uint64_t waiting = 0;
    for (const auto& [key, state] : by_key(engine)) {
      EXPECT_LE(state.ready + state.in_flight, state.waiting) << key;
      waiting += state.waiting;
    }
    EXPECT_LE(waiting, 250u);
    engine.run_to(engine.clock.mono + 5 * kSecond);
  }
  engine.run_to(engine.clock.mono + 5000 * kSecond);
  for (const auto& [key, state] : by_key(engine)) {
    EXPECT_EQ(state.waiting, 0u) << key;
    EXPECT_EQ(state.ready, 0u) << key;
    EXPECT_EQ(state.in_flight, 0u) << key;
  }
}

// A list looks at so many sessions of a limit: where there are more, one of the others may go
// sooner.
TEST(SitesTest, WhenASlotIsFreeIsNotSaidBySomeOfItsSessions) {
  for (const uint32_t connections : {20u, 300u}) {
    SmallEngine engine([&](EngineSettings& settings, Faults& faults) {
      settings.connections_total = connections;
      settings.connections_per_site = 1000;
      faults.latency_min_ns = kSecond;
      faults.latency_max_ns = 1;
    });
    engine.feed("a", SmallEngine::recipients(20'000, 0));
    const auto all_taken = [&] {
      const std::vector<SiteState> sites = engine.sites({.site = kSite0});
      return !sites.empty() && sites[0].connections == connections;
    };
    for (int look = 0; look < 100 && !all_taken(); ++look)
      engine.run_to(engine.clock.mono + kSecond);
    ASSERT_TRUE(all_taken());
    engine.feed("b", SmallEngine::recipients(10, 1));
    engine.run_to(engine.clock.mono + kSecond);
    const std::vector<SiteState> sites = engine.sites({.site = kSite1});
    ASSERT_THAT(sites, SizeIs(1));
    ASSERT_THAT(sites[0].conditions, Contains(Field(&Condition::what, "connections")));
    EXPECT_EQ(sites[0].conditions[0].clears_mono_ns != 0, connections == 20) << connections;
  }
}

TEST(SitesTest, ASiteThatIsDownSaysWhyAndWhenItIsTried) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_refused = 1; });
  engine.feed("b", SmallEngine::recipients(100, 0));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const std::vector<SiteState> sites = engine.sites({.site = kSite0});
  ASSERT_THAT(sites, SizeIs(1));
  EXPECT_GT(sites[0].down_until_mono_ns, engine.clock.mono);
  EXPECT_THAT(sites[0].conditions, Contains(Field(&Condition::what, "site_down")));
  EXPECT_THAT(sites[0].last_reply, HasSubstr("refused"));
  EXPECT_EQ(sites[0].waiting, 100u);
  EXPECT_THAT(engine.sites({.site = "nowhere.sim"}), IsEmpty());
}

TEST(SitesTest, MailWithoutARouteAndSuspendedSites) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.dns_failure = 1; });
  engine.feed("b", SmallEngine::recipients(10, 0));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const auto lost = by_key(engine);
  ASSERT_TRUE(lost.contains(""));
  EXPECT_EQ(lost.at("").waiting, 10u);
  engine.internet.faults.dns_failure = 0;
  engine.suspend({.site = kSite1});
  engine.feed("c", SmallEngine::recipients(10, 1));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const auto sites = by_key(engine);
  ASSERT_TRUE(sites.contains(kSite1));
  EXPECT_THAT(sites.at(kSite1).conditions, Contains(Field(&Condition::what, "suspended")));
}

// Attempts that came to no site are counted where there is none, though nobody waits there any
// more.
TEST(SitesTest, CountsWhatHadNoRoute) {
  SmallEngine engine;
  engine.feed("b", {"a@nowhere.example", "b@nowhere.example", "c@other.example"});
  engine.run_to(engine.clock.mono + 10 * kSecond);
  ASSERT_EQ(engine.batch("b").tally.failed, 3u);
  const auto without = by_key(engine);
  ASSERT_TRUE(without.contains(""));
  EXPECT_EQ(without.at("").failed, 3u);
  EXPECT_EQ(without.at("").deferred, 0u);
  EXPECT_EQ(without.at("").waiting, 0u);
  engine.internet.faults.dns_failure = 1;
  engine.feed("c", SmallEngine::recipients(10, 0));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  EXPECT_EQ(by_key(engine).at("").deferred, 10u);
  EXPECT_EQ(by_key(engine).at("").failed, 3u);
  EXPECT_THAT(engine.sites({.site = kSite0}), IsEmpty()) << "of others nothing is said";
}

// The sums of providers are those of their sites, though more of these were asked for than are
// told.
TEST(SitesTest, SumsByProvider) {
  for (const unsigned shards : {1u, 3u}) {
    SmallEngine engine(
        [](EngineSettings& settings, Faults& faults) {
          add_provider(settings).mx = {"mx1.sim", "mx2.sim"};
          faults.recipient_later = 0.3;
          faults.recipient_never = 0.2;
        },
        shards);
    for (unsigned domain = 0; domain < 5; ++domain)
      engine.feed("b" + std::to_string(domain), SmallEngine::recipients(50, domain));
    engine.feed("lost", {"a@nowhere.example"});
    engine.run_to(engine.clock.mono + 10 * kSecond);
    engine.suspend({.provider = "p"});
    engine.feed("held", SmallEngine::recipients(7, 2));
    engine.run_to(engine.clock.mono + 20 * kSecond);
    std::map<std::string, SiteState> expected, told;
    const auto add_up = [](const SiteState& state, std::map<std::string, SiteState>& sums) {
      SiteState& sum = sums[state.no_site ? "none" : state.provider];
      sum.waiting += state.waiting;
      sum.ready += state.ready;
      sum.delivered += state.delivered;
      sum.deferred += state.deferred;
      sum.failed += state.failed;
      if (!state.conditions.empty()) sum.conditions = state.conditions;
    };
    for (const SiteState& state : engine.sites()) add_up(state, expected);
    for (const SiteState& state : engine.sites({.limit = 1, .by_provider = true}))
      add_up(state, told);
    ASSERT_THAT(told, SizeIs(3));
    for (const auto& [name, sum] : expected) {
      EXPECT_EQ(told[name].waiting, sum.waiting) << name;
      EXPECT_EQ(told[name].ready, sum.ready) << name;
      EXPECT_EQ(told[name].delivered, sum.delivered) << name;
      EXPECT_EQ(told[name].deferred, sum.deferred) << name;
      EXPECT_EQ(told[name].failed, sum.failed) << name;
    }
    EXPECT_GE(told["p"].waiting, 7u);
    EXPECT_GT(told["p"].delivered, 0u);
    EXPECT_GT(told[""].delivered, told["p"].delivered);
    EXPECT_EQ(told["none"].failed, 1u);
    EXPECT_THAT(told["p"].conditions, Contains(Field(&Condition::what, "suspended")));
  }
}

// More than are looked at in a turn.
TEST(SitesTest, OfVeryManyThoseAreToldWhereMostWaits) {
  constexpr unsigned kSites = 9000;
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_refused = 1; });
  std::vector<std::string> to;
  for (unsigned domain = 0; domain < kSites; ++domain) {
    const unsigned count = domain == 8500 ? 3 : domain == 4711 || domain == 8999 ? 2 : 1;
    for (unsigned i = 0; i < count; ++i)
      to.push_back("r" + std::to_string(i) + "@d" + std::to_string(domain) + ".sim");
  }
  engine.feed("b", to);
  engine.run_to(engine.clock.mono + 60 * kSecond);
  std::vector<std::string> domains;
  for (const SiteState& state : engine.sites({.limit = 3})) domains.push_back(state.domains.at(0));
  ASSERT_THAT(domains, SizeIs(3));
  EXPECT_EQ(domains[0], "d8500.sim");
  std::sort(domains.begin(), domains.end());
  EXPECT_THAT(domains, ElementsAre("d4711.sim", "d8500.sim", "d8999.sim"));
}

// What the lanes of a shard know is kept while it is of use; who comes later is sent to all the
// same, after failures, too.
TEST(SitesTest, LanesWithoutMailAreForgotten) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_refused = 0.3; }, 2);
  const auto with_lanes = [&] {
    const std::vector<SiteState> sites = engine.sites();
    return std::count_if(sites.begin(), sites.end(),
                         [](const SiteState& site) { return !site.sources.empty(); });
  };
  unsigned fed = 0;
  for (unsigned domain = 0; domain < 20; ++domain) {
    engine.feed("b" + std::to_string(domain), SmallEngine::recipients(50, domain));
    fed += 50;
  }
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == fed; }, 7200 * kSecond));
  EXPECT_GE(with_lanes(), 20);
  engine.run_to(engine.clock.mono + 25 * 3600 * kSecond);
  engine.internet.faults.connect_refused = 0;
  for (unsigned i = 0; i < 10; ++i) {
    engine.feed("c" + std::to_string(i), SmallEngine::recipients(1, 0));
    engine.run_to(engine.clock.mono + kSecond);
    ++fed;
  }
  EXPECT_LE(with_lanes(), 2) << "the one that is sent to, on either shard";
  EXPECT_LE(engine.sites().size(), 2u) << "homes know no other, either";
  for (unsigned domain = 0; domain < 20; ++domain) {
    engine.feed("d" + std::to_string(domain), SmallEngine::recipients(500, domain));
    fed += 500;
  }
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == fed; }, 600 * kSecond));
}

}  // namespace
}  // namespace veredus::sim
