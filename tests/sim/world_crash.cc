// The lives of the engine: its starts, and when and how it dies.

#include <algorithm>
#include <utility>

#include "queue/journal_format.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr unsigned kShardsMax = 6;
// Power cuts beyond those of the seed, as long as none has damaged anything.
constexpr uint32_t kCrashesAddedMax = 60;

}  // namespace

// -------------------------------------------------------------------------------------------------
// start

absl::Status World::make_life() {
  life_begun_mono_ns_.resize(internet_.life +
                             1);  // once a life, however often its start is refused
  life_begun_mono_ns_.back() = clock_.mono;
  life_ = std::make_unique<Life>(*this);
  Life& life = *life_;
  SimDisk disk(storage_);
  const absl::StatusOr<unsigned> journals = journals_in(disk);
  if (!journals.ok()) return journals.status();
  const unsigned homes = std::max(shards_, *journals);
  report_.shrunk += homes > shards_;
  rules_at_start();
  life.core = std::make_unique<EngineCore>(settings_, shards_, homes, clock_);
  life.core->exchange().set_answers(&life);
  for (unsigned id = 0; id < shards_; ++id) {
    life.places.push_back(std::make_unique<Life::Place>(life, id));
    Life::Place& place = *life.places.back();
    life.core->exchange().set_wake(id, &place);
    uint64_t seed = random_.next();
    if (options_.defect == WorldDefect::unseeded) seed += reinterpret_cast<uintptr_t>(&place);
    place.shard = &life.core->add_shard(
        static_cast<uint16_t>(id),
        {clock_, place, place.network, place.disk, place.lookups, place.timers}, seed);
  }
  return absl::OkStatus();
}

bool World::recover_life(size_t shards, std::vector<RecoveredHome>& found) {
  const bool planned = options_.disk_plan.call != 0 || options_.disk_plan.first != 0;
  for (size_t id = 0; id < shards; ++id) {
    absl::StatusOr<std::vector<RecoveredHome>> homes = life_->places[id]->shard->recover();
    if (!homes.ok()) return start_refused(homes.status()), false;
    for (RecoveredHome& home : *homes) {
      if (planned && storage_.faults_injected > failures_before_start_) {
        report_.damage_told += home.damage.size();
      } else {
        for (const std::string& damage : home.damage) violation("damage reported: " + damage);
      }
      report_.starts_at_checkpoint += home.journal.checkpoint.segment != 0;
      report_.cut_groups += home.journal.cut_groups;
      report_.torn_groups += home.journal.torn_groups;
      found.push_back(std::move(home));
    }
  }
  return true;
}

void World::start_life() {
  while (!try_start() && report_.violations.empty() && !report_.rot_told) {
  }
}

// False: a start that failed, and may be tried again unless that was a violation.
bool World::try_start() {
  failures_before_start_ = storage_.faults_injected;
  const uint64_t damage_before = report_.damage_told;
  life_is_damaged_ = false;
  if (const absl::Status made = make_life(); !made.ok()) return start_refused(made), false;
  Life& life = *life_;
  std::vector<RecoveredHome> found;
  if (!recover_life(shards_, found)) return false;
  RecoveredSpool spool = life.core->merge(std::move(found));
  if (report_.damage_told == damage_before) {
    for (const std::string& damage : spool.damage) violation("damage reported: " + damage);
  }
  const EngineCore::Committed committed = EngineCore::committed_of(spool);
  for (const auto& place : life.places) {
    place->shard->resume(committed, spool.marks, spool.orders, spool.rates);
    life.core->publish(place->id);
  }
  intake::IntakeSettings intake_settings;
  intake_settings.small_bytes = random_.below(2) == 0 ? 4096 : 1 << 20;
  intake_settings.waiting_max = options_.waiting_max;
  if (ruling_ != nullptr) intake_settings.feed.limits.pools = ruling_->maker.pools();
  if (remember_ns_ != 0) intake_settings.remember_ns = remember_ns_;
  intake_settings.extent_bytes = 2048 + random_.below(16384);
  life.intake = std::make_unique<intake::Intake>(*life.core, intake_settings);
  life.intake->set_next_number(spool.next_batch);
  if (remember_ns_ != 0) next_tick_mono_ns_ = clock_.mono + kSecond;
  for (const auto& live : spool.batches) life.intake->restore(live);
  orders_at_start();
  if (report_.damage_told > damage_before) end_damaged_life_soon();
  return true;
}

// -------------------------------------------------------------------------------------------------
// death

// Each seed owes one power cut that really took something away.
bool World::damage_owed() const {
  return options_.crashes_max != 0 && options_.disk_faults && storage_.power_cuts.damaged() == 0 &&
         crashes_added_ < kCrashesAddedMax;
}

size_t World::acknowledged() const {
  return static_cast<size_t>(std::count_if(
      feeders_.begin(), feeders_.end(), [](const auto& feeder) { return feeder->acknowledged; }));
}

// Left to chance alone, nearly all crashes would come while nothing is under way.
void World::plan_crash() {
  using Aim = CrashPlan::Aim;
  plan_ = CrashPlan{};
  const bool owed = damage_owed();
  const int64_t within = owed || options_.kills_only || random_.below(2) == 0 ? 3 * kSecond
                         : remember_ns_ != 0 || expires_                      ? 60 * kSecond
                                                                              : 3600 * kSecond;
  if (crashes_left_ > 0) {
    --crashes_left_;
    constexpr Aim aims[] = {Aim::any_time, Aim::acknowledged, Aim::unsynced,
                            Aim::unsynced, Aim::taken,        Aim::taken};
    plan_.aim = options_.kills_only ? Aim::taken : aims[random_.below(std::size(aims))];
    if (remember_ns_ != 0 && random_.below(2) == 0) plan_.aim = Aim::forgetting;
    plan_.power_cut =
        plan_.aim == Aim::acknowledged || (plan_.aim != Aim::taken && random_.below(2) != 0);
  } else if (owed) {
    ++crashes_added_;
    plan_.aim = Aim::unsynced;
  }
  plan_.not_before_mono_ns =
      clock_.mono + static_cast<int64_t>(random_.below(static_cast<uint64_t>(within)));
  plan_.steps = random_.below(plan_.aim == Aim::acknowledged ? 6 : 20);
  plan_.acknowledged = acknowledged();
}

bool World::crash_due() {
  using Aim = CrashPlan::Aim;
  if (life_is_damaged_ && report_.turns >= damaged_until_turn_) {
    plan_.power_cut = false;
    return true;
  }
  const size_t done = crashes_at_turn_done_;
  if (done < options_.crashes_at_turn.size() && report_.turns >= options_.crashes_at_turn[done]) {
    ++crashes_at_turn_done_;
    plan_.power_cut = options_.crashes_cut_power;
    return true;
  }
  if (plan_.aim == Aim::none) return false;
  if (clock_.mono < plan_.not_before_mono_ns) {
    plan_.taken = internet_.taken;
    return false;
  }
  // All have heard theirs: nothing of that kind will come.
  if (plan_.aim == Aim::acknowledged && plan_.acknowledged == feeders_.size())
    plan_.aim = Aim::unsynced;
  // Nothing is taken any more, or nobody can be reached.
  if (plan_.aim == Aim::taken && clock_.mono > plan_.not_before_mono_ns + 60 * kSecond)
    plan_.aim = Aim::any_time;
  // Nobody is finished, or whatever was has been forgotten.
  if (plan_.aim == Aim::forgetting &&
      clock_.mono > plan_.not_before_mono_ns + remember_ns_ + 60 * kSecond)
    plan_.aim = Aim::any_time;
  bool moment = true;
  if (plan_.aim == Aim::unsynced) moment = storage_.unsynced() > 0;
  if (plan_.aim == Aim::taken) moment = internet_.taken > plan_.taken;
  if (plan_.aim == Aim::forgetting) moment = forgetting();
  if (plan_.aim == Aim::acknowledged) moment = acknowledged() > plan_.acknowledged;
  if (!moment) return false;
  if (plan_.aim == Aim::any_time) return true;
  if (plan_.steps > 0) {
    --plan_.steps;
    return false;
  }
  return true;
}

void World::count_life() {
  for (const auto& place : life_->places) {
    const Counters& counters = life_->core->counters(place->id);
    report_.checkpoints += counters.checkpoints;
    report_.carried += counters.carried;
    report_.segments_removed += counters.segments_removed;
  }
}

// The process dies, perhaps with the machine.
void World::die(bool power_cut) {
  ++report_.crashes;
  count_life();
  for (const auto& feeder : feeders_) feeder->connection_lost();
  // A sync that failed, then a killed process, then a power cut: what the page cache shows after
  // the first two may be on no disk, and no call can tell. Three faults in a row are more than a
  // journal can bear; two are not.
  if (!power_cut && storage_.faults.sync_error == 0) {
    storage_.kill();
    life_killed_.push_back(true);
  } else {
    life_killed_.push_back(false);
    storage_.faults.sector_bytes = random_.below(2) == 0 ? 512 : 4096;
    storage_.crash();
    settings_.boot_id = "boot " + std::to_string(storage_.power_cuts.cuts);
  }
  if (ruling_ != nullptr && !life_killed_.back()) ruling_->rates_lost = true;
  life_ended_mono_ns_.push_back(clock_.mono);
  for (const auto& erasure : erasures_) erasure->asked = erasure->refused = false;
  if (follower_ != nullptr) {
    for (Follower::Stream& stream : follower_->streams) {
      stream.reader.reset();
      stream.disk.reset();
    }
  }
  life_.reset();
  ++internet_.life;
  orders_crashed();
  audit(false);
  auto down_ns = static_cast<int64_t>(random_.below(60 * kSecond));
  // At once: within the interval of a slow rate.
  if (ruling_ != nullptr && ruling_->random.below(2) == 0) down_ns %= kSecond;
  clock_.mono += down_ns;
  shards_ = shards_of_next_life();
}

unsigned World::shards_of_next_life() {
  if (!options_.shards_later.empty()) {
    const size_t lives = life_ended_mono_ns_.size();
    return options_.shards_later[std::min(lives, options_.shards_later.size()) - 1];
  }
  if (options_.shards != 0 || random_.below(3) != 0) return shards_;
  return 1 + static_cast<unsigned>(random_.below(kShardsMax));
}

// In what is settled: groups that a later one calls durable. The very last one nobody vouches for.
void World::rot() {
  struct Group {
    std::string path;
    queue::GroupHeader header;
  };
  std::vector<Group> groups;
  std::map<uint16_t, uint64_t> durable;  // by journal
  for (const std::string& path : storage_.paths()) {
    if (!path.ends_with(".vrj")) continue;
    const std::string bytes = storage_.get(path);
    queue::SegmentHeader segment;
    if (!queue::parse_segment_header(bytes, segment).ok()) continue;
    for (uint64_t at = queue::kSegmentHeaderBytes; at < bytes.size();) {
      Group group{path, {}};
      const auto state =
          queue::parse_group(std::string_view(bytes).substr(at), segment.journal, segment.segment,
                             static_cast<uint32_t>(at), group.header);
      at += state == queue::GroupState::valid ? queue::group_extent(group.header)
                                              : queue::kGroupAlign;
      if (state != queue::GroupState::valid) continue;
      uint64_t& known = durable[segment.journal];
      known = std::max(known, group.header.durable_up_to);
      groups.push_back(std::move(group));
    }
  }
  std::erase_if(groups, [&](const Group& group) {
    return group.header.sequence > durable[group.header.journal];
  });
  if (groups.empty()) return;
  for (uint64_t flips = 1 + random_.below(3); flips > 0; --flips) {
    const Group& group = groups[random_.below(groups.size())];
    const uint64_t length = queue::kGroupHeaderBytes + group.header.length;
    report_.rotted += storage_.corrupt(group.path, group.header.offset + random_.below(length));
  }
}

// What the journals hold after it must never be repeated.
void World::crash() {
  if (plan_.aim == CrashPlan::Aim::acknowledged) ++report_.after_acknowledgement;
  if (plan_.aim == CrashPlan::Aim::starting) ++report_.at_start;
  const int64_t died_mono_ns = clock_.mono;
  die(plan_.power_cut);
  if (options_.bit_rot) rot();
  while (options_.disk_faults && random_.below(6) == 0) {
    if (const absl::Status made = make_life(); !made.ok())
      return violation("recovery failed: " + std::string(made.message()));
    std::vector<RecoveredHome> found;
    if (!recover_life(random_.below(shards_) + 1, found)) return;
    ++report_.in_recovery;
    die(random_.below(4) != 0);
  }
  start_life();
  if (!report_.violations.empty() || report_.rot_told) return;
  if (!life_is_damaged_) {
    watch_batches(died_mono_ns);
    judge_durable_at_crash();
  }
  life_goes_since_mono_ns_ = life_begun_mono_ns_.back();
  if (options_.kills_only || !options_.crashes_at_turn.empty() || random_.below(4) != 0)
    return plan_crash();
  // Again before the new life has written much: its first header and its first group may be torn.
  plan_ = CrashPlan{};
  plan_.aim = CrashPlan::Aim::starting;
  plan_.power_cut = random_.below(2) != 0;
  plan_.steps = random_.below(40);
}

}  // namespace veredus::sim
