#include "engine/engine_core.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/io/planted.h"
#include "engine/store.h"
#include "queue/address_finder.h"
#include "queue/journal_files.h"

namespace veredus {

// A message of its own to each shard, with this in it.
template <class Kind, class Value>
static void post_to_all(Exchange& exchange, Value Kind::*what, const Value& value) {
  for (unsigned i = 0; i < exchange.shards(); ++i) {
    auto message = std::make_unique<Kind>();
    (*message).*what = value;
    exchange.post(i, std::move(message));
  }
}

absl::StatusOr<unsigned> journals_in(queue::Disk& disk) {
  if (io::is_planted(io::Planted::journals_left_out)) return 0u;
  for (unsigned journal = kJournalsMax; journal > 0; --journal) {
    const std::string directory = Store::journal_directory(static_cast<uint16_t>(journal - 1));
    const absl::StatusOr<std::vector<queue::SegmentFile>> segments =
        queue::list_segments(disk, directory);
    if (!segments.ok()) return segments.status();
    if (!segments->empty()) return journal;
    const absl::StatusOr<std::vector<queue::MarksFile>> marks = queue::list_marks(disk, directory);
    if (!marks.ok()) return marks.status();
    if (!marks->empty()) return journal;
    const absl::StatusOr<std::vector<queue::NumberedFile>> rates =
        queue::list_rate_states(disk, directory);
    if (!rates.ok()) return rates.status();
    if (!rates->empty()) return journal;
  }
  return 0u;
}

EngineCore::EngineCore(const EngineSettings& settings, unsigned shards, unsigned homes,
                       io::Clock& clock)
    : settings_(settings),
      clock_(clock),
      policy_(make_policy(settings, nullptr)),
      exchange_(shards, homes, settings.tickets_max),
      shards_(shards) {
  for (unsigned i = 0; i < shards; ++i) counters_.push_back(std::make_unique<Counters>());
  for (unsigned i = 0; i < homes; ++i) published_.push_back(std::make_unique<Published>());
}

EngineCore::~EngineCore() = default;

Shard& EngineCore::add_shard(uint16_t id, ShardPorts ports, uint64_t seed) {
  shards_[id] =
      std::make_unique<Shard>(id, settings_, policy_, exchange_, ports, seed, *counters_[id]);
  return *shards_[id];
}

// -------------------------------------------------------------------------------------------------
// recovery

// What one home was told holds for all. A suspension that was lifted anywhere is lifted; what is
// done at one home may still be under way at another.
static void merge_orders(const std::vector<RecoveredHome>& found, RecoveredSpool& spool) {
  using State = queue::Order::State;
  for (const RecoveredHome& home : found) {
    for (const auto& [number, order] : home.orders) {
      const bool ended = order.state != State::given;
      const bool lifted = ended && order.kind == queue::Order::Kind::suspend;
      queue::Order& merged = spool.orders.try_emplace(number, order).first->second;
      if (lifted ||
          (!ended && merged.state != State::given && order.kind != queue::Order::Kind::suspend))
        merged = order;
    }
  }
  std::erase_if(spool.orders, [](const auto& each) { return each.second.state != State::given; });
}

static void merge_rates(std::vector<RecoveredHome>& found, std::string_view boot,
                        int64_t now_wall_ns, RecoveredSpool& spool) {
  std::vector<queue::RateStatesFile> files;
  for (RecoveredHome& home : found) {
    std::move(home.rate_files.begin(), home.rate_files.end(), std::back_inserter(files));
    if (io::is_planted(io::Planted::rates_of_any_boot)) {
      for (queue::RateStatesFile& file : files) file.header.boot = boot;
    }
    spool.rates.all_made = spool.rates.all_made && home.rates_kept;
  }
  spool.rates.found = std::make_shared<const queue::RateTable>(files, boot, now_wall_ns);
}

RecoveredSpool EngineCore::merge(std::vector<RecoveredHome> found) {
  RecoveredSpool spool;
  spool.marks.resize(homes());
  absl::flat_hash_map<uint64_t, uint64_t> accounted;
  uint64_t highest = 0;
  int64_t latest_wall_ns = 0;
  for (const RecoveredHome& home : found) {
    spool.file_bytes += home.file_bytes;
    highest = std::max(highest, home.highest_batch);
    latest_wall_ns = std::max(latest_wall_ns, home.latest_wall_ns);
    for (const auto& [number, count] : home.accounted)
      accounted[number] += count;  // sums: the order does not matter
    for (const queue::AttemptMark& mark : home.marks) {
      if (mark.home < homes()) spool.marks[mark.home].push_back(mark);
    }
    for (const std::string& damage : home.damage) {
      spool.damage.push_back("journal " + std::to_string(home.home) + ", " + damage);
    }
  }
  for (RecoveredHome& home : found) {
    if (home.home == queue::kConsumersJournal) spool.consumers = std::move(home.consumers);
  }
  merge_rates(found, settings_.boot_id, clock_.wall_ns(), spool);
  merge_orders(found, spool);
  if (io::is_planted(io::Planted::orders_forgotten)) spool.orders.clear();
  orders_ = spool.orders;
  for (const RecoveredHome& home : found)
    next_order_ = std::max(next_order_, home.highest_order + 1);
  // Until the control side, which understands where they are, says how much is kept for them.
  if (!spool.consumers.empty()) {
    for (unsigned home = 0; home < homes(); ++home) exchange_.hold_events(home, 0);
  }
  const int64_t now_mono_ns = clock_.mono_ns();
  const int64_t now_wall_ns = clock_.wall_ns();
  for (RecoveredHome& home : found) {
    for (auto& [number, known] : home.batches) {
      if (!known.committed) continue;
      if (known.batch.number == 0) {
        spool.damage.push_back("batch " + std::to_string(number) +
                               " was committed, but its batch record is gone");
        continue;
      }
      if (accounted[number] != known.commit.accepted) {
        spool.damage.push_back("batch " + std::to_string(number) + ": " +
                               std::to_string(known.commit.accepted) +
                               " recipients were accepted, the journals account for " +
                               std::to_string(accounted[number]));
      }
      auto live = std::make_shared<queue::LiveBatch>();
      live->batch = std::move(known.batch);
      live->accepted = known.commit.accepted;
      live->refused = known.commit.refused;
      live->extents = known.commit.extents;
      live->extent_bytes = known.commit.extent_bytes;
      live->coordinator = home.home;
      std::copy_n(known.commit.body_sha256.begin(),
                  std::min(known.commit.body_sha256.size(), live->body_sha256.size()),
                  live->body_sha256.begin());
      live->answer_json = std::make_shared<const std::string>(std::move(known.commit.answer_json));
      if (!known.refusals.empty()) {
        live->refusals =
            std::make_shared<const std::vector<queue::Location>>(std::move(known.refusals));
      }
      live->taken_up = {now_mono_ns, now_wall_ns, latest_wall_ns, known.commit.last_order};
      live->tenant = tenant_number(live->batch.tenant);
      batches_[number] = live;
      spool.batches.push_back(std::move(live));
    }
  }
  std::sort(spool.batches.begin(), spool.batches.end(),
            [](const auto& a, const auto& b) { return a->batch.number < b->batch.number; });
  spool.next_batch = highest + 1;
  return spool;
}

uint32_t EngineCore::tenant_number(const std::string& tenant) {
  const auto [known, fresh] = tenants_.try_emplace(tenant, static_cast<uint32_t>(tenants_.size()));
  if (fresh) exchange_.name_tenant(known->second, tenant);
  return known->second;
}

void EngineCore::reload(const EngineSettings& settings) {
  policy_ = make_policy(settings, policy_.get());
  post_to_all(exchange_, &PolicyMessage::policy, policy_);
}

EngineCore::Committed EngineCore::committed_of(const RecoveredSpool& spool) {
  Committed committed;
  for (const auto& live : spool.batches) committed.emplace(live->batch.number, live);
  return committed;
}

// -------------------------------------------------------------------------------------------------
// intake's way

std::shared_ptr<const queue::LiveBatch> EngineCore::find_batch(uint64_t number) const {
  const auto found = batches_.find(number);
  return found == batches_.end() ? nullptr : found->second;
}

void EngineCore::append(unsigned shard, intake::AppendRequest request) {
  auto message = std::make_unique<AppendMessage>();
  message->request = std::move(request);
  exchange_.post_home(shard, std::move(message));  // the home of that number
}

void EngineCore::announce(std::shared_ptr<const queue::LiveBatch> batch) {
  const queue::Batch& meta = batch->batch;
  batch->taken_up = {clock_.mono_ns(), meta.accepted_wall_ns, meta.accepted_wall_ns,
                     batch->taken_up.last_order};
  batch->tenant = tenant_number(meta.tenant);
  batches_[meta.number] = batch;
  post_to_all(exchange_, &AnnounceMessage::batch, batch);
}

void EngineCore::discard(uint64_t batch) {
  post_to_all(exchange_, &DiscardMessage::batch, batch);
}

void EngineCore::forget(uint64_t batch) {
  batches_.erase(batch);
  post_to_all(exchange_, &ForgetMessage::batch, batch);
}

void EngineCore::ask_in_doubt(const InDoubtQuestion& question) {
  for (unsigned home = 0; home < exchange_.homes(); ++home) {
    auto message = std::make_unique<InDoubtAsk>();
    message->question = question;
    exchange_.post_home(home, std::move(message));
  }
}

// First what orders say of the address: while they are in force each checkpoint says it again.
void EngineCore::ask_erasure(const ErasureQuestion& question) {
  queue::AddressFinder finder;
  for (const std::string& address : question.addresses) finder.add(address);
  std::vector<queue::Order> telling;
  for (const auto& [number, order] : orders_) {
    if (finder.is(order.filter.recipient) || finder.in(order.reason)) telling.push_back(order);
  }
  for (queue::Order& order : telling) {
    order.reason = finder.masked(order.reason);
    if (finder.is(order.filter.recipient)) {
      const bool suspends = order.kind == queue::Order::Kind::suspend;
      order.state = suspends ? queue::Order::State::lifted : queue::Order::State::done;
      order.ended_wall_ns = clock_.wall_ns();
    }
    ask_order({0, std::move(order)});
  }
  for (unsigned home = 0; home < exchange_.homes(); ++home) {
    auto message = std::make_unique<ErasureAsk>();
    message->question = question;
    exchange_.post_home(home, std::move(message));
  }
}

void EngineCore::hand_out_orders() {
  const auto orders = std::make_shared<const queue::Orders>(++orders_version_, orders_);
  post_to_all(exchange_, &OrdersMessage::orders, orders);
}

// Lanes first: what is out is stopped, too.
void EngineCore::ask_order(const OrderQuestion& question) {
  const queue::Order& order = question.order;
  if (order.state == queue::Order::State::given) {
    orders_[order.number] = order;
  } else {
    orders_.erase(order.number);
  }
  hand_out_orders();
  for (unsigned home = 0; home < exchange_.homes(); ++home) {
    auto message = std::make_unique<OrderAsk>();
    message->question = question;
    exchange_.post_home(home, std::move(message));
  }
}

void EngineCore::ask_why(const WhyQuestion& question) {
  for (unsigned home = 0; home < exchange_.homes(); ++home) {
    auto message = std::make_unique<WhyAsk>();
    message->question = question;
    exchange_.post_home(home, std::move(message));
  }
}

void EngineCore::ask_sites(const SitesQuestion& question) {
  post_to_all(exchange_, &SitesAsk::question, question);
}

void EngineCore::ask_tls_results(const TlsResultsQuestion& question) {
  post_to_all(exchange_, &TlsResultsAsk::question, question);
}

void EngineCore::begin_trace(const std::shared_ptr<Trace>& trace) {
  post_to_all(exchange_, &TraceBegin::trace, trace);
}

void EngineCore::order_done(uint64_t number) {
  if (++orders_done_[number] < homes()) return;
  orders_done_.erase(number);
  if (orders_.erase(number) > 0) hand_out_orders();
}

uint64_t EngineCore::waiting_recipients() const {
  uint64_t waiting = 0;
  for (const auto& counters : counters_) {
    waiting += counters->waiting.load(std::memory_order_relaxed);
  }
  return waiting;
}

bool EngineCore::accepting(std::string& reason) const {
  for (unsigned i = 0; i < shards(); ++i) {  // journals beyond these take nothing new
    if (!published_[i]->healthy.load(std::memory_order_relaxed)) {
      reason = "journal " + std::to_string(i) + " cannot be written (disk full or failing)";
      return false;
    }
    if (published_[i]->full.load(std::memory_order_relaxed)) {
      reason = "the spool takes up what limits.spool allows: journal " + std::to_string(i) +
               " keeps what is left for what becomes of the mail that waits";
      return false;
    }
    if (!published_[i]->has_room.load(std::memory_order_relaxed)) {
      reason = "journal " + std::to_string(i) + " is behind: its disk takes less than what is fed";
      return false;
    }
    if (published_[i]->replay_is_full.load(std::memory_order_relaxed)) {
      reason = "journal " + std::to_string(i) +
               ": a start still loads what waits there, and takes no more until it has";
      return false;
    }
  }
  return true;
}

void EngineCore::publish(unsigned shard) {
  for (const Home& home : shards_[shard]->homes()) {
    const queue::Journal& journal = home.journal();
    const queue::Location end = journal.durable_end();
    Published& published = *published_[home.number()];
    published.durable_end.store(uint64_t{end.segment} << 32 | end.offset,
                                std::memory_order_release);
    published.durable_events.store(journal.durable_events(), std::memory_order_relaxed);
    published.events_from.store(home.events_from(), std::memory_order_release);
    published.healthy.store(journal.healthy() || home.makes_room(), std::memory_order_relaxed);
    published.full.store(journal.at_bytes_max() && !journal.has_space(0) && !home.makes_room(),
                         std::memory_order_relaxed);
    published.has_room.store(journal.has_room(), std::memory_order_relaxed);
    published.replay_is_full.store(home.replay_is_full(), std::memory_order_relaxed);
  }
}

uint32_t EngineCore::events_from(unsigned home) const {
  return published_[home]->events_from.load(std::memory_order_acquire);
}

uint64_t EngineCore::durable_events(unsigned home) const {
  return published_[home]->durable_events.load(std::memory_order_relaxed);
}

queue::Location EngineCore::durable_end(unsigned home) const {
  const uint64_t end = published_[home]->durable_end.load(std::memory_order_acquire);
  queue::Location location;
  location.journal = static_cast<uint16_t>(home);
  location.segment = static_cast<uint32_t>(end >> 32);
  location.offset = static_cast<uint32_t>(end);
  return location;
}

}  // namespace veredus
