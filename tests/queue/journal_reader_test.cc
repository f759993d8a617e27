#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Reading {
  explicit Reading(sim::SimStorage& storage) : disk(storage), reader(disk, 0, kDirectory) {}
  // Everything from the position to the end; stops at the first error.
  std::vector<std::string> all(const Location& end) {
    std::vector<std::string> got;
    while (true) {
      FrameType type{};
      std::string_view payload;
      const auto more = reader.next(position, end, type, location, payload);
      status = more.status();
      if (!more.ok() || !*more) return got;
      got.emplace_back(payload);
    }
  }
  sim::SimDisk disk;
  JournalReader reader;
  JournalReader::Position position;
  Location location;
  absl::Status status;
};

TEST(JournalReader, ReadsWhatIsDurableAndGoesOnWhenMoreIs) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  Reading reading(storage);
  EXPECT_THAT(reading.all(life.journal.durable_end()), IsEmpty());
  life.journal.append(FrameType::batch, "a");
  life.journal.append(FrameType::batch, "b");
  EXPECT_THAT(reading.all(life.journal.durable_end()), IsEmpty());
  life.settle();
  EXPECT_THAT(reading.all(life.journal.durable_end()), ElementsAre("a", "b"));
  EXPECT_THAT(reading.all(life.journal.durable_end()), IsEmpty());
  life.put("c");
  EXPECT_THAT(reading.all(life.journal.durable_end()), ElementsAre("c"));
  EXPECT_TRUE(reading.status.ok());
}

TEST(JournalReader, GoesThroughManySegments) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  Reading early(storage);
  std::vector<std::string> wanted, early_got;
  for (int n = 0; n < 400; ++n) {
    wanted.push_back(std::to_string(n) + std::string(400, '.'));
    life.journal.append(FrameType::batch, wanted.back());
    if (n % 5 == 0) life.settle();
    if (n % 50 == 0) {
      for (std::string& each : early.all(life.journal.durable_end())) early_got.push_back(each);
    }
  }
  life.settle();
  for (std::string& each : early.all(life.journal.durable_end())) early_got.push_back(each);
  EXPECT_EQ(early_got, wanted);
  Reading late(storage);
  EXPECT_EQ(late.all(life.journal.durable_end()), wanted);
  EXPECT_GT(late.position.segment, 4u);
}

TEST(JournalReader, APositionIsGoodForAnotherReader) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  for (int n = 0; n < 10; ++n) life.journal.append(FrameType::batch, std::to_string(n));
  life.put("last");
  Reading first(storage);
  FrameType type{};
  std::string_view payload;
  for (int n = 0; n < 4; ++n) {
    ASSERT_TRUE(*first.reader.next(first.position, life.journal.durable_end(), type, first.location,
                                   payload));
  }
  EXPECT_EQ(payload, "3");
  Reading second(storage);
  second.position = first.position;
  EXPECT_THAT(second.all(life.journal.durable_end()),
              ElementsAre("4", "5", "6", "7", "8", "9", "last"));
}

TEST(JournalReader, GroupsThatDoNotCountArePassedOver) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 0, {"void"}).put(storage);
  Image(2, {2, 2, 5}, 5, 1).group(5, 1, {"b"}).put(storage);
  Reading reading(storage);
  EXPECT_THAT(reading.all({0, 2, 32768, 0}), ElementsAre("a", "b"));
  EXPECT_TRUE(reading.status.ok()) << reading.status;
}

TEST(JournalReader, DamageIsToldAndReadBehind) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).group(3, 2, {"c"}).flip(2, 81).put(storage);
  Reading reading(storage);
  EXPECT_THAT(reading.all({0, 1, 32768, 0}), ElementsAre("a"));
  EXPECT_TRUE(absl::IsDataLoss(reading.status));
  EXPECT_THAT(std::string(reading.status.message()), HasSubstr("groups from 2 to 2"));
  EXPECT_THAT(reading.all({0, 1, 32768, 0}), ElementsAre("c"));
  EXPECT_TRUE(reading.status.ok());
}

TEST(JournalReader, AReclaimedSegmentIsPassedOver) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).put(storage);
  Image(3, {1, 1, 1}, 3, 2).group(3, 2, {"c"}).put(storage);
  Reading reading(storage);
  reading.position = {2, 0, 0};
  EXPECT_THAT(reading.all({0, 3, 32768, 0}), ElementsAre("c"));
}

TEST(JournalReader, ReadsAtALocation) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  const Location at = life.put("somewhere").location;
  Reading reading(storage);
  std::string out;
  ASSERT_TRUE(reading.reader.read(at, out).ok());
  EXPECT_EQ(out, "somewhere");
  Location behind = at;
  behind.offset = 60'000;
  EXPECT_TRUE(absl::IsDataLoss(reading.reader.read(behind, out)));
  behind.segment = 99;
  EXPECT_FALSE(reading.reader.read(behind, out).ok());
  storage.faults.fail_call = 2;
  storage.faults.fail_count = 2;
  storage.faults.fail_errno = EIO;
  EXPECT_THAT(std::string(reading.reader.read(at, out).message()), HasSubstr("Input/output error"));
}

}  // namespace
}  // namespace veredus::queue
