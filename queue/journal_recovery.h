#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "queue/journal_files.h"
#include "queue/journal_format.h"

namespace veredus::queue {

// What a journal needs to know to go on.
struct RecoveredJournal {
  Recovered summary;
  EpochMark mark;  // of the epoch that begins now
  uint32_t next_segment = 1;
  Location end;                       // of the last group that counts
  CheckpointPlace checkpoint_before;  // the complete one before summary.checkpoint
  CheckpointPlace headed_checkpoint;  // that the newest sound header names
  std::vector<SegmentFile> files;     // all there are, ascending
  std::vector<uint32_t> never_used;   // of these, such as have not even a header
};

enum class ReadFor : uint8_t {
  resuming,  // what is read will be acted upon: it is made durable before
  looking,   // nothing is synced, no read error fails; an engine may be writing meanwhile
};
// What is read is kept in memory up to this until it is handed over: more than a start should ever
// have to replay. What is beyond is read a second time.
constexpr uint64_t kReplayKeptBytes = 256u << 20;

// Reads the segments from the last complete checkpoint on and decides which groups count; hands
// their frames to the visitor. When anything there is damaged, it goes back to the checkpoint
// before that one, which says the same and more. Writes nothing, but makes durable what it read
// (see Journal::recover).
//
// What the disk would not give (a read error, not wrong bytes) fails the start: the same bytes may
// be there tomorrow, and the epoch that a start begins would void them for good. With
// `accept_unreadable` it is an alarm, and they are lost.
absl::StatusOr<RecoveredJournal> recover_journal(Disk& disk, uint16_t journal,
                                                 const std::string& directory,
                                                 JournalVisitor& visitor,
                                                 bool accept_unreadable = false,
                                                 ReadFor reason = ReadFor::resuming,
                                                 uint64_t kept_bytes_max = kReplayKeptBytes);

}  // namespace veredus::queue
