#include "queue/journal.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "queue/journal_files.h"
#include "queue/journal_format.h"
#include "queue/journal_recovery.h"

namespace veredus::queue {
namespace {

constexpr unsigned kSpareBuffers = 4;
constexpr unsigned kInterruptedMax =
    16;                                // -EINTR, -EAGAIN in a row before a write counts as failed
constexpr unsigned kBackOffMax = 256;  // calls of flush() between two tries at making a segment

}  // namespace

// The writer. Groups wait in `groups_` in the order of their sequence, each with its place; the
// front one goes through the steps: header of its segment if it is the first there, write, sync.
// One step is under way at a time. Segments are made (zeroed) beside that, by operations of their
// own.
class Journal::Impl {
 public:
  Impl(Disk& disk, JournalListener& listener, uint16_t id, std::string directory,
       JournalOptions options)
      : disk_(disk),
        listener_(listener),
        id_(id),
        directory_(std::move(directory)),
        options_(options) {}

  absl::StatusOr<Recovered> recover(JournalVisitor& visitor);
  void start();
  Appended append(FrameType type, std::span<const std::string_view> parts);
  void flush();
  void close();

  bool has_room() const { return gathered_ < options_.buffered_bytes; }
  bool healthy() const { return healthy_; }
  bool idle() const {
    return groups_.empty() && lost_.empty() && step_ == Step::none && creating_ == nullptr &&
           removing_.empty();
  }
  uint64_t durable_sequence() const { return durable_; }
  Location durable_end() const { return durable_end_; }
  uint16_t id() const { return id_; }

 private:
  // A file in the making or in use.
  struct Segment : DiskOperation {
    explicit Segment(Impl& the_journal) : journal(the_journal) {}
    void on_disk_done(int64_t result) override {
      removed ? journal.segment_removed(*this) : journal.segment_made(*this, result);
    }
    Impl& journal;
    uint32_t number = 0;
    uint64_t bytes = 0;
    uint64_t bytes_asked = 0;  // of the create under way
    Disk::File file = -1;      // -1: to be made
    bool headed = false;       // its header is durable, or on its way
    bool needed = false;       // holds a durable group
    bool removed = false;
  };
  struct Group {
    uint64_t sequence = 0;
    Segment* segment = nullptr;
    uint32_t offset = 0;
    uint32_t frames = 0;
    bool closed = false;
    std::string bytes;
    uint64_t gathered = 0;  // bytes of frames
  };
  enum class Step : uint8_t { none, header_write, header_sync, group_write, group_sync };
  struct StepOperation : DiskOperation {
    explicit StepOperation(Impl& the_journal) : journal(the_journal) {}
    void on_disk_done(int64_t result) override { journal.step_done(result); }
    Impl& journal;
  };

  Group& group_for(uint64_t frame_bytes);
  void place(uint64_t group_bytes);
  void close_group(Group& group);
  Segment& add_segment();
  void make_segments();
  void segment_made(Segment& segment, int64_t result);
  void remove_dead();
  void segment_removed(Segment& segment);
  void cannot_make();
  void retire_segments();
  void pump();
  void tell_lost();
  void write_header(Segment& segment);
  void write_group(Group& group);
  void write_rest();
  void step_done(int64_t result);
  void written(int64_t result);
  void step_failed(int64_t error);
  void group_durable();
  void seal(int64_t error);
  std::string new_buffer();
  void recycle(std::string buffer);

  Disk& disk_;
  JournalListener& listener_;
  const uint16_t id_;
  const std::string directory_;
  const JournalOptions options_;

  EpochMark mark_;
  uint64_t next_sequence_ = 1;
  uint64_t durable_ = 0;
  Location durable_end_;
  bool recovered_ = false, started_ = false, closed_ = false;

  std::deque<std::unique_ptr<Segment>> segments_;  // front: where the next write goes
  Segment* place_segment_ = nullptr;               // where the next group is placed
  uint64_t place_offset_ = 0;
  uint32_t next_segment_ = 1;
  Segment* creating_ = nullptr;
  std::vector<std::unique_ptr<Segment>> dead_;      // sealed without a durable group in it
  std::vector<std::unique_ptr<Segment>> removing_;  // of these, on their way out
  bool healthy_ = true;
  unsigned back_off_ = 0, wait_ = 0;

  std::deque<Group> groups_;
  uint64_t gathered_ = 0;
  uint64_t flush_to_ = 0;
  std::deque<uint64_t> lost_;  // void once the front segment's header is durable; then told
  absl::Status lost_why_;
  std::vector<std::string> buffers_;

  Step step_ = Step::none;
  StepOperation operation_{*this};
  std::string header_;
  std::string_view writing_;  // what of header or group is not written yet
  uint64_t writing_at_ = 0;
  unsigned interrupted_ = 0;
};

absl::StatusOr<Recovered> Journal::Impl::recover(JournalVisitor& visitor) {
  assert(!recovered_);
  absl::StatusOr<RecoveredJournal> found = recover_journal(disk_, id_, directory_, visitor);
  if (!found.ok()) return found.status();
  mark_ = found->mark;
  next_sequence_ = mark_.first;
  durable_ = found->summary.last_sequence;
  durable_end_ = found->end;
  next_segment_ = found->next_segment;
  recovered_ = true;
  return found->summary;
}

void Journal::Impl::start() {
  assert(recovered_ && !started_);
  started_ = true;
  place_segment_ = &add_segment();
  place_offset_ = kSegmentHeaderBytes;
  add_segment();  // the spare
  make_segments();
}

// -------------------------------------------------------------------------------------------------
// gathering

Appended Journal::Impl::append(FrameType type, std::span<const std::string_view> parts) {
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
  gathered_ += group.bytes.size() - before;
  return {{id_, group.segment->number, group.offset + offset, static_cast<uint32_t>(length)},
          group.sequence};
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
  group.bytes.resize(kGroupHeaderBytes);
  return group;
}

// Makes sure that a group of that many bytes fits at place_offset_.
void Journal::Impl::place(uint64_t group_bytes) {
  if (place_offset_ + group_bytes <= place_segment_->bytes) return;
  const bool untouched = place_offset_ == kSegmentHeaderBytes && !place_segment_->headed;
  if (!untouched) {
    if (place_segment_ == segments_.back().get()) add_segment();
    auto at = segments_.begin();
    while (at->get() != place_segment_) ++at;
    place_segment_ = (++at)->get();
    place_offset_ = kSegmentHeaderBytes;
  }
  Segment& segment = *place_segment_;
  if (place_offset_ + group_bytes > segment.bytes) {
    // Larger than a segment: it gets one of its own size. A spare that is there already is made
    // again.
    segment.bytes = align_up(place_offset_ + group_bytes, kSegmentHeaderBytes);
    if (segment.file >= 0) disk_.close(std::exchange(segment.file, -1));
  }
}

void Journal::Impl::close_group(Group& group) {
  group.closed = true;
  place_offset_ = group.offset + align_up(group.bytes.size(), kGroupAlign);
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

// --------------------------------------------------------------------------------------------------
// segments

Journal::Impl::Segment& Journal::Impl::add_segment() {
  Segment& segment = *segments_.emplace_back(std::make_unique<Segment>(*this));
  segment.number = next_segment_++;
  segment.bytes = options_.segment_bytes;
  return segment;
}

// One at a time, in order; and a spare when the last one in use is more than half full.
void Journal::Impl::make_segments() {
  if (creating_ != nullptr || wait_ > 0 || closed_) return;
  if (place_segment_ == segments_.back().get() && place_offset_ > place_segment_->bytes / 2) {
    add_segment();
  }
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
    healthy_ = true;
  } else {
    cannot_make();
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
  for (std::unique_ptr<Segment>& segment : dead_) {
    segment->removed = true;
    disk_.remove(segment_path(directory_, segment->number), *segment);
    removing_.push_back(std::move(segment));
  }
  dead_.clear();
}

void Journal::Impl::segment_removed(Segment& segment) {
  std::erase_if(removing_, [&](const auto& each) { return each.get() == &segment; });
}

// Lets go of files that are complete: all that was placed in them is durable.
void Journal::Impl::retire_segments() {
  while (segments_.front().get() != place_segment_ &&
         (groups_.empty() || groups_.front().segment != segments_.front().get())) {
    if (segments_.front()->file >= 0) disk_.close(segments_.front()->file);
    assert(creating_ != segments_.front().get());
    segments_.pop_front();
  }
}

// ---------------------------------------------------------------------------------------------------
// writing

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
  seal_group(header, group.bytes);
  group.bytes.append(align_up(group.bytes.size(), kGroupAlign) - group.bytes.size(), '\0');
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
      step_ = Step::none;
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
  step_ = step_ == Step::header_write ? Step::header_sync : Step::group_sync;
  disk_.sync(segments_.front()->file, operation_);
}

void Journal::Impl::group_durable() {
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
  durable_end_ = {id_, group.segment->number,
                  static_cast<uint32_t>(group.offset + group.bytes.size()), 0};
  recycle(std::move(group.bytes));
  step_ = Step::none;
  listener_.on_durable(durable_);
  pump();
}

// ---------------------------------------------------------------------------------------------------
// failure

void Journal::Impl::step_failed(int64_t error) {
  const bool header = step_ == Step::header_write || step_ == Step::header_sync;
  step_ = Step::none;
  if (!header) return seal(error);
  // No group was ever written to this file. It is replaced by a new one under the same number, so
  // that the places given out in it stay true.
  Segment& segment = *segments_.front();
  disk_.close(std::exchange(segment.file, -1));
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
  disk_.close(std::exchange(sealed->file, -1));
  if (!sealed->needed) {
    // A disk that takes no group at all must not be filled with dead files.
    cannot_make();
    dead_.push_back(std::move(sealed));
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
  for (Group& group : lost) {
    lost_.push_back(group.sequence);
    uint32_t at = kGroupHeaderBytes;
    for (uint32_t number = 0; number < group.frames; ++number) {
      Frame frame;
      const bool sound = read_frame(group.bytes, at, frame, at);
      assert(sound && "we wrote it");
      if (!sound) break;
      if (frame.type != FrameType::outcomes && frame.type != FrameType::attempts) continue;
      const std::string_view payload[] = {frame.payload};
      append(frame.type, payload);
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

void Journal::Impl::close() {
  if (closed_) return;
  assert(step_ == Step::none && "close() comes after idle()");
  closed_ = true;
  for (const std::unique_ptr<Segment>& segment : segments_) {
    if (segment->file >= 0) disk_.close(std::exchange(segment->file, -1));
  }
}

// ---------------------------------------------------------------------------------------------------
// outside

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
Appended Journal::append(FrameType type, std::span<const std::string_view> parts) {
  return impl_->append(type, parts);
}
Appended Journal::append(FrameType type, std::string_view payload) {
  return impl_->append(type, std::span<const std::string_view>(&payload, 1));
}
void Journal::flush() {
  impl_->flush();
}
bool Journal::has_room() const {
  return impl_->has_room();
}
bool Journal::healthy() const {
  return impl_->healthy();
}
bool Journal::idle() const {
  return impl_->idle();
}
uint64_t Journal::durable_sequence() const {
  return impl_->durable_sequence();
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
