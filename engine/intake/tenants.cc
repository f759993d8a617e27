#include "engine/intake/tenants.h"

#include <algorithm>
#include <cassert>

namespace veredus::intake {

std::string Tenant::waiting_setting() const {
  return quota_.own_waiting ? "tenants." + name_ + ".waiting" : "limits.tenant_waiting";
}
std::string Tenant::bytes_setting() const {
  return quota_.own_bytes ? "tenants." + name_ + ".bytes" : "limits.tenant_bytes";
}

Tenant::Use Tenant::count() {
  Use use{coming_, coming_bytes_};
  for (auto at = batches_.begin(); at != batches_.end();) {
    const queue::LiveBatch& live = *at->second;
    if (live.tally.finals() >= live.accepted) {
      at = batches_.erase(at);
      continue;
    }
    use.waiting += live.accepted - std::min(live.accepted, live.tally.settled());
    use.bytes += live.stored_bytes();
    ++at;
  }
  return use;
}

bool Tenant::reserve_recipient() {
  if (quota_.waiting != 0) {
    if (room_ == 0) room_ = quota_.waiting - std::min(quota_.waiting, count().waiting);
    if (room_ == 0) return false;
    --room_;
  }
  ++coming_;
  return true;
}

bool Tenant::reserve_bytes(uint64_t bytes) {
  if (quota_.bytes != 0) {
    if (bytes_room_ < bytes) bytes_room_ = quota_.bytes - std::min(quota_.bytes, count().bytes);
    if (bytes_room_ < bytes) return false;
    bytes_room_ -= bytes;
  }
  coming_bytes_ += bytes;
  return true;
}

void Tenant::release(uint64_t recipients, uint64_t bytes) {
  assert(recipients <= coming_ && bytes <= coming_bytes_);
  coming_ -= recipients;
  coming_bytes_ -= bytes;
}

void Tenant::add(BatchPtr live) {
  if (live->tally.finals() >= live->accepted) return;
  const uint64_t number = live->batch.number;
  batches_.emplace(number, std::move(live));
}

void Tenant::set_quota(const TenantQuota& quota) {
  quota_ = quota;
  room_ = bytes_room_ = 0;  // counted again when somebody asks
}

void Tenants::set_quotas(const TenantQuotas& quotas) {
  quotas_ = quotas;
  std::erase_if(tenants_, [this](const auto& entry) { return !quota_of(entry.first).bounds(); });
  for (const auto& [name, tenant] : tenants_) tenant->set_quota(quota_of(name));
  for (const auto& [name, quota] : quotas_.of) {
    if (quota.bounds()) tenants_.try_emplace(name, std::make_shared<Tenant>(name, quota));
  }
}

const TenantQuota& Tenants::quota_of(std::string_view name) const {
  const auto named = quotas_.of.find(name);
  return named == quotas_.of.end() ? quotas_.each : named->second;
}

std::shared_ptr<Tenant> Tenants::of(std::string_view name) {
  const auto found = tenants_.find(name);
  if (found != tenants_.end()) return found->second;
  const TenantQuota& quota = quota_of(name);
  if (!quota.bounds()) return nullptr;
  // Feeders name tenants as they like: those that have nothing here do not pile up.
  if (tenants_.size() >= look_for_idle_at_) {
    std::erase_if(tenants_, [this](const auto& entry) {
      return entry.second.use_count() == 1 && !quotas_.of.contains(entry.first) &&
             entry.second->idle();
    });
    look_for_idle_at_ = std::max<size_t>(64, 2 * tenants_.size());
  }
  return tenants_.emplace(name, std::make_shared<Tenant>(std::string(name), quota)).first->second;
}

void Tenants::add(const Tenant::BatchPtr& live) {
  if (const std::shared_ptr<Tenant> tenant = of(live->batch.tenant)) tenant->add(live);
}

void Tenants::remove(const queue::LiveBatch& live) {
  const auto found = tenants_.find(live.batch.tenant);
  if (found != tenants_.end()) found->second->remove(live.batch.number);
}

void Tenants::for_each(const std::function<void(Tenant&)>& visit) const {
  for (const auto& [name, tenant] : tenants_) visit(*tenant);
}

}  // namespace veredus::intake
