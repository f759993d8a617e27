#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include <gtest/gtest.h>

namespace veredus::sim {
namespace {

struct Call : queue::DiskOperation {
  void on_disk_done(int64_t result) override { done = result; }
  std::optional<int64_t> done;
};

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

int64_t finish(SimDisk& disk, Call& call) {
  while (!call.done.has_value() && disk.complete_one()) {
  }
  return call.done.value_or(-ENOSYS);
}
int64_t create(SimDisk& disk, std::string_view path, uint64_t bytes) {
  Call call;
  disk.create(path, bytes, call);
  return finish(disk, call);
}
int64_t write(SimDisk& disk, int64_t file, uint64_t offset, std::string_view text) {
  Call call;
  disk.write(static_cast<int32_t>(file), offset, bytes_of(text), call);
  return finish(disk, call);
}
int64_t sync(SimDisk& disk, int64_t file) {
  Call call;
  disk.sync(static_cast<int32_t>(file), call);
  return finish(disk, call);
}

TEST(SimDisk, CreatedFilesAreZeroAndStay) {
  SimStorage storage(1);
  SimDisk disk(storage);
  ASSERT_GE(create(disk, "d/a", 10), 0);
  storage.crash();
  EXPECT_EQ(storage.get("d/a"), std::string(10, '\0'));
  std::vector<queue::Disk::Entry> entries;
  ASSERT_EQ(disk.list_now("d", entries), 0);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].bytes, 10u);
  EXPECT_EQ(disk.list_now("nowhere", entries), 0);
  EXPECT_TRUE(entries.empty());
  storage.faults.fail_call = 1;
  EXPECT_EQ(disk.list_now("d", entries), -EIO);
}

TEST(SimDisk, SyncedBytesAlwaysSurviveACrashUnsyncedOnesNotAlways) {
  int kept = 0, dropped = 0, mixed = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SimStorage storage(seed);
    SimDisk disk(storage);
    const int64_t file = create(disk, "a", 4096);
    ASSERT_EQ(write(disk, file, 0, std::string(512, 's')), 512);
    ASSERT_EQ(sync(disk, file), 0);
    ASSERT_EQ(write(disk, file, 512, std::string(2048, 'u')), 2048);
    EXPECT_EQ(storage.get("a").substr(0, 2560), std::string(512, 's') + std::string(2048, 'u'));
    storage.crash();
    const std::string after = storage.get("a");
    EXPECT_EQ(after.substr(0, 512), std::string(512, 's'));
    const std::string tail = after.substr(512, 2048);
    const auto written = std::count(tail.begin(), tail.end(), 'u');
    kept += written == 2048;
    dropped += written == 0;
    mixed += written != 0 && written != 2048;
  }
  EXPECT_GT(kept, 30);
  EXPECT_GT(dropped, 30);
  EXPECT_GT(mixed, 30);
}

// What a power cut did is counted by what is left on the disk, write by write.
TEST(SimDisk, PowerCutsAreCounted) {
  PowerCuts seen, said;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SimStorage storage(seed);
    SimDisk disk(storage);
    const int64_t file = create(disk, "a", 16384);
    ASSERT_EQ(write(disk, file, 0, std::string(512, 's')), 512);
    ASSERT_EQ(sync(disk, file), 0);
    const int64_t lengths[] = {1024, 2048, 512};
    int64_t at = 512;
    for (const int64_t length : lengths) {
      ASSERT_EQ(write(disk, file, at, std::string(static_cast<size_t>(length), 'u')), length);
      at += length;
    }
    Call under_way;
    disk.write(static_cast<int32_t>(file), static_cast<uint64_t>(at), bytes_of("under way"),
               under_way);
    EXPECT_EQ(storage.unsynced(), 4u);
    storage.crash();
    EXPECT_EQ(storage.unsynced(), 0u);
    EXPECT_EQ(storage.power_cuts.met, 4u);
    const std::string after = storage.get("a");
    bool lost_before = false;
    at = 512;
    for (const int64_t length : {int64_t{1024}, int64_t{2048}, int64_t{512}, int64_t{9}}) {
      const std::string_view left =
          std::string_view(after).substr(static_cast<size_t>(at), static_cast<size_t>(length));
      const int64_t kept = length - std::count(left.begin(), left.end(), '\0');
      seen.dropped += kept == 0;
      seen.torn += kept > 0 && kept < length;
      seen.reordered += kept > 0 && lost_before;
      lost_before = lost_before || kept < length;
      at += length;
    }
    said.dropped += storage.power_cuts.dropped;
    said.torn += storage.power_cuts.torn;
    said.reordered += storage.power_cuts.reordered;
  }
  EXPECT_EQ(said.dropped, seen.dropped);
  EXPECT_EQ(said.torn, seen.torn);
  EXPECT_EQ(said.reordered, seen.reordered);
  EXPECT_GT(said.dropped, 300u);
  EXPECT_GT(said.torn, 100u);
  EXPECT_GT(said.reordered, 100u);
}

TEST(SimDisk, AKilledProcessIsNoPowerCut) {
  SimStorage storage(1);
  SimDisk disk(storage);
  const int64_t file = create(disk, "a", 4096);
  ASSERT_EQ(write(disk, file, 0, "unsynced"), 8);
  storage.kill();
  EXPECT_EQ(storage.unsynced(), 1u);
  EXPECT_EQ(storage.power_cuts.cuts, 0u);
  EXPECT_EQ(storage.power_cuts.met, 0u);
}

TEST(SimDisk, ASyncCoversOnlyWhatWasWrittenBeforeItsCall) {
  bool lost = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimStorage storage(seed);
    SimDisk disk(storage);
    const int64_t file = create(disk, "a", 4096);
    ASSERT_EQ(write(disk, file, 0, "first"), 5);
    Call syncing, writing;
    disk.sync(static_cast<int32_t>(file), syncing);
    disk.write(static_cast<int32_t>(file), 100, bytes_of("second"), writing);
    while (disk.complete_one()) {
    }
    storage.crash();
    EXPECT_EQ(storage.get("a").substr(0, 5), "first");
    lost |= storage.get("a").substr(100, 6) != "second";
  }
  EXPECT_TRUE(lost);
}

TEST(SimDisk, AfterAFailedSyncTheNextOneLies) {
  bool lied = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimStorage storage(seed);
    SimDisk disk(storage);
    const int64_t file = create(disk, "a", 4096);
    ASSERT_EQ(write(disk, file, 0, "precious"), 8);
    storage.faults.sync_error = 1;
    EXPECT_EQ(sync(disk, file), -EIO);
    storage.faults.sync_error = 0;
    EXPECT_EQ(sync(disk, file), 0);
    storage.crash();
    lied |= storage.get("a").substr(0, 8) != "precious";
  }
  EXPECT_TRUE(lied);
}

TEST(SimDisk, AKilledProcessLosesNothingThatWasWritten) {
  SimStorage storage(1);
  SimDisk disk(storage);
  const int64_t file = create(disk, "a", 100);
  ASSERT_EQ(write(disk, file, 0, "written"), 7);
  storage.kill();
  EXPECT_EQ(storage.get("a").substr(0, 7), "written");
  EXPECT_EQ(write(disk, file, 0, "x"), -EBADF);
}

TEST(SimDisk, OperationsUnderWayAreForgottenAtACrash) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SimStorage storage(seed);
    auto disk = std::make_unique<SimDisk>(storage);
    const int64_t file = create(*disk, "a", 4096);
    {
      Call writing, creating;
      disk->write(static_cast<int32_t>(file), 0, bytes_of("abcdef"), writing);
      disk->create("b", 64, creating);
      storage.crash();
      EXPECT_EQ(disk->pending(), 0u);
      EXPECT_FALSE(disk->complete_one());
      EXPECT_FALSE(writing.done.has_value());
    }
    outcomes.insert(storage.exists("b") ? "made" : "not made");
    outcomes.insert(storage.get("a").substr(0, 6) == "abcdef" ? "written" : "not written");
  }
  EXPECT_EQ(outcomes.size(), 4u);
}

TEST(SimDisk, CompletesInTheOrderOfLatenciesAndNothingBeforeItsTime) {
  SimStorage storage(3);
  SimDisk disk(storage);
  Call a, b;
  disk.create("a", 1, a);
  disk.create("b", 1, b);
  EXPECT_EQ(disk.run(0), 0u);
  EXPECT_GE(disk.next_due_ns(), storage.faults.latency_min_ns);
  EXPECT_EQ(disk.run(disk.next_due_ns()), 1u);
  EXPECT_NE(a.done.has_value(), b.done.has_value());
  EXPECT_EQ(disk.run(1'000'000'000), 1u);
  EXPECT_EQ(disk.next_due_ns(), INT64_MAX);
}

TEST(SimDisk, FaultsAreInjected) {
  SimStorage storage(4);
  SimDisk disk(storage);
  storage.faults.create_full = 1;
  EXPECT_EQ(create(disk, "a", 1), -ENOSPC);
  storage.faults.create_full = 0;
  storage.faults.create_error = 1;
  EXPECT_EQ(create(disk, "a", 1), -EIO);
  storage.faults.create_error = 0;
  storage.faults.capacity_bytes = 100;
  EXPECT_EQ(create(disk, "a", 101), -ENOSPC);
  const int64_t file = create(disk, "a", 100);
  ASSERT_GE(file, 0);
  storage.faults.write_error = 1;
  EXPECT_EQ(write(disk, file, 0, "abc"), -EIO);
  storage.faults.write_error = 0;
  storage.faults.write_short = 1;
  const int64_t taken = write(disk, file, 0, "abcdef");
  EXPECT_GE(taken, 1);
  EXPECT_LE(taken, 6);
  storage.faults.write_short = 0;
  EXPECT_TRUE(storage.corrupt("a", 99));
  EXPECT_FALSE(storage.corrupt("a", 100));
  EXPECT_NE(storage.get("a")[99], '\0');
}

TEST(SimDisk, TheNthCallFailsAndOnlyThat) {
  SimStorage storage(5);
  SimDisk disk(storage);
  storage.faults.fail_call = 2;
  storage.faults.fail_errno = ENOSPC;
  const int64_t file = create(disk, "a", 100);
  ASSERT_GE(file, 0);
  EXPECT_EQ(write(disk, file, 0, "abc"), -ENOSPC);
  EXPECT_EQ(write(disk, file, 0, "abc"), 3);
  EXPECT_EQ(sync(disk, file), 0);
  EXPECT_EQ(storage.faults_injected, 1u);
  storage.faults.fail_call = 1;
  storage.faults.fail_count = UINT64_MAX;
  EXPECT_EQ(sync(disk, file), -ENOSPC);
  EXPECT_EQ(disk.open_now("a"), -ENOSPC);
}

TEST(SimDisk, ViewsShareOneStorage) {
  SimStorage storage(6);
  SimDisk writer(storage), reader(storage);
  const int64_t file = create(writer, "d/a", 100);
  ASSERT_EQ(write(writer, file, 10, "hello"), 5);
  const int64_t opened = reader.open_now("d/a");
  ASSERT_GE(opened, 0);
  char got[5];
  EXPECT_EQ(reader.read_now(static_cast<int32_t>(opened), 10,
                            {reinterpret_cast<uint8_t*>(got), sizeof got}),
            5);
  EXPECT_EQ(std::string_view(got, 5), "hello");
  EXPECT_EQ(reader.read_now(static_cast<int32_t>(opened), 98,
                            {reinterpret_cast<uint8_t*>(got), sizeof got}),
            2);
}

}  // namespace
}  // namespace veredus::sim
