// What lets a lane that had no room come up again: a wider window, the end of its site's clock,
// other rules, a source that has come.

#include <algorithm>

#include "engine/home.h"

namespace veredus {

// No host of the site can be reached from there: nothing is sent until then, and one of each line
// at first.
void Home::lane_down(const LaneDown& message) {
  const auto found = lanes_.find(message.site);
  if (found == lanes_.end()) return;
  HomeLane& lane = *found->second;
  Slice& slice = lane.slices[slice_at(lane, message.source, message.from)];
  slice.down_until_mono_ns = message.until_mono_ns;
  slice.window = 1;
  wakes_.emplace(message.until_mono_ns, message.site);
}

void Home::wake_lanes() {
  if (waking_ < lanes_in_order_.size()) wake_some();
  while (!wakes_.empty() && wakes_.begin()->first <= shard_.mono_ns) {
    if (const auto lane = lanes_.find(wakes_.begin()->second); lane != lanes_.end())
      activate_lane(*lane->second);
    wakes_.erase(wakes_.begin());
  }
}

// Lanes may have room that had none: a pool has its name again. Routes are asked again as their
// domains come up. The maximum age may be another: whose time ends when is reckoned anew.
void Home::policy_changed() {
  ends_at(shard_.mono_ns);
  wake_all_lanes();
  // Sites that a sweep for orders has looked at may be others now.
  if (sweep_.stage != Sweep::Stage::none) begin_sweep();
}

void Home::wake_all_lanes() {
  waking_ = 0;
  more_to_do_ = true;
}

void Home::wake_some() {
  const size_t end = std::min(lanes_in_order_.size(), waking_ + share_of(kWokenPerTurn));
  for (; waking_ < end; ++waking_) activate_lane(*lanes_in_order_[waking_]);
  if (waking_ < lanes_in_order_.size()) more_to_do_ = true;
}

void Home::window(const WindowMessage& message) {
  const auto found = lanes_.find(message.site);
  if (found == lanes_.end()) return;
  HomeLane& lane = *found->second;
  lane.slices[slice_at(lane, message.source, message.from)].window = message.window;
  activate_lane(lane);
}

}  // namespace veredus
