// Whether the journals account for every recipient, to the unit.

#include "queue/audit.h"

#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include <sysexits.h>

#include "engine/intake/json_writer.h"
#include "queue/journal_check.h"
#include "simdjson.h"
#include "tools/veredus/client.h"
#include "tools/veredus/spool_files.h"
#include "tools/veredus/table.h"

namespace veredus::tools {
namespace {

using queue::Account;

struct Part {
  const char* name;
  uint64_t Account::*count;
};
// Those that only grow first.
constexpr std::array<Part, 7> kParts = {{{"delivered", &Account::delivered},
                                         {"failed", &Account::failed},
                                         {"expired", &Account::expired},
                                         {"cancelled", &Account::cancelled},
                                         {"suppressed", &Account::suppressed},
                                         {"waiting", &Account::waiting},
                                         {"in_doubt", &Account::in_doubt}}};
constexpr size_t kGrowing = 5;
constexpr std::array<Part, 4> kBeside = {{{"deferred", &Account::deferred},
                                          {"in_doubt_waiting", &Account::in_doubt_waiting},
                                          {"marked", &Account::marked},
                                          {"unreadable", &Account::unreadable}}};

// --- what the engine says ------------------------------------------------------------------------

struct Told {
  std::string tenant, name;
  uint64_t accepted = 0;
  std::array<uint64_t, kParts.size()> parts{};
  bool operator==(const Told&) const = default;
};
using Tallies = std::map<uint64_t, Told>;  // by number

absl::StatusOr<Tallies> ask(const std::string& socket) {
  absl::StatusOr<Client> client = Client::connect(socket);
  if (!client.ok()) return client.status();
  const absl::StatusOr<Response> answer = client->get("/v1/batches?limit=1000000000");
  if (!answer.ok()) return answer.status();
  if (answer->status != 200)
    return absl::UnavailableError("the engine does not tell its tallies: " +
                                  error_text(answer->body));
  Tallies tallies;
  simdjson::dom::parser parser;
  simdjson::dom::array list;
  const simdjson::padded_string padded(answer->body);
  if (parser.parse(padded)["batches"].get(list) != simdjson::SUCCESS)
    return absl::InternalError("the engine's answer is not understood: " + answer->body);
  for (const simdjson::dom::element batch : list) {
    uint64_t number = 0;
    Told told;
    std::string_view text;
    if (batch["number"].get(number) != simdjson::SUCCESS) continue;
    if (batch["tenant"].get(text) == simdjson::SUCCESS) told.tenant = text;
    if (batch["batch"].get(text) == simdjson::SUCCESS) told.name = text;
    bool whole = batch["accepted"].get(told.accepted) == simdjson::SUCCESS;
    for (size_t i = 0; i < kParts.size(); ++i)
      whole = whole && batch[kParts[i].name].get(told.parts[i]) == simdjson::SUCCESS;
    if (!whole) return absl::InternalError("a tally of the engine lacks a number");
    tallies[number] = std::move(told);
  }
  return tallies;
}

// The journals were read between the two answers. What stood still meanwhile must be equal; what
// moved has not got further in the journals than in the engine, which counts before it writes.
void compare(Account& account, const Tallies& before, const Tallies& after) {
  const auto last = after.find(account.number);
  // It lists the youngest ones, at most so many.
  if (last == after.end() && !after.empty() && account.number < after.begin()->first) return;
  if (last == after.end()) {
    account.faults.emplace_back("the engine does not know it");
    return;
  }
  const auto first = before.find(account.number);
  const bool still = first != before.end() && first->second == last->second;
  if (last->second.accepted != account.accepted)
    account.faults.push_back("accepted: the engine says " + std::to_string(last->second.accepted) +
                             ", the journals " + std::to_string(account.accepted));
  for (size_t i = 0; i < (still ? kParts.size() : kGrowing); ++i) {
    const uint64_t told = last->second.parts[i], written = account.*kParts[i].count;
    if (still ? told == written : told >= written) continue;
    account.faults.push_back(std::string(kParts[i].name) + ": the engine says " +
                             std::to_string(told) + ", the journals " + std::to_string(written));
  }
}

// --- what the journals say -----------------------------------------------------------------------

struct Audited {
  std::vector<Account> accounts;
  std::vector<SpoolDamage> damage;
  bool holds() const {
    for (const Account& account : accounts) {
      if (!account.holds()) return false;
    }
    return damage.empty();
  }
};

absl::StatusOr<Audited> audit_once(Spool& spool, const BatchFilter& filter,
                                   const std::string& socket) {
  Tallies before, after;
  if (!socket.empty()) {
    absl::StatusOr<Tallies> told = ask(socket);
    if (!told.ok()) return told.status();
    before = *std::move(told);
  }
  // All extents of a batch are in their journals before its commit is. So a journal that is read
  // after the commit was seen holds all of its share, wherever it ends by then.
  const bool live = spool.live();
  std::set<uint64_t> known;
  if (live) {
    const absl::StatusOr<Journals> first = spool.read();
    if (!first.ok()) return first.status();
    for (const auto& journal : *first) queue::add_committed(journal->books.ledger, known);
  }
  const absl::StatusOr<Journals> journals = spool.read();
  if (!journals.ok()) return journals.status();
  Audited audited;
  queue::Audit audit;
  for (const auto& journal : *journals) {
    audit.add(journal->books);
    audit.add(journal->marks);
    audited.damage.insert(audited.damage.end(), journal->damage.begin(), journal->damage.end());
    for (const auto& [place, run] : journal->books.ledger.runs()) {
      const uint64_t number = run.extent.batch;
      const queue::KnownBatch* batch = find_committed(*journals, number);
      if (batch == nullptr || !filter.takes(batch->batch.tenant, batch->batch.name)) continue;
      std::vector<queue::Damage> places;
      const uint64_t lost = queue::visit_waiting(
          spool.disk(), journal->directory, run,
          [](const queue::Entry&, const queue::WaitingState&, uint32_t) {}, places);
      if (lost > 0)
        audit.unreadable(number, lost,
                         text_of(SpoolDamage{journal->number, places.back().segment,
                                             places.back().offset, places.back().what}));
    }
  }
  for (Account& account : audit.judge(live ? &known : nullptr)) {
    if (filter.takes(account.tenant, account.name)) audited.accounts.push_back(std::move(account));
  }
  if (socket.empty()) return audited;
  absl::StatusOr<Tallies> told = ask(socket);
  if (!told.ok()) return told.status();
  after = *std::move(told);
  std::set<uint64_t> accounted;
  for (Account& account : audited.accounts) {
    compare(account, before, after);
    accounted.insert(account.number);
  }
  for (const auto& [number, of] : before) {
    if (accounted.contains(number) || !after.contains(number) || !filter.takes(of.tenant, of.name))
      continue;
    Account account;
    account.number = number;
    account.tenant = of.tenant;
    account.name = of.name;
    account.faults.emplace_back("the engine knows it, and no journal does");
    audited.accounts.push_back(std::move(account));
  }
  return audited;
}

// --- the answer ----------------------------------------------------------------------------------

std::string name_of(const Account& account) {
  if (account.name.empty()) return "number " + std::to_string(account.number);
  return account.tenant + "/" + account.name;
}

void print_json(const Spool& spool, const Audited& audited, bool live, bool compared) {
  std::string out;
  intake::JsonWriter json(out);
  json.begin_object().field("spool", spool.directory()).field("live", live);
  json.field("compared", compared).field("holds", audited.holds()).key("batches").begin_array();
  for (const Account& account : audited.accounts) {
    json.begin_object().field("tenant", account.tenant).field("batch", account.name);
    json.field("number", account.number).field("accepted", account.accepted);
    for (const Part& part : kParts) json.field(part.name, account.*part.count);
    for (const Part& part : kBeside) json.field(part.name, account.*part.count);
    json.field("holds", account.holds()).key("faults").begin_array();
    for (const std::string& fault : account.faults) json.value(fault);
    json.end_array().end_object();
  }
  json.end_array().key("damage").begin_array();
  for (const SpoolDamage& damage : audited.damage) json.value(text_of(damage));
  json.end_array().end_object().newline();
  std::fputs(out.c_str(), stdout);
}

void print_text(const Spool& spool, const Audited& audited, bool live) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0] = {"batch", "accepted"};
  for (const Part& part : kParts) rows[0].emplace_back(part.name);
  rows[0].insert(rows[0].end(), {"deferred", "doubtful", "marked", "holds"});
  size_t faulty = 0;
  for (const Account& account : audited.accounts) {
    std::vector<std::string> row = {name_of(account), std::to_string(account.accepted)};
    for (const Part& part : kParts) row.push_back(std::to_string(account.*part.count));
    row.push_back(std::to_string(account.deferred));
    row.push_back(std::to_string(account.in_doubt_waiting));
    row.push_back(std::to_string(account.marked));
    row.emplace_back(account.holds() ? "yes" : "NO");
    rows.push_back(std::move(row));
    if (!account.holds()) ++faulty;
  }
  print_table(rows);
  for (const Account& account : audited.accounts) {
    for (const std::string& fault : account.faults)
      std::printf("%s: %s\n", name_of(account).c_str(), fault.c_str());
  }
  for (const SpoolDamage& damage : audited.damage) std::printf("%s\n", text_of(damage).c_str());
  std::printf("%s%s: %zu batches, %zu of them do not add up, %zu places damaged\n",
              spool.directory().c_str(), live ? " (live)" : "", audited.accounts.size(), faulty,
              audited.damage.size());
}

}  // namespace

int run_audit(const Common& common, const AuditOptions& options) {
  int exit_status = EX_OK;
  const std::unique_ptr<Spool> spool = Spool::open(common, options.spool, exit_status);
  if (spool == nullptr) return exit_status;
  std::string socket;
  if (options.compare) {
    socket = socket_of(common);
    if (socket.empty()) return EX_CONFIG;
  }
  const BatchFilter filter(options.batch);
  Audited audited;
  bool live = false;
  const absl::Status read = spool->look(
      [&]() -> absl::StatusOr<bool> {
        absl::StatusOr<Audited> got = audit_once(*spool, filter, socket);
        if (!got.ok()) return got.status();
        audited = *std::move(got);
        return audited.holds();
      },
      live);
  if (!read.ok()) {
    complain(std::string(read.message()));
    return exit_status_of(read);
  }
  if (!filter.all() && audited.accounts.empty()) {
    complain(options.batch + ": there is no such batch in " + spool->directory() +
             "; veredus audit without a name tells which there are");
    return EX_NOINPUT;
  }
  if (common.json) {
    print_json(*spool, audited, live, options.compare);
  } else {
    print_text(*spool, audited, live);
  }
  if (std::fflush(stdout) != 0) return EX_IOERR;
  return audited.holds() ? EX_OK : EX_DATAERR;
}

}  // namespace veredus::tools
