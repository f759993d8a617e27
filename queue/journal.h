#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/batch.h"
#include "queue/disk.h"

namespace veredus::queue {

// The append-only record of one shard. Bytes on disk: FORMAT.md beside this file.
//
// Frames are appended to a group in memory; flush() writes the group and syncs it. One group is
// under way at a time, the next gathers meanwhile (group commit). Nothing that was appended may be
// acknowledged before its group is durable.
enum class FrameType : uint8_t {
  batch = 1,
  content = 2,
  extent = 3,
  commit = 4,
  abort = 5,  // payload: batch number u64
  outcomes = 6,
  witness = 7,     // empty: its group says that the one before it is durable
  refusals = 8,    // JSON lines: recipients refused at the door; batch number u64 in front
  checkpoint = 9,  // a part of one: checkpoint.h
  forgotten = 10,  // payload: batch number u64; the idempotency key of a finished batch is free
  consumer = 11,   // how far a reader of events has come: consumer.h
  erasure = 12,    // segments that must be gone by a time: erasure.h
  order = 13,      // an operator's, given or ended; one event: order.h
};

struct Appended {
  Location location;      // of the payload; final, even before it is durable
  uint64_t sequence = 0;  // of the group it is in
};

// Where a checkpoint begins: a group. Recovery reads from there on.
struct CheckpointPlace {
  uint32_t segment = 0;  // 0: there is none
  uint32_t offset = 0;
  uint64_t sequence = 0;
  uint64_t events_before = 0;
  bool operator==(const CheckpointPlace&) const = default;
};

// What the owner of a journal hears. Called from the turn in which the disk answered.
class JournalListener {
 public:
  virtual ~JournalListener() = default;
  // All groups up to `sequence` are durable.
  virtual void on_durable(uint64_t sequence) = 0;
  // The group could not be made durable: its file is sealed and never synced again. Outcome
  // frames of it were appended again to the next file by the journal itself (they are
  // durable when a later group is); every other frame of it is lost and must be refused. All groups
  // that were not durable by then are lost together, each is told in order. Told only when the next
  // file says durably that they are void: what was refused never comes back. Until then nothing is
  // known of them, and healthy() may be false.
  virtual void on_lost(uint64_t sequence, const absl::Status& why) = 0;
  // The answer to Journal::remove_segment().
  virtual void on_segment_removed(uint32_t /*segment*/, const absl::Status& /*status*/) {}
};

struct JournalOptions {
  uint32_t segment_bytes = 64u << 20;   // a larger single group gets a segment of its own size
  uint32_t group_bytes = 4u << 20;      // a group this large is not added to any more
  uint32_t buffered_bytes = 64u << 20;  // gathered but not durable; beyond it has_room() is false
  // Of all its segment files together, as far as intake goes: has_space() keeps kSegmentsKept of
  // them free. What becomes of the mail that waits is written all the same, were it beyond. 0: what
  // the disk takes.
  uint64_t bytes_max = 0;
  // At a start, what the disk would not give is lost (recover_journal); else the start fails.
  bool accept_unreadable = false;
};

// Within bytes_max, in segments: one that outcomes go on to, and two for checkpoints, with which
// older ones go.
inline constexpr uint32_t kSegmentsKept = 3;
// With fewer, what a start finds and begins may leave none for intake for good.
inline constexpr uint32_t kSegmentsMin = 8;

// What recovery hands over, in order of the journal. Views are valid during the call only.
class JournalVisitor {
 public:
  virtual ~JournalVisitor() = default;
  virtual void on_frame(FrameType type, const Location& location, std::string_view payload) = 0;
  // Bytes below the durable mark are damaged: an alarm, what is unreadable is left out, the rest
  // goes on.
  virtual void on_damage(uint32_t segment, uint64_t offset, const std::string& what) = 0;
};

struct Recovered {
  uint64_t groups = 0, frames = 0, bytes = 0;
  // Beyond the cut, never durable, discarded: groups that are whole behind one that is not, and
  // such as are not whole. One group is under way at a time, so that what a crash of this writer
  // leaves is one torn group, or nothing of it.
  uint64_t cut_groups = 0, torn_groups = 0;
  uint64_t damaged = 0;  // places below the durable mark
  uint32_t epoch = 0;    // the new one
  uint64_t last_sequence = 0;
  uint64_t events = 0;          // of the journal so far, those that were reclaimed included
  CheckpointPlace checkpoint;   // from which on frames were handed over; none: from the beginning
  uint64_t replayed_bytes = 0;  // from there to the end
};

class Journal {
 public:
  // `directory` is this journal's own, relative to the spool. `disk` and `listener` outlive the
  // journal.
  Journal(Disk& disk, JournalListener& listener, uint16_t id, std::string directory,
          JournalOptions options = {});
  ~Journal();

  // Blocking: reads everything there is, then decides cut and epoch. Must be called once, before
  // start(). Fails (nothing is ever written by it) on a format version newer than ours, on segments
  // of another journal, or when what it read cannot be made durable (Disk::sync_now).
  absl::StatusOr<Recovered> recover(JournalVisitor& visitor);

  // Begins a new segment of a new epoch; appends are taken from now on, and written once the
  // segment is there.
  void start();

  // `events`: how many the frame holds, for their numbering.
  Appended append(FrameType type, std::span<const std::string_view> parts, uint32_t events = 0);
  Appended append(FrameType type, std::string_view payload, uint32_t events = 0);
  // The same, as the first frame of a group: where a checkpoint begins.
  CheckpointPlace append_checkpoint_begin(std::string_view payload);
  // The checkpoint that began there is durable to its end. Headers written from now on say so, and
  // recovery begins there, or, when it is damaged, at the one before.
  void checkpoint_complete(const CheckpointPlace& place);
  // Writes and syncs what has gathered, unless a group is under way (then the next one starts by
  // itself when that one is durable). Cheap when there is nothing: call it every turn, for it also
  // counts the turns until a segment that could not be made is tried again.
  void flush();
  // A segment that could not be made is tried again at the next flush(): flush() itself waits for
  // more and more calls, and does not know how much time they take.
  void try_again();
  // What is appended from now on goes to the next segment. With nothing in the one in use: nothing
  // happens.
  void end_segment();
  bool has_room() const;  // false: intake must wait
  // Whether that many bytes can be appended so that a whole segment, made already, is left for
  // outcomes. False while that one is being made, and when the disk or bytes_max is full: intake
  // must wait then, outcomes and checkpoints are appended all the same.
  bool has_space(uint64_t bytes) const;
  // No further segment for intake, for there is no room for it within bytes_max: it goes on to the
  // end of the one in use, unless a start has found more than that.
  bool at_bytes_max() const;
  // That many bytes need a segment of their own size, and that has no room within bytes_max.
  bool beyond_bytes_max(uint64_t bytes) const;
  bool healthy()
      const;  // false: no segment can be made now (disk full, I/O errors); flush() tries again
  bool idle() const;  // nothing gathered, nothing under way
  // Groups are lost, and on_lost() was not told so yet. What goes on with something that they
  // began, or says where they put something, must wait: it would be durable without them.
  bool losses_untold() const;
  uint64_t durable_sequence() const;
  uint64_t appended_sequence() const;  // of the last group that something was appended to
  uint64_t appended_bytes() const;     // by this process
  uint64_t file_bytes() const;         // of all segment files
  // From here on recovery may have to read: nothing of it may be removed. Segment.
  uint32_t needed_from() const;
  // Where the last complete checkpoint begins. Segment; 0: there is none.
  uint32_t checkpoint_segment() const;
  // Where the next frame goes. Segment.
  uint32_t current_segment() const;
  // Files that are complete, ascending: what was found at the start is among them.
  const std::map<uint32_t, uint64_t>& complete_segments() const;  // number → bytes
  // Takes one of these away. Who asks knows that nothing in it is needed, durably.
  void remove_segment(uint32_t segment);
  // Events of the journal so far that are durable.
  uint64_t durable_events() const;
  // End of the durable bytes, for readers of events: segment and offset (0, 0: nothing is durable
  // yet).
  Location durable_end() const;
  uint16_t id() const;
  static std::string segment_path(std::string_view directory, uint32_t segment);
  // Stops taking part: used at shutdown after idle().
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads frames from a live or stopped journal, for events and tools: blocking, on a Disk of its
// own. next() gives the frame at or after the position and moves behind it; never beyond `end`.
class JournalReader {
 public:
  JournalReader(Disk& disk, uint16_t id, std::string directory);
  ~JournalReader();
  struct Position {
    uint32_t segment = 0;  // 0: from the oldest
    uint32_t offset = 0;   // of a group, 0: from the first
    uint32_t frame = 0;    // number of the frame in that group
  };
  // False when `end` (Journal::durable_end) is reached; go on when it has moved. The payload is
  // valid until the next call. Groups that do not count are passed over. DataLoss names what is
  // missing before the position; call again to read on behind it. Unavailable: the disk does not
  // give what lies at the position; call again to try again.
  absl::StatusOr<bool> next(Position& position, const Location& end, FrameType& type,
                            Location& location, std::string_view& payload);
  // Events of the journal before the first group of a segment, as its header says. NotFound: there
  // is no such file, or no header in it yet.
  absl::StatusOr<uint64_t> events_before(uint32_t segment);
  // Reads `length` bytes at a location (a page, a content); checks nothing.
  absl::Status read(const Location& location, std::string& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace veredus::queue
