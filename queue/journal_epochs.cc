#include "queue/journal_epochs.h"

#include <algorithm>

namespace veredus::queue {

void Epochs::learn(const EpochMark& mark) {
  const auto [at, fresh] = marks_.try_emplace(mark.epoch, Known{mark.cut, mark.first, UINT64_MAX});
  if (!fresh) {
    if (at->second.cut <= mark.cut && at->second.first <= mark.first) return;
    // Two marks for one epoch do not happen; the careful reading is the one that brings nothing
    // back.
    at->second.cut = std::min(at->second.cut, mark.cut);
    at->second.first = std::min(at->second.first, mark.first);
  }
  settled_ = false;
}

void Epochs::settle() const {
  uint64_t lowest_cut = UINT64_MAX;
  for (auto at = marks_.rbegin(); at != marks_.rend(); ++at) {
    at->second.live_end = lowest_cut;
    lowest_cut = std::min(lowest_cut, at->second.cut);
  }
  settled_ = true;
}

uint64_t Epochs::live_end(uint32_t epoch) const {
  if (!settled_) settle();
  const auto at = marks_.find(epoch);
  if (at != marks_.end()) return at->second.live_end;
  uint64_t end = UINT64_MAX;
  for (auto later = marks_.upper_bound(epoch); later != marks_.end(); ++later) {
    end = std::min(end, later->second.cut);
  }
  return end;
}

uint64_t Epochs::after(uint64_t sequence) const {
  if (!settled_) settle();
  const uint64_t next = sequence + 1;
  for (const auto& [epoch, known] : marks_) {
    if (known.first >= known.live_end || known.live_end <= next) continue;
    return std::max(next, known.first);
  }
  return next;
}

uint64_t Epochs::lowest() const {
  return after(0);
}

}  // namespace veredus::queue
