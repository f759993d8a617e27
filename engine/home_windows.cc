// Which rules hold for what stands in a line, and the times of the week in which it may go.

#include <algorithm>
#include <cmath>

#include "engine/home.h"
#include "queue/crc32c.h"
#include "queue/delivery_window.h"

namespace veredus {

namespace {

// The wall clock may be set meanwhile: it is looked at again.
constexpr int64_t kLookAgainNs = 600'000'000'000;

// Even, the same in every process, and other for each pair (finalizer of splitmix64, Steele et al.
// 2014).
double chance_of(std::string_view tenant, std::string_view source) {
  uint64_t bits = uint64_t{queue::crc32c(tenant)} << 32 | queue::crc32c(source);
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
  bits ^= bits >> 31;
  return (static_cast<double>(bits >> 11) + 0.5) / static_cast<double>(uint64_t{1} << 53);
}

}  // namespace

const Provider& Home::provider_of(HomeLane& lane) const {
  if (lane.policy_version != shard_.policy->version) {
    lane.provider = &shard_.policy->provider_of(*lane.site);
    lane.policy_version = shard_.policy->version;
    lane.window = {};
  }
  return *lane.provider;
}

// A tenant that keeps to one source has an order of them, by weighted rendezvous hashing
// (Schindelhauer and Schomaker 2005): when one goes or comes, only those move who were there, or
// belong there.
Home::Share& Home::share_in_force(uint32_t number) {
  Share& share = shares_[number];
  const Policy& policy = *shard_.policy;
  if (share.policy_version == policy.version) return share;
  share.policy_version = policy.version;
  share.sources = policy.pool_named(share.pool);
  const auto tenant = policy.tenants.find(share.tenant_name);
  share.tenant_policy = tenant == policy.tenants.end() ? nullptr : &tenant->second;
  share.window = {};
  share.stuck.clear();
  if (share.sources == nullptr || !share.sources->sticky) return share;
  const auto place = [&](const SourcePool::Member* member) {
    return -std::log(chance_of(share.tenant_name, policy.sources[member->source].name)) /
           member->weight;
  };
  for (const SourcePool::Member& member : share.sources->members) share.stuck.push_back(&member);
  std::sort(share.stuck.begin(), share.stuck.end(),
            [&](const auto* a, const auto* b) { return place(a) < place(b); });
  return share;
}

// When mail of that tenant may go there: 0: now. Both the receiver's window and the tenant's must
// be open.
int64_t Home::opens_wall_ns(HomeLane& lane, Share& share) {
  int64_t opens = 0;
  const auto look = [&](const std::shared_ptr<const queue::DeliveryWindows>& windows,
                        queue::WindowClock& clock) {
    if (windows == nullptr || clock.open(*windows, shard_.wall_ns)) return;
    opens = std::max(opens, clock.until_wall_ns());
  };
  look(provider_of(lane).windows, lane.window);
  if (share.tenant_policy != nullptr) look(share.tenant_policy->windows, share.window);
  return opens;
}

// True: it waits for a window, and its lane comes up again when that opens.
bool Home::shut(HomeLane& lane, const Line& line) {
  const int64_t opens = opens_wall_ns(lane, share_in_force(line.share));
  if (opens == 0) return false;
  const int64_t at = shard_.mono_ns + std::min(opens - shard_.wall_ns, kLookAgainNs);
  if (lane.opens_mono_ns <= shard_.mono_ns || at < lane.opens_mono_ns) {
    lane.opens_mono_ns = at;
    down_.emplace(at, lane.site->number);
  }
  return true;
}

}  // namespace veredus
