// What waits, flows and fails at each site.

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(SitesTest, ASiteThatIsDownSaysWhyAndWhenItIsTried) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_refused = 1; });
  engine.feed("b", SmallEngine::recipients(100, 0));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const std::vector<SiteState> sites = engine.sites(kSite0);
  ASSERT_THAT(sites, SizeIs(1));
  EXPECT_GT(sites[0].down_until_mono_ns, engine.clock.mono);
  EXPECT_THAT(sites[0].conditions, Contains(Field(&Condition::what, "site_down")));
  EXPECT_THAT(sites[0].last_reply, HasSubstr("refused"));
  EXPECT_EQ(sites[0].waiting, 100u);
  EXPECT_THAT(engine.sites("nowhere.sim"), IsEmpty());
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
