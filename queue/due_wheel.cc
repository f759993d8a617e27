#include "queue/due_wheel.h"

#include <bit>
#include <cassert>

namespace veredus::queue {
namespace {

// First set bit at or after `from`, or 256.
unsigned first_set(const std::array<uint64_t, 4>& bits, unsigned from) {
  for (unsigned word = from / 64; word < 4; ++word) {
    const uint64_t rest = word == from / 64 ? bits[word] >> (from % 64) << (from % 64) : bits[word];
    if (rest != 0) return word * 64 + static_cast<unsigned>(std::countr_zero(rest));
  }
  return 256;
}

}  // namespace

DueWheel::DueWheel(RecordTable& table, uint32_t now_tick) : table_(table), position_(now_tick) {}

void DueWheel::schedule(uint32_t slot) {
  ++count_;
  place(slot, position_);
}

void DueWheel::place(uint32_t slot, uint32_t position) {
  const uint32_t due = table_[slot].due;
  if (ticks_until(position, due) <= 0) {
    ready_.push_back(table_, slot);
    return;
  }
  const unsigned level =
      (31u - static_cast<unsigned>(std::countl_zero(due ^ position))) / kSlotBits;
  const unsigned index = (due >> (level * kSlotBits)) & (kSlots - 1);
  slots_[level][index].push_back(table_, slot);
  occupied_[level][index / 64] |= uint64_t{1} << (index % 64);
}

std::optional<DueWheel::Event> DueWheel::next_event() const {
  // What lies in a level begins after everything of the levels below: the first level with
  // something has it.
  for (unsigned level = 0; level < kLevels; ++level) {
    const unsigned shift = level * kSlotBits;
    const unsigned at = (position_ >> shift) & (kSlots - 1);
    unsigned index = at + 1 < kSlots ? first_set(occupied_[level], at + 1) : kSlots;
    if (index == kSlots && level == kLevels - 1) index = first_set(occupied_[level], 0);  // wraps
    if (index == kSlots) continue;
    const uint32_t block =
        level == kLevels - 1 ? 0 : position_ >> (shift + kSlotBits) << (shift + kSlotBits);
    return Event{level, block | (index << shift)};
  }
  return std::nullopt;
}

bool DueWheel::cascade(const Event& event, uint32_t& budget) {
  const unsigned index = (event.tick >> (event.level * kSlotBits)) & (kSlots - 1);
  SlotFifo& from = slots_[event.level][index];
  if (event.level == 0) {
    // All are due at this very tick: no record needs to be looked at.
    ready_.splice(table_, from);
  } else {
    while (!from.empty() && budget != 0) {
      place(from.pop_front(table_), event.tick);
      --budget;
    }
    if (!from.empty()) return false;
  }
  occupied_[event.level][index / 64] &= ~(uint64_t{1} << (index % 64));
  position_ = event.tick;
  return true;
}

bool DueWheel::advance(uint32_t now_tick, uint32_t budget, SlotFifo& out) {
  assert(budget >= 1);
  if (ticks_until(position_, now_tick) < 0) now_tick = position_;
  for (;;) {
    if (ready_.count <= budget) {
      budget -= ready_.count;
      count_ -= ready_.count;
      out.splice(table_, ready_);
    } else {
      count_ -= budget;
      for (; budget != 0; --budget) out.push_back(table_, ready_.pop_front(table_));
      return false;
    }
    const std::optional<Event> event = next_event();
    if (!event || ticks_until(event->tick, now_tick) < 0) {
      position_ = now_tick;
      return true;
    }
    if (budget == 0) return false;
    // While a slot is being emptied, time stands just before it: a record that is scheduled between
    // two calls goes behind its elders of the same slot, or is overdue.
    position_ = event->tick - 1;
    if (!cascade(*event, budget)) return false;
  }
}

// The next list to be sifted; records move down only, so the highest level is first.
bool DueWheel::next_list(Sifted& at) const {
  for (;;) {
    if (at.index == kSlots) {
      if (at.level == 0) return false;
      --at.level;
      at.index = 0;
    } else {
      ++at.index;
    }
    if (at.index == kSlots) continue;
    at.left = slots_[at.level][at.index].count;
    if (at.left > 0) return true;
  }
}

std::optional<uint32_t> DueWheel::next_due() const {
  if (!ready_.empty()) return position_;
  const std::optional<Event> event = next_event();
  if (!event) return std::nullopt;
  return event->tick;
}

}  // namespace veredus::queue
