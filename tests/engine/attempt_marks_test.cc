// Attempt marks at work: whole engines in the simulated world.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace veredus::sim {
namespace {

using testing::IsEmpty;

// One place in all: a recipient leaves when the outcome of the one before is durable.
TEST(AttemptMarksTest, WithoutAPlaceNothingLeavesAndNothingIsLost) {
  WorldOptions options;
  options.shards = 2;
  options.recipients = 300;
  options.batches = 2;
  options.domains = 20;
  options.sites = 10;
  options.crashes_max = 0;
  options.faults = options.disk_faults = false;
  const auto run = [&](uint32_t places) {
    options.change = [places](EngineSettings& settings, Faults&) {
      settings.attempt_marks = places;
    };
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty());
    EXPECT_EQ(report.receipts, options.recipients);
    return report.simulated_ns;
  };
  const int64_t slow_ns = run(1), fast_ns = run(4096);
  EXPECT_GT(slow_ns, 2 * fast_ns);
  EXPECT_LT(slow_ns, 60'000'000'000);
}

// With every kill in the midst of deliveries: who is held is not sent to again.
TEST(AttemptMarksTest, HeldAfterAKill) {
  uint64_t in_doubt = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.faults = options.disk_faults = false;
    options.crashes_min = options.crashes_max = 3;
    options.kills_only = true;
    options.change = [](EngineSettings& settings, Faults&) {
      settings.in_doubt = InDoubtPolicy::hold;
    };
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
    EXPECT_EQ(report.duplicates, 0u);
    in_doubt += report.in_doubt;
  }
  EXPECT_GT(in_doubt, 100u);
}

}  // namespace
}  // namespace veredus::sim
