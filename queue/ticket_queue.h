#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "queue/ticket.h"

namespace veredus::queue {

inline constexpr size_t kCacheLine = 64;

// A bounded ring of one band: many producers, one consumer, FIFO in the order in which cells were
// claimed.
//
// Producers claim a run of cells with one compare-exchange on `tail_`, write the items, then mark
// each cell with its position. The consumer takes a cell when it bears the mark of the position
// that it expects, and says how far it has read in `head_`. It never writes to a cell, so a lap
// costs one transfer of each cache line instead of two.
//
// No lock, no allocation after construction. A producer that the kernel stops between claim and
// mark delays what was claimed behind it in this ring; it stops neither other producers nor the
// consumer's other rings.
template <class T>
class MpscRing {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(std::is_nothrow_default_constructible_v<T>);

 public:
  // `capacity` is rounded up to a power of two; 1 … 2^30. Positions count from `start`, which
  // matters to nobody but a test of their wrap.
  explicit MpscRing(size_t capacity, uint64_t start = 0)
      : mask_(std::bit_ceil(capacity) - 1),
        cells_(std::make_unique<Cell[]>(mask_ + 1)),
        tail_(start),
        head_seen_(start),
        head_(start),
        next_(start) {
    assert(capacity >= 1 && capacity <= size_t{1} << 30);
  }

  size_t capacity() const noexcept { return mask_ + 1; }

  // Any thread. Claims up to `wanted` cells: `first` is the position of the first one, the result
  // how many there are (0: full). Each claimed cell must then be filled, without waiting for
  // anything in between.
  size_t claim(size_t wanted, uint64_t& first) noexcept {
    uint64_t tail = tail_.load(std::memory_order_relaxed);  // the exchange below confirms it
    for (;;) {
      // Acquire: whoever moved head_seen_ (or head_) has seen the consumer's reads of those cells
      // end, and so must we before we overwrite them.
      uint64_t head = head_seen_.load(std::memory_order_acquire);
      size_t room = room_between(tail, head);
      if (room < wanted) {
        head = head_.load(std::memory_order_acquire);
        room = room_between(tail, head);
        // Release: passes the consumer's reads on to producers that only look here. May step back
        // when two producers race; a smaller head is merely cautious. While the ring stays full
        // nothing is written, so that those who try again do not disturb each other.
        if (head != head_seen_.load(std::memory_order_relaxed)) {
          head_seen_.store(head, std::memory_order_release);
        }
      }
      const size_t taken = room < wanted ? room : wanted;
      // A stale tail shows too much room, never too little: this is truly full.
      if (taken == 0) return 0;
      // Relaxed: the exchange hands out positions, it publishes nothing; the marks do.
      if (tail_.compare_exchange_weak(tail, tail + taken, std::memory_order_relaxed,
                                      std::memory_order_relaxed)) {
        first = tail;
        return taken;
      }
    }
  }

  // The claimer only, once a position.
  void fill(uint64_t position, const T& item) noexcept {
    // A lap goes through more memory than is near: what is filled soon is fetched.
    __builtin_prefetch(&cells_[(position + kFilledSoon) & mask_], 1);
    Cell& cell = cells_[position & mask_];
    cell.item = item;
    // Release: who sees the mark sees the item.
    cell.mark.store(mark_of(position), std::memory_order_release);
  }

  // Consumer only. Is there an item to take?
  bool readable() const noexcept {
    // Acquire: pairs with fill().
    return cells_[next_ & mask_].mark.load(std::memory_order_acquire) == mark_of(next_);
  }

  // Consumer only. Takes up to out.size() items.
  size_t take(std::span<T> out) noexcept {
    size_t taken = 0;
    while (taken < out.size() && readable()) out[taken++] = cells_[next_++ & mask_].item;
    // Release: our reads of the cells end before a producer may claim them again.
    if (taken != 0) head_.store(next_, std::memory_order_release);
    return taken;
  }

  // Any thread; of a moment that may be over already. Claimed but unmarked cells count.
  size_t approximate_size() const noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? static_cast<size_t>(tail - head) : 0;
  }

 private:
  static constexpr uint64_t kFilledSoon = 8;
  struct Cell {
    std::atomic<uint32_t> mark{0};
    T item;
  };
  // Never what the cell bears from an earlier lap: laps are at most 2^30 apart and each one writes
  // every cell.
  static uint32_t mark_of(uint64_t position) noexcept {
    return static_cast<uint32_t>(position) + 1;
  }

  size_t room_between(uint64_t tail, uint64_t head) const noexcept {
    // A stale tail may be behind head: then the exchange fails anyway.
    const uint64_t used = tail > head ? tail - head : 0;
    return used > mask_ ? 0 : capacity() - static_cast<size_t>(used);
  }

  // Three lines by who writes them: nobody, producers, consumer.
  alignas(kCacheLine) const size_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(kCacheLine) std::atomic<uint64_t> tail_;  // next position to claim
  std::atomic<uint64_t> head_seen_;                 // a head_ that some producer saw
  alignas(kCacheLine) std::atomic<uint64_t> head_;  // next_ as last told to the producers
  uint64_t next_;                                   // the consumer's own
};

// The lock-free priority queue: one ring a band, band 0 first, FIFO within a band, and aging.
//
// Aging: a band that has something and from which nothing was taken while kPatience items were
// taken from others is *overdue* and gives the next item; of several overdue bands the one with the
// lower number, and each but once before all had theirs. So between two items of a band that has
// some, at most kPassedMax items of other bands are taken; with all bands always full, band 0 gives
// 14 of 17 items and each other band one. The rule counts items, not time: the same contents give
// the same order. (A band counts as having something from the look that finds it; pop() looks at
// least every kPatience + 1 items.)
//
// T is trivially copyable and has a member `band` < Bands.
template <class T, unsigned Bands = kBands>
class BandQueue {
 public:
  static constexpr uint32_t kPatience = 16;
  static constexpr uint32_t kPassedMax = kPatience + (Bands > 2 ? Bands - 2 : 0);
  static_assert(Bands >= 1 && Bands < kPatience);

  // How many of a mixed burst each band took.
  using Taken = std::array<uint32_t, Bands>;

  // Room for `capacity` items in each band (rounded up to a power of two). All memory is taken
  // here.
  explicit BandQueue(size_t capacity) : BandQueue(capacity, std::make_index_sequence<Bands>{}) {}
  BandQueue(const BandQueue&) = delete;
  BandQueue& operator=(const BandQueue&) = delete;

  // Any thread. False: the band is full, the item was not taken (its recipient waits at home).
  bool push(const T& item) noexcept {
    assert(item.band < Bands);
    MpscRing<T>& ring = rings_[item.band];
    uint64_t position = 0;
    if (ring.claim(1, position) == 0) return false;
    ring.fill(position, item);
    return true;
  }

  // Any thread. A burst whose items all are of `band`: one claim for all. Takes the first n of
  // them, in order, and returns n; n < items.size() when the band has no more room.
  size_t push(unsigned band, std::span<const T> items) noexcept {
    assert(band < Bands);
    if (items.empty()) return 0;
    MpscRing<T>& ring = rings_[band];
    uint64_t position = 0;
    const size_t taken = ring.claim(items.size(), position);
    for (size_t i = 0; i < taken; ++i) {
      assert(items[i].band == band);
      ring.fill(position + i, items[i]);
    }
    return taken;
  }

  // Any thread. A burst of mixed bands: one claim a band. Of each band b the first taken[b] items
  // are in, in order.
  Taken push(std::span<const T> items) noexcept {
    Taken taken{};
    for (const T& item : items) {
      assert(item.band < Bands);
      ++taken[item.band];
    }
    std::array<uint64_t, Bands> next{}, end{};
    for (unsigned band = 0; band < Bands; ++band) {
      if (taken[band] == 0) continue;
      taken[band] = static_cast<uint32_t>(rings_[band].claim(taken[band], next[band]));
      end[band] = next[band] + taken[band];
    }
    for (const T& item : items) {
      if (next[item.band] != end[item.band]) rings_[item.band].fill(next[item.band]++, item);
    }
    return taken;
  }

  // Consumer thread only. Takes up to out.size() items in the order above; returns how many. Never
  // waits.
  size_t pop(std::span<T> out) noexcept {
    size_t count = 0;
    while (count < out.size()) {
      const Choice choice = choose();
      if (choice.run == 0) break;
      const size_t left = out.size() - count;
      const size_t wanted = choice.run < left ? choice.run : left;
      const size_t taken = rings_[choice.band].take(out.subspan(count, wanted));
      note(choice, static_cast<uint32_t>(taken));
      count += taken;
    }
    return count;
  }

  bool pop(T& out) noexcept { return pop(std::span<T>(&out, 1)) == 1; }

  // Consumer thread only. False: something can be taken now.
  bool empty() const noexcept {
    for (const MpscRing<T>& ring : rings_) {
      if (ring.readable()) return false;
    }
    return true;
  }

  // Any thread: a figure for people and metrics, not for decisions that must be right.
  size_t approximate_size() const noexcept {
    size_t sum = 0;
    for (const MpscRing<T>& ring : rings_) sum += ring.approximate_size();
    return sum;
  }
  size_t approximate_size(unsigned band) const noexcept { return rings_[band].approximate_size(); }
  size_t capacity_per_band() const noexcept { return rings_[0].capacity(); }

 private:
  // Take up to `run` items (0: nothing is there) of `band` before looking again; `others` have
  // something, too.
  struct Choice {
    unsigned band = 0;
    uint32_t run = 0;
    std::array<bool, Bands> waiting{};
  };

  template <size_t... I>
  BandQueue(size_t capacity, std::index_sequence<I...>)
      : rings_{((void)I, MpscRing<T>(capacity))...} {}

  Choice choose() noexcept {
    Choice choice;
    unsigned first = Bands, overdue = Bands;
    for (unsigned band = 0; band < Bands; ++band) {
      choice.waiting[band] = rings_[band].readable();
      if (!choice.waiting[band]) {
        passed_[band] = 0;
        continue;
      }
      if (first == Bands) first = band;
      if (overdue == Bands && passed_[band] >= kPatience) overdue = band;
    }
    if (first == Bands) return choice;
    if (overdue != Bands) {
      choice.band = overdue;
      choice.run = 1;
      return choice;
    }
    choice.band = first;
    choice.run = kPatience + 1;
    for (unsigned band = 0; band < Bands; ++band) {
      if (band == first || !choice.waiting[band]) continue;
      const uint32_t until_overdue = kPatience - passed_[band];
      if (until_overdue < choice.run) choice.run = until_overdue;
    }
    return choice;
  }

  void note(const Choice& choice, uint32_t taken) noexcept {
    for (unsigned band = 0; band < Bands; ++band) {
      if (choice.waiting[band]) passed_[band] += taken;
    }
    passed_[choice.band] = 0;
  }

  std::array<MpscRing<T>, Bands> rings_;
  // The consumer's own: items taken from others since this band last gave one or had nothing.
  alignas(kCacheLine) std::array<uint32_t, Bands> passed_{};
};

using TicketQueue = BandQueue<Ticket>;

}  // namespace veredus::queue
