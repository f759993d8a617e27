#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/limits.h"
#include "engine/store.h"
#include "queue/ticket.h"

namespace veredus {

// What waits in a lane for its transaction: by priority band, and within a band by tenant. The
// highest band is served first, and now and then the lowest, so that nothing starves; tenants of a
// band share it by their weights, whoever has how much waiting (stride scheduling, Waldspurger and
// Weihl 1995).
class LaneQueue {
 public:
  struct Tenant {
    uint32_t id = 0;
    uint32_t weight = 1;
    uint64_t pass = 0;  // what it has had, by its weight
    WorkList works;
    Scope* scope = nullptr;  // with limits of its own; null: none
    bool blocked = false;    // waits for one of these limits, in whose line it has this key
    WaitLine::Key key;
    Resource lacks = Resource::connections;
  };
  static constexpr uint64_t kStride = 1 << 20;  // of one recipient at weight 1

  // Puts it behind its tenant's others, or in front of them. The weight is looked at when the
  // tenant comes in.
  void push(Work* work, uint32_t tenant, uint32_t weight);
  void push_front(Work* work, uint32_t tenant, uint32_t weight);

  // Whose turn it is: null when nothing waits, or all who wait are blocked. Choosing again gives
  // the same, until somebody is charged, comes or goes.
  Tenant* choose();
  // Takes the first of the chosen tenant.
  Work* pop(Tenant& tenant);
  // It had so many recipients sent to. It may go by that, if nothing of it waits.
  void charge(Tenant& tenant, uint32_t recipients);
  void unblock(uint32_t tenant);
  template <class Look>
  void each_blocked(Look&& look) {
    for (Band& band : bands_) {
      for (Tenant& tenant : band.tenants) {
        if (tenant.blocked) look(tenant);
      }
    }
  }

  // Of each band, highest first, each tenant that has something waiting.
  template <class Look>
  void each_tenant(Look&& look) const {
    for (unsigned band = 0; band < queue::kBands; ++band) {
      for (const Tenant& tenant : bands_[band].tenants) look(band, tenant);
    }
  }

  uint32_t total() const { return total_; }
  bool empty() const { return total_ == 0; }
  // Something urgent waits.
  bool urgent() const { return !bands_[0].tenants.empty(); }
  // All that waits, in order; it is empty then.
  template <class Take>
  void take_all(Take&& take) {
    for (Band& band : bands_) {
      for (Tenant& tenant : band.tenants) {
        while (!tenant.works.empty()) {
          --total_;
          take(*tenant.works.pop_front());
        }
      }
      band.tenants.clear();
    }
  }

 private:
  struct Band {
    std::vector<Tenant> tenants;  // that have something waiting
    uint64_t now = 0;             // the least pass that was served last
  };
  static constexpr uint32_t kLowestFirstEvery = 16;

  Tenant& tenant_of(unsigned band, uint32_t id, uint32_t weight);

  std::array<Band, queue::kBands> bands_;
  uint32_t total_ = 0;
  uint32_t turns_ = 0;  // chosen and charged, for aging between bands
};

}  // namespace veredus
