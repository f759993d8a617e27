#include "queue/due_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>

namespace veredus::queue {

// Up to the first level at which something lies behind, and down to the first of that: nearly
// always nothing is due for long, and each turn asks.
uint32_t SlotBits::first(uint32_t from) const {
  size_t at = from;
  for (size_t level = 0; level < levels_.size(); ++level) {
    const std::vector<uint64_t>& words = levels_[level];
    const size_t word = at / 64;
    const uint64_t rest = word < words.size() ? words[word] >> (at % 64) : 0;
    if (rest == 0) {
      at = word + 1;
      continue;
    }
    at += static_cast<size_t>(std::countr_zero(rest));
    while (level > 0) {
      --level;
      at = at * 64 + static_cast<size_t>(std::countr_zero(levels_[level][at]));
    }
    return static_cast<uint32_t>(at);
  }
  return count_;
}

DueWheel::Lists::Lists(uint32_t count)
    : all(static_cast<SlotChains*>(::operator new[](count * sizeof(SlotChains)))), used(count) {}

void DueWheel::Lists::push(RecordTable& table, uint32_t at, uint32_t slot) {
  if (!used.test(at)) {
    used.set(at);
    new (&all[at]) SlotChains{};
  }
  all[at].push_back(table, slot);
}

DueWheel::DueWheel(RecordTable& table, uint32_t now_tick) : table_(table), position_(now_tick) {}

void DueWheel::schedule(uint32_t slot) {
  ++count_;
  const uint32_t due = table_[slot].due;
  const int32_t ahead = ticks_until(position_, due);
  const uint32_t span = due >> kNearBits;
  if (ahead <= 0) {
    ready_.push_back(table_, slot);
  } else if (ahead <= static_cast<int32_t>(kNear) && !far_.used.test(span)) {
    set_out(slot, due);
  } else {
    far_.push(table_, span, slot);
  }
}

// First the list is fetched, then, when that has come, its last record.
void DueWheel::set_out(uint32_t slot, uint32_t due) {
  if (set_out_ - arrived_ == kUnderWay) arrive();
  under_way_[set_out_ % kUnderWay] = {slot, due};
  const auto* const list = reinterpret_cast<const char*>(&near_[due % kNear]);
  __builtin_prefetch(list, 1);
  __builtin_prefetch(list + sizeof(SlotChains) - 1, 1);  // it may lie in two lines
  ++set_out_;
  if (set_out_ - arrived_ < kUnderWay / 2) return;
  const uint32_t at = under_way_[(set_out_ - kUnderWay / 2) % kUnderWay].due % kNear;
  if (near_.used.test(at) && near_[at].count >= SlotChains::kChains)
    __builtin_prefetch(&table_[near_[at].tail()], 1);
}

void DueWheel::arrive() {
  const UnderWay& next = under_way_[arrived_++ % kUnderWay];
  near_.push(table_, next.due % kNear, next.slot);
}

void DueWheel::arrive_all() {
  while (arrived_ != set_out_) arrive();
}

std::optional<DueWheel::Event> DueWheel::next_event() const {
  const uint32_t at = position_ % kNear;
  const uint32_t begin = position_ - at;
  if (const uint32_t tick = near_.used.first(at + 1); tick < kNear)
    return Event{false, begin + tick};
  // A span is dealt out before the first of its ticks is taken.
  const uint32_t here = position_ >> kNearBits;
  uint32_t span = far_.used.first(here + 1);
  if (span == kFar) span = far_.used.first(0);  // ticks wrap
  const uint32_t tick = near_.used.first(0);    // of the next span
  if (span == kFar && tick == kNear) return std::nullopt;
  if (span == kFar || (tick < kNear && span != (here + 1) % kFar))
    return Event{false, begin + kNear + tick};
  return Event{true, span << kNearBits};
}

bool DueWheel::advance(uint32_t now_tick, uint32_t budget, absl::FunctionRef<void(uint32_t)> take) {
  assert(budget >= 1);
  if (ticks_until(position_, now_tick) < 0) now_tick = position_;
  for (;;) {
    for (; !ready_.empty() && budget != 0; --budget) {
      --count_;
      take(ready_.pop_front(table_));
    }
    if (!ready_.empty()) return false;
    arrive_all();
    const std::optional<Event> event = next_event();
    if (!event || ticks_until(event->tick, now_tick) < 0) {
      position_ = now_tick;
      return true;
    }
    if (budget == 0) return false;
    if (!event->far) {
      // All are due at this very tick: no record needs to be looked at.
      ready_ = near_[event->tick % kNear];
      ready_.prefetch(table_);
      near_.used.clear(event->tick % kNear);
      position_ = event->tick;
      continue;
    }
    // While a span is dealt out, time stands just before it: a record that is scheduled between two
    // calls goes behind its elders of the same span, or is overdue.
    position_ = event->tick - 1;
    const uint32_t span = event->tick >> kNearBits;
    SlotChains& from = far_[span];
    for (; !from.empty() && budget != 0; --budget) {
      const uint32_t slot = from.pop_front(table_);
      set_out(slot, table_[slot].due);
    }
    arrive_all();
    if (!from.empty()) return false;
    far_.used.clear(span);
  }
}

// The next list to be sifted.
bool DueWheel::next_list(Sifted& at) {
  Lists& lists = at.far ? far_ : near_;
  const uint32_t count = at.far ? kFar : kNear;
  at.index = lists.used.first(at.begun ? at.index + 1 : 0);
  at.begun = true;
  if (at.index < count) {
    at.left = lists[at.index].count;
    return true;
  }
  if (!at.far) return false;
  at = Sifted{};
  at.far = false;
  return true;
}

std::optional<uint32_t> DueWheel::next_due() const {
  if (!ready_.empty()) return position_;
  std::optional<uint32_t> next;
  if (const std::optional<Event> event = next_event()) next = event->tick;
  for (uint32_t i = arrived_; i != set_out_; ++i) {
    const uint32_t due = under_way_[i % kUnderWay].due;
    if (!next || ticks_until(due, *next) > 0) next = due;
  }
  return next;
}

}  // namespace veredus::queue
