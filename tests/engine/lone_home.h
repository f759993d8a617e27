#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/exchange.h"
#include "engine/home.h"
#include "engine/io/ports.h"
#include "queue/extent.h"
#include "tests/sim/sim_disk.h"

// What a home needs around it when it is tested without an engine.
namespace veredus {

// Counts what intake would hear: all of it must be good, unless the test looks itself.
class SoundAnswers final : public Exchange::Answers {
 public:
  void answer(intake::AppendAnswer answer) override {
    EXPECT_TRUE(refusals_wanted || answer.status.ok()) << answer.status;
    if (answer.status.ok()) {
      ++count;
    } else {
      refusals.emplace_back(answer.status.message());
    }
  }
  void damage(std::string what) override { ADD_FAILURE() << what; }
  void answer_question(QuestionAnswer answer) override {
    if (auto* const of_doubt = std::get_if<InDoubtAnswer>(&answer))
      in_doubt.push_back(std::move(*of_doubt));
  }
  uint64_t count = 0;
  bool refusals_wanted = false;
  std::vector<std::string> refusals;
  std::vector<InDoubtAnswer> in_doubt;
};

class NoWake final : public io::Wake {
 public:
  void wake() override {}
};

// A home alone, life after life on the same disk.
class LoneHomeTest : public testing::Test {
 protected:
  static constexpr const char* kContent = "A: b\r\n\r\nHello\r\n";
  using Committed = absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>;

  LoneHomeTest() : storage_(1), exchange_(1, 1, 64), random_(1) {
    exchange_.set_answers(&answers_);
    exchange_.set_wake(0, &wake_);
  }
  // A new life. The batches in `committed` go on; `marks` are those of earlier lives.
  void begin(const Committed& committed = {}, std::vector<queue::AttemptMark> marks = {}) {
    home_.reset();
    shard_.policy = make_policy(settings_, nullptr);
    disk_ = std::make_unique<sim::SimDisk>(storage_);
    home_ = std::make_unique<Home>(shard_, *disk_, 0);
    absl::StatusOr<RecoveredHome> recovered = home_->recover();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    found_ = *std::move(recovered);
    home_->take_marks(std::move(marks));
    home_->resume(committed);
  }
  // What a shard does with it, in its order.
  void turn() {
    home_->load_some();
    home_->run_due();
    home_->maintain();
    home_->flush();
  }
  void run(int turns = 100, int64_t turn_ns = 10'000'000) {
    for (int i = 0; i < turns; ++i) {
      shard_.mono_ns += turn_ns;
      shard_.wall_ns += turn_ns;
      turn();
      // The disk is as fast as it gets.
      disk_->run(disk_ns_ += 1'000'000'000);
    }
  }
  void append(std::unique_ptr<AppendMessage> message) {
    message->request.token = 1;
    home_->append(std::move(message));
  }
  // All of a batch whose recipients are in `extent`.
  static std::unique_ptr<AppendMessage> whole_batch(uint64_t number, queue::ExtentWriter& extent,
                                                    std::string content) {
    auto message = std::make_unique<AppendMessage>();
    intake::AppendRequest& request = message->request;
    request.batch = request.meta_to_write.number = number;
    request.begins = true;
    request.content = std::move(content);
    queue::Commit commit;
    commit.number = number;
    commit.accepted = extent.count();
    commit.extents = 1;
    request.frames.push_back({queue::FrameType::extent, extent.finish()});
    request.frames.push_back({queue::FrameType::commit, {}});
    queue::encode_commit(commit, request.frames.back().payload);
    return message;
  }
  // A whole batch of one recipient.
  void append_batch(uint64_t number, std::string content = kContent) {
    queue::ExtentWriter extent(number, 0);
    queue::Entry entry;
    entry.to = "ada@example.org";
    ASSERT_TRUE(extent.add(entry));
    append(whole_batch(number, extent, std::move(content)));
  }
  // Bytes that nobody needs.
  void append_ballast(size_t bytes) {
    auto message = std::make_unique<AppendMessage>();
    message->request.frames.push_back({queue::FrameType::content, std::string(bytes, 'x')});
    append(std::move(message));
  }

  int64_t disk_ns_ = 0;
  EngineSettings settings_;
  sim::SimStorage storage_;
  Exchange exchange_;
  SoundAnswers answers_;
  NoWake wake_;
  io::Random random_;
  Counters counters_;
  ShardContext shard_{0,
                      1,
                      settings_,
                      exchange_,
                      random_,
                      counters_,
                      1'000'000'000,
                      1'700'000'000'000'000'000,
                      make_policy(settings_, nullptr)};
  std::unique_ptr<sim::SimDisk> disk_;
  std::unique_ptr<Home> home_;
  RecoveredHome found_;
};

}  // namespace veredus
