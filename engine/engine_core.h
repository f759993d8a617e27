#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/exchange.h"
#include "engine/intake/port.h"
#include "engine/shard.h"

namespace veredus {

// What was found in the spool at start, over all journals: for intake, and for whoever watches.
struct RecoveredSpool {
  std::vector<std::shared_ptr<const queue::LiveBatch>> batches;  // committed ones, by number
  std::vector<std::vector<queue::AttemptMark>> marks;            // by home; for resume()
  std::map<std::string, queue::Consumer> consumers;              // of events, by name
  std::vector<std::string> damage;
  std::map<uint64_t, queue::Order> orders;  // of operators, that hold; by number
  RateStart rates;
  uint64_t next_batch = 1;
  uint64_t file_bytes = 0;  // of all journals
};

constexpr unsigned kJournalsMax = 256;
// One more than the highest number of a journal that has segments, or attempt marks of a shard's
// earlier life: journals outlive the number of shards, and none is left out.
absl::StatusOr<unsigned> journals_in(queue::Disk& disk);

// The shards of one engine, and how intake reaches them: what is the same on threads and in the
// simulated world.
class EngineCore : public intake::ShardPort {
 public:
  // `homes`: not fewer than shards, nor than there are journals in the spool (journals_in()).
  EngineCore(const EngineSettings& settings, unsigned shards, unsigned homes, io::Clock& clock);
  ~EngineCore() override;

  Exchange& exchange() { return exchange_; }
  const Policy& policy() const { return *policy_; }
  // Control thread, like what follows. The rules of sending that `settings` hold are in force from
  // the shards' next turns on; nothing else of it is looked at.
  void reload(const EngineSettings& settings);
  const EngineSettings& settings() const { return settings_; }
  // Makes shard `id` (0 first). Called on the thread that will run it.
  Shard& add_shard(uint16_t id, ShardPorts ports, uint64_t seed);
  Shard& shard(unsigned id) { return *shards_[id]; }
  const Counters& counters(unsigned id) const { return *counters_[id]; }

  // The shards go; nothing that they have under way may come back any more.
  void drop_shards() { shards_.clear(); }

  // When every home's recover() has answered: which batches exist. Pure but for the clock.
  RecoveredSpool merge(std::vector<RecoveredHome> found);
  using Committed = absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>;
  static Committed committed_of(const RecoveredSpool& spool);

  // Called by each shard's thread after its turn: what others may know of its homes.
  void publish(unsigned shard);
  unsigned homes() const { return exchange_.homes(); }
  queue::Location durable_end(unsigned home) const;
  // The first segment that is kept for readers of events, and how many events a journal has had.
  uint32_t events_from(unsigned home) const;
  uint64_t durable_events(unsigned home) const;

  // A batch that exists. Control thread only, as what follows.
  std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t number) const;

  // Every shard answers once, by Exchange::Answers.
  void ask_in_doubt(const InDoubtQuestion& question);
  void ask_erasure(const ErasureQuestion& question);
  // An order is given, or lifted; it holds when this returns, and is durable when all homes have
  // answered.
  void ask_order(const OrderQuestion& question);
  void ask_why(const WhyQuestion& question);
  void ask_sites(const SitesQuestion& question);
  void ask_tls_results(const TlsResultsQuestion& question);
  // From now on the shards tell it what fits; until it is over.
  void begin_trace(const std::shared_ptr<Trace>& trace);
  uint64_t next_order() { return next_order_++; }
  const std::map<uint64_t, queue::Order>& orders() const { return orders_; }
  // It has ended at one more home; at all of them it holds no more.
  void order_done(uint64_t number);

  // intake::ShardPort, callable from the control thread
  unsigned shards() const override { return exchange_.shards(); }
  void append(unsigned shard, intake::AppendRequest request) override;
  void announce(std::shared_ptr<const queue::LiveBatch> batch) override;
  void discard(uint64_t batch) override;
  void forget(uint64_t batch) override;
  uint64_t waiting_recipients() const override;
  bool accepting(std::string& reason) const override;
  uint64_t last_order() const override { return next_order_ - 1; }
  int64_t wall_ns() const override { return clock_.wall_ns(); }
  int64_t mono_ns() const override { return clock_.mono_ns(); }

 private:
  // Written by the shard's thread after each turn.
  struct alignas(64) Published {
    std::atomic<uint64_t> durable_end{0};  // segment << 32 | offset
    std::atomic<uint64_t> durable_events{0};
    std::atomic<uint32_t> events_from{0};
    std::atomic<bool> healthy{true};
    std::atomic<bool> full{false};  // of what limits.spool allows
    std::atomic<bool> has_room{true};
    std::atomic<bool> replay_is_full{false};
  };

  uint32_t tenant_number(const std::string& tenant);

  const EngineSettings& settings_;
  io::Clock& clock_;
  std::shared_ptr<const Policy> policy_;
  Exchange exchange_;
  absl::flat_hash_map<std::string, uint32_t> tenants_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>> batches_;
  std::vector<std::unique_ptr<Counters>> counters_;
  std::vector<std::unique_ptr<Published>> published_;  // by home
  std::vector<std::unique_ptr<Shard>> shards_;
  void hand_out_orders();
  std::map<uint64_t, queue::Order> orders_;
  std::map<uint64_t, unsigned> orders_done_;  // at so many homes
  uint64_t next_order_ = 1;
  uint64_t orders_version_ = 1;
};

}  // namespace veredus
