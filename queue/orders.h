#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "queue/batch.h"
#include "queue/live_batch.h"
#include "queue/order.h"

// Which mail an order holds for, asked where each part of the answer is known: of a batch once, of
// a domain when its recipients are listed, of a site and its provider when the domain has a route,
// of a source when one is chosen, of the recipient last. What a part of the filter does not ask
// for, everything fits; an order holds for who fits at every place. Pure.
namespace veredus::queue {

// Which places have to be asked at all.
inline bool asks_batch(const Filter& filter) {
  return !filter.tenant.empty() || !filter.campaign.empty() || !filter.batch.empty();
}
inline bool asks_domain(const Filter& filter) {  // a recipient's domain, too
  return !filter.domain.empty() || !filter.recipient.empty();
}
inline bool asks_site(const Filter& filter) {
  return !filter.site.empty() || !filter.provider.empty();
}
inline bool asks_source(const Filter& filter) {
  return !filter.source.empty();
}
inline bool asks_recipient(const Filter& filter) {
  return !filter.recipient.empty();
}

// Tenant, campaign and name.
bool fits_batch(const Filter& filter, const Batch& batch);
// `domain` in any case. False, too, when the recipient asked for is of another domain.
bool fits_domain(const Filter& filter, std::string_view domain);
// `key` as dns::site_key() has it; `provider`: its name, "" of the fallback.
bool fits_site(const Filter& filter, std::string_view key, std::string_view provider);
bool fits_source(const Filter& filter, std::string_view name);
bool fits_recipient(const Filter& filter, std::string_view address);

// By when it was accepted: cancel, retry and expire hold for what was accepted before.
bool holds_for(const Order& order, const LiveBatch& batch);

// More are not given: each is looked at once for every extent that comes up.
inline constexpr size_t kOrdersMax = 1024;

// All orders in force, immutable; the engine makes a new one for each change and hands it to every
// shard.
class Orders {
 public:
  Orders() = default;
  // `version`: another one for each that is made, so that what was asked of an earlier one is known
  // to be old. Of `orders` those that have ended are left out.
  Orders(uint64_t version, const std::map<uint64_t, Order>& orders);

  uint64_t version() const { return version_; }
  bool empty() const { return orders_.empty(); }
  size_t size() const { return orders_.size(); }
  // The strongest first: of several that hold for a recipient the first one says what becomes of
  // him. Cancel goes before expire, expire before suspend, for what is given up need not wait, and
  // suspend before retry; of one kind the older one.
  const std::vector<Order>& all() const { return orders_; }
  // Places in all(), ascending, of those that may hold for recipients of this batch.
  std::vector<uint32_t> for_batch(const Batch& batch) const;

 private:
  uint64_t version_ = 0;
  std::vector<Order> orders_;
};
using OrdersPtr = std::shared_ptr<const Orders>;

}  // namespace veredus::queue
