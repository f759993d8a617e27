// How long segments are kept for readers of events: by time, by size, for consumers, and until the
// disk is full. A home alone, whose journal is filled with what nobody needs.

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

using testing::IsEmpty;

constexpr int64_t kMs = 1'000'000, kSecond = 1000 * kMs, kHour = 3600 * kSecond;
constexpr uint32_t kSegment = 64 << 10;

class EventsKeptTest : public LoneHomeTest {
 protected:
  EventsKeptTest() {
    settings_.journal.segment_bytes = kSegment;
    settings_.events.keep_ns = 1000 * kHour;
    settings_.events.keep_bytes = 0;
  }
  // So many segments more, with the checkpoints that come with them.
  void fill(unsigned segments) {
    const uint32_t until = home_->journal().current_segment() + segments;
    while (home_->journal().current_segment() < until) {
      append_ballast(8000);
      run(3);
    }
    run(20);
  }
  // The first file that is still there; all behind it must be. (A start passes over a number, that
  // of the file which was made ahead.)
  uint32_t first_file() const {
    std::vector<uint32_t> numbers;
    for (const std::string& path : storage_.paths()) {
      if (path.ends_with(".vrj"))
        numbers.push_back(static_cast<uint32_t>(std::stoul(path.substr(path.rfind('-') + 1))));
    }
    for (size_t i = 1; i < numbers.size(); ++i) EXPECT_LE(numbers[i], numbers[i - 1] + 1 + starts_);
    return numbers.empty() ? 0 : numbers.front();
  }
  uint32_t current() const { return home_->journal().current_segment(); }
  uint32_t starts_ = 0;  // after the first
};

TEST_F(EventsKeptTest, WhatAStartNeedsIsAllThatIsKeptWithoutATime) {
  settings_.events.keep_ns = 0;
  begin();
  fill(8);
  EXPECT_EQ(home_->events_from(), home_->journal().checkpoint_segment());
  EXPECT_GT(first_file(), 4u);
  EXPECT_LE(first_file(), home_->events_from());
}

TEST_F(EventsKeptTest, UntilTheirTimeIsOver) {
  settings_.events.keep_ns = kHour;
  begin();
  fill(6);
  EXPECT_EQ(first_file(), 1u);
  EXPECT_EQ(home_->events_from(), 1u);
  run(20, 2 * kHour / 20);
  const uint32_t then = home_->events_from();
  EXPECT_EQ(then, home_->journal().checkpoint_segment());
  EXPECT_EQ(first_file(), home_->journal().needed_from());
  // It counts from when a segment was complete: the one in use then is not yet over.
  const uint32_t open = current();
  fill(4);
  run(20, kHour / 40);
  EXPECT_EQ(home_->events_from(), open);
  EXPECT_EQ(first_file(), open);
}

TEST_F(EventsKeptTest, UpToTheirSize) {
  settings_.events.keep_bytes = 4 * kSegment;
  begin();
  fill(4);
  EXPECT_EQ(first_file(), 1u);
  fill(8);
  EXPECT_EQ(home_->events_from(), current() - 4);
  EXPECT_EQ(first_file(), current() - 4);
}

TEST_F(EventsKeptTest, AStartCountsFromItselfOn) {
  settings_.events.keep_ns = kHour;
  begin();
  fill(6);
  run(1, kHour / 2);
  begin();
  ++starts_;
  EXPECT_EQ(home_->events_from(), 1u);
  run(20, kHour / 40);
  EXPECT_EQ(first_file(), 1u);
  fill(3);
  run(20, kHour / 20);
  EXPECT_GT(first_file(), 1u);
}

TEST_F(EventsKeptTest, LongerForAConsumerAndNotForEver) {
  settings_.events.keep_ns = 0;
  settings_.events.consumers_keep_ns = 10 * kHour;
  begin();
  exchange_.hold_events(0, 3);
  fill(8);
  EXPECT_EQ(home_->events_from(), 3u);
  EXPECT_EQ(first_file(), 3u);
  exchange_.hold_events(0, 5);
  run(20);
  EXPECT_EQ(first_file(), 5u);
  run(20, kHour);
  EXPECT_EQ(first_file(), home_->journal().needed_from());
}

// Whole segments of the disk: what is kept goes, from its oldest end, and nobody is refused.
TEST_F(EventsKeptTest, TheyYieldWhenTheDiskIsFull) {
  storage_.faults.capacity_bytes = 8 * kSegment;
  begin();
  fill(40);
  EXPECT_THAT(answers_.refusals, IsEmpty());
  EXPECT_GT(first_file(), 30u);
  EXPECT_TRUE(home_->journal().healthy() || home_->makes_room());
  EXPECT_LE(home_->events_from(), home_->journal().needed_from());
}

// … unless a consumer has not come so far: new mail is refused then, until it has.
TEST_F(EventsKeptTest, WhatAConsumerWaitsForDoesNotYield) {
  storage_.faults.capacity_bytes = 8 * kSegment;
  answers_.refusals_wanted = true;
  begin();
  exchange_.hold_events(0, 2);
  for (int i = 0; i < 80; ++i) {
    append_ballast(8000);
    run(10);
  }
  run(1000);
  EXPECT_FALSE(answers_.refusals.empty());
  EXPECT_EQ(home_->events_from(), 2u);
  EXPECT_FALSE(home_->makes_room());
  exchange_.hold_events(0, UINT32_MAX);
  run(200);
  answers_.refusals.clear();
  fill(10);
  EXPECT_THAT(answers_.refusals, IsEmpty());
}

}  // namespace
}  // namespace veredus
