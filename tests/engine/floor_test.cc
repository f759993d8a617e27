// What a journal holds while one recipient waits for days and all others are settled.

#include <algorithm>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

constexpr int64_t kDayNs = 86'400'000'000'000;
constexpr uint32_t kFilesMax = 4;  // with the one in which it waits

// No domain has a route, so that whoever is due fails at once.
class FloorTest : public LoneHomeTest {
 protected:
  FloorTest() {
    settings_.journal.segment_bytes = 128 << 10;
    begin();
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
    queue::ExtentWriter extent(number, 0);
    for (uint32_t index = 0; index < recipients; ++index) {
      const std::string to = "recipient" + std::to_string(index) + "@nowhere.example";
      queue::Entry entry;
      entry.index = index;
      entry.to = to;
      entry.not_before_wall_ns = not_before_wall_ns;
      EXPECT_TRUE(extent.add(entry));
    }
    const uint64_t answered = answers_.count;
    append(whole_batch(number, extent, kContent));
    while (answers_.count == answered) turn();
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = number;
    live->batch.accepted_wall_ns = shard_.wall_ns;
    live->accepted = recipients;
    live->taken_up = {shard_.mono_ns, shard_.wall_ns, shard_.wall_ns};
    home_->announce(live);
    return live;
  }

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
