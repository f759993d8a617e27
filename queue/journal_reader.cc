#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "queue/journal.h"
#include "queue/journal_epochs.h"
#include "queue/journal_files.h"
#include "queue/journal_format.h"

namespace veredus::queue {
namespace {

constexpr uint64_t kWindowBytes = 256u << 10;

}  // namespace

class JournalReader::Impl {
 public:
  Impl(Disk& disk, uint16_t id, std::string directory)
      : disk_(disk), id_(id), directory_(std::move(directory)) {}

  absl::StatusOr<bool> next(Position& position, const Location& end, FrameType& type,
                            Location& location, std::string_view& payload);
  absl::StatusOr<uint64_t> events_before(uint32_t segment);
  absl::Status read(const Location& location, std::string& out);

 private:
  absl::StatusOr<SegmentHeader> read_header(uint32_t segment);
  absl::Status learn_epochs(uint32_t end_segment);
  absl::StatusOr<bool> next_segment(Position& position, const Location& end);
  absl::StatusOr<bool> seek(Position& position, const Location& end);
  absl::StatusOr<bool> take_frame(Position& position, Frame& frame);
  absl::Status open(uint32_t segment);
  absl::StatusOr<std::string_view> window(uint32_t offset, uint64_t length);
  absl::StatusOr<bool> load_group(Position& position);
  absl::StatusOr<uint64_t> size_of(uint32_t segment);
  absl::Status check_gap(const Position& position);

  Disk& disk_;
  const uint16_t id_;
  const std::string directory_;
  Epochs epochs_;
  uint32_t epochs_up_to_ = 0;  // segment

  std::unique_ptr<OpenFile> file_;
  uint32_t file_segment_ = 0;
  uint64_t file_bytes_ = 0;  // 0: not asked yet
  uint64_t limit_ = 0;       // of the file, or what is durable of it
  std::string window_;
  uint64_t window_at_ = 0;

  // The group that the last frame came from, within window_.
  std::string_view group_;
  GroupHeader header_;
  uint32_t group_segment_ = 0, group_offset_ = 0;
  uint32_t frame_ = 0, frame_at_ = 0;  // next frame
  uint64_t last_sequence_ = 0;         // 0: began here
  Position left_at_;
};

// NotFound: the file is gone, or was never written to. DataLoss: damaged, or another file's.
// Unavailable: it cannot be read now.
absl::StatusOr<SegmentHeader> JournalReader::Impl::read_header(uint32_t segment) {
  const std::string name = Journal::segment_path(directory_, segment);
  OpenFile opened(disk_, name);
  if (opened.error() == ENOENT) return absl::NotFoundError(name + " is gone");
  if (!opened.ok()) {
    return absl::UnavailableError(name + " cannot be opened: " + error_text(opened.error()));
  }
  std::string head;
  std::vector<Unreadable> unreadable;
  read_range(disk_, opened.handle(), 0, kSegmentHeaderBytes, head, unreadable);
  if (!unreadable.empty()) {
    return absl::UnavailableError(
        name + ": its header cannot be read: " + error_text(unreadable.front().error));
  }
  SegmentHeader header;
  const absl::Status parsed = parse_segment_header(head, header);
  if (absl::IsFailedPrecondition(parsed)) {
    return absl::FailedPreconditionError(name + " " + std::string(parsed.message()));
  }
  if (!parsed.ok()) return parsed;
  if (header.journal != id_ || header.segment != segment) {
    return absl::DataLossError(name + " has the header of another file");
  }
  return header;
}

absl::StatusOr<uint64_t> JournalReader::Impl::events_before(uint32_t segment) {
  const absl::StatusOr<SegmentHeader> header = read_header(segment);
  if (!header.ok()) return header.status();
  return header->events_before;
}

// A group counts or not by what later epochs say, up to the end: their headers are small, and each
// is read once.
absl::Status JournalReader::Impl::learn_epochs(uint32_t end_segment) {
  if (end_segment <= epochs_up_to_) return absl::OkStatus();
  const absl::StatusOr<std::vector<SegmentFile>> files = list_segments(disk_, directory_);
  if (!files.ok()) return files.status();
  for (const SegmentFile& file : *files) {
    if (file.number <= epochs_up_to_ || file.number > end_segment) continue;
    const absl::StatusOr<SegmentHeader> header = read_header(file.number);
    if (absl::IsUnavailable(header.status()) || absl::IsFailedPrecondition(header.status())) {
      return header.status();
    }
    if (header.ok()) epochs_.learn(header->mark);  // else its groups say the same, or it has none
  }
  epochs_up_to_ = end_segment;
  return absl::OkStatus();
}

// Moves to the beginning of the next segment that is there; false when there is none up to the end.
absl::StatusOr<bool> JournalReader::Impl::next_segment(Position& position, const Location& end) {
  const absl::StatusOr<std::vector<SegmentFile>> files = list_segments(disk_, directory_);
  if (!files.ok()) return files.status();
  for (const SegmentFile& file : *files) {
    if (file.number <= position.segment || file.number > end.segment) continue;
    position = {file.number, kSegmentHeaderBytes, 0};
    return true;
  }
  return false;
}

absl::Status JournalReader::Impl::open(uint32_t segment) {
  if (file_ != nullptr && file_segment_ == segment) return absl::OkStatus();
  const std::string name = Journal::segment_path(directory_, segment);
  file_ = std::make_unique<OpenFile>(disk_, name);
  file_segment_ = segment;
  file_bytes_ = 0;
  window_.clear();
  group_segment_ = 0;
  if (file_->ok()) return absl::OkStatus();
  const int error = file_->error();
  file_.reset();
  const std::string message = name + " cannot be opened: " + error_text(error);
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

// `length` bytes at `offset` of the open file; fewer at its limit. Valid until the next call.
// Unavailable: the disk does not give them, now.
absl::StatusOr<std::string_view> JournalReader::Impl::window(uint32_t offset, uint64_t length) {
  if (offset >= limit_) return std::string_view();
  length = std::min(length, limit_ - offset);
  if (offset < window_at_ || offset + length > window_at_ + window_.size()) {
    std::vector<Unreadable> unreadable;
    const uint64_t wanted = std::min(std::max(length, kWindowBytes), limit_ - offset);
    read_range(disk_, file_->handle(), offset, wanted, window_, unreadable);
    window_at_ = offset;
    if (!unreadable.empty()) {
      const Unreadable& first = unreadable.front();
      window_.resize(first.offset - offset);
      if (window_.size() < length) {
        return absl::UnavailableError(Journal::segment_path(directory_, file_segment_) +
                                      " cannot be read at offset " + std::to_string(first.offset) +
                                      ": " + error_text(first.error));
      }
    }
  }
  return std::string_view(window_).substr(offset - window_at_, length);
}

// Of a file that is complete. One that was reclaimed meanwhile ends where reading it ends.
absl::StatusOr<uint64_t> JournalReader::Impl::size_of(uint32_t segment) {
  if (file_bytes_ != 0) return file_bytes_;
  const absl::StatusOr<std::vector<SegmentFile>> files = list_segments(disk_, directory_);
  if (!files.ok()) return files.status();
  file_bytes_ = UINT32_MAX;
  for (const SegmentFile& file : *files) {
    if (file.number == segment) file_bytes_ = std::min<uint64_t>(file.bytes, UINT32_MAX);
  }
  return file_bytes_;
}

// Finds the next group that counts, at or behind the position; false at the limit.
absl::StatusOr<bool> JournalReader::Impl::load_group(Position& position) {
  group_segment_ = 0;
  while (position.offset < limit_) {
    GroupHeader header;
    const absl::StatusOr<std::string_view> head = window(position.offset, kGroupHeaderBytes);
    if (!head.ok()) return head.status();
    if (head->size() < kGroupHeaderBytes) break;
    if (!parse_group_header(*head, id_, position.segment, position.offset, header)) {
      position = {position.segment, position.offset + kGroupAlign, 0};
      continue;
    }
    epochs_.learn(header.mark);
    const absl::StatusOr<std::string_view> whole =
        window(position.offset, uint64_t{kGroupHeaderBytes} + header.length);
    if (!whole.ok()) return whole.status();
    const bool valid =
        parse_group(*whole, id_, position.segment, position.offset, header_) == GroupState::valid;
    if (valid && !epochs_.is_void(header.mark.epoch, header.sequence)) {
      group_ = *whole;
      group_segment_ = position.segment;
      group_offset_ = position.offset;
      frame_ = 0;
      frame_at_ = kGroupHeaderBytes;
      return true;
    }
    const uint64_t behind = position.offset + group_extent(header);
    if (behind >= limit_) break;
    position = {position.segment, static_cast<uint32_t>(behind), 0};
  }
  return false;
}

// Groups that should be between the last one and this.
absl::Status JournalReader::Impl::check_gap(const Position& position) {
  const uint64_t sequence = header_.sequence;
  const uint64_t before = std::exchange(last_sequence_, sequence);
  if (before == 0 || before == sequence) return absl::OkStatus();
  const uint64_t expected = epochs_.after(before);
  if (sequence <= expected) return absl::OkStatus();
  return absl::DataLossError(Journal::segment_path(directory_, position.segment) +
                             ": groups from " + std::to_string(expected) + " to " +
                             std::to_string(sequence - 1) + ", before offset " +
                             std::to_string(position.offset) + ", are lost");
}

// Brings the group at or behind the position into group_; false at the end.
absl::StatusOr<bool> JournalReader::Impl::seek(Position& position, const Location& end) {
  while (true) {
    if (position.segment == 0) {
      const absl::StatusOr<bool> found = next_segment(position, end);
      if (!found.ok() || !*found) return found;
    }
    const uint32_t offset = std::max(position.offset, kSegmentHeaderBytes);
    position.offset = static_cast<uint32_t>(align_up(offset, kGroupAlign));
    const bool last = position.segment >= end.segment;
    if (position.segment > end.segment || (last && position.offset >= end.offset)) return false;
    if (group_segment_ == position.segment && group_offset_ == position.offset) return true;
    const absl::Status opened = open(position.segment);
    if (!opened.ok() && !absl::IsNotFound(opened)) return opened;
    group_segment_ = 0;
    if (opened.ok()) {
      limit_ = end.offset;
      if (!last) {
        const absl::StatusOr<uint64_t> size = size_of(position.segment);
        if (!size.ok()) return size.status();
        limit_ = *size;
      }
      const absl::StatusOr<bool> loaded = load_group(position);
      if (!loaded.ok()) return loaded;
      if (*loaded) {
        const absl::Status whole = check_gap(position);
        if (!whole.ok()) return whole;
        return true;
      }
    }
    if (last) {
      position = {position.segment, end.offset, 0};
      return false;
    }
    const absl::StatusOr<bool> more = next_segment(position, end);
    if (!more.ok() || !*more) return more;
  }
}

// The frame at the position's number within group_, if there are that many.
absl::StatusOr<bool> JournalReader::Impl::take_frame(Position& position, Frame& frame) {
  const Position behind = {position.segment,
                           static_cast<uint32_t>(position.offset + group_extent(header_)), 0};
  if (position.frame >= header_.frames) {
    position = behind;
    return false;
  }
  if (frame_ > position.frame) {
    frame_ = 0;
    frame_at_ = kGroupHeaderBytes;
  }
  for (; frame_ <= position.frame; ++frame_) {
    if (read_frame(group_, frame_at_, frame, frame_at_)) continue;
    position = left_at_ = behind;
    return absl::DataLossError("group " + std::to_string(header_.sequence) + " of " + directory_ +
                               " holds a damaged frame");
  }
  ++position.frame;
  return true;
}

absl::StatusOr<bool> JournalReader::Impl::next(Position& position, const Location& end,
                                               FrameType& type, Location& location,
                                               std::string_view& payload) {
  const absl::Status learnt = learn_epochs(end.segment);
  if (!learnt.ok()) return learnt;
  if (position.segment != left_at_.segment || position.offset != left_at_.offset ||
      position.frame != left_at_.frame) {
    last_sequence_ = 0;  // somewhere else: what lies between is not missing
  }
  while (true) {
    const absl::StatusOr<bool> found = seek(position, end);
    left_at_ = position;
    if (!found.ok() || !*found) return found;
    Frame frame;
    const absl::StatusOr<bool> taken = take_frame(position, frame);
    left_at_ = position;
    if (!taken.ok()) return taken;
    if (!*taken) continue;
    type = frame.type;
    location = {id_, position.segment, position.offset + frame.offset,
                static_cast<uint32_t>(frame.payload.size())};
    payload = frame.payload;
    return true;
  }
}

absl::Status JournalReader::Impl::read(const Location& location, std::string& out) {
  const std::string name = Journal::segment_path(directory_, location.segment);
  OpenFile opened(disk_, name);
  if (opened.error() == ENOENT) return absl::NotFoundError(name + " is gone");
  if (!opened.ok()) {
    return absl::UnavailableError(name + " cannot be opened: " + error_text(opened.error()));
  }
  std::vector<Unreadable> unreadable;
  read_range(disk_, opened.handle(), location.offset, location.length, out, unreadable);
  if (!unreadable.empty()) {
    return absl::DataLossError(name + " cannot be read at offset " +
                               std::to_string(unreadable.front().offset) + ": " +
                               error_text(unreadable.front().error));
  }
  if (out.size() == location.length) return absl::OkStatus();
  return absl::DataLossError(name + " ends before offset " +
                             std::to_string(uint64_t{location.offset} + location.length));
}

JournalReader::JournalReader(Disk& disk, uint16_t id, std::string directory)
    : impl_(std::make_unique<Impl>(disk, id, std::move(directory))) {}
JournalReader::~JournalReader() = default;

absl::StatusOr<bool> JournalReader::next(Position& position, const Location& end, FrameType& type,
                                         Location& location, std::string_view& payload) {
  return impl_->next(position, end, type, location, payload);
}
absl::StatusOr<uint64_t> JournalReader::events_before(uint32_t segment) {
  return impl_->events_before(segment);
}
absl::Status JournalReader::read(const Location& location, std::string& out) {
  return impl_->read(location, out);
}

}  // namespace veredus::queue
