// Start: what the journal says, made into records again.

#include <algorithm>
#include <cassert>

#include "absl/container/flat_hash_set.h"
#include "engine/home.h"
#include "engine/io/kill_point.h"

namespace veredus {

using queue::FrameType;
using queue::OutcomeType;
using queue::Record;
using queue::RecordState;

// Hears the frames of one journal in their order.
class Home::Replay final : public queue::JournalVisitor {
 public:
  Replay(Home& home, RecoveredHome& found) : home_(home), found_(found) {}

  void on_frame(FrameType type, const queue::Location& at, std::string_view payload) override {
    switch (type) {
      case FrameType::batch:
        return on_batch(at, payload);
      case FrameType::commit:
        return on_commit(at, payload);
      case FrameType::abort:
        return on_abort(payload);
      case FrameType::extent:
        return on_extent(at, payload);
      case FrameType::outcomes:
        return on_outcomes(at, payload);
      case FrameType::refusals:
        if (payload.size() >= 8) found_.refusals.emplace_back(number_at(payload), at);
        return;
      case FrameType::content:  // found through its batch
      case FrameType::attempts:
      case FrameType::checkpoint:
        return;
    }
  }

  void on_damage(uint32_t segment, uint64_t offset, const std::string& what) override {
    found_.damage.push_back("segment " + std::to_string(segment) + ", byte " +
                            std::to_string(offset) + ": " + what);
    Counters::add(home_.shard_.counters.spool_damage);
  }

  // The records that are left become dormant ones of their extents, in order.
  void finish() {
    for (Run& run : runs_) {
      Extent& extent = home_.extents_[run.extent];
      for (const uint32_t slot : run.slots) {
        if (slot == queue::kNoSlot || (home_.records_[slot].flags & kHeld) != 0) continue;
        extent.dormant.push_back(home_.records_, slot);
      }
      found_.extents[extent.number] += 1;
    }
  }

 private:
  friend class Home;
  static constexpr uint8_t kHeld = 0x40;  // flag, while replaying

  struct Run {
    uint32_t extent;
    uint64_t batch;
    uint32_t first_index;
    std::vector<uint32_t> slots;  // by ordinal
  };

  static uint64_t number_at(std::string_view payload) {
    uint64_t number = 0;
    for (int i = 7; i >= 0; --i)
      number = number << 8 | static_cast<uint8_t>(payload[static_cast<size_t>(i)]);
    return number;
  }
  void damaged(const queue::Location& at, const absl::Status& why) {
    on_damage(at.segment, at.offset, std::string(why.message()));
  }
  void saw(uint64_t batch) { found_.highest_batch = std::max(found_.highest_batch, batch); }

  void on_batch(const queue::Location& at, std::string_view payload) {
    absl::StatusOr<queue::Batch> batch = queue::decode_batch(payload);
    if (!batch.ok()) return damaged(at, batch.status());
    saw(batch->number);
    found_.latest_wall_ns = std::max(found_.latest_wall_ns, batch->accepted_wall_ns);
    found_.batches.push_back(*std::move(batch));
  }
  void on_commit(const queue::Location& at, std::string_view payload) {
    absl::StatusOr<queue::Commit> commit = queue::decode_commit(payload);
    if (!commit.ok()) return damaged(at, commit.status());
    saw(commit->number);
    found_.commits.push_back(*std::move(commit));
  }
  void on_abort(std::string_view payload) {
    if (payload.size() < 8) return;
    const uint64_t number = number_at(payload);
    saw(number);
    forget(number);
    std::erase_if(found_.commits,
                  [&](const queue::Commit& commit) { return commit.number == number; });
  }
  // It was given up: what was loaded of it is let go, so that it takes no memory at any start.
  void forget(uint64_t batch) {
    const auto found = by_batch_.find(batch);
    if (found == by_batch_.end()) return;
    for (const uint32_t number : found->second) {
      for (uint32_t& slot : runs_[number].slots) {
        if (slot != queue::kNoSlot) release(slot);
      }
    }
    by_batch_.erase(found);
  }
  void release(uint32_t& slot) {
    --home_.extents_[home_.records_[slot].extent].live;
    Counters::take(home_.shard_.counters.waiting);
    home_.own_expiry_.erase(slot);
    home_.records_.release(slot);
    slot = queue::kNoSlot;
  }
  void on_extent(const queue::Location& at, std::string_view payload) {
    Run run;
    const absl::Status loaded = home_.load_extent(at, payload, &run.slots);
    const absl::StatusOr<queue::ExtentHeader> header = queue::read_extent_header(payload);
    if (!loaded.ok()) damaged(at, loaded);
    if (!header.ok()) return;
    if (!loaded.ok()) partly_lost_.insert(header->batch);
    saw(header->batch);
    run.extent = home_.uncommitted_[header->batch].back();
    run.batch = header->batch;
    run.first_index = header->first_index;
    by_batch_[run.batch].push_back(static_cast<uint32_t>(runs_.size()));
    runs_.push_back(std::move(run));
  }

  uint32_t* slot_of(const queue::Outcome& outcome) {
    const auto found = by_batch_.find(outcome.batch);
    if (found == by_batch_.end()) return nullptr;
    for (const uint32_t number : found->second) {
      Run& run = runs_[number];
      if (outcome.index < run.first_index || outcome.index - run.first_index >= run.slots.size())
        continue;
      uint32_t& slot = run.slots[outcome.index - run.first_index];
      if (slot != queue::kNoSlot) return &slot;
    }
    return nullptr;
  }

  void on_outcomes(const queue::Location& at, std::string_view payload) {
    queue::OutcomeReader reader(payload);
    queue::Outcome outcome;
    while (reader.next(outcome)) apply(outcome);
    if (!reader.status().ok()) damaged(at, reader.status());
  }

  void apply(const queue::Outcome& outcome) {
    uint32_t* const slot = slot_of(outcome);
    // Without a record: its extent was damaged (said already), but what became of it is known.
    if (slot == nullptr && !partly_lost_.contains(outcome.batch)) return;
    found_.latest_wall_ns = std::max(found_.latest_wall_ns, outcome.wall_ns);
    Settled& tally = home_.recovered_tallies_[outcome.batch];
    ++tally.attempts;
    tally.last_outcome_wall_ns = std::max(tally.last_outcome_wall_ns, outcome.wall_ns);
    if (queue::is_final(outcome.type)) {
      switch (outcome.type) {
        case OutcomeType::delivered:
          ++tally.delivered;
          break;
        case OutcomeType::failed:
          ++tally.failed;
          break;
        case OutcomeType::expired:
          ++tally.expired;
          break;
        case OutcomeType::cancelled:
          ++tally.cancelled;
          break;
        default:
          ++tally.suppressed;
          break;
      }
      if (slot != nullptr) release(*slot);
      return;
    }
    if (slot == nullptr) return;
    Record& record = home_.records_[*slot];
    record.attempts =
        static_cast<uint8_t>(std::min<uint16_t>(outcome.attempt, queue::kAttemptsMax));
    record.flags = kRecordDeferred;
    if (outcome.type == OutcomeType::in_doubt) record.flags |= queue::kRecordInDoubt;
    if (outcome.next_due_wall_ns == 0) {
      record.flags = kHeld | queue::kRecordInDoubt;
      return;
    }
    // Wall time is stored; a wrong clock must neither flood nor stall.
    const ShardContext& shard = home_.shard_;
    const int64_t left_ns =
        queue::delay_on_load_ns(shard.settings.retry, std::max<uint32_t>(1, outcome.attempt),
                                outcome.type == OutcomeType::in_doubt, outcome.next_due_wall_ns,
                                shard.wall_ns, shard.random.next());
    record.due = std::max<uint32_t>(1, home_.tick_at(shard.mono_ns + left_ns));
  }

  Home& home_;
  RecoveredHome& found_;
  std::vector<Run> runs_;
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> by_batch_;
  absl::flat_hash_set<uint64_t> partly_lost_;  // batches with a damaged extent
};

absl::StatusOr<RecoveredHome> Home::recover() {
  RecoveredHome found;
  Replay replay(*this, found);
  absl::StatusOr<queue::Recovered> recovered = journal_.recover(replay);
  if (!recovered.ok()) return recovered.status();
  found.journal = *recovered;
  replay.finish();
  return found;
}

void Home::resume(
    const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed) {
  const size_t known = extents_.size();
  for (uint32_t number = 0; number < known; ++number) {
    Extent& extent = extents_[number];
    if (extent.live == 0) {
      extent = Extent{};
      free_extents_.push_back(number);
      continue;
    }
    const auto found = committed.find(extent.number);
    if (found == committed.end()) {
      drop_dormant(extent);
      continue;
    }
    // Held ones are in no list; they count from here on.
    found->second->tally.in_doubt_held += extent.live - extent.dormant.count;
    activate(number, found->second);
  }
  uncommitted_.clear();
  for (const auto& [number, settled] : recovered_tallies_) {  // sums: the order does not matter
    const auto found = committed.find(number);
    if (found == committed.end()) continue;
    queue::Tally& tally = found->second->tally;
    tally.delivered += settled.delivered;
    tally.failed += settled.failed;
    tally.expired += settled.expired;
    tally.cancelled += settled.cancelled;
    tally.suppressed += settled.suppressed;
    tally.attempts += settled.attempts;
    int64_t last = tally.last_outcome_wall_ns;
    while (last < settled.last_outcome_wall_ns &&
           !tally.last_outcome_wall_ns.compare_exchange_weak(last, settled.last_outcome_wall_ns)) {
    }
  }
  recovered_tallies_.clear();
  journal_.start();
  io::kill_point("recovery_resumed");
}

}  // namespace veredus
