// What operators have ordered of the mail that is out with a lane: it is looked at again before it
// is offered, and what an order holds for goes home.

#include <algorithm>

#include "engine/io/planted.h"
#include "engine/lane.h"

namespace veredus {

using queue::Order;

// All lanes hear of it, a share each turn.
void Lanes::take_orders(queue::OrdersPtr orders) {
  const queue::OrdersPtr before = std::exchange(shard_.orders, std::move(orders));
  told_left_ = lanes_in_order_.size();
  if (told_left_ == 0) return;
  for (const Order& order : shard_.orders->all()) {
    if (order.kind != Order::Kind::retry) continue;
    const auto known = [&](const Order& old) { return old.number == order.number; };
    if (std::none_of(before->all().begin(), before->all().end(), known)) retries_.push_back(order);
  }
}

void Lanes::tell_lanes() {
  size_t lanes = std::max<size_t>(1, kLanesPerTurn / (1 + retries_.size())), works = 0;
  for (; told_left_ > 0 && lanes > 0 && works < kLookedOverPerTurn; --told_left_, --lanes) {
    if (told_ >= lanes_in_order_.size()) told_ = 0;
    Lane& lane = *lanes_in_order_[told_++];
    try_again(lane);
    if (lane.waiting.empty() || shard_.orders->empty()) continue;
    works += cost_of(lane);
    look_over(lane);
  }
  if (told_left_ == 0) retries_.clear();
}

// Of looking it over: each who waits is compared with each order.
size_t Lanes::cost_of(const Lane& lane) const {
  constexpr size_t kComparedAtOnce = 8;
  return 1 + lane.waiting.total() * (1 + shard_.orders->all().size() / kComparedAtOnce);
}

// A site that is passed over is tried again when that is ordered, and so are hosts.
void Lanes::try_again(Lane& lane) {
  const std::string& provider = shard_.policy->provider_of(*lane.site).name;
  const bool is_tried = std::any_of(retries_.begin(), retries_.end(), [&](const Order& order) {
    return fits_site(order.filter, lane.site->key, provider) &&
           fits_source(order.filter, shard_.policy->sources[lane.source].name);
  });
  if (!is_tried) return;
  lane.retried_mono_ns = shard_.mono_ns;
  if (!lane.clock.open(shard_.mono_ns)) lane.clock.succeeded();
}

// -------------------------------------------------------------------------------------------------
// what waits, and perhaps for long: nothing may be offered now

// Somebody's time ends then.
void Lanes::ends_at(Lane& lane, int64_t end_mono_ns) {
  if (end_mono_ns >= lane.ends_mono_ns) return;
  const std::pair<uint32_t, uint16_t> name{lane.site->number, lane.source};
  ends_.erase({lane.ends_mono_ns, name});
  lane.ends_mono_ns = end_mono_ns;
  ends_.insert({end_mono_ns, name});
}

// The time of some has ended.
void Lanes::end_some() {
  for (size_t works = 0; works < kLookedOverPerTurn && !ends_.empty();) {
    const auto [end_mono_ns, name] = *ends_.begin();
    if (end_mono_ns > shard_.mono_ns) return;
    ends_.erase(ends_.begin());
    Lane& lane = *lanes_.find(name)->second;
    lane.ends_mono_ns = INT64_MAX;
    works += cost_of(lane);
    look_over(lane);
  }
}

// Whose time has ended, or for whom an order holds, goes home. The next one to end is looked for
// in a second at the earliest.
void Lanes::look_over(Lane& lane) {
  if (lane.policy != shard_.policy) {  // taken up when it is pumped: orders go by providers
    if (!lane.waiting.empty()) ends_at(lane, shard_.mono_ns + kAgainNs);
    return list(lane);
  }
  const uint64_t before = lane.waiting.total();
  int64_t next_mono_ns = INT64_MAX;
  lane.waiting.take_some(
      [&](Work& work) {
        const int64_t end_mono_ns = ends_mono_ns(work);
        if (end_mono_ns <= shard_.mono_ns) {
          expire(work);
          return true;
        }
        if (held_back(lane, work)) return true;
        next_mono_ns = std::min(next_mono_ns, end_mono_ns);
        return false;
      },
      [](LaneQueue::Tenant& tenant) { tenant.scope->line(tenant.lacks).remove(tenant.key); });
  if (!lane.waiting.empty()) ends_at(lane, std::max(next_mono_ns, shard_.mono_ns + kAgainNs));
  if (lane.waiting.total() != before) list(lane);
}

// -------------------------------------------------------------------------------------------------
// which holds

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
