// While a start still loads no checkpoint can begin: what the next start has to replay is bounded
// all the same.

#include <gtest/gtest.h>

#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

// It loads when it is told to.
class SlowStartTest : public LoneHomeTest {
 protected:
  SlowStartTest() {
    settings_.journal.segment_bytes = 32u << 10;
    settings_.journal.group_bytes = 4u << 10;
    begin();
  }
  void begin() {
    LoneHomeTest::begin(committed_);
    run();
  }
  void run() {
    for (int turn = 0; turn < 100; ++turn) {
      home_->flush();
      disk_->run(disk_ns_ += 1'000'000'000);
    }
  }
  // About 11 KB of the journal.
  void append_batch(uint64_t number) {
    LoneHomeTest::append_batch(number, std::string(10'000, 'x'));
    run();
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = number;
    live->accepted = 1;
    committed_.emplace(number, std::move(live));
  }

  Committed committed_;
};

TEST_F(SlowStartTest, MailWaitsUntilAllIsLoadedOnceThereIsEnoughToReplay) {
  uint64_t number = 1;
  append_batch(number++);
  EXPECT_FALSE(home_->replay_is_full()) << "nothing is to be loaded";
  begin();
  ASSERT_FALSE(home_->loaded());
  while (!home_->replay_is_full() && number < 100) append_batch(number++);
  EXPECT_GT(number, 5u) << "three segments";
  EXPECT_LT(number, 15u);
  const uint64_t before = answers_.count;
  EXPECT_EQ(before, number - 1) << "all so far were acknowledged";
  append_batch(number++);
  EXPECT_EQ(answers_.count, before);

  while (!home_->loaded()) {
    home_->load_some();
    run();
  }
  EXPECT_EQ(answers_.count, before + 1) << "what waited is written now";
  append_batch(number++);
  EXPECT_EQ(answers_.count, before + 2);
}

// The same at the next start, which finds as much.
TEST_F(SlowStartTest, WhatAStartFoundCounts) {
  for (uint64_t number = 1; number <= 12; ++number) append_batch(number);
  EXPECT_FALSE(home_->replay_is_full());
  begin();
  EXPECT_TRUE(home_->replay_is_full());
  const uint64_t before = answers_.count;
  append_batch(13);
  EXPECT_EQ(answers_.count, before);
}

}  // namespace
}  // namespace veredus
