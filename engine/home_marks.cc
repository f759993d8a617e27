// The attempt marks of earlier lives: who was being sent to when the process died, and no outcome
// says what became of it.

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/home.h"
#include "engine/io/planted.h"
#include "engine/store.h"
#include "queue/journal_files.h"

namespace veredus {

using queue::AttemptMark;

// Reads what lies in this journal's directory. The marks are of recipients of any home.
absl::Status Home::read_old_marks(RecoveredHome& found) {
  const std::string directory = Store::journal_directory(number_);
  const absl::StatusOr<std::vector<queue::MarksFile>> files = queue::list_marks(disk_, directory);
  if (!files.ok()) return files.status();
  for (const queue::MarksFile& old : *files) {
    old_marks_.push_back(old.number);
    const std::string path = queue::marks_path(directory, old.number);
    const queue::OpenFile file(disk_, path);
    std::string bytes;
    std::vector<queue::Unreadable> unreadable;
    if (file.ok()) {
      queue::read_range(disk_, file.handle(), 0, std::min(old.bytes, kMarksBytesMax), bytes,
                        unreadable);
    }
    if (!file.ok() || !unreadable.empty()) {
      const std::string why =
          queue::error_text(file.ok() ? unreadable.front().error : file.error());
      if (!shard_.settings.journal.accept_unreadable) {
        return absl::UnavailableError(
            path + " cannot be read: " + why +
            ": it says who was being sent to. Look at the disk, then start again; "
            "journal.accept_unreadable = true goes on without");
      }
      found.damage.push_back(path + " cannot be read: " + why +
                             ": who was in doubt may be sent to twice");
      Counters::add(shard_.counters.spool_damage);
    }
    if (absl::Status read = queue::read_marks(bytes, found.marks); !read.ok())
      return absl::FailedPreconditionError(path + ": " + std::string(read.message()));
  }
  return absl::OkStatus();
}

void Home::take_marks(std::vector<AttemptMark> marks) {
  marks_ = std::move(marks);
  const auto key = [](const AttemptMark& mark) {
    return std::tuple(mark.batch, mark.index, 0xffff - mark.attempt);  // the last attempt first
  };
  std::sort(marks_.begin(), marks_.end(),
            [&](const AttemptMark& a, const AttemptMark& b) { return key(a) < key(b); });
  const auto same = [](const AttemptMark& a, const AttemptMark& b) {
    return a.batch == b.batch && a.index == b.index;
  };
  marks_.erase(std::unique(marks_.begin(), marks_.end(), same), marks_.end());
}

std::vector<AttemptMark>::const_iterator Home::mark_from(uint64_t batch, uint32_t index) const {
  return std::lower_bound(marks_.begin(), marks_.end(), std::pair(batch, index),
                          [](const AttemptMark& mark, const std::pair<uint64_t, uint32_t>& key) {
                            return std::pair(mark.batch, mark.index) < key;
                          });
}

// Whether one of its recipients may have a mark; then each is looked up.
bool Home::has_marks(const Extent& extent) const {
  if (marks_.empty()) return false;
  const auto mark = mark_from(extent.number, extent.first_index);
  return mark != marks_.end() && mark->batch == extent.number &&
         mark->index - extent.first_index <= UINT16_MAX;
}

// Null: the recipient's attempts have their outcomes, all of them.
const AttemptMark* Home::mark_of(uint32_t slot) const {
  const queue::Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  const uint32_t index = extent.first_index + record.ordinal;
  const auto mark = mark_from(extent.number, index);
  if (mark == marks_.end() || mark->batch != extent.number || mark->index != index) return nullptr;
  return record.attempts < mark->attempt ? &*mark : nullptr;
}

// In no list so far; what follows is as with a reply that was lost.
void Home::doubt_from_mark(uint32_t slot, const AttemptMark& mark) {
  queue::Record& record = records_[slot];
  record.attempts = static_cast<uint8_t>(std::min<uint16_t>(mark.attempt, queue::kAttemptsMax));
  queue::Outcome outcome;
  outcome.kind = static_cast<uint8_t>(smtp::Kind::other);
  outcome.bounce_class = static_cast<uint8_t>(smtp::BounceClass::other);
  outcome.rule = "crash";
  outcome.enhanced = {4, 3, 0};
  outcome.text = "the engine died before it had written what became of this attempt";
  place_of(slot, outcome);
  outcome.attempt = mark.attempt;
  doubt_unflushed_ = true;
  doubt(slot, outcome, nullptr);
}

// All recipients of earlier lives have been looked at.
void Home::marks_applied() {
  std::vector<queue::AttemptMark>().swap(marks_);  // "= {}" would keep the memory
  marks_applied_ = true;
}

// Old files may name recipients of any home: they go when no home needs them any more.
void Home::drop_old_marks() {
  if (!doubts_told_ && marks_applied_ && !anybody_unread_ && !doubt_unflushed_ &&
      durable_ >= doubts_sequence_) {
    doubts_told_ = true;
    shard_.exchange.doubts_are_durable();
  }
  if (old_marks_.empty() || removal_.under_way) return;
  if (!shard_.exchange.all_doubts_durable() && !io::is_planted(io::Planted::marks_removed_early))
    return;
  removal_.under_way = true;
  disk_.remove(queue::marks_path(Store::journal_directory(number_), old_marks_.back()), removal_);
}

// What cannot be removed is left for the next start.
void Home::Removal::on_disk_done(int64_t) {
  under_way = false;
  home->old_marks_.pop_back();
}

}  // namespace veredus
