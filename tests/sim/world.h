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
#include "tests/sim/limit_judge.h"
#include "tests/sim/sim_disk.h"

// Whole engines on one thread, in a world made from one seed: feeders that try again, servers that
// misbehave, a disk that forgets, a process that dies. An oracle outside the engine says in the end
// whether mail was lost, doubled or misstated.
namespace veredus::sim {

// Defects of the simulated world itself: each must be told, or the checks that rest on it say
// nothing.
enum class WorldDefect {
  none,
  mild_disk,   // power cuts keep everything
  calm_wires,  // no connection is ever reset
  unseeded,    // something follows not the seed, but where the program lies in memory
};

// One failure of the disk in an otherwise sound world.
struct DiskPlan {
  uint64_t first = 0;    // number of a call that fails before, once; 0: none
  uint64_t call = 0;     // number of the call that fails (1: the first); 0: none does
  int error = 5;         // EIO; 0: a short result
  uint32_t kinds = 0;    // bits of DiskCall: only these fail
  int64_t lasts_ns = 0;  // all calls of these kinds from it on, so long; 0: this call only
};

struct WorldOptions {
  uint64_t seed = 1;
  // 0: two to four, as the seed has it, and now and then more or fewer after a crash.
  unsigned shards = 0;
  std::vector<unsigned> shards_later;  // of the lives after the first; the last holds on
  uint32_t recipients = 1000;
  uint32_t batches = 8;
  uint32_t domains = 60;
  uint32_t sites = 20;
  double hot_share = 0.3;    // of the recipients, at one site
  uint32_t crashes_max = 3;  // at least crashes_min, if not 0
  uint32_t crashes_min = 1;
  bool kills_only = false;  // each just after a server took something
  bool faults = true;
  bool disk_faults = true;
  uint32_t connections_per_site = 20;
  uint64_t waiting_max = 10'000'000;  // recipients; feeders are told 503 beyond it
  WorldDefect defect = WorldDefect::none;
  // Bits flip in what is settled on the disk, at every crash. Once that is told, the world ends:
  // until then everything must be as if nothing had happened.
  bool bit_rot = false;
  // Members more of a batch line, and of the line of the nth recipient: ,"expires":"2s"
  std::string batch_more;
  std::function<std::string(uint32_t)> recipient_more;
  // As the seed has it: batches are forgotten after seconds and fed again, recipients expire,
  // events are kept for a while, doubts are held or taken for deliveries.
  bool short_times = false;
  DiskPlan disk_plan;
  bool notes_disk_calls = false;          // WorldReport::called
  uint32_t erasures = 0;                  // recipients that ask to be forgotten, at some time
  std::vector<uint64_t> crashes_at_turn;  // ascending; beside those of crashes_max
  bool crashes_cut_power = false;         // those at a turn
  // The seed makes up rules of sending (rules.h), reloads and orders of operators.
  bool rules = false;
  bool follows_events = false;  // somebody reads the journals while they are written
  // Turns of all shards before the world says that they spin.
  uint64_t turns_max = 20'000'000;
  // Called last, on what the seed has chosen.
  std::function<void(EngineSettings&, Faults&)> change;
};

struct WorldReport {
  std::vector<std::string> violations;
  std::vector<uint64_t> delivered_by_shard;
  uint64_t turns = 0, receipts = 0, acknowledged = 0, connections = 0, resets = 0, in_doubt = 0,
           expired = 0, duplicates = 0, doubt_after_kill = 0;
  uint64_t assumed = 0;  // in doubt, and called delivered as the policy has it
  // Batches; those of them whose name was fed once more. Audits of the whole disk. Segments that
  // were given back although outcomes in them were to be kept: for want of space, as told.
  uint64_t forgotten = 0, fed_again = 0, audits = 0;
  // Crashes are kills of the process and power cuts; these of them came just after an
  // acknowledgement, before a new life had done much, or in the midst of recovery.
  uint64_t crashes = 0, after_acknowledgement = 0, at_start = 0, in_recovery = 0;
  PowerCuts power_cuts;
  // Of a DiskPlan: calls that failed, starts that were refused while they did, and what the last
  // of these said, damage that was told by a start with failing reads.
  // Bits that flipped; whether that was told.
  uint64_t rotted = 0;
  bool rot_told = false;
  uint64_t disk_failures = 0, starts_refused = 0, damage_told = 0;
  std::string refusal;
  std::vector<SimStorage::Called> called;
  // What recovery found beyond the cut (queue::Recovered).
  uint64_t cut_groups = 0, torn_groups = 0;
  // Recipients that were forgotten, and of these such as were cancelled for it.
  uint64_t erased = 0, cancelled = 0;
  // Of all lives; and how often a start began at a checkpoint.
  uint64_t checkpoints = 0, carried = 0, segments_removed = 0, starts_at_checkpoint = 0;
  // With rules: how often they were changed; orders given, refused, gone with a life; recipients
  // that ended by them.
  uint64_t reloads = 0, orders = 0, orders_refused = 0, orders_lost = 0, by_order = 0;
  unsigned shards = 0, shards_at_end = 0, homes_at_end = 0;
  uint64_t shrunk = 0;  // lives with fewer shards than journals
  int64_t simulated_ns = 0;
  // When the last mail arrived at the domain that has most of it (d0), and at the others.
  int64_t hot_done_mono_ns = 0, others_done_mono_ns = 0;
  uint64_t trace = 0;  // of all turns, in order: two runs that are the same have the same
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();
  // Runs to the end: everything fed, acknowledged, settled; then judges.
  WorldReport run();
  int64_t now_mono_ns() const { return clock_.mono; }

 private:
  struct Life;    // the engine, from a start to its death
  struct Feeder;  // one batch, fed until it is acknowledged
  struct FinalState;
  struct Follower;
  struct Erasure;
  struct Ruling;      // rules, and who judges how they are kept
  struct GivenOrder;  // by an operator
  struct Ordering;    // all of them
  using States = std::map<std::pair<uint64_t, uint32_t>, FinalState>;

  // The next crash, and the moment that it waits for.
  struct CrashPlan {
    enum class Aim : uint8_t {
      none,
      any_time,
      unsynced,
      acknowledged,
      taken,
      forgetting,
      starting
    };
    Aim aim = Aim::none;
    bool power_cut = true;  // else the process is killed, and the host lives on
    int64_t not_before_mono_ns = 0;
    uint64_t steps = 0;       // to go from the moment on
    size_t acknowledged = 0;  // batches, when it was planned
    uint64_t taken = 0;       // receipts, when its time came
  };

  void make_batch(uint32_t recipients, const Feeder* again = nullptr);
  bool step();
  void feed();
  bool all_settled() const;
  bool all_durable() const;
  void tell_why();
  void calm();  // no more faults: from here on everything must come to its end

  void choose_times();
  std::string own_times(int64_t& lifetime_ns);
  void look_up_batches();
  void watch_batches(int64_t gone_by_mono_ns);
  void forgotten(Feeder& feeder, int64_t gone_by_mono_ns);
  void judge_none_is_back();
  bool may_go(const Feeder& feeder) const;
  bool forgetting() const;
  bool more_to_forget() const;
  void judge_removed(const std::string& path, const std::string& bytes);
  int64_t ends_mono_ns(const Feeder& feeder, uint32_t index) const;

  void begin_disk_plan();
  void lift_disk_plan();
  bool disk_plan_works() const;
  void run_disk_plan();
  void end_damaged_life_soon();
  void damage_told(const std::string& what);
  void follow_events();
  void judge_follower(const States& states);

  void ask_erasures();
  void hear_erasures();
  bool asks_erasure(const std::string& to) const;
  bool erasures_done() const;
  void await_erased();
  void judge_erasures();

  void make_rules();
  std::string rule_fields(Feeder& feeder);
  void change_rules();
  void turn_taken(unsigned shard);
  void rules_at_start();
  void judge_rules();
  int64_t next_change_mono_ns() const;

  void operate();
  void make_order();
  void ask_order(GivenOrder& order);
  void hear_orders();
  void orders_crashed();
  void orders_at_start();
  bool order_names(const std::string& recipient) const;
  bool orders_done() const;
  int64_t next_order_mono_ns() const;
  bool order_fits(const GivenOrder& given, const Feeder& feeder, const std::string& to,
                  const std::string& source, int64_t from_mono_ns, int64_t to_mono_ns,
                  bool perhaps) const;
  void judge_orders(const States& states);
  void judge_given_up(const GivenOrder& given, const States& states);
  void judge_cancelled(const Feeder& feeder, uint32_t index, const FinalState& state);
  bool ended_by_order(const Feeder& feeder, uint32_t index, const FinalState& state);

  absl::Status make_life();
  bool try_start();
  bool start_refused(const absl::Status& why);
  bool recover_life(size_t shards, std::vector<RecoveredHome>& found);
  unsigned shards_of_next_life();
  void start_life();
  void plan_crash();
  bool crash_due();
  bool damage_owed() const;
  size_t acknowledged() const;
  void count_life();
  void die(bool power_cut);
  void rot();
  void crash();

  void judge();
  void audit(bool at_rest);
  void judge_contents();
  void judge_world();
  void judge_durable_at_crash();
  void judge_batch(const Feeder& feeder, const States& states);
  void judge_recipient(const std::string& to, const std::string& mark, const FinalState& state);
  void judge_receipts(const std::string& to, const FinalState& state,
                      std::vector<Receipt> receipts);
  uint32_t site_of(uint32_t domain) const;
  uint32_t life_at(int64_t mono_ns) const;
  bool doubt_owed(uint32_t life, uint32_t again_in_life) const;
  void violation(const std::string& what);
  States read_journals();

  const WorldOptions options_;
  WorldReport report_;
  SimClock clock_;
  io::Random random_;
  Internet internet_;
  SimStorage storage_;
  EngineSettings settings_;
  std::vector<std::unique_ptr<Feeder>> feeders_;
  uint32_t recipients_fed_ = 0;
  std::unique_ptr<Life> life_;
  std::unique_ptr<Follower> follower_;
  std::vector<std::unique_ptr<Erasure>> erasures_;
  std::unique_ptr<Ruling> ruling_;      // null: no rules but the settings'
  std::unique_ptr<Ordering> ordering_;  // likewise
  int64_t next_erasure_mono_ns_ = 0;
  io::Random erasure_random_;
  std::map<std::string, uint32_t>
      settled_at_life_;  // recipient → life from which on nothing may reach it
  std::vector<int64_t> life_ended_mono_ns_;  // of the lives that are over
  std::vector<int64_t> life_begun_mono_ns_;
  std::vector<bool> life_killed_;  // and the host lived on
  unsigned shards_ = 2;
  CrashPlan plan_;
  uint32_t crashes_left_ = 0, crashes_added_ = 0;
  int64_t remember_ns_ = 0;                // 0: batches are not forgotten within this world's time
  int64_t next_tick_mono_ns_ = INT64_MAX;  // of the intake
  int64_t life_goes_since_mono_ns_ = 0;
  size_t batches_seen_ = 0;
  uint32_t forgotten_wanted_ = 0;
  bool expires_ = false;
  bool disk_fails_ = false;  // this seed's writes and syncs may
  bool calm_ = false;
  int64_t plan_lifts_mono_ns_ = 0;      // 0: the disk plan has not struck yet
  uint64_t failures_before_start_ = 0;  // disk failures
  size_t crashes_at_turn_done_ = 0;
  bool life_is_damaged_ = false;  // it read what it could while the disk failed
  uint64_t damaged_until_turn_ = 0;
};

}  // namespace veredus::sim
