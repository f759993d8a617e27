// By which source, and on which shard, the next one leaves.

#include <algorithm>

#include "engine/home.h"

namespace veredus {

namespace {
constexpr uint64_t kPassOfOne = 1 << 20;  // of a ticket at weight 1
}

// The source that has had least by its weight, of those with room: what one cannot take goes by
// the others.
int Home::slice_with_room(HomeLane& lane, Line& line) {
  const Share& share = share_in_force(line.share);
  const SourcePool* const pool = share.sources;
  if (pool == nullptr) return -1;  // it waits for one of that name
  if (pool->members.size() == 1)
    return slice_of_source(lane, line, static_cast<uint16_t>(pool->members[0].source));
  if (pool->sticky) return slice_of_sticky(lane, line, share);
  line.passes.resize(pool->members.size());
  int best = -1;
  size_t best_member = 0;
  for (size_t member = 0; member < pool->members.size(); ++member) {
    if (best >= 0 && line.passes[member] >= line.passes[best_member]) continue;
    const int slice =
        slice_of_source(lane, line, static_cast<uint16_t>(pool->members[member].source));
    if (slice < 0) continue;
    best = slice;
    best_member = member;
  }
  if (best < 0) return -1;
  // Having had no room saves nothing up.
  const uint64_t pass = line.passes[best_member];
  for (uint64_t& other : line.passes) other = std::max(other, pass);
  line.passes[best_member] += kPassOfOne / pool->members[best_member].weight;
  return best;
}

// The tenant's own one, or the next in his order while that does not work. It waits for room there.
int Home::slice_of_sticky(HomeLane& lane, Line& line, const Share& share) {
  for (const SourcePool::Member* const member : share.stuck) {
    const auto source = static_cast<uint16_t>(member->source);
    if (works(lane, line, source)) return slice_of_source(lane, line, source);
  }
  return -1;
}

// Mail can leave by that source, though perhaps not now.
bool Home::works(HomeLane& lane, const Line& line, uint16_t source) {
  return !shard_.policy->sources[source].removed && !shard_.exchange.source_missing(source) &&
         suspension_of(lane, line, source) == nullptr;
}

unsigned Home::slice_at(HomeLane& lane, uint16_t source, uint16_t shard) {
  for (unsigned i = 0; i < lane.slices.size(); ++i) {
    if (lane.slices[i].source == source && lane.slices[i].shard == shard) return i;
  }
  Slice& made = lane.slices.emplace_back();
  made.source = source;
  made.shard = shard;
  return static_cast<unsigned>(lane.slices.size() - 1);
}

// The owner's slice first; a hot site uses all shards, the one with the fewest tickets out next:
// work goes to where it is done fastest. All of them use the narrowest window: a slice that has
// sessions already must not take up all that waits before the others have theirs.
int Home::slice_of_source(HomeLane& lane, Line& line, uint16_t source) {
  if (!works(lane, line, source)) return -1;
  const unsigned shards = shard_.exchange.shards();
  const unsigned owner = lane.site->owner;
  if (!lane.hot || shards == 1) {
    const unsigned at = slice_at(lane, source, static_cast<uint16_t>(owner));
    if (lane.slices[at].down_until_mono_ns > shard_.mono_ns) return -1;
    return line.out_of(at) < lane.slices[at].window ? static_cast<int>(at) : -1;
  }
  uint32_t window = UINT32_MAX;
  for (unsigned shard = 0; shard < shards; ++shard) {
    const Slice& slice = lane.slices[slice_at(lane, source, static_cast<uint16_t>(shard))];
    if (slice.down_until_mono_ns <= shard_.mono_ns) window = std::min(window, slice.window);
  }
  int best = -1;
  for (unsigned i = 0; i < shards; ++i) {
    const unsigned at = slice_at(lane, source, static_cast<uint16_t>((owner + i) % shards));
    if (lane.slices[at].down_until_mono_ns > shard_.mono_ns) continue;
    if (line.out_of(at) >= window) continue;
    if (best < 0 || line.out_of(at) < line.out_of(static_cast<size_t>(best)))
      best = static_cast<int>(at);
  }
  return best;
}

// No host of the site can be reached from there: nothing is sent until then, and one of each line
// at first.
void Home::lane_down(const LaneDown& message) {
  const auto found = lanes_.find(message.site);
  if (found == lanes_.end()) return;
  HomeLane& lane = *found->second;
  Slice& slice = lane.slices[slice_at(lane, message.source, message.from)];
  slice.down_until_mono_ns = message.until_mono_ns;
  slice.window = 1;
  down_.emplace(message.until_mono_ns, message.site);
}

void Home::wake_lanes() {
  if (waking_ < lanes_in_order_.size()) wake_some();
  while (!down_.empty() && down_.begin()->first <= shard_.mono_ns) {
    activate_lane(*lanes_[down_.begin()->second]);
    down_.erase(down_.begin());
  }
}

// Lanes may have room that had none: a source has come, a pool has its name again. Routes are asked
// again as their domains come up.
void Home::policy_changed() {
  // The maximum age may be another: whose time ends when is reckoned anew.
  for (Extent& extent : extents_) {
    if (extent.share == kNoShare || extent.batch == nullptr) continue;
    extent.end_mono_ns = extent.batch->expires_mono_ns(shard_.policy->strictest_retry, 0);
  }
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
