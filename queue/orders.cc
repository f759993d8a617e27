#include "queue/orders.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "queue/names.h"

namespace veredus::queue {
namespace {

bool same(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase({a.data(), a.size()}, {b.data(), b.size()});
}

// Of a part of a filter: not asked for, or the same.
bool fits(const std::string& asked, std::string_view given) {
  return asked.empty() || asked == given;
}

int rank_of(Order::Kind kind) {
  switch (kind) {
    case Order::Kind::cancel:
      return 0;
    case Order::Kind::expire:
      return 1;
    case Order::Kind::suspend:
      return 2;
    case Order::Kind::retry:
      return 3;
  }
  return 4;
}

}  // namespace

bool fits_batch(const Filter& filter, const Batch& batch) {
  return fits(filter.tenant, batch.tenant) && fits(filter.campaign, batch.campaign) &&
         fits(filter.batch, batch.name);
}

bool fits_domain(const Filter& filter, std::string_view domain) {
  if (!filter.domain.empty() && !fits_name(filter.domain, domain)) return false;
  if (filter.recipient.empty()) return true;
  const std::string_view address = filter.recipient;
  return same(address.substr(address.rfind('@') + 1), domain);
}

bool fits_site(const Filter& filter, std::string_view key, std::string_view provider) {
  return fits(filter.site, key) && fits(filter.provider, provider);
}

bool fits_source(const Filter& filter, std::string_view name) {
  return fits(filter.source, name);
}

bool fits_recipient(const Filter& filter, std::string_view address) {
  return filter.recipient.empty() || same(filter.recipient, address);
}

bool holds_for(const Order& order, const LiveBatch& batch) {
  if (order.kind == Order::Kind::suspend) return true;
  return batch.batch.number <= order.last_batch && order.number > batch.taken_up.last_order;
}

Orders::Orders(uint64_t version, const std::map<uint64_t, Order>& orders) : version_(version) {
  for (const auto& [number, order] : orders) {
    if (order.state == Order::State::given) orders_.push_back(order);
  }
  std::stable_sort(orders_.begin(), orders_.end(), [](const Order& a, const Order& b) {
    return rank_of(a.kind) < rank_of(b.kind);
  });
}

std::vector<uint32_t> Orders::for_batch(const Batch& batch) const {
  std::vector<uint32_t> places;
  for (uint32_t place = 0; place < orders_.size(); ++place) {
    const Order& order = orders_[place];
    if (batch.number <= order.last_batch && fits_batch(order.filter, batch))
      places.push_back(place);
  }
  return places;
}

}  // namespace veredus::queue
