// JournalOptions::bytes_max: intake keeps to it, what must be written does not.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

using testing::IsEmpty;

constexpr uint64_t kSegment = 32 << 10;

JournalOptions limited(uint64_t segments) {
  JournalOptions options = small_options();
  options.bytes_max = segments * kSegment;
  return options;
}

// As intake does it: a frame at a time, as long as there is space for it.
unsigned feed(Life& life, unsigned frames_max = 1000) {
  const std::string frame(1000, 'x');
  for (unsigned frames = 0; frames < frames_max; ++frames) {
    if (!life.journal.has_space(frame.size())) {
      life.settle();  // it may be made meanwhile
      if (!life.journal.has_space(frame.size())) return frames;
    }
    life.put(frame);
  }
  return frames_max;
}

TEST(JournalLimit, IntakeLeavesThreeSegments) {
  for (const uint64_t segments : {8, 9, 12}) {
    sim::SimStorage storage(1);
    Life life(storage, limited(segments));
    life.open().settle();
    const unsigned frames = feed(life);
    EXPECT_GT(frames, 15 * (segments - kSegmentsKept - 2));
    EXPECT_TRUE(life.journal.at_bytes_max());
    EXPECT_TRUE(life.journal.healthy());
    EXPECT_EQ(life.journal.file_bytes(), (segments - kSegmentsKept) * kSegment);
  }
}

TEST(JournalLimit, WithoutOneItGoesOn) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open().settle();
  EXPECT_EQ(feed(life, 500), 500u);
  EXPECT_FALSE(life.journal.at_bytes_max());
  EXPECT_FALSE(life.journal.beyond_bytes_max(1u << 30));
}

TEST(JournalLimit, WhatMustBeWrittenIs) {
  sim::SimStorage storage(1);
  Life life(storage, limited(8));
  life.open().settle();
  feed(life);
  for (int i = 0; i < 400; ++i) life.put(std::string(1000, 'y'));
  EXPECT_GT(life.journal.file_bytes(), 8 * kSegment);
  EXPECT_TRUE(life.journal.healthy());
  EXPECT_THAT(life.heard.lost, IsEmpty());
  EXPECT_FALSE(life.journal.has_space(10)) << "over it there is no space for the least thing";
}

TEST(JournalLimit, FilesThatGoMakeRoom) {
  sim::SimStorage storage(1);
  Life life(storage, limited(8));
  life.open().settle();
  feed(life);
  EXPECT_FALSE(life.journal.has_space(1000));
  const auto complete = life.journal.complete_segments();
  ASSERT_FALSE(complete.empty());
  for (const auto& [segment, bytes] : complete) life.journal.remove_segment(segment);
  life.settle();
  EXPECT_FALSE(life.journal.at_bytes_max());
  EXPECT_GT(feed(life), 20u);
}

TEST(JournalLimit, AGroupLargerThanASegmentIsMeasuredBeforeItIsTaken) {
  sim::SimStorage storage(1);
  Life life(storage, limited(12));
  life.open().settle();
  EXPECT_FALSE(life.journal.beyond_bytes_max(1000));
  EXPECT_FALSE(life.journal.beyond_bytes_max(3 * kSegment));
  EXPECT_TRUE(life.journal.beyond_bytes_max(8 * kSegment));
  EXPECT_FALSE(life.journal.has_space(8 * kSegment));
  EXPECT_TRUE(life.journal.has_space(1000)) << "others are taken";
}

TEST(JournalLimit, AStartThatFindsMoreTakesNothing) {
  sim::SimStorage storage(1);
  {
    Life life(storage);
    life.open().settle();
    feed(life, 400);
    life.shut();
  }
  Life life(storage, limited(8));
  life.open().settle();
  EXPECT_GT(life.journal.file_bytes(), 8 * kSegment);
  EXPECT_TRUE(life.journal.at_bytes_max());
  EXPECT_FALSE(life.journal.has_space(10));
  life.put("an outcome");
  EXPECT_THAT(life.heard.lost, IsEmpty());
}

TEST(JournalLimit, ASegmentIsEndedOnceSomethingIsInIt) {
  sim::SimStorage storage(1);
  Life life(storage);
  life.open().settle();
  const uint32_t first = life.journal.current_segment();
  life.journal.end_segment();
  EXPECT_EQ(life.journal.current_segment(), first);
  life.put("one");
  life.journal.append(FrameType::batch, "two");
  life.journal.end_segment();
  life.journal.end_segment();
  EXPECT_EQ(life.journal.current_segment(), first + 1);
  EXPECT_EQ(life.put("three").location.segment, first + 1);
  life.shut();
  Life next(storage);
  ASSERT_TRUE(next.recover().ok());
  EXPECT_EQ(next.visited.payloads(), (std::vector<std::string>{"one", "two", "three"}));
}

}  // namespace
}  // namespace veredus::queue
