// Where the mail of a domain goes: asked for when something is due, and what becomes of what has no
// route.

#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/routes.h"
#include "engine/tracer.h"

namespace veredus {

using queue::Record;

void Home::ask_routes() {
  while (!unrouted_.empty() && routes_asked_ < kRoutesAskedMax) {
    const uint32_t id = unrouted_.front();
    unrouted_.pop_front();
    Domain& domain = domains_[id];
    domain.route = RouteState::asking;
    ++routes_asked_;
    auto ask = std::make_unique<RouteAsk>();
    ask->asking_home = number_;
    ask->domain_id = id;
    ask->domain = domain.name;
    shard_.exchange.post(shard_of_domain(domain.name, shard_.exchange.shards()), std::move(ask));
  }
}

void Home::route_told(RouteTold& told) {
  assert(routes_asked_ > 0);
  --routes_asked_;
  Domain& domain = domains_[told.domain_id];
  assert(domain.route == RouteState::asking);
  domain.dns_us = told.dns_us;
  if (std::exchange(domain.sought, false)) --sought_;
  if (told.site == nullptr) {
    domain.route = RouteState::failed;
    domain.failure = std::make_unique<RouteTold>(std::move(told));
    failed_.push_back(domain.failure->domain_id);
    return;
  }
  domain.route = RouteState::known;
  domain.no_route.reset();
  domain.route_expires_mono_ns = told.expires_mono_ns;
  // Found by rules that are not those of here: it is asked again when somebody is to leave.
  domain.policy_version = told.policy_version;
  if (shard_.tracer != nullptr) shard_.tracer->route_known(domain.name, *told.site);
  domain.lane = &lane_of(std::move(told.site));
  ++domain.lane->domains;
  for (const Ready& ready : domain.ready) domain.lane->ready += ready.fifo.count;
  list_domain(told.domain_id);
}

Home::HomeLane& Home::lane_of(std::shared_ptr<const Site> site) {
  std::unique_ptr<HomeLane>& lane = lanes_[site->number];
  if (lane == nullptr) {
    lane = std::make_unique<HomeLane>();
    lanes_in_order_.push_back(lane.get());
  }
  lane->site = std::move(site);
  return *lane;
}

// Its time to live has passed, or other rules hold: it is asked for again.
void Home::leave_route(uint32_t id) {
  Domain& domain = domains_[id];
  HomeLane& lane = *domain.lane;
  for (Ready& ready : domain.ready) {
    if (ready.listed) leave_line(line_of(lane, ready.share, ready.band), ready);
    lane.ready -= ready.fifo.count;
  }
  --lane.domains;
  domain.lane = nullptr;
  domain.route = RouteState::unknown;
  list_domain(id);
}

// Recipients of domains that have no route settle as the route says: never (no such domain, null
// MX), or later.
void Home::fail_routes() {
  uint32_t budget = share_of(kFailuresPerTurn);
  while (!failed_.empty()) {
    const uint32_t id = failed_.front();
    Domain& domain = domains_[id];
    const RouteTold& failure = *domain.failure;
    for (Ready& ready : domain.ready) {
      queue::SlotFifo& fifo = ready.fifo;
      while (!fifo.empty() && budget > 0) {
        --budget;
        const uint32_t slot = fifo.pop_front(records_);
        Record& record = records_[slot];
        if ((record.flags & kRecordGone) != 0) {
          drop_gone(slot);
          continue;
        }
        record.attempts = queue::attempts_plus_one(record.attempts);
        queue::Outcome outcome;
        outcome.kind = static_cast<uint8_t>(failure.verdict.kind);
        outcome.bounce_class = static_cast<uint8_t>(failure.verdict.bounce_class);
        outcome.rule = failure.verdict.rule;
        outcome.enhanced = failure.enhanced;
        outcome.text = failure.reason;
        outcome.timing.dns_us = failure.dns_us;
        place_of(slot, outcome);
        if (failure.verdict.result == smtp::Result::never) {
          outcome.type = queue::OutcomeType::failed;
          ++no_route_.failed;
          finish(slot, outcome);
        } else {
          ++no_route_.deferred;
          postpone(slot, outcome,
                   queue::next_delay_ns(retry_of(domains_[record.domain].lane), record.attempts,
                                        shard_.random.next()));
        }
      }
      if (budget == 0) {
        more_to_do_ = true;
        return;
      }
    }
    failed_.pop_front();
    domain.no_route = std::make_unique<std::string>(std::move(domain.failure->reason));
    domain.failure.reset();
    domain.ready.clear();
    domain.route = RouteState::unknown;
  }
}

}  // namespace veredus
