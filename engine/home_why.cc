// Who is meant by a question, and what is known of them at first sight.

#include "engine/home_why.h"

#include <algorithm>
#include <utility>

#include "engine/lane_why.h"
#include "engine/store.h"
#include "queue/names.h"

namespace veredus {

using queue::Order;
using queue::Record;
using queue::RecordState;

HomeWhy::HomeWhy(Home& home, ShardContext& shard, queue::Disk& disk)
    : home_(home), shard_(shard), search_(disk, Store::journal_directory(home.number())) {}

void HomeWhy::asked(const WhyQuestion& question) {
  Walk& walk = walks_.emplace_back();
  walk.question = question;
  walk.visit.answer.token = question.token;
  walk.address.recipient = question.address;
}

bool HomeWhy::run() {
  if (walks_.empty()) return false;
  Walk& walk = walks_.front();
  using Stage = Walk::Stage;
  bool go_on = true;
  switch (walk.stage) {
    case Stage::domains:
      go_on = domains(walk);
      break;
    case Stage::site:
      go_on = site(walk);
      break;
    case Stage::unread:
      go_on = unread(walk);
      break;
    case Stage::records:
      go_on = records(walk);
      break;
    case Stage::addresses:
      // Nothing to do until the disk has answered.
      if (!addresses(walk)) return false;
      break;
    case Stage::telling:
      go_on = telling(walk);
      break;
  }
  if (!go_on) {
    end(walk);
    walks_.pop_front();
  }
  return !walks_.empty();
}

void HomeWhy::end(Walk& walk) {
  WhyVisit& visit = walk.visit;
  visit.by_lanes.resize(visit.answer.waiting.size());
  visit.found.resize(visit.answer.waiting.size());
  std::stable_sort(visit.lanes.begin(), visit.lanes.end(),
                   [](const LaneLook& a, const LaneLook& b) { return a.shard < b.shard; });
  LaneWhy::send_on(shard_.exchange, std::make_unique<WhyVisit>(std::move(visit)));
}

// -------------------------------------------------------------------------------------------------
// who is meant

// Domains are as they were fed, in any case. False: nobody here.
bool HomeWhy::domains(Walk& walk) {
  const WhyQuestion& question = walk.question;
  if (!question.domain.empty()) {
    const auto all = static_cast<uint32_t>(home_.domains_.size());
    for (const uint32_t end = std::min(all, walk.next + kLookedAtPerTurn); walk.next < end;
         ++walk.next) {
      if (queue::fits_name(question.domain, home_.domains_[walk.next].name))
        walk.domains.insert(walk.next);
    }
    if (walk.next < all) return true;
    // Some of it may be among those that are not read yet.
    if (walk.domains.empty() && home_.loaded()) return false;
  }
  walk.next = 0;
  walk.stage = question.site.empty() ? Walk::Stage::unread : Walk::Stage::site;
  return true;
}

bool HomeWhy::site(Walk& walk) {
  const auto& lanes = home_.lanes_in_order_;
  const size_t end = std::min<size_t>(lanes.size(), walk.next + kLookedAtPerTurn);
  for (; walk.lane == nullptr && walk.next < end; ++walk.next) {
    if (lanes[walk.next]->site->key == walk.question.site) walk.lane = lanes[walk.next];
  }
  if (walk.lane == nullptr) return walk.next < lanes.size();
  walk.next = 0;
  walk.stage = Walk::Stage::unread;
  return true;
}

// Those that have no record yet, or never will, for they cannot be read: of a batch they can be
// named.
bool HomeWhy::unread(Walk& walk) {
  if (!home_.loaded() || home_.anybody_unread_) {
    const auto extents = static_cast<uint32_t>(home_.extents_.size());
    const uint32_t end = std::min(extents, walk.next + kLookedAtPerTurn);
    for (; walk.next < end; ++walk.next) tell_unread(home_.extents_[walk.next], walk);
    if (walk.next < extents) return true;
  }
  walk.next = 0;
  walk.stage = Walk::Stage::records;
  return walk.question.index < 0 || walk.visit.answer.waiting.empty();
}

void HomeWhy::tell_unread(const Extent& extent, Walk& walk) {
  const WhyQuestion& question = walk.question;
  if (extent.unread == nullptr || (question.batch != 0 && question.batch != extent.number)) return;
  if (question.index < 0) {
    walk.visit.answer.unread += extent.unread->live;
    return;
  }
  const int64_t ordinal = question.index - extent.first_index;
  if (ordinal < 0 || !extent.unread->has(static_cast<uint32_t>(ordinal))) return;
  ++walk.visit.answer.recipients;
  Waiting& item = walk.visit.answer.waiting.emplace_back();
  item.batch = extent.number;
  item.index = static_cast<uint32_t>(question.index);
  item.state = "loading";
  item.attempts = extent.unread->state(static_cast<uint32_t>(ordinal)).attempts;
  Condition& condition = item.conditions.emplace_back();
  condition.what = home_.loaded() ? "unreadable" : "loading";
  condition.text = home_.loaded()
                       ? "its place in the spool cannot be read: see the engine's log"
                       : "the engine has started, and still reads from the spool who waits";
  condition.clears_mono_ns = loaded_at();
  condition.is_estimate = condition.clears_mono_ns != 0;
}

bool HomeWhy::records(Walk& walk) {
  const bool by_address = !walk.question.address.empty();
  walk.next = home_.records_.visit(walk.next, home_.share_of(kLookedAtPerTurn),
                                   [&](uint32_t slot) { note(slot, walk); });
  const bool all = walk.next == queue::kNoSlot;
  if (by_address && (all || search_.size() >= AddressSearch::kAtOnce)) {
    search_.begin();
    walk.stage = Walk::Stage::addresses;
  } else if (all || (walk.question.index >= 0 && !by_address && !walk.named.empty())) {
    choose_groups(walk);
    walk.stage = Walk::Stage::telling;
  }
  return true;
}

bool HomeWhy::fits(uint32_t slot, const Walk& walk) const {
  const Record& record = home_.records_[slot];
  const WhyQuestion& question = walk.question;
  if ((record.flags & Home::kRecordGone) != 0) return false;
  if (!question.domain.empty() && !walk.domains.contains(record.domain)) return false;
  if (walk.lane != nullptr && home_.domains_[record.domain].lane != walk.lane) return false;
  const Extent& extent = home_.extents_[record.extent];
  if (extent.batch == nullptr) return false;  // an upload, which may be given up
  if (question.batch != 0 && question.batch != extent.number) return false;
  return question.index < 0 || question.index == extent.first_index + int64_t{record.ordinal};
}

void HomeWhy::note(uint32_t slot, Walk& walk) {
  if (!fits(slot, walk)) return;
  if (walk.question.address.empty()) {
    ++walk.visit.answer.recipients;
    if (!walk.question.one_by_one()) {
      count(slot, walk);
    } else if (walk.named.size() < walk.question.limit) {
      walk.named.push_back(named(slot));
    }
    return;
  }
  search_.add(named(slot), home_.make_ticket(slot));
}

HomeWhy::Named HomeWhy::named(uint32_t slot) const {
  return {slot, home_.records_[slot].generation};
}

// -------------------------------------------------------------------------------------------------
// by address

// False: the disk is awaited.
bool HomeWhy::addresses(Walk& walk) {
  bool waiting = false;
  const bool all = search_.read(
      kReadPerTurn, waiting,
      [&](const Named& who, std::string_view address) {
        if (!fits_recipient(walk.address, address)) return;
        ++walk.visit.answer.recipients;
        if (walk.named.size() < walk.question.limit) walk.named.push_back(who);
      },
      [&](const Named&) { ++walk.visit.answer.not_compared; });
  if (all) walk.stage = walk.next == queue::kNoSlot ? Walk::Stage::telling : Walk::Stage::records;
  return !waiting;
}

// -------------------------------------------------------------------------------------------------
// groups

void HomeWhy::count(uint32_t slot, Walk& walk) {
  const Record& record = home_.records_[slot];
  Key key = key_of(slot);
  auto known = walk.groups.find(key);
  if (known == walk.groups.end()) {
    if (walk.groups.size() >= kGroupsMax) key = {key.cause, 0, 0, 0, 0};
    known = walk.groups.try_emplace(key).first;
  }
  Group& group = known->second;
  if (record.state == RecordState::waiting) {
    const bool first = group.recipients == 0;
    if (first || queue::ticks_until(record.due, group.first_due) > 0) group.first_due = record.due;
    if (first || queue::ticks_until(group.last_due, record.due) > 0) group.last_due = record.due;
  }
  ++group.recipients;
  group.last = named(slot);
}

HomeWhy::Cause HomeWhy::cause_of_waiting(const Record& record) const {
  if ((record.flags & queue::kRecordInDoubt) != 0) return Cause::in_doubt;
  if ((record.flags & Home::kRecordGreylisted) != 0) return Cause::greylisted;
  return record.attempts == 0 ? Cause::not_before : Cause::retry;
}

HomeWhy::Key HomeWhy::key_of(uint32_t slot) {
  const Record& record = home_.records_[slot];
  Key key;
  if (record.state == RecordState::dormant) {
    const bool held = (record.flags & queue::kRecordInDoubt) != 0 && home_.held(record);
    key.cause = held ? Cause::held : Cause::accepting;
    return key;
  }
  if (record.state == RecordState::waiting) {
    key.cause = cause_of_waiting(record);
    return key;
  }
  const bool out = record.state == RecordState::ticketed;
  if (const Order* const order = out ? nullptr : home_.order_for(slot)) {
    if (order->kind != Order::Kind::retry) {
      key.cause = order->kind == Order::Kind::suspend ? Cause::suspended : Cause::ordered;
      key.order = order->number;
      return key;
    }
  }
  const Domain& domain = home_.domains_[record.domain];
  key.cause = out                                       ? Cause::out
              : record.state == RecordState::parked     ? Cause::suspended
              : home_.stopping_                         ? Cause::stopping
              : !home_.journal_.has_room()              ? Cause::disk
              : domain.route != Home::RouteState::known ? Cause::route
                                                        : Cause::ready;
  if (domain.lane == nullptr || (key.cause != Cause::out && key.cause != Cause::ready)) return key;
  key.band = queue::band_of(record.priority);
  key.site = domain.lane->site->number + 1;
  key.share = share_of(slot);
  return key;
}

// Of one that was due before: his share exists.
uint32_t HomeWhy::share_of(uint32_t slot) {
  const Extent& extent = home_.extents_[home_.records_[slot].extent];
  const queue::LiveBatch& batch = *extent.batch;
  if (const uint32_t own = home_.own_pool_.value(slot); own != 0)
    return home_.share_number(batch, home_.pool_names_[own - 1]);
  return extent.share == Home::kNoShare ? home_.share_number(batch, batch.batch.pool)
                                        : extent.share;
}

// -------------------------------------------------------------------------------------------------
// told

// False: all are.
bool HomeWhy::telling(Walk& walk) {
  const bool one_by_one = walk.question.one_by_one();
  const size_t all = one_by_one ? walk.named.size() : walk.largest.size();
  for (size_t end = std::min(all, walk.told + kToldPerTurn); walk.told < end; ++walk.told) {
    if (one_by_one) {
      if (still_waits(walk.named[walk.told])) tell(walk.named[walk.told].slot, kStepsOfOne, walk);
    } else {
      tell_group(walk.groups.at(walk.largest[walk.told]), walk);
    }
  }
  return walk.told < all;
}

bool HomeWhy::still_waits(const Named& who) {
  const Record* const record = home_.records_.find(who.slot, who.generation);
  return record != nullptr && (record->flags & Home::kRecordGone) == 0;
}

// The largest first, as many as may be told.
void HomeWhy::choose_groups(Walk& walk) {
  for (const auto& [key, group] : walk.groups) walk.largest.push_back(key);
  std::stable_sort(walk.largest.begin(), walk.largest.end(), [&](const Key& a, const Key& b) {
    return walk.groups.at(a).recipients > walk.groups.at(b).recipients;
  });
  walk.largest.resize(std::min<size_t>(walk.largest.size(), walk.question.limit));
}

// Who was counted last is the example. When he has left meanwhile, so have most of the others.
void HomeWhy::tell_group(const Group& group, Walk& walk) {
  if (!still_waits(group.last)) {
    walk.visit.answer.recipients -= group.recipients;
    return;
  }
  tell(group.last.slot, kStepsOfExample, walk);
  Waiting& item = walk.visit.answer.waiting.back();
  item.recipients = group.recipients;
  if (home_.records_[group.last.slot].state != RecordState::waiting) return;
  item.first_due_mono_ns = due_mono_ns(group.first_due);
  item.last_due_mono_ns = due_mono_ns(group.last_due);
}

// In the future, by the clock of this turn.
int64_t HomeWhy::due_mono_ns(uint32_t tick) const {
  const uint32_t now = queue::tick_at(shard_.mono_ns - home_.wheel_zero_mono_ns_);
  return shard_.mono_ns + std::max(0, queue::ticks_until(now, tick)) * queue::kTickNs;
}

}  // namespace veredus
