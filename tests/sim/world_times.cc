// What ends by the clock: batches that are forgotten, recipients that expire, events that are kept.

#include <algorithm>

#include "queue/journal_format.h"
#include "queue/outcome.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

// The latest outcome in a segment file; 0: there is none.
int64_t newest_outcome_wall_ns(const std::string& file, const queue::SegmentHeader& segment) {
  int64_t newest = 0;
  for (uint64_t at = queue::kSegmentHeaderBytes; at < file.size();) {
    queue::GroupHeader group;
    const std::string_view rest = std::string_view(file).substr(at);
    if (queue::parse_group(rest, segment.journal, segment.segment, static_cast<uint32_t>(at),
                           group) != queue::GroupState::valid) {
      at += queue::kGroupAlign;
      continue;
    }
    uint32_t next = queue::kGroupHeaderBytes;
    for (uint32_t number = 0; number < group.frames; ++number) {
      queue::Frame frame;
      if (!queue::read_frame(rest, next, frame, next)) break;
      if (frame.type != queue::FrameType::outcomes) continue;
      queue::OutcomeReader reader(frame.payload);
      queue::Outcome outcome;
      while (reader.next(outcome)) newest = std::max(newest, outcome.wall_ns);
    }
    at += queue::group_extent(group);
  }
  return newest;
}

}  // namespace

void World::choose_times() {
  const auto seconds = [&](uint64_t least, uint64_t most) {
    return static_cast<int64_t>(least + random_.below(most - least + 1)) * kSecond;
  };
  if (random_.below(3) == 0) {
    remember_ns_ = seconds(3, 60);
    forgotten_wanted_ = 1 + static_cast<uint32_t>(random_.below(options_.batches + 3));
  }
  if (random_.below(3) == 0) {
    expires_ = true;
    settings_.retry.initial_ns = seconds(1, 10);
    settings_.retry.cap_ns = seconds(10, 60);
    if (random_.below(2) == 0) settings_.retry.max_age_ns = seconds(60, 3600);
  }
  if (random_.below(3) == 0) {
    settings_.events.keep_ns = seconds(1, 300);
    if (random_.below(2) == 0)
      settings_.events.keep_bytes = (1 + random_.below(8)) * settings_.journal.segment_bytes;
    storage_.on_removed = [this](const std::string& path, const std::string& bytes) {
      judge_removed(path, bytes);
    };
  }
  const uint64_t policy = random_.below(6);
  if (policy == 0) settings_.in_doubt = InDoubtPolicy::assume_delivered;
  if (policy == 1) settings_.in_doubt = InDoubtPolicy::hold;
}

// -------------------------------------------------------------------------------------------------
// expiry

std::string World::own_times(int64_t& lifetime_ns) {
  const uint64_t seconds = 2 + random_.below(random_.below(2) == 0 ? 10 : 600);
  lifetime_ns = static_cast<int64_t>(seconds) * kSecond;
  return ",\"expires\":\"" + std::to_string(seconds) + "s\"";
}

// Before this nobody may give it up, however often the engine was started.
int64_t World::ends_mono_ns(const Feeder& feeder, uint32_t index) const {
  // Unit tests give times of their own.
  if (!options_.short_times) return 0;
  int64_t lifetime = feeder.lines[index].lifetime_ns;
  if (lifetime == 0) lifetime = feeder.lifetime_ns;
  if (lifetime == 0) lifetime = settings_.retry.max_age_ns;
  return feeder.live->batch.accepted_wall_ns - clock_.wall_minus_mono + lifetime;
}

// -------------------------------------------------------------------------------------------------
// forgetting

void World::look_up_batches() {
  batches_seen_ = life_->intake->batches();
  for (const auto& feeder : feeders_) {
    if (feeder->forgotten) continue;
    const auto live = life_->intake->find(feeder->tenant, feeder->name);
    // What is gone keeps its last state, until it is judged whether it may be.
    feeder->number = live == nullptr ? 0 : live->batch.number;
    if (live == nullptr) continue;
    if (feeder->live != nullptr && feeder->live->batch.number != feeder->number)
      violation("batch " + feeder->name + " has another number now");
    feeder->live = live;
  }
}

// Who was acknowledged and is not there any more was forgotten, if its time had come: `gone_by`
// (the last life's end, at a start).
void World::watch_batches(int64_t gone_by_mono_ns) {
  look_up_batches();
  if (remember_ns_ == 0) return;
  std::vector<Feeder*> gone;
  for (const auto& feeder : feeders_) {
    if (feeder->acknowledged && !feeder->forgotten && feeder->number == 0 &&
        feeder->live != nullptr)
      gone.push_back(feeder.get());
  }
  for (Feeder* const feeder : gone) forgotten(*feeder, gone_by_mono_ns);
}

void World::forgotten(Feeder& feeder, int64_t gone_by_mono_ns) {
  feeder.forgotten = true;
  feeder.number = feeder.live->batch.number;
  ++report_.forgotten;
  const queue::Tally& tally = feeder.live->tally;
  // After a start everything found is remembered for all of the time once more.
  const int64_t finished = tally.last_outcome_wall_ns - clock_.wall_minus_mono;
  const int64_t due = std::max(finished, life_goes_since_mono_ns_) + remember_ns_;
  if (tally.finals() < feeder.live->accepted) {
    violation("batch " + feeder.name + " was forgotten, and " +
              std::to_string(feeder.live->accepted - tally.finals()) + " of it are not settled");
  } else if (gone_by_mono_ns < due) {
    violation("batch " + feeder.name + " was forgotten " +
              std::to_string((due - gone_by_mono_ns) / 1'000'000) + " ms before its time");
  }
  if (report_.forgotten >= forgotten_wanted_) return;
  // As a new one: other recipients under the same name.
  ++report_.fed_again;
  make_batch(static_cast<uint32_t>(feeder.lines.size()), &feeder);
}

void World::judge_none_is_back() {
  life_->intake->for_each([&](const intake::Intake::BatchPtr& live) {
    for (const auto& feeder : feeders_) {
      if (feeder->forgotten && feeder->number == live->batch.number)
        violation("batch " + feeder->name + " was forgotten, and is back after a crash");
    }
  });
}

// It may be forgotten at any moment.
bool World::may_go(const Feeder& feeder) const {
  if (remember_ns_ == 0 || !feeder.acknowledged || feeder.forgotten || feeder.live == nullptr)
    return false;
  const queue::Tally& tally = feeder.live->tally;
  if (tally.finals() < feeder.live->accepted) return false;
  const int64_t finished = tally.last_outcome_wall_ns - clock_.wall_minus_mono;
  return clock_.mono >= std::max(finished, life_goes_since_mono_ns_) + remember_ns_;
}

bool World::forgetting() const {
  return std::any_of(feeders_.begin(), feeders_.end(),
                     [&](const auto& feeder) { return may_go(*feeder); });
}

// Everything is settled, and the world waits for somebody's time to come.
bool World::more_to_forget() const {
  if (remember_ns_ == 0 || report_.forgotten >= forgotten_wanted_) return false;
  return std::any_of(feeders_.begin(), feeders_.end(), [](const auto& feeder) {
    return !feeder->forgotten &&
           (feeder->live == nullptr || feeder->live->tally.finals() >= feeder->live->accepted);
  });
}

// -------------------------------------------------------------------------------------------------
// events

// A segment was given back: its outcomes could be read as long as events are kept, unless there was
// more of them than is kept.
void World::judge_removed(const std::string& path, const std::string& bytes) {
  // A journal that cannot be written gives them up sooner.
  if (disk_fails_ || options_.disk_plan.call != 0 || report_.rotted > 0) return;
  queue::SegmentHeader segment;
  if (!path.ends_with(".vrj") || !queue::parse_segment_header(bytes, segment).ok()) return;
  const int64_t newest = newest_outcome_wall_ns(bytes, segment);
  if (newest == 0) return;
  const int64_t age_ns = clock_.mono - (newest - clock_.wall_minus_mono);
  if (age_ns >= settings_.events.keep_ns) return;
  uint64_t kept_bytes = 0;
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  for (const auto& [other, size] : storage_.sizes_ever()) {
    if (other >= path && other.starts_with(directory) && other.ends_with(".vrj"))
      kept_bytes += size;
  }
  const uint64_t bound = settings_.events.keep_bytes;
  if (bound != 0 && kept_bytes > bound) return;
  violation(path + " was removed, and holds an outcome that is " +
            std::to_string(age_ns / 1'000'000) + " ms old; " +
            std::to_string(settings_.events.keep_ns / 1'000'000) + " ms are to be kept");
}

}  // namespace veredus::sim
