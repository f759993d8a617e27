// limits.spool, as one home keeps to it: mail is refused in time, the rest is written all the same,
// and what is settled makes room again without a start.

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint32_t kSegment = 64 << 10;
constexpr uint64_t kBatch = 7;
constexpr uint32_t kRecipients = 100;

class SpoolLimitTest : public LoneHomeTest {
 protected:
  SpoolLimitTest() {
    settings_.journal.segment_bytes = kSegment;
    settings_.spool_bytes_max = 12 * kSegment;
    answers_.refusals_wanted = true;
  }
  // Recipients more of a batch, about 8 kB of them.
  void append_recipients(uint64_t number = kBatch) {
    auto message = std::make_unique<AppendMessage>();
    intake::AppendRequest& request = message->request;
    request.batch = request.meta_to_write.number = number;
    request.begins = next_ == 0;
    queue::ExtentWriter extent(number, next_);
    const std::string id(60, 'i');
    for (uint32_t i = 0; i < kRecipients; ++i) {
      queue::Entry entry;
      entry.index = next_++;
      entry.to = "ada@example.org";
      entry.id = id;
      ASSERT_TRUE(extent.add(entry));
    }
    request.frames.push_back({queue::FrameType::extent, extent.finish()});
    append(std::move(message));
  }
  void append_until_refused() {
    for (int i = 0; i < 500 && answers_.refusals.empty(); ++i) {
      append_recipients();
      run(5);
    }
    ASSERT_FALSE(answers_.refusals.empty());
  }
  bool taken() {
    answers_.refusals.clear();
    const uint64_t before = answers_.count;
    append_ballast(8000);
    run(5);
    EXPECT_THAT(answers_.refusals, Each(HasSubstr("limits.spool")));
    return answers_.count > before;
  }
  uint64_t file_bytes() const { return home_->journal().file_bytes(); }
  uint32_t next_ = 0;
};

TEST_F(SpoolLimitTest, MailIsRefusedBeforeTheLimitAndTakenAgainBelowIt) {
  begin();
  append_until_refused();
  EXPECT_THAT(answers_.refusals, Each(HasSubstr("limits.spool")));
  EXPECT_LE(file_bytes(), (12 - queue::kSegmentsKept) * kSegment);
  EXPECT_GT(file_bytes(), (12 - queue::kSegmentsKept - 2) * kSegment);
  EXPECT_TRUE(home_->journal().healthy());
  // All of them wait on: nothing changes, however long.
  run(300, kSecond);
  EXPECT_FALSE(taken());
  EXPECT_LE(file_bytes(), settings_.spool_bytes_max);
  // Nobody waits any more.
  home_->discard(kBatch);
  run(100, kSecond);
  EXPECT_TRUE(taken());
  EXPECT_LT(file_bytes(), 7 * kSegment);
}

// Outcomes, checkpoints and what a consumer says.
TEST_F(SpoolLimitTest, WhatBecomesOfTheMailIsWrittenAllTheSame) {
  begin();
  append_until_refused();
  answers_.refusals.clear();
  const uint64_t before = answers_.count;
  for (int i = 0; i < 3000; ++i) {
    auto message = std::make_unique<AppendMessage>();
    message->request.frames.push_back({queue::FrameType::consumer, {}});
    queue::encode_consumer({"billing", std::string(200, 'c'), i},
                           message->request.frames[0].payload);
    append(std::move(message));
    run(1);
  }
  run();
  EXPECT_EQ(answers_.count, before + 3000);
  EXPECT_THAT(answers_.refusals, IsEmpty());
  EXPECT_LE(file_bytes(), settings_.spool_bytes_max);
}

TEST_F(SpoolLimitTest, EventsThatAreKeptGiveWay) {
  settings_.events.keep_ns = 1000 * 3600 * kSecond;
  begin();
  for (int i = 0; i < 300; ++i) {
    append_ballast(8000);
    run(5);
  }
  EXPECT_THAT(answers_.refusals, IsEmpty());
  EXPECT_LE(file_bytes(), settings_.spool_bytes_max);
  EXPECT_GT(home_->events_from(), 10u);
}

TEST_F(SpoolLimitTest, AMessageLargerThanWhatIsLeftIsRefusedAtOnce) {
  begin();
  append_ballast(2 * kSegment);
  run();
  EXPECT_THAT(answers_.refusals, IsEmpty());
  append_ballast(11 * kSegment);
  run();
  ASSERT_THAT(answers_.refusals, testing::SizeIs(1));
  EXPECT_THAT(answers_.refusals[0], HasSubstr("limits.spool"));
  EXPECT_TRUE(taken());
}

TEST_F(SpoolLimitTest, AStartThatFindsMoreRefusesUntilItHasShrunk) {
  settings_.spool_bytes_max = 0;
  begin();
  while (file_bytes() < 20 * kSegment) {
    append_recipients();
    run(5);
  }
  auto commit = std::make_unique<AppendMessage>();
  commit->request.batch = kBatch;
  commit->request.frames.push_back({queue::FrameType::commit, {}});
  queue::Commit said;
  said.number = kBatch;
  said.accepted = next_;
  queue::encode_commit(said, commit->request.frames[0].payload);
  append(std::move(commit));
  run();

  settings_.spool_bytes_max = 12 * kSegment;
  const auto live = std::make_shared<queue::LiveBatch>();
  live->batch.number = kBatch;
  live->accepted = next_;
  begin({{kBatch, live}});
  EXPECT_GE(found_.file_bytes, 20 * kSegment);
  EXPECT_FALSE(taken());
  run(100, kSecond);
  EXPECT_TRUE(home_->loaded());
  EXPECT_FALSE(taken());
  // Nobody knows the batch any more: then nobody of it waits.
  begin();
  EXPECT_FALSE(taken());
  run(200, kSecond);
  EXPECT_TRUE(taken());
  EXPECT_LE(file_bytes(), settings_.spool_bytes_max);
}

// A share of less than this would never take mail again.
TEST_F(SpoolLimitTest, AShareThatIsTooSmallIsRaised) {
  settings_.spool_bytes_max = 1;
  begin();
  EXPECT_TRUE(taken());
}

}  // namespace
}  // namespace veredus
