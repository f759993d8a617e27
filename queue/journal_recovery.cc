#include "queue/journal_recovery.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "queue/checkpoint.h"
#include "queue/journal_epochs.h"
#include "queue/journal_files.h"
#include "queue/kill_point.h"
#include "queue/planted.h"

namespace veredus::queue {
namespace {

struct GroupAt {
  uint32_t segment, offset;
  GroupHeader header;
  std::string_view kept;  // the whole group; empty: it is read again when it is handed over
};

struct Segment {
  SegmentFile file;
  absl::Status header_state;
  SegmentHeader header;
  bool unreadable = false;  // the header
};

struct Alarm {
  uint32_t segment;
  uint64_t offset;
  std::string what;
};

constexpr uint64_t kKeptBlockBytes = 4u << 20;
// Where the first group of a segment stands: zeros there and no header, and it was never used.
constexpr uint64_t kFirstBytes = 4096;

// Two passes: the first finds every sound group and decides what counts; the second hands the
// frames over.
class Recovery {
 public:
  Recovery(Disk& disk, uint16_t journal, const std::string& directory, JournalVisitor& visitor,
           bool accept_unreadable, ReadFor reason, uint64_t kept_bytes_max)
      : disk_(disk),
        journal_(journal),
        directory_(directory),
        visitor_(visitor),
        accept_unreadable_(accept_unreadable || reason == ReadFor::looking),
        reason_(reason),
        kept_bytes_max_(kept_bytes_max) {}

  absl::StatusOr<RecoveredJournal> run() {
    absl::Status done = read_headers();
    kill_point("recovery_headers_read");
    if (done.ok()) done = find_all();
    kill_point("recovery_scanned");
    if (done.ok() && reason_ == ReadFor::resuming) done = make_durable();
    if (!done.ok()) return done;
    kill_point("recovery_synced");
    for (const GroupAt& group : counting_) {
      if (done.ok() && group.header.sequence >= checkpoint_.sequence) done = deliver(group);
    }
    if (!done.ok()) return done;
    kill_point("recovery_replayed");
    for (const Alarm& alarm : alarms_) visitor_.on_damage(alarm.segment, alarm.offset, alarm.what);
    return result();
  }

 private:
  std::string path(uint32_t segment) const { return Journal::segment_path(directory_, segment); }
  bool is_void(const GroupHeader& header) const {
    return epochs_.is_void(header.mark.epoch, header.sequence);
  }

  void see(const EpochMark& mark) {
    epochs_.learn(mark);
    highest_seen_ = std::max(highest_seen_, mark.first - 1);
  }

  absl::Status read_headers();
  absl::Status find_all();
  absl::Status find_from(const CheckpointPlace& from);
  absl::Status scan(const Segment& segment, const SegmentHeader* next);
  std::string_view keep(std::string_view group);
  absl::StatusOr<std::string_view> read_again(const GroupAt& group);
  void look_for_checkpoint(const GroupAt& group, std::string_view bytes);
  void choose_checkpoint();
  bool began(const CheckpointPlace& place, const EpochMark& at_end) const;
  bool is_there(const CheckpointPlace& place) const;
  void decide();
  uint64_t begin(const std::vector<GroupAt>& live) const;
  void find_durable_mark();
  bool take_next(const GroupAt& group, uint64_t& expected);
  void alarm_missing(uint64_t from, uint64_t to);
  void alarm_headers();
  void alarm(uint32_t segment, uint64_t offset, const std::string& what);
  absl::Status make_durable();
  absl::Status deliver(const GroupAt& group);
  absl::Status refuse(const std::string& name, uint64_t offset, int64_t error) const;
  RecoveredJournal result();

  Disk& disk_;
  const uint16_t journal_;
  const std::string& directory_;
  JournalVisitor& visitor_;
  const bool accept_unreadable_;
  const ReadFor reason_;
  const uint64_t kept_bytes_max_;
  std::vector<Segment> segments_;
  Epochs epochs_;
  CheckpointPlace from_;                // where reading began; segment 0: at the oldest
  std::vector<GroupAt> sound_;          // as they lie
  std::vector<GroupAt> counting_;       // ascending sequence
  std::map<uint64_t, GroupAt> broken_;  // header sound, payload not; by sequence
  std::map<uint64_t, CheckpointPlace>
      ends_;  // of complete ones, by the sequence of their last group
  CheckpointPlace checkpoint_, checkpoint_before_, headed_checkpoint_;
  uint64_t durable_up_to_ = 0;
  uint64_t highest_seen_ = 0;
  Recovered summary_;
  std::vector<Alarm> alarms_;
  std::deque<std::string> kept_;  // groups, in blocks that never move
  uint64_t kept_bytes_ = 0;
  std::unique_ptr<FileWindow> again_;  // on again_segment_
  uint32_t again_segment_ = 0;
};

// All headers before anything else: a spool of a newer format is refused before a single frame is
// handed over.
absl::Status Recovery::read_headers() {
  const absl::StatusOr<std::vector<SegmentFile>> files = list_segments(disk_, directory_);
  if (!files.ok()) return files.status();
  for (const SegmentFile& file : *files) {
    Segment segment{file, absl::OkStatus(), {}, false};
    const std::string name = path(file.number);
    OpenFile opened(disk_, name);
    if (!opened.ok()) {
      return absl::UnavailableError(name + " cannot be opened: " + error_text(opened.error()));
    }
    std::string head;
    std::vector<Unreadable> unreadable;  // scan() meets them again, and tells
    read_range(disk_, opened.handle(), 0, kSegmentHeaderBytes, head, unreadable);
    segment.unreadable = !unreadable.empty();
    if (segment.unreadable && !accept_unreadable_)
      return refuse(name, unreadable.front().offset, unreadable.front().error);
    segment.header_state = parse_segment_header(head, segment.header);
    if (absl::IsFailedPrecondition(segment.header_state)) {
      return absl::FailedPreconditionError(name + " " +
                                           std::string(segment.header_state.message()) +
                                           ": start the release that wrote it, or a later one");
    }
    if (segment.header_state.ok() && segment.header.journal != journal_) {
      return absl::FailedPreconditionError(
          name + " belongs to journal " + std::to_string(segment.header.journal) +
          ", not to journal " + std::to_string(journal_) + ": move it back to where it was");
    }
    if (segment.header_state.ok() && segment.header.segment != file.number) {
      segment.header_state = absl::NotFoundError("the header is of an older use of the file");
    }
    if (segment.header_state.ok()) {
      see(segment.header.mark);
      highest_seen_ =
          std::max(highest_seen_, std::max<uint64_t>(segment.header.first_sequence, 1) - 1);
    }
    segments_.push_back(std::move(segment));
  }
  return absl::OkStatus();
}

// From the last checkpoint that the newest sound header names. What is damaged there may be said
// by the one before it, too.
absl::Status Recovery::find_all() {
  CheckpointPlace last, before;
  for (const Segment& segment : segments_) {
    if (!segment.header_state.ok()) continue;
    last = segment.header.checkpoint;
    before = segment.header.checkpoint_before;
  }
  headed_checkpoint_ = last;
  absl::Status found = find_from(last);
  const bool again = found.ok() && !alarms_.empty() && last.segment != 0 && is_there(before);
  if (!again) {
    if (is_there(before)) checkpoint_before_ = before;
    if (found.ok()) choose_checkpoint();
    return found;
  }
  found = find_from(before);
  checkpoint_ = before;
  return found;
}

// Segment 0, the beginning, is there as long as nothing was reclaimed.
bool Recovery::is_there(const CheckpointPlace& place) const {
  const uint32_t wanted = std::max(place.segment, 1u);
  return std::any_of(segments_.begin(), segments_.end(),
                     [wanted](const Segment& segment) { return segment.file.number == wanted; });
}

// The last one that is complete and counts.
void Recovery::choose_checkpoint() {
  checkpoint_ = from_;
  if (!alarms_.empty()) return;
  for (const GroupAt& group : counting_) {
    const auto end = ends_.find(group.header.sequence);
    if (end == ends_.end() || end->second.sequence <= checkpoint_.sequence) continue;
    if (!began(end->second, group.header.mark)) continue;
    checkpoint_before_ = std::exchange(checkpoint_, end->second);
  }
}

// Its first group counts, and nothing of it was voided since: that would have begun a new epoch.
bool Recovery::began(const CheckpointPlace& place, const EpochMark& at_end) const {
  const auto begin = std::lower_bound(
      counting_.begin(), counting_.end(), place.sequence,
      [](const GroupAt& group, uint64_t sequence) { return group.header.sequence < sequence; });
  return begin != counting_.end() && begin->header.sequence == place.sequence &&
         begin->segment == place.segment && begin->offset == place.offset &&
         begin->header.mark.epoch == at_end.epoch;
}

absl::Status Recovery::find_from(const CheckpointPlace& from) {
  from_ = from;
  sound_.clear();
  counting_.clear();
  broken_.clear();
  ends_.clear();
  alarms_.clear();
  kept_.clear();
  kept_bytes_ = 0;
  summary_ = Recovered();
  for (auto segment = segments_.begin(); segment != segments_.end(); ++segment) {
    if (segment->file.number < from.segment) continue;
    const auto next = std::find_if(segment + 1, segments_.end(),
                                   [](const Segment& later) { return later.header_state.ok(); });
    const absl::Status scanned = scan(*segment, next == segments_.end() ? nullptr : &next->header);
    if (!scanned.ok()) return scanned;
  }
  decide();
  return absl::OkStatus();
}

// `next`: the next sound header. It says with which group its segment begins: behind the one before
// that nothing counts here, and the zeros up to the end of the file need not be read.
absl::Status Recovery::scan(const Segment& segment, const SegmentHeader* next) {
  const std::string name = path(segment.file.number);
  const uint64_t from = segment.file.number == from_.segment ? from_.offset : 0;
  FileWindow window(disk_, name, from, segment.file.bytes);
  if (!window.ok()) {
    return absl::UnavailableError(name + " cannot be opened: " + error_text(window.error()));
  }
  window.at(from, 1);  // the header, too: what of it cannot be read is told
  if (absl::IsNotFound(segment.header_state) && next == nullptr &&
      window.at(kSegmentHeaderBytes, kFirstBytes).find_first_not_of('\0') ==
          std::string_view::npos &&
      window.unreadable().empty())
    return absl::OkStatus();  // a spare
  uint64_t offset = std::max<uint64_t>(from, kSegmentHeaderBytes);
  while (offset <= UINT32_MAX) {
    GroupAt group{segment.file.number, static_cast<uint32_t>(offset), {}, {}};
    std::string_view rest = window.at(offset, kGroupHeaderBytes);
    if (rest.size() < kGroupHeaderBytes) break;
    if (!parse_group_header(rest, journal_, group.segment, group.offset, group.header)) {
      offset += kGroupAlign;  // the next group begins on one of these
      continue;
    }
    rest = window.at(offset, kGroupHeaderBytes + uint64_t{group.header.length});
    const GroupState state = parse_group(rest, journal_, group.segment, group.offset, group.header);
    see(group.header.mark);
    highest_seen_ = std::max(highest_seen_, group.header.sequence);
    if (state == GroupState::valid || is_planted(Planted::torn_group_counts)) {
      if (group.header.sequence >= from_.sequence)
        group.kept = keep(rest.substr(0, kGroupHeaderBytes + group.header.length));
      sound_.push_back(group);
      look_for_checkpoint(group, rest);
    } else {
      broken_.emplace(group.header.sequence, group);
    }
    if (next != nullptr && !is_void(group.header) &&
        epochs_.after(group.header.sequence) >= next->first_sequence)
      break;
    // Also behind a broken payload: its length is sound, and what lies within is not ours to
    // interpret.
    offset += group_extent(group.header);
  }
  // A torn write can be read; what cannot is damage wherever it lies.
  if (!window.unreadable().empty() && !accept_unreadable_)
    return refuse(name, window.unreadable().front().offset, window.unreadable().front().error);
  for (const Unreadable& place : window.unreadable()) {
    alarm(segment.file.number, place.offset,
          std::to_string(place.bytes) + " bytes cannot be read: " + error_text(place.error));
  }
  return absl::OkStatus();
}

std::string_view Recovery::keep(std::string_view group) {
  if (kept_bytes_ + group.size() > kept_bytes_max_) return {};
  kept_bytes_ += group.size();
  if (kept_.empty() || kept_.back().capacity() - kept_.back().size() < group.size())
    kept_.emplace_back().reserve(std::max<uint64_t>(kKeptBlockBytes, group.size()));
  std::string& block = kept_.back();
  const size_t at = block.size();
  return std::string_view(block.append(group)).substr(at);
}

void Recovery::look_for_checkpoint(const GroupAt& group, std::string_view bytes) {
  const std::string_view whole = bytes.substr(0, kGroupHeaderBytes + group.header.length);
  uint32_t at = kGroupHeaderBytes;
  for (uint32_t number = 0; number < group.header.frames; ++number) {
    Frame frame;
    if (!read_frame(whole, at, frame, at)) return;  // deliver() tells
    CheckpointPart part{};
    std::string_view body;
    if (frame.type != FrameType::checkpoint ||
        !read_checkpoint_part(frame.payload, part, body).ok())
      continue;
    if (part != CheckpointPart::end) continue;
    const absl::StatusOr<CheckpointPlace> place = decode_checkpoint_end(body);
    if (place.ok()) ends_[group.header.sequence] = *place;
  }
}

// The highest durable_up_to that anything on this disk states. Each statement was true when it was
// written.
void Recovery::find_durable_mark() {
  for (const Segment& segment : segments_) {
    if (!segment.header_state.ok()) continue;
    durable_up_to_ = std::max(durable_up_to_, segment.header.durable_up_to);
  }
  const auto consider = [this](const GroupHeader& header) {
    if (!is_void(header)) durable_up_to_ = std::max(durable_up_to_, header.durable_up_to);
  };
  for (const GroupAt& group : sound_) consider(group.header);
  for (const auto& [sequence, group] : broken_) consider(group.header);
}

// Where the journal begins: older segments may have been reclaimed, so the oldest that is there
// says it. Whatever it says, no sound group is left out.
uint64_t Recovery::begin(const std::vector<GroupAt>& live) const {
  if (from_.segment != 0) return from_.sequence;
  const uint64_t first_live = live.empty() ? UINT64_MAX : live.front().header.sequence;
  for (const Segment& segment : segments_) {
    if (segment.header_state.ok()) {
      const uint64_t said = std::max(epochs_.lowest(), segment.header.first_sequence);
      return std::min(said, first_live);
    }
    if (!live.empty() && live.front().segment == segment.file.number) return first_live;
    if (!absl::IsNotFound(segment.header_state)) break;  // it held something: all of it is missing
  }
  return std::min(epochs_.lowest(), first_live);
}

void Recovery::decide() {
  find_durable_mark();
  std::vector<GroupAt> live;
  for (const GroupAt& group : sound_) {
    if (!is_void(group.header) && group.header.sequence >= from_.sequence) live.push_back(group);
  }
  std::stable_sort(live.begin(), live.end(), [](const GroupAt& a, const GroupAt& b) {
    return a.header.sequence < b.header.sequence;
  });
  uint64_t expected = begin(live);
  size_t taken = 0;
  while (taken < live.size() && take_next(live[taken], expected)) ++taken;
  summary_.cut_groups = live.size() - taken;
  for (auto torn = broken_.lower_bound(std::max(expected, durable_up_to_ + 1));
       torn != broken_.end(); ++torn) {
    if (!is_void(torn->second.header)) ++summary_.torn_groups;
  }
  if (expected <= durable_up_to_) alarm_missing(expected, durable_up_to_);
  alarm_headers();
}

// False: the cut is before this group.
bool Recovery::take_next(const GroupAt& group, uint64_t& expected) {
  const uint64_t sequence = group.header.sequence;
  if (sequence < expected) return true;  // a second one of the same number: cannot be
  if (sequence > expected) {
    const uint64_t first_undurable = std::max(expected, epochs_.after(durable_up_to_));
    if (first_undurable < sequence) return false;
    alarm_missing(expected, sequence - 1);
  }
  counting_.push_back(group);
  expected = epochs_.after(sequence);
  return true;
}

void Recovery::alarm_missing(uint64_t from, uint64_t to) {
  uint32_t segment = segments_.empty() ? 0 : segments_.front().file.number;
  uint64_t offset = kSegmentHeaderBytes;
  if (!counting_.empty()) {
    const GroupAt& before = counting_.back();
    segment = before.segment;
    offset = before.offset + group_extent(before.header);
  }
  std::string what = "group " + std::to_string(from);
  if (to > from) what = "groups " + std::to_string(from) + " to " + std::to_string(to);
  const auto broken = broken_.lower_bound(from);
  if (broken != broken_.end() && broken->first <= to) {
    segment = broken->second.segment;
    offset = broken->second.offset;
    what += " (checksum wrong)";
  } else {
    what += " (no sound header)";
  }
  alarm(segment, offset,
        what + " lost, though once durable (up to " + std::to_string(durable_up_to_) + ")");
}

// A header is durable before the first group of its segment is written.
void Recovery::alarm_headers() {
  for (const Segment& segment : segments_) {
    if (segment.header_state.ok()) continue;
    const bool used = std::any_of(counting_.begin(), counting_.end(), [&](const GroupAt& group) {
      return group.segment == segment.file.number;
    });
    if (used) alarm(segment.file.number, 0, std::string(segment.header_state.message()));
  }
}

void Recovery::alarm(uint32_t segment, uint64_t offset, const std::string& what) {
  ++summary_.damaged;
  alarms_.push_back({segment, offset, what});
}

// A process killed between write and sync leaves bytes that are read back, yet are not on the disk.
// Everything behind the last group that is known durable is synced before anybody acts on it.
absl::Status Recovery::make_durable() {
  if (is_planted(Planted::recovery_unsynced)) return absl::OkStatus();
  uint32_t from = 0;
  for (const GroupAt& group : counting_) {
    if (group.header.sequence <= durable_up_to_) from = group.segment;
  }
  for (const Segment& segment : segments_) {
    if (segment.file.number < from) continue;
    const std::string name = path(segment.file.number);
    OpenFile opened(disk_, name);
    const int64_t synced = opened.ok() ? disk_.sync_now(opened.handle()) : -opened.error();
    if (synced < 0) {
      return absl::UnavailableError(name + " cannot be made durable: " + error_text(synced) +
                                    ": look at the disk, then start again");
    }
  }
  return absl::OkStatus();
}

absl::Status Recovery::refuse(const std::string& name, uint64_t offset, int64_t error) const {
  return absl::UnavailableError(
      name + " cannot be read at offset " + std::to_string(offset) + ": " + error_text(error) +
      ": look at the disk, then start again; journal.accept_unreadable = true gives up what cannot "
      "be read");
}

// The same bytes once more; none, with an alarm, if they are others by now.
absl::StatusOr<std::string_view> Recovery::read_again(const GroupAt& group) {
  if (again_ == nullptr || again_segment_ != group.segment || group.offset < again_->begin()) {
    const auto segment = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& each) {
      return each.file.number == group.segment;
    });
    const std::string name = path(group.segment);
    again_ = std::make_unique<FileWindow>(disk_, name, group.offset, segment->file.bytes);
    again_segment_ = group.segment;
    if (!again_->ok())
      return absl::UnavailableError(name + " cannot be opened: " + error_text(again_->error()));
  }
  GroupHeader header;
  const uint64_t length = kGroupHeaderBytes + uint64_t{group.header.length};
  const std::string_view bytes = again_->at(group.offset, length);
  if (!again_->unreadable().empty() && !accept_unreadable_) {
    const Unreadable& first = again_->unreadable().front();
    return refuse(path(group.segment), first.offset, first.error);
  }
  const GroupState state = parse_group(bytes, journal_, group.segment, group.offset, header);
  if (state == GroupState::valid || is_planted(Planted::torn_group_counts))
    return bytes.substr(0, length);
  // It was sound a moment ago.
  if (!accept_unreadable_) return refuse(path(group.segment), group.offset, -EIO);
  alarm(group.segment, group.offset,
        "group " + std::to_string(group.header.sequence) + " cannot be read any more");
  return std::string_view();
}

absl::Status Recovery::deliver(const GroupAt& group) {
  std::string_view whole = group.kept;
  if (whole.empty()) {
    const absl::StatusOr<std::string_view> again = read_again(group);
    if (!again.ok()) return again.status();
    if (again->empty()) return absl::OkStatus();
    whole = *again;
  }
  const GroupHeader& header = group.header;
  ++summary_.groups;
  summary_.bytes += kGroupHeaderBytes + header.length;
  uint32_t at = kGroupHeaderBytes;
  for (uint32_t number = 0; number < header.frames; ++number) {
    Frame frame;
    if (!read_frame(whole, at, frame, at)) {
      alarm(group.segment, group.offset + at,
            "group " + std::to_string(header.sequence) + " holds no frame here");
      return absl::OkStatus();
    }
    ++summary_.frames;
    const Location location{journal_, group.segment, group.offset + frame.offset,
                            static_cast<uint32_t>(frame.payload.size())};
    visitor_.on_frame(frame.type, location, frame.payload);
  }
  return absl::OkStatus();
}

RecoveredJournal Recovery::result() {
  RecoveredJournal recovered;
  uint64_t last = durable_up_to_;
  if (!counting_.empty()) {
    const GroupAt& group = counting_.back();
    last = std::max(last, group.header.sequence);
    recovered.end = {journal_, group.segment,
                     static_cast<uint32_t>(group.offset + group_extent(group.header)), 0};
  }
  // How many events there were so far the last header says, whatever is gone or damaged before it.
  const Segment* counted = nullptr;
  for (const Segment& segment : segments_) {
    if (segment.header_state.ok()) counted = &segment;
  }
  summary_.events = counted != nullptr ? counted->header.events_before : checkpoint_.events_before;
  for (const GroupAt& group : counting_) {
    const bool behind = group.header.sequence >= checkpoint_.sequence;
    if (counted != nullptr ? group.segment >= counted->file.number : behind)
      summary_.events += group.header.events;
    if (!behind) continue;
    summary_.replayed_bytes += group_extent(group.header);
  }
  summary_.checkpoint = checkpoint_;
  recovered.checkpoint_before = checkpoint_before_;
  recovered.headed_checkpoint = headed_checkpoint_;
  for (const Segment& segment : segments_) {
    recovered.files.push_back(segment.file);
    // Zeros alone say nothing of a file that could not be read, or that lies among used ones.
    const bool behind = segment.file.number > recovered.end.segment;
    if (behind && absl::IsNotFound(segment.header_state) && !segment.unreadable)
      recovered.never_used.push_back(segment.file.number);
  }
  summary_.epoch = epochs_.highest() + 1;
  summary_.last_sequence = last;
  recovered.summary = summary_;
  recovered.mark = {summary_.epoch, last + 1, std::max(last, highest_seen_) + 1};
  if (is_planted(Planted::epoch_kept) && epochs_.highest() > 0) {
    recovered.mark.epoch = summary_.epoch = epochs_.highest();
  }
  if (!segments_.empty()) recovered.next_segment = segments_.back().file.number + 1;
  return recovered;
}

}  // namespace

absl::StatusOr<RecoveredJournal> recover_journal(Disk& disk, uint16_t journal,
                                                 const std::string& directory,
                                                 JournalVisitor& visitor, bool accept_unreadable,
                                                 ReadFor reason, uint64_t kept_bytes_max) {
  return Recovery(disk, journal, directory, visitor, accept_unreadable, reason, kept_bytes_max)
      .run();
}

}  // namespace veredus::queue
