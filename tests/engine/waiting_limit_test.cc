// limits.waiting: feeders are told to come later, and what was acknowledged is there at every
// start.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace veredus::sim {
namespace {

using testing::IsEmpty;

// Batches are refused again and again, in all their sizes, while the engine is killed: extents of
// refused ones lie in the journals beside those of acknowledged ones, and no start may mix them up.
TEST(WaitingLimit, WhatWasAcknowledgedFitsAtEveryStart) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.recipients = 1000;
    options.batches = 8;
    options.waiting_max = 200;  // a batch is 125
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
    EXPECT_GE(report.acknowledged, options.batches) << "seed " << seed;
  }
}

}  // namespace
}  // namespace veredus::sim
