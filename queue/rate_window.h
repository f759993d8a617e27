#pragma once

#include <array>
#include <cstdint>

namespace veredus::queue {

// How many were granted within the span that ends now: counts by parts of it, in fixed memory
// (some 550 bytes), whatever the span and the numbers. Never too few: a part counts as long as
// anything in it might lie within the span, so what was granted counts for one part longer at most.
class RateWindow {
 public:
  static constexpr unsigned kParts = 65;  // 64 make a span; the newest has only begun

  // Begins empty. `span_ns` ≥ 1.
  void start(int64_t span_ns, int64_t now_mono_ns);
  // Another span, without forgetting what was granted: each part as if all of it were granted at
  // the part's end, or now.
  void respan(int64_t span_ns, int64_t now_mono_ns);
  // Time goes on; it never goes back.
  void advance(int64_t now_mono_ns);

  void add(uint64_t count) { add_to(0, count); }  // at the moment of the last advance()
  void add_to(unsigned age, uint64_t count);      // 0: the newest part
  // Of what was granted at that moment, `count` were not used. False: it counts no longer.
  bool remove(uint64_t count, int64_t granted_mono_ns);

  uint64_t sum() const { return sum_; }
  uint64_t count(unsigned age) const { return counts_[place(newest_ - age)]; }
  int64_t begins(unsigned age) const { return (newest_ - age) * part_ns_; }
  int64_t part_ns() const { return part_ns_; }
  // So long what was granted at the beginning of a part counts; the longest there is.
  int64_t counts_for_ns() const { return kParts * part_ns_; }
  // When the sum will be `most` or less if nothing is added; a moment that has passed: it is.
  int64_t at_most_mono_ns(uint64_t most) const;

 private:
  static unsigned place(int64_t part);
  int64_t part_of(int64_t mono_ns) const;

  int64_t part_ns_ = 1;
  int64_t newest_ = 0;  // parts are numbered from moment 0 of the clock
  uint64_t sum_ = 0;
  std::array<uint64_t, kParts> counts_{};
};

}  // namespace veredus::queue
