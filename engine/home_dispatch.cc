// From due to ticket.

#include <algorithm>
#include <bit>

#include "engine/home.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::Record;
using queue::RecordState;

void Home::dispatch() {
  wake_lanes();
  if (stopping_) return;
  forget_unused();
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

// One round over the lane's lines. The lane stays active only while another round could send
// something.
void Home::dispatch_lane(HomeLane& lane, uint32_t& budget) {
  // A large batch lies in equal parts at all homes: each sees its part only.
  if (lane.ready > std::max<uint64_t>(kHotRecordsMin, kHotRecords / shard_.exchange.homes()))
    lane.hot = true;
  bool more = false, waits = false;
  for (Line& line : lane.lines) {
    if (line.domains == 0 || shut(lane, line)) continue;
    if (dispatch_line(lane, line, budget)) more = true;
    waits = waits || line.domains > 0;
  }
  if (!waits && lane.told_more) tell_nothing_behind(lane);
  std::erase_if(lane.lines,
                [](const Line& line) { return line.domains == 0 && line.out_total == 0; });
  if (budget == 0) more = true;
  if (lane.ready == 0) lane.hot = false;
  if (more) activate_lane(lane);
}

// To those whose last ticket said otherwise, once none of it is on its way.
void Home::tell_nothing_behind(HomeLane& lane) {
  lane.told_more = false;
  for (size_t i = 0; i < lane.slices.size(); ++i) {
    Slice& slice = lane.slices[i];
    if (slice.told <= 1) continue;
    if (std::any_of(lane.lines.begin(), lane.lines.end(),
                    [&](Line& line) { return line.out_of(i) > 0; })) {
      lane.told_more = true;
      continue;
    }
    slice.told = 0;
    auto message = std::make_unique<NothingBehind>();
    message->from = shard_.id;
    message->home = number_;
    message->site = lane.site->number;
    message->source = slice.source;
    shard_.exchange.post(slice.shard, std::move(message));
  }
}

// One round over the line's domains. True: another round could send something.
bool Home::dispatch_line(HomeLane& lane, Line& line, uint32_t& budget) {
  bool more = false;
  for (size_t domains = line.domains; domains > 0 && budget > 0; --domains) {
    const uint32_t id = line.head;
    const Dispatched done = dispatch_domain(lane, line, id, budget);
    // The other shard will have room: look again next turn.
    if (done == Dispatched::queue_full) return true;
    // A return or a wider window makes the lane active again.
    if (done == Dispatched::no_window) return more;
    // Its route is asked again, or it has nothing left.
    if (line.domains == 0 || line.head != id) continue;
    next_in_line(line);
    more = true;
  }
  return more;
}

// A burst of one domain, so that recipients who can share a transaction stand together.
Home::Dispatched Home::dispatch_domain(HomeLane& lane, Line& line, uint32_t id, uint32_t& budget) {
  Domain& domain = domains_[id];
  if (domain.route_expires_mono_ns <= shard_.mono_ns ||
      domain.policy_version != shard_.policy->version) {
    --budget;
    leave_route(id);
    return Dispatched::gone_on;
  }
  Ready& ready = *find_ready(domain, line.share, line.band);
  int slice = -1;
  for (uint32_t burst = kBurst, room = 0; burst > 0 && budget > 0 && !ready.fifo.empty(); --burst) {
    if (room == 0) slice = slice_with_room(lane, line, room);
    if (slice < 0) return Dispatched::no_window;
    const uint32_t slot = ready.fifo.pop_front(records_);
    if ((records_[slot].flags & kRecordGone) != 0) {
      drop_gone(slot);
      --lane.ready;
      --budget;
      continue;
    }
    if (obey(slot)) {
      --lane.ready;
      --budget;
      continue;
    }
    if (!send_ticket(lane, line, static_cast<unsigned>(slice), slot)) {
      ready.fifo.push_front(records_, slot);
      return Dispatched::queue_full;
    }
    --room;
    --budget;
  }
  if (ready.fifo.empty()) {
    leave_line(line, ready);
    drop_ready(domain, line.share, line.band);
  }
  return Dispatched::gone_on;
}

queue::Ticket Home::make_ticket(uint32_t slot) const {
  const Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  const size_t at = page_at(extent, record.offset);
  const uint32_t page = extent.pages[at];
  const uint32_t page_end = at + 1 == extent.pages.size() ? extent.bytes : extent.pages[at + 1];
  queue::Ticket ticket;
  ticket.slot = slot;
  ticket.batch = static_cast<uint32_t>(extent.number);
  ticket.segment = extent.segment;
  ticket.page_offset = extent.offset + page;
  ticket.page_bytes = page_end - page;
  ticket.entry_offset = record.offset - page;
  ticket.queued_ms = static_cast<uint32_t>(shard_.mono_ns / 1'000'000);
  ticket.generation = record.generation;
  ticket.home = number_;
  ticket.attempt = static_cast<uint16_t>(record.attempts + 1);
  ticket.band = queue::band_of(record.priority);
  return ticket;
}

bool Home::send_ticket(HomeLane& lane, Line& line, unsigned slice_number, uint32_t slot) {
  Slice& slice = lane.slices[slice_number];
  if (!slice.announced) {
    auto announced = std::make_unique<SiteAnnounced>();
    announced->from = shard_.id;
    announced->home = number_;
    announced->site = lane.site;
    announced->source = slice.source;
    shard_.exchange.post(slice.shard, std::move(announced));
    slice.announced = true;
  }
  queue::Ticket ticket = make_ticket(slot);
  ticket.site = lane.site->number;
  ticket.source = slice.source;
  ticket.share = line.share;
  ticket.rules = static_cast<uint16_t>(shard_.policy->version);
  // How much more waits here, as a power of two: the lane decides by it how many connections are
  // worth opening.
  ticket.flags =
      static_cast<uint8_t>(std::min<int>(63, static_cast<int>(std::bit_width(lane.ready))));
  if (!shard_.exchange.push(slice.shard, ticket)) return false;
  slice.told = ticket.flags;
  if (slice.told > 1) lane.told_more = true;
  if (io::is_planted(io::Planted::stale_ticket) && shard_.random.below(100) == 0) {
    if (shard_.exchange.push(slice.shard, ticket)) {
      ++line.out_of(slice_number);
      ++line.out_total;
      ++tickets_out_;
    }
  }
  if (slice.shard != shard_.id) shard_.exchange.wake(slice.shard);
  records_[slot].state = RecordState::ticketed;
  --lane.ready;
  ++line.out_of(slice_number);
  ++line.out_total;
  ++tickets_out_;
  return true;
}

}  // namespace veredus
