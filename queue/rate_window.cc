#include "queue/rate_window.h"

#include <algorithm>
#include <cassert>

namespace veredus::queue {

unsigned RateWindow::place(int64_t part) {
  const int64_t place = part % int64_t{kParts};
  return static_cast<unsigned>(place < 0 ? place + kParts : place);
}

int64_t RateWindow::part_of(int64_t mono_ns) const {
  const int64_t part = mono_ns / part_ns_;
  return mono_ns % part_ns_ < 0 ? part - 1 : part;
}

void RateWindow::start(int64_t span_ns, int64_t now_mono_ns) {
  assert(span_ns >= 1);
  constexpr int64_t kPerSpan = kParts - 1;
  part_ns_ = (span_ns + kPerSpan - 1) / kPerSpan;
  newest_ = part_of(now_mono_ns);
  sum_ = 0;
  counts_.fill(0);
}

void RateWindow::respan(int64_t span_ns, int64_t now_mono_ns) {
  advance(now_mono_ns);
  const RateWindow before = *this;
  start(span_ns, now_mono_ns);
  for (unsigned age = 0; age < kParts; ++age) {
    const int64_t last = std::min(before.begins(age) + before.part_ns_ - 1, now_mono_ns);
    const int64_t new_age = newest_ - part_of(last);
    if (new_age < kParts) add_to(static_cast<unsigned>(new_age), before.count(age));
  }
}

void RateWindow::advance(int64_t now_mono_ns) {
  const int64_t newest = part_of(now_mono_ns);
  if (newest - newest_ >= kParts) {
    counts_.fill(0);
    sum_ = 0;
    newest_ = newest;
  }
  while (newest_ < newest) {
    uint64_t& count = counts_[place(++newest_)];  // of the part that is too old now
    sum_ -= count;
    count = 0;
  }
}

void RateWindow::add_to(unsigned age, uint64_t count) {
  assert(age < kParts);
  counts_[place(newest_ - age)] += count;
  sum_ += count;
}

bool RateWindow::remove(uint64_t count, int64_t granted_mono_ns) {
  const int64_t age = newest_ - part_of(granted_mono_ns);
  if (age < 0 || age >= kParts) return false;
  uint64_t& granted = counts_[place(newest_ - age)];
  assert(count <= granted);
  granted -= count;
  sum_ -= count;
  return true;
}

int64_t RateWindow::at_most_mono_ns(uint64_t most) const {
  uint64_t left = sum_;
  if (left <= most) return begins(0);
  for (unsigned age = kParts; age-- > 0;) {
    left -= count(age);
    if (left <= most) return begins(age) + counts_for_ns();
  }
  return begins(0) + counts_for_ns();
}

}  // namespace veredus::queue
