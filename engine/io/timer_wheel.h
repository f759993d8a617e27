#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace veredus::io {

struct TimerLink {
  TimerLink* previous = nullptr;
  TimerLink* next = nullptr;
};

// A deadline of something. A member or base of its owner; going away disarms it.
class Timer : private TimerLink {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { unlink(); }

  // From TimerWheel::advance() only, at or after the deadline, never before; the timer is disarmed
  // by then.
  virtual void on_timer() = 0;

  bool armed() const { return next != nullptr; }
  int64_t deadline_mono_ns() const { return deadline_ns_; }  // of the last arming

 private:
  friend class TimerWheel;
  void unlink() {
    if (next == nullptr) return;
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
  int64_t deadline_ns_ = 0;
};
static_assert(sizeof(Timer) <= 48);

// Deadlines in ticks of 4.2 ms (2^22 ns): 7 levels × 64 slots, which cover all of int64_t. Arming,
// arming again and disarming are O(1) and allocate nothing. Timers fire in order of their ticks,
// those of the same tick in the order in which they were armed (as long as no budget is spent on
// the way). One thread.
class TimerWheel {
 public:
  static constexpr unsigned kTickBits = 22;
  static constexpr int64_t kTickNs = int64_t{1} << kTickBits;
  static constexpr int64_t kNever = INT64_MAX;

  // `now_mono_ns` ≥ 0 is where time begins.
  explicit TimerWheel(int64_t now_mono_ns = 0);
  // Disarms what is left.
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires at the first advance() to `deadline_mono_ns` or later: up to a tick late, never early.
  // Replaces an earlier arming. A deadline that has passed fires with the next (or the running)
  // advance(); kNever disarms.
  void arm(Timer& timer, int64_t deadline_mono_ns);
  void cancel(Timer& timer) { timer.unlink(); }

  // Fires what is due, moving (to its owner, or down a level) at most `budget` ≥ 1 timers. True:
  // all that is due has fired. False: the budget is spent; call again soon. Time never goes back:
  // an earlier time is taken for the last. Timers may be armed, disarmed and destroyed from inside
  // on_timer().
  bool advance(int64_t now_mono_ns, size_t budget);

  // Nothing fires before this (a lower bound: at it, perhaps only a level is turned). kNever:
  // nothing is armed.
  int64_t next_deadline();

 private:
  static constexpr unsigned kLevels = 7;
  static constexpr unsigned kSlotBits = 6;
  static constexpr unsigned kSlots = 1u << kSlotBits;

  struct Event {
    unsigned level;
    unsigned slot;
    uint64_t tick;  // at which the slot begins
  };
  bool next_event(Event& event);
  void place(Timer& timer);
  uint64_t tick_of(const Timer& timer) const;

  // Everything due at or before this tick is in ready_ or has fired, but for what cascading_ still
  // holds. A later timer lies in the level of the highest digit (of 6 bits) in which its tick
  // differs from position_, in the slot of that digit.
  uint64_t position_;
  TimerLink ready_;
  TimerLink cascading_;  // what is left of a slot whose time has come, when the budget was spent
  std::array<std::array<TimerLink, kSlots>, kLevels> slots_;
  std::array<uint64_t, kLevels>
      occupied_{};  // one bit a slot; may be set for an empty one, never clear for a full one
};

}  // namespace veredus::io
