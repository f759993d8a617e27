#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "queue/live_batch.h"

// How much of the engine one tenant may take up.
//
// Waiting: the recipients of the tenant's batches that are neither settled nor held, and those of
// its uploads under way. Bytes: of the tenant's batches of which somebody still waits or is held,
// the messages and the recipients' entries as they lie in the journals (a recipient's own message
// is part of its entry), whole until the last recipient is settled, for so long they stay in the
// spool; and those of its uploads under way.
//
// A tenant is counted when the room of the last count is used up, not for every outcome: what is
// settled meanwhile shows at the next count, and room is never overstated but by what an operator
// lets out of hold.

namespace veredus::intake {

// 0: no bound.
struct TenantQuota {
  uint64_t waiting = 0;  // recipients
  uint64_t bytes = 0;
  bool own_waiting = false, own_bytes = false;  // set for this tenant, not for all
  bool bounds() const { return waiting != 0 || bytes != 0; }
  bool operator==(const TenantQuota&) const = default;
};
struct TenantQuotas {
  TenantQuota each;                                    // of tenants not named in `of`
  std::map<std::string, TenantQuota, std::less<>> of;  // by name, complete
  bool operator==(const TenantQuotas&) const = default;
};

// A tenant that has a quota.
class Tenant {
 public:
  using BatchPtr = std::shared_ptr<const queue::LiveBatch>;
  struct Use {
    uint64_t waiting = 0, bytes = 0;
  };
  Tenant(std::string name, const TenantQuota& quota) : name_(std::move(name)), quota_(quota) {}

  const std::string& name() const { return name_; }
  const TenantQuota& quota() const { return quota_; }
  // Holds from now on, for uploads under way, too.
  void set_quota(const TenantQuota& quota);
  // The setting behind each bound.
  std::string waiting_setting() const;
  std::string bytes_setting() const;

  // What an upload brings. False: there is no room, and nothing is taken.
  bool reserve_recipient();
  bool reserve_bytes(uint64_t bytes);
  // The upload is over: it was given up, or its batch exists and is added.
  void release(uint64_t recipients, uint64_t bytes);
  void add(BatchPtr live);
  void remove(uint64_t number) { batches_.erase(number); }

  Use count();
  bool idle() { return coming_ == 0 && coming_bytes_ == 0 && (count(), batches_.empty()); }

 private:
  const std::string name_;
  TenantQuota quota_;
  std::map<uint64_t, BatchPtr> batches_;    // by number; finished ones go at the next count
  uint64_t coming_ = 0, coming_bytes_ = 0;  // of uploads
  uint64_t room_ = 0, bytes_room_ = 0;      // left of the last count
};

class Tenants {
 public:
  explicit Tenants(const TenantQuotas& quotas) { set_quotas(quotas); }

  // Who has none any more is not counted. Who has one now is, once his batches have been added
  // (again: that does no harm); an upload of his under way when its batch is there.
  void set_quotas(const TenantQuotas& quotas);
  const TenantQuotas& quotas() const { return quotas_; }

  // Null: it has no quota, and nothing is counted.
  std::shared_ptr<Tenant> of(std::string_view name);
  // A batch that exists; one that is forgotten.
  void add(const Tenant::BatchPtr& live);
  void remove(const queue::LiveBatch& live);
  // Those with a quota that are named in the configuration or have something here, by name.
  void for_each(const std::function<void(Tenant&)>& visit) const;

 private:
  const TenantQuota& quota_of(std::string_view name) const;
  TenantQuotas quotas_;
  std::map<std::string, std::shared_ptr<Tenant>, std::less<>> tenants_;
  size_t look_for_idle_at_ = 64;  // tenants
};

}  // namespace veredus::intake
