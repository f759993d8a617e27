// Lanes that nothing has gone through for long: forgotten, so that memory goes with what is sent to
// now, not with all that ever was.

#include <algorithm>

#include "engine/lane.h"

namespace veredus {

void Lanes::forget_idle() {
  if (shard_.mono_ns < next_forgetting_mono_ns_ || pinned_ > 0) return;
  // New rules and orders are taken up in the order of the list.
  if (taking_up_ != kNotTakingUp || told_left_ > 0) return;
  next_forgetting_mono_ns_ = shard_.mono_ns + kForgettingEveryNs;
  for (size_t left = std::min(kForgettingLookedAt, lanes_in_order_.size()); left > 0; --left) {
    if (forgetting_ >= lanes_in_order_.size()) forgetting_ = 0;
    if (lanes_in_order_.empty()) return;
    Lane& lane = *lanes_in_order_[forgetting_];
    if (!may_forget(lane)) {
      ++forgetting_;
      continue;
    }
    // What its homes were told of it is not true of the next one.
    for (uint16_t home = 0; home < lane.windows.size(); ++home) {
      if (lane.windows[home] != kWindowFirst) tell_window(lane, home, kWindowFirst);
    }
    lanes_in_order_[forgetting_] = lanes_in_order_.back();
    lanes_in_order_.pop_back();
    ends_.erase({lane.ends_mono_ns, {lane.site->number, lane.source}});
    Counters::take(shard_.counters.lanes);
    lanes_.erase({lane.site->number, lane.source});
  }
}

// Nothing stands in it, nothing points at it, and what it has learned is old.
bool Lanes::may_forget(const Lane& lane) const {
  const int64_t failed_ns = lane.clock.failures() > 0 ? lane.clock.until_ns() : 0;
  return std::max(lane.used_mono_ns, failed_ns) + shard_.settings.forgotten_after_ns <=
             shard_.mono_ns &&
         lane.works == 0 && lane.sessions == 0 && lane.hosts_asked == 0 && !lane.listed &&
         lane.to_come_again == 0 && !lane.unsettled && !lane.wants_place && lane.held == 0 &&
         lane.waits_for == nullptr && lane.called_by == nullptr;
}

}  // namespace veredus
