// Who is due stands at his domain, by share (tenant and pool) and band; domains stand in the lines
// of their lane.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"

namespace veredus {

using queue::Record;
using queue::RecordState;

// -------------------------------------------------------------------------------------------------
// shares

uint32_t Home::share_number(const queue::LiveBatch& batch, std::string_view pool) {
  const auto [found, fresh] = share_numbers_.try_emplace(std::pair(batch.tenant, std::string(pool)),
                                                         static_cast<uint32_t>(shares_.size()));
  if (fresh) {
    Share& made = shares_.emplace_back();
    made.tenant = batch.tenant;
    made.tenant_name = batch.batch.tenant;
    made.pool = pool;
  }
  return found->second;
}

uint32_t Home::share_of_record(uint32_t slot) {
  Extent& extent = extents_[records_[slot].extent];
  const queue::LiveBatch& batch = *extent.batch;
  if (extent.share == kNoShare) extent.share = share_number(batch, batch.batch.pool);
  if (extent.end_version != shard_.policy->version) reckon_end(extent);
  ends_at(own_expiry_.value(slot) != 0 ? expires_mono_ns(slot) : extent.end_mono_ns);
  if (const uint32_t own = own_pool_.value(slot); own != 0)
    return share_number(batch, pool_names_[own - 1]);
  return extent.share;
}

// -------------------------------------------------------------------------------------------------
// at the domain

Home::Ready* Home::find_ready(Domain& domain, uint32_t share, uint8_t band) {
  for (Ready& ready : domain.ready) {
    if (ready.share == share && ready.band == band) return &ready;
  }
  return nullptr;
}

Home::Ready& Home::ready_of(Domain& domain, uint32_t share, uint8_t band) {
  if (Ready* const found = find_ready(domain, share, band)) return *found;
  Ready& made = domain.ready.emplace_back();
  made.share = share;
  made.band = band;
  return made;
}

void Home::drop_ready(Domain& domain, uint32_t share, uint8_t band) {
  const auto found =
      std::find_if(domain.ready.begin(), domain.ready.end(),
                   [&](const Ready& ready) { return ready.share == share && ready.band == band; });
  assert(found != domain.ready.end() && found->fifo.empty() && !found->listed);
  domain.ready.erase(found);
}

void Home::make_ready(uint32_t slot, bool in_front) {
  const uint32_t share = share_of_record(slot);
  Record& record = records_[slot];
  // Its ticket says on which page it lies: that is fetched until then.
  const Extent& extent = extents_[record.extent];
  __builtin_prefetch(&extent.pages[likely_page(extent, record.offset)]);
  record.state = RecordState::ready;
  Domain& domain = domains_[record.domain];
  queue::SlotFifo& fifo = ready_of(domain, share, queue::band_of(record.priority)).fifo;
  in_front ? fifo.push_front(records_, slot) : fifo.push_back(records_, slot);
  if (domain.lane != nullptr) ++domain.lane->ready;
  list_domain(record.domain);
}

// A domain with ready records stands in the lines where it is taken up: its lane's, or that of
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
    case RouteState::failed:  // stands in failed_
      return;
    case RouteState::known:
      break;
  }
  for (Ready& ready : domain.ready) {
    if (!ready.listed && !ready.fifo.empty()) stand_in_line(*domain.lane, id, ready);
  }
  activate_lane(*domain.lane);
}

// -------------------------------------------------------------------------------------------------
// in the lane

static auto place_in_lines(auto& lines, uint32_t share, uint8_t band) {
  return std::lower_bound(lines.begin(), lines.end(), std::pair(band, share),
                          [](const auto& line, const std::pair<uint8_t, uint32_t>& key) {
                            return std::pair(line.band, line.share) < key;
                          });
}

Home::Line* Home::find_line(HomeLane& lane, uint32_t share, uint8_t band) {
  const auto found = place_in_lines(lane.lines, share, band);
  const bool there = found != lane.lines.end() && found->share == share && found->band == band;
  return there ? &*found : nullptr;
}

Home::Line& Home::line_of(HomeLane& lane, uint32_t share, uint8_t band) {
  const auto found = place_in_lines(lane.lines, share, band);
  if (found != lane.lines.end() && found->share == share && found->band == band) return *found;
  Line made;
  made.share = share;
  made.band = band;
  return *lane.lines.insert(found, std::move(made));
}

void Home::stand_in_line(HomeLane& lane, uint32_t id, Ready& ready) {
  Line& line = line_of(lane, ready.share, ready.band);
  ready.listed = true;
  ready.next_domain = kNoDomain;
  ready.previous_domain = line.tail;
  if (line.tail == kNoDomain) {
    line.head = id;
  } else {
    find_ready(domains_[line.tail], ready.share, ready.band)->next_domain = id;
  }
  line.tail = id;
  ++line.domains;
}

void Home::leave_line(Line& line, Ready& ready) {
  assert(ready.listed);
  ready.listed = false;
  --line.domains;
  uint32_t& before =
      ready.previous_domain == kNoDomain
          ? line.head
          : find_ready(domains_[ready.previous_domain], ready.share, ready.band)->next_domain;
  uint32_t& behind =
      ready.next_domain == kNoDomain
          ? line.tail
          : find_ready(domains_[ready.next_domain], ready.share, ready.band)->previous_domain;
  before = ready.next_domain;
  behind = ready.previous_domain;
}

// The first one goes to the end.
void Home::next_in_line(Line& line) {
  if (line.head == line.tail) return;
  const uint32_t id = line.head;
  Ready& ready = *find_ready(domains_[id], line.share, line.band);
  leave_line(line, ready);
  ready.listed = true;
  ready.next_domain = kNoDomain;
  ready.previous_domain = line.tail;
  find_ready(domains_[line.tail], line.share, line.band)->next_domain = id;
  line.tail = id;
  ++line.domains;
}

void Home::activate_lane(HomeLane& lane) {
  if (lane.active || (lane.ready == 0 && !lane.told_more)) return;
  lane.active = true;
  active_.push_back(&lane);
}

}  // namespace veredus
