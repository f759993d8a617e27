// Journals outlive the number of shards: whole engines in the simulated world that die and go on
// with another number.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine_core.h"
#include "engine/exchange.h"
#include "engine/store.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/world.h"

namespace veredus::sim {
namespace {

using testing::IsEmpty;

TEST(HomesTest, FourShardsThenTwoThenOneThenThree) {
  uint64_t shrunk = 0, crashes = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    WorldOptions options;
    options.seed = seed;
    options.shards = 4;
    options.shards_later = {2, 1, 3};
    options.crashes_min = options.crashes_max = 3;
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
    EXPECT_EQ(report.homes_at_end, 4u);
    EXPECT_EQ(report.shards_at_end, 3u);
    shrunk += report.shrunk;
    crashes += report.crashes;
  }
  // Each life after the first has fewer shards than journals, if the first one came to make them.
  EXPECT_GE(shrunk, crashes * 9 / 10);
}

TEST(HomesTest, OneShardThenSix) {
  WorldOptions options;
  options.shards = 1;
  options.shards_later = {6};
  options.crashes_min = options.crashes_max = 1;
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.homes_at_end, 6u);
  EXPECT_EQ(report.shrunk, 0u);
}

TEST(HomesTest, HomesAreSpreadOverTheShards) {
  const Exchange exchange(3, 8, 64);
  const unsigned expected[] = {0, 1, 2, 0, 1, 2, 0, 1};
  for (unsigned home = 0; home < exchange.homes(); ++home)
    EXPECT_EQ(exchange.shard_of_home(home), expected[home]);
}

// What has no segment is no journal: a directory that something else was put into, for one.
TEST(HomesTest, JournalsInASpool) {
  SimStorage storage(1);
  SimDisk disk(storage);
  EXPECT_EQ(*journals_in(disk), 0u);
  storage.put("journal-5/notes.txt", "x");
  EXPECT_EQ(*journals_in(disk), 0u);
  storage.put("journal-2/" + std::string("seg-00000001.vrj"), "");
  EXPECT_EQ(*journals_in(disk), 3u);
  storage.put("journal-255/seg-00000009.vrj", "");
  storage.put("journal-256/seg-00000001.vrj", "");
  EXPECT_EQ(*journals_in(disk), 256u);
}

}  // namespace
}  // namespace veredus::sim
