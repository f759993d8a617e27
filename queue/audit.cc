#include "queue/audit.h"

#include <algorithm>
#include <tuple>

#include "queue/outcome.h"

namespace veredus::queue {
namespace {

constexpr size_t kExamplesMax = 3;

}  // namespace

bool RecipientSet::add(uint64_t batch, uint32_t index) {
  uint64_t& word = chunks_[{batch, index / kBits}][index % kBits / 64];
  const uint64_t bit = uint64_t{1} << index % 64;
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

bool RecipientSet::has(uint64_t batch, uint32_t index) const {
  const auto chunk = chunks_.find({batch, index / kBits});
  return chunk != chunks_.end() && (chunk->second[index % kBits / 64] >> index % 64 & 1) != 0;
}

// --- one journal ---------------------------------------------------------------------------------

void JournalBooks::on_frame(FrameType type, const Location& at, std::string_view payload) {
  if (type == FrameType::outcomes) look_at(at, payload);
  ledger.on_frame(type, at, payload);
  CheckpointPart part{};
  std::string_view body;
  if (type == FrameType::checkpoint && read_checkpoint_part(payload, part, body).ok() &&
      part == CheckpointPart::end)
    complete_ = true;
}

void JournalBooks::on_damage(uint32_t segment, uint64_t offset, const std::string& what) {
  ledger.on_damage(segment, offset, what);
}

// Before the ledger hears of them: afterwards nobody of these waits.
void JournalBooks::look_at(const Location& at, std::string_view outcomes) {
  OutcomeReader reader(outcomes);
  Outcome outcome;
  while (reader.next(outcome)) {
    if (!is_final(outcome.type)) continue;
    const Location entry{journal_, outcome.segment, outcome.page_offset, 0};
    const bool first = seen_.add(outcome.batch, outcome.index);
    if (first) settled.emplace_back(outcome.batch, outcome.index);
    if (!first || (complete_ && !ledger.waits(outcome.batch, outcome.index, entry)))
      again.push_back({outcome.batch, outcome.index, at.segment});
  }
}

// --- all of them ---------------------------------------------------------------------------------

void add_committed(const Ledger& ledger, std::set<uint64_t>& numbers) {
  for (const auto& [number, known] : ledger.batches()) {
    if (known.committed) numbers.insert(number);
  }
}

void Audit::twice(Books& books, uint32_t index, const std::string& what) {
  ++books.counted_twice;
  if (books.examples.size() < kExamplesMax)
    books.examples.push_back("recipient " + std::to_string(index) + " " + what);
}

void Audit::add(const JournalBooks& books) {
  const std::string here = "journal " + std::to_string(books.journal());
  for (const auto& [number, known] : books.ledger.batches()) {
    if (!known.committed) continue;
    Books& of = batches_[number];
    if (of.committed) of.account.faults.push_back("committed a second time, in " + here);
    of.committed = true;
    of.described = known.batch.number == number;
    of.account.tenant = known.batch.tenant;
    of.account.name = known.batch.name;
    of.account.accepted = known.commit.accepted;
    of.account.coordinator = books.journal();
  }
  for (const auto& [number, settled] : books.ledger.tallies()) {
    Account& account = batches_[number].account;
    account.delivered += settled.delivered;
    account.failed += settled.failed;
    account.expired += settled.expired;
    account.cancelled += settled.cancelled;
    account.suppressed += settled.suppressed;
  }
  for (const auto& [batch, index] : books.settled) {
    if (!settled_.add(batch, index))
      twice(batches_[batch], index, "is settled in " + here + " and in another journal");
    if (waiting_.has(batch, index))
      twice(batches_[batch], index, "is settled in " + here + " and waits");
  }
  for (const JournalBooks::Again& again : books.again)
    twice(batches_[again.batch], again.index,
          "has a further final outcome in " + here + ", segment " + std::to_string(again.segment));
  for (const auto& [place, run] : books.ledger.runs()) count(run, books.journal());
}

void Audit::count(const Ledger::Run& run, uint16_t journal) {
  const uint64_t number = run.extent.batch;
  Books& of = batches_[number];
  Account& account = of.account;
  for (uint32_t ordinal = 0; ordinal < run.waits.size() * 64; ++ordinal) {
    if (!run.has(ordinal)) continue;
    const uint32_t index = run.extent.first_index + ordinal;
    const WaitingState state = run.state(ordinal);
    ++(state.held ? account.in_doubt : account.waiting);
    if (!state.held && state.attempts > 0) ++account.deferred;
    if (!state.held && state.in_doubt) ++account.in_doubt_waiting;
    if (state.attempts > 0) attempts_[{number, index}] = state.attempts;
    const auto where = [&] {
      return "waits in journal " + std::to_string(journal) + ", segment " +
             std::to_string(run.extent.at.segment);
    };
    if (!waiting_.add(number, index)) twice(of, index, where() + ", and elsewhere");
    if (settled_.has(number, index)) twice(of, index, where() + ", and is settled");
  }
}

void Audit::add(const std::vector<AttemptMark>& marks) {
  marks_.insert(marks_.end(), marks.begin(), marks.end());
}

void Audit::unreadable(uint64_t batch, uint64_t recipients, const std::string& why) {
  Account& account = batches_[batch].account;
  account.unreadable += recipients;
  if (account.faults.size() < kExamplesMax)
    account.faults.push_back(std::to_string(recipients) + " who wait cannot be read: " + why);
}

std::vector<Account> Audit::judge(const std::set<uint64_t>* known) {
  std::set<std::pair<uint64_t, uint32_t>> marked;
  for (const AttemptMark& mark : marks_) {
    const auto tried = attempts_.find({mark.batch, mark.index});
    const uint16_t attempts = tried == attempts_.end() ? 0 : tried->second;
    if (mark.attempt > attempts && waiting_.has(mark.batch, mark.index) &&
        marked.emplace(mark.batch, mark.index).second)
      ++batches_[mark.batch].account.marked;
  }
  std::vector<Account> accounts;
  for (auto& [number, books] : batches_) {
    Account account = books.account;
    account.number = number;
    if (!books.committed) {
      // An upload that was given up, or a batch that is forgotten: then nobody of it waits.
      const bool lost = account.settled() > 0 && account.waiting + account.in_doubt > 0;
      if (known != nullptr || !lost) continue;
      account.faults = {"no journal holds its commit, though it has outcomes, and " +
                        std::to_string(account.waiting + account.in_doubt) + " of it wait"};
      accounts.push_back(std::move(account));
      continue;
    }
    if (known != nullptr && !known->contains(number)) continue;
    if (!books.described) account.faults.push_back("its batch record is gone");
    if (account.sum() != account.accepted) {
      const uint64_t sum = account.sum();
      const bool missing = sum < account.accepted;
      account.faults.push_back(
          std::to_string(account.accepted) + " were accepted, " + std::to_string(sum) +
          " are accounted for: " +
          std::to_string(missing ? account.accepted - sum : sum - account.accepted) +
          (missing ? " missing" : " too many"));
    }
    if (books.counted_twice > 0) {
      std::string fault = std::to_string(books.counted_twice) + " counted twice: ";
      for (const std::string& example : books.examples)
        fault += (&example == books.examples.data() ? "" : "; ") + example;
      account.faults.push_back(std::move(fault));
    }
    accounts.push_back(std::move(account));
  }
  return accounts;
}

}  // namespace veredus::queue
