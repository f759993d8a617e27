// Runs the simulated world over a range of seeds:
//
//   sim --seeds 1000 [--from 1]        every seed from --from on; stops at the first violation
//   sim --seed 42 [--verbose]          one seed again, exactly
//   sim --plant NAME --seeds 500       with a defect planted: succeeds when some seed finds it
//   sim --sharing SHARDS               67 % of the recipients at one site: how evenly the shards
//   deliver

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "engine/io/planted.h"
#include "tests/sim/world.h"

namespace {

using veredus::io::Planted;
using veredus::sim::World;
using veredus::sim::WorldOptions;
using veredus::sim::WorldReport;

bool plant(const char* name) {
#ifdef VEREDUS_PLANTED
  const std::pair<const char*, Planted> known[] = {{"ack_before_sync", Planted::ack_before_sync},
                                                   {"double_settle", Planted::double_settle},
                                                   {"stale_ticket", Planted::stale_ticket},
                                                   {"lost_ticket", Planted::lost_ticket},
                                                   {"reply_shift", Planted::reply_shift}};
  for (const auto& [known_name, defect] : known) {
    if (std::strcmp(name, known_name) != 0) continue;
    veredus::io::planted = defect;
    return true;
  }
#endif
  std::fprintf(stderr, "sim: no such defect, or a build without VEREDUS_PLANTED: %s\n", name);
  return false;
}

void print(uint64_t seed, const WorldReport& report) {
  std::printf(
      "seed %lu: %lu turns, %.0f s simulated, %lu batches, %lu receipts, %lu duplicates, %lu in "
      "doubt, %lu "
      "crashes, %lu connections, %lu resets, %lu groups cut\n",
      seed, report.turns, static_cast<double>(report.simulated_ns) / 1e9, report.acknowledged,
      report.receipts, report.duplicates, report.in_doubt, report.crashes, report.connections,
      report.resets, report.cut_groups);
  for (const std::string& violation : report.violations)
    std::printf("  VIOLATION: %s\n", violation.c_str());
}

int run_seeds(WorldOptions options, uint64_t from, uint64_t seeds, bool planted, bool verbose) {
  const auto begun = std::chrono::steady_clock::now();
  uint64_t duplicates = 0, in_doubt = 0, crashes = 0, resets = 0, cut = 0;
  for (uint64_t seed = from; seed < from + seeds; ++seed) {
    options.seed = seed;
    const WorldReport report = World(options).run();
    duplicates += report.duplicates;
    in_doubt += report.in_doubt;
    crashes += report.crashes;
    resets += report.resets;
    cut += report.cut_groups;
    if (verbose) print(seed, report);
    if (report.violations.empty()) continue;
    if (!verbose) print(seed, report);
    if (planted) {
      std::printf("the planted defect was found after %lu seeds\n", seed - from + 1);
      return 0;
    }
    std::printf("again with: sim --seed %lu --verbose\n", seed);
    return 1;
  }
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  std::printf(
      "%lu seeds in %.1f s: %lu crashes, %lu connection resets, %lu groups cut, %lu in doubt, %lu "
      "duplicates "
      "(each in doubt, or unsynced at a crash), 0 violations\n",
      seeds, took, crashes, resets, cut, in_doubt, duplicates);
  if (planted) {
    std::printf("the planted defect was NOT found\n");
    return 1;
  }
  return 0;
}

// Shares of the shards when two thirds of the mail go to one site.
int run_sharing(unsigned shards) {
  WorldOptions options;
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
  return even ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  WorldOptions options;
  uint64_t from = 1, seeds = 1;
  bool planted = false, verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--verbose") {
      verbose = true;
      continue;
    }
    ++i;
    if (option == "--seeds") {
      seeds = std::strtoull(value, nullptr, 10);
    } else if (option == "--from" || option == "--seed") {
      from = std::strtoull(value, nullptr, 10);
    } else if (option == "--shards") {
      options.shards = static_cast<unsigned>(std::atoi(value));
    } else if (option == "--recipients") {
      options.recipients = static_cast<uint32_t>(std::atoi(value));
    } else if (option == "--plant") {
      if (!plant(value)) return 2;
      planted = true;
    } else if (option == "--sharing") {
      return run_sharing(static_cast<unsigned>(std::atoi(value)));
    } else {
      std::fprintf(stderr, "sim: unknown option %s\n", option.c_str());
      return 2;
    }
  }
  return run_seeds(options, from, seeds, planted, verbose);
}
