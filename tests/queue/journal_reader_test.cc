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

// A disk that fails for a moment must not look like a journal without groups.
TEST(JournalReader, WhatCannotBeReadIsToldAndTriedAgainAtTheSamePlace) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  std::vector<std::string> wanted;
  for (int n = 0; n < 300; ++n) {
    wanted.push_back(std::to_string(n) + std::string(400, '.'));
    life.put(wanted.back());
  }
  const Location end = life.journal.durable_end();
  ASSERT_GT(end.segment, 2u);
  unsigned told = 0;
  for (uint64_t call = 1;; ++call) {
    Reading reading(storage);
    storage.faults.fail_call = call;
    storage.faults.fail_count = 3;  // lasts: once for all of it, once for each half
    storage.faults.fail_errno = EIO;
    const uint64_t injected = storage.faults_injected;
    std::vector<std::string> got;
    for (int tries = 0; tries < 10; ++tries) {
      for (std::string& each : reading.all(end)) got.push_back(std::move(each));
      if (reading.status.ok()) break;
      ASSERT_TRUE(absl::IsUnavailable(reading.status)) << reading.status;
      EXPECT_THAT(std::string(reading.status.message()), HasSubstr("Input/output error"));
      ++told;
    }
    ASSERT_TRUE(reading.status.ok());
    ASSERT_EQ(got, wanted) << "call " << call;
    storage.faults.fail_call = 0;
    if (storage.faults_injected == injected) break;
  }
  EXPECT_GT(told, 10u);
}

TEST(JournalReader, SaysHowManyEventsLieBeforeASegment) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open();
  for (int n = 0; n < 300; ++n) {
    life.journal.append(FrameType::outcomes, std::string(400, '.'), 3);
    life.settle();
  }
  Reading reading(storage);
  EXPECT_EQ(*reading.reader.events_before(1), 0u);
  const auto before = reading.reader.events_before(2);
  ASSERT_TRUE(before.ok());
  EXPECT_GT(*before, 0u);
  EXPECT_EQ(*before % 3, 0u);
  EXPECT_EQ(life.journal.durable_events(), 900u);
  EXPECT_TRUE(absl::IsNotFound(reading.reader.events_before(99).status()));
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
