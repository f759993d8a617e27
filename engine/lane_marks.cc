// Attempt marks: nothing of a content leaves before a mark says for whom, and a mark stays until
// the outcome is durable at home.

#include <cerrno>

#include "engine/io/planted.h"
#include "engine/lane.h"
#include "queue/journal_files.h"

namespace veredus {

using queue::AttemptMarks;

absl::Status Lanes::open_marks(uint32_t number) {
  const std::string path = queue::marks_path(Store::journal_directory(shard_.id), number);
  const uint64_t bytes = queue::marks_bytes(shard_.settings.attempt_marks);
  const int64_t mapped = disk_.map_now(path, bytes, marks_memory_);
  if (mapped == -ENOSPC || mapped == -EDQUOT) {
    // A full disk is no reason not to deliver: that is what makes room on it.
    marks_without_file_.resize(bytes);
    marks_ = AttemptMarks(marks_without_file_, shard_.id, number, shard_.exchange.homes());
    shard_.exchange.answers().damage(path + " could not be made, the disk is full: what a kill " +
                                     "repeats until the next start is not said to be in doubt");
    return absl::OkStatus();
  }
  if (mapped < 0) {
    return absl::FailedPreconditionError("the file of attempt marks " + path +
                                         " could not be made (" + std::to_string(bytes) +
                                         " bytes): " + queue::error_text(mapped));
  }
  marks_ = AttemptMarks(marks_memory_, shard_.id, number, shard_.exchange.homes());
  return absl::OkStatus();
}

void Lanes::mark(Load& load) {
  if (io::is_planted(io::Planted::mark_not_written)) return;
  for (Work* const work : load.works) {
    work->mark = marks_.write(
        {work->batch->batch.number, work->index, work->ticket.attempt, work->ticket.home});
  }
}

// What was refused is in no doubt, though its outcome be lost; what was taken, or may have been,
// keeps its mark until the outcome cannot be lost any more.
void Lanes::settle_mark(Work& work, const Returned& item) {
  if (work.mark == AttemptMarks::kNoPlace) return;
  const bool may_be_taken = item.verdict.result == smtp::Result::delivered ||
                            item.verdict.result == smtp::Result::in_doubt;
  if (item.unsent || !may_be_taken) {
    marks_.erase(work.mark);
  } else if (io::is_planted(io::Planted::mark_place_early)) {
    marks_.settle(work.ticket.home, 0, work.mark);
    marks_.durable(work.ticket.home, 0);
  } else {
    marks_.settle(work.ticket.home, returned_[work.ticket.home]->number, work.mark);
  }
  work.mark = AttemptMarks::kNoPlace;
}

void Lanes::free_places() {
  for (uint16_t home = 0; home < shard_.exchange.homes(); ++home) {
    if (marks_.settling(home)) marks_.durable(home, shard_.exchange.durable(home, shard_.id));
  }
  if (without_place_.empty() || marks_.places_free() == 0) return;
  for (Lane* const lane : without_place_) {
    lane->wants_place = false;
    list(*lane);
  }
  without_place_.clear();
}

// The disk takes outcomes more slowly than they come: nothing more leaves until it has caught up.
bool Lanes::no_place_for(Lane& lane) {
  if (marks_.places_free() > 0) return false;
  if (!lane.wants_place) without_place_.push_back(&lane);
  lane.wants_place = true;
  return true;
}

}  // namespace veredus
