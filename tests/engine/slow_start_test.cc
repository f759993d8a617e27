// While a start still loads no checkpoint can begin: what the next start has to replay is bounded
// all the same.

#include <gtest/gtest.h>

#include "engine/engine_core.h"
#include "engine/home.h"
#include "queue/extent.h"
#include "tests/engine/lone_home.h"
#include "tests/sim/sim_disk.h"

namespace veredus {
namespace {

// A home alone. It loads when it is told to.
class SlowStartTest : public testing::Test {
 protected:
  SlowStartTest() : storage_(1), exchange_(1, 1, 64), random_(1) {
    settings_.journal.segment_bytes = 32u << 10;
    settings_.journal.group_bytes = 4u << 10;
    exchange_.set_answers(&answers_);
    exchange_.set_wake(0, &wake_);
    begin();
  }
  void begin() {
    home_.reset();
    disk_ = std::make_unique<sim::SimDisk>(storage_);
    home_ = std::make_unique<Home>(shard_, *disk_, 0);
    absl::StatusOr<RecoveredHome> recovered = home_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EngineCore::Committed committed;
    for (const auto& [number, known] : recovered->batches) {
      auto live = std::make_shared<queue::LiveBatch>();
      live->batch = known.batch;
      live->accepted = known.commit.accepted;
      committed.emplace(number, std::move(live));
    }
    home_->resume(committed);
    run();
  }
  void run() {
    for (int turn = 0; turn < 100; ++turn) {
      home_->flush();
      disk_->run(now_ns_ += 1'000'000'000);
    }
  }
  // A whole batch of one recipient, about 11 KB of the journal.
  void append_batch(uint64_t number) {
    auto message = std::make_unique<AppendMessage>();
    intake::AppendRequest& request = message->request;
    request.token = request.batch = request.meta_to_write.number = number;
    request.begins = true;
    request.content = std::string(10'000, 'x');
    queue::ExtentWriter extent(number, 0);
    queue::Entry entry;
    entry.to = "ada@example.org";
    ASSERT_TRUE(extent.add(entry));
    request.frames.push_back({queue::FrameType::extent, extent.finish()});
    queue::Commit commit;
    commit.number = number;
    commit.accepted = commit.extents = 1;
    request.frames.push_back({queue::FrameType::commit, {}});
    queue::encode_commit(commit, request.frames.back().payload);
    home_->append(std::move(message));
    run();
  }

  int64_t now_ns_ = 0;  // as the disk has it
  EngineSettings settings_;
  sim::SimStorage storage_;
  Exchange exchange_;
  SoundAnswers answers_;
  NoWake wake_;
  io::Random random_;
  Counters counters_;
  ShardContext shard_{0,       1,         settings_,     exchange_,
                      random_, counters_, 1'000'000'000, 1'700'000'000'000'000'000};
  std::unique_ptr<sim::SimDisk> disk_;
  std::unique_ptr<Home> home_;
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
