// Runs the simulated world over a range of seeds:
//
//   sim --seeds 1000 [--from 1]        every seed from --from on; stops at the first violation
//   sim --seed 42 [--verbose]          one seed again, exactly
//   sim --plant NAME --seeds 500       with a defect planted, of the engine or of the world itself:
//                                      succeeds when some seed finds it; with --expect TEXT only
//                                      what says that counts
//   sim --sharing SHARDS [--seeds 4]   67 % of the recipients at one site: how evenly the shards
//                                      deliver; fails when one has less than 80 % of the mean
//
// Even seeds have rules of sending (rules.h), which are changed while mail flows, and operators who
// give orders. --shards N and --recipients N as told instead of as the seed has it. A seed that
// fails is printed with the command that runs it again.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "engine/io/planted.h"
#include "tests/sim/world.h"

namespace {

using veredus::sim::PowerCuts;
using veredus::sim::World;
using veredus::sim::WorldDefect;
using veredus::sim::WorldOptions;
using veredus::sim::WorldReport;

struct Run {
  WorldOptions world;
  uint64_t from = 1, seeds = 1;
  bool verbose = false;
  const char* program = "sim";
  std::string planted, expected;
};

void print_times(uint64_t forgotten, uint64_t fed_again, uint64_t expired, uint64_t assumed,
                 uint64_t audits) {
  std::printf(
      "  %lu batches forgotten, %lu fed again; %lu recipients expired, %lu in doubt taken for "
      "delivered; %lu audits\n",
      forgotten, fed_again, expired, assumed, audits);
}

void print_rules(uint64_t reloads, uint64_t orders, uint64_t refused, uint64_t lost,
                 uint64_t by_order) {
  std::printf(
      "  %lu reloads, %lu orders (%lu times not durable, %lu gone with a life), %lu recipients "
      "ended by them\n",
      reloads, orders, refused, lost, by_order);
}

bool plant(std::string_view name, WorldOptions& options) {
  if (veredus::io::plant(name)) return true;
  constexpr std::pair<std::string_view, WorldDefect> of_world[] = {
      {"mild_disk", WorldDefect::mild_disk},
      {"calm_wires", WorldDefect::calm_wires},
      {"unseeded", WorldDefect::unseeded}};
  for (const auto& [known, defect] : of_world) {
    if (known == name) return options.defect = defect, true;
  }
  std::fprintf(stderr, "sim: no such defect, or a build without VEREDUS_PLANTED: %s\n",
               std::string(name).c_str());
  return false;
}

void print(uint64_t seed, const WorldReport& report) {
  const PowerCuts& cuts = report.power_cuts;
  std::printf(
      "seed %lu: %u to %u shards, %u journals, %lu turns, %.0f s simulated, %lu batches, %lu "
      "receipts, "
      "%lu duplicates, %lu in doubt, %lu connections, %lu resets, trace %016lx\n"
      "  %lu crashes (%lu after an acknowledgement, %lu at a start, %lu in recovery); %lu power "
      "cuts met %lu unsynced writes: %lu dropped, %lu torn, %lu reordered; groups cut: %lu torn, "
      "%lu behind one\n"
      "  %lu checkpoints, %lu starts at one, %lu recipients carried, %lu segments removed\n",
      seed, report.shards, report.shards_at_end, report.homes_at_end, report.turns,
      static_cast<double>(report.simulated_ns) / 1e9, report.acknowledged, report.receipts,
      report.duplicates, report.in_doubt, report.connections, report.resets, report.trace,
      report.crashes, report.after_acknowledgement, report.at_start, report.in_recovery, cuts.cuts,
      cuts.met, cuts.dropped, cuts.torn, cuts.reordered, report.torn_groups, report.cut_groups,
      report.checkpoints, report.starts_at_checkpoint, report.carried, report.segments_removed);
  print_rules(report.reloads, report.orders, report.orders_refused, report.orders_lost,
              report.by_order);
  print_times(report.forgotten, report.fed_again, report.expired, report.assumed, report.audits);
  constexpr size_t kPrinted = 20;
  for (size_t i = 0; i < std::min(report.violations.size(), kPrinted); ++i)
    std::printf("  VIOLATION: %s\n", report.violations[i].c_str());
  if (report.violations.size() > kPrinted)
    std::printf("  … and %zu more\n", report.violations.size() - kPrinted);
}

void print_replay(const Run& run, uint64_t seed) {
  std::printf("again with: %s --seed %lu --verbose", run.program, seed);
  const WorldOptions usual;
  if (run.world.shards != usual.shards) std::printf(" --shards %u", run.world.shards);
  if (run.world.recipients != usual.recipients)
    std::printf(" --recipients %u", run.world.recipients);
  if (run.world.bit_rot) std::printf(" --rot");
  if (!run.planted.empty()) std::printf(" --plant %s", run.planted.c_str());
  std::printf("\n");
}

bool says_what_is_expected(const Run& run, const WorldReport& report) {
  return std::any_of(report.violations.begin(), report.violations.end(),
                     [&](const std::string& violation) {
                       return violation.find(run.expected) != std::string::npos;
                     });
}

// Over all seeds of a run.
struct Sums {
  uint64_t duplicates = 0, in_doubt = 0, doubt_after_kill = 0, resets = 0, crashes = 0,
           after_acknowledgement = 0, at_start = 0, in_recovery = 0, torn_groups = 0,
           cut_groups = 0, seeds_cut = 0, checkpoints = 0, carried = 0, removed = 0,
           starts_at_checkpoint = 0, erased = 0, cancelled = 0;
  uint64_t rotted = 0, rot_told = 0;
  uint64_t reloads = 0, orders = 0, orders_refused = 0, orders_lost = 0, by_order = 0;
  uint64_t forgotten = 0, fed_again = 0, expired = 0, assumed = 0, audits = 0;
  PowerCuts cuts;

  void add(const WorldReport& report) {
    rotted += report.rotted;
    reloads += report.reloads;
    orders += report.orders;
    orders_refused += report.orders_refused;
    orders_lost += report.orders_lost;
    by_order += report.by_order;
    forgotten += report.forgotten;
    fed_again += report.fed_again;
    expired += report.expired;
    assumed += report.assumed;
    audits += report.audits;
    rot_told += report.rot_told;
    duplicates += report.duplicates;
    in_doubt += report.in_doubt;
    doubt_after_kill += report.doubt_after_kill;
    resets += report.resets;
    crashes += report.crashes;
    after_acknowledgement += report.after_acknowledgement;
    at_start += report.at_start;
    in_recovery += report.in_recovery;
    torn_groups += report.torn_groups;
    cut_groups += report.cut_groups;
    checkpoints += report.checkpoints;
    carried += report.carried;
    removed += report.segments_removed;
    erased += report.erased;
    cancelled += report.cancelled;
    starts_at_checkpoint += report.starts_at_checkpoint;
    seeds_cut += report.torn_groups + report.cut_groups > 0;
    cuts.cuts += report.power_cuts.cuts;
    cuts.met += report.power_cuts.met;
    cuts.dropped += report.power_cuts.dropped;
    cuts.torn += report.power_cuts.torn;
    cuts.reordered += report.power_cuts.reordered;
  }
  void print(uint64_t seeds, double seconds) const {
    std::printf(
        "%lu seeds in %.1f s, 0 violations: %lu crashes (%lu after an acknowledgement, %lu at a "
        "start, %lu in recovery); %lu power cuts met %lu unsynced writes: %lu dropped, %lu torn, "
        "%lu reordered; groups cut at recovery: %lu torn, %lu behind one, in %lu seeds; %lu "
        "checkpoints, %lu starts at one, %lu recipients carried, %lu segments removed; %lu "
        "connection resets, %lu in doubt (%lu because a kill came between), %lu duplicates (each "
        "in doubt, or lost at a power cut); %lu asked to be forgotten, %lu of them were "
        "cancelled\n",
        seeds, seconds, crashes, after_acknowledgement, at_start, in_recovery, cuts.cuts, cuts.met,
        cuts.dropped, cuts.torn, cuts.reordered, torn_groups, cut_groups, seeds_cut, checkpoints,
        starts_at_checkpoint, carried, removed, resets, in_doubt, doubt_after_kill, duplicates,
        erased, cancelled);
    print_times(forgotten, fed_again, expired, assumed, audits);
    print_rules(reloads, orders, orders_refused, orders_lost, by_order);
    if (rotted > 0) std::printf("%lu bits flipped, told in %lu seeds\n", rotted, rot_told);
  }
};

int run_seeds(Run& run) {
  const auto begun = std::chrono::steady_clock::now();
  Sums sums;
  for (uint64_t seed = run.from; seed < run.from + run.seeds; ++seed) {
    run.world.seed = seed;
    run.world.rules = seed % 2 == 0;
    // A loop that spins is told sooner: these run for some hundred thousand.
    run.world.turns_max = run.world.rules ? 4'000'000 : WorldOptions().turns_max;
    run.world.erasures = seed % 3 == 0 ? 8 : 0;
    const WorldReport report = World(run.world).run();
    sums.add(report);
    const bool failed = says_what_is_expected(run, report);
    if (run.verbose || failed) print(seed, report);
    if (!failed) continue;
    print_replay(run, seed);
    if (run.planted.empty()) return 1;
    std::printf("the planted defect was found after %lu seeds\n", seed - run.from + 1);
    return 0;
  }
  if (!run.planted.empty()) {
    std::printf("the planted defect was NOT found\n");
    return 1;
  }
  if (!run.verbose || run.seeds > 1) {
    sums.print(run.seeds,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  }
  return 0;
}

// Shares of the shards when two thirds of the mail go to one site.
bool shares_evenly(unsigned shards, uint64_t seed) {
  WorldOptions options;
  options.seed = seed;
  options.shards = shards;
  options.recipients = 40'000;
  options.domains = 10'000;
  options.sites = 10'000;
  options.hot_share = 0.67;
  options.crashes_max = 0;
  options.faults = options.disk_faults = false;
  options.connections_per_site = 10 * shards;
  const WorldReport report = World(options).run();
  print(options.seed, report);
  uint64_t sum = 0;
  for (const uint64_t delivered : report.delivered_by_shard) sum += delivered;
  const double mean = static_cast<double>(sum) / shards;
  bool even = sum == options.recipients && report.violations.empty();
  for (const uint64_t delivered : report.delivered_by_shard) {
    std::printf("  shard: %lu delivered, %.0f %% of the mean\n", delivered,
                100.0 * static_cast<double>(delivered) / mean);
    even = even && static_cast<double>(delivered) >= 0.8 * mean;
  }
  return even;
}

int run_sharing(unsigned shards, const Run& run) {
  for (uint64_t seed = run.from; seed < run.from + run.seeds; ++seed) {
    if (shares_evenly(shards, seed)) continue;
    std::printf("shared unevenly; again with: %s --seed %lu --sharing %u\n", run.program, seed,
                shards);
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Run run;
  run.program = argv[0];
  run.world.short_times = true;
  unsigned sharing = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--rot") {
      run.world.bit_rot = true;
      continue;
    }
    if (option == "--verbose") {
      run.verbose = true;
      continue;
    }
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    ++i;
    if (option == "--seeds") {
      run.seeds = std::strtoull(value, nullptr, 10);
    } else if (option == "--from" || option == "--seed") {
      run.from = std::strtoull(value, nullptr, 10);
    } else if (option == "--shards") {
      run.world.shards = static_cast<unsigned>(std::atoi(value));
    } else if (option == "--recipients") {
      run.world.recipients = static_cast<uint32_t>(std::atoi(value));
    } else if (option == "--plant") {
      if (!plant(value, run.world)) return 2;
      run.planted = value;
    } else if (option == "--expect") {
      run.expected = value;
    } else if (option == "--sharing") {
      sharing = static_cast<unsigned>(std::atoi(value));
    } else {
      std::fprintf(stderr, "sim: unknown option %s\n", option.c_str());
      return 2;
    }
  }
  if (!run.expected.empty() && run.planted.empty()) {
    std::fprintf(stderr, "sim: --expect goes with --plant: without it every violation counts\n");
    return 2;
  }
  return sharing == 0 ? run_seeds(run) : run_sharing(sharing, run);
}
