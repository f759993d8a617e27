// The times of the week in which mail may go. Homes send no tickets outside of them; what is out
// when a window closes goes home.

#include "engine/lane.h"
#include "queue/delivery_window.h"

namespace veredus {

// Of that tenant, by the rules in force.
Lanes::TenantWindows& Lanes::windows_of(const LaneQueue::Tenant& tenant) {
  if (tenant.id >= tenant_windows_.size()) tenant_windows_.resize(tenant.id + 1);
  TenantWindows& mine = tenant_windows_[tenant.id];
  if (mine.policy_version == shard_.policy->version) return mine;
  mine = TenantWindows();
  mine.policy_version = shard_.policy->version;
  const auto& tenants = shard_.policy->tenants;
  const auto known = tenants.find(tenant.works.head->batch->batch.tenant);
  if (known != tenants.end()) mine.windows = known->second.windows;
  return mine;
}

// When the receiver's window opens, wall time; 0: it is open.
int64_t Lanes::opens_wall_ns(Lane& lane) {
  const auto& windows = lane.provider->windows;
  if (windows == nullptr || lane.window.open(*windows, shard_.wall_ns)) return 0;
  return lane.window.until_wall_ns();
}

// True: a window is closed; what waits for it has gone home.
bool Lanes::shut(Lane& lane, const LaneQueue::Tenant& tenant) {
  if (opens_wall_ns(lane) != 0) {
    give_back_waiting(lane);
    return true;
  }
  TenantWindows& own = windows_of(tenant);
  if (own.windows == nullptr || own.clock.open(*own.windows, shard_.wall_ns)) return false;
  lane.waiting.take_tenant(tenant.id, [this](Work& work) { give_back_unsent(work); });
  return true;
}

}  // namespace veredus
