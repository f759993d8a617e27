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
  constexpr int kItems = 60'000;
  Loop loop;
  EventWake wake;
  ASSERT_TRUE(wake.arm(*loop.ring).ok());
  std::atomic<int> inbox{0};
  std::atomic<int> taken{0};
  std::vector<std::thread> producers;
  for (int id = 0; id < kProducers; ++id) {
    producers.emplace_back([&, id] {
      Random random(static_cast<uint64_t>(id) + 1);
      for (int i = 0; i < kItems; ++i) {
        inbox.fetch_add(1, std::memory_order_release);
        wake.wake();
        // Mostly one item at a time, so that the shard falls asleep between them.
        if (random.below(16) != 0) {
          for (uint64_t spin = random.below(400); spin > 0; --spin) {
            if (taken.load(std::memory_order_relaxed) < 0) return;
          }
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
    taken.store(got, std::memory_order_relaxed);
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
  EXPECT_GT(sleeps, 100);
}

}  // namespace
}  // namespace veredus::io
