// The writer's files: made ahead of need, sealed when they fail, let go when they are complete.

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "queue/journal_files.h"
#include "queue/journal_writer.h"
#include "queue/kill_point.h"
#include "queue/outcome.h"

namespace veredus::queue {
namespace {

// Calls of flush() between two tries at making a segment: about a minute when nothing happens.
constexpr unsigned kBackOffMax = 64;

}  // namespace

Journal::Impl::Segment& Journal::Impl::add_segment() {
  Segment& segment = *segments_.emplace_back(std::make_unique<Segment>(*this));
  segment.number = next_number_++;
  segment.bytes = options_.segment_bytes;
  return segment;
}

size_t Journal::Impl::spares_made() const {
  size_t made = 0;
  for (auto at = segments_.rbegin(); at->get() != place_segment_; ++at) {
    if ((*at)->file >= 0) ++made;
  }
  return made;
}

size_t Journal::Impl::ahead() const {
  size_t ahead = 0;
  for (auto at = segments_.rbegin(); at->get() != place_segment_; ++at) ++ahead;
  return ahead;
}

bool Journal::Impl::second_wanted() const {
  const bool checkpointed = checkpoint_.segment == place_segment_->number;
  return space_wanted_ || (checkpointed && place_offset_ > place_segment_->bytes / 2);
}

// By that much for intake.
bool Journal::Impl::may_grow(uint64_t bytes) const {
  if (options_.bytes_max == 0) return true;
  uint64_t then = file_bytes_ + bytes + uint64_t{kSegmentsKept} * options_.segment_bytes;
  for (const std::unique_ptr<Segment>& segment : segments_) {
    if (segment->file < 0) then += segment->bytes;
  }
  return then <= options_.bytes_max;
}

// One at a time, in order. One is always ahead, kept for outcomes; a second one, for intake, from
// the time when the last one in use is half full and the segments that its checkpoint frees can go,
// or when intake asks for it.
void Journal::Impl::make_segments() {
  if (creating_ != nullptr || wait_ > 0 || closed_) return;
  const bool two = second_wanted() && may_grow(options_.segment_bytes);
  if (ahead() < (two ? 2u : 1u)) add_segment();
  for (const std::unique_ptr<Segment>& segment : segments_) {
    if (segment->file >= 0) continue;
    creating_ = segment.get();
    segment->bytes_asked = segment->bytes;
    disk_.create(segment_path(directory_, segment->number), segment->bytes, *segment);
    return;
  }
}

void Journal::Impl::segment_made(Segment& segment, int64_t result) {
  assert(creating_ == &segment);
  creating_ = nullptr;
  if (result >= 0 && (closed_ || segment.bytes_asked < segment.bytes)) {
    disk_.close(static_cast<Disk::File>(result));  // meanwhile a larger one is wanted, or none
  } else if (result >= 0) {
    segment.file = static_cast<Disk::File>(result);
    file_bytes_ += segment.bytes;
    kill_point("segment_made");
    healthy_ = true;
    space_wanted_ = false;
  } else {
    cannot_make();
    // Nothing behind a group that is too large for this disk may wait for it.
    const bool large = segment.bytes > options_.segment_bytes;
    if (large && &segment == segments_.front().get() && step_ == Step::none) return seal(result);
  }
  pump();
}

// Waits longer each time until a group is durable again.
void Journal::Impl::cannot_make() {
  healthy_ = false;
  back_off_ = std::clamp(back_off_ * 2, 1u, kBackOffMax);
  wait_ = back_off_;
}

// Not before a later header is durable: theirs may be all that says what is void.
void Journal::Impl::remove_dead() {
  for (std::unique_ptr<Segment>& segment : dead_) remove_file(std::move(segment));
  dead_.clear();
}

void Journal::Impl::remove_segment(uint32_t number) {
  const auto found = complete_.find(number);
  assert(found != complete_.end());
  auto segment = std::make_unique<Segment>(*this);
  segment->number = number;
  segment->bytes = found->second;
  segment->needed = true;
  complete_.erase(found);
  remove_file(std::move(segment));
}

void Journal::Impl::remove_file(std::unique_ptr<Segment> segment) {
  segment->removed = true;
  Segment& leaving = *segment;
  removing_.push_back(std::move(segment));
  disk_.remove(segment_path(directory_, leaving.number), leaving);
}

void Journal::Impl::segment_removed(Segment& segment, int64_t result) {
  const uint32_t number = segment.number;
  absl::Status status;
  if (result < 0 && result != -ENOENT) {
    // It still takes its room, and may be removed later.
    status = absl::UnavailableError(segment_path(directory_, number) +
                                    " cannot be removed: " + error_text(result));
    complete_.emplace(number, segment.bytes);
  } else {
    file_bytes_ -= std::min(file_bytes_, segment.bytes);
    // A segment that could not be made may find room now. A dead one never had any.
    if (segment.needed) wait_ = 0;
  }
  std::erase_if(removing_, [&](const auto& each) { return each.get() == &segment; });
  if (!closed_) listener_.on_segment_removed(number, status);
}

// Lets go of files that are complete: all that was placed in them is durable.
void Journal::Impl::retire_segments() {
  while (segments_.front().get() != place_segment_ &&
         (groups_.empty() || groups_.front().segment != segments_.front().get())) {
    Segment& done = *segments_.front();
    assert(creating_ != &done);
    if (done.file >= 0) {
      disk_.close(done.file);
      complete_.emplace(done.number, done.bytes);
    }
    segments_.pop_front();
  }
}

// --- failure ---

void Journal::Impl::step_failed(int64_t error) {
  const bool header = step_ == Step::header_write || step_ == Step::header_sync;
  step_ = Step::none;
  if (!header) return seal(error);
  // No group was ever written to this file. It is replaced by a new one under the same number, so
  // that the places given out in it stay true.
  Segment& segment = *segments_.front();
  disk_.close(std::exchange(segment.file, -1));
  file_bytes_ -= std::min(file_bytes_, segment.bytes);
  segment.headed = false;
  cannot_make();
  pump();
}

// The group under way may lie on the disk or not, and nobody can find out: after a failed sync the
// kernel may have dropped what was not written, and the next sync would say that all is well. So a
// new epoch begins, in the next file, that voids everything which is not durable now. What has
// gathered has its place behind the failed group, and goes with it; outcomes and attempt marks are
// facts and go to the new epoch.
void Journal::Impl::seal(int64_t error) {
  std::unique_ptr<Segment> sealed = std::move(segments_.front());
  segments_.pop_front();
  if (sealed->file >= 0) disk_.close(std::exchange(sealed->file, -1));
  if (!sealed->needed) {
    // A disk that takes no group at all must not be filled with dead files.
    cannot_make();
    dead_.push_back(std::move(sealed));
  } else {
    complete_.emplace(sealed->number, sealed->bytes);
  }
  if (segments_.empty()) add_segment();
  for (const std::unique_ptr<Segment>& segment : segments_) {
    if (segment->file < 0 && creating_ != segment.get()) segment->bytes = options_.segment_bytes;
  }
  place_segment_ = segments_.front().get();
  place_offset_ = kSegmentHeaderBytes;
  mark_ = {mark_.epoch + 1, durable_ + 1, next_sequence_};
  lost_why_ = absl::UnavailableError("the journal " + directory_ +
                                     " could not be written: " + error_text(error));

  std::deque<Group> lost;
  lost.swap(groups_);
  gathered_ = 0;
  appended_events_ = events_;
  for (Group& group : lost) {
    lost_.push_back(group.sequence);
    uint32_t at = kGroupHeaderBytes;
    for (uint32_t number = 0; number < group.frames; ++number) {
      Frame frame;
      const bool sound = read_frame(group.bytes, at, frame, at);
      assert(sound && "we wrote it");
      if (!sound) break;
      if (frame.type != FrameType::outcomes) continue;
      const std::string_view payload[] = {frame.payload};
      append(frame.type, payload, outcomes_in(frame.payload));
    }
    recycle(std::move(group.bytes));
  }
  flush_to_ = next_sequence_ - 1;
  pump();
}

void Journal::Impl::tell_lost() {
  std::deque<uint64_t> lost;
  lost.swap(lost_);
  for (const uint64_t sequence : lost) listener_.on_lost(sequence, lost_why_);
}

}  // namespace veredus::queue
