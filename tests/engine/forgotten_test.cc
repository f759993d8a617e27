// What a start makes of a batch that was forgotten: it never was.

#include <gtest/gtest.h>

#include "engine/engine_core.h"
#include "engine/home.h"
#include "queue/extent.h"
#include "tests/engine/lone_home.h"
#include "tests/sim/sim_disk.h"

namespace veredus {
namespace {

// A home alone, life after life on the same disk.
class ForgottenTest : public testing::Test {
 protected:
  ForgottenTest() : storage_(1), exchange_(1, 1, 64), random_(1) {
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
    found_ = *std::move(recovered);
    home_->resume({});
    run();
  }
  void run() {
    for (int turn = 0; turn < 100; ++turn) {
      home_->flush();
      disk_->run(now_ns_ += 1'000'000'000);
    }
  }
  void append(std::unique_ptr<AppendMessage> message) {
    message->request.token = 1;
    home_->append(std::move(message));
    run();
  }
  // A whole batch of one recipient.
  void append_batch(uint64_t number) {
    auto message = std::make_unique<AppendMessage>();
    intake::AppendRequest& request = message->request;
    request.batch = request.meta_to_write.number = number;
    request.begins = true;
    request.content = "A: b\r\n\r\nHello\r\n";
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
    append(std::move(message));
  }
  std::vector<uint64_t> committed() const {
    std::vector<uint64_t> numbers;
    for (const auto& [number, known] : found_.batches) {
      if (known.committed) numbers.push_back(number);
    }
    return numbers;
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
  RecoveredHome found_;
};

TEST_F(ForgottenTest, ItsCommitCountsNoMoreAndItsNumberIsNotGivenAgain) {
  append_batch(7);
  append_batch(8);
  begin();
  EXPECT_EQ(committed(), (std::vector<uint64_t>{7, 8}));
  auto message = std::make_unique<AppendMessage>();
  message->request.frames.push_back(
      {queue::FrameType::forgotten, std::string("\x08\0\0\0\0\0\0\0", 8)});
  append(std::move(message));
  EXPECT_EQ(answers_.count, 3u) << "intake hears when it is durable";
  begin();
  EXPECT_EQ(committed(), (std::vector<uint64_t>{7}));
  EXPECT_EQ(found_.highest_batch, 8u);
  EXPECT_TRUE(found_.damage.empty());
}

}  // namespace
}  // namespace veredus
