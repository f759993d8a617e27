// What is read back from the journals, when it is no longer where it was.

#include "engine/store.h"

#include <optional>

#include <gtest/gtest.h>

#include "queue/journal.h"
#include "tests/sim/sim_disk.h"

namespace veredus {
namespace {

constexpr uint32_t kContentOffset = 8192;

// One recipient of batch 1 in segment 1 of journal 0; the batch's message in the segments that the
// test names.
class StoreTest : public testing::Test, protected Store::Owner {
 protected:
  StoreTest() : storage_(1), disk_(storage_), store_(disk_, *this, 1 << 20, 1 << 20) {
    queue::ExtentWriter extent(1, 0);
    queue::Entry entry;
    entry.to = "ada@example.org";
    EXPECT_TRUE(extent.add(entry));
    const std::string bytes = extent.finish();
    storage_.put(path(1), bytes);
    work_.ticket.batch = 1;
    work_.ticket.segment = 1;
    work_.ticket.page_offset = queue::kExtentHeaderBytes;
    work_.ticket.page_bytes = static_cast<uint32_t>(bytes.size()) - queue::kExtentHeaderBytes;
    work_.ticket.entry_offset = queue::kPageHeaderBytes;
    live_->batch.number = 1;
    live_->batch.content = {0, 2, kContentOffset, static_cast<uint32_t>(message_.size())};
  }
  ~StoreTest() override {
    if (done_) store_.release(work_);
  }

  static std::string path(uint32_t segment) {
    return queue::Journal::segment_path(Store::journal_directory(0), segment);
  }
  void put_message(uint32_t segment) {
    storage_.put(path(segment), std::string(kContentOffset, 'x') + message_);
  }
  void run() {
    for (int64_t at = 0; at < 1000; ++at) disk_.run(at * 1'000'000'000);
  }

  void on_work_ready(Work&) override {
    EXPECT_FALSE(done_);
    done_ = true;
  }
  void on_work_unreadable(Work&, std::string_view why) override {
    EXPECT_FALSE(done_) << why;
    done_ = true;
    unreadable_ = why;
  }
  void on_damage(const queue::Location&, const std::string&) override {}
  std::shared_ptr<const queue::LiveBatch> find_batch(uint32_t) override { return live_; }

  const std::string message_ = "A: b\r\n\r\nHello\r\n";
  sim::SimStorage storage_;
  sim::SimDisk disk_;
  std::shared_ptr<queue::LiveBatch> live_ = std::make_shared<queue::LiveBatch>();
  Work work_;
  Store store_;
  bool done_ = false;
  std::optional<std::string> unreadable_;
};

TEST_F(StoreTest, ContentIsReadWhereItWasWritten) {
  put_message(2);
  store_.fetch(work_);
  run();
  ASSERT_TRUE(done_);
  EXPECT_EQ(unreadable_, std::nullopt);
  EXPECT_EQ(work_.content->bytes, message_);
}

TEST_F(StoreTest, OrWhereItWasCarriedTo) {
  put_message(3);
  live_->content_moved(3, kContentOffset);
  store_.fetch(work_);
  run();
  ASSERT_TRUE(done_);
  EXPECT_EQ(unreadable_, std::nullopt);
  EXPECT_EQ(work_.content->bytes, message_);
}

TEST_F(StoreTest, WhoseSegmentGoesWhileItIsReadFindsItAtItsNewPlace) {
  put_message(3);
  store_.fetch(work_);
  // The page is read; the content's segment is not there any more, which is not known yet.
  while (work_.content == nullptr) disk_.complete_one();
  live_->content_moved(3, kContentOffset);
  run();
  ASSERT_TRUE(done_);
  EXPECT_EQ(unreadable_, std::nullopt);
  EXPECT_EQ(work_.content->bytes, message_);
}

TEST_F(StoreTest, WhatIsNowhereIsUnreadableOnce) {
  store_.fetch(work_);
  while (work_.content == nullptr) disk_.complete_one();
  live_->content_moved(4, kContentOffset);
  run();
  ASSERT_TRUE(done_);
  EXPECT_NE(unreadable_, std::nullopt);
}

}  // namespace
}  // namespace veredus
