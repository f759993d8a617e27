// Tickets in, tickets out: what a lane takes up and how it comes back.

#include "engine/lane.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <span>

#include "engine/io/planted.h"
#include "engine/why.h"

namespace veredus {

Lane::Lane(Lanes& lanes, std::shared_ptr<const Site> the_site, uint16_t the_source)
    : site(std::move(the_site)),
      source(the_source),
      passes(&lanes.passes_of(lanes.shard_.policy->provider_of(*site), *site)),
      waiting(*passes) {
  backlog.resize(lanes.shard_.exchange.homes());
  windows.resize(lanes.shard_.exchange.homes(), Lanes::kWindowFirst);
}

Lanes::Lanes(ShardContext& shard, queue::Disk& disk, dns::Router& router, io::Network& network,
             io::TimerWheel& timers, Limits& limits, Sources& sources)
    : shard_(shard),
      store_(disk, *this, shard.settings.page_cache_bytes, shard.settings.content_cache_bytes),
      router_(router),
      world_(network, timers, shard.mono_ns),
      limits_(limits),
      sources_(sources),
      returned_(shard.exchange.homes()),
      returned_number_(shard.exchange.homes()),
      disk_(disk),
      maker_(shard) {
  world_.output.rules = shard.policy->reply_rules.get();
}

Lanes::~Lanes() {
  if (!marks_memory_.empty()) disk_.unmap(marks_memory_);
}

void Lanes::announce(std::shared_ptr<const queue::LiveBatch> batch) {
  const uint32_t number = static_cast<uint32_t>(batch->batch.number);
  if (batches_.insert_or_assign(number, std::move(batch)).second)
    batches_in_turn_.push_back(number);
}

// A batch whose recipients are all settled has no ticket out: nobody will ask for it or for its
// content again.
void Lanes::forget_finished() {
  for (size_t left = std::min(kBatchesLookedAt, batches_in_turn_.size()); left > 0; --left) {
    const uint32_t number = batches_in_turn_.front();
    batches_in_turn_.pop_front();
    const auto found = batches_.find(number);
    const queue::LiveBatch& batch = *found->second;
    if (batch.tally.finals() < batch.accepted || !store_.forget(number)) {
      batches_in_turn_.push_back(number);
      continue;
    }
    batches_.erase(found);
  }
}

std::shared_ptr<const queue::LiveBatch> Lanes::find_batch(uint32_t number) {
  const auto found = batches_.find(number);
  return found == batches_.end() ? nullptr : found->second;
}

// A home announces it again when it has forgotten the lane, and the windows that it was told.
void Lanes::site_announced(SiteAnnounced& message) {
  const uint32_t number = message.site->number;
  sites_[number] = std::move(message.site);
  if (const auto known = lanes_.find({number, message.source}); known != lanes_.end())
    known->second->windows[message.home] = kWindowFirst;
}

// What the lane keeps for more that was to come, others may want.
void Lanes::nothing_behind(const NothingBehind& message) {
  const auto found = lanes_.find({message.site, message.source});
  if (found == lanes_.end()) return;
  found->second->backlog[message.home] = 0;
  list(*found->second);
}

// In a thread that is not the first, malloc has the kernel add a page at a time to what it has got
// from it, each by a call: 2 % of all where there are 100,000 sites. A large piece, handed back at
// once, is what the next lanes are taken from.
static void have_memory_ahead() {
  constexpr size_t kAhead = 1 << 20;  // what 64 sites take, and more
  void* volatile ahead = std::malloc(kAhead);
  std::free(ahead);
}

Lane* Lanes::lane_of(uint32_t site, uint16_t source) {
  const auto found = lanes_.find({site, source});
  if (found != lanes_.end()) return found->second.get();
  const auto announced = sites_.find(site);
  if (announced == sites_.end()) return nullptr;
  if (lanes_in_order_.size() % kLanesAhead == 0) have_memory_ahead();
  std::unique_ptr<Lane>& made = lanes_[{site, source}];
  made = std::make_unique<Lane>(*this, announced->second, source);
  Counters::add(shard_.counters.lanes);
  lanes_in_order_.push_back(made.get());
  take_up_policy(*made);
  return made.get();
}

void Lanes::list(Lane& lane) {
  if (lane.listed) return;
  lane.listed = true;
  to_pump_.push_back(&lane);
}

// -------------------------------------------------------------------------------------------------
// tickets

void Lanes::take_tickets() {
  queue::TicketQueue& queue = shard_.exchange.tickets(shard_.id);
  std::array<queue::Ticket, 128> some;
  uint32_t budget = kTicketsPerTurn;
  more_to_do_ = false;
  for (size_t early = early_.size(); early > 0; --early) {
    const queue::Ticket ticket = early_.front();
    early_.pop_front();
    if (!take_up(ticket)) early_.push_back(ticket);
  }
  while (budget > 0) {
    const size_t count = queue.pop(std::span(some).first(std::min<size_t>(some.size(), budget)));
    if (count == 0) return;
    budget -= static_cast<uint32_t>(count);
    for (const queue::Ticket& ticket : std::span(some).first(count)) {
      if (!take_up(ticket)) early_.push_back(ticket);
    }
  }
  more_to_do_ = true;
}

// How much older, or (below 0) newer, the rules are that it left home by.
int Lanes::rules_behind(const queue::Ticket& ticket) const {
  if (io::is_planted(io::Planted::outdated_tickets)) return 0;
  return static_cast<int16_t>(static_cast<uint16_t>(shard_.policy->version) - ticket.rules);
}

// False: its site, its batch or the rules that it left home by have not been announced here yet.
// That is on its way: messages overtake each other when they come from different threads.
bool Lanes::take_up(const queue::Ticket& ticket) {
  Lane* const lane = lane_of(ticket.site, ticket.source);
  const auto batch = batches_.find(ticket.batch);
  if (lane == nullptr || batch == batches_.end() || rules_behind(ticket) < 0) return false;
  Work& work = *new_work();
  work.ticket = ticket;
  work.lane = lane;
  work.taken_up_mono_ns = shard_.mono_ns;
  work.batch = batch->second.get();
  ++lane->works;
  lane->used_mono_ns = shard_.mono_ns;
  lane->backlog[ticket.home] = ticket.flags;
  if (draining_ || rules_behind(ticket) > 0) {
    give_back_unsent(work);
  } else {
    store_.fetch(work);
  }
  return true;
}

void Lanes::on_work_ready(Work& work) {
  Lane& lane = *work.lane;
  if (draining_ || rules_behind(work.ticket) > 0) return give_back_unsent(work);
  if (io::is_planted(io::Planted::lost_ticket) && shard_.random.below(300) == 0)
    return free_work(work);
  if (shard_.exchange.source_missing(lane.source)) return give_back_unsent(work);
  // An order to try again may have come to his home, and not to this lane yet.
  if (told_left_ > 0 && !lane.clock.open(shard_.mono_ns)) try_again(lane);
  if (!lane.clock.open(shard_.mono_ns)) {
    tell_down(lane, work.ticket.home);
    return give_back_unsent(work);
  }
  // By the rules in force, or not yet.
  if (lane.policy == shard_.policy && held_back(lane, work)) return;
  const queue::LiveBatch& batch = *work.batch;
  lane.waiting.push(&work, batch.tenant, weight_of(batch));
  ends_at(lane, ends_mono_ns(work));
  list(lane);
}

void Lanes::on_damage(const queue::Location& at, const std::string& what) {
  shard_.exchange.answers().damage("journal " + std::to_string(at.journal) + ", segment " +
                                   std::to_string(at.segment) + ", byte " +
                                   std::to_string(at.offset) + ": " + what);
}

void Lanes::on_work_unreadable(Work& work, std::string_view why) {
  Counters::add(shard_.counters.unreadable);
  Returned& item = give_back(work);
  item.verdict.result = smtp::Result::later;
  item.verdict.scope = smtp::Scope::recipient;
  item.verdict.kind = smtp::Kind::other;
  item.verdict.bounce_class = smtp::BounceClass::other;
  item.verdict.rule = "spool-unreadable";
  item.enhanced = {4, 3, 0};
  text_of(work, item, why, {}, {});
  free_work(work);
}

Work* Lanes::new_work() {
  ++works_out_;
  if (free_works_ != nullptr) {
    Work* const work = free_works_;
    free_works_ = work->next;
    *work = Work{};
    return work;
  }
  return &work_slab_.emplace_back();
}

void Lanes::free_work(Work& work) {
  assert(work.mark == queue::AttemptMarks::kNoPlace && "what has a mark has an outcome");
  store_.release(work);
  Lane& lane = *work.lane;
  --lane.works;
  --works_out_;
  work.next = free_works_;
  free_works_ = &work;
}

// -------------------------------------------------------------------------------------------------
// the way home

// The one place where a ticket goes back. The caller fills in what became of it, then frees the
// work.
Returned& Lanes::give_back(Work& work) {
  std::unique_ptr<ReturnedMessage>& message = returned_[work.ticket.home];
  if (message == nullptr) {
    message = std::move(spare_returned_);
    if (message == nullptr) message = std::make_unique<ReturnedMessage>();
    message->items.clear();
    message->arena.clear();
    message->from = shard_.id;
    message->number = ++returned_number_[work.ticket.home];
  }
  Returned& item = message->items.emplace_back();
  item.ticket = work.ticket;
  // Milliseconds that wrap: right while a ticket is out for less than 24 days.
  const uint32_t out_ms =
      static_cast<uint32_t>(work.taken_up_mono_ns / 1'000'000) - work.ticket.queued_ms;
  item.timing.queued_us =
      out_ms > 0x7fffffff
          ? 0
          : static_cast<uint32_t>(std::min<uint64_t>(uint64_t{out_ms} * 1000, UINT32_MAX - 1));
  return item;
}

void Lanes::give_back_unsent(Work& work, uint64_t order) {
  Returned& item = give_back(work);
  item.unsent = true;
  item.order = order;
  free_work(work);
}

// All that waits, unsent.
void Lanes::give_back_waiting(Lane& lane) {
  drop_blocked(lane);
  lane.waiting.take_all([this](Work& work) { give_back_unsent(work); });
}

std::unique_ptr<ReturnedMessage> Lanes::take_returned(unsigned home) {
  return std::move(returned_[home]);
}

// Puts the texts of an item into its message's arena. Names of hosts repeat: the last ones are
// looked at.
void Lanes::text_of(const Work& work, Returned& item, std::string_view text, std::string_view mx,
                    std::string_view address) {
  ReturnedMessage& message = *returned_[work.ticket.home];
  std::string& arena = message.arena;
  item.text_at = static_cast<uint32_t>(arena.size());
  item.text_length = static_cast<uint32_t>(std::min(text.size(), queue::kOutcomeTextMax));
  arena.append(text.substr(0, item.text_length));
  item.mx_at = place_text(message, mx, &Returned::mx_at, &Returned::mx_length);
  item.mx_length = static_cast<uint32_t>(mx.size());
  item.address_at = place_text(message, address, &Returned::address_at, &Returned::address_length);
  item.address_length = static_cast<uint32_t>(address.size());
}

// Where in the arena the text of the last item stands: where that of the one before does, if it is
// the same.
uint32_t Lanes::place_text(ReturnedMessage& message, std::string_view text, uint32_t Returned::*at,
                           uint32_t Returned::*length) {
  if (message.items.size() > 1) {
    const Returned& before = message.items[message.items.size() - 2];
    if (std::string_view(message.arena).substr(before.*at, before.*length) == text)
      return before.*at;
  }
  message.arena.append(text);
  return static_cast<uint32_t>(message.arena.size() - text.size());
}

// No host of the site can be reached now: what waits here goes home as the last failure says. Those
// behind them at home are left alone until the site is tried again.
void Lanes::fail_waiting(Lane& lane) {
  lane.failed_dials = 0;
  lane.turn = 0;
  lane.clock.failed(lane.provider->retry, shard_.mono_ns, shard_.random.next(),
                    lane.failure.verdict.retry_after_ns);
  for (uint16_t home = 0; home < lane.windows.size(); ++home) {
    if (lane.backlog[home] > 0) tell_down(lane, home);
    lane.windows[home] = 1;
  }
  drop_blocked(lane);
  leave_line(lane);
  release_held(lane);
  lane.waiting.take_all([&](Work& work) {
    Returned& item = give_back(work);
    item.verdict = lane.failure.verdict;
    item.enhanced = lane.failure.enhanced;
    item.stage = lane.failure.stage;
    item.code = lane.failure.code;
    item.source = lane.source;
    text_of(work, item, lane.failure_text, lane.failure_mx, lane.failure_address);
    note_outcome(lane, item.verdict.result, item.code, lane.failure_text);
    free_work(work);
  });
}

// For whoever asks. What was taken is counted only.
void Lanes::note_outcome(Lane& lane, smtp::Result result, uint16_t code, std::string_view text) {
  if (result == smtp::Result::delivered) {
    ++lane.delivered;
    return;
  }
  ++(result == smtp::Result::later   ? lane.deferred
     : result == smtp::Result::never ? lane.failed
                                     : lane.in_doubt);
  if (lane.last_reply_mono_ns == shard_.mono_ns) return;
  lane.last_reply_mono_ns = shard_.mono_ns;
  lane.last_reply.keep(code, text);
}

void Lanes::tell_down(const Lane& lane, uint16_t home) {
  auto message = std::make_unique<LaneDown>();
  message->from = shard_.id;
  message->site = lane.site->number;
  message->source = lane.source;
  message->until_mono_ns = lane.clock.until_ns();
  shard_.exchange.post_home(home, std::move(message));
}

// -------------------------------------------------------------------------------------------------
// shutdown

void Lanes::drain() {
  draining_ = true;
  for (Lane* const lane : lanes_in_order_) give_back_waiting(*lane);
  for (smtp::Session& session : session_slab_) {
    if (session.place == nullptr) continue;
    if (session.dialogue().unsettled() == 0) session.leave();
  }
}

void Lanes::abort() {
  draining_ = true;
  for (smtp::Session& session : session_slab_) {
    if (session.place != nullptr) session.abort();
  }
}

}  // namespace veredus
