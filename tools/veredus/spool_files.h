#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/io/ring_disk.h"
#include "queue/attempt_marks.h"
#include "queue/audit.h"
#include "queue/journal_files.h"
#include "queue/journal_recovery.h"
#include "tools/veredus/commands.h"

// The spool as its files say it, for commands that only look: nothing is written, and an engine may
// be at work meanwhile.
namespace veredus::tools {

struct SpoolDamage {
  uint16_t journal;
  uint32_t segment;  // 0: a file of marks, which `what` names
  uint64_t offset;
  std::string what;
};
// "journal 0, segment 3, byte 4096: …"
std::string text_of(const SpoolDamage& damage);

struct JournalRead {
  explicit JournalRead(uint16_t journal) : number(journal), books(journal) {}
  const uint16_t number;
  std::string directory;
  queue::RecoveredJournal recovered;
  queue::JournalBooks books;
  std::vector<queue::MarksFile> marks_files;
  std::vector<queue::AttemptMark> marks;
  std::vector<SpoolDamage> damage;  // found by the way of a start
};
using Journals = std::vector<std::unique_ptr<JournalRead>>;

// A batch that exists, by its number.
const queue::KnownBatch* find_committed(const Journals& journals, uint64_t number);

// Which batches are asked for: "", NAME, or TENANT/NAME.
class BatchFilter {
 public:
  explicit BatchFilter(std::string_view text);
  bool takes(std::string_view tenant, std::string_view name) const;
  bool all() const { return name_.empty(); }

 private:
  std::optional<std::string> tenant_;
  std::string name_;
};

class Spool {
 public:
  // Of `directory`, or of the configuration. Complains itself: then the exit status.
  static std::unique_ptr<Spool> open(const Common& common, const std::string& directory,
                                     int& exit_status);

  const std::string& directory() const { return directory_; }
  // Whether an engine holds the spool now.
  bool live() const;
  queue::Disk& disk() { return disk_; }
  // All journals, each from its last checkpoint to its end.
  absl::StatusOr<Journals> read();

  // Calls `look` until it is content (true), which on files that nobody writes is decided at once.
  // While an engine writes, files vanish and grow between two reads: what a look finds wrong then
  // may be its own fault, and only what a number of them find is believed. `was_live`: whether an
  // engine ran at any time.
  absl::Status look(const std::function<absl::StatusOr<bool>()>& look, bool& was_live);

 private:
  Spool(std::string directory, io::SpoolFiles files)
      : directory_(std::move(directory)), disk_(std::move(files)) {}
  absl::Status read_marks(JournalRead& journal);

  const std::string directory_;
  io::BlockingDisk disk_;
};

}  // namespace veredus::tools
