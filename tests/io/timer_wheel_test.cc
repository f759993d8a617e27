#include "engine/io/timer_wheel.h"

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/io/ports.h"

namespace veredus::io {
namespace {

constexpr int64_t kTick = TimerWheel::kTickNs;
constexpr size_t kAll = SIZE_MAX;

struct Alarm final : Timer {
  std::function<void()> action = [] {};
  int fired = 0;
  void on_timer() override {
    ++fired;
    action();
  }
};

TEST(TimerWheel, FiresAtTheDeadlineAndNeverBefore) {
  TimerWheel wheel(0);
  Alarm alarm;
  wheel.arm(alarm, 10 * kTick + 1);
  EXPECT_TRUE(alarm.armed());
  EXPECT_TRUE(wheel.advance(10 * kTick + 1, kAll));  // in the tick in which it lies, but rounded up
  EXPECT_EQ(alarm.fired, 0);
  wheel.advance(11 * kTick - 1, kAll);
  EXPECT_EQ(alarm.fired, 0);
  wheel.advance(11 * kTick, kAll);
  EXPECT_EQ(alarm.fired, 1);
  EXPECT_FALSE(alarm.armed());
  wheel.advance(1000 * kTick, kAll);
  EXPECT_EQ(alarm.fired, 1);
}

TEST(TimerWheel, PastDeadlineFiresWithTheNextAdvance) {
  TimerWheel wheel(100 * kTick);
  Alarm alarm;
  wheel.arm(alarm, 5 * kTick);
  EXPECT_LE(wheel.next_deadline(), 100 * kTick);
  wheel.advance(100 * kTick, kAll);
  EXPECT_EQ(alarm.fired, 1);
}

TEST(TimerWheel, NeverDisarmsAndTheEndOfTimeIsFarAway) {
  TimerWheel wheel(7 * kTick);
  Alarm never, last;
  wheel.arm(never, 9 * kTick);
  wheel.arm(never, TimerWheel::kNever);
  EXPECT_FALSE(never.armed());
  EXPECT_EQ(wheel.next_deadline(), TimerWheel::kNever);
  wheel.arm(last, TimerWheel::kNever - 1);
  EXPECT_TRUE(last.armed());
  EXPECT_LT(wheel.next_deadline(), TimerWheel::kNever);
  wheel.advance(int64_t{1} << 62, kAll);
  EXPECT_EQ(never.fired + last.fired, 0);
}

TEST(TimerWheel, GoingAwayDisarms) {
  TimerWheel wheel(0);
  auto gone = std::make_unique<Alarm>();
  Alarm stays;
  wheel.arm(*gone, 5 * kTick);
  wheel.arm(stays, 5 * kTick);
  gone.reset();
  wheel.advance(5 * kTick, kAll);
  EXPECT_EQ(stays.fired, 1);
}

TEST(TimerWheel, TheWheelGoesFirst) {
  Alarm near, far;
  {
    TimerWheel wheel(0);
    wheel.arm(near, 0);
    wheel.arm(far, int64_t{1} << 50);
  }
  EXPECT_FALSE(near.armed());
  EXPECT_FALSE(far.armed());
}

TEST(TimerWheel, TimersAreChangedFromInsideATimer) {
  TimerWheel wheel(0);
  Alarm again, victim, late;
  auto destroyed = std::make_unique<Alarm>();
  wheel.arm(again, 5 * kTick);
  wheel.arm(victim, 5 * kTick);
  wheel.arm(*destroyed, 5 * kTick);
  again.action = [&] {
    wheel.cancel(victim);
    destroyed.reset();
    wheel.arm(late, 0);  // already past: still in this advance
    if (again.fired < 3) wheel.arm(again, again.deadline_mono_ns() + 5 * kTick);
  };
  wheel.advance(100 * kTick, kAll);
  EXPECT_EQ(again.fired, 3);
  EXPECT_EQ(victim.fired, 0);
  EXPECT_EQ(late.fired, 3);
}

TEST(TimerWheel, BudgetBoundsTheWork) {
  TimerWheel wheel(0);
  std::vector<std::unique_ptr<Alarm>> alarms;
  int fired = 0;
  for (int i = 0; i < 1000; ++i) {
    alarms.push_back(std::make_unique<Alarm>());
    alarms.back()->action = [&fired] { ++fired; };
    wheel.arm(*alarms.back(), 70 * kTick);  // one level up: each has to come down first
  }
  int calls = 0;
  int before = 0;
  while (!wheel.advance(70 * kTick, 10)) {
    ASSERT_LE(fired - before, 10);
    before = fired;
    ASSERT_LE(wheel.next_deadline(), 70 * kTick);
    ASSERT_LT(++calls, 300);
  }
  EXPECT_EQ(fired, 1000);
  EXPECT_GE(calls, 150);  // 1000 moves down and 1000 firings, 10 a call
}

// What the wheel must do, said with a sorted map: by tick, then by order of arming.
class Model {
 public:
  void arm(int timer, int64_t deadline_ns) {
    cancel(timer);
    const int64_t tick = std::max<int64_t>((deadline_ns + kTick - 1) / kTick, now_tick_);
    where_[timer] = queue_.emplace(std::pair(tick, ++sequence_), timer);
  }
  void cancel(int timer) {
    if (auto found = where_.find(timer); found != where_.end()) {
      queue_.erase(found->second);
      where_.erase(found);
    }
  }
  std::vector<int> advance(int64_t now_ns) {
    now_tick_ = std::max(now_tick_, now_ns / kTick);
    std::vector<int> fired;
    while (!queue_.empty() && queue_.begin()->first.first <= now_tick_) {
      fired.push_back(queue_.begin()->second);
      where_.erase(queue_.begin()->second);
      queue_.erase(queue_.begin());
    }
    return fired;
  }
  int64_t earliest_ns() const {
    return queue_.empty() ? TimerWheel::kNever : queue_.begin()->first.first * kTick;
  }

 private:
  using Queue = std::multimap<std::pair<int64_t, uint64_t>, int>;
  Queue queue_;
  std::map<int, Queue::iterator> where_;
  uint64_t sequence_ = 0;
  int64_t now_tick_ = 0;
};

void compare_with_model(uint64_t seed) {
  Random random(seed);
  TimerWheel wheel(0);
  Model model;
  int64_t now = 0;
  std::vector<int> fired;
  std::vector<std::unique_ptr<Alarm>> alarms;
  for (int i = 0; i < 200; ++i) {
    alarms.push_back(std::make_unique<Alarm>());
    alarms.back()->action = [&fired, i] { fired.push_back(i); };
  }
  for (int step = 0; step < 3000; ++step) {
    const int timer = static_cast<int>(random.below(alarms.size()));
    switch (random.below(4)) {
      case 0:
      case 1: {  // near, far and past deadlines alike
        const int64_t reach = int64_t{1} << (10 + random.below(45));
        const int64_t deadline =
            std::max<int64_t>(0, now + static_cast<int64_t>(random.below(reach)) - reach / 8);
        wheel.arm(*alarms[timer], deadline);
        model.arm(timer, deadline);
        break;
      }
      case 2:
        wheel.cancel(*alarms[timer]);
        model.cancel(timer);
        break;
      case 3: {
        ASSERT_LE(wheel.next_deadline(), std::max(model.earliest_ns(), now / kTick * kTick));
        now += static_cast<int64_t>(random.below(int64_t{1} << (10 + random.below(45))));
        fired.clear();
        ASSERT_TRUE(wheel.advance(now, kAll));
        ASSERT_EQ(fired, model.advance(now)) << "seed " << seed << " step " << step;
        break;
      }
    }
  }
}

TEST(TimerWheel, BehavesAsASortedMap) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    compare_with_model(seed);
    if (HasFatalFailure()) return;
  }
}

// Slept until next_deadline() again and again, the loop reaches every deadline in few steps.
TEST(TimerWheel, SleepingUntilNextDeadlineIsEnough) {
  TimerWheel wheel(0);
  Alarm alarm;
  const int64_t deadline = int64_t{3600} * 1'000'000'000;
  wheel.arm(alarm, deadline);
  int turns = 0;
  while (alarm.fired == 0) {
    ASSERT_LT(++turns, 8);
    wheel.advance(wheel.next_deadline(), kAll);
  }
}

}  // namespace
}  // namespace veredus::io
