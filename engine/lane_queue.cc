#include "engine/lane_queue.h"

#include <algorithm>

namespace veredus {

void LaneQueue::use(TenantPasses& passes) {
  for (Band& band : bands_) {
    band.order.emplace(passes);
    for (const Tenant& tenant : band.tenants) band.order->activate(tenant.id, tenant.weight);
  }
}

static auto place_of(auto& tenants, uint32_t id) {
  return std::lower_bound(tenants.begin(), tenants.end(), id,
                          [](const auto& tenant, uint32_t key) { return tenant.id < key; });
}

LaneQueue::Tenant* LaneQueue::find(Band& band, uint32_t id) {
  const auto found = place_of(band.tenants, id);
  return found != band.tenants.end() && found->id == id ? &*found : nullptr;
}

LaneQueue::Tenant& LaneQueue::tenant_of(uint8_t band_number, uint32_t id, uint32_t weight) {
  Band& band = bands_[band_number];
  const auto found = place_of(band.tenants, id);
  if (found != band.tenants.end() && found->id == id) return *found;
  Tenant& tenant = *band.tenants.emplace(found);
  tenant.id = id;
  tenant.weight = weight;
  tenant.band = band_number;
  band.order->activate(id, weight);
  return tenant;
}

void LaneQueue::push(Work* work, uint32_t tenant, uint32_t weight) {
  tenant_of(work->ticket.band, tenant, weight).works.push_back(work);
  ++total_;
  if (work->ticket.band == 0) ++urgent_;
}

void LaneQueue::push_front(Work* work, uint32_t tenant, uint32_t weight) {
  tenant_of(work->ticket.band, tenant, weight).works.push_front(work);
  ++total_;
  if (work->ticket.band == 0) ++urgent_;
}

void LaneQueue::count() {
  total_ = urgent_ = 0;
  for (const Band& band : bands_) {
    for (const Tenant& tenant : band.tenants) {
      total_ += tenant.works.count;
      if (tenant.band == 0) urgent_ += tenant.works.count;
    }
  }
}

LaneQueue::Band* LaneQueue::next_band() {
  const bool lowest_first = turns_ % kLowestFirstEvery == kLowestFirstEvery - 1;
  for (unsigned i = 0; i < queue::kBands; ++i) {
    Band& band = bands_[lowest_first ? queue::kBands - 1 - i : i];
    if (!band.order->empty()) return &band;
  }
  return nullptr;
}

LaneQueue::Tenant* LaneQueue::choose() {
  Band* const band = next_band();
  if (band == nullptr) return nullptr;
  if (band->tenants.size() == 1) return &band->tenants.front();
  return find(*band, band->order->next());
}

uint64_t LaneQueue::pass() {
  Band* const band = next_band();
  return band == nullptr ? 0 : band->order->next_pass();
}

const Work* LaneQueue::first() const {
  for (const Band& band : bands_) {
    for (const Tenant& tenant : band.tenants) {
      if (!tenant.works.empty()) return tenant.works.head;
    }
  }
  return nullptr;
}

Work* LaneQueue::pop(Tenant& tenant) {
  --total_;
  if (tenant.band == 0) --urgent_;
  return tenant.works.pop_front();
}

void LaneQueue::charge(Tenant& tenant, uint32_t recipients) {
  ++turns_;
  Band& band = bands_[tenant.band];
  band.order->charge(tenant.id, recipients, tenant.weight);
  if (!tenant.works.empty()) return;
  band.order->deactivate(tenant.id);
  band.tenants.erase(band.tenants.begin() + (&tenant - band.tenants.data()));
}

void LaneQueue::block(Tenant& tenant) {
  tenant.blocked = true;
  bands_[tenant.band].order->deactivate(tenant.id);
}

void LaneQueue::unblock(uint32_t id) {
  for (Band& band : bands_) {
    Tenant* const tenant = find(band, id);
    if (tenant == nullptr || !tenant->blocked) continue;
    tenant->blocked = false;
    band.order->activate(id, tenant->weight);
  }
}

}  // namespace veredus
