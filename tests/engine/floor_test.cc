// What a journal holds while one recipient waits for days and all others are settled.

#include <algorithm>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "engine/home.h"
#include "queue/extent.h"
#include "tests/engine/lone_home.h"
#include "tests/sim/sim_disk.h"

namespace veredus {
namespace {

constexpr int64_t kDayNs = 86'400'000'000'000;
constexpr uint32_t kFilesMax = 4;  // with the one in which it waits

// A home alone. No domain has a route, so that whoever is due fails at once.
class FloorTest : public testing::Test {
 protected:
  FloorTest() : storage_(1), exchange_(1, 1, 64), random_(1) {
    settings_.journal.segment_bytes = 128 << 10;
    exchange_.set_answers(&answers_);
    exchange_.set_wake(0, &wake_);
    disk_ = std::make_unique<sim::SimDisk>(storage_);
    home_ = std::make_unique<Home>(shard_, *disk_, 0);
    EXPECT_TRUE(home_->recover().ok());
    home_->resume({});
  }
  ~FloorTest() override { hear(); }

  void turn() {
    shard_.mono_ns += 1'000'000;
    shard_.wall_ns += 1'000'000;
    hear();
    home_->load_some();
    home_->run_due();
    home_->dispatch();
    home_->maintain();
    home_->flush();
    disk_->run(shard_.mono_ns);
    uint32_t files = 0;
    for (const std::string& path : storage_.paths()) files += path.find("/seg-") != path.npos;
    most_files_ = std::max(most_files_, files);
  }
  // Answers what the home asks.
  void hear() {
    for (Message* message = exchange_.mailbox(0).take(); message != nullptr;) {
      const std::unique_ptr<Message> owned(message);
      message = owned->next;
      if (owned->kind != Message::Kind::route_ask) continue;
      RouteTold told;
      told.domain_id = static_cast<const RouteAsk&>(*owned).domain_id;
      told.verdict.result = smtp::Result::never;
      home_->route_told(told);
    }
  }

  std::shared_ptr<const queue::LiveBatch> feed(uint64_t number, uint32_t recipients,
                                               int64_t not_before_wall_ns) {
    auto message = std::make_unique<AppendMessage>();
    intake::AppendRequest& request = message->request;
    request.token = 1;
    request.batch = request.meta_to_write.number = number;
    request.begins = true;
    request.content = "A: b\r\n\r\nHello\r\n";
    queue::ExtentWriter extent(number, 0);
    for (uint32_t index = 0; index < recipients; ++index) {
      const std::string to = "recipient" + std::to_string(index) + "@nowhere.example";
      queue::Entry entry;
      entry.index = index;
      entry.to = to;
      entry.not_before_wall_ns = not_before_wall_ns;
      EXPECT_TRUE(extent.add(entry));
    }
    request.frames.push_back({queue::FrameType::extent, extent.finish()});
    queue::Commit commit;
    commit.number = number;
    commit.accepted = recipients;
    commit.extents = 1;
    request.frames.push_back({queue::FrameType::commit, {}});
    queue::encode_commit(commit, request.frames.back().payload);
    const uint64_t answered = answers_.count;
    home_->append(std::move(message));
    while (answers_.count == answered) turn();
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = number;
    live->batch.accepted_wall_ns = shard_.wall_ns;
    live->accepted = recipients;
    live->taken_up = {shard_.mono_ns, shard_.wall_ns, shard_.wall_ns};
    home_->announce(live);
    return live;
  }

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
  uint32_t most_files_ = 0;
};

TEST_F(FloorTest, OneThatWaitsHoldsNoMoreThanAFewFiles) {
  const auto waits = feed(1, 1, shard_.wall_ns + 2 * kDayNs);
  for (uint64_t number = 2; number < 200; ++number) {
    const auto batch = feed(number, 500, 0);
    while (batch->tally.finals() < batch->accepted) turn();
  }
  EXPECT_GT(home_->journal().current_segment(), 20u);
  EXPECT_EQ(waits->tally.settled(), 0u);
  EXPECT_EQ(counters_.waiting.load(), 1u);
  EXPECT_LE(most_files_, kFilesMax);
}

}  // namespace
}  // namespace veredus
