// What became of a ticket, written once: the verdict of the lane turned into an outcome, and the
// record's next state.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/in_doubt.h"
#include "engine/io/kill_point.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::OutcomeType;
using queue::Record;
using queue::RecordState;

void Home::returned(ReturnedMessage& message) {
  returned_[message.from] = message.number;
  for (const Returned& item : message.items) settle(item, message, message.from);
}

void Home::settle(const Returned& item, const ReturnedMessage& message, uint16_t from) {
  const queue::Ticket& ticket = item.ticket;
  const auto found = lanes_.find(ticket.site);
  HomeLane* const of = found == lanes_.end() ? nullptr : found->second.get();
  if (of != nullptr) {
    HomeLane& lane = *of;
    // It stays while tickets of it are out.
    Line& line = *find_line(lane, ticket.share, ticket.band);
    uint32_t& out = line.out_of(slice_at(lane, ticket.source, from));
    assert(out > 0);
    --out;
    --line.out_total;
    --tickets_out_;
    activate_lane(lane);
  }
  Record* record = records_.find(ticket.slot, ticket.generation);
  if (record == nullptr || record->state != RecordState::ticketed) {
    Counters::add(shard_.counters.stale);
    return;
  }
  const bool cancelled = (record->flags & kRecordCancelled) != 0;
  if (cancelled) {
    record->flags &= static_cast<uint8_t>(~kRecordCancelled);
    --being_cancelled_;
  }
  if (cancelled && item.unsent) return give_up_returned(ticket.slot);
  if (item.unsent) {
    Counters::add(shard_.counters.unsent);
    if (item.order != 0) return came_back_for(ticket.slot, item.order);
    return make_ready(ticket.slot, true);
  }
  record->attempts = queue::attempts_plus_one(record->attempts);

  queue::Outcome outcome;
  const std::string_view arena = message.arena;
  outcome.kind = static_cast<uint8_t>(item.verdict.kind);
  outcome.bounce_class = static_cast<uint8_t>(item.verdict.bounce_class);
  outcome.rule = item.verdict.rule;
  outcome.stage = item.stage;
  outcome.code = item.code;
  outcome.enhanced = item.enhanced;
  outcome.bytes = item.bytes;
  outcome.timing = item.timing;
  outcome.text = arena.substr(item.text_at, item.text_length);
  outcome.mx_name = arena.substr(item.mx_at, item.mx_length);
  outcome.mx_address = arena.substr(item.address_at, item.address_length);
  outcome.tls = arena.substr(item.tls_at, item.tls_length);
  if (of != nullptr) outcome.site = of->site->key;
  outcome.source = shard_.policy->sources[item.source].name;
  place_of(ticket, outcome);
  // The route's look-up is told once, with the first that had waited for it.
  if (uint32_t& dns_us = domains_[record->domain].dns_us; dns_us != queue::kNotReached) {
    if (outcome.timing.dns_us == queue::kNotReached) outcome.timing.dns_us = 0;
    outcome.timing.dns_us += std::exchange(dns_us, queue::kNotReached);
  }

  // What the host said is not kept: it may repeat the address.
  if (cancelled) outcome.text = {};
  if (cancelled && item.verdict.result == smtp::Result::later) return give_up_returned(ticket.slot);
  if (cancelled && item.verdict.result == smtp::Result::in_doubt) {
    doubt(ticket.slot, outcome, of);
    if (records_.find(ticket.slot, ticket.generation) != nullptr) give_up_returned(ticket.slot);
    called_back_.erase(ticket.slot);
    return;
  }
  if (cancelled) called_back_.erase(ticket.slot);

  switch (item.verdict.result) {
    case smtp::Result::delivered:
      outcome.type = OutcomeType::delivered;
      return finish(ticket.slot, outcome);
    case smtp::Result::never:
      outcome.type = item.expired ? OutcomeType::expired : OutcomeType::failed;
      return finish(ticket.slot, outcome);
    case smtp::Result::in_doubt:
      return doubt(ticket.slot, outcome, of);
    case smtp::Result::later:
      break;
  }
  int64_t delay_ns = 0;
  if (!item.verdict.new_transaction) {
    delay_ns = queue::next_delay_ns(retry_of(of), record->attempts, shard_.random.next(),
                                    item.verdict.retry_after_ns, item.verdict.greylisted);
  }
  if (of != nullptr && of->last_reply_mono_ns != shard_.mono_ns) {
    of->last_reply_mono_ns = shard_.mono_ns;
    of->last_reply.keep(outcome.code, outcome.text);
  }
  postpone(ticket.slot, outcome, delay_ns);
  if (item.verdict.greylisted) record->flags |= kRecordGreylisted;
}

// Pages are about equally long: where an entry's one should be.
size_t Home::likely_page(const Extent& extent, uint32_t offset) {
  return std::min<size_t>(offset * extent.pages_each_byte >> 32, extent.pages.size() - 1);
}

// The page of an extent that an entry lies in.
size_t Home::page_at(const Extent& extent, uint32_t offset) {
  const std::vector<uint32_t>& pages = extent.pages;
  const auto end_of = [&](size_t at) {
    return at + 1 == pages.size() ? UINT32_MAX : pages[at + 1];
  };
  // It is one of three, as good as any: a processor that had to guess which would often be wrong.
  size_t at = likely_page(extent, offset);
  at += static_cast<size_t>(end_of(at) <= offset);
  at -= static_cast<size_t>(pages[at] > offset);
  if (pages[at] <= offset && offset < end_of(at)) return at;
  const auto after = std::upper_bound(pages.begin(), pages.end(), offset);
  return static_cast<size_t>(after - pages.begin()) - 1;
}

// Where the recipient's entry lies, and whose it is.
void Home::place_of(uint32_t slot, queue::Outcome& outcome) const {
  const Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  const uint32_t page = extent.pages[page_at(extent, record.offset)];
  outcome.page_offset = extent.offset + page;
  outcome.entry_offset = record.offset - page;
  whose(record, extent, outcome);
}

// The same of one that was out with this ticket, which said where it lay when it left.
void Home::place_of(const queue::Ticket& ticket, queue::Outcome& outcome) const {
  const Record& record = records_[ticket.slot];
  const Extent& extent = extents_[record.extent];
  const bool moved = ticket.segment != extent.segment ||
                     ticket.page_offset + ticket.entry_offset != extent.offset + record.offset;
  if (moved) return place_of(ticket.slot, outcome);
  outcome.page_offset = ticket.page_offset;
  outcome.entry_offset = ticket.entry_offset;
  whose(record, extent, outcome);
}

void Home::whose(const Record& record, const Extent& extent, queue::Outcome& outcome) const {
  outcome.batch = extent.number;
  outcome.index = extent.first_index + record.ordinal;
  outcome.segment = extent.segment;
  outcome.attempt = record.attempts;
  outcome.wall_ns = shard_.wall_ns;
}

// The one place where an outcome goes to the journal and into the tallies.
void Home::write(queue::Outcome& outcome, const Extent& extent) {
  if (io::is_planted(io::Planted::expiry_unwritten) && outcome.type == OutcomeType::expired) return;
  if (outcomes_.empty()) oldest_outcome_mono_ns_ = shard_.mono_ns;
  // While somebody is being forgotten nobody's reply may bring his address back.
  if (erase_.stage != Erase::Stage::none && erase_.finder.in(outcome.text))
    outcome.text = erase_.masked = erase_.finder.masked(outcome.text);
  outcomes_.add(outcome);
  io::kill_point("outcome_gathered");
  extent.settled->count(outcome);
  if (extent.use->last_outcome != kNotAppended) {
    extent.use->last_outcome = kNotAppended;
    named_.push_back(extent.use);
  }
  queue::Tally& tally = extent.batch->tally;
  tally.attempts.fetch_add(1, std::memory_order_relaxed);
  tally.last_outcome_wall_ns.store(outcome.wall_ns, std::memory_order_relaxed);
}

// A record that waited for a further attempt leaves that count, whatever comes next.
static void leave_waiting(const Record& record, bool tried_before, queue::Tally& tally) {
  if ((record.flags & queue::kRecordInDoubt) != 0) {
    tally.in_doubt_waiting.fetch_sub(1, std::memory_order_relaxed);
  }
  if (tried_before) tally.deferred_now.fetch_sub(1, std::memory_order_relaxed);
}

void Home::finish(uint32_t slot, queue::Outcome& outcome) {
  count_final(slot, outcome);
  release_record(slot);
}

void Home::count_final(uint32_t slot, queue::Outcome& outcome) {
  const Extent& extent = extents_[records_[slot].extent];
  queue::Tally& tally = extent.batch->tally;
  leave_waiting(records_[slot], (records_[slot].flags & kRecordDeferred) != 0, tally);
  switch (outcome.type) {
    case OutcomeType::delivered:
      tally.delivered.fetch_add(1, std::memory_order_relaxed);
      if (io::is_planted(io::Planted::double_settle) && shard_.random.below(100) == 0) {
        tally.delivered.fetch_add(1, std::memory_order_relaxed);
        write(outcome, extent);
      }
      Counters::add(shard_.counters.delivered);
      break;
    case OutcomeType::failed:
      tally.failed.fetch_add(1, std::memory_order_relaxed);
      Counters::add(shard_.counters.failed);
      break;
    case OutcomeType::expired:
      tally.expired.fetch_add(1, std::memory_order_relaxed);
      Counters::add(shard_.counters.expired);
      break;
    case OutcomeType::cancelled:
      tally.cancelled.fetch_add(1, std::memory_order_relaxed);
      Counters::add(shard_.counters.cancelled);
      break;
    case OutcomeType::suppressed:
      tally.suppressed.fetch_add(1, std::memory_order_relaxed);
      break;
    case OutcomeType::deferred:
    case OutcomeType::in_doubt:
      assert(false && "not final");
      break;
  }
  write(outcome, extent);
}

void Home::postpone(uint32_t slot, queue::Outcome& outcome, int64_t delay_ns) {
  Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  queue::Tally& tally = extent.batch->tally;
  const bool tried_before = (record.flags & kRecordDeferred) != 0;
  leave_waiting(record, false, tally);
  constexpr uint8_t kOfLastReply = queue::kRecordInDoubt | kRecordGreylisted;
  record.flags = static_cast<uint8_t>((record.flags & ~kOfLastReply) | kRecordDeferred);
  if (!tried_before) tally.deferred_now.fetch_add(1, std::memory_order_relaxed);
  if (outcome.type == OutcomeType::in_doubt) {
    record.flags |= queue::kRecordInDoubt;
    tally.in_doubt_waiting.fetch_add(1, std::memory_order_relaxed);
    Counters::add(shard_.counters.in_doubt);
  } else {
    outcome.type = OutcomeType::deferred;
    Counters::add(shard_.counters.deferred);
  }
  // Waiting beyond the end of its time is of no use: it comes up when that ends.
  int64_t left_ns = expires_after_mono_ns(slot) - shard_.mono_ns;
  if (left_ns <= delay_ns) left_ns = std::max<int64_t>(0, expires_mono_ns(slot) - shard_.mono_ns);
  delay_ns = std::min(delay_ns, left_ns);
  outcome.next_due_wall_ns = shard_.wall_ns + std::max<int64_t>(delay_ns, 1);
  write(outcome, extent);
  // At its end it goes through the wheel, too, where it is seen that it has expired; else it would
  // be tried for ever.
  if (delay_ns > 0 || left_ns == 0) {
    schedule(slot, shard_.mono_ns + delay_ns);
  } else {
    make_ready(slot, true);
  }
}

// Lost between the final dot and its reply (RFC 1047): whether it arrived is not known. `lane`:
// that he was out with; after a crash nobody knows it, and nullptr.
void Home::doubt(uint32_t slot, queue::Outcome& outcome, HomeLane* lane) {
  Record& record = records_[slot];
  if (io::is_planted(io::Planted::doubt_is_later)) return postpone(slot, outcome, 1'000'000'000);
  if (io::is_planted(io::Planted::doubt_is_delivered) ||
      io::is_planted(io::Planted::doubt_is_failed)) {
    outcome.type =
        io::is_planted(io::Planted::doubt_is_failed) ? OutcomeType::failed : OutcomeType::delivered;
    return finish(slot, outcome);
  }
  const Domain& domain = domains_[record.domain];
  const Provider& provider =
      lane != nullptr
          ? provider_of(*lane)
          : shard_.policy->providers[shard_.policy->provider_of(domain.name, outcome.mx_name, {})];
  const InDoubtChoice choice =
      in_doubt_choice(*shard_.policy, provider, outcome.mx_name, domain.name);
  switch (choice.policy) {
    case InDoubtPolicy::assume_delivered:
      outcome.type = OutcomeType::delivered;
      return finish(slot, outcome);
    case InDoubtPolicy::retry: {
      outcome.type = OutcomeType::in_doubt;
      queue::RetryPolicy policy = provider.retry;
      policy.in_doubt_ns = choice.delay_ns;
      return postpone(slot, outcome,
                      queue::in_doubt_delay_ns(policy, record.attempts, shard_.random.next()));
    }
    case InDoubtPolicy::hold:
      break;
  }
  // Held: in no list until somebody decides. next_due 0 says so in the journal.
  const Extent& extent = extents_[record.extent];
  outcome.type = OutcomeType::in_doubt;
  outcome.next_due_wall_ns = 0;
  leave_waiting(record, (record.flags & kRecordDeferred) != 0, extent.batch->tally);
  record.flags = queue::kRecordInDoubt;
  record.state = RecordState::dormant;
  extent.batch->tally.in_doubt_held.fetch_add(1, std::memory_order_relaxed);
  Counters::add(shard_.counters.in_doubt);
  write(outcome, extent);
}

// By which its time ends: his receiver's, and [retry]'s where that cannot be found. Until one of
// the two is known nobody is given up early.
const queue::RetryPolicy& Home::age_policy_of(const Record& record) const {
  const Domain& domain = domains_[record.domain];
  if (domain.lane != nullptr) return provider_of(*domain.lane).retry;
  const bool nowhere = domain.no_route != nullptr || domain.route == RouteState::failed;
  return nowhere ? shard_.policy->providers[0].retry : shard_.policy->loosest_retry;
}

// That of the provider which its site belongs to; [retry]'s, where that is not known.
const queue::RetryPolicy& Home::retry_of(HomeLane* lane) const {
  return lane == nullptr ? shard_.policy->providers[0].retry : provider_of(*lane).retry;
}

void Home::expire(uint32_t slot) {
  queue::Outcome outcome = expired_outcome(slot);
  finish(slot, outcome);
}

queue::Outcome Home::expired_outcome(uint32_t slot) const {
  queue::Outcome outcome;
  outcome.type = OutcomeType::expired;
  outcome.kind = static_cast<uint8_t>(smtp::Kind::soft);
  outcome.bounce_class = static_cast<uint8_t>(smtp::BounceClass::message_expired);
  outcome.enhanced = {5, 4, 7};
  outcome.rule = "maximum-age";
  outcome.text = "its time to be delivered in has passed";
  place_of(slot, outcome);
  return outcome;
}

}  // namespace veredus
