#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "queue/record_table.h"

namespace veredus::queue {

// Bits of which the first one set is found quickly, however few they are.
class SlotBits {
 public:
  explicit SlotBits(uint32_t count) : count_(count) {
    for (size_t bits = count; levels_.empty() || bits > 1; bits = levels_.back().size())
      levels_.emplace_back((bits + 63) / 64);
  }
  bool test(uint32_t at) const { return (levels_[0][at / 64] >> (at % 64) & 1) != 0; }
  void set(uint32_t at) {
    for (std::vector<uint64_t>& words : levels_) {
      const bool known = words[at / 64] != 0;
      words[at / 64] |= uint64_t{1} << (at % 64);
      if (known) return;
      at /= 64;
    }
  }
  void clear(uint32_t at) {
    for (std::vector<uint64_t>& words : levels_) {
      words[at / 64] &= ~(uint64_t{1} << (at % 64));
      if (words[at / 64] != 0) return;
      at /= 64;
    }
  }
  // The first one that is set at or after `from`; the number of all bits when there is none.
  uint32_t first(uint32_t from) const;

 private:
  const uint32_t count_;
  std::vector<std::vector<uint64_t>>
      levels_;  // a bit for each word of the one before that is not 0
};

// A FIFO of records in four chains, linked by their `next`, to which they go in turn: where
// millions wait each lies anywhere in memory, and of one chain none is known before the one ahead
// of it has been read. So four are on their way at a time. A record is in one list at a time.
struct SlotChains {
  static constexpr uint32_t kChains = 4;
  std::array<uint32_t, kChains> heads{kNoSlot, kNoSlot, kNoSlot, kNoSlot};
  std::array<uint32_t, kChains> tails{kNoSlot, kNoSlot, kNoSlot, kNoSlot};
  uint32_t count = 0;
  uint32_t popped = 0;  // ever; it wraps

  bool empty() const { return count == 0; }

  // Behind which the next one goes; meaningless when there are fewer than kChains.
  uint32_t tail() const { return tails[(popped + count) % kChains]; }

  void push_back(RecordTable& table, uint32_t slot) {
    const uint32_t chain = (popped + count) % kChains;
    table[slot].next = kNoSlot;
    if (count < kChains) {
      heads[chain] = slot;
    } else {
      table[tails[chain]].next = slot;
    }
    tails[chain] = slot;
    ++count;
  }

  // Not when empty.
  uint32_t pop_front(RecordTable& table) {
    uint32_t& head = heads[popped++ % kChains];
    const uint32_t slot = head;
    Record& record = table[slot];
    head = record.next;
    record.next = kNoSlot;
    --count;
    if (head != kNoSlot) table.prefetch(head);
    return slot;
  }

  // They are popped soon.
  void prefetch(RecordTable& table) const {
    for (const uint32_t head : heads) {
      if (head != kNoSlot) table.prefetch(head);
    }
  }
};
static_assert(sizeof(SlotChains) == 40);

// When each waiting record is due: a list for each tick of 16 ms of the next 4.7 hours, so that
// nearly all records are moved once, from their list to who takes them; and a list for each such
// span after that, which is dealt out to the ticks when its time comes. 32 bits of ticks, which
// wrap: the wheel turns for ever. It takes 40 bytes for each tick at which something was ever due,
// 40 MiB at most, and 300 KiB beside; records are linked by `next`.
//
// Records come out in order of their due tick, those of the same tick in the order in which they
// were scheduled; one scheduled for a tick that has been passed comes out with those of the current
// one. There is no removal: a cancelled record is recognised when it comes out. The wheel reads
// `due` and `next` only; states are the caller's. One thread.
class DueWheel {
 public:
  static constexpr unsigned kNearBits = 20;
  static constexpr uint32_t kNear = 1u << kNearBits;        // ticks
  static constexpr uint32_t kFar = 1u << (32 - kNearBits);  // spans of kNear ticks

  // `table` outlives the wheel. `now_tick` is where time begins.
  explicit DueWheel(RecordTable& table, uint32_t now_tick = 0);

  // Puts the record in at its `due`, which must not change while it is in. Due at most
  // kTicksAheadMax ahead of the last advance; what looks later than 2^31 ticks is taken for past.
  void schedule(uint32_t slot);

  // Calls `take` with each record that is due at or before `now_tick`, moving (out, or to its tick)
  // at most `budget` ≥ 1 records. `take` may schedule, the same record too. True: all that is due
  // is out. False: the budget is spent, call again (with the same or a later tick) soon. Time never
  // goes back: an earlier tick than the last is taken for the last. The work is bounded by the
  // budget, however long the time since the last call. Where millions wait, what `take` does is
  // done while the next ones are fetched from memory.
  bool advance(uint32_t now_tick, uint32_t budget, absl::FunctionRef<void(uint32_t slot)> take);

  // Where sift() is.
  struct Sifted {
    bool far = true;  // spans are first: what leaves one goes to a tick
    bool begun = false;
    uint32_t index = 0;
    uint32_t left = 0;  // of the list at `index`, to be looked at
  };
  // Takes out, into `out`, those for whom `wanted(slot)` says so, looking at no more than `budget`
  // records a call. True: each that was in when the first call was made, and is not due, has been
  // looked at. Other calls may come between.
  template <class Wanted>
  bool sift(Sifted& at, uint32_t budget, Wanted&& wanted, SlotFifo& out) {
    arrive_all();
    while (budget > 0) {
      Lists& lists = at.far ? far_ : near_;
      if (at.left == 0 || !lists.used.test(at.index)) {
        if (!next_list(at)) return true;
        continue;
      }
      SlotChains& list = lists[at.index];
      // What has left it meanwhile went to a tick, and is met there.
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
      if (list.empty()) lists.used.clear(at.index);
    }
    return false;
  }

  // Nothing comes out before this tick (a lower bound: at it, perhaps only a span is dealt out).
  // Empty: nothing is in.
  std::optional<uint32_t> next_due() const;

  uint32_t count() const { return count_; }

 private:
  struct Free {
    void operator()(SlotChains* lists) const { ::operator delete[](lists); }
  };
  // Memory of a list is touched when it is first used.
  struct Lists {
    explicit Lists(uint32_t count);
    SlotChains& operator[](uint32_t at) { return all[at]; }
    void push(RecordTable& table, uint32_t at, uint32_t slot);
    std::unique_ptr<SlotChains[], Free> all;
    SlotBits used;  // the others hold nothing, and mean nothing
  };
  struct Event {
    bool far;
    uint32_t tick;  // that is due, or with which the span begins
  };
  // Where millions wait, a list and its last record lie anywhere in memory. They are fetched while
  // others are seen to: a record is linked so many records after it was scheduled, or when somebody
  // looks.
  static constexpr uint32_t kUnderWay = 16;
  struct UnderWay {
    uint32_t slot, due;
  };
  void set_out(uint32_t slot, uint32_t due);
  void arrive();
  void arrive_all();
  std::optional<Event> next_event() const;
  bool next_list(Sifted& at);

  RecordTable& table_;
  // Everything due at or before this tick is in ready_ or out. What is due in the kNear ticks after
  // it lies in near_, by the tick's low bits, unless its span has a list in far_, to whose end it
  // goes then: so those of a tick keep their order.
  uint32_t position_;
  uint32_t count_ = 0;
  SlotChains ready_;
  // On their way to near_, in order; counted without end.
  std::array<UnderWay, kUnderWay> under_way_{};
  uint32_t arrived_ = 0, set_out_ = 0;
  Lists near_{kNear};
  Lists far_{kFar};
};

}  // namespace veredus::queue
