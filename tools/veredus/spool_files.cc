#include "tools/veredus/spool_files.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sysexits.h>
#include <unistd.h>

#include "engine/control/config.h"
#include "engine/engine_core.h"
#include "engine/store.h"

namespace veredus::tools {
namespace {

constexpr int kLooks = 6;
constexpr uint64_t kMarksBytesMax = 1u << 30;  // as a start reads

absl::StatusOr<std::string> spool_of(const Common& common) {
  if (!common.config_given && access(common.config_file.c_str(), F_OK) != 0)
    return control::default_config().spool;
  const absl::StatusOr<control::Config> config = control::load_config(common.config_file);
  if (!config.ok()) return config.status();
  return config->spool;
}

// The ledger tells in words.
SpoolDamage damage_of(uint16_t journal, const std::string& told) {
  SpoolDamage damage{journal, 0, 0, told};
  int words = 0;
  unsigned long long offset = 0;
  if (std::sscanf(told.c_str(), "segment %u, byte %llu: %n", &damage.segment, &offset, &words) == 2)
    damage.what = told.substr(static_cast<size_t>(words));
  damage.offset = offset;
  return damage;
}

}  // namespace

std::string text_of(const SpoolDamage& damage) {
  std::string text = "journal " + std::to_string(damage.journal);
  if (damage.segment != 0)
    text +=
        ", segment " + std::to_string(damage.segment) + ", byte " + std::to_string(damage.offset);
  return text + ": " + damage.what;
}

const queue::KnownBatch* find_committed(const Journals& journals, uint64_t number) {
  for (const auto& journal : journals) {
    const auto found = journal->books.ledger.batches().find(number);
    if (found != journal->books.ledger.batches().end() && found->second.committed)
      return &found->second;
  }
  return nullptr;
}

BatchFilter::BatchFilter(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) tenant_ = std::string(text.substr(0, slash));
  name_ = slash == std::string_view::npos ? text : text.substr(slash + 1);
}

bool BatchFilter::takes(std::string_view tenant, std::string_view name) const {
  if (all()) return true;
  return name == name_ && (!tenant_ || tenant == *tenant_);
}

std::unique_ptr<Spool> Spool::open(const Common& common, const std::string& directory,
                                   int& exit_status) {
  absl::StatusOr<std::string> place = directory;
  if (directory.empty()) place = spool_of(common);
  if (!place.ok()) {
    complain(std::string(place.status().message()));
    exit_status = EX_CONFIG;
    return nullptr;
  }
  // Opening a spool would make one.
  std::error_code error;
  if (!std::filesystem::is_directory(*place, error)) {
    complain(*place + ": there is no such spool" + (error ? " (" + error.message() + ")" : "") +
             "; name its directory with --spool, or its configuration with --config");
    exit_status = error == std::errc::permission_denied ? EX_NOPERM : EX_NOINPUT;
    return nullptr;
  }
  absl::StatusOr<io::SpoolFiles> files = io::SpoolFiles::open(*place);
  if (!files.ok()) {
    complain(std::string(files.status().message()));
    exit_status = exit_status_of(files.status());
    return nullptr;
  }
  return std::unique_ptr<Spool>(new Spool(*std::move(place), *std::move(files)));
}

bool Spool::live() const {
  const std::string path = directory_ + "/lock";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return held;
}

absl::StatusOr<Journals> Spool::read() {
  const absl::StatusOr<unsigned> count = journals_in(disk_);
  if (!count.ok()) return count.status();
  Journals journals;
  for (unsigned number = 0; number < *count; ++number) {
    auto journal = std::make_unique<JournalRead>(static_cast<uint16_t>(number));
    journal->directory = Store::journal_directory(journal->number);
    absl::StatusOr<queue::RecoveredJournal> recovered = queue::recover_journal(
        disk_, journal->number, journal->directory, journal->books, true, queue::ReadFor::looking);
    if (!recovered.ok()) return recovered.status();
    journal->recovered = *std::move(recovered);
    for (const std::string& told : journal->books.ledger.damage())
      journal->damage.push_back(damage_of(journal->number, told));
    if (absl::Status marks = read_marks(*journal); !marks.ok()) return marks;
    journals.push_back(std::move(journal));
  }
  return journals;
}

absl::Status Spool::read_marks(JournalRead& journal) {
  absl::StatusOr<std::vector<queue::MarksFile>> files = queue::list_marks(disk_, journal.directory);
  if (!files.ok()) return files.status();
  journal.marks_files = *std::move(files);
  for (const queue::MarksFile& file : journal.marks_files) {
    const std::string path = queue::marks_path(journal.directory, file.number);
    const queue::OpenFile opened(disk_, path);
    std::string bytes;
    std::vector<queue::Unreadable> unreadable;
    if (opened.ok())
      queue::read_range(disk_, opened.handle(), 0, std::min(file.bytes, kMarksBytesMax), bytes,
                        unreadable);
    if (!opened.ok() || !unreadable.empty())
      journal.damage.push_back(
          {journal.number, 0, 0,
           path + " cannot be read: " +
               queue::error_text(opened.ok() ? unreadable.front().error : opened.error())});
    if (absl::Status read = queue::read_marks(bytes, journal.marks); !read.ok())
      return absl::FailedPreconditionError(path + ": " + std::string(read.message()));
  }
  return absl::OkStatus();
}

absl::Status Spool::look(const std::function<absl::StatusOr<bool>()>& look, bool& was_live) {
  was_live = live();
  for (int tries = 1;; ++tries) {
    const absl::StatusOr<bool> content = look();
    const bool lives = live();
    // Started or stopped meanwhile: the files were written to, too.
    const bool changing = lives || was_live;
    was_live = changing;
    if (absl::IsFailedPrecondition(content.status())) return content.status();
    if (content.ok() && (*content || !changing)) return absl::OkStatus();
    if (!changing) return content.status();
    if (tries == kLooks) {
      if (content.ok()) return absl::OkStatus();
      return absl::UnavailableError("the spool changes while it is read; " +
                                    std::to_string(kLooks) + " tries were not enough (" +
                                    std::string(content.status().message()) +
                                    "): try again, or stop the engine");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50 * tries));
  }
}

}  // namespace veredus::tools
