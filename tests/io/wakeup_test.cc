#include "engine/io/wakeup.h"

#include <atomic>
#include <thread>
#include <vector>

#include "tests/io/loop.h"

namespace veredus::io {
namespace {

TEST(EventWake, AwakeShardCostsNoSystemCall) {
  Loop loop;
  EventWake wake;
  wake.wake();  // before it is armed: harmless
  ASSERT_TRUE(wake.arm(*loop.ring).ok());
  for (int i = 0; i < 1000; ++i) wake.wake();
  EXPECT_EQ(wake.signals(), 0u);
  wake.prepare_sleep();
  for (int i = 0; i < 1000; ++i) wake.wake();
  EXPECT_EQ(wake.signals(), 1u);
  wake.awake();
  wake.wake();
  EXPECT_EQ(wake.signals(), 1u);
}

TEST(EventWake, WakesASleeper) {
  Loop loop;
  EventWake wake;
  ASSERT_TRUE(wake.arm(*loop.ring).ok());
  SystemClock clock;
  for (int round = 0; round < 20; ++round) {
    const int64_t begin = clock.mono_ns();
    wake.prepare_sleep();
    std::thread other([&] {
      if (round % 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      wake.wake();
    });
    loop.ring->submit_and_wait(10'000'000'000);
    wake.awake();
    other.join();
    loop.ring->collect();
    loop.ring->run_collected();
    ASSERT_LT(clock.mono_ns() - begin, 5'000'000'000) << round;
  }
}

// Producers fill an inbox and wake; the shard sleeps for (nearly) ever whenever it finds nothing.
// One lost wake-up, and it sleeps through to the limit.
TEST(EventWake, NoWakeUpIsLost) {
  constexpr int kProducers = 3;
  constexpr int kItems = 20'000;
  Loop loop;
  EventWake wake;
  ASSERT_TRUE(wake.arm(*loop.ring).ok());
  std::atomic<int> inbox{0};
  std::vector<std::thread> producers;
  for (int id = 0; id < kProducers; ++id) {
    producers.emplace_back([&, id] {
      Random random(static_cast<uint64_t>(id) + 1);
      for (int i = 0; i < kItems; ++i) {
        inbox.fetch_add(1, std::memory_order_release);
        wake.wake();
        // Now and then until the shard has caught up, so that it falls asleep again and again.
        if (random.below(8) == 0) {
          while (inbox.load(std::memory_order_relaxed) != 0) std::this_thread::yield();
        }
      }
    });
  }
  SystemClock clock;
  int64_t longest = 0;
  int got = 0;
  int sleeps = 0;
  while (got < kProducers * kItems && longest < 2'000'000'000) {
    loop.ring->collect();
    loop.ring->run_collected();
    got += inbox.exchange(0, std::memory_order_acquire);
    if (got == kProducers * kItems) break;
    wake.prepare_sleep();
    if (inbox.load(std::memory_order_acquire) != 0) {
      loop.ring->submit();
    } else {
      ++sleeps;
      const int64_t begin = clock.mono_ns();
      loop.ring->submit_and_wait(3'000'000'000);
      longest = std::max(longest, clock.mono_ns() - begin);
    }
    wake.awake();
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(got, kProducers * kItems);
  EXPECT_LT(longest, 2'000'000'000);
  EXPECT_GT(sleeps, 10);
}

// The race itself, again and again: one side announces its sleep and looks into the inbox, the
// other fills the inbox and wakes, at the same moment. Whoever is second must see what the first
// did.
TEST(EventWake, OneOfTwoAlwaysSeesTheOther) {
  Loop loop;
  EventWake wake;
  ASSERT_TRUE(wake.arm(*loop.ring).ok());
  alignas(64) std::atomic<uint64_t> inbox{0};
  alignas(64) std::atomic<uint64_t> round{0};
  alignas(64) std::atomic<uint64_t> answered{0};
  constexpr uint64_t kEnd = UINT64_MAX;
  const auto spin = [](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) __builtin_ia32_pause();
  };
  std::thread producer([&] {
    Random random(1);
    for (uint64_t mine = 1;; ++mine) {
      for (int tries = 0; round.load(std::memory_order_acquire) < mine; ++tries) {
        if (tries > 1000) std::this_thread::yield();
      }
      if (round.load() == kEnd) return;
      spin(random.below(8));
      inbox.store(mine, std::memory_order_release);
      wake.wake();
      answered.store(mine, std::memory_order_release);
    }
  });
  SystemClock clock;
  const int64_t end = clock.mono_ns() + 1'500'000'000;
  Random random(2);
  uint64_t lost = 0;
  uint64_t mine = 1;
  for (; mine < 2'000'000 && (mine % 64 != 0 || clock.mono_ns() < end); ++mine) {
    const uint64_t signals = wake.signals();
    round.store(mine, std::memory_order_release);
    spin(random.below(8));
    wake.prepare_sleep();
    const bool seen = inbox.load(std::memory_order_acquire) == mine;
    for (int tries = 0; answered.load(std::memory_order_acquire) < mine; ++tries) {
      if (tries > 1000) std::this_thread::yield();
    }
    lost += !seen && wake.signals() == signals;
    wake.awake();
  }
  round.store(kEnd);
  producer.join();
  EXPECT_EQ(lost, 0u) << "of " << mine;
  RecordProperty("rounds", std::to_string(mine));
}

}  // namespace
}  // namespace veredus::io
