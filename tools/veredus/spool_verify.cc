#include <utility>

#include "queue/journal_check.h"
#include "tools/veredus/spool.h"

namespace veredus::tools {
namespace {

// What batches need: the message of those that are not finished, and the list of who was refused.
void check_batches(const JournalRead& journal, const std::map<uint64_t, uint64_t>& waiting,
                   const queue::FramePlaces& places, std::vector<SpoolDamage>& out) {
  for (const auto& [number, known] : journal.books.ledger.batches()) {
    if (!known.committed) continue;
    const auto lost = [&, batch = number](const queue::Location& at, const std::string& what) {
      out.push_back({journal.number, at.segment, at.offset,
                     what + " of batch " + std::to_string(batch) + " (" + known.batch.tenant + "/" +
                         known.batch.name + ") is not there, or its group is damaged"});
    };
    const bool unfinished = waiting.contains(number);
    const queue::Location& content = known.batch.content;
    if (unfinished && content.length != 0 && !places.has(queue::FrameType::content, content))
      lost(content, "the message");
    for (const queue::Location& at : known.refusals) {
      if (!places.has(queue::FrameType::refusals, at)) lost(at, "a list of refused recipients");
    }
  }
}

}  // namespace

absl::StatusOr<SpoolCheck> check_spool(Spool& spool) {
  absl::StatusOr<Journals> journals = spool.read();
  if (!journals.ok()) return journals.status();
  SpoolCheck check;
  std::map<uint64_t, uint64_t> waiting;
  for (const auto& journal : *journals) {
    for (const auto& [place, run] : journal->books.ledger.runs())
      waiting[run.extent.batch] += run.live;
  }
  for (const auto& journal : *journals) {
    check.damage.insert(check.damage.end(), journal->damage.begin(), journal->damage.end());
    std::vector<queue::Damage> damage;
    queue::FramePlaces places;
    const absl::Status checked =
        queue::check_segments(spool.disk(), journal->number, journal->directory,
                              journal->recovered.summary, places, damage);
    if (!checked.ok()) return checked;
    for (const auto& [place, run] : journal->books.ledger.runs()) {
      // Of an upload that was given up nobody is sent to.
      if (find_committed(*journals, run.extent.batch) == nullptr) continue;
      ++check.extents;
      check.recipients += run.live;
      queue::visit_waiting(
          spool.disk(), journal->directory, run,
          [](const queue::Entry&, const queue::WaitingState&, uint32_t) {}, damage);
    }
    for (queue::Damage& place : damage)
      check.damage.push_back({journal->number, place.segment, place.offset, std::move(place.what)});
    check_batches(*journal, waiting, places, check.damage);
    check.segments += journal->recovered.files.size();
    check.marks_files += journal->marks_files.size();
  }
  check.journals = journals->size();
  return check;
}

}  // namespace veredus::tools
