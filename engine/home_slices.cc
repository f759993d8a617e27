// By which source, and on which shard, the next one leaves.

#include <algorithm>

#include "engine/home.h"

namespace veredus {

namespace {
constexpr uint64_t kPassOfOne = 1 << 20;  // of a ticket at weight 1
}

// Null: no pool has that name any more; it waits for one.
const SourcePool* Home::pool_of(const Line& line) const {
  return shard_.policy->pool_named(shares_[line.share].pool);
}

// The source that has had least by its weight, of those with room: what one cannot take goes by
// the others.
int Home::slice_with_room(HomeLane& lane, Line& line) {
  const SourcePool* const pool = pool_of(line);
  if (pool == nullptr) return -1;
  if (pool->members.size() == 1)
    return slice_of_source(lane, line, static_cast<uint16_t>(pool->members[0].source));
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
  if (shard_.policy->sources[source].removed || shard_.exchange.source_missing(source) ||
      suspension_of(lane, line, source) != nullptr)
    return -1;
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

const Provider& Home::provider_of(HomeLane& lane) {
  if (lane.policy_version != shard_.policy->version) {
    lane.provider = &shard_.policy->provider_of(*lane.site);
    lane.policy_version = shard_.policy->version;
  }
  return *lane.provider;
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
    extent.end_mono_ns = extent.batch->expires_mono_ns(shard_.policy->providers[0].retry, 0);
  }
  ends_at(shard_.mono_ns);
  wake_all_lanes();
}

void Home::wake_all_lanes() {
  std::vector<uint32_t> sites;
  for (const auto& [number, lane] : lanes_) {
    if (lane->ready > 0 && !lane->active) sites.push_back(number);
  }
  std::sort(sites.begin(), sites.end());
  for (const uint32_t site : sites) activate_lane(*lanes_[site]);
}

void Home::window(const WindowMessage& message) {
  const auto found = lanes_.find(message.site);
  if (found == lanes_.end()) return;
  HomeLane& lane = *found->second;
  lane.slices[slice_at(lane, message.source, message.from)].window = message.window;
  activate_lane(lane);
}

}  // namespace veredus
