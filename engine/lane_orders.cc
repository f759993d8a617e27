// What operators have ordered of the mail that is out with a lane: it is looked at again before it
// is offered, and what an order holds for goes home.

#include <algorithm>

#include "engine/io/planted.h"
#include "engine/lane.h"

namespace veredus {

using queue::Order;

// A site that is passed over is tried again when that is ordered, and hosts are that were passed
// over on the way to such a one.
void Lanes::take_orders(queue::OrdersPtr orders) {
  const queue::OrdersPtr before = std::exchange(shard_.orders, std::move(orders));
  std::vector<const Order*> retries;
  for (const Order& order : shard_.orders->all()) {
    if (order.kind != Order::Kind::retry) continue;
    const auto known = [&](const Order& old) { return old.number == order.number; };
    if (std::none_of(before->all().begin(), before->all().end(), known)) retries.push_back(&order);
  }
  if (retries.empty()) return;
  const auto is_tried = [&](const Lane& lane) {
    return std::any_of(retries.begin(), retries.end(), [&](const Order* order) {
      return fits_site(order->filter, lane.site->key, lane.provider->name) &&
             fits_source(order->filter, shard_.policy->sources[lane.source].name);
    });
  };
  absl::erase_if(down_hosts_, [&](const auto& host) {
    const auto lane = lanes_.find({host.second.site, host.first.second});
    return lane == lanes_.end() || is_tried(*lane->second);
  });
  for (Lane* const each : lanes_in_order_) {
    Lane& lane = *each;
    if (lane.clock.open(shard_.mono_ns) || !is_tried(lane)) continue;
    lane.clock.succeeded();
    // Another site's lane may have been the last to find them down.
    for (const Target& target : lane.targets)
      down_hosts_.erase({host_key(target.endpoint), lane.source});
  }
}

// The strongest that holds for a recipient whose address is in hand; none by retry.
const Order* Lanes::order_for(const Lane& lane, const Work& work) const {
  if (shard_.orders->empty() || io::is_planted(io::Planted::orders_unseen)) return nullptr;
  const std::string_view domain = work.to.substr(work.to.rfind('@') + 1);
  for (const Order& order : shard_.orders->all()) {
    const queue::Filter& filter = order.filter;
    if (order.kind == Order::Kind::retry || !holds_for(order, *work.batch) ||
        !order.in_force(shard_.wall_ns))
      continue;
    if (fits_batch(filter, work.batch->batch) && fits_domain(filter, domain) &&
        fits_site(filter, lane.site->key, lane.provider->name) &&
        fits_source(filter, lane.policy->sources[lane.source].name) &&
        fits_recipient(filter, work.to))
      return &order;
  }
  return nullptr;
}

// True: it has gone home, which is told which order it was. By a source that is suspended it may
// not go, but perhaps by another one.
bool Lanes::held_back(Lane& lane, Work& work) {
  const Order* const order = order_for(lane, work);
  if (order == nullptr) return false;
  give_back_unsent(work, asks_source(order->filter) ? 0 : order->number);
  return true;
}

}  // namespace veredus
