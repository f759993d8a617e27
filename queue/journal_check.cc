#include "queue/journal_check.h"

#include <algorithm>
#include <utility>

#include "queue/journal_epochs.h"
#include "queue/journal_files.h"
#include "queue/journal_format.h"

namespace veredus::queue {
namespace {

class Check {
 public:
  Check(Disk& disk, uint16_t journal, const std::string& directory, const Recovered& recovered,
        FramePlaces& places, std::vector<Damage>& damage)
      : disk_(disk),
        journal_(journal),
        directory_(directory),
        replayed_from_(recovered.checkpoint.sequence),
        last_(recovered.last_sequence),
        places_(places),
        damage_(damage) {}

  absl::Status run() {
    const absl::StatusOr<std::vector<SegmentFile>> files = list_segments(disk_, directory_);
    if (!files.ok()) return files.status();
    // All that any of them says of epochs, before a group is judged by it.
    for (const SegmentFile& file : *files) {
      SegmentHeader header;
      const absl::Status read = load(file, kSegmentHeaderBytes);
      if (!read.ok()) return read;
      if (parse_segment_header(bytes_, header).ok()) epochs_.learn(header.mark);
    }
    for (const SegmentFile& file : *files) {
      if (absl::Status read = load(file, file.bytes); !read.ok()) return read;
      scan(file);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status load(const SegmentFile& file, uint64_t bytes) {
    const std::string name = Journal::segment_path(directory_, file.number);
    OpenFile opened(disk_, name);
    if (!opened.ok())
      return absl::UnavailableError(name + " cannot be opened: " + error_text(opened.error()));
    unreadable_.clear();
    read_range(disk_, opened.handle(), 0, bytes, bytes_, unreadable_);
    return absl::OkStatus();
  }

  void scan(const SegmentFile& file);
  void group(const GroupHeader& header, GroupState state, std::string_view bytes);
  void frames(const GroupHeader& header, std::string_view group);
  // Recovery itself judges what it replays.
  bool ours(uint64_t sequence) const { return sequence < replayed_from_; }
  void missing(uint32_t segment, uint64_t offset, uint64_t from, uint64_t to);

  Disk& disk_;
  const uint16_t journal_;
  const std::string& directory_;
  const uint64_t replayed_from_, last_;
  FramePlaces& places_;
  std::vector<Damage>& damage_;
  Epochs epochs_;
  std::string bytes_;
  std::vector<Unreadable> unreadable_;
  uint64_t expected_ = 0;  // sequence that should come next; 0: any
  uint32_t segment_before_ = 0;
};

void Check::scan(const SegmentFile& file) {
  for (const Unreadable& place : unreadable_) {
    damage_.push_back(
        {file.number, place.offset,
         std::to_string(place.bytes) + " bytes cannot be read: " + error_text(place.error)});
  }
  SegmentHeader segment;
  const absl::Status head = parse_segment_header(bytes_, segment);
  // Never used, or not any more.
  const bool empty = absl::IsNotFound(head) || (head.ok() && segment.segment != file.number);
  if (!head.ok() && !empty) damage_.push_back({file.number, 0, std::string(head.message())});
  // Files between were reclaimed, with their groups: this one says what it begins with.
  if (file.number != segment_before_ + 1) expected_ = 0;
  if (expected_ == 0 && head.ok() && !empty) expected_ = segment.first_sequence;
  uint64_t offset = kSegmentHeaderBytes;
  const std::string_view all = bytes_;
  bool any = false;
  while (offset + kGroupHeaderBytes <= all.size() && offset <= UINT32_MAX) {
    GroupHeader header;
    const std::string_view rest = all.substr(offset);
    const GroupState state =
        parse_group(rest, journal_, file.number, static_cast<uint32_t>(offset), header);
    if (state == GroupState::none) {
      offset += kGroupAlign;
      continue;
    }
    any = true;
    epochs_.learn(header.mark);
    if (!epochs_.is_void(header.mark.epoch, header.sequence) && header.sequence <= last_)
      group(header, state, rest);
    offset += group_extent(header);
  }
  if (any || !empty) segment_before_ = file.number;
}

void Check::group(const GroupHeader& header, GroupState state, std::string_view bytes) {
  if (expected_ != 0 && header.sequence > expected_)
    missing(header.segment, header.offset, expected_, header.sequence - 1);
  expected_ = epochs_.after(header.sequence);
  if (state == GroupState::valid) return frames(header, bytes);
  if (!ours(header.sequence)) return;
  damage_.push_back({header.segment, header.offset,
                     "group " + std::to_string(header.sequence) + ": checksum wrong"});
}

void Check::missing(uint32_t segment, uint64_t offset, uint64_t from, uint64_t to) {
  if (!ours(from)) return;
  damage_.push_back({segment, offset,
                     "groups " + std::to_string(from) + " to " + std::to_string(to) +
                         ", which should lie before this place, have no sound header"});
}

void Check::frames(const GroupHeader& header, std::string_view bytes) {
  const std::string_view group = bytes.substr(0, kGroupHeaderBytes + header.length);
  uint32_t at = kGroupHeaderBytes;
  for (uint32_t number = 0; number < header.frames; ++number) {
    Frame frame;
    if (!read_frame(group, at, frame, at)) {
      if (ours(header.sequence))
        damage_.push_back({header.segment, header.offset + at,
                           "group " + std::to_string(header.sequence) + " holds no frame here"});
      return;
    }
    if (frame.type != FrameType::content && frame.type != FrameType::refusals &&
        frame.type != FrameType::extent)
      continue;
    places_.add(frame.type, {journal_, header.segment, header.offset + frame.offset,
                             static_cast<uint32_t>(frame.payload.size())});
  }
}

// The pages of one extent, for those of its recipients that wait.
class WaitingPages {
 public:
  WaitingPages(const Ledger::Run& run, const WaitingVisitor& visit, std::vector<Damage>& damage)
      : run_(run), visit_(visit), damage_(damage), left_(run.waits) {}

  void walk(std::string_view payload) {
    const absl::StatusOr<ExtentHeader> header = read_extent_header(payload);
    if (!header.ok()) return damaged(0, std::string(header.status().message()));
    if (header->batch != run_.extent.batch || header->first_index != run_.extent.first_index)
      return damaged(0, "another extent lies there");
    for (uint32_t offset = kExtentHeaderBytes; offset < payload.size();) {
      const absl::StatusOr<uint32_t> length = page_length(payload, offset);
      if (!length.ok()) return damaged(offset, std::string(length.status().message()));
      const absl::Status sound = page(payload.substr(offset, *length));
      if (!sound.ok()) damaged(offset, std::string(sound.message()));
      offset += *length;
    }
  }

  uint64_t left() const {
    uint64_t left = 0;
    for (const uint64_t word : left_) left += static_cast<uint64_t>(__builtin_popcountll(word));
    return left;
  }

  void damaged(uint32_t offset, std::string_view what) {
    damage_.push_back(
        {run_.extent.at.segment, uint64_t{run_.extent.at.offset} + offset, std::string(what)});
  }

 private:
  absl::Status page(std::string_view bytes) {
    if (absl::Status sound = check_page(bytes); !sound.ok()) return sound;
    for (uint32_t at = kPageHeaderBytes, next = 0; at != 0; at = next) {
      if (absl::Status read = read_entry(bytes, at, entry_, next); !read.ok()) return read;
      const uint32_t ordinal = entry_.index - run_.extent.first_index;
      if (entry_.index < run_.extent.first_index || !run_.has(ordinal)) continue;
      left_[ordinal / 64] &= ~(uint64_t{1} << ordinal % 64);
      visit_(entry_, run_.state(ordinal), ordinal);
    }
    return absl::OkStatus();
  }

  const Ledger::Run& run_;
  const WaitingVisitor& visit_;
  std::vector<Damage>& damage_;
  std::vector<uint64_t> left_;
  Entry entry_;
};

}  // namespace

absl::Status check_segments(Disk& disk, uint16_t journal, const std::string& directory,
                            const Recovered& recovered, FramePlaces& places,
                            std::vector<Damage>& damage) {
  return Check(disk, journal, directory, recovered, places, damage).run();
}

uint64_t visit_waiting(Disk& disk, const std::string& directory, const Ledger::Run& run,
                       const WaitingVisitor& visit, std::vector<Damage>& damage) {
  const Location& at = run.extent.at;
  const std::string name = Journal::segment_path(directory, at.segment);
  WaitingPages pages(run, visit, damage);
  const size_t before = damage.size();
  OpenFile opened(disk, name);
  std::string payload;
  std::vector<Unreadable> unreadable;
  if (opened.ok()) read_range(disk, opened.handle(), at.offset, at.length, payload, unreadable);
  for (const Unreadable& place : unreadable) {
    pages.damaged(
        static_cast<uint32_t>(place.offset - at.offset),
        std::to_string(place.bytes) + " bytes cannot be read: " + error_text(place.error));
  }
  if (!opened.ok()) {
    pages.damaged(0, "the file cannot be opened: " + error_text(opened.error()));
  } else {
    pages.walk(payload);
  }
  const uint64_t left = pages.left();
  if (left == 0) return 0;
  if (damage.size() == before)
    pages.damaged(0, "recipients that wait are not where they should lie");
  damage.back().what += " (" + std::to_string(left) + " of batch " +
                        std::to_string(run.extent.batch) + " who wait cannot be read)";
  return left;
}

}  // namespace veredus::queue
