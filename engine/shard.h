#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dns/router.h"
#include "engine/context.h"
#include "engine/home.h"
#include "engine/io/timer_wheel.h"
#include "engine/kept_rates.h"
#include "engine/lane.h"
#include "engine/lane_why.h"
#include "engine/limits.h"
#include "engine/routes.h"
#include "engine/sites.h"
#include "engine/sources.h"
#include "engine/sts_policies.h"
#include "engine/tls_results.h"
#include "engine/tracer.h"

namespace veredus {

// What a shard stands on. The product gives it io_uring's, the simulated world its own; all outlive
// the shard.
struct ShardPorts {
  // The loop's two ends: completions in, work out.
  class Loop {
   public:
    virtual ~Loop() = default;
    // Collects what has completed, then runs it: sockets, files, DNS.
    virtual void reap() = 0;
    // Hands over what the turn has queued; then, if `until_mono_ns` is later than now, waits for a
    // completion, a wake-up or that time.
    virtual void submit(int64_t until_mono_ns) = 0;
    // The share of the time since the last call in which this thread worked, or stood in line for
    // a processor; 0 when it cannot be known.
    virtual double load_since_last(int64_t /*mono_ns*/) { return 0; }
  };
  io::Clock& clock;
  Loop& loop;
  io::Network& network;
  queue::Disk& disk;
  dns::Lookups& lookups;
  io::TimerWheel& timers;
  tls::StsFetches* sts = nullptr;                  // null: no domain has an MTA-STS policy
  std::shared_ptr<const io::TlsTrust> trust = {};  // null: no authority is trusted
};

// One core's share of the engine: homes of some recipients, owner of some routes, sites and lanes.
// Nothing in it is locked; others reach it through the exchange.
class Shard {
 public:
  Shard(uint16_t id, const EngineSettings& settings, std::shared_ptr<const Policy> policy,
        Exchange& exchange, ShardPorts ports, uint64_t seed, Counters& counters);
  ~Shard();

  // Start, in three steps, so that all shards know all commits: recover on each; resume on each;
  // then turns.
  absl::StatusOr<std::vector<RecoveredHome>> recover();
  // `marks` of earlier lives, by home: each home takes its own.
  void resume(
      const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed,
      std::vector<std::vector<queue::AttemptMark>>& marks,
      const std::map<uint64_t, queue::Order>& orders, const RateStart& rates);

  // Once round: reap → timers → deliver → settle → home's → submit. Waits at its end when there is
  // nothing to do.
  void run_turn();

  // Shutdown. After drain() no ticket leaves home and no transaction begins; drained() when the
  // last has ended and all is durable. A StopMessage does the same.
  void drain();
  bool drained() const;
  bool draining() const { return draining_; }

  // After the last turn: what need not be guessed at the next start, though the host be restarted.
  void end() { kept_rates_.end(); }

  // The one of this shard's number, which new mail goes to, then those of journals beyond the
  // number of shards.
  const std::deque<Home>& homes() const { return homes_; }
  bool settled() const;
  const Lanes& lanes() const { return lanes_; }

 private:
  void count_sts_faults();
  void read_clock();
  void read_mailbox();
  void hear(Message& message);
  Home& home_of(const Message& message) { return home(message.home); }
  Home& home(unsigned number) { return homes_[number / exchange_.shards()]; }
  void settle();
  void dispatch();
  int64_t next_due_mono_ns() const;

  ShardPorts ports_;
  Exchange& exchange_;
  io::Random random_;
  ShardContext context_;
  dns::Router router_;
  StsPolicies sts_;
  TlsResults tls_results_;
  Routes routes_;
  KeptRates kept_rates_;
  Limits limits_;
  Sources sources_;
  Lanes lanes_;
  LaneWhy lane_why_;
  std::deque<Home> homes_;
  SiteLists sites_;
  Tracer tracer_;
  size_t first_home_ = 0;  // to dispatch: each has its turn at being it
  int64_t load_due_mono_ns_ = 0;
  Message* unread_ = nullptr;  // taken out of the mailbox, left for the next turn
  bool draining_ = false;
};

}  // namespace veredus
