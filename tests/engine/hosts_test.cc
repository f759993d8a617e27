// To which hosts a lane dials while some of them are down: each case is an engine in simulated
// time.

#include <gtest/gtest.h>

#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;
constexpr uint32_t kSite = 10u << 16;  // of d0.sim

// Connections that end after twenty messages each, so that new ones are dialled all the time.
void short_connections(EngineSettings& settings) {
  settings.connections_per_site = 20;
  settings.messages_per_connection = 20;
  settings.host_down_ns = 5 * kSecond;
  settings.session_limits.connect_ns = 2 * kSecond;
}

// How many recipients of d0.sim are sent to within half a minute, the first ten seconds apart.
uint64_t sent(const SmallEngine::Change& change) {
  SmallEngine engine([&](EngineSettings& settings, Faults& faults) {
    short_connections(settings);
    change(settings, faults);
  });
  engine.feed("b", SmallEngine::recipients(20'000));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  const uint64_t before = engine.internet.taken;
  engine.run_to(engine.clock.mono + 30 * kSecond);
  EXPECT_LT(engine.internet.taken, 20'000u) << "enough must wait to the end";
  return engine.internet.taken - before;
}

uint64_t sent_in_fair_weather() {
  static const uint64_t count = sent([](EngineSettings&, Faults&) {});
  return count;
}

// A machine without IPv6: an address of it that is tried again and fails is passed over, while the
// other one works and more connections to it are opened.
TEST(HostsTest, AFamilyThatCannotBeReachedDoesNotKeepTheOtherFromGrowing) {
  const uint64_t count = sent([](EngineSettings&, Faults& faults) {
    faults.ipv6_too = true;
    faults.unreachable_family = 6;
  });
  EXPECT_GT(count, sent_in_fair_weather() * 8 / 10);
}

// The best host is dead, and a session to the next one works. Some time later much more waits: the
// dead one is tried again, in vain, and connections to the other one are opened.
TEST(HostsTest, AHostThatIsDownDoesNotKeepTheNextOneFromGrowing) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.connections_per_site = 20;
    settings.idle_close_ns = 3600 * kSecond;
    settings.session_limits.connect_ns = 2 * kSecond;
    faults.first_hosts_silent = true;
  });
  engine.feed("first", SmallEngine::recipients(1));
  engine.run_to(engine.clock.mono + 70 * kSecond);
  ASSERT_EQ(engine.internet.taken, 1u);
  ASSERT_EQ(engine.internet.open_by_site[kSite], 1u);
  engine.feed("b", SmallEngine::recipients(20'000));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken > 2000; }, 20 * kSecond));
  EXPECT_EQ(engine.internet.open_by_site[kSite], 20u);
}

// Nobody answers at IPv6 addresses: whoever dials there is raced, though many do at the same time,
// and the address is passed over then.
TEST(HostsTest, ASilentFamilyDoesNotKeepTheOtherFromGrowing) {
  const uint64_t count = sent([](EngineSettings& settings, Faults& faults) {
    settings.session_limits.connect_ns = 60 * kSecond;
    faults.ipv6_too = true;
    faults.silent_family = 6;
  });
  EXPECT_GT(count, sent_in_fair_weather() * 8 / 10);
}

TEST(HostsTest, ASilentFamilyIsTriedOnce) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.connections_per_site = 20;
    faults.ipv6_too = true;
    faults.silent_family = 6;
  });
  engine.feed("b", SmallEngine::recipients(5000));
  const uint32_t site = 10u << 16;  // d0.sim
  EXPECT_TRUE(
      engine.run_until([&] { return engine.internet.open_by_site[site] == 20; }, 30 * kSecond));
  EXPECT_EQ(engine.internet.connections6, 1u);
}

// Who is slow has lost a race against one that takes nothing: he is dialled all the same.
TEST(HostsTest, WhoLostARaceIsDialledWhenTheWinnerRefuses) {
  SmallEngine engine([](EngineSettings&, Faults& faults) {
    faults.ipv6_too = true;
    faults.slow_family = 6;
    faults.refusing_family = 4;
  });
  engine.feed("b", SmallEngine::recipients(100));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 100; }, 20 * kSecond));
}

}  // namespace
}  // namespace veredus::sim
