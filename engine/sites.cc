#include "engine/sites.h"

#include <algorithm>
#include <utility>

namespace veredus {

void SiteLists::asked(const SitesQuestion& question) {
  Walk& walk = walks_.emplace_back();
  walk.question = question;
  walk.answer.token = question.token;
  ++lanes_.pinned_;
  for (Home& home : homes_) ++home.forgetting_.pinned;
}

void SiteLists::run() {
  if (walks_.empty()) return;
  Walk& walk = walks_.front();
  using Stage = Walk::Stage;
  switch (walk.stage) {
    case Stage::domains:
      return domains(walk);
    case Stage::home_lanes:
      return home_lanes(walk);
    case Stage::lanes:
      return lanes(walk);
    case Stage::choosing:
      return choose(walk);
    case Stage::telling:
      return tell_some(walk);
    case Stage::clearing:  // of very many it takes its time, too
      walk.sums.resize(walk.sums.size() - std::min(walk.sums.size(), kLookedAtPerTurn));
      if (walk.sums.empty()) walks_.pop_front();
  }
}

// -------------------------------------------------------------------------------------------------
// sums

bool SiteLists::asked_for(const Walk& walk, const Site* site) const {
  return walk.question.site.empty() || (site != nullptr && site->key == walk.question.site);
}

SiteLists::Sums& SiteLists::sums_of(Walk& walk, const Site* site) const {
  const size_t number = site == nullptr ? 0 : site->number + 1;
  if (walk.places.size() <= number) walk.places.resize(number + 1, kNoSums);
  uint32_t& place = walk.places[number];
  if (place == kNoSums) {
    place = static_cast<uint32_t>(walk.sums.size());
    walk.sums.emplace_back().site = site;
  }
  return walk.sums[place];
}

void SiteLists::domains(Walk& walk) {
  Home& home = homes_[walk.home];
  const size_t end = std::min(home.domains_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    const Home::Domain& domain = home.domains_[walk.next];
    if (domain.waiting == 0) continue;
    const Site* const site = domain.lane == nullptr ? nullptr : domain.lane->site.get();
    if (!asked_for(walk, site)) continue;
    uint64_t ready = 0;  // without a site; else its lane says it
    for (const Home::Ready& each : domain.ready) {
      if (site == nullptr) ready += each.fifo.count;
    }
    if (walk.question.by_provider) {
      SiteState& sum = walk.providers[site == nullptr ? 0 : home.provider_of(*domain.lane).id + 1];
      sum.waiting += domain.waiting;
      sum.ready += ready;
      continue;
    }
    Sums& sums = sums_of(walk, site);
    sums.waiting += domain.waiting;
    sums.ready += ready;
    const auto free = std::find(sums.domains.begin(), sums.domains.end(), nullptr);
    if (free != sums.domains.end()) *free = &domain.name;
  }
  if (walk.next < home.domains_.size()) return;
  walk.deferred += home.no_route_.deferred;
  walk.failed += home.no_route_.failed;
  walk.next = 0;
  if (++walk.home < homes_.size()) return;
  walk.home = 0;
  walk.stage = Walk::Stage::home_lanes;
  if (walk.deferred + walk.failed == 0 || !asked_for(walk, nullptr)) return;
  if (!walk.question.by_provider) {
    sums_of(walk, nullptr);  // though nothing of it may wait
  } else {
    walk.providers[0].deferred = walk.deferred;
    walk.providers[0].failed = walk.failed;
  }
}

void SiteLists::home_lanes(Walk& walk) {
  Home& home = homes_[walk.home];
  const size_t end = std::min(home.lanes_in_order_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    Home::HomeLane& lane = *home.lanes_in_order_[walk.next];
    if (!asked_for(walk, lane.site.get())) continue;
    if (walk.question.by_provider) {
      walk.providers[home.provider_of(lane).id + 1].ready += lane.ready;
      continue;
    }
    Sums& sums = sums_of(walk, lane.site.get());
    sums.ready += lane.ready;
    for (const Home::Slice& slice : lane.slices) {
      if (slice.down_until_mono_ns > shard_.mono_ns)
        sums.down_until_mono_ns = std::max(sums.down_until_mono_ns, slice.down_until_mono_ns);
    }
  }
  if (walk.next < home.lanes_in_order_.size()) return;
  walk.next = 0;
  if (++walk.home < homes_.size()) return;
  walk.stage = Walk::Stage::lanes;
}

// What a lane has done and is about.
static void add(const Lane& lane, SiteState& state) {
  const uint32_t waits = lane.waiting.total();
  state.ready += waits;
  state.in_flight += lane.works - waits;
  state.delivered += lane.delivered;
  state.deferred += lane.deferred;
  state.failed += lane.failed;
  state.in_doubt += lane.in_doubt;
  state.connections += lane.sessions - lane.closing;
  state.dialling += lane.dialling;
  state.idle += static_cast<uint32_t>(lane.idle.size());
}

void SiteLists::lanes(Walk& walk) {
  const size_t end = std::min(lanes_.lanes_in_order_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    Lane* const lane = lanes_.lanes_in_order_[walk.next];
    if (!asked_for(walk, lane->site.get())) continue;
    if (walk.question.by_provider) {
      add(*lane, walk.providers[lane->provider->id + 1]);
    } else {
      sums_of(walk, lane->site.get()).lanes.push_back(lane);
    }
  }
  if (walk.next < lanes_.lanes_in_order_.size()) return;
  walk.next = 0;
  if (walk.question.by_provider) return tell_providers(walk);
  walk.stage = Walk::Stage::choosing;
}

// Those with most that waits; of as much, those that were found first. However many there are, no
// more are compared in a turn than are told in the end, and its share.
void SiteLists::choose(Walk& walk) {
  const auto goes_before = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  auto& order = walk.order;
  const size_t end = std::min(walk.sums.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next)
    order.emplace_back(walk.sums[walk.next].waiting, static_cast<uint32_t>(walk.next));
  if (const size_t told = walk.question.limit; order.size() > told) {
    std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(told), order.end(),
                     goes_before);
    order.resize(told);
  }
  if (walk.next < walk.sums.size()) return;
  std::sort(order.begin(), order.end(), goes_before);
  walk.answer.total = walk.sums.size();
  walk.answer.sites.reserve(order.size());  // moving them all would take a turn's time
  walk.next = 0;
  walk.stage = Walk::Stage::telling;
}

// -------------------------------------------------------------------------------------------------
// told

void SiteLists::tell_some(Walk& walk) {
  const size_t end = std::min(walk.order.size(), walk.next + kToldPerTurn);
  for (; walk.next < end; ++walk.next)
    tell(walk, walk.sums[walk.order[walk.next].second], walk.answer);
  if (walk.next < walk.order.size()) return;
  shard_.exchange.answers().answer_question(std::move(walk.answer));
  walk.stage = Walk::Stage::clearing;
  --lanes_.pinned_;
  for (Home& home : homes_) --home.forgetting_.pinned;
}

void SiteLists::tell(const Walk& walk, const Sums& sums, SitesAnswer& answer) {
  SiteState& state = answer.sites.emplace_back();
  state.waiting = sums.waiting;
  state.ready = sums.ready;
  state.down_until_mono_ns = sums.down_until_mono_ns;
  for (const std::string* const domain : sums.domains) {
    if (domain != nullptr) state.domains.push_back(*domain);
  }
  if (sums.site == nullptr) {
    state.no_site = true;
    state.deferred = walk.deferred;
    state.failed = walk.failed;
    return;
  }
  state.site = sums.site->key;
  state.provider = shard_.policy->provider_of(*sums.site).name;
  tell_orders(state, state.conditions);
  for (Lane* const lane : sums.lanes) {
    state.sources.push_back(shard_.policy->sources[lane->source].name);
    add(*lane, state);
    if (!lane->clock.open(shard_.mono_ns))
      state.down_until_mono_ns = std::max(state.down_until_mono_ns, lane->clock.until_ns());
    if (lane->last_reply_mono_ns > state.last_reply_mono_ns) {
      state.last_reply_mono_ns = lane->last_reply_mono_ns;
      state.last_reply = lane->last_reply.shown();
    }
    lane_why_.explain_next(*lane, state.conditions);
  }
}

// All of them: they are as many as are configured.
void SiteLists::tell_providers(Walk& walk) {
  for (auto& [number, state] : walk.providers) {
    state.no_site = number == 0;
    if (number > 0) {
      state.provider = shard_.policy->providers[number - 1].name;
      tell_orders(state, state.conditions);
    }
    walk.answer.sites.push_back(std::move(state));
  }
  walk.answer.total = walk.answer.sites.size();
  walk.stage = Walk::Stage::telling;  // nothing is left to be told
}

// Suspensions by site or provider: others hold back some of its mail only.
void SiteLists::tell_orders(const SiteState& state, std::vector<Condition>& conditions) const {
  for (const queue::Order& order : shard_.orders->all()) {
    if (order.kind == queue::Order::Kind::suspend && order.in_force(shard_.wall_ns) &&
        asks_site(order.filter) && fits_site(order.filter, state.site, state.provider))
      conditions.push_back(condition_of(order, shard_.mono_ns, shard_.wall_ns));
  }
}

}  // namespace veredus
