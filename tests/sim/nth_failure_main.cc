// Every call of the disk port fails in turn: a whole engine is fed, delivers, is killed and started
// again, and call number N of the disk fails, for N = 1, 2, 3 … until a run ends untouched; once,
// or lastingly, with every error that the call can give. The world's oracle judges each run.
//
//   nth_failure                           every N in one small world (half a minute)
//   nth_failure --worlds 20               in so many, other ones: more shards, more kills
//   nth_failure --per-site 6              of each place that calls the disk only so many N
//   nth_failure --fault NAME              one way to fail only; `--fault list` names them
//   nth_failure --fault NAME --call N     one run again, with all that it says
//   nth_failure --sites FILE              writes down which places called, and which were failed:
//                                         "kind address calls failed", for nth_failure_test.py

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dlfcn.h>

#include "tests/sim/world.h"

namespace {

using veredus::sim::bit;
using veredus::sim::DiskCall;
using veredus::sim::SimStorage;
using veredus::sim::World;
using veredus::sim::WorldOptions;
using veredus::sim::WorldReport;

constexpr const char* kNames[] = {"create",   "open",     "write",    "sync",
                                  "read",     "remove",   "list_now", "open_now",
                                  "read_now", "sync_now", "map_now"};
constexpr uint32_t kSpace =
    bit(DiskCall::create) | bit(DiskCall::write) | bit(DiskCall::sync) | bit(DiskCall::map_now);
constexpr uint32_t kTransfers =
    bit(DiskCall::write) | bit(DiskCall::read) | bit(DiskCall::read_now);
constexpr uint32_t kDescriptors =
    bit(DiskCall::create) | bit(DiskCall::open) | bit(DiskCall::open_now) | bit(DiskCall::list_now);
constexpr int64_t kLasting = 600'000'000'000;

enum How : unsigned {
  kLasts = 1,
  kSameKind = 2,  // lasting, but only calls of the kind that failed first
  kCutsPower = 4,
  kSecond = 8,  // after a first failure that brings the engine where it never is without one
};
struct Fault {
  const char* name;
  int error;       // 0: a short result
  uint32_t kinds;  // of calls that can fail so
  unsigned how;
};
constexpr Fault kFaults[] = {
    {"eio_once", EIO, UINT32_MAX, 0},
    {"eio_lasting", EIO, UINT32_MAX, kLasts},
    {"eio_lasting_same_kind", EIO, UINT32_MAX, kLasts | kSameKind},
    {"eio_once_power_cut", EIO, UINT32_MAX, kCutsPower},
    {"enospc_once", ENOSPC, kSpace, 0},
    {"enospc_lasting", ENOSPC, kSpace, kLasts},
    {"enospc_lasting_same_kind", ENOSPC, kSpace, kLasts | kSameKind | kCutsPower},
    {"short_once", 0, kTransfers, 0},
    {"short_lasting", 0, kTransfers, kLasts | kCutsPower},
    {"emfile_once", EMFILE, kDescriptors, 0},
    {"emfile_lasting", EMFILE, kDescriptors, kLasts},
    {"eio_then_eio_once", EIO, UINT32_MAX, kSecond},
    {"eio_then_eio_lasting", EIO, UINT32_MAX, kSecond | kLasts | kCutsPower},
};

// What goes wrong today, each with its reason: counted, not failed. One that does not happen any
// more must be taken out.
struct Known {
  const char* violation;  // "": any, of a run in which a start told damage because reads failed
  const char* reason;
};
constexpr std::array<Known, 0> kKnown = {};

const Known* known(const std::string& violation, const WorldReport& report, DiskCall kind) {
  const bool damaged =
      report.damage_told > 0 && (kind == DiskCall::read_now || kind == DiskCall::open_now);
  for (const Known& each : kKnown) {
    const std::string_view text = each.violation;
    if (text.empty() ? damaged : violation.find(text) != std::string::npos) return &each;
  }
  return nullptr;
}

// Small, but with all that calls the disk: several segments, pages and contents that are read
// again, more than one batch under way at the kill.
WorldOptions small_world(uint64_t number) {
  WorldOptions options;
  options.seed = 3 + number;
  options.shards = 1 + static_cast<unsigned>((number + 1) % 3);
  options.recipients = 60;
  options.batches = 4;
  options.domains = 6;
  options.sites = 3;
  options.crashes_max = 0;
  options.faults = options.disk_faults = false;
  options.crashes_at_turn = {300 + number % 5 * 40};
  if (number % 2 == 1) options.crashes_at_turn.push_back(700);
  options.follows_events = true;
  options.erasures = 2;
  options.turns_max = 1'000'000;
  options.change = [](veredus::EngineSettings& settings, veredus::sim::Faults&) {
    settings.journal.segment_bytes = 16 * 1024;
    settings.page_cache_bytes = 1;
    settings.content_cache_bytes = 1;
  };
  return options;
}

struct Site {
  uint64_t calls = 0, failed = 0;
};
using SiteKey = std::pair<DiskCall, const void*>;

struct Totals {
  uint64_t runs = 0, failures = 0, refused = 0, damage_told = 0, known = 0;
  std::array<uint64_t, kKnown.size()> known_met{};
  std::map<SiteKey, Site> sites;

  void add(const WorldReport& report) {
    ++runs;
    failures += report.disk_failures;
    refused += report.starts_refused;
    damage_told += report.damage_told;
    for (const SimStorage::Called& called : report.called) {
      Site& site = sites[{called.call, called.from}];
      ++site.calls;
      site.failed += called.failed;
    }
  }
};

WorldReport run(uint64_t world, const Fault& fault, uint64_t first, uint64_t call = 0,
                DiskCall kind = DiskCall::create) {
  WorldOptions options = small_world(world);
  options.notes_disk_calls = true;
  options.crashes_cut_power = (fault.how & kCutsPower) != 0;
  options.disk_plan.first = first;
  options.disk_plan.call = call;
  options.disk_plan.error = fault.error;
  options.disk_plan.kinds = (fault.how & kSameKind) != 0 ? bit(kind) : fault.kinds;
  options.disk_plan.lasts_ns = (fault.how & kLasts) != 0 ? kLasting : 0;
  return World(options).run();
}

void print(const Fault& fault, uint64_t call, DiskCall kind, const WorldReport& report) {
  std::printf("%s, call %lu (%s): %lu calls failed, %lu starts refused, %lu places told damaged\n",
              fault.name, call, kNames[static_cast<size_t>(kind)], report.disk_failures,
              report.starts_refused, report.damage_told);
  if (!report.refusal.empty()) std::printf("  refused: %s\n", report.refusal.c_str());
  constexpr size_t kPrinted = 5;
  for (size_t i = 0; i < std::min(report.violations.size(), kPrinted); ++i)
    std::printf("  VIOLATION: %s\n", report.violations[i].c_str());
  if (report.violations.size() > kPrinted)
    std::printf("  … and %zu more\n", report.violations.size() - kPrinted);
}

// Of each place only so many, spread over its calls: first, last, and between.
std::vector<bool> chosen(const std::vector<SimStorage::Called>& calls, uint64_t per_site) {
  std::map<SiteKey, std::vector<size_t>> of_site;
  for (size_t i = 0; i < calls.size(); ++i) of_site[{calls[i].call, calls[i].from}].push_back(i);
  std::vector<bool> take(calls.size(), per_site == 0);
  if (per_site == 0) return take;
  for (const auto& [site, at] : of_site) {
    for (uint64_t k = 0; k < per_site; ++k)
      take[at[per_site == 1 ? 0 : k * (at.size() - 1) / (per_site - 1)]] = true;
  }
  return take;
}

bool all_known(const WorldReport& report, DiskCall kind, Totals& totals) {
  for (const std::string& violation : report.violations) {
    const Known* const found = known(violation, report, kind);
    if (found == nullptr) return false;
    ++totals.known_met[static_cast<size_t>(found - kKnown.data())];
  }
  return true;
}

// Calls that each fail once, and bring the engine to a place that calls the disk and was never seen
// without.
std::vector<uint64_t> first_failures(uint64_t world, const Fault& fault,
                                     const WorldReport& untouched) {
  std::set<SiteKey> seen;
  for (const SimStorage::Called& called : untouched.called) seen.insert({called.call, called.from});
  std::vector<uint64_t> firsts;
  for (uint64_t first = 1; first <= untouched.called.size(); ++first) {
    bool reached = false;
    for (const SimStorage::Called& called : run(world, fault, first).called)
      reached = seen.insert({called.call, called.from}).second || reached;
    if (reached) firsts.push_back(first);
  }
  return firsts;
}

struct Tally {
  uint64_t runs = 0, wrong = 0, expected = 0;
};

// Fails every call of one run in turn. Violations are printed.
void fail_each(uint64_t world, const Fault& fault, uint64_t first, const char* program,
               uint64_t per_site, Totals& totals, Tally& tally) {
  // Up to the failure every run is the same as this one.
  const WorldReport before = run(world, fault, first);
  totals.add(before);
  if (!before.violations.empty()) {
    ++tally.wrong;
    return print(fault, first, DiskCall::create, before);
  }
  const std::vector<bool> take = chosen(before.called, per_site);
  for (size_t at = first; at < before.called.size(); ++at) {
    const DiskCall kind = before.called[at].call;
    if (!take[at] || (fault.kinds & bit(kind)) == 0) continue;
    const WorldReport report = run(world, fault, first, at + 1, kind);
    ++tally.runs;
    totals.add(report);
    if (report.disk_failures == before.disk_failures) {
      std::printf("%s: call %zu was never reached: the runs are not the same\n", fault.name,
                  at + 1);
      ++tally.wrong;
    }
    if (report.violations.empty()) continue;
    if (all_known(report, kind, totals)) {
      ++tally.expected;
      continue;
    }
    ++tally.wrong;
    print(fault, at + 1, kind, report);
    std::printf("  again with: %s --world %lu --fault %s --first %lu --call %zu\n", program, world,
                fault.name, first, at + 1);
  }
}

// How many runs went wrong.
uint64_t run_fault(uint64_t world, const Fault& fault, const char* program, uint64_t per_site,
                   Totals& totals) {
  const auto begun = std::chrono::steady_clock::now();
  Tally tally;
  if ((fault.how & kSecond) != 0) {
    const WorldReport untouched = run(world, fault, 0);
    for (const uint64_t first : first_failures(world, fault, untouched))
      fail_each(world, fault, first, program, per_site, totals, tally);
  } else {
    fail_each(world, fault, 0, program, per_site, totals, tally);
  }
  totals.known += tally.expected;
  std::printf("world %lu, %-25s %5lu calls failed in turn, %lu runs wrong, %lu as known, %.1f s\n",
              world, fault.name, tally.runs, tally.wrong, tally.expected,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  std::fflush(stdout);
  return tally.wrong;
}

bool write_sites(const char* path, const Totals& totals) {
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr) return false;
  Dl_info program{};
  dladdr(reinterpret_cast<const void*>(&write_sites), &program);
  for (const auto& [key, site] : totals.sites) {
    // The address of the call, not of what comes after it.
    const auto offset =
        static_cast<const char*>(key.second) - static_cast<const char*>(program.dli_fbase) - 1;
    std::fprintf(file, "%s 0x%lx %lu %lu\n", kNames[static_cast<size_t>(key.first)],
                 static_cast<unsigned long>(offset), site.calls, site.failed);
  }
  return std::fclose(file) == 0;
}

int run_once(uint64_t world, const Fault& fault, uint64_t first, uint64_t call) {
  const WorldReport before = run(world, fault, first);
  if (call > before.called.size()) {
    std::printf("there are only %zu calls\n", before.called.size());
    return 2;
  }
  const DiskCall kind = before.called[call - 1].call;
  const WorldReport report = run(world, fault, first, call, kind);
  print(fault, call, kind, report);
  return report.violations.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t per_site = 0, first = 0, call = 0, worlds = 1, world = 0;
  std::string_view wanted;
  const char* sites = nullptr;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--per-site") {
      per_site = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--worlds") {
      worlds = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--world") {
      world = std::strtoull(argv[i + 1], nullptr, 10);
      worlds = world + 1;
    } else if (option == "--first") {
      first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--call") {
      call = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (option == "--fault") {
      wanted = argv[i + 1];
    } else if (option == "--sites") {
      sites = argv[i + 1];
    } else {
      std::fprintf(stderr, "nth_failure: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  Totals totals;
  uint64_t wrong = 0;
  bool any = false;
  for (const Fault& fault : kFaults) {
    if (wanted == "list") std::printf("%s\n", fault.name);
    if (!wanted.empty() && wanted != fault.name) continue;
    any = true;
    if (call != 0) return run_once(world, fault, first, call);
    for (uint64_t number = world; number < worlds; ++number)
      wrong += run_fault(number, fault, argv[0], per_site, totals);
  }
  if (!any) return wanted == "list" ? 0 : 2;
  std::printf(
      "%lu runs, %lu calls failed, %lu starts refused, %lu places told damaged, %lu wrong, %lu as "
      "known today:\n",
      totals.runs, totals.failures, totals.refused, totals.damage_told, wrong, totals.known);
  for (size_t i = 0; i < kKnown.size(); ++i) {
    std::printf("  %lu times: %s\n", totals.known_met[i], kKnown[i].reason);
    if (totals.known_met[i] > 0 || per_site != 0 || !wanted.empty()) continue;
    std::printf("  it does not happen any more: take it out of kKnown\n");
    ++wrong;
  }
  if (sites != nullptr && !write_sites(sites, totals)) {
    std::perror(sites);
    return 2;
  }
  return wrong == 0 ? 0 : 1;
}
