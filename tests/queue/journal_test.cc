#include "queue/journal.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string bytes_at(const sim::SimStorage& storage, const Location& at) {
  return storage.get(Journal::segment_path(kDirectory, at.segment)).substr(at.offset, at.length);
}

TEST(Journal, StartsEmpty) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  EXPECT_EQ(life.recovered->epoch, 1u);
  EXPECT_EQ(life.recovered->frames, 0u);
  EXPECT_FALSE(life.journal.idle());  // segments are being made
  life.settle();
  EXPECT_TRUE(life.journal.idle());
  EXPECT_TRUE(life.journal.healthy());
  EXPECT_THAT(storage.paths(),
              ElementsAre("journal-0/seg-00000001.vrj", "journal-0/seg-00000002.vrj"));
}

TEST(Journal, FramesComeBackInOrderAtTheirLocations) {
  sim::SimStorage storage(1);
  std::vector<std::string> wanted;
  std::vector<Location> places;
  {
    Life life(storage);
    life.open();
    for (int n = 0; n < 300; ++n) {
      wanted.push_back("frame " + std::to_string(n) + std::string(static_cast<size_t>(n), 'x'));
      const std::string_view parts[] = {std::string_view(wanted.back()).substr(0, 5),
                                        std::string_view(wanted.back()).substr(5)};
      const Appended appended = life.journal.append(FrameType::content, parts);
      places.push_back(appended.location);
      if (n % 7 == 0) life.settle();
    }
    life.shut();
    for (size_t n = 0; n < wanted.size(); ++n) EXPECT_EQ(bytes_at(storage, places[n]), wanted[n]);
    EXPECT_GE(places.back().segment, 3u);
  }
  storage.crash();
  Life life(storage);
  life.open();
  ASSERT_EQ(life.visited.payloads(), wanted);
  for (size_t n = 0; n < places.size(); ++n) {
    EXPECT_EQ(life.visited.frames[n].location, places[n]);
    EXPECT_EQ(life.visited.frames[n].type, FrameType::content);
  }
  EXPECT_EQ(life.recovered->epoch, 2u);
  EXPECT_THAT(life.visited.damage, IsEmpty());
}

TEST(Journal, NothingIsDurableBeforeItsSync) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  life.settle();
  const Appended appended = life.journal.append(FrameType::batch, "a");
  life.journal.flush();
  const uint64_t syncs = storage.syncs;
  ASSERT_TRUE(life.disk.complete_one());  // write of the segment header
  ASSERT_TRUE(life.disk.complete_one());  // its sync
  ASSERT_TRUE(life.disk.complete_one());  // write of the group
  EXPECT_EQ(storage.syncs, syncs + 1);
  EXPECT_THAT(life.heard.durable, IsEmpty());
  EXPECT_EQ(life.journal.durable_sequence(), 0u);
  ASSERT_TRUE(life.disk.complete_one());  // its sync
  EXPECT_EQ(storage.syncs, syncs + 2);
  EXPECT_THAT(life.heard.durable, ElementsAre(appended.sequence));
  EXPECT_EQ(life.journal.durable_sequence(), appended.sequence);
}

TEST(Journal, WhatGathersWhileAGroupIsUnderWayIsOneGroup) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  life.put("first");
  const uint64_t syncs = storage.syncs;
  life.journal.append(FrameType::batch, "under way");
  life.journal.flush();
  for (int n = 0; n < 20; ++n) life.journal.append(FrameType::batch, "together");
  life.journal.flush();
  while (life.disk.complete_one()) {
  }
  EXPECT_TRUE(life.journal.idle());
  EXPECT_EQ(storage.syncs, syncs + 2);
}

TEST(Journal, UnflushedFramesWait) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  life.settle();
  life.journal.append(FrameType::batch, "a");
  while (life.disk.complete_one()) {
  }
  EXPECT_THAT(life.heard.durable, IsEmpty());
  EXPECT_FALSE(life.journal.idle());
}

TEST(Journal, AFrameLargerThanASegmentGetsOneOfItsOwnSize) {
  sim::SimStorage storage(2);
  std::vector<std::string> wanted = {"small", std::string(100'000, 'l'), "behind"};
  {
    Life life(storage);
    life.open();
    life.settle();  // the spare of usual size is there already
    std::vector<Location> places;
    for (const std::string& payload : wanted) {
      places.push_back(life.journal.append(FrameType::content, payload).location);
    }
    life.shut();
    EXPECT_EQ(places[0].segment, 1u);
    EXPECT_EQ(places[1].segment, 2u);
    EXPECT_GT(storage.get(Journal::segment_path(kDirectory, 2)).size(), 100'000u);
  }
  storage.crash();
  Life life(storage);
  life.open();
  EXPECT_EQ(life.visited.payloads(), wanted);
  // … also when it is the first thing ever written.
  life.journal.append(FrameType::content, std::string(70'000, 'f'));
  life.shut();
  Life next(storage);
  next.open();
  EXPECT_THAT(next.visited.frames, SizeIs(4));
}

TEST(Journal, BackPressureBeginsAtTheBound) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  life.settle();
  EXPECT_TRUE(life.journal.has_room());
  for (int n = 0; n < 64; ++n) life.journal.append(FrameType::content, std::string(1024, 'x'));
  EXPECT_FALSE(life.journal.has_room());
  life.settle();
  EXPECT_TRUE(life.journal.has_room());
}

TEST(Journal, TheBoundDoesNotDriftOverManyGroups) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  for (int n = 0; n < 500; ++n) life.put("x");
  for (int n = 0; n < 63; ++n) life.journal.append(FrameType::content, std::string(1000, 'x'));
  EXPECT_TRUE(life.journal.has_room());
  for (int n = 0; n < 3; ++n) life.journal.append(FrameType::content, std::string(1000, 'x'));
  EXPECT_FALSE(life.journal.has_room());
}

TEST(Journal, ShortWritesAreContinued) {
  sim::SimStorage storage(3);
  storage.faults.write_short = 0.9;
  std::vector<std::string> wanted;
  {
    Life life(storage);
    life.open();
    for (int n = 0; n < 50; ++n) {
      wanted.push_back(std::string(static_cast<size_t>(n) * 20, 's'));
      life.put(wanted.back());
    }
    EXPECT_THAT(life.heard.lost, IsEmpty());
  }
  storage.crash();
  Life life(storage);
  life.open();
  EXPECT_EQ(life.visited.payloads(), wanted);
}

// --- faults ---

// Lets the disk work until it has failed once more.
void work_until_failure(Life& life, double write_error, double sync_error) {
  life.storage.faults.write_error = write_error;
  life.storage.faults.sync_error = sync_error;
  const uint64_t injected = life.storage.faults_injected;
  while (life.storage.faults_injected == injected) ASSERT_TRUE(life.disk.complete_one());
  life.storage.faults.write_error = life.storage.faults.sync_error = 0;
}

class JournalFailure : public testing::TestWithParam<bool> {
 protected:
  double write_error() const { return GetParam() ? 1 : 0; }
  double sync_error() const { return GetParam() ? 0 : 1; }
};
INSTANTIATE_TEST_SUITE_P(WriteOrSync, JournalFailure, testing::Bool());

TEST_P(JournalFailure, SealsTheFileAndCarriesOutcomesOn) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    sim::SimStorage storage(seed);
    {
      Life life(storage);
      life.open();
      life.put("durable");
      const Appended under_way = life.journal.append(FrameType::batch, "refused");
      life.journal.append(FrameType::outcomes, "outcome under way");
      life.journal.flush();
      const Appended gathered = life.journal.append(FrameType::batch, "refused, too");
      life.journal.append(FrameType::outcomes, "outcome gathered");
      work_until_failure(life, write_error(), sync_error());
      life.put("afterwards");
      EXPECT_THAT(life.heard.lost, ElementsAre(under_way.sequence, gathered.sequence));
      EXPECT_THAT(life.heard.why, HasSubstr("Input/output error"));
      EXPECT_GT(life.journal.durable_sequence(), gathered.sequence);
      EXPECT_GT(life.journal.durable_end().segment, under_way.location.segment);
      life.shut();
    }
    for (int crashes = 0; crashes < 3; ++crashes) {
      storage.crash();
      Life life(storage);
      life.open();
      EXPECT_THAT(life.visited.payloads(),
                  ElementsAre("durable", "outcome under way", "outcome gathered", "afterwards"));
      EXPECT_THAT(life.visited.damage, IsEmpty());
    }
  }
}

TEST_P(JournalFailure, LossIsToldOnlyWhenItIsDurablyVoid) {
  sim::SimStorage storage(7);
  Life life(storage);
  life.open();
  life.put("durable");
  life.journal.append(FrameType::batch, "refused");
  life.journal.flush();
  work_until_failure(life, write_error(), sync_error());
  EXPECT_THAT(life.heard.lost, IsEmpty());
  const uint64_t syncs = storage.syncs;
  while (life.heard.lost.empty()) ASSERT_TRUE(life.disk.complete_one());
  EXPECT_EQ(storage.syncs, syncs + 1);  // of the next segment's header
}

TEST_P(JournalFailure, ADiskThatTakesNoGroupIsNotFilledWithDeadFiles) {
  sim::SimStorage storage(8);
  Life life(storage);
  life.open();
  life.put("durable");
  life.journal.append(FrameType::outcomes, "kept");
  // Headers succeed, groups fail: a loss is told when the next header is durable.
  bool fails = true;
  uint64_t injected = 0, losses = 0;
  for (int step = 0; step < 20'000; ++step) {
    storage.faults.write_error = fails ? write_error() : 0;
    storage.faults.sync_error = fails ? sync_error() : 0;
    life.journal.flush();
    life.disk.complete_one();
    if (storage.faults_injected > injected) fails = false;
    if (life.heard.lost.size() > losses) fails = true;
    injected = storage.faults_injected;
    losses = life.heard.lost.size();
    ASSERT_LE(storage.paths().size(), 5u);
  }
  EXPECT_GE(losses, 20u);
  EXPECT_LE(losses, 700u);  // with pauses between
  storage.faults.write_error = storage.faults.sync_error = 0;
  life.put("again", FrameType::outcomes);
  EXPECT_TRUE(life.journal.healthy());
  life.shut();
  Life next(storage);
  next.open();
  EXPECT_THAT(next.visited.payloads(), ElementsAre("durable", "kept", "again"));
  EXPECT_THAT(next.visited.damage, IsEmpty());
}

TEST_P(JournalFailure, IsHealthyAgainWhenAGroupIsDurable) {
  sim::SimStorage storage(11);
  Life life(storage);
  life.open();
  life.settle();
  // The very first group of a segment fails; the spare takes the next one.
  life.journal.append(FrameType::outcomes, "kept");
  life.journal.flush();
  ASSERT_TRUE(life.disk.complete_one());  // the header's write
  ASSERT_TRUE(life.disk.complete_one());  // … and sync
  work_until_failure(life, write_error(), sync_error());
  EXPECT_FALSE(life.journal.healthy());
  life.settle();
  EXPECT_THAT(life.heard.durable, SizeIs(1));
  EXPECT_TRUE(life.journal.healthy());
}

TEST(Journal, WithoutRoomForASegmentItKeepsTheOutcomesAndGoesOnLater) {
  sim::SimStorage storage(9);
  Life life(storage);
  life.open();
  life.put("durable");
  storage.faults.capacity_bytes = 0;
  std::vector<std::string> wanted = {"durable"};
  for (int n = 0; n < 200; ++n) {
    wanted.push_back("outcome " + std::to_string(n) + std::string(500, 'o'));
    life.journal.append(FrameType::outcomes, wanted.back());
    life.journal.flush();
    while (life.disk.complete_one()) {
    }
  }
  EXPECT_FALSE(life.journal.healthy());
  EXPECT_FALSE(life.journal.idle());
  EXPECT_FALSE(life.journal.has_room());
  EXPECT_THAT(life.heard.lost, IsEmpty());
  storage.faults.capacity_bytes = UINT64_MAX;
  life.settle();
  EXPECT_TRUE(life.journal.healthy());
  EXPECT_TRUE(life.journal.has_room());
  storage.crash();
  Life next(storage);
  next.open();
  EXPECT_EQ(next.visited.payloads(), wanted);
}

TEST(Journal, TriesAtMakingASegmentBecomeRarer) {
  sim::SimStorage storage(10);
  storage.faults.create_full = 1;
  Life life(storage);
  life.open();
  const uint64_t before = storage.calls;
  for (int turn = 0; turn < 10'000; ++turn) {
    life.journal.flush();
    while (life.disk.complete_one()) {
    }
  }
  EXPECT_GE(storage.calls - before, 20u);
  EXPECT_LE(storage.calls - before, 200u);
  EXPECT_FALSE(life.journal.healthy());
}

TEST(Journal, AHeaderThatCannotBeWrittenCostsNothing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    sim::SimStorage storage(seed);
    Life life(storage);
    life.open();
    life.settle();
    const Appended appended = life.journal.append(FrameType::batch, "kept");
    storage.faults.write_error = seed % 2 == 0 ? 1 : 0;
    storage.faults.sync_error = seed % 2 == 0 ? 0 : 1;
    life.journal.flush();
    const uint64_t injected = storage.faults_injected;
    while (storage.faults_injected == injected) ASSERT_TRUE(life.disk.complete_one());
    EXPECT_FALSE(life.journal.healthy());
    storage.faults.write_error = storage.faults.sync_error = 0;
    life.shut();
    EXPECT_TRUE(life.journal.healthy());
    EXPECT_THAT(life.heard.lost, IsEmpty());
    EXPECT_THAT(life.heard.durable, ElementsAre(appended.sequence));
    EXPECT_EQ(bytes_at(storage, appended.location), "kept");
  }
}

// Every single call of the disk fails once, and lastingly; nothing durable is lost, and it ends.
TEST(Journal, NthFailureLoop) {
  for (const uint64_t count : {uint64_t{1}, uint64_t{5}}) {
    for (const int error : {EIO, ENOSPC}) {
      bool untouched = false;
      for (uint64_t call = 1; !untouched; ++call) {
        ASSERT_LT(call, 500u);
        sim::SimStorage storage(call);
        storage.faults.fail_call = call;
        storage.faults.fail_count = count;
        storage.faults.fail_errno = error;
        std::map<std::string, uint64_t> waiting;
        std::vector<std::string> durable;
        {
          Life life(storage);
          if (!life.recover().ok()) continue;
          life.journal.start();
          for (int n = 0; n < 60; ++n) {
            const std::string payload = std::to_string(n) + std::string(700, 'p');
            waiting[payload] = life.journal.append(FrameType::batch, payload).sequence;
            if (n % 3 == 0) life.settle();
          }
          life.shut();
          for (const auto& [payload, sequence] : waiting) {
            const auto& lost = life.heard.lost;
            if (std::find(lost.begin(), lost.end(), sequence) == lost.end()) {
              durable.push_back(payload);
            }
          }
          untouched = storage.faults_injected == 0;
          storage.faults.fail_call = 0;
        }
        storage.crash();
        Life life(storage);
        life.open();
        std::vector<std::string> got = life.visited.payloads();
        std::sort(got.begin(), got.end());
        EXPECT_EQ(got, durable) << "call " << call;
        EXPECT_THAT(life.visited.damage, IsEmpty());
      }
    }
  }
}

TEST(Journal, WhatRecoveryReadsItMakesDurable) {
  bool seen = false;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    sim::SimStorage storage(seed);
    {
      Life life(storage);
      life.open();
      life.put("durable");
      life.journal.append(FrameType::batch, "written, not synced");
      life.journal.flush();
      life.disk.complete_one();
      storage.kill();
    }
    std::vector<std::string> read;
    {
      Life life(storage);
      ASSERT_TRUE(life.recover().ok());
      read = life.visited.payloads();
      storage.crash();  // the power goes before the journal has written anything
    }
    seen |= read.size() == 2;
    Life life(storage);
    life.open();
    EXPECT_EQ(life.visited.payloads(), read);
  }
  EXPECT_TRUE(seen);
}

TEST(Journal, RecoveryFailsWhenWhatItReadCannotBeMadeDurable) {
  sim::SimStorage storage(1);
  {
    Life life(storage);
    life.open();
    life.put("a");
    life.shut();
  }
  // The last blocking calls of a recovery are the syncs.
  bool named = false;
  for (uint64_t call = 1; call < 100; ++call) {
    storage.faults.fail_call = call;
    storage.faults.fail_count = 1;
    Life life(storage);
    const auto recovered = life.recover();
    if (!recovered.ok()) {
      named |= std::string(recovered.status().message()).find("cannot be made durable") !=
               std::string::npos;
    }
  }
  EXPECT_TRUE(named);
}

}  // namespace
}  // namespace veredus::queue
