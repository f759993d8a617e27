#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/limits.h"
#include "engine/store.h"
#include "queue/fair_order.h"
#include "queue/ticket.h"

namespace veredus {

// What waits in a lane for its transaction: by priority band, and within a band by tenant. The
// highest band is served first, and now and then the lowest, so that nothing starves; tenants of a
// band share it by their weights, whoever has how much waiting (queue/fair_order.h).
class LaneQueue {
 public:
  struct Tenant {
    uint32_t id = 0;
    uint32_t weight = 1;
    uint8_t band = 0;
    bool blocked = false;  // waits for a limit of its own, in whose line it has this key
    Resource lacks = Resource::connections;
    WorkList works;
    Scope* scope = nullptr;  // with limits of its own; null: none
    WaitLine::Key key;
  };

  explicit LaneQueue(TenantPasses& passes) { use(passes); }
  // From now on tenants are ordered by these, which outlive the queue or the next call. Nobody may
  // be blocked.
  void use(TenantPasses& passes);

  // Puts it behind its tenant's others, or in front of them. The weight is looked at when the
  // tenant comes in.
  void push(Work* work, uint32_t tenant, uint32_t weight);
  void push_front(Work* work, uint32_t tenant, uint32_t weight);

  // Whose turn it is: null when nothing waits, or all who wait are blocked. Choosing again gives
  // the same, until somebody is charged, comes or goes.
  Tenant* choose();
  // What the one whose turn it is has had for his weight; 0 when there is none.
  uint64_t pass();
  // Somebody who waits, of the highest band; null when nobody does.
  const Work* first() const;
  // Takes the first of the chosen tenant.
  Work* pop(Tenant& tenant);
  // It had so many recipients sent to. It may go by that, if nothing of it waits.
  void charge(Tenant& tenant, uint32_t recipients);
  void block(Tenant& tenant);
  void unblock(uint32_t tenant);
  template <class Look>
  void each_blocked(Look&& look) {
    for (Band& band : bands_) {
      for (Tenant& tenant : band.tenants) {
        if (tenant.blocked) look(tenant);
      }
    }
  }

  // Of each band, highest first, each tenant that has something waiting, by number.
  template <class Look>
  void each_tenant(Look&& look) const {
    for (const Band& band : bands_) {
      for (const Tenant& tenant : band.tenants) look(tenant);
    }
  }

  uint32_t total() const { return total_; }
  bool empty() const { return total_ == 0; }
  // Something urgent waits that is not blocked.
  bool urgent() const { return !bands_[0].order->empty(); }
  uint32_t urgent_total() const { return urgent_; }
  // All that waits of a tenant that is not blocked.
  template <class Take>
  void take_tenant(uint32_t id, Take&& take) {
    for (Band& band : bands_) {
      Tenant* const tenant = find(band, id);
      if (tenant == nullptr || tenant->blocked) continue;
      while (!tenant->works.empty()) take(*pop(*tenant));
      band.order->deactivate(id);
      band.tenants.erase(band.tenants.begin() + (tenant - band.tenants.data()));
    }
  }
  // What `take` says yes to and takes, of all that waits, in order. `gone`: of a tenant that was
  // blocked nothing is left.
  template <class Take, class Gone>
  void take_some(Take&& take, Gone&& gone) {
    for (Band& band : bands_) {
      for (Tenant& tenant : band.tenants) {
        WorkList kept;
        while (!tenant.works.empty()) {
          Work& work = *tenant.works.pop_front();
          if (!take(work)) kept.push_back(&work);
        }
        tenant.works = kept;
        if (!kept.empty()) continue;
        if (tenant.blocked) {
          gone(tenant);
        } else {
          band.order->deactivate(tenant.id);
        }
      }
      std::erase_if(band.tenants, [](const Tenant& tenant) { return tenant.works.empty(); });
    }
    count();
  }
  // All that waits, in order; it is empty then.
  template <class Take>
  void take_all(Take&& take) {
    for (Band& band : bands_) {
      for (Tenant& tenant : band.tenants) {
        while (!tenant.works.empty()) take(*pop(tenant));
        if (!tenant.blocked) band.order->deactivate(tenant.id);
      }
      band.tenants.clear();
    }
  }

 private:
  struct Band {
    std::vector<Tenant> tenants;                      // that have something waiting, by id
    std::optional<queue::FairOrder<uint32_t>> order;  // those of them that are not blocked
  };
  static constexpr uint32_t kLowestFirstEvery = 16;

  void count();
  Tenant& tenant_of(uint8_t band, uint32_t id, uint32_t weight);
  Tenant* find(Band& band, uint32_t id);
  Band* next_band();

  std::array<Band, queue::kBands> bands_;
  uint32_t total_ = 0;
  uint32_t urgent_ = 0;  // of those
  uint32_t turns_ = 0;   // chosen and charged, for aging between bands
};

}  // namespace veredus
