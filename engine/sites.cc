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
    case Stage::telling:
      break;
  }
  const size_t end = std::min(walk.order.size(), walk.next + kToldPerTurn);
  for (; walk.next < end; ++walk.next)
    tell(walk.sums.at(walk.order[walk.next].second), walk.answer);
  if (walk.next < walk.order.size()) return;
  shard_.exchange.answers().answer_question(std::move(walk.answer));
  walks_.pop_front();
  --lanes_.pinned_;
  for (Home& home : homes_) --home.forgetting_.pinned;
}

// -------------------------------------------------------------------------------------------------
// sums

bool SiteLists::asked_for(const Walk& walk, const Site* site) const {
  return walk.question.site.empty() || (site != nullptr && site->key == walk.question.site);
}

SiteLists::Sums& SiteLists::sums_of(Walk& walk, const Site& site) const {
  Sums& sums = walk.sums[site.number + 1];
  sums.site = &site;
  return sums;
}

void SiteLists::domains(Walk& walk) {
  const Home& home = homes_[walk.home];
  const size_t end = std::min(home.domains_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    const Home::Domain& domain = home.domains_[walk.next];
    if (domain.waiting == 0) continue;
    const Site* const site = domain.lane == nullptr ? nullptr : domain.lane->site.get();
    if (!asked_for(walk, site)) continue;
    Sums& sums = site == nullptr ? walk.sums[0] : sums_of(walk, *site);
    sums.waiting += domain.waiting;
    for (const Home::Ready& ready : domain.ready) {
      if (site == nullptr) sums.ready += ready.fifo.count;
    }
    const auto free = std::find(sums.domains.begin(), sums.domains.end(), nullptr);
    if (free != sums.domains.end()) *free = &domain.name;
  }
  if (walk.next < home.domains_.size()) return;
  walk.next = 0;
  if (++walk.home < homes_.size()) return;
  walk.home = 0;
  walk.stage = Walk::Stage::home_lanes;
}

void SiteLists::home_lanes(Walk& walk) {
  const Home& home = homes_[walk.home];
  const size_t end = std::min(home.lanes_in_order_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    const Home::HomeLane& lane = *home.lanes_in_order_[walk.next];
    if (!asked_for(walk, lane.site.get())) continue;
    Sums& sums = sums_of(walk, *lane.site);
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

void SiteLists::lanes(Walk& walk) {
  const size_t end = std::min(lanes_.lanes_in_order_.size(), walk.next + kLookedAtPerTurn);
  for (; walk.next < end; ++walk.next) {
    Lane* const lane = lanes_.lanes_in_order_[walk.next];
    if (asked_for(walk, lane->site.get())) sums_of(walk, *lane->site).lanes.push_back(lane);
  }
  if (walk.next < lanes_.lanes_in_order_.size()) return;
  choose(walk);
  walk.next = 0;
  walk.stage = Walk::Stage::telling;
}

// Those with most that waits; of as much, those that were known first.
void SiteLists::choose(Walk& walk) {
  for (const auto& [key, sums] : walk.sums) walk.order.emplace_back(sums.waiting, key);
  walk.answer.total = walk.order.size();
  const size_t told = std::min<size_t>(walk.order.size(), walk.question.limit);
  std::partial_sort(walk.order.begin(), walk.order.begin() + static_cast<ptrdiff_t>(told),
                    walk.order.end(), [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : a.second < b.second;
                    });
  walk.order.resize(told);
}

// -------------------------------------------------------------------------------------------------
// one of them

void SiteLists::tell(const Sums& sums, SitesAnswer& answer) {
  SiteState& state = answer.sites.emplace_back();
  state.waiting = sums.waiting;
  state.ready = sums.ready;
  state.down_until_mono_ns = sums.down_until_mono_ns;
  for (const std::string* const domain : sums.domains) {
    if (domain != nullptr) state.domains.push_back(*domain);
  }
  if (sums.site == nullptr) return;
  state.site = sums.site->key;
  state.provider = shard_.policy->provider_of(*sums.site).name;
  tell_orders(state, state.conditions);
  for (Lane* const lane : sums.lanes) {
    state.sources.push_back(shard_.policy->sources[lane->source].name);
    const uint32_t waits = lane->waiting.total();
    state.ready += waits;
    state.in_flight += lane->works - waits;
    state.delivered += lane->delivered;
    state.deferred += lane->deferred;
    state.failed += lane->failed;
    state.in_doubt += lane->in_doubt;
    state.connections += lane->sessions - lane->closing;
    state.dialling += lane->dialling;
    state.idle += static_cast<uint32_t>(lane->idle.size());
    if (!lane->clock.open(shard_.mono_ns))
      state.down_until_mono_ns = std::max(state.down_until_mono_ns, lane->clock.until_ns());
    if (lane->last_reply_mono_ns > state.last_reply_mono_ns) {
      state.last_reply_mono_ns = lane->last_reply_mono_ns;
      state.last_reply = lane->last_reply.shown();
    }
    lane_why_.explain_next(*lane, state.conditions);
  }
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
