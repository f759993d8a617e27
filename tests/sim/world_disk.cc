// A planned failure of the disk: when it strikes, how long it lasts; and the reader of events,
// whose calls can fail as well.

#include <algorithm>
#include <utility>

#include "engine/store.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

// Of one step; the readers of a sound run take twenty.
constexpr uint64_t kCallsAtOnceMax = 5000;
constexpr uint64_t kDamagedLifeTurns = 20;

}  // namespace

void World::begin_disk_plan() {
  storage_.notes_calls = options_.notes_disk_calls;
  if (options_.follows_events) follower_ = std::make_unique<Follower>();
  const DiskPlan& plan = options_.disk_plan;
  DiskFaults& faults = storage_.faults;
  faults.fail_first = plan.first;
  if (plan.first != 0) disk_fails_ = true;
  if (plan.call == 0) return;
  faults.fail_call = plan.call;
  faults.fail_count = plan.lasts_ns > 0 ? UINT64_MAX : 1;
  faults.fail_errno = plan.error;
  faults.fail_kinds = plan.kinds;
}

void World::lift_disk_plan() {
  storage_.faults.fail_call = 0;
}

bool World::disk_plan_works() const {
  return plan_lifts_mono_ns_ != 0 && storage_.faults.fail_call != 0;
}

void World::run_disk_plan() {
  report_.disk_failures = storage_.faults_injected;
  storage_.calls_max = storage_.calls + kCallsAtOnceMax;
  const uint64_t before = options_.disk_plan.first == 0 ? 0 : 1;
  if (options_.disk_plan.call == 0 || storage_.faults_injected <= before) return;
  if (plan_lifts_mono_ns_ == 0) {
    plan_lifts_mono_ns_ = std::max<int64_t>(1, clock_.mono + options_.disk_plan.lasts_ns);
    disk_fails_ = true;  // outcomes may take their time
  }
  if (clock_.mono >= plan_lifts_mono_ns_) lift_disk_plan();
  if (storage_.spun > 0 && report_.violations.empty())
    violation("the disk is called without end while it fails");
}

// A start that told damage because reads failed: they work again soon, it is killed, and the next
// start must find everything.
void World::end_damaged_life_soon() {
  lift_disk_plan();
  life_is_damaged_ = true;
  damaged_until_turn_ = report_.turns + kDamagedLifeTurns;
}

// A start that says what hinders it is right while the disk fails. The fault is mended, then it
// must start.
bool World::start_refused(const absl::Status& why) {
  const bool failed = storage_.faults_injected > failures_before_start_;
  if (!failed) {
    violation("recovery failed: " + std::string(why.message()));
    return false;
  }
  ++report_.starts_refused;
  report_.refusal = std::string(why.message());
  if (report_.refusal.find("journal-") == std::string::npos)
    violation("a start was refused without saying where: " + report_.refusal);
  lift_disk_plan();
  life_.reset();
  storage_.kill();
  return true;
}

// Told by a life that goes on: what it could not read, the next start must find.
void World::damage_told(const std::string& what) {
  const bool planned = options_.disk_plan.call != 0 || options_.disk_plan.first != 0;
  if (!planned || storage_.faults_injected == failures_before_start_)
    return violation("damage reported: " + what);
  ++report_.damage_told;
  end_damaged_life_soon();
}

// -------------------------------------------------------------------------------------------------
// events

void World::follow_events() {
  if (follower_ == nullptr) return;
  const unsigned homes = life_->core->homes();
  follower_->streams.resize(std::max<size_t>(homes, follower_->streams.size()));
  for (unsigned id = 0; id < homes; ++id) {
    Follower::Stream& stream = follower_->streams[id];
    if (stream.reader == nullptr) {
      stream.disk = std::make_unique<SimDisk>(storage_);
      stream.disk->look_back();  // how long files are kept for readers is another matter
      stream.reader = std::make_unique<queue::JournalReader>(
          *stream.disk, static_cast<uint16_t>(id),
          Store::journal_directory(static_cast<uint16_t>(id)));
    }
    const queue::Location end = life_->core->durable_end(id);
    queue::FrameType type;
    queue::Location at;
    std::string_view payload;
    for (;;) {
      const absl::StatusOr<bool> more =
          stream.reader->next(stream.position, end, type, at, payload);
      if (!more.ok() && absl::IsDataLoss(more.status())) {
        ++follower_->gaps;  // told; the reader goes on behind it
        continue;
      }
      if (!more.ok() || !*more) break;
      if (type != queue::FrameType::outcomes) continue;
      queue::OutcomeReader outcomes(payload);
      queue::Outcome outcome;
      while (outcomes.next(outcome)) ++follower_->outcomes[{outcome.batch, outcome.index}];
    }
  }
}

// Each outcome was told once; if a gap was told, at most once. What could not be read while the
// disk failed is told when it works again.
void World::judge_follower(const States& states) {
  if (follower_ == nullptr) return;
  follow_events();
  if (storage_.spun > 0) return violation("the disk is called without end while it fails");
  lift_disk_plan();
  follow_events();
  if (follower_->gaps > 0 && storage_.faults_injected == 0)
    violation("a reader of events was told of a gap, though no call had failed");
  for (const auto& [key, state] : states) {
    const uint32_t written = state.finals + state.deferred + state.in_doubt;
    const auto found = follower_->outcomes.find(key);
    const uint32_t told = found == follower_->outcomes.end() ? 0 : found->second;
    if (told == written || (told < written && follower_->gaps > 0)) continue;
    violation("batch " + std::to_string(key.first) + ", recipient " + std::to_string(key.second) +
              ": events told " + std::to_string(told) + " outcomes, the journals hold " +
              std::to_string(written));
  }
}

}  // namespace veredus::sim
