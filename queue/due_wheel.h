#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "queue/record_table.h"

namespace veredus::queue {

// When each waiting record is due: a hierarchical timing wheel of 4 levels × 256 slots over ticks
// of 16 ms. 32 bits of ticks, which wrap: the wheel turns for ever. Its memory is fixed (12 KiB),
// whatever it holds; records are linked by `next`.
//
// Records come out in order of their due tick, those of the same tick in the order in which they
// were scheduled; one scheduled for a tick that has been passed comes out with those of the current
// one. There is no removal: a cancelled record is recognised when it comes out. The wheel reads
// `due` and `next` only; states are the caller's. One thread.
class DueWheel {
 public:
  static constexpr unsigned kLevels = 4;
  static constexpr unsigned kSlotBits = 8;
  static constexpr unsigned kSlots = 1u << kSlotBits;

  // `table` outlives the wheel. `now_tick` is where time begins.
  explicit DueWheel(RecordTable& table, uint32_t now_tick = 0);

  // Puts the record in at its `due`, which must not change while it is in. Due at most
  // kTicksAheadMax ahead of the last advance; what looks later than 2^31 ticks is taken for past.
  void schedule(uint32_t slot);

  // Appends what is due at or before `now_tick` to `out`, moving (to `out` or down a level) at most
  // `budget` ≥ 1 records. True: all that is due is out. False: the budget is spent, call again
  // (with the same or a later tick) soon. Time never goes back: an earlier tick than the last is
  // taken for the last. The work is bounded by the budget, however long the time since the last
  // call.
  bool advance(uint32_t now_tick, uint32_t budget, SlotFifo& out);

  // Where sift() is.
  struct Sifted {
    unsigned level = kLevels;  // the one looked through last; the highest is first
    unsigned index = kSlots;
    uint32_t left = 0;  // of the list at `index`, to be looked at
  };
  // Takes out, into `out`, those for whom `wanted(slot)` says so, looking at no more than `budget`
  // records a call. True: each that was in when the first call was made, and is not due, has been
  // looked at. Other calls may come between.
  template <class Wanted>
  bool sift(Sifted& at, uint32_t budget, Wanted&& wanted, SlotFifo& out) {
    while (budget > 0) {
      if (at.left == 0 && !next_list(at)) return true;
      SlotFifo& list = slots_[at.level][at.index];
      // What has left it meanwhile went to a lower level, and is met there.
      at.left = at.left < list.count ? at.left : list.count;
      for (; at.left > 0 && budget > 0; --at.left, --budget) {
        const uint32_t slot = list.pop_front(table_);
        if (wanted(slot)) {
          --count_;
          out.push_back(table_, slot);
        } else {
          list.push_back(table_, slot);
        }
      }
      if (list.empty()) occupied_[at.level][at.index / 64] &= ~(uint64_t{1} << (at.index % 64));
    }
    return false;
  }

  // Nothing comes out before this tick (a lower bound: at it, perhaps only a level is turned).
  // Empty: nothing is in.
  std::optional<uint32_t> next_due() const;

  uint32_t count() const { return count_; }

 private:
  struct Event {
    unsigned level;
    uint32_t tick;  // at which the slot begins
  };
  std::optional<Event> next_event() const;
  bool next_list(Sifted& at) const;
  void place(uint32_t slot, uint32_t position);
  bool cascade(const Event& event, uint32_t& budget);

  RecordTable& table_;
  // Everything due at or before this tick is in ready_ or out. A record with a later due lies in
  // the level of the highest byte in which its due differs from position_, in the slot of that
  // byte.
  uint32_t position_;
  uint32_t count_ = 0;
  SlotFifo ready_;
  std::array<std::array<SlotFifo, kSlots>, kLevels> slots_;
  std::array<std::array<uint64_t, kSlots / 64>, kLevels> occupied_{};  // one bit a slot
};

}  // namespace veredus::queue
