// What operators have ordered of the mail here: looked at when a recipient comes up. A suspension
// parks him until it ends. Who is to be cancelled, tried again or given up is besides looked for, a
// share each turn, and when nobody is left the order is done.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/home.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::Order;
using queue::Record;
using queue::RecordState;
using Kind = queue::Order::Kind;

// -------------------------------------------------------------------------------------------------
// given and lifted

// At a start, before resume(): those of the whole spool. What another home was told and this one
// not is made up for; but who was to be tried again there need not be so here.
void Home::take_orders(const std::map<uint64_t, Order>& of_spool) {
  for (const auto& [number, order] : of_spool) {
    highest_order_ = std::max(highest_order_, number);
    const bool known = ledger_->orders().contains(number);
    if (!known && order.kind == Kind::retry) {
      tell_done(number);
      continue;
    }
    Given& given = given_[number];
    given.order = order;
    given.unwritten = !known;
  }
  orders_changed();
}

// Nobody waits here, nor ever will.
void Home::drop_orders() {
  for (const auto& [number, given] : std::exchange(given_, {})) tell_done(number);
  orders_changed();
}

void Home::write_missing_orders() {
  for (auto& [number, given] : given_) {
    if (std::exchange(given.unwritten, false)) write_order(given.order);
  }
}

void Home::write_order(const Order& order) {
  queue::encode_order(order, scratch_);
  journal_.append(queue::FrameType::order, scratch_, queue::kEventsOfOrder);
  urgent_flush_ = true;
}

void Home::order_asked(const OrderQuestion& question) {
  const Order& order = question.order;
  if (!writes_) {  // nobody waits here, nor ever will
    OrderAnswer answer;
    answer.token = question.token;
    answer.done = order.number;
    return shard_.exchange.answers().answer_question(std::move(answer));
  }
  write_order(order);
  highest_order_ = std::max(highest_order_, order.number);
  if (order.state == Order::State::given) {
    given_[order.number].order = order;
  } else {
    end_order(order.number);
  }
  orders_changed();
  order_answers_.push_back({journal_.appended_sequence(), question.token});
}

void Home::orders_durable(uint64_t sequence) {
  while (!order_answers_.empty() && order_answers_.front().sequence <= sequence) {
    OrderAnswer answer;
    answer.token = order_answers_.front().token;
    shard_.exchange.answers().answer_question(std::move(answer));
    order_answers_.pop_front();
  }
}

void Home::orders_lost(uint64_t sequence, const absl::Status& why) {
  std::erase_if(order_answers_, [&](const OrderAsked& asked) {
    if (asked.sequence > sequence) return false;
    OrderAnswer answer;
    answer.token = asked.token;
    answer.status = why;
    shard_.exchange.answers().answer_question(std::move(answer));
    return true;
  });
}

void Home::orders_changed() {
  std::map<uint64_t, Order> orders;
  next_order_end_wall_ns_ = INT64_MAX;
  for (const auto& [number, given] : given_) {
    orders[number] = given.order;
    if (given.order.until_wall_ns != 0)
      next_order_end_wall_ns_ = std::min(next_order_end_wall_ns_, given.order.until_wall_ns);
  }
  orders_ = queue::Orders(orders_.version() + 1, orders);
  begin_sweep();
}

void Home::begin_sweep() {
  search_.forget();
  sweep_ = Sweep{};
  sweep_.stage = Sweep::Stage::records;
}

// Those parked under it come up again, a share each turn. Lanes may have room that had none when a
// source was suspended.
void Home::end_order(uint64_t number) {
  const auto found = given_.find(number);
  if (found == given_.end()) return;
  const bool of_source = asks_source(found->second.order.filter);
  if (io::is_planted(io::Planted::parked_lost) && !found->second.parked.empty())
    found->second.parked.pop_front(records_);
  unparking_.splice(records_, found->second.parked);
  given_.erase(found);
  if (of_source) wake_all_lanes();
}

// What the journal says of an order is never less than what holds: so it ends when its time is
// over.
void Home::end_orders_in_time() {
  if (next_order_end_wall_ns_ > shard_.wall_ns) return;
  std::vector<Order> ended;
  for (const auto& [number, given] : given_) {
    if (!given.order.in_force(shard_.wall_ns)) ended.push_back(given.order);
  }
  for (Order& order : ended) done(order);
  orders_changed();
}

void Home::done(Order order) {
  order.state = Order::State::done;
  order.ended_wall_ns = shard_.wall_ns;
  write_order(order);
  end_order(order.number);
  tell_done(order.number);
}

void Home::tell_done(uint64_t number) {
  OrderAnswer answer;
  answer.done = number;
  shard_.exchange.answers().answer_question(std::move(answer));
}

std::vector<Order> Home::orders_in_force() const {
  std::vector<Order> orders;
  for (const auto& [number, given] : given_) orders.push_back(given.order);
  return orders;
}

// -------------------------------------------------------------------------------------------------
// which one holds

// The strongest that holds for a recipient, as far as it is known here. Orders by recipient are
// looked at where his address is read, those by source where one is chosen.
const Order* Home::order_for(uint32_t slot) {
  if (orders_.empty()) return nullptr;
  const Record& record = records_[slot];
  Extent& extent = extents_[record.extent];
  if (extent.batch == nullptr) return nullptr;
  if (extent.orders_version != orders_.version()) {
    extent.orders = orders_.for_batch(extent.batch->batch);
    extent.orders_version = orders_.version();
  }
  for (const uint32_t place : extent.orders) {
    const Order& order = orders_.all()[place];
    if (!order.filter.recipient.empty() || !order.filter.source.empty()) continue;
    if (fits_here(order, record.domain, *extent.batch)) return &order;
  }
  return nullptr;
}

// By the rules in force.
bool Home::site_is_known(const Domain& domain) const {
  return domain.lane != nullptr && domain.policy_version == shard_.policy->version;
}

bool Home::fits_here(const Order& order, uint32_t domain_id, const queue::LiveBatch& batch) {
  const Domain& domain = domains_[domain_id];
  if (!holds_for(order, batch) || !order.in_force(shard_.wall_ns)) return false;
  if (asks_domain(order.filter) && !fits_domain(order.filter, domain.name)) return false;
  if (!asks_site(order.filter)) return true;
  // Its site is not known yet: it is looked at again when it is.
  if (!site_is_known(domain)) return false;
  return fits_site(order.filter, domain.lane->site->key, provider_of(*domain.lane).name);
}

// A source that is suspended for what stands in this line.
const Order* Home::suspension_of(HomeLane& lane, const Line& line, uint16_t source) {
  if (orders_.empty()) return nullptr;
  const std::string& name = shard_.policy->sources[source].name;
  for (const Order& order : orders_.all()) {
    const queue::Filter& filter = order.filter;
    if (order.kind != Kind::suspend || !asks_source(filter) || !order.in_force(shard_.wall_ns))
      continue;
    const bool tenant = filter.tenant.empty() || filter.tenant == shares_[line.share].tenant_name;
    if (tenant && fits_source(filter, name) &&
        fits_site(filter, lane.site->key, provider_of(lane).name))
      return &order;
  }
  return nullptr;
}

// -------------------------------------------------------------------------------------------------
// what becomes of whom it holds for

// A recipient in no list. True: he is settled, or parked, and goes no further.
bool Home::obey(uint32_t slot) {
  const Order* const order = order_for(slot);
  if (order == nullptr || order->kind == Kind::retry) return false;
  if (order->kind == Kind::suspend) {
    park(slot, order->number);
    return true;
  }
  queue::Outcome outcome = ordered_outcome(slot, *order);
  finish(slot, outcome);
  return true;
}

void Home::park(uint32_t slot, uint64_t number) {
  records_[slot].state = RecordState::parked;
  given_.at(number).parked.push_back(records_, slot);
}

// Came back from a lane, which had seen that an order holds for him. It may have ended here and not
// everywhere, when his site was another; and a suspension may not have come here yet.
void Home::came_back_for(uint32_t slot, uint64_t number) {
  if (const auto found = given_.find(number);
      found != given_.end() && found->second.order.kind == Kind::suspend)
    return park(slot, number);
  const std::vector<Order>& all = shard_.orders->all();
  const auto order = std::find_if(all.begin(), all.end(), [number](const Order& each) {
    return each.number == number && each.kind != Kind::suspend;
  });
  if (order == all.end()) return make_ready(slot, true);
  queue::Outcome outcome = ordered_outcome(slot, *order);
  finish(slot, outcome);
}

// Was out when that was ordered, or when somebody asked to be forgotten, and has come back.
void Home::give_up_returned(uint32_t slot) {
  const auto ends = [](const Order* each) {
    return each != nullptr && (each->kind == Kind::cancel || each->kind == Kind::expire);
  };
  const Order* order = order_for(slot);
  if (const auto named = called_back_.find(slot); named != called_back_.end()) {
    const auto given = given_.find(named->second);
    // Others may hold for him, too: such as suspend, or try again.
    if (!ends(order) && given != given_.end()) order = &given->second.order;
    called_back_.erase(named);
  }
  const bool ordered = ends(order);
  if (records_[slot].state != RecordState::ticketed)  // in doubt, and in a list again
    return ordered ? carry_out(slot, *order) : cancel(slot);
  if (!ordered) return finish_cancelled(slot);
  queue::Outcome outcome = ordered_outcome(slot, *order);
  finish(slot, outcome);
}

queue::Outcome Home::ordered_outcome(uint32_t slot, const Order& order) {
  const bool expires = order.kind == Kind::expire;
  queue::Outcome outcome = expires ? expired_outcome(slot) : cancelled_outcome(slot);
  order_text_ = absl::StrCat(expires ? "given up by order " : "cancelled by order ", order.number);
  if (!order.reason.empty()) absl::StrAppend(&order_text_, ": ", order.reason);
  outcome.rule = "operator";
  outcome.text = order_text_;
  return outcome;
}

void Home::unpark_some() {
  for (uint32_t budget = share_of(kActivatedPerTurn); budget > 0 && !unparking_.empty(); --budget) {
    const uint32_t slot = unparking_.pop_front(records_);
    if ((records_[slot].flags & kRecordGone) != 0) {
      drop_gone(slot);
    } else if (expired(slot)) {
      expire(slot);
    } else if (!obey(slot)) {
      make_ready(slot, false);
    }
  }
  if (!unparking_.empty()) more_to_do_ = true;
}

// -------------------------------------------------------------------------------------------------
// looking for them

// Once after each change: whoever stands in a list now, or comes up later, has been looked at then.
void Home::sweep_for_orders() {
  using Stage = Sweep::Stage;
  if (sweep_.stage == Stage::none) return;
  const auto ends = [](const auto& each) { return each.second.order.kind != Kind::suspend; };
  if (std::none_of(given_.begin(), given_.end(), ends)) {
    sweep_.stage = Stage::none;
    return;
  }
  switch (sweep_.stage) {
    case Stage::none:
      return;
    case Stage::records:
      if (!loaded() || !activating_.empty()) return;
      sweep_.slot = records_.visit(sweep_.slot, share_of(kOrderedPerTurn),
                                   [this](uint32_t slot) { look_for_order(slot); });
      if (search_.size() >= AddressSearch::kAtOnce ||
          (search_.size() > 0 && sweep_.slot == queue::kNoSlot)) {
        search_.begin();
        sweep_.stage = Stage::addresses;
      } else if (sweep_.slot == queue::kNoSlot) {
        sweep_.stage = sought_ > 0 && !sweep_.routed ? Stage::routes : Stage::wheel;
      }
      break;
    case Stage::addresses:
      if (!compare_addresses()) return;  // the disk brings the next turn
      break;
    case Stage::routes:
      if (sought_ > 0) return;  // the last answer brings the next turn
      sweep_.stage = Stage::records;
      sweep_.slot = 0;
      sweep_.routed = true;
      break;
    case Stage::wheel:
      bring_forward();
      break;
    case Stage::sites:
      try_sites();
      break;
    case Stage::ending:  // with those that were out, all are settled
      if (being_cancelled_ > 0) return;
      end_done_orders();
  }
  if (sweep_.stage != Stage::none) more_to_do_ = true;
}

void Home::look_for_order(uint32_t slot) {
  Record& record = records_[slot];
  if ((record.flags & kRecordGone) != 0) return;
  const Order* const order = order_for(slot);
  if (!sweep_.routed) seek_site(slot);
  if (order != nullptr && (order->kind == Kind::cancel || order->kind == Kind::expire))
    return carry_out(slot, *order);
  look_for_address_in(slot);
}

// Some order names a recipient of this domain and batch: his address has to be read.
void Home::look_for_address_in(uint32_t slot) {
  const Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  if (extent.batch == nullptr) return;
  const bool named =
      std::any_of(extent.orders.begin(), extent.orders.end(), [&](const uint32_t place) {
        const Order& order = orders_.all()[place];
        return order.kind != Kind::suspend && asks_recipient(order.filter) &&
               fits_here(order, record.domain, *extent.batch);
      });
  if (named) search_.add({slot, record.generation}, make_ticket(slot));
}

// False: the disk is awaited.
bool Home::compare_addresses() {
  bool waiting = false;
  const bool all = search_.read(
      share_of(kComparedBytesPerTurn), waiting,
      [this](const AddressSearch::Named& who, std::string_view address) {
        address_known(who, address);
      },
      [this](const AddressSearch::Named&) { ++sweep_.lost; });
  if (!all) return !waiting;
  sweep_.stage = Sweep::Stage::records;
  if (sweep_.slot != queue::kNoSlot) return true;
  sweep_.slot = 0;
  if (sweep_.lost > 0 && sweep_.again < kSearchedAgain) {
    // Reclaim may have moved them meanwhile.
    ++sweep_.again;
    sweep_.lost = 0;
  } else {
    sweep_.stage = sought_ > 0 && !sweep_.routed ? Sweep::Stage::routes : Sweep::Stage::wheel;
  }
  return true;
}

void Home::address_known(const AddressSearch::Named& who, std::string_view address) {
  const Record* const record = records_.find(who.slot, who.generation);
  if (record == nullptr || (record->flags & kRecordGone) != 0) return;
  const Extent& extent = extents_[record->extent];
  for (const Order& order : orders_.all()) {
    if (order.kind == Kind::suspend || !asks_recipient(order.filter) ||
        !fits_recipient(order.filter, address) || !fits_batch(order.filter, extent.batch->batch) ||
        !fits_here(order, record->domain, *extent.batch))
      continue;
    if (order.kind != Kind::retry) {
      return carry_out(who.slot, order);
    }
    if (record->state == RecordState::waiting) sweep_.retried.insert(who.slot);
  }
}

// Cancels or gives up, wherever the recipient stands.
void Home::carry_out(uint32_t slot, const Order& order) {
  Record& record = records_[slot];
  if (record.state == RecordState::ticketed) {
    if ((record.flags & kRecordCancelled) != 0) return;
    record.flags |= kRecordCancelled;
    called_back_[slot] = order.number;
    ++being_cancelled_;
    return;
  }
  queue::Outcome outcome = ordered_outcome(slot, order);
  if (held(record)) {
    extents_[record.extent].batch->tally.in_doubt_held.fetch_sub(1, std::memory_order_relaxed);
    record.flags = 0;
    return finish(slot, outcome);
  }
  settle_in_place(slot, outcome);
}

// After a start nobody's site is known before he comes up, nor that an order by site or provider
// holds for him; after a reload it may be another one. So it is asked for. Of a domain that has no
// route none does, and by source a site is tried again, nobody for himself.
void Home::seek_site(uint32_t slot) {
  const Record& record = records_[slot];
  Domain& domain = domains_[record.domain];
  if (site_is_known(domain) || domain.sought || domain.route == RouteState::failed) return;
  const Extent& extent = extents_[record.extent];
  if (extent.batch == nullptr) return;
  const bool wanted =
      std::any_of(extent.orders.begin(), extent.orders.end(), [&](const uint32_t place) {
        const Order& order = orders_.all()[place];
        return order.kind != Kind::suspend && asks_site(order.filter) &&
               !asks_source(order.filter) && holds_for(order, *extent.batch) &&
               fits_domain(order.filter, domain.name);
      });
  if (!wanted) return;
  domain.sought = true;
  ++sought_;
  if (domain.lane != nullptr) return leave_route(record.domain);
  list_domain(record.domain);
}

// Those that wait for their next attempt are due now.
void Home::bring_forward() {
  const auto retries = [](const auto& each) { return each.second.order.kind == Kind::retry; };
  queue::SlotFifo due;
  const bool any = std::any_of(given_.begin(), given_.end(), retries);
  const auto wanted = [this](uint32_t slot) {
    if (!may_come_forward(records_[slot])) return false;
    if (sweep_.retried.contains(slot)) return true;
    const Order* const order = order_for(slot);
    return order != nullptr && order->kind == Kind::retry;
  };
  if (!any || wheel_.sift(sweep_.place, share_of(kOrderedPerTurn), wanted, due))
    sweep_.stage = any ? Sweep::Stage::sites : Sweep::Stage::ending;
  while (!due.empty()) {
    const uint32_t slot = due.pop_front(records_);
    make_ready(slot, false);
  }
}

// Whoever waits for another attempt. Not who was not tried yet: when mail goes out first is for its
// sender to say. Nor who is in doubt: he waits so that he is not sent to twice (RFC 1047), and is
// decided on by name.
bool Home::may_come_forward(const Record& record) const {
  constexpr uint8_t kNot = kRecordGone | queue::kRecordInDoubt;
  return (record.flags & kNot) == 0 && (record.flags & kRecordDeferred) != 0;
}

// Sites that are passed over are tried, too: from the source that the order names, or from all.
void Home::try_sites() {
  std::vector<const queue::Filter*> retries;
  for (const auto& [number, given] : given_) {
    if (given.order.kind == Kind::retry) retries.push_back(&given.order.filter);
  }
  const size_t share = 1 + share_of(kWokenPerTurn) / (1 + retries.size());
  const size_t end = std::min(lanes_in_order_.size(), sweep_.lane + share);
  for (; sweep_.lane < end; ++sweep_.lane) {
    HomeLane& lane = *lanes_in_order_[sweep_.lane];
    for (const queue::Filter* const filter : retries) {
      if (!fits_site(*filter, lane.site->key, provider_of(lane).name)) continue;
      for (Slice& slice : lane.slices) {
        if (fits_source(*filter, shard_.policy->sources[slice.source].name))
          slice.down_until_mono_ns = 0;
      }
      activate_lane(lane);
    }
  }
  if (sweep_.lane == lanes_in_order_.size()) sweep_.stage = Sweep::Stage::ending;
}

void Home::end_done_orders() {
  std::vector<Order> ended;
  for (const auto& [number, given] : given_) {
    if (given.order.kind != Kind::suspend) ended.push_back(given.order);
  }
  append_outcomes();  // ahead of what says that it is done
  for (const Order& order : ended) done(order);
  if (!ended.empty()) orders_changed();
  sweep_.stage = Sweep::Stage::none;
}

}  // namespace veredus
