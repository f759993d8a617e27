// What a recipient waits for, in words, as far as his home knows; and which lanes know more.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/home_why.h"

namespace veredus {

using queue::Order;
using queue::Record;
using queue::RecordState;

static Condition& add(Waiting& item, const char* what, std::string text) {
  Condition& condition = item.conditions.emplace_back();
  condition.what = what;
  condition.text = std::move(text);
  return condition;
}

void HomeWhy::tell(uint32_t slot, uint32_t steps, Walk& walk) {
  const Record& record = home_.records_[slot];
  const Extent& extent = home_.extents_[record.extent];
  const Domain& domain = home_.domains_[record.domain];
  const Key key = key_of(slot);
  Waiting& item = walk.visit.answer.waiting.emplace_back();
  const queue::Ticket place = home_.make_ticket(slot);
  item.batch = extent.number;
  item.index = extent.first_index + record.ordinal;
  item.attempts = record.attempts;
  item.page = {home_.number(), place.segment, place.page_offset, place.page_bytes};
  item.entry_offset = place.entry_offset;
  item.domain = domain.name;
  if (domain.lane != nullptr) item.site = domain.lane->site->key;
  switch (key.cause) {
    case Cause::accepting:
      item.state = "accepting";
      add(item, "accepting", "its batch exists, and is being taken up");
      return;
    case Cause::held:
      return tell_held(domain, item);
    case Cause::not_before:
    case Cause::retry:
    case Cause::in_doubt:
    case Cause::greylisted:
      return tell_clock(slot, key.cause, item);
    case Cause::suspended:
    case Cause::ordered:
      return tell_suspended(slot, item);
    case Cause::stopping:
      item.state = "ready";
      add(item, "stopping", "the engine is being stopped");
      return;
    case Cause::disk:
      item.state = "ready";
      add(item, "disk",
          "what became of others waits for the disk of the spool: nothing is sent until it has "
          "caught up");
      return;
    case Cause::route:
      return tell_route(domain, item);
    case Cause::ready:
      return tell_ready(slot, steps, walk);
    case Cause::out:
      return tell_out(slot, walk);
  }
}

// The rule that decides of a recipient in doubt there; which of the hosts it was is not known any
// more.
const InDoubtRule* HomeWhy::in_doubt_rule_of(const Domain& domain) const {
  if (domain.lane == nullptr) return in_doubt_rule(*shard_.policy, "", domain.name);
  for (const dns::MxHost& host : domain.lane->site->hosts) {
    const InDoubtRule* const rule = in_doubt_rule(*shard_.policy, host.name, domain.name);
    if (rule != nullptr) return rule;
  }
  return nullptr;
}

void HomeWhy::tell_held(const Domain& domain, Waiting& item) {
  const InDoubtRule* const rule = in_doubt_rule_of(domain);
  item.state = "held";
  add(item, "held",
      "in doubt: the connection was lost, or the engine killed, between the end of the content and "
      "the reply to it. An operator decides: POST /v1/in_doubt")
      .origin = rule != nullptr ? rule->policy_origin
                                : origin_in(provider_of(domain), "in_doubt", "in_doubt.policy");
}

// -------------------------------------------------------------------------------------------------
// who waits for his time

const Provider& HomeWhy::provider_of(const Domain& domain) {
  return domain.lane == nullptr ? shard_.policy->providers[0] : home_.provider_of(*domain.lane);
}

void HomeWhy::tell_clock(uint32_t slot, Cause cause, Waiting& item) {
  const Record& record = home_.records_[slot];
  const Domain& domain = home_.domains_[record.domain];
  const Provider& provider = provider_of(domain);
  item.state = "waiting";
  std::string tried =
      absl::StrCat("tried ", record.attempts, record.attempts == 1 ? " time" : " times");
  Condition* condition = nullptr;
  if (cause == Cause::not_before) {
    condition = &add(item, "not_before", "its feeder wants it sent no sooner");
  } else if (cause == Cause::in_doubt) {
    condition = &add(item, "in_doubt",
                     tried +
                         ", the last time in doubt: the far side is given time to be done "
                         "with it");
    const InDoubtRule* const rule = in_doubt_rule_of(domain);
    condition->origin = rule != nullptr ? rule->delay_origin
                                        : origin_in(provider, "in_doubt_delay", "in_doubt.delay");
  } else if (cause == Cause::greylisted) {
    condition = &add(item, "greylisted", tried + ": the server wants to see it again later");
    condition->origin = origin_in(provider, "retry.greylist", "retry.greylist");
  } else {
    condition = &add(item, "retry", tried + ", and is tried again then");
    const bool listed = !provider.retry.intervals_ns.empty();
    condition->origin = origin_in(provider, listed ? "retry.intervals" : "retry.initial",
                                  listed ? "retry.intervals" : "retry.initial");
  }
  condition->clears_mono_ns = due_mono_ns(record.due);
  if (cause != Cause::not_before && domain.lane != nullptr && domain.no_route == nullptr &&
      !domain.lane->last_reply.empty())
    absl::StrAppend(&condition->text,
                    "; the last such reply of the site: ", domain.lane->last_reply.shown());
  if (cause == Cause::retry) tell_no_route(domain, item);
  // What will hold him when his time has come.
  const Order* const order = home_.order_for(slot);
  if (order != nullptr && order->kind == Order::Kind::suspend)
    item.conditions.push_back(condition_of(*order, shard_.mono_ns, shard_.wall_ns));
}

void HomeWhy::tell_no_route(const Domain& domain, Waiting& item) const {
  if (domain.no_route == nullptr) return;
  add(item, "no_route",
      absl::StrCat("when it was due last, no mail host of ", domain.name,
                   " could be found: ", *domain.no_route));
}

// -------------------------------------------------------------------------------------------------
// orders

void HomeWhy::tell_suspended(uint32_t slot, Waiting& item) {
  const bool parked = home_.records_[slot].state == RecordState::parked;
  item.state = "ready";
  const Order* const order = home_.order_for(slot);
  if (order != nullptr && order->kind != Order::Kind::retry) {
    if (order->kind == Order::Kind::suspend) item.state = "suspended";
    item.conditions.push_back(condition_of(*order, shard_.mono_ns, shard_.wall_ns));
    return;
  }
  // By recipient: home finds such an order only by who stands under it.
  for (const auto& [number, given] : home_.given_) {
    if (!parked || !asks_recipient(given.order.filter) || !parked_under(slot, given.parked))
      continue;
    item.state = "suspended";
    item.conditions.push_back(condition_of(given.order, shard_.mono_ns, shard_.wall_ns));
    return;
  }
  add(item, "turn", "what held it back is over: it is taken up again");
}

bool HomeWhy::parked_under(uint32_t slot, const queue::SlotFifo& parked) const {
  uint32_t at = parked.head;
  for (uint32_t steps = kStepsOfOne; at != queue::kNoSlot && steps > 0; --steps) {
    if (at == slot) return true;
    at = home_.records_[at].next;
  }
  return false;
}

// -------------------------------------------------------------------------------------------------
// who is due

void HomeWhy::tell_route(const Domain& domain, Waiting& item) const {
  using RouteState = Home::RouteState;
  item.state = "ready";
  if (domain.route == RouteState::failed) return tell_no_route(domain, item);
  const std::string whose = absl::StrCat("the mail hosts of ", domain.name);
  if (domain.route == RouteState::asking) {
    add(item, "route", whose + " are being looked up");
  } else {
    add(item, "route",
        absl::StrCat(whose, " are looked up when it is their turn: ", home_.routes_asked_,
                     " domains are being looked up, ", home_.unrouted_.size(), " stand in line"));
  }
}

// How many of his tenant and priority go before him, as the domains of the line take turns.
uint64_t HomeWhy::ahead_in_line(const Line& line, uint32_t id, uint32_t slot, uint32_t steps) {
  constexpr uint32_t kDomainsLookedAt = 1024;
  const Home::Ready* const ready = Home::find_ready(home_.domains_[id], line.share, line.band);
  if (ready == nullptr) return 0;
  uint64_t own = 0;
  for (uint32_t at = ready->fifo.head; at != slot && at != queue::kNoSlot && own < steps; ++own)
    at = home_.records_[at].next;
  if (own == steps) own = ready->fifo.count;  // at most
  uint64_t ahead = own;
  uint32_t left = kDomainsLookedAt;
  for (uint32_t other = line.head; other != Home::kNoDomain && left > 0; --left) {
    const Home::Ready& theirs = *Home::find_ready(home_.domains_[other], line.share, line.band);
    if (other != id) ahead += std::min<uint64_t>(theirs.fifo.count, own + 1);
    other = theirs.next_domain;
  }
  return ahead;
}

void HomeWhy::tell_ready(uint32_t slot, uint32_t steps, Walk& walk) {
  const Record& record = home_.records_[slot];
  HomeLane& lane = *home_.domains_[record.domain].lane;
  const auto number = static_cast<uint32_t>(walk.visit.answer.waiting.size() - 1);
  Waiting& item = walk.visit.answer.waiting.back();
  item.state = "ready";
  const uint32_t share = share_of(slot);
  Home::Share& whose = home_.share_in_force(share);
  const SourcePool* const pool = whose.sources;
  if (pool == nullptr || pool->members.empty()) {
    Condition& none = add(
        item, "pool",
        absl::StrCat("there is no pool ", whose.pool, " of sources any more: it waits for one"));
    none.origin.setting = "pools." + whose.pool;
    return;
  }
  if (tell_window(lane, whose, item)) return;
  Line* const line = Home::find_line(lane, share, queue::band_of(record.priority));
  if (line == nullptr) {
    add(item, "turn", "it is its turn");
    return;
  }
  LaneLook about;
  about.item = number;
  about.site = lane.site->number;
  about.home = home_.number();
  about.tenant = whose.tenant;
  about.band = line->band;
  about.ahead = ahead_in_line(*line, record.domain, slot, steps);
  if (tell_sources(lane, *line, *pool, number, about, walk)) {
    add(walk.visit.answer.waiting[number], "turn", "it is its turn");
  } else if (about.ahead > 0 || line->out_total > 0) {
    add(walk.visit.answer.waiting[number], "line",
        absl::StrCat(recipients_text(about.ahead),
                     " of the same tenant and priority go before it at home, ", line->out_total,
                     " are out to be sent"));
  }
}

// True: it waits for one. Of two that are closed, the one that opens last is told.
bool HomeWhy::tell_window(HomeLane& lane, Home::Share& share, Waiting& item) {
  const int64_t opens = home_.opens_wall_ns(lane, share);
  if (opens == 0) return false;
  const Provider& provider = home_.provider_of(lane);
  const bool of_tenant = provider.windows == nullptr || lane.window.until_wall_ns() != opens;
  Condition& condition =
      add(item, "window",
          absl::StrCat("mail ",
                       of_tenant          ? absl::StrCat("of tenant ", share.tenant_name)
                       : provider.id == 0 ? "to this site"
                                          : absl::StrCat("to provider ", provider.name),
                       " goes in its delivery windows only, and none is open now"));
  condition.clears_mono_ns = shard_.mono_ns + (opens - shard_.wall_ns);
  condition.origin = of_tenant ? share.tenant_policy->windows_origin
                               : origin_in(provider, "windows", "smtp.windows");
  return true;
}

// True: one of them would take it now.
bool HomeWhy::tell_sources(HomeLane& lane, Line& line, const SourcePool& pool, uint32_t number,
                           const LaneLook& about, Walk& walk) {
  Waiting& item = walk.visit.answer.waiting[number];
  const Policy& policy = *shard_.policy;
  const Provider& provider = home_.provider_of(lane);
  if (pool.members.size() == 1) item.source = policy.sources[pool.members[0].source].name;
  std::vector<LaneLook> looks;
  for (const SourcePool::Member& member : pool.members) {
    const auto source = static_cast<uint16_t>(member.source);
    const std::string& name = policy.sources[source].name;
    if (shard_.exchange.source_missing(source)) {
      add(item, "source_address",
          absl::StrCat("the address of source ", name, " is missing on this host"))
          .origin = policy.sources[source].address_origin;
      continue;
    }
    if (const Order* const order = home_.suspension_of(lane, line, source)) {
      item.conditions.push_back(condition_of(*order, shard_.mono_ns, shard_.wall_ns));
      continue;
    }
    if (home_.slice_of_source(lane, line, source) >= 0) return true;
    for (size_t i = 0; i < lane.slices.size(); ++i) {
      const Home::Slice& slice = lane.slices[i];
      if (slice.source != source) continue;
      const bool down = slice.down_until_mono_ns > shard_.mono_ns;
      if (down) {
        Condition& condition =
            add(item, "site_down", absl::StrCat("no host could be reached from source ", name));
        condition.clears_mono_ns = slice.down_until_mono_ns;
        condition.origin = site_clock_origin(provider);
      }
      if (!down && line.out_of(i) == 0) continue;
      looks.push_back(about);
      looks.back().source = slice.source;
      looks.back().shard = slice.shard;
    }
  }
  // Any of them would do: what clears first, first.
  std::stable_sort(item.conditions.begin(), item.conditions.end(),
                   [](const Condition& a, const Condition& b) {
                     return static_cast<uint64_t>(a.clears_mono_ns - 1) <
                            static_cast<uint64_t>(b.clears_mono_ns - 1);
                   });
  // They share what goes before him.
  for (LaneLook& look : looks) look.ahead = about.ahead / looks.size();
  looks.resize(std::min(looks.size(), kLanesAsked));
  walk.visit.lanes.insert(walk.visit.lanes.end(), looks.begin(), looks.end());
  return false;
}

// It is with one of the lanes that his line has tickets out with.
void HomeWhy::tell_out(uint32_t slot, Walk& walk) {
  const Record& record = home_.records_[slot];
  const Domain& domain = home_.domains_[record.domain];
  Waiting& item = walk.visit.answer.waiting.back();
  item.state = "ready";
  if ((record.flags & Home::kRecordCancelled) != 0)
    add(item, "cancelled", "it is cancelled as soon as it comes back from its connection");
  if (domain.lane == nullptr) {
    add(item, "route", "its mail hosts are being looked up again while it is out to be sent");
    return;
  }
  const uint32_t share = share_of(slot);
  const Line* const line = Home::find_line(*domain.lane, share, queue::band_of(record.priority));
  if (line == nullptr) return;
  LaneLook look;
  look.item = static_cast<uint32_t>(walk.visit.answer.waiting.size() - 1);
  look.site = domain.lane->site->number;
  look.slot = slot;
  look.generation = record.generation;
  look.home = home_.number();
  look.tenant = home_.shares_[share].tenant;
  look.band = line->band;
  for (size_t i = 0; i < line->out.size(); ++i) {
    if (line->out[i] == 0) continue;
    look.source = domain.lane->slices[i].source;
    look.shard = domain.lane->slices[i].shard;
    walk.visit.lanes.push_back(look);
  }
}

// By what was read so far. 0: nothing was.
int64_t HomeWhy::loaded_at() const {
  const uint32_t read = home_.loads_ - home_.loads_left_;
  if (home_.loaded() || read == 0) return 0;
  const auto took_ns = static_cast<double>(shard_.mono_ns - home_.load_begun_mono_ns_);
  return shard_.mono_ns + static_cast<int64_t>(took_ns / read * home_.loads_left_);
}

}  // namespace veredus
