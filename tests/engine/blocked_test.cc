// Those who are out with a lane that may not send: their time ends, orders hold for them, windows
// close, and what idles elsewhere makes room. Each case is an engine in simulated time.

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "queue/delivery_window.h"
#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"
#include "tests/sim/watcher.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

// Connections to the site of d0.sim.
class Dials final : public Watcher {
 public:
  void opened(uint64_t, const io::Endpoint& peer, const io::Endpoint&) override {
    count += peer.address[1] == 0 && peer.address[2] == 0;
  }
  void closed(uint64_t) override {}
  void transaction(uint64_t, int64_t) override {}
  void recipient(uint64_t, const std::string&, bool) override {}
  void content(uint64_t, uint64_t) override {}
  void transaction_over(uint64_t) override {}
  unsigned count = 0;
};

// Provider p's and provider q's are a group that may have one connection.
void one_connection(EngineSettings& settings) {
  settings.groups.emplace_back().name = "g";
  settings.groups[0].limits.connections = 1;
  add_provider(settings).groups = {0};
  settings.providers.push_back(settings.providers[0]);
  settings.providers[1].name = "q";
  settings.providers[1].mx = {"mx1.sim"};
}

// Why what goes to d0.sim cannot.
struct Block {
  std::string name;
  SmallEngine::Change change;
  bool other_first = false;  // somebody else has the connection
};
void PrintTo(const Block& block, std::ostream* out) {
  *out << block.name;
}

class BlockedTest : public testing::TestWithParam<Block> {
 protected:
  BlockedTest() : engine_(GetParam().change) {
    if (GetParam().other_first) {
      engine_.feed("other", SmallEngine::recipients(1, 1));
      engine_.run_to(engine_.clock.mono + kSecond);
    }
  }
  uint64_t order(queue::Order::Kind kind, queue::Filter filter) {
    queue::Order order;
    order.kind = kind;
    order.filter = std::move(filter);
    order.last_batch = 1'000'000;
    return engine_.order(std::move(order));
  }
  SmallEngine engine_;
};

TEST_P(BlockedTest, TheirTimeEnds) {
  engine_.feed("b", SmallEngine::recipients(50), ",\"expires\":\"60s\"");
  engine_.feed("c", SmallEngine::recipients(20));
  engine_.run_to(engine_.clock.mono + 70 * kSecond);
  const queue::Tally& tally = engine_.batch("b").tally;
  EXPECT_GE(tally.expired, 49u);
  EXPECT_EQ(tally.finals(), 50u);
  EXPECT_LE(engine_.batch("c").tally.finals(), 1u);
}

TEST_P(BlockedTest, ACancellationEnds) {
  engine_.feed("b", SmallEngine::recipients(50));
  engine_.feed("c", SmallEngine::recipients(20));
  engine_.run_to(engine_.clock.mono + 10 * kSecond);
  const uint64_t given = order(queue::Order::Kind::cancel, {.tenant = "t", .batch = "b"});
  EXPECT_TRUE(
      engine_.run_until([&] { return !engine_.core().orders().contains(given); }, 10 * kSecond));
  const queue::Tally& tally = engine_.batch("b").tally;
  EXPECT_GE(tally.cancelled, 49u);
  EXPECT_EQ(tally.finals(), 50u);
  EXPECT_LE(engine_.batch("c").tally.finals(), 1u);
}

TEST_P(BlockedTest, AnExpiryOfOneEnds) {
  engine_.feed("b", SmallEngine::recipients(50));
  engine_.run_to(engine_.clock.mono + 10 * kSecond);
  const uint64_t given = order(queue::Order::Kind::expire, {.recipient = "r40@d0.sim"});
  EXPECT_TRUE(
      engine_.run_until([&] { return !engine_.core().orders().contains(given); }, 10 * kSecond));
  EXPECT_EQ(engine_.batch("b").tally.expired, 1u);
}

SmallEngine::Change slow(const std::function<LimitSettings&(EngineSettings&)>& limits) {
  return [limits](EngineSettings& settings, Faults&) {
    add_provider(settings);
    limits(settings).rates[static_cast<size_t>(Resource::message_rate)] = {1, 3600 * kSecond};
  };
}

INSTANTIATE_TEST_SUITE_P(
    All, BlockedTest,
    testing::Values(Block{"BySlowRate", slow([](EngineSettings& s) -> LimitSettings& {
                            return s.providers[0].per_source;
                          })},
                    Block{"ByTenantsSlowRate", slow([](EngineSettings& s) -> LimitSettings& {
                            return s.providers[0].per_tenant;
                          })},
                    Block{"ByConnectionOfOthers",
                          [](EngineSettings& settings, Faults& faults) {
                            one_connection(settings);
                            faults.connect_silent = 1;
                            settings.session_limits.connect_ns = 3600 * kSecond;
                            for (Provider& provider : settings.providers)
                              provider.session_limits.connect_ns = 3600 * kSecond;
                          },
                          true}),
    [](const auto& each) { return each.param.name; });

// A window that closes while a lane cannot dial: no connection is opened for it afterwards.
TEST(Blocked, NoConnectionIsDialledInAClosedWindow) {
  Dials dials;
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    // The world begins at 22:13:21.
    add_provider(settings).windows =
        std::make_shared<queue::DeliveryWindows>(*queue::parse_windows("Tu 22:00-22:14 UTC"));
  });
  engine.internet.watcher = &dials;
  engine.network().descriptors_max = 0;
  engine.feed("b", SmallEngine::recipients(5));
  engine.run_to(engine.clock.mono + 60 * kSecond);
  engine.network().descriptors_max = 100;
  engine.run_to(engine.clock.mono + 200 * kSecond);
  EXPECT_EQ(engine.internet.taken, 0u);
  EXPECT_EQ(dials.count, 0u);
  engine.internet.watcher = nullptr;
}

// The session with a group's only connection idles, as many others do that are older: it is found.
TEST(Blocked, WhatIdlesMakesRoomHoweverManyOthersDo) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.idle_close_ns = 3600 * kSecond;
    one_connection(settings);
    for (Provider& provider : settings.providers) provider.idle_close_ns = 3600 * kSecond;
  });
  std::vector<std::string> to;
  for (unsigned domain = 2; domain < 302; ++domain)
    to.push_back("r@d" + std::to_string(domain) + ".sim");
  engine.feed("old", to);
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 300; }, 60 * kSecond));
  engine.feed("other", SmallEngine::recipients(1, 1));
  engine.run_to(engine.clock.mono + 5 * kSecond);
  ASSERT_EQ(engine.internet.taken, 301u);
  engine.feed("b", SmallEngine::recipients(1));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 302; }, 10 * kSecond));
}

}  // namespace
}  // namespace veredus::sim
