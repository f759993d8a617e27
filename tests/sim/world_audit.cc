// The auditor: reads the whole disk as `veredus audit` does, and must find every recipient.

#include <map>
#include <memory>

#include "engine/store.h"
#include "queue/audit.h"
#include "queue/journal_check.h"
#include "queue/journal_recovery.h"
#include "tests/sim/world.h"
#include "tests/sim/world_life.h"

namespace veredus::sim {

// What lies on the disk now, with nothing running, or (`at_rest`) with an engine that has nothing
// left to write.
void World::audit(bool at_rest) {
  if (report_.rotted > 0 || !report_.violations.empty()) return;
  ++report_.audits;
  SimDisk disk(storage_, SimDisk::Faultless());
  const absl::StatusOr<unsigned> journals = journals_in(disk);
  if (!journals.ok()) return violation("no audit: " + std::string(journals.status().message()));
  queue::Audit audit;
  std::vector<std::unique_ptr<queue::JournalBooks>> all;
  for (unsigned number = 0; number < *journals; ++number) {
    const std::string directory = Store::journal_directory(static_cast<uint16_t>(number));
    all.push_back(std::make_unique<queue::JournalBooks>(static_cast<uint16_t>(number)));
    queue::JournalBooks& books = *all.back();
    const auto read = queue::recover_journal(disk, books.journal(), directory, books, true,
                                             queue::ReadFor::looking);
    if (!read.ok()) return violation("no audit: " + std::string(read.status().message()));
    for (const std::string& damage : books.ledger.damage())
      violation("damage reported to the audit: journal " + std::to_string(number) + ", " + damage);
    audit.add(books);
  }
  std::set<uint64_t> committed;
  for (const auto& books : all) queue::add_committed(books->ledger, committed);
  for (const auto& books : all) {
    for (const auto& [place, run] : books->ledger.runs()) {
      if (!committed.contains(run.extent.batch)) continue;
      std::vector<queue::Damage> damage;
      const uint64_t lost = queue::visit_waiting(
          disk, Store::journal_directory(books->journal()), run,
          [](const queue::Entry&, const queue::WaitingState&, uint32_t) {}, damage);
      if (lost > 0) audit.unreadable(run.extent.batch, lost, damage.back().what);
    }
  }
  std::map<uint64_t, queue::Account> accounts;
  for (queue::Account& account : audit.judge(nullptr)) {
    for (const std::string& fault : account.faults)
      violation("the audit says of batch " + account.name + ": " + fault);
    const uint64_t number = account.number;
    accounts.emplace(number, std::move(account));
  }
  for (const auto& feeder : feeders_) {
    const auto found = accounts.find(feeder->number);
    if (feeder->number == 0 || !feeder->acknowledged) continue;
    if (feeder->forgotten) {
      // At a crash the next life is asked.
      if (at_rest && found != accounts.end())
        violation("the audit knows batch " + feeder->name + ", which was forgotten");
      continue;
    }
    if (found == accounts.end()) {
      if (at_rest && !may_go(*feeder)) violation("the audit does not know batch " + feeder->name);
      continue;
    }
    const queue::Account& account = found->second;
    if (account.accepted != feeder->lines.size())
      violation("the audit says that " + std::to_string(account.accepted) + " of batch " +
                feeder->name + " were accepted");
    if (!at_rest) continue;
    const queue::Tally& tally = feeder->live->tally;
    if (account.delivered != tally.delivered || account.failed != tally.failed ||
        account.expired != tally.expired || account.in_doubt != tally.in_doubt_held ||
        account.waiting != 0)
      violation("the audit says of batch " + feeder->name + ": " +
                std::to_string(account.delivered) + " delivered, " +
                std::to_string(account.failed) + " failed, " + std::to_string(account.expired) +
                " expired, " + std::to_string(account.in_doubt) + " held in doubt, " +
                std::to_string(account.waiting) + " wait; that is not what tallies say");
  }
}

}  // namespace veredus::sim
