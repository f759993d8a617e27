#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "queue/journal_format.h"

namespace veredus::queue {

// What a journal needs to know to go on.
struct RecoveredJournal {
  Recovered summary;
  EpochMark mark;  // of the epoch that begins now
  uint32_t next_segment = 1;
  Location end;  // of the last group that counts
};

// Reads all segments and decides which groups count; hands their frames to the visitor. Writes
// nothing, but makes durable what it read (see Journal::recover).
absl::StatusOr<RecoveredJournal> recover_journal(Disk& disk, uint16_t journal,
                                                 const std::string& directory,
                                                 JournalVisitor& visitor);

}  // namespace veredus::queue
