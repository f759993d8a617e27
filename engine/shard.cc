#include "engine/shard.h"

#include <algorithm>

namespace veredus {

namespace {
constexpr uint32_t kTimersPerTurn = 4096;
// Recipients taken in within one turn, as bytes of their frames: what comes behind waits for the
// next one.
constexpr size_t kAppendedPerTurn = 64 * 1024;
constexpr int64_t kLoadEveryNs = 100'000'000;
constexpr double kSaturated = 0.9;
constexpr int64_t kSleepMaxNs =
    1'000'000'000;  // counters and clocks move on even when nothing happens

uint16_t homes_on(unsigned shard, const Exchange& exchange) {
  return static_cast<uint16_t>((exchange.homes() - shard - 1) / exchange.shards() + 1);
}
}  // namespace

Shard::Shard(uint16_t id, const EngineSettings& settings, std::shared_ptr<const Policy> policy,
             Exchange& exchange, ShardPorts ports, uint64_t seed, Counters& counters)
    : ports_(ports),
      exchange_(exchange),
      random_(seed),
      context_{id,
               homes_on(id, exchange),
               settings,
               exchange,
               random_,
               counters,
               ports.clock.mono_ns(),
               ports.clock.wall_ns(),
               std::move(policy)},
      router_(ports.lookups, settings.router, [this] { return context_.mono_ns; }),
      sts_(context_, router_, ports.lookups, ports.sts),
      tls_results_(context_, sts_),
      routes_(context_, router_, sts_),
      kept_rates_(context_, ports.disk, routes_),
      limits_(context_, kept_rates_),
      sources_(context_, ports.network),
      lanes_(context_, ports.disk, router_, ports.network, ports.timers, limits_, sources_),
      lane_why_(context_, lanes_, limits_),
      sites_(context_, lanes_, lane_why_, homes_),
      tracer_(context_, lanes_, homes_) {
  lanes_.trust(ports.trust);
  lanes_.count_tls_in(&tls_results_);
  count_sts_faults();
  sts_.take_known();
  for (unsigned home = id; home < exchange.homes(); home += exchange.shards())
    homes_.emplace_back(context_, ports.disk, static_cast<uint16_t>(home));
}

void Shard::count_sts_faults() {
  sts_.set_on_fault([this](std::string_view domain, tls::StsFault fault, std::string_view why) {
    TlsResult result;
    result.type = type_of(fault);
    if (result.type == TlsResult::Type::success) return;
    result.domain = domain;
    result.policy = TlsResult::Policy::sts;
    result.reason = why;
    tls_results_.add(std::move(result));
  });
}

Shard::~Shard() {
  while (unread_ != nullptr) {
    const std::unique_ptr<Message> owned(unread_);
    unread_ = owned->next;
  }
}

absl::StatusOr<std::vector<RecoveredHome>> Shard::recover() {
  std::vector<RecoveredHome> found;
  for (Home& home : homes_) {
    absl::StatusOr<RecoveredHome> one = home.recover();
    if (!one.ok()) return one.status();
    if (absl::Status read = kept_rates_.read_old(*one); !read.ok()) return read;
    found.push_back(*std::move(one));
  }
  kept_rates_.make_file(found.front());
  if (absl::Status opened = lanes_.open_marks(homes_.front().next_marks()); !opened.ok())
    return opened;
  return found;
}

void Shard::resume(
    const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed,
    std::vector<std::vector<queue::AttemptMark>>& marks,
    const std::map<uint64_t, queue::Order>& orders, const RateStart& rates) {
  read_clock();
  kept_rates_.begin(rates);
  std::vector<uint64_t> numbers;
  for (const auto& [number, batch] : committed) numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) lanes_.announce(committed.at(number));
  lanes_.take_orders(std::make_shared<queue::Orders>(1, orders));
  for (Home& home : homes_) {
    home.take_marks(std::move(marks[home.number()]));
    home.take_orders(orders);
    home.resume(committed);
  }
}

void Shard::run_turn() {
  read_clock();
  ports_.loop.reap();
  ports_.timers.advance(context_.mono_ns, kTimersPerTurn);
  // Tickets before messages would be read in vain: what a ticket names is announced by a message
  // ahead of it.
  read_mailbox();
  sts_.run();
  routes_.run();
  kept_rates_.run();
  limits_.run();
  sources_.run();
  lanes_.take_tickets();
  lanes_.deliver();
  lane_why_.run();
  sites_.run();
  tls_results_.run();
  tracer_.run();
  settle();
  for (Home& home : homes_) {
    home.load_some();
    home.run_due();
  }
  dispatch();
  for (Home& home : homes_) {
    home.maintain();
    home.flush();
  }
  lanes_.submitted();
  Counters::add(context_.counters.turns);
  ports_.loop.submit(next_due_mono_ns());
}

void Shard::read_clock() {
  context_.mono_ns = ports_.clock.mono_ns();
  context_.wall_ns = ports_.clock.wall_ns();
  if (context_.mono_ns < load_due_mono_ns_) return;
  load_due_mono_ns_ = context_.mono_ns + kLoadEveryNs;
  context_.saturated = ports_.loop.load_since_last(context_.mono_ns) >= kSaturated;
}

void Shard::read_mailbox() {
  size_t appended = 0;
  if (unread_ == nullptr) unread_ = exchange_.mailbox(context_.id).take();
  while (unread_ != nullptr && appended < kAppendedPerTurn) {
    std::unique_ptr<Message> owned(unread_);
    unread_ = owned->next;
    if (owned->kind == Message::Kind::append) {
      std::unique_ptr<AppendMessage> append(static_cast<AppendMessage*>(owned.release()));
      for (const auto& frame : append->request.frames) appended += frame.payload.size();
      Home& home = home_of(*append);
      home.append(std::move(append));
      continue;
    }
    hear(*owned);
  }
}

void Shard::hear(Message& message) {
  switch (message.kind) {
    case Message::Kind::append:  // read_mailbox() has handed it on
      return;
    case Message::Kind::announce: {
      auto& announced = static_cast<AnnounceMessage&>(message);
      lanes_.announce(announced.batch);
      // Others take no new mail.
      return homes_.front().announce(std::move(announced.batch));
    }
    case Message::Kind::discard:
      return homes_.front().discard(static_cast<DiscardMessage&>(message).batch);
    case Message::Kind::forget:
      for (Home& home : homes_) home.forget(static_cast<ForgetMessage&>(message).batch);
      return;
    case Message::Kind::in_doubt_ask:
      return home_of(message).in_doubt_asked(static_cast<InDoubtAsk&>(message).question);
    case Message::Kind::erasure_ask:
      return home_of(message).erasure_asked(std::move(static_cast<ErasureAsk&>(message).question));
    case Message::Kind::order_ask:
      return home_of(message).order_asked(static_cast<OrderAsk&>(message).question);
    case Message::Kind::orders:
      return lanes_.take_orders(std::move(static_cast<OrdersMessage&>(message).orders));
    case Message::Kind::why_ask:
      return home_of(message).why_asked(static_cast<WhyAsk&>(message).question);
    case Message::Kind::why_visit:
      return lane_why_.visited(
          std::make_unique<WhyVisit>(std::move(static_cast<WhyVisit&>(message))));
    case Message::Kind::sites_ask:
      return sites_.asked(static_cast<SitesAsk&>(message).question);
    case Message::Kind::tls_results_ask:
      return tls_results_.asked(static_cast<TlsResultsAsk&>(message).question);
    case Message::Kind::trace_begin:
      return tracer_.begin(std::move(static_cast<TraceBegin&>(message).trace));
    case Message::Kind::route_ask:
      return routes_.ask(static_cast<RouteAsk&>(message));
    case Message::Kind::site_ask:
      return routes_.ask_site(static_cast<SiteAsk&>(message));
    case Message::Kind::sts_fetched:
      return sts_.fetched(static_cast<StsFetchedMessage&>(message).fetched);
    case Message::Kind::route_told:
      return home_of(message).route_told(static_cast<RouteTold&>(message));
    case Message::Kind::returned:
      return home_of(message).returned(static_cast<ReturnedMessage&>(message));
    case Message::Kind::window:
      return home_of(message).window(static_cast<WindowMessage&>(message));
    case Message::Kind::limit_ask:
    case Message::Kind::limit_back:
    case Message::Kind::limit_withdraw:
    case Message::Kind::limit_granted:
    case Message::Kind::limit_recalled:
    case Message::Kind::limit_adopted:
      return limits_.hear(static_cast<LimitMessage&>(message));
    case Message::Kind::lane_down:
      return home_of(message).lane_down(static_cast<LaneDown&>(message));
    case Message::Kind::policy:
      context_.policy = std::move(static_cast<PolicyMessage&>(message).policy);
      limits_.policy_changed();
      for (Home& home : homes_) home.policy_changed();
      return lanes_.policy_changed();
    case Message::Kind::policy_taken_up:
      limits_.hear(static_cast<PolicyTakenUp&>(message));
      if (limits_.settled()) lanes_.policy_settled();
      return;
    case Message::Kind::sources_changed:
      lanes_.sources_changed();
      for (Home& home : homes_) home.wake_all_lanes();
      return;
    case Message::Kind::site_announced:
      return lanes_.site_announced(static_cast<SiteAnnounced&>(message));
    case Message::Kind::nothing_behind:
      return lanes_.nothing_behind(static_cast<NothingBehind&>(message));
    case Message::Kind::segment_removed: {
      const auto& removed = static_cast<SegmentRemoved&>(message);
      return lanes_.segment_removed(removed.journal, removed.segment);
    }
    case Message::Kind::stop:
      drain();
      if (static_cast<StopMessage&>(message).abort) lanes_.abort();
      return;
  }
}

// What became of the tickets of this turn goes home.
void Shard::settle() {
  for (unsigned number = 0; number < exchange_.homes(); ++number) {
    std::unique_ptr<ReturnedMessage> returned = lanes_.take_returned(number);
    if (returned == nullptr) continue;
    if (exchange_.shard_of_home(number) == context_.id) {
      home(number).returned(*returned);
      lanes_.recycle(std::move(returned));
    } else {
      exchange_.post_home(number, std::move(returned));
    }
  }
}

// The first takes what room there is in the ticket queues: each is it in turn.
void Shard::dispatch() {
  if (++first_home_ >= homes_.size()) first_home_ = 0;
  for (size_t i = 0; i < homes_.size(); ++i) {
    const size_t at = first_home_ + i;
    homes_[at < homes_.size() ? at : at - homes_.size()].dispatch();
  }
}

int64_t Shard::next_due_mono_ns() const {
  if (unread_ != nullptr || lanes_.more_to_do() || exchange_.anything_for(context_.id) ||
      lane_why_.more_to_do() || sites_.more_to_do() || tls_results_.more_to_do() ||
      tracer_.more_to_do())
    return context_.mono_ns;
  int64_t next =
      std::min({sts_.next_due_mono_ns(), routes_.next_due_mono_ns(), lanes_.next_due_mono_ns(),
                limits_.next_due_mono_ns(), sources_.next_due_mono_ns(),
                ports_.timers.next_deadline(), context_.mono_ns + kSleepMaxNs});
  for (const Home& home : homes_)
    next = std::min(next, home.more_to_do() ? context_.mono_ns : home.next_due_mono_ns());
  return next;
}

void Shard::drain() {
  if (draining_) return;
  draining_ = true;
  for (Home& home : homes_) home.stop_dispatch();
  lanes_.drain();
}

bool Shard::drained() const {
  const auto none_out = [](const Home& home) { return home.tickets_out() == 0; };
  return draining_ && lanes_.sessions() == 0 && lanes_.works() == 0 &&
         std::all_of(homes_.begin(), homes_.end(), none_out) && unread_ == nullptr &&
         !exchange_.anything_for(context_.id) && settled();
}

bool Shard::settled() const {
  return std::all_of(homes_.begin(), homes_.end(), [](const Home& home) { return home.settled(); });
}

}  // namespace veredus
