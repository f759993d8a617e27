// From due to ticket: routes, windows, slices.

#include <algorithm>
#include <bit>
#include <cassert>

#include "absl/hash/hash.h"
#include "engine/home.h"
#include "engine/io/planted.h"
#include "engine/routes.h"

namespace veredus {

using queue::Record;
using queue::RecordState;

uint32_t Home::Slice::total() const {
  uint32_t sum = 0;
  for (const uint32_t in_band : out) sum += in_band;
  return sum;
}

void Home::make_ready(uint32_t slot, bool in_front) {
  Record& record = records_[slot];
  record.state = RecordState::ready;
  Domain& domain = domains_[record.domain];
  queue::SlotFifo& fifo = domain.ready[queue::band_of(record.priority)];
  in_front ? fifo.push_front(records_, slot) : fifo.push_back(records_, slot);
  if (domain.lane != nullptr) ++domain.lane->ready;
  list_domain(record.domain);
}

// A domain with ready records stands in the line where it is taken up: its lane's, or that of
// domains without a route.
void Home::list_domain(uint32_t id) {
  Domain& domain = domains_[id];
  switch (domain.route) {
    case RouteState::unknown:
      domain.route = RouteState::listed;
      unrouted_.push_back(id);
      return;
    case RouteState::listed:
    case RouteState::asking:
      return;
    case RouteState::failed:
      return;  // stands in failed_
    case RouteState::known:
      break;
  }
  HomeLane& lane = *domain.lane;
  for (unsigned band = 0; band < queue::kBands; ++band) {
    const uint8_t bit = static_cast<uint8_t>(1u << band);
    if (domain.ready[band].empty() || (domain.listed_bands & bit) != 0) continue;
    domain.listed_bands |= bit;
    lane.domains[band].push_back(id);
  }
  activate_lane(lane);
}

void Home::activate_lane(HomeLane& lane) {
  if (lane.active || lane.ready == 0) return;
  lane.active = true;
  active_.push_back(&lane);
}

// -------------------------------------------------------------------------------------------------
// routes

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
  if (told.site == nullptr) {
    domain.route = RouteState::failed;
    domain.failure = std::make_unique<RouteTold>(std::move(told));
    failed_.push_back(domain.failure->domain_id);
    return;
  }
  domain.route = RouteState::known;
  domain.route_expires_mono_ns = told.expires_mono_ns;
  domain.lane = &lane_of(std::move(told.site));
  domain.listed_bands = 0;
  for (const queue::SlotFifo& fifo : domain.ready) domain.lane->ready += fifo.count;
  list_domain(told.domain_id);
}

Home::HomeLane& Home::lane_of(std::shared_ptr<const Site> site) {
  std::unique_ptr<HomeLane>& lane = lanes_[site->number];
  if (lane == nullptr) {
    lane = std::make_unique<HomeLane>();
    lane->slices.resize(shard_.exchange.shards());
    for (Slice& slice : lane->slices) slice.window = kWindowFirst;
  }
  lane->site = std::move(site);
  return *lane;
}

// Recipients of domains that have no route settle as the route says: never (no such domain, null
// MX), or later.
void Home::fail_routes() {
  uint32_t budget = share_of(kFailuresPerTurn);
  while (!failed_.empty()) {
    const uint32_t id = failed_.front();
    Domain& domain = domains_[id];
    const RouteTold& failure = *domain.failure;
    for (queue::SlotFifo& fifo : domain.ready) {
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
          finish(slot, outcome);
        } else {
          postpone(
              slot, outcome,
              queue::next_delay_ns(shard_.settings.retry, record.attempts, shard_.random.next()));
        }
      }
      if (budget == 0) {
        more_to_do_ = true;
        return;
      }
    }
    failed_.pop_front();
    domain.failure.reset();
    domain.route = RouteState::unknown;
  }
}

// -------------------------------------------------------------------------------------------------
// dispatch

void Home::dispatch() {
  if (stopping_) return;
  // Outcomes that the disk does not take are kept in memory, and are doubles after a crash: no more
  // of them until it does. A write's end brings the next turn.
  if (!journal_.has_room()) return;
  ask_routes();
  fail_routes();
  uint32_t budget = share_of(kTicketsPerTurn);
  for (size_t lanes = active_.size(); lanes > 0 && budget > 0; --lanes) {
    HomeLane& lane = *active_.front();
    active_.pop_front();
    lane.active = false;
    dispatch_lane(lane, budget);
  }
  if (!active_.empty()) more_to_do_ = true;
}

// One round over the lane's domains. The lane stays active only while another round could send
// something.
void Home::dispatch_lane(HomeLane& lane, uint32_t& budget) {
  // A large batch lies in equal parts at all homes: each sees its part only.
  if (lane.ready > std::max<uint64_t>(kHotRecordsMin, kHotRecords / shard_.exchange.homes()))
    lane.hot = true;
  bool more = false;
  for (unsigned band = 0; band < queue::kBands; ++band) {
    std::deque<uint32_t>& line = lane.domains[band];
    for (size_t domains = line.size(); domains > 0 && budget > 0; --domains) {
      const uint32_t id = line.front();
      const Dispatched done = dispatch_domain(lane, id, band, budget);
      if (done == Dispatched::queue_full)
        more = true;  // the other shard will have room: look again next turn
      if (done != Dispatched::gone_on)
        break;  // no window: a return or a wider one makes it active again
      if (line.empty() || line.front() != id)
        continue;  // its route is asked again, or it has nothing left
      line.pop_front();
      line.push_back(id);
      more = true;
    }
    if (budget == 0) more = true;
  }
  if (lane.ready == 0) lane.hot = false;
  if (more) activate_lane(lane);
}

// A burst of one domain, so that recipients who can share a transaction stand together.
Home::Dispatched Home::dispatch_domain(HomeLane& lane, uint32_t id, unsigned band,
                                       uint32_t& budget) {
  Domain& domain = domains_[id];
  queue::SlotFifo& fifo = domain.ready[band];
  const uint8_t bit = static_cast<uint8_t>(1u << band);
  const bool stale = domain.route_expires_mono_ns <= shard_.mono_ns;
  if (domain.lane != &lane) {  // routed elsewhere meanwhile: what stands here is left over
    lane.domains[band].pop_front();
    return Dispatched::gone_on;
  }
  if (fifo.empty() || stale) {
    lane.domains[band].pop_front();
    domain.listed_bands &= static_cast<uint8_t>(~bit);
    if (fifo.empty()) return Dispatched::gone_on;
    // Its time to live has passed. Other bands' lines drop it when they come to it.
    domain.route = RouteState::unknown;
    if (budget > 0) --budget;
    for (const queue::SlotFifo& ready : domain.ready) lane.ready -= ready.count;
    domain.lane = nullptr;
    list_domain(id);
    return Dispatched::gone_on;
  }
  for (uint32_t burst = kBurst; burst > 0 && budget > 0 && !fifo.empty(); --burst) {
    const int slice = slice_with_room(lane, band);
    if (slice < 0) return Dispatched::no_window;
    const uint32_t slot = fifo.pop_front(records_);
    if ((records_[slot].flags & kRecordGone) != 0) {
      drop_gone(slot);
      --lane.ready;
      continue;
    }
    if (!send_ticket(lane, static_cast<unsigned>(slice), slot)) {
      fifo.push_front(records_, slot);
      return Dispatched::queue_full;
    }
    --budget;
  }
  if (fifo.empty()) {
    lane.domains[band].pop_front();
    domain.listed_bands &= static_cast<uint8_t>(~bit);
  }
  return Dispatched::gone_on;
}

// The owner's slice first; a hot site uses all shards, the one with the fewest tickets out next:
// work goes to where it is done fastest. All of them use the narrowest window: a slice that has
// sessions already must not take up all that waits before the others have theirs.
int Home::slice_with_room(HomeLane& lane, unsigned band) {
  const unsigned shards = static_cast<unsigned>(lane.slices.size());
  const unsigned owner = lane.site->owner;
  if (!lane.hot || shards == 1) {
    const Slice& slice = lane.slices[owner];
    return slice.out[band] < slice.window ? static_cast<int>(owner) : -1;
  }
  uint32_t window = UINT32_MAX;
  for (const Slice& slice : lane.slices) window = std::min(window, slice.window);
  int best = -1;
  for (unsigned i = 0; i < shards; ++i) {
    const unsigned at = (owner + i) % shards;
    const Slice& slice = lane.slices[at];
    if (slice.out[band] >= window) continue;
    if (best < 0 || slice.out[band] < lane.slices[static_cast<unsigned>(best)].out[band])
      best = static_cast<int>(at);
  }
  return best;
}

queue::Ticket Home::make_ticket(uint32_t slot, uint32_t site) const {
  const Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  const auto after = std::upper_bound(extent.pages.begin(), extent.pages.end(), record.offset);
  const uint32_t page = *(after - 1);
  const uint32_t page_end = after == extent.pages.end() ? extent.bytes : *after;
  queue::Ticket ticket;
  ticket.slot = slot;
  ticket.batch = static_cast<uint32_t>(extent.number);
  ticket.segment = extent.segment;
  ticket.page_offset = extent.offset + page;
  ticket.page_bytes = page_end - page;
  ticket.entry_offset = record.offset - page;
  ticket.site = site;
  ticket.queued_ms = static_cast<uint32_t>(shard_.mono_ns / 1'000'000);
  ticket.generation = record.generation;
  ticket.home = number_;
  ticket.attempt = static_cast<uint16_t>(record.attempts + 1);
  ticket.band = queue::band_of(record.priority);
  return ticket;
}

bool Home::send_ticket(HomeLane& lane, unsigned slice_number, uint32_t slot) {
  Slice& slice = lane.slices[slice_number];
  if (!slice.announced) {
    auto announced = std::make_unique<SiteAnnounced>();
    announced->from = shard_.id;
    announced->site = lane.site;
    shard_.exchange.post(slice_number, std::move(announced));
    slice.announced = true;
  }
  queue::Ticket ticket = make_ticket(slot, lane.site->number);
  // How much more waits here, as a power of two: the lane decides by it how many connections are
  // worth opening.
  ticket.flags =
      static_cast<uint8_t>(std::min<int>(63, static_cast<int>(std::bit_width(lane.ready))));
  if (!shard_.exchange.push(slice_number, ticket)) return false;
  if (io::is_planted(io::Planted::stale_ticket) && shard_.random.below(100) == 0) {
    if (shard_.exchange.push(slice_number, ticket)) {
      ++slice.out[ticket.band];
      ++tickets_out_;
    }
  }
  if (slice_number != shard_.id) shard_.exchange.wake(slice_number);
  records_[slot].state = RecordState::ticketed;
  --lane.ready;
  ++slice.out[ticket.band];
  ++tickets_out_;
  return true;
}

void Home::window(const WindowMessage& message) {
  const auto found = lanes_.find(message.site);
  if (found == lanes_.end()) return;
  found->second->slices[message.from].window = message.window;
  activate_lane(*found->second);
}

}  // namespace veredus
