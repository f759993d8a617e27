// By which source, and on which shard, the next one leaves.

#include <algorithm>
#include <cmath>

#include "engine/home.h"

namespace veredus {

namespace {
constexpr uint64_t kPassOfOne = 1 << 20;  // of a ticket at weight 1
constexpr uint32_t kConnectionsEach = 4;  // that a limit leaves to each shard, at least
}  // namespace

// The source that has had least by its weight, of those with room: what one cannot take goes by
// the others. `room`: so many may leave by it before this is asked again.
int Home::slice_with_room(HomeLane& lane, Line& line, uint32_t& room) {
  const Share& share = share_in_force(line.share);
  const SourcePool* const pool = share.sources;
  room = 1;
  if (pool == nullptr) return -1;  // it waits for one of that name
  if (pool->members.size() == 1) {
    const int only = slice_of_source(lane, line, static_cast<uint16_t>(pool->members[0].source));
    const auto at = static_cast<size_t>(only);
    if (only >= 0 && (!lane.hot || shard_.exchange.shards() == 1))
      room = lane.slices[at].window - line.out_of(at);
    return only;
  }
  if (pool->sticky) return slice_of_sticky(lane, line, share);
  if (line.passes.empty() || line.passes_version != shard_.policy->version)
    begin_passes(line, *pool);
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

// Most lines are short, and begin anew with each message to a quiet site: so each begins as if it
// had gone on for long. The least of such times falls to each member as often as its weight says.
void Home::begin_passes(Line& line, const SourcePool& pool) {
  line.passes_version = shard_.policy->version;
  line.passes.clear();
  for (const SourcePool::Member& member : pool.members) {
    const double times = -std::log(1 - shard_.random.unit()) / member.weight;
    line.passes.push_back(static_cast<uint64_t>(times * kPassOfOne));
  }
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

// Shards that a hot site uses. Where few connections are allowed a shard would have one now and
// then, and what is urgent there would have to wait for it, while others free theirs.
unsigned Home::shards_of_use(HomeLane& lane, uint16_t source) const {
  const unsigned shards = shard_.exchange.shards();
  unsigned most = shards;
  for (const uint32_t connections : {provider_of(lane).per_source.connections,
                                     shard_.policy->sources[source].limits.connections}) {
    if (connections != 0) most = std::min(most, std::max(1u, connections / kConnectionsEach));
  }
  return most;
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
  const unsigned used = shards_of_use(lane, source);
  uint32_t window = UINT32_MAX;
  for (unsigned i = 0; i < used; ++i) {
    const Slice& slice =
        lane.slices[slice_at(lane, source, static_cast<uint16_t>((owner + i) % shards))];
    if (slice.down_until_mono_ns <= shard_.mono_ns) window = std::min(window, slice.window);
  }
  int best = -1;
  for (unsigned i = 0; i < used; ++i) {
    const unsigned at = slice_at(lane, source, static_cast<uint16_t>((owner + i) % shards));
    if (lane.slices[at].down_until_mono_ns > shard_.mono_ns) continue;
    if (line.out_of(at) >= window) continue;
    if (best < 0 || line.out_of(at) < line.out_of(static_cast<size_t>(best)))
      best = static_cast<int>(at);
  }
  return best;
}

}  // namespace veredus
