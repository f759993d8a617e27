#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_core.h"
#include "engine/intake/intake.h"
#include "tests/sim/internet.h"
#include "tests/sim/sim_disk.h"

// Whole engines on one thread, in a world made from one seed: feeders that try again, servers that
// misbehave, a disk that forgets, a process that dies. An oracle outside the engine says in the end
// whether mail was lost, doubled or misstated.
namespace veredus::sim {

struct WorldOptions {
  uint64_t seed = 1;
  unsigned shards = 2;
  uint32_t recipients = 1000;
  uint32_t batches = 8;
  uint32_t domains = 60;
  uint32_t sites = 20;
  double hot_share = 0.3;    // of the recipients, at one site
  uint32_t crashes_max = 3;  // at least one, if not 0
  bool faults = true;
  bool disk_faults = true;
  uint32_t connections_per_site = 20;
  bool verbose = false;
  // Turns of all shards before the world says that they spin.
  uint64_t turns_max = 20'000'000;
  // Called last, on what the seed has chosen.
  std::function<void(EngineSettings&, Faults&)> change;
};

struct WorldReport {
  std::vector<std::string> violations;
  std::vector<uint64_t> delivered_by_shard;
  uint64_t turns = 0, receipts = 0, acknowledged = 0, crashes = 0, connections = 0, resets = 0,
           in_doubt = 0, expired = 0, duplicates = 0, cut_groups = 0;
  int64_t simulated_ns = 0;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  // Runs to the end: everything fed, acknowledged, settled; then judges.
  WorldReport run();

 private:
  struct Life;    // the engine, from a start to its death
  struct Feeder;  // one batch, fed until it is acknowledged
  struct FinalState;

  void make_batches();
  void start_life();
  void crash();
  bool step();
  void feed();
  bool all_settled() const;
  void calm();  // no more faults: from here on everything must come to its end
  void judge();
  void judge_durable_at_crash();
  void judge_batch(const Feeder& feeder, const queue::LiveBatch& live,
                   const std::map<std::pair<uint64_t, uint32_t>, FinalState>& states);
  void judge_recipient(const std::string& to, const std::string& mark, const FinalState& state);
  uint32_t site_of(uint32_t domain) const;
  void violation(const std::string& what);
  std::map<std::pair<uint64_t, uint32_t>, FinalState> read_journals();

  const WorldOptions options_;
  WorldReport report_;
  SimClock clock_;
  io::Random random_;
  Internet internet_;
  SimStorage storage_;
  EngineSettings settings_;
  std::vector<std::unique_ptr<Feeder>> feeders_;
  std::unique_ptr<Life> life_;
  std::map<std::string, uint32_t>
      settled_at_life_;  // recipient → life from which on nothing may reach it
  bool calm_ = false;
};

}  // namespace veredus::sim
