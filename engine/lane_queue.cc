#include "engine/lane_queue.h"

#include <algorithm>

namespace veredus {

LaneQueue::Tenant& LaneQueue::tenant_of(unsigned band_number, uint32_t id, uint32_t weight) {
  Band& band = bands_[band_number];
  for (Tenant& tenant : band.tenants) {
    if (tenant.id == id) return tenant;
  }
  Tenant& tenant = band.tenants.emplace_back();
  tenant.id = id;
  tenant.weight = weight;
  // Having been away saves nothing up.
  tenant.pass = band.now;
  return tenant;
}

void LaneQueue::push(Work* work, uint32_t tenant, uint32_t weight) {
  tenant_of(work->ticket.band, tenant, weight).works.push_back(work);
  ++total_;
}

void LaneQueue::push_front(Work* work, uint32_t tenant, uint32_t weight) {
  tenant_of(work->ticket.band, tenant, weight).works.push_front(work);
  ++total_;
}

LaneQueue::Tenant* LaneQueue::choose() {
  const bool lowest_first = turns_ % kLowestFirstEvery == kLowestFirstEvery - 1;
  for (unsigned i = 0; i < queue::kBands; ++i) {
    Band& band = bands_[lowest_first ? queue::kBands - 1 - i : i];
    Tenant* least = nullptr;
    for (Tenant& tenant : band.tenants) {
      if (tenant.blocked || tenant.works.empty()) continue;
      if (least == nullptr || tenant.pass < least->pass) least = &tenant;
    }
    if (least != nullptr) return least;
  }
  return nullptr;
}

Work* LaneQueue::pop(Tenant& tenant) {
  --total_;
  return tenant.works.pop_front();
}

void LaneQueue::charge(Tenant& tenant, uint32_t recipients) {
  ++turns_;
  for (Band& band : bands_) {
    if (band.tenants.empty() || &tenant < band.tenants.data() ||
        &tenant >= band.tenants.data() + band.tenants.size())
      continue;
    band.now = std::max(band.now, tenant.pass);
    tenant.pass += recipients * kStride / tenant.weight;
    if (tenant.works.empty())
      band.tenants.erase(band.tenants.begin() + (&tenant - band.tenants.data()));
    return;
  }
}

void LaneQueue::unblock(uint32_t id) {
  for (Band& band : bands_) {
    for (Tenant& tenant : band.tenants) {
      if (tenant.id == id) tenant.blocked = false;
    }
  }
}

}  // namespace veredus
