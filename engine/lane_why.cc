// What a lane waits for, in the order in which it would have to clear.

#include "engine/lane_why.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace veredus {

LaneWhy::LaneWhy(ShardContext& shard, Lanes& lanes, Limits& limits)
    : shard_(shard), lanes_(lanes), limits_(limits) {}

// -------------------------------------------------------------------------------------------------
// visits

void LaneWhy::run() {
  if (visits_.empty()) return;
  steps_left_ = kStepsPerTurn;
  WhyVisit& visit = *visits_.front();
  const auto lane_here = [&] {
    return visit.next_lane < visit.lanes.size() && visit.lanes[visit.next_lane].shard == shard_.id;
  };
  while (lane_here()) {
    if (steps_left_ == 0) return;
    look(visit.lanes[visit.next_lane++], visit);
  }
  while (visit.next_rate < visit.rates.size() && visit.next_lane == visit.lanes.size() &&
         visit.rates[visit.next_rate].owner == shard_.id) {
    const RateLook& rate = visit.rates[visit.next_rate++];
    Condition& condition = visit.answer.waiting[rate.item].conditions[rate.condition];
    condition.clears_mono_ns =
        limits_.expected_mono_ns(rate.scope, rate.resource, rate.holder, rate.tokens);
    condition.is_estimate = true;
  }
  std::unique_ptr<WhyVisit> done = std::move(visits_.front());
  visits_.pop_front();
  send_on(shard_.exchange, std::move(done));
}

// A ticket that no lane has is in the queue to one, or what it names is being read.
static void tell_unfound(WhyVisit& visit) {
  for (const LaneLook& look : visit.lanes) {
    if (look.slot == queue::kNoSlot || visit.found[look.item]) continue;
    visit.found[look.item] = true;
    Condition condition;
    condition.what = "on_its_way";
    condition.text = "it is on its way to a connection, and is being read from the spool";
    std::vector<Condition>& conditions = visit.answer.waiting[look.item].conditions;
    conditions.insert(conditions.begin(), std::move(condition));
  }
}

void LaneWhy::send_on(Exchange& exchange, std::unique_ptr<WhyVisit> visit) {
  if (visit->next_lane < visit->lanes.size()) {
    const uint16_t shard = visit->lanes[visit->next_lane].shard;
    return exchange.post(shard, std::move(visit));
  }
  if (visit->next_rate == 0) {
    std::stable_sort(visit->rates.begin(), visit->rates.end(),
                     [](const RateLook& a, const RateLook& b) { return a.owner < b.owner; });
  }
  if (visit->next_rate < visit->rates.size()) {
    const uint16_t owner = visit->rates[visit->next_rate].owner;
    return exchange.post(owner, std::move(visit));
  }
  tell_unfound(*visit);
  exchange.answers().answer_question(std::move(visit->answer));
}

void LaneWhy::look(const LaneLook& look, WhyVisit& visit) {
  --steps_left_;
  const auto known = lanes_.lanes_.find({look.site, look.source});
  if (known == lanes_.lanes_.end()) return;
  Lane& lane = *known->second;
  Waiting& item = visit.answer.waiting[look.item];
  Found found;
  if (look.slot != queue::kNoSlot) {
    if (visit.found[look.item]) return;
    uint64_t position = 0;
    if (find_waiting(look, lane, position)) {
      explain(lane, place_in(lane, look.tenant, look.band, position), found);
    } else if (!find_under_way(look, lane, item, found)) {
      return;
    }
    visit.found[look.item] = true;
    item.source = shard_.policy->sources[look.source].name;
    return put(std::move(found), look.item, visit);
  }
  if (!lane.clock.open(shard_.mono_ns)) {
    const std::string whose = absl::StrCat("source ", shard_.policy->sources[look.source].name);
    for (Condition& condition : item.conditions) {
      if (condition.what == "site_down" && condition.text.ends_with(whose) &&
          !lane.failure_text.empty())
        absl::StrAppend(&condition.text, ": ", lane.failure_mx, " ", lane.failure_text);
    }
    return;
  }
  Place place = place_in(lane, look.tenant, look.band, 0);
  // Others have as many behind what they have here as this home has.
  const size_t homes = std::max<size_t>(lane.homes_with_more(), 1);
  const uint64_t here = place.tenant == nullptr ? 0 : place.tenant->works.count;
  explain(lane, place_in(lane, look.tenant, look.band, here + look.ahead * homes), found);
  put(std::move(found), look.item, visit);
}

// In front of what the home knows, behind what other lanes said.
void LaneWhy::put(Found found, uint32_t item, WhyVisit& visit) {
  uint32_t& by_lanes = visit.by_lanes[item];
  for (auto& [at, rate] : found.rates) {
    rate.item = item;
    rate.condition = by_lanes + static_cast<uint32_t>(at);
    visit.rates.push_back(rate);
  }
  std::vector<Condition>& conditions = visit.answer.waiting[item].conditions;
  conditions.insert(conditions.begin() + by_lanes, std::move_iterator(found.conditions.begin()),
                    std::move_iterator(found.conditions.end()));
  by_lanes += static_cast<uint32_t>(found.conditions.size());
}

// -------------------------------------------------------------------------------------------------
// where somebody stands

static bool is_of(const Work& work, const LaneLook& look) {
  return work.ticket.slot == look.slot && work.ticket.home == look.home &&
         work.ticket.generation == look.generation;
}

bool LaneWhy::find_waiting(const LaneLook& look, const Lane& lane, uint64_t& position) {
  bool found = false;
  lane.waiting.each_tenant([&](const LaneQueue::Tenant& tenant) {
    if (found || tenant.band != look.band || tenant.id != look.tenant) return;
    position = 0;
    for (const Work* work = tenant.works.head; work != nullptr; work = work->next, ++position) {
      if (is_of(*work, look)) {
        found = true;
        break;
      }
    }
    steps_left_ -= std::min<uint32_t>(steps_left_, static_cast<uint32_t>(position));
  });
  return found;
}

bool LaneWhy::find_under_way(const LaneLook& look, const Lane& lane, Waiting& item, Found& found) {
  steps_left_ -= std::min<uint32_t>(steps_left_, static_cast<uint32_t>(lanes_.load_slab_.size()));
  for (const Lanes::Load& load : lanes_.load_slab_) {
    if (load.lane != &lane || load.works.empty()) continue;
    const auto here = [&](const Work* work) { return is_of(*work, look); };
    if (std::none_of(load.works.begin(), load.works.end(), here)) continue;
    const smtp::Session& session = *load.session;
    const smtp::Phase phase =
        load.moments.body_sent_ns != 0 ? smtp::Phase::end_of_data : session.dialogue().phase();
    Condition condition;
    condition.what = "in_flight";
    condition.text = absl::StrCat("it is being sent to ", lane.site->hosts[session.host].name, " (",
                                  io::to_text(session.peer()), "), since ",
                                  (shard_.mono_ns - load.moments.offered_ns) / 1'000'000,
                                  " ms; the reply to ", std::string(name_of(phase)), " is awaited");
    const int64_t ends = load.moments.offered_ns + lane.transaction_ns;
    if (ends > shard_.mono_ns) condition.clears_mono_ns = ends;
    condition.is_estimate = true;
    item.state = "in_flight";
    found.conditions.push_back(std::move(condition));
    return true;
  }
  return false;
}

// `own`: who go before him of his tenant and band.
LaneWhy::Place LaneWhy::place_in(const Lane& lane, uint32_t id, uint8_t his_band,
                                 uint64_t own) const {
  // More of a tenant that has so many here is on its way, most likely.
  constexpr uint32_t kMany = Lanes::kWindowFirst / 2;
  Place place;
  place.own = own;
  lane.waiting.each_tenant([&](const LaneQueue::Tenant& tenant) {
    if (tenant.band == his_band && tenant.id == id) place.tenant = &tenant;
  });
  const uint64_t weight = place.tenant == nullptr ? 1 : place.tenant->weight;
  lane.waiting.each_tenant([&](const LaneQueue::Tenant& tenant) {
    if (tenant.band < his_band) place.higher += tenant.works.count;
    if (tenant.band != his_band || tenant.id == id || tenant.blocked) return;
    const uint64_t share = (own + 1) * tenant.weight / weight;
    place.weights += tenant.weight;
    place.others +=
        tenant.works.count >= kMany ? share : std::min<uint64_t>(share, tenant.works.count);
  });
  return place;
}

void LaneWhy::explain_next(Lane& lane, std::vector<Condition>& conditions) {
  if (!lane.clock.open(shard_.mono_ns)) {
    Condition condition;
    condition.what = "site_down";
    condition.text =
        absl::StrCat("no host could be reached: ", lane.failure_mx, " ", lane.failure_text);
    condition.clears_mono_ns = lane.clock.until_ns();
    condition.origin = site_clock_origin(*lane.provider);
    // What has to be set right is another one than what says how long to wait.
    const StaticRoute* const route = shard_.policy->route_of(*lane.site);
    if (route != nullptr && lane.failure.stage == static_cast<uint8_t>(smtp::Phase::auth))
      condition.origin = route->credentials_origin;
    conditions.push_back(std::move(condition));
  }
  if (lane.waiting.empty()) return;
  Place place;
  place.tenant = lane.waiting.choose();
  if (place.tenant == nullptr) {
    lane.waiting.each_tenant([&](const LaneQueue::Tenant& tenant) {
      if (place.tenant == nullptr) place.tenant = &tenant;
    });
  }
  Found found;
  steps_left_ = kStepsOfNext;
  explain(lane, place, found);
  // The tokens of this shard's share are a good guess; the owner would know better.
  for (const auto& [at, look] : found.rates) {
    Condition& condition = found.conditions[at];
    queue::RateHolder* const rate = limits_.scope(look.scope).rate(look.resource);
    if (rate == nullptr || rate->next_mono_ns() == INT64_MAX) continue;
    condition.clears_mono_ns = rate->next_mono_ns();
    condition.is_estimate = true;
  }
  std::move(found.conditions.begin(), found.conditions.end(), std::back_inserter(conditions));
}

// -------------------------------------------------------------------------------------------------
// what holds him back

void LaneWhy::explain(Lane& lane, const Place& place, Found& found) {
  shut_lanes(lane, found);
  tenant_limits(lane, place, found);
  rates(lane, place, found);
  connections(lane, place, found);
  stand_in_queue(lane, place, found);
}

// What holds whatever the limits are.
void LaneWhy::shut_lanes(Lane& lane, Found& found) const {
  const auto add = [&](const char* what, const char* text) {
    found.conditions.emplace_back();
    found.conditions.back().what = what;
    found.conditions.back().text = text;
  };
  if (lanes_.draining_) add("stopping", "the engine is being stopped");
  if (lane.moves) {
    add("reload",
        "since the configuration was read again all mail goes elsewhere: the connections that "
        "there are end first");
  }
  if (const int64_t opens = lanes_.opens_wall_ns(lane); opens != 0) {
    add("window", "mail goes there in delivery windows only, and none is open now");
    found.conditions.back().clears_mono_ns = shard_.mono_ns + (opens - shard_.wall_ns);
    found.conditions.back().origin = origin_in(*lane.provider, "windows", "smtp.windows");
  }
  if (lane.wants_place || lanes_.marks_.places_free() == 0) {
    add("disk_behind",
        "as many recipients as may be were sent to and have no durable outcome yet: nothing more "
        "leaves until the spool's disk has caught up");
  }
}

void LaneWhy::tenant_limits(Lane& lane, const Place& place, Found& found) {
  if (place.tenant == nullptr || place.tenant->scope == nullptr) return;
  const LaneQueue::Tenant& tenant = *place.tenant;
  Scope& scope = *tenant.scope;
  const LimitSettings& settings = scope.settings(*shard_.policy);
  Place own = place;
  own.higher = own.others = 0;
  if (limits_.tokens_here(scope, Resource::message_rate) == 0)
    return rate(lane, scope, Resource::message_rate, own, found);
  if (tenant.blocked && tenant.lacks == Resource::byte_rate)
    return rate(lane, scope, Resource::byte_rate, own, found);
  if (settings.connections == 0 || scope.slots.free() > 0) return;
  Condition condition = limit_condition(scope, Resource::connections, lane, place);
  const double turns =
      std::ceil(static_cast<double>(place.own + 1) / lane.recipients / settings.connections);
  condition.clears_mono_ns =
      shard_.mono_ns + static_cast<int64_t>(turns * static_cast<double>(lane.transaction_ns));
  condition.is_estimate = true;
  found.conditions.push_back(std::move(condition));
}

// A rate holds also while the lane does not stand in its line, for all its sessions are at work:
// they will find no tokens.
void LaneWhy::rates(Lane& lane, const Place& place, Found& found) {
  for (Scope* const scope : lane.scopes) {
    if (limits_.tokens_here(*scope, Resource::message_rate) == 0)
      rate(lane, *scope, Resource::message_rate, place, found);
    const bool waits = lane.waits_for == scope && lane.waits_for_resource == Resource::byte_rate;
    if (waits || static_cast<double>(limits_.tokens_here(*scope, Resource::byte_rate)) < lane.bytes)
      rate(lane, *scope, Resource::byte_rate, place, found);
  }
}

void LaneWhy::rate(Lane& lane, Scope& scope, Resource resource, const Place& place, Found& found) {
  RateLook look;
  look.scope = scope.id;
  look.resource = resource;
  look.owner = scope.owner;
  look.holder = shard_.id;
  if (resource == Resource::connection_rate) {
    // As many as he and those before him need, if they do not go by one.
    const double each = lane.recipients * std::max(1u, lane.provider->messages_per_connection);
    look.tokens =
        lane.provider->messages_per_connection == 0
            ? 1
            : static_cast<uint64_t>(std::ceil(static_cast<double>(place.ahead() + 1) / each));
    scope.line(resource).each([&](const Lane& other) {
      look.tokens += &other != &lane;
      return &other != &lane;
    });
  } else {
    look.tokens = place.ahead() + 1 + between(lane, scope, place);
  }
  if (resource == Resource::byte_rate) {
    look.tokens =
        static_cast<uint64_t>(static_cast<double>(look.tokens) * lane.bytes / lane.recipients);
  }
  found.rates.emplace_back(found.conditions.size(), look);
  found.conditions.push_back(limit_condition(scope, resource, lane, place));
}

// Those of other lanes with that limit, who take turns with this one: whether they stand in its
// line already does not matter.
uint64_t LaneWhy::between(const Lane& lane, const Scope& scope, const Place& place) {
  uint64_t sum = 0;
  for (const Lane* const other : lanes_.lanes_in_order_) {
    if (steps_left_ == 0) break;
    --steps_left_;
    if (other == &lane || other->waiting.empty() ||
        std::find(other->scopes.begin(), other->scopes.end(), &scope) == other->scopes.end())
      continue;
    sum += std::min<uint64_t>(place.ahead() + 1, other->waiting.total());
  }
  return sum;
}

void LaneWhy::connections(Lane& lane, const Place& place, Found& found) {
  const uint32_t not_working = lane.dialling + lane.closing;
  const uint32_t working = lane.sessions > not_working ? lane.sessions - not_working : 0;
  if (working > 0 && (!found.conditions.empty() || !lane.idle.empty())) return;
  const bool grows = working == 0 || lanes_.sessions_of_use(lane) > lane.sessions ||
                     lane.provider->messages_per_connection != 0;
  if (grows && at_connection_limit(lane, place, found)) {
    Condition& limit = found.conditions.back();
    if (working > 0 && limit.what == name_of(Resource::connections)) {
      limit.clears_mono_ns = leaves_at(lane, place.ahead());
      limit.is_estimate = true;
    }
  } else if (working == 0 || (grows && shard_.mono_ns < lane.no_growth_until_mono_ns)) {
    no_connection(lane, found);
  }
  if (working == 0) return;
  Condition busy;
  busy.what = "busy";
  busy.text = absl::StrCat("all of its ", working,
                           working == 1 ? " connection is" : " connections are", " at work");
  busy.clears_mono_ns = leaves_at(lane, place.ahead());
  busy.is_estimate = true;
  found.conditions.push_back(std::move(busy));
}

// Nothing limits the lane, yet it has no connection, or no further one.
void LaneWhy::no_connection(Lane& lane, Found& found) {
  Condition condition;
  const std::string& host = lane.site->hosts.front().name;
  const bool pauses = shard_.mono_ns < lane.no_growth_until_mono_ns;
  if (pauses && lane.no_growth != Lane::NoGrowth::refused) {
    const bool descriptor = lane.no_growth == Lane::NoGrowth::no_descriptor;
    condition.what = descriptor ? "descriptors" : "source_address";
    condition.text = descriptor ? "the process may open no more descriptors (LimitNOFILE=)"
                                : absl::StrCat("the address of source ",
                                               shard_.policy->sources[lane.source].name,
                                               " is missing, or all of its ports are in use");
    if (!descriptor) condition.origin = shard_.policy->sources[lane.source].address_origin;
    condition.clears_mono_ns = lane.no_growth_until_mono_ns;
  } else if (pauses && lane.sessions > lane.dialling + lane.closing) {
    condition.what = "no_growth";
    condition.text = absl::StrCat("a further connection was refused while ",
                                  lane.sessions - lane.dialling - lane.closing,
                                  " work: ", lane.last_reply.shown());
    condition.origin = origin_in(*lane.provider, "host_down", "smtp.host_down");
    condition.clears_mono_ns = lane.no_growth_until_mono_ns;
  } else if (lane.hosts_asked > 0) {
    condition.what = "addresses";
    condition.text = absl::StrCat("the addresses of ", host, " are being looked up");
  } else if (lane.dialling > 0) {
    condition.what = "dialling";
    condition.text = absl::StrCat("a connection to ", host, " is being opened");
    condition.origin = origin_in(*lane.provider, "setup_limit", "smtp.setup_limit");
  } else {
    return;
  }
  found.conditions.push_back(std::move(condition));
}

// A limit of connections, or of their rate, that keeps the lane from another one.
bool LaneWhy::at_connection_limit(Lane& lane, const Place& place, Found& found) {
  for (Scope* const scope : lane.scopes) {
    if (limits_.tokens_here(*scope, Resource::connection_rate) > 0) continue;
    rate(lane, *scope, Resource::connection_rate, place, found);
    return true;
  }
  Scope* scope = nullptr;
  if (lane.waits_for != nullptr && lane.waits_for_resource == Resource::connections) {
    scope = lane.waits_for;
  } else if (!lane.slots.empty() &&
             lane.sessions >= lane.slots.front()->settings(*shard_.policy).connections) {
    scope = lane.slots.front();  // the lane's own, which it never asks to pass
  } else {
    return false;
  }
  Condition condition = limit_condition(*scope, Resource::connections, lane, place);
  if (lane.sessions == 0) {
    condition.clears_mono_ns = slot_free_at(*scope, lane);
    condition.is_estimate = condition.clears_mono_ns != 0;
  }
  found.conditions.push_back(std::move(condition));
  return true;
}

// When a slot is free for a lane that stands in line for its first one: sessions that have one go
// when they have carried their share (Lanes::makes_room), or there is nothing left to carry. 0: no
// session here has one, or there are too many to look at.
int64_t LaneWhy::slot_free_at(Scope& scope, const Lane& lane) {
  WaitLine& line = scope.line(Resource::connections);
  size_t before = 0;
  line.each([&](const Lane& other) {
    if (steps_left_ == 0 || &other == &lane) return false;
    --steps_left_;
    ++before;
    return true;
  });
  const size_t share = Lanes::messages_of_turn(line);
  std::vector<double> ends_ns;
  double turn_ns = 0;
  for (const smtp::Session& session : lanes_.session_slab_) {
    if (steps_left_ == 0) break;
    --steps_left_;
    const Lane* const other = static_cast<const Lane*>(session.place);
    if (other == nullptr ||
        std::find(other->slots.begin(), other->slots.end(), &scope) == other->slots.end())
      continue;
    const auto each_ns = static_cast<double>(other->transaction_ns);
    size_t left = share - std::min<size_t>(share, session.messages());
    if (other->homes_with_more() == 0)
      left = std::min<size_t>(left, other->waiting.total() / other->sessions);
    // The one under way has begun some time ago.
    ends_ns.push_back((static_cast<double>(left) + 0.5) * each_ns);
    turn_ns = std::max(turn_ns, static_cast<double>(share) * each_ns);
  }
  // Those that were not looked at may end sooner.
  if (ends_ns.empty() || steps_left_ == 0) return 0;
  std::sort(ends_ns.begin(), ends_ns.end());
  const double ns =
      ends_ns[before % ends_ns.size()] + static_cast<double>(before / ends_ns.size()) * turn_ns;
  return shard_.mono_ns + static_cast<int64_t>(ns);
}

void LaneWhy::stand_in_queue(const Lane&, const Place& place, Found& found) const {
  const auto add = [&](const char* what, std::string text) -> Condition& {
    Condition& made = found.conditions.emplace_back();
    made.what = what;
    made.text = std::move(text);
    return made;
  };
  if (place.higher > 0) {
    add("priority", absl::StrCat(recipients_text(place.higher), " of higher priority go first"));
  }
  if (place.others > 0) {
    const std::string& tenant =
        place.tenant == nullptr ? "" : place.tenant->works.head->batch->batch.tenant;
    const uint64_t weight = place.tenant == nullptr ? 1 : place.tenant->weight;
    Condition& fairness =
        add("fairness",
            absl::StrCat(recipients_text(place.others),
                         " of other tenants go in between, for they share it by weight: ", tenant,
                         " has ", weight, " of ", weight + place.weights));
    const auto known = shard_.policy->tenants.find(tenant);
    if (known != shard_.policy->tenants.end()) fairness.origin = known->second.weight_origin;
    if (fairness.origin.setting.empty())
      fairness.origin.setting = absl::StrCat("tenants.", tenant, ".weight");
  }
  if (place.own > 0) {
    add("behind",
        absl::StrCat(recipients_text(place.own), " of the same tenant and priority go first"));
  }
  if (found.conditions.empty()) add("turn", "it is its turn");
}

// When so many have left by the sessions that there are.
int64_t LaneWhy::leaves_at(const Lane& lane, uint64_t ahead) const {
  const uint32_t working = std::max(1u, lane.sessions - lane.dialling - lane.closing);
  const double transactions = static_cast<double>(ahead) / lane.recipients + 1;
  return shard_.mono_ns +
         static_cast<int64_t>(transactions / working * static_cast<double>(lane.transaction_ns));
}

// -------------------------------------------------------------------------------------------------
// what a limit is called

std::string LaneWhy::scope_text(const ScopeId& id, const Lane& lane, const Place& place) const {
  const Policy& policy = *shard_.policy;
  const auto source = [&](uint32_t number) {
    return absl::StrCat("source ", policy.sources[number].name);
  };
  const auto tenant = [&]() -> std::string {
    if (place.tenant == nullptr || place.tenant->works.empty()) return "each tenant";
    return absl::StrCat("tenant ", place.tenant->works.head->batch->batch.tenant);
  };
  switch (id.kind) {
    case ScopeId::Kind::site:
      return absl::StrCat("this site from ", source(id.with));
    case ScopeId::Kind::provider:
      return absl::StrCat("provider ", policy.providers[id.of].name, " from ", source(id.with));
    case ScopeId::Kind::source:
      return source(id.of);
    case ScopeId::Kind::group:
      return absl::StrCat("group ", policy.groups[id.of].name);
    case ScopeId::Kind::tenant_at_site:
      return absl::StrCat(tenant(), " at this site");
    case ScopeId::Kind::tenant_at_provider:
      return absl::StrCat(tenant(), " at provider ", lane.provider->name);
    case ScopeId::Kind::global:
      break;
  }
  return "all sites together";
}

// Where a limit was not set it is a default, which has its name only.
Origin LaneWhy::origin_of(Scope& scope, Resource resource, const Lane& lane) const {
  const auto which = static_cast<size_t>(resource);
  Origin origin = scope.settings(*shard_.policy).origins[which];
  if (!origin.setting.empty()) return origin;
  const std::string key(name_of(resource));
  const Policy& policy = *shard_.policy;
  switch (scope.id.kind) {
    case ScopeId::Kind::site:
      origin.setting =
          resource == Resource::connections ? "smtp.connections_per_site" : "smtp.site_" + key;
      return origin;
    case ScopeId::Kind::provider:
      origin.setting = absl::StrCat("providers.", policy.providers[scope.id.of].name, ".", key);
      return origin;
    case ScopeId::Kind::source:
      origin.setting = absl::StrCat("sources.", policy.sources[scope.id.of].name, ".", key);
      return origin;
    case ScopeId::Kind::group:
      origin.setting = absl::StrCat("groups.", policy.groups[scope.id.of].name, ".", key);
      return origin;
    case ScopeId::Kind::tenant_at_site:
    case ScopeId::Kind::tenant_at_provider:
      origin.setting = absl::StrCat("providers.", lane.provider->name, ".tenant_", key);
      return origin;
    case ScopeId::Kind::global:
      break;
  }
  origin.setting = resource == Resource::connections ? "smtp.connections_total" : "smtp." + key;
  return origin;
}

Condition LaneWhy::limit_condition(Scope& scope, Resource resource, const Lane& lane,
                                   const Place& place) const {
  const LimitSettings& settings = scope.settings(*shard_.policy);
  Condition condition;
  condition.what = name_of(resource);
  condition.origin = origin_of(scope, resource, lane);
  const std::string whose = scope_text(scope.id, lane, place);
  if (resource == Resource::connections) {
    const bool of_tenant = scope.id.kind == ScopeId::Kind::tenant_at_site ||
                           scope.id.kind == ScopeId::Kind::tenant_at_provider;
    condition.text = absl::StrCat("all ", settings.connections,
                                  of_tenant ? " transactions at a time" : " connections",
                                  " allowed for ", whose, " are in use");
  } else {
    const char* const of = resource == Resource::connection_rate ? " new connections"
                           : resource == Resource::message_rate  ? " recipients"
                                                                 : " bytes";
    condition.text = absl::StrCat(rate_text(settings.rate(resource)), of, " are allowed for ",
                                  whose, ", and used up for now");
  }
  return condition;
}

}  // namespace veredus
