// Operators' orders at a whole simulated engine: whom they hold for, at once and over a kill, and
// that they end.

#include <gtest/gtest.h>

#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

using queue::Filter;
using queue::Order;
constexpr int64_t kSecond = SmallEngine::kSecond;

uint64_t give(SmallEngine& engine, Order::Kind kind, Filter filter) {
  Order order;
  order.kind = kind;
  order.filter = std::move(filter);
  order.last_batch = 1'000'000;
  return engine.order(std::move(order));
}

bool over(SmallEngine& engine, uint64_t order) {
  return engine.run_until([&] { return !engine.core().orders().contains(order); }, 300 * kSecond);
}

// It was accepted when the upload ended: a kill must not make it one that was there before.
TEST(OrdersTest, ABatchWhoseUploadWasUnderWayIsNotMeantAfterAKillEither) {
  SmallEngine engine;
  engine.feed("first", {"first@d0.sim"});
  ASSERT_TRUE(engine.run_until([&] { return engine.taken("first@d0.sim"); }, 60 * kSecond));
  engine.internet.faults.latency_max_ns = 3600 * kSecond;
  engine.feed("before", SmallEngine::recipients(5));  // one of them is under way: the order goes on
  engine.run_to(engine.clock.mono + kSecond);
  uint64_t order = 0;
  engine.feed("b", SmallEngine::recipients(5, 1), ",\"not_before\":\"1h\"", "t",
              [&] { order = give(engine, Order::Kind::cancel, {.tenant = "t"}); });
  ASSERT_TRUE(engine.core().orders().contains(order));
  engine.restart();
  EXPECT_TRUE(over(engine, order));
  EXPECT_EQ(engine.batch("before").tally.cancelled, 5u);
  EXPECT_EQ(engine.batch("b").tally.cancelled, 0u);
}

TEST(OrdersTest, ACancellationByRecipientFindsHimAndEnds) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(40'000), ",\"not_before\":\"1h\"");
  engine.feed("c", {"R7@D0.sim", "x@d1.sim"}, ",\"not_before\":\"1h\"");
  const uint64_t order = give(engine, Order::Kind::cancel, {.recipient = "r7@d0.sim"});
  EXPECT_TRUE(over(engine, order));
  EXPECT_EQ(engine.batch("b").tally.cancelled, 1u);
  EXPECT_EQ(engine.batch("c").tally.cancelled, 1u);
  engine.feed("d", {"r7@d0.sim"});
  engine.run_to(engine.clock.mono + 5 * kSecond);
  EXPECT_TRUE(engine.taken("r7@d0.sim")) << "what is fed later is not meant";
  EXPECT_EQ(engine.internet.taken, 1u);
}

TEST(OrdersTest, OfOneBatchOnly) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(10), ",\"not_before\":\"1h\"");
  engine.feed("c", SmallEngine::recipients(10), ",\"not_before\":\"1h\"");
  const uint64_t order =
      give(engine, Order::Kind::expire, {.tenant = "t", .batch = "c", .recipient = "r7@d0.sim"});
  EXPECT_TRUE(over(engine, order));
  EXPECT_EQ(engine.batch("b").tally.finals(), 0u);
  EXPECT_EQ(engine.batch("c").tally.expired, 1u);
  EXPECT_EQ(engine.batch("c").tally.finals(), 1u);
}

TEST(OrdersTest, ARetryByRecipientBringsHimForwardAlone) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.recipient_later = 1; });
  engine.feed("b", SmallEngine::recipients(100));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  engine.internet.faults.recipient_later = 0;
  const uint64_t order = give(engine, Order::Kind::retry, {.recipient = "r42@d0.sim"});
  EXPECT_TRUE(over(engine, order));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  EXPECT_TRUE(engine.taken("r42@d0.sim"));
  EXPECT_EQ(engine.internet.taken, 1u);
}

// When mail goes out first is for its sender to say; who is in doubt is not sent to twice for it.
TEST(OrdersTest, ARetryLeavesWhoIsNotYetDueAndWhoIsInDoubt) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.reset_before_reply = 1; });
  engine.feed("doubt", {"in@d0.sim"});
  engine.feed("planned", {"planned@d0.sim"}, ",\"not_before\":\"1h\"");
  engine.run_to(engine.clock.mono + 10 * kSecond);
  ASSERT_EQ(engine.batch("doubt").tally.in_doubt_waiting, 1u);
  engine.internet.faults.reset_before_reply = 0;
  EXPECT_TRUE(over(engine, give(engine, Order::Kind::retry, {.tenant = "t"})));
  for (const char* to : {"in@d0.sim", "planned@d0.sim"})
    EXPECT_TRUE(over(engine, give(engine, Order::Kind::retry, {.recipient = to})));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  EXPECT_EQ(engine.internet.taken, 1u);
  engine.run_to(engine.clock.mono + 3700 * kSecond);
  EXPECT_EQ(engine.internet.taken, 3u);
}

// Hosts that were passed over are tried again where the order says so, and nowhere else.
TEST(OrdersTest, ARetryOfAProviderTriesItsHostsAlone) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.session_limits.connect_ns = 5 * kSecond;
    settings.host_down_ns = 3600 * kSecond;
    add_provider(settings).host_down_ns = settings.host_down_ns;
    faults.first_hosts_silent = true;
  });
  // How long one more takes, by a new connection.
  unsigned number = 0;
  const auto takes = [&](unsigned domain) {
    const std::string to = "r" + std::to_string(++number) + "@d" + std::to_string(domain) + ".sim";
    engine.run_to(engine.clock.mono + 60 * kSecond);
    const int64_t begun = engine.clock.mono;
    engine.feed("b" + std::to_string(number), {to});
    EXPECT_TRUE(engine.run_until([&] { return engine.taken(to); }, 60 * kSecond));
    return engine.clock.mono - begun;
  };
  EXPECT_GT(takes(0), 5 * kSecond);
  EXPECT_GT(takes(1), 5 * kSecond);
  EXPECT_LT(takes(0), 5 * kSecond);
  EXPECT_LT(takes(1), 5 * kSecond);
  EXPECT_TRUE(over(engine, give(engine, Order::Kind::retry, {.provider = "p"})));
  EXPECT_LT(takes(1), 5 * kSecond) << "of no provider";
  EXPECT_GT(takes(0), 5 * kSecond);
}

// A source that is to try again leaves those to which another one has come in vain.
TEST(OrdersTest, ARetryOfASourceTriesItsSitesAlone) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.sources.clear();
    for (const std::string name : {"a", "b"}) {
      SourceSettings& source = settings.sources.emplace_back();
      source.name = name;
      io::parse_address(name == "a" ? "10.9.9.1" : "10.9.9.2", source.address);
      source.address.family = 4;
      SourcePool& pool = settings.pools.emplace_back();
      pool.name = name;
      pool.members = {{static_cast<uint32_t>(settings.sources.size() - 1), 1}};
    }
    settings.host_down_ns = 3600 * kSecond;
    faults.connect_refused = 1;
  });
  engine.feed("of-a", SmallEngine::recipients(200), ",\"pool\":\"a\"");
  engine.feed("of-b", SmallEngine::recipients(200), ",\"pool\":\"b\"");
  engine.run_to(engine.clock.mono + 30 * kSecond);
  engine.internet.faults.connect_refused = 0;
  ASSERT_EQ(engine.internet.taken, 0u);
  EXPECT_TRUE(over(engine, give(engine, Order::Kind::retry, {.source = "b"})));
  engine.run_to(engine.clock.mono + 30 * kSecond);
  EXPECT_GT(engine.batch("of-b").tally.delivered, 100u) << "who was not tried yet";
  EXPECT_EQ(engine.batch("of-a").tally.delivered, 0u);
}

// An idle lane has not heard yet that its site belongs to another provider: what comes to it is not
// held back by an order for the one before.
TEST(OrdersTest, GoByTheProviderOfTheRulesInForceAtAnIdleLaneToo) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_provider(settings);
    settings.idle_close_ns = kSecond;
    settings.providers[0].idle_close_ns = kSecond;
  });
  engine.feed("first", SmallEngine::recipients(1));
  engine.run_to(engine.clock.mono + 30 * kSecond);
  ASSERT_EQ(engine.internet.taken, 1u);
  engine.suspend({.provider = "p"});
  engine.settings.providers[0].name = "q";
  engine.core().reload(engine.settings);
  engine.run_to(engine.clock.mono + 30 * kSecond);
  engine.feed("second", {"second@d0.sim"});
  engine.run_to(engine.clock.mono + 30 * kSecond);
  EXPECT_EQ(engine.internet.taken, 2u);
}

// He is out with a lane, whose host does not answer: it holds when he comes back.
TEST(OrdersTest, AnExpiryByRecipientMeetsHimWhoIsOut) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_silent = 1; });
  engine.feed("b", SmallEngine::recipients(5));
  engine.run_to(engine.clock.mono + kSecond);
  const uint64_t order = give(engine, Order::Kind::expire, {.recipient = "r3@d0.sim"});
  EXPECT_TRUE(over(engine, order));
  EXPECT_EQ(engine.batch("b").tally.expired, 1u);
  EXPECT_EQ(engine.batch("b").tally.finals(), 1u);
}

TEST(OrdersTest, AnUnfinishedOneByRecipientGoesOnAfterAKill) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.connect_silent = 1; });
  engine.feed("b", SmallEngine::recipients(5));
  engine.run_to(engine.clock.mono + kSecond);
  const uint64_t order = give(engine, Order::Kind::cancel, {.recipient = "r3@d0.sim"});
  engine.restart();
  ASSERT_TRUE(engine.core().orders().contains(order));
  EXPECT_TRUE(over(engine, order));
  EXPECT_EQ(engine.batch("b").tally.cancelled, 1u);
}

// Who asks to be forgotten must not be kept in an order.
TEST(OrdersTest, AnErasureEndsWhatNamesTheAddress) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(5), ",\"not_before\":\"1h\"");
  const uint64_t his = engine.suspend({.recipient = "r3@d0.sim"});
  Order of_tenant;
  of_tenant.filter = {.tenant = "u"};
  of_tenant.reason = "asked for by R3@d0.sim himself";
  const uint64_t other = engine.order(std::move(of_tenant));
  ErasureQuestion question;
  question.addresses = {"r3@d0.sim"};
  engine.core().ask_erasure(question);
  engine.run_to(engine.clock.mono + 30 * kSecond);
  EXPECT_FALSE(engine.core().orders().contains(his));
  ASSERT_TRUE(engine.core().orders().contains(other)) << "it is about others";
  EXPECT_EQ(engine.core().orders().at(other).reason, "asked for by ********* himself");
  EXPECT_EQ(engine.batch("b").tally.cancelled, 1u);
  engine.restart();
  EXPECT_FALSE(engine.core().orders().contains(his));
  ASSERT_TRUE(engine.core().orders().contains(other));
  EXPECT_EQ(engine.core().orders().at(other).reason, "asked for by ********* himself");
}

}  // namespace
}  // namespace veredus::sim
