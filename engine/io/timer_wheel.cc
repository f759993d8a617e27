#include "engine/io/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace veredus::io {
namespace {

void make_empty(TimerLink& list) {
  list.previous = list.next = &list;
}

bool is_empty(const TimerLink& list) {
  return list.next == &list;
}

void push_back(TimerLink& list, TimerLink& link) {
  link.previous = list.previous;
  link.next = &list;
  list.previous->next = &link;
  list.previous = &link;
}

// Appends all of `from` to `to`.
void splice(TimerLink& from, TimerLink& to) {
  if (is_empty(from)) return;
  from.next->previous = to.previous;
  to.previous->next = from.next;
  from.previous->next = &to;
  to.previous = from.previous;
  make_empty(from);
}

}  // namespace

TimerWheel::TimerWheel(int64_t now_mono_ns)
    : position_(static_cast<uint64_t>(std::max<int64_t>(now_mono_ns, 0)) >> kTickBits) {
  make_empty(ready_);
  make_empty(cascading_);
  for (auto& level : slots_) {
    for (TimerLink& slot : level) make_empty(slot);
  }
}

TimerWheel::~TimerWheel() {
  const auto clear = [](TimerLink& list) {
    while (!is_empty(list)) static_cast<Timer*>(list.next)->unlink();
  };
  clear(ready_);
  clear(cascading_);
  for (auto& level : slots_) {
    for (TimerLink& slot : level) clear(slot);
  }
}

// Rounded up: a timer never fires early.
uint64_t TimerWheel::tick_of(const Timer& timer) const {
  const auto deadline = static_cast<uint64_t>(std::max<int64_t>(timer.deadline_ns_, 0));
  return (deadline + (kTickNs - 1)) >> kTickBits;
}

void TimerWheel::arm(Timer& timer, int64_t deadline_mono_ns) {
  timer.unlink();
  timer.deadline_ns_ = deadline_mono_ns;
  if (deadline_mono_ns == kNever) return;
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  const uint64_t tick = tick_of(timer);
  if (tick <= position_) return push_back(ready_, timer);
  const unsigned level = static_cast<unsigned>(std::bit_width(tick ^ position_) - 1) / kSlotBits;
  const unsigned slot = (tick >> (level * kSlotBits)) & (kSlots - 1);
  assert(level < kLevels);
  push_back(slots_[level][slot], timer);
  occupied_[level] |= uint64_t{1} << slot;
}

// The occupied slot that begins first. The lowest level has it: its slots end before the next slot
// of a higher one begins.
bool TimerWheel::next_event(Event& event) {
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned shift = level * kSlotBits;
    const unsigned digit = (position_ >> shift) & (kSlots - 1);
    while (true) {
      const uint64_t later =
          digit == kSlots - 1 ? 0 : occupied_[level] & (~uint64_t{0} << (digit + 1));
      if (later == 0) break;
      const auto slot = static_cast<unsigned>(std::countr_zero(later));
      if (is_empty(slots_[level][slot])) {  // all that was in it has been disarmed
        occupied_[level] &= ~(uint64_t{1} << slot);
        continue;
      }
      const uint64_t above = position_ >> shift >> kSlotBits << kSlotBits;
      event = {level, slot, (above | slot) << shift};
      return true;
    }
  }
  return false;
}

bool TimerWheel::advance(int64_t now_mono_ns, size_t budget) {
  assert(budget > 0);
  const uint64_t now =
      std::max(position_, static_cast<uint64_t>(std::max<int64_t>(now_mono_ns, 0)) >> kTickBits);
  while (true) {
    if (!is_empty(cascading_)) {
      if (budget-- == 0) return false;
      auto& timer = *static_cast<Timer*>(cascading_.next);
      timer.unlink();
      place(timer);
      continue;
    }
    if (!is_empty(ready_)) {
      if (budget-- == 0) return false;
      auto& timer = *static_cast<Timer*>(ready_.next);
      timer.unlink();
      timer.on_timer();
      continue;
    }
    Event event;
    if (!next_event(event) || event.tick > now) {
      position_ = now;
      return true;
    }
    position_ = event.tick;
    occupied_[event.level] &= ~(uint64_t{1} << event.slot);
    splice(slots_[event.level][event.slot], event.level == 0 ? ready_ : cascading_);
  }
}

int64_t TimerWheel::next_deadline() {
  if (!is_empty(ready_) || !is_empty(cascading_))
    return static_cast<int64_t>(position_) << kTickBits;
  Event event;
  if (!next_event(event)) return kNever;
  if (event.tick > static_cast<uint64_t>(kNever >> kTickBits)) return kNever - 1;
  return static_cast<int64_t>(event.tick << kTickBits);
}

}  // namespace veredus::io
