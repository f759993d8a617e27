// How long segments are kept for readers of events: a time and a size, longer for consumers that
// have not come so far, shorter when the disk is full. What is kept is one piece up to the end.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/io/planted.h"

namespace veredus {

namespace {

constexpr int64_t kYieldNs = 100'000'000;         // between two steps while the disk is full
constexpr size_t kYieldPart = 4;                  // of what is kept, a step
constexpr int64_t kMakingRoomNs = 5'000'000'000;  // that removing files and making one may take
constexpr uint64_t kSparse = 4;                   // live bytes of a segment: less than a quarter
// Between two segments that are ended for the sake of room, longer each time: each costs zeros for
// a further one, and who waits may keep all of it for long.
constexpr int64_t kEndFirstNs = 1'000'000'000, kEndLastNs = 20'000'000'000;

}  // namespace

// At a start: what was found is taken for complete since now.
void Home::events_found() {
  note_complete_segments();
  events_from_ = kept_.empty() ? journal_.current_segment() : kept_.begin()->first;
}

void Home::note_complete_segments() {
  const auto& complete = journal_.complete_segments();
  for (auto at = complete.upper_bound(complete_seen_); at != complete.end(); ++at) {
    complete_seen_ = at->first;
    kept_[at->first] = {shard_.mono_ns, at->second};
    kept_bytes_ += at->second;
  }
}

bool Home::held_for_consumers(uint32_t segment, const KeptSegment& kept) const {
  return segment >= shard_.exchange.events_held_from(number_) &&
         shard_.mono_ns - kept.complete_mono_ns < shard_.settings.events.consumers_keep_ns;
}

// The oldest one that is kept could go for the sake of new mail.
bool Home::can_yield() const {
  if (kept_.empty() || !checkpoint_.complete) return false;
  const auto& [segment, kept] = *kept_.begin();
  return segment < journal_.needed_from() && !held_for_consumers(segment, kept);
}

bool Home::makes_room() const {
  return writes_ && short_of_space() &&
         (can_yield() || shard_.mono_ns < making_room_until_mono_ns_);
}

// From the oldest on, each by itself, so that what is kept stays in one piece.
void Home::keep_events() {
  note_complete_segments();
  const EventSettings& settings = shard_.settings.events;
  size_t yield = 0;
  if (short_of_space() && removable_.empty() && shard_.mono_ns >= next_yield_mono_ns_) {
    yield = std::max<size_t>(1, kept_.size() / kYieldPart);
    next_yield_mono_ns_ = shard_.mono_ns + kYieldNs;
  }
  while (!kept_.empty()) {
    const auto& [segment, kept] = *kept_.begin();
    if (held_for_consumers(segment, kept)) break;
    const bool over = shard_.mono_ns - kept.complete_mono_ns >= settings.keep_ns ||
                      (settings.keep_bytes != 0 && kept_bytes_ > settings.keep_bytes);
    if (!over) {
      if (yield == 0 || !can_yield()) break;
      --yield;
    }
    kept_bytes_ -= kept.bytes;
    kept_.erase(kept_.begin());
  }
  if (io::is_planted(io::Planted::events_not_kept)) kept_.clear();
  // What is written to is always kept, and what came before it until a checkpoint has begun there.
  const uint32_t from = kept_.empty() ? complete_seen_ + 1 : kept_.begin()->first;
  events_from_ = std::max(events_from_, std::min(from, journal_.checkpoint_segment()));
  const bool idle = checkpoint_.complete && removable_.empty();
  if (!idle || removed_for_ == std::pair(kept_from(), events_from_)) return;
  find_removable();
  if (short_of_space() && !removable_.empty())
    making_room_until_mono_ns_ = shard_.mono_ns + kMakingRoomNs;
}

// At the spool's limit, with mail settled since the last checkpoint: older segments go only with
// two further ones, and those only with further segments, which nothing fills while nothing is
// taken.
void Home::end_segment_for_room() {
  if (!journal_.at_bytes_max()) end_wait_ns_ = 0;
  if (stopping_ || !journal_.at_bytes_max()) return;
  const uint32_t current = journal_.current_segment();
  if (!checkpoint_.complete || checkpoint_.stage != Checkpoint::Stage::none ||
      reclaim_.stage != Reclaim::Stage::none || !removable_.empty())
    return;
  size_t empty = 0;  // or nearly so: carried forward with the next checkpoint
  for (const auto& [segment, bytes] : journal_.complete_segments()) {
    const auto use = uses_.find(segment);
    const auto kept = kept_.find(segment);
    if (kept != kept_.end() && held_for_consumers(segment, kept->second)) continue;
    if (use == uses_.end() || use->second.live_bytes * kSparse < bytes) ++empty;
  }
  // The one with the checkpoint before the last would be empty for ever.
  if (empty < 2) return;
  // The last one that was ended is empty, too.
  if (shard_.mono_ns < next_end_mono_ns_ && empty <= empty_at_end_ + 1) return;
  empty_at_end_ = empty;
  end_wait_ns_ = std::clamp(2 * end_wait_ns_, kEndFirstNs, kEndLastNs);
  next_end_mono_ns_ = shard_.mono_ns + end_wait_ns_;
  if (current == journal_.checkpoint_segment()) journal_.end_segment();
  checkpoint_bytes_ = 0;  // the next one is due, however little was written since
}

// What a checkpoint must say again.
void Home::note_consumer(std::string_view payload) {
  absl::StatusOr<queue::Consumer> consumer = queue::decode_consumer(payload);
  assert(consumer.ok() && "the control side made it");
  if (!consumer.ok()) return;
  const std::string name = consumer->name;
  if (consumer->cursor.empty()) {
    consumers_.erase(name);
  } else {
    consumers_[name] = *std::move(consumer);
  }
}

// Which segment the last outcome that names one of theirs lies in, once that is known.
void Home::outcomes_lie_in(uint32_t segment) {
  for (SegmentUse* const use : named_) use->last_outcome = segment;
  named_.clear();
}

// Lost groups' outcomes were appended again, behind everything.
void Home::outcomes_moved() {
  for (auto& [segment, use] : uses_) {
    if (use.last_outcome != kNotAppended && use.last_outcome >= journal_.durable_end().segment)
      use.last_outcome = journal_.current_segment();
  }
}

}  // namespace veredus
