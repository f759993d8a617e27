// Which rules hold for what stands in a line: looked up once for each version of the policy.

#include <algorithm>
#include <cmath>

#include "engine/home.h"
#include "queue/crc32c.h"

namespace veredus {

namespace {

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

}  // namespace veredus
