// What limits are used for: nearly all of each, shared by weight, and the next of it for what is
// urgent. Whole engines of several shards, in simulated time.

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/engine/small_engine.h"
#include "tests/sim/watcher.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

// Open connections over time, and each recipient when he was begun to be sent to.
class Meter final : public Watcher {
 public:
  explicit Meter(const SimClock& clock) : clock_(clock) {}
  void opened(uint64_t, const io::Endpoint&, const io::Endpoint&) override {
    count(+1);
    ++connections;
  }
  void closed(uint64_t) override { count(-1); }
  void transaction(uint64_t connection, int64_t sent_mono_ns) override {
    sent_[connection] = sent_mono_ns;
  }
  void recipient(uint64_t connection, const std::string& to, bool) override {
    begun.emplace_back(sent_[connection], to);
  }
  void content(uint64_t, uint64_t size) override { bytes += size; }
  void transaction_over(uint64_t) override {}

  // Connection-nanoseconds so far.
  double used() {
    count(0);
    return used_;
  }
  // In the order in which they left, those of [from, to).
  std::vector<std::string> between(int64_t from, int64_t to) const {
    std::vector<std::pair<int64_t, std::string>> found;
    for (const auto& each : begun) {
      if (each.first >= from && each.first < to) found.push_back(each);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string> names;
    for (auto& each : found) names.push_back(std::move(each.second));
    return names;
  }
  std::vector<std::pair<int64_t, std::string>> begun;
  uint64_t connections = 0, bytes = 0;

 private:
  void count(int change) {
    used_ += static_cast<double>(open_) * static_cast<double>(clock_.mono - since_);
    since_ = clock_.mono;
    open_ += change;
  }
  const SimClock& clock_;
  std::map<uint64_t, int64_t> sent_;
  int64_t since_ = 0;
  int open_ = 0;
  double used_ = 0;
};

// All sites are one provider's.
void one_provider(EngineSettings& settings, uint32_t connections, uint64_t messages_per_second) {
  Provider provider;
  provider.name = "all";
  provider.mx = {".sim"};
  provider.recipients_per_transaction = 1;
  provider.per_source.connections = connections;
  provider.per_source.rates[static_cast<size_t>(Resource::message_rate)] = {messages_per_second,
                                                                            kSecond};
  settings.providers = {provider};
}

std::vector<std::string> named(const std::string& name, unsigned count, unsigned domain) {
  std::vector<std::string> to;
  for (unsigned i = 0; i < count; ++i)
    to.push_back(name + std::to_string(i) + "@d" + std::to_string(domain) + ".sim");
  return to;
}

// Of one hot site whose slices lie on all shards, and of some that lie on one each.
void feed_much(SmallEngine& engine, unsigned hot, unsigned each) {
  engine.feed("hot", named("hot", hot, 0));
  for (unsigned domain = 1; domain <= 5; ++domain)
    engine.feed("some" + std::to_string(domain), named("some", each, domain));
}

// Of twelve connections that all the mail may have.
void expect_twelve_connections_used(SmallEngine& engine) {
  Meter meter(engine.clock);
  engine.internet.watcher = &meter;
  feed_much(engine, 6000, 600);
  const int64_t from = engine.clock.mono + 5 * kSecond;
  engine.run_to(from);
  const double before = meter.used();
  engine.run_to(from + 20 * kSecond);
  const double used = (meter.used() - before) / static_cast<double>(20 * kSecond) / 12;
  testing::Test::RecordProperty("used_percent", static_cast<int>(used * 100));
  EXPECT_GE(used, 0.95);
  EXPECT_LE(used, 1.0);
  EXPECT_LT(meter.begun.size(), 9000u) << "enough must wait to the end";
  engine.internet.watcher = nullptr;
}

TEST(LimitsUseTest, AConnectionLimitIsUsed) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { one_provider(settings, 12, 0); }, 3);
  expect_twelve_connections_used(engine);
}

TEST(LimitsUseTest, AMessageRateIsUsed) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { one_provider(settings, 0, 150); }, 3);
  Meter meter(engine.clock);
  engine.internet.watcher = &meter;
  feed_much(engine, 6000, 600);
  const int64_t from = engine.clock.mono + 5 * kSecond;
  engine.run_to(from + 21 * kSecond);
  const double used = static_cast<double>(meter.between(from, from + 20 * kSecond).size()) / 3000;
  RecordProperty("used_percent", static_cast<int>(used * 100));
  EXPECT_GE(used, 0.95);
  EXPECT_LE(used, 1.0);
  engine.internet.watcher = nullptr;
}

TEST(LimitsUseTest, AByteRateIsUsed) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) {
        one_provider(settings, 0, 0);
        settings.providers[0].per_source.rates[static_cast<size_t>(Resource::byte_rate)] = {
            30'000, kSecond};
      },
      3);
  Meter meter(engine.clock);
  engine.internet.watcher = &meter;
  feed_much(engine, 6000, 600);
  engine.run_to(engine.clock.mono + 5 * kSecond);
  const uint64_t before = meter.bytes;
  engine.run_to(engine.clock.mono + 20 * kSecond);
  const double used = static_cast<double>(meter.bytes - before) / (20 * 30'000);
  RecordProperty("used_percent", static_cast<int>(used * 100));
  EXPECT_GE(used, 0.95);
  EXPECT_LE(used, 1.01) << "what was on its way at both ends may differ";
  engine.internet.watcher = nullptr;
}

// Each of many domains of a provider has somebody waiting: every token becomes a connection. So it
// is, too, when they have waited for longer than their addresses are good for (five minutes).
TEST(LimitsUseTest, AConnectionRateIsUsedByManySites) {
  for (const auto& [rate, begins_s] : {std::pair(20u, 5), std::pair(2u, 320)}) {
    for (const unsigned shards : {1u, 3u}) {
      SmallEngine engine(
          [rate = rate](EngineSettings& settings, Faults&) {
            one_provider(settings, 0, 0);
            settings.providers[0]
                .per_source.rates[static_cast<size_t>(Resource::connection_rate)] = {rate, kSecond};
          },
          shards);
      Meter meter(engine.clock);
      engine.internet.watcher = &meter;
      std::vector<std::string> to;
      for (unsigned domain = 0; domain < 900; ++domain)
        to.push_back("r@d" + std::to_string(domain) + ".sim");
      engine.feed("b", to);
      engine.run_to(engine.clock.mono + begins_s * kSecond);
      const uint64_t before = meter.connections;
      engine.run_to(engine.clock.mono + 30 * kSecond);
      const double used = static_cast<double>(meter.connections - before) / (30 * rate);
      RecordProperty("used_percent", static_cast<int>(used * 100));
      EXPECT_GE(used, 0.95) << rate << "/s, shards: " << shards;
      EXPECT_LE(used, 1.02) << rate << "/s, shards: " << shards;
      EXPECT_LT(engine.internet.taken, 900u) << "enough must wait to the end";
      engine.internet.watcher = nullptr;
    }
  }
}

// Two providers of a group, each with a part of the sites.
TEST(LimitsUseTest, AGroupsConnectionsAreUsed) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) {
        one_provider(settings, 0, 0);
        settings.groups.emplace_back().name = "g";
        settings.groups[0].limits.connections = 12;
        settings.providers[0].groups = {0};
        settings.providers.push_back(settings.providers[0]);
        settings.providers[0].name = "some";
        settings.providers[0].mx = {"mx1.sim", "mx2.sim", "mx3.sim"};
      },
      3);
  expect_twelve_connections_used(engine);
}

// -------------------------------------------------------------------------------------------------
// weights

// What tenants "a", "b" and "c" (weights 1, 2 and 4) have of all that is sent in half a minute.
std::map<char, double> shares(uint32_t connections, uint64_t messages_per_second) {
  SmallEngine engine(
      [&](EngineSettings& settings, Faults&) {
        one_provider(settings, connections, messages_per_second);
        for (const auto& [name, weight] :
             {std::pair("a", 1u), std::pair("b", 2u), std::pair("c", 4u)}) {
          TenantPolicy tenant;
          tenant.name = name;
          tenant.weight = weight;
          settings.tenants.push_back(tenant);
        }
      },
      3);
  Meter meter(engine.clock);
  engine.internet.watcher = &meter;
  // Not the same of each at each site: the sum over all sites is what counts.
  for (unsigned domain = 0; domain < 5; ++domain) {
    engine.feed("of-a" + std::to_string(domain), named("a", domain < 2 ? 1500 : 100, domain), "",
                "a");
    engine.feed("of-b" + std::to_string(domain), named("b", 1000, domain), "", "b");
    engine.feed("of-c" + std::to_string(domain), named("c", domain > 2 ? 4000 : 300, domain), "",
                "c");
  }
  const int64_t from = engine.clock.mono + 5 * kSecond;
  engine.run_to(from + 31 * kSecond);
  std::map<char, double> sent;
  const std::vector<std::string> all = meter.between(from, from + 30 * kSecond);
  for (const std::string& to : all) sent[to[0]] += 1.0 / static_cast<double>(all.size());
  engine.internet.watcher = nullptr;
  return sent;
}

// Empty: each has his share.
std::string unfair(const std::map<char, double>& sent) {
  const std::map<char, double> wanted = {{'a', 1.0 / 7}, {'b', 2.0 / 7}, {'c', 4.0 / 7}};
  std::string text;
  bool fair = true;
  for (const auto& [tenant, share] : wanted) {
    const auto found = sent.find(tenant);
    const double had = found == sent.end() ? 0 : found->second;
    text += std::string(1, tenant) + " " + std::to_string(100 * had) + " % of " +
            std::to_string(100 * share) + " %; ";
    fair = fair && had >= share * 0.95 && had <= share * 1.05;
  }
  return fair ? std::string() : text;
}

TEST(TenantWeightsTest, TheyShareAMessageRateOverSitesAndShards) {
  EXPECT_EQ(unfair(shares(0, 140)), "");
}

TEST(TenantWeightsTest, TheyShareConnectionsOverSitesAndShards) {
  EXPECT_EQ(unfair(shares(14, 0)), "");
}

// -------------------------------------------------------------------------------------------------
// urgent mail

// Bulk mail waits at one site at its limit; then something urgent comes. How many others were begun
// in between, from the moment on at which it was acknowledged and had had 10 ms to come to a lane.
size_t overtaken_by(unsigned shards, unsigned bulk, uint32_t connections,
                    uint64_t messages_per_second, unsigned sites = 1) {
  SmallEngine engine([&](EngineSettings& settings,
                         Faults&) { one_provider(settings, connections, messages_per_second); },
                     shards);
  Meter meter(engine.clock);
  engine.internet.watcher = &meter;
  for (unsigned site = 0; site < sites; ++site)
    engine.feed("bulk" + std::to_string(site), named("bulk", bulk, site), ",\"priority\":10");
  engine.run_to(engine.clock.mono + 5 * kSecond);
  const std::string to = "urgent@d" + std::to_string(sites == 1 ? 0 : sites) + ".sim";
  engine.feed("urgent", {to}, ",\"priority\":100");
  const int64_t from = engine.clock.mono + 10'000'000;
  EXPECT_TRUE(engine.run_until([&] { return engine.taken(to); }, 60 * kSecond));
  engine.internet.watcher = nullptr;
  const std::vector<std::string> all = meter.between(from, INT64_MAX);
  const auto urgent = std::find(all.begin(), all.end(), to);
  return urgent == all.end() ? 0 : static_cast<size_t>(urgent - all.begin());
}

TEST(UrgentTest, ItGoesWithTheFirstSessionFreed) {
  EXPECT_EQ(overtaken_by(1, 3000, 2, 0), 0u);
}
TEST(UrgentTest, ItGoesWithTheFirstToken) {
  EXPECT_EQ(overtaken_by(1, 3000, 0, 20), 0u);
}
TEST(UrgentTest, ItGoesWithTheFirstSessionFreedOfSeveralShards) {
  EXPECT_EQ(overtaken_by(3, 3000, 2, 0), 0u);
}
TEST(UrgentTest, ItGoesWithTheFirstTokenOfSeveralShards) {
  EXPECT_EQ(overtaken_by(3, 3000, 0, 20), 0u);
}
// To a site of its own, on any shard, while bulk mail to others has all connections: the first of
// these that is freed goes, and a new one is opened, for which the others need not wait.
TEST(UrgentTest, ItHasTheFirstSlotFreedOfSeveralShards) {
  for (unsigned sites = 3; sites <= 6; ++sites)
    EXPECT_LE(overtaken_by(3, 1000, 2, 0, sites), 5u) << sites << " other sites";
}

}  // namespace
}  // namespace veredus::sim
