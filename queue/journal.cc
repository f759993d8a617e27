#include "queue/journal.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "queue/journal_recovery.h"
#include "queue/journal_writer.h"
#include "queue/kill_point.h"
#include "queue/planted.h"

namespace veredus::queue {
namespace {

constexpr unsigned kSpareBuffers = 4;
constexpr uint64_t kCachePageBytes = 4096;
constexpr unsigned kInterruptedMax = 16;  // -EINTR, -EAGAIN in a row: then a write has failed

// What intake's frames of that many bytes take at most.
uint64_t group_of(uint64_t bytes) {
  const uint64_t frames = align_up(bytes, kFrameAlign) + uint64_t{kFrameHeaderBytes} * 16;
  return align_up(kGroupHeaderBytes + frames, kGroupAlign);
}

}  // namespace

absl::StatusOr<Recovered> Journal::Impl::recover(JournalVisitor& visitor) {
  assert(!recovered_);
  absl::StatusOr<RecoveredJournal> found =
      recover_journal(disk_, id_, directory_, visitor, options_.accept_unreadable);
  if (!found.ok()) return found.status();
  mark_ = found->mark;
  next_sequence_ = mark_.first;
  durable_ = found->summary.last_sequence;
  durable_end_ = found->end;
  next_number_ = found->next_segment;
  events_ = appended_events_ = found->summary.events;
  checkpoint_ = found->summary.checkpoint;
  checkpoint_before_ = found->checkpoint_before;
  headed_checkpoint_ = found->headed_checkpoint;
  for (const SegmentFile& file : found->files) {
    complete_.emplace(file.number, file.bytes);
    file_bytes_ += file.bytes;
  }
  never_used_ = std::move(found->never_used);
  recovered_ = true;
  return found->summary;
}

void Journal::Impl::start() {
  assert(recovered_ && !started_);
  started_ = true;
  place_segment_ = &add_segment();
  place_offset_ = kSegmentHeaderBytes;
  make_segments();
  // Made ahead by an earlier life that came to no use of them.
  for (const uint32_t segment : std::exchange(never_used_, {})) remove_segment(segment);
}

// --- gathering ---

Appended Journal::Impl::append(FrameType type, std::span<const std::string_view> parts,
                               uint32_t events) {
  assert(started_ && !closed_);
  uint64_t length = 0;
  for (const std::string_view part : parts) length += part.size();
  assert(length < UINT32_MAX - (1u << 20) && "offsets in a segment have 32 bits");
  Group& group = group_for(kFrameHeaderBytes + align_up(length, kFrameAlign));
  const size_t before = group.bytes.size();
  const uint32_t offset = put_frame(group.bytes, type, static_cast<uint32_t>(length));
  for (const std::string_view part : parts) group.bytes.append(part);
  end_frame(group.bytes);
  ++group.frames;
  group.gathered += group.bytes.size() - before;
  group.events += events;
  appended_events_ += events;
  gathered_ += group.bytes.size() - before;
  appended_bytes_ += group.bytes.size() - before;
  return {{id_, group.segment->number, group.offset + offset, static_cast<uint32_t>(length)},
          group.sequence};
}

CheckpointPlace Journal::Impl::append_checkpoint_begin(std::string_view payload) {
  if (!groups_.empty() && !groups_.back().closed) close_group(groups_.back());
  const uint64_t events_before = appended_events_;
  const std::string_view parts[] = {payload};
  const Appended appended = append(FrameType::checkpoint, parts, 0);
  return {appended.location.segment, groups_.back().offset, appended.sequence, events_before};
}

void Journal::Impl::checkpoint_complete(const CheckpointPlace& place) {
  assert(place.sequence <= durable_);
  checkpoint_before_ = std::exchange(checkpoint_, place);
}

// The group that takes a frame of that many bytes: the last one if it has room, else a new one.
Journal::Impl::Group& Journal::Impl::group_for(uint64_t frame_bytes) {
  if (!groups_.empty() && !groups_.back().closed) {
    Group& last = groups_.back();
    const uint64_t then = last.bytes.size() + frame_bytes;
    const uint64_t end = last.offset + align_up(then, kGroupAlign);
    if (then <= options_.group_bytes && end <= last.segment->bytes) return last;
    close_group(last);
  }
  place(align_up(kGroupHeaderBytes + frame_bytes, kGroupAlign));
  Group& group = groups_.emplace_back();
  group.sequence = next_sequence_++;
  group.segment = place_segment_;
  group.offset = static_cast<uint32_t>(place_offset_);
  group.bytes = new_buffer();
  // With what write_group() appends: one large frame must not be copied for it.
  group.bytes.reserve(align_up(kGroupHeaderBytes + frame_bytes, kGroupAlign) + kCachePageBytes);
  group.bytes.resize(kGroupHeaderBytes);
  return group;
}

void Journal::Impl::next_segment() {
  const bool untouched = place_offset_ == kSegmentHeaderBytes && !place_segment_->headed;
  if (untouched) return;
  if (place_segment_ == segments_.back().get()) add_segment();
  auto at = segments_.begin();
  while (at->get() != place_segment_) ++at;
  place_segment_ = (++at)->get();
  place_offset_ = kSegmentHeaderBytes;
}

void Journal::Impl::end_segment() {
  if (!groups_.empty() && !groups_.back().closed) close_group(groups_.back());
  next_segment();
}

// Makes sure that a group of that many bytes fits at place_offset_.
void Journal::Impl::place(uint64_t group_bytes) {
  if (place_offset_ + group_bytes <= place_segment_->bytes) return;
  next_segment();
  Segment& segment = *place_segment_;
  if (place_offset_ + group_bytes > segment.bytes) {
    // Larger than a segment: it gets one of its own size. A spare that is there already is made
    // again.
    if (segment.file >= 0) {
      disk_.close(std::exchange(segment.file, -1));
      file_bytes_ -= std::min(file_bytes_, segment.bytes);
    }
    segment.bytes = align_up(place_offset_ + group_bytes, kSegmentHeaderBytes);
  }
}

bool Journal::Impl::has_space(uint64_t bytes) const {
  if (over_bytes_max() || beyond_bytes_max(bytes)) return false;
  uint64_t at = place_offset_;
  if (!groups_.empty() && !groups_.back().closed)
    at = align_up(groups_.back().offset + groups_.back().bytes.size(), kGroupAlign);
  const bool here = at + group_of(bytes) <= place_segment_->bytes;
  // A single group that is larger than a segment has the next spare made again.
  if (spares_made() >= (here ? 1u : 2u)) return true;
  space_wanted_ = true;
  return false;
}

bool Journal::Impl::at_bytes_max() const {
  if (options_.bytes_max == 0 || !started_) return false;
  return over_bytes_max() || (ahead() < 2 && second_wanted() && !may_grow(options_.segment_bytes));
}

bool Journal::Impl::beyond_bytes_max(uint64_t bytes) const {
  const uint64_t alone = kSegmentHeaderBytes + group_of(bytes);
  return alone > options_.segment_bytes && !may_grow(alone);
}

void Journal::Impl::close_group(Group& group) {
  group.closed = true;
  group.end = group.offset + static_cast<uint32_t>(align_up(group.bytes.size(), kGroupAlign));
  place_offset_ = group.end;
}

std::string Journal::Impl::new_buffer() {
  if (buffers_.empty()) return {};
  std::string buffer = std::move(buffers_.back());
  buffers_.pop_back();
  return buffer;
}

void Journal::Impl::recycle(std::string buffer) {
  if (buffers_.size() >= kSpareBuffers || buffer.capacity() > 2 * size_t{options_.group_bytes}) {
    return;
  }
  buffer.clear();
  buffers_.push_back(std::move(buffer));
}

// --- writing ---

void Journal::Impl::flush() {
  if (!started_ || closed_) return;
  if (wait_ > 0) --wait_;
  flush_to_ = next_sequence_ - 1;
  pump();
}

// Starts the next step, if there is one to do and none under way.
void Journal::Impl::pump() {
  if (step_ != Step::none || closed_) return;
  retire_segments();
  make_segments();
  const bool group_wanted = !groups_.empty() && groups_.front().sequence <= flush_to_;
  if (!group_wanted && lost_.empty()) return;
  Segment& segment = *segments_.front();
  if (segment.file < 0) return;  // segment_made() comes here again
  if (!segment.headed) return write_header(segment);
  if (!lost_.empty()) {
    tell_lost();
    return pump();
  }
  write_group(groups_.front());
}

// The header is durable before the first group is written: groups without a header are damage,
// never a crash.
void Journal::Impl::write_header(Segment& segment) {
  SegmentHeader header;
  header.journal = id_;
  header.segment = segment.number;
  header.mark = mark_;
  header.first_sequence = groups_.empty() ? next_sequence_ : groups_.front().sequence;
  header.durable_up_to = durable_;
  header.events_before = events_;
  header.checkpoint = header_checkpoint_ = checkpoint_;
  header.checkpoint_before = checkpoint_before_;
  encode_segment_header(header, header_);
  segment.headed = true;
  step_ = Step::header_write;
  writing_ = header_;
  writing_at_ = 0;
  interrupted_ = 0;
  write_rest();
}

void Journal::Impl::write_group(Group& group) {
  if (!group.closed) close_group(group);
  GroupHeader header;
  header.journal = id_;
  header.segment = group.segment->number;
  header.offset = group.offset;
  header.mark = mark_;
  header.sequence = group.sequence;
  header.durable_up_to = durable_;
  header.length = static_cast<uint32_t>(group.bytes.size() - kGroupHeaderBytes);
  header.frames = group.frames;
  header.events = group.events;
  seal_group(header, group.bytes);
  // Zeros to the end of the group, and further to the end of the page that the kernel caches:
  // without those it would have to read it first. Nothing has been written there yet.
  const uint64_t page_end = align_up(group.end, kCachePageBytes);
  const uint64_t write_end = std::min<uint64_t>(page_end, group.segment->bytes);
  group.bytes.append(write_end - group.offset - group.bytes.size(), '\0');
  step_ = Step::group_write;
  writing_ = group.bytes;
  writing_at_ = group.offset;
  interrupted_ = 0;
  write_rest();
}

void Journal::Impl::write_rest() {
  disk_.write(segments_.front()->file, writing_at_,
              {reinterpret_cast<const uint8_t*>(writing_.data()), writing_.size()}, operation_);
}

void Journal::Impl::step_done(int64_t result) {
  if (closed_) return;
  switch (step_) {
    case Step::none:
      assert(false);
      return;
    case Step::header_write:
    case Step::group_write:
      return written(result);
    case Step::header_sync:
      if (result < 0) return step_failed(result);
      headed_checkpoint_ = header_checkpoint_;
      step_ = Step::none;
      kill_point("header_synced");
      remove_dead();
      return pump();
    case Step::group_sync:
      if (result < 0) return step_failed(result);
      return group_durable();
  }
}

void Journal::Impl::written(int64_t result) {
  if ((result == -EINTR || result == -EAGAIN) && ++interrupted_ < kInterruptedMax) {
    return write_rest();
  }
  if (result <= 0) return step_failed(result < 0 ? result : -EIO);
  assert(static_cast<uint64_t>(result) <= writing_.size());
  writing_.remove_prefix(static_cast<size_t>(result));
  writing_at_ += static_cast<uint64_t>(result);
  interrupted_ = 0;
  if (!writing_.empty()) return write_rest();
  if (is_planted(Planted::sync_skipped) && step_ == Step::group_write) return group_durable();
  if (step_ == Step::header_write) kill_point("header_written");
  if (step_ == Step::group_write) kill_point("group_written");
  step_ = step_ == Step::header_write ? Step::header_sync : Step::group_sync;
  disk_.sync(segments_.front()->file, operation_);
}

void Journal::Impl::group_durable() {
  kill_point("group_synced");
  Group group = std::move(groups_.front());
  groups_.pop_front();
  gathered_ -= group.gathered;
  group.segment->needed = true;
  back_off_ = 0;
  // The disk takes groups (again). A segment that is still to be made says by itself how that goes.
  if (std::all_of(segments_.begin(), segments_.end(),
                  [](const auto& segment) { return segment->file >= 0; })) {
    healthy_ = true;
  }
  durable_ = group.sequence;
  events_ += group.events;
  durable_end_ = {id_, group.segment->number, group.end, 0};
  recycle(std::move(group.bytes));
  step_ = Step::none;
  listener_.on_durable(durable_);
  pump();
}

void Journal::Impl::close() {
  if (closed_) return;
  assert(step_ == Step::none && "close() comes after idle()");
  closed_ = true;
  for (const std::unique_ptr<Segment>& segment : segments_) {
    if (segment->file >= 0) disk_.close(std::exchange(segment->file, -1));
  }
}

// --- outside ---

Journal::Journal(Disk& disk, JournalListener& listener, uint16_t id, std::string directory,
                 JournalOptions options)
    : impl_(std::make_unique<Impl>(disk, listener, id, std::move(directory), options)) {}
Journal::~Journal() = default;

absl::StatusOr<Recovered> Journal::recover(JournalVisitor& visitor) {
  return impl_->recover(visitor);
}
void Journal::start() {
  impl_->start();
}
Appended Journal::append(FrameType type, std::span<const std::string_view> parts, uint32_t events) {
  return impl_->append(type, parts, events);
}
Appended Journal::append(FrameType type, std::string_view payload, uint32_t events) {
  return impl_->append(type, std::span<const std::string_view>(&payload, 1), events);
}
CheckpointPlace Journal::append_checkpoint_begin(std::string_view payload) {
  return impl_->append_checkpoint_begin(payload);
}
void Journal::checkpoint_complete(const CheckpointPlace& place) {
  impl_->checkpoint_complete(place);
}
void Journal::flush() {
  impl_->flush();
}
void Journal::try_again() {
  impl_->try_again();
}
void Journal::end_segment() {
  impl_->end_segment();
}
bool Journal::has_room() const {
  return impl_->has_room();
}
bool Journal::at_bytes_max() const {
  return impl_->at_bytes_max();
}
bool Journal::beyond_bytes_max(uint64_t bytes) const {
  return impl_->beyond_bytes_max(bytes);
}
bool Journal::has_space(uint64_t bytes) const {
  return impl_->has_space(bytes);
}
bool Journal::healthy() const {
  return impl_->healthy();
}
bool Journal::losses_untold() const {
  return impl_->losses_untold();
}
bool Journal::idle() const {
  return impl_->idle();
}
uint64_t Journal::durable_sequence() const {
  return impl_->durable_sequence();
}
uint64_t Journal::appended_sequence() const {
  return impl_->appended_sequence();
}
uint64_t Journal::appended_bytes() const {
  return impl_->appended_bytes();
}
uint64_t Journal::file_bytes() const {
  return impl_->file_bytes();
}
uint32_t Journal::needed_from() const {
  return impl_->needed_from();
}
uint32_t Journal::checkpoint_segment() const {
  return impl_->checkpoint_segment();
}
uint32_t Journal::current_segment() const {
  return impl_->current_segment();
}
const std::map<uint32_t, uint64_t>& Journal::complete_segments() const {
  return impl_->complete_segments();
}
void Journal::remove_segment(uint32_t segment) {
  impl_->remove_segment(segment);
}
uint64_t Journal::durable_events() const {
  return impl_->durable_events();
}
Location Journal::durable_end() const {
  return impl_->durable_end();
}
uint16_t Journal::id() const {
  return impl_->id();
}
void Journal::close() {
  impl_->close();
}

}  // namespace veredus::queue
