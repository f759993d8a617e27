// What is given up while the disk is at work for it.

#include "engine/extent_reader.h"

#include <gtest/gtest.h>

#include "queue/journal.h"
#include "tests/sim/sim_disk.h"

namespace veredus {
namespace {

constexpr uint32_t kFrame = 300'000;
constexpr uint32_t kFrames = 12;

// Each frame full of its own letter.
class ExtentReaderTest : public testing::Test {
 protected:
  ExtentReaderTest() : storage_(1), disk_(storage_), reader_(disk_, "journal-0") {
    std::string bytes;
    for (uint32_t frame = 0; frame < kFrames; ++frame) bytes.append(kFrame, letter(frame));
    storage_.put(queue::Journal::segment_path("journal-0", 1), bytes);
  }
  static char letter(uint32_t frame) { return static_cast<char>('a' + frame); }
  void want(uint32_t frame) { reader_.want(frame, {0, 1, frame * kFrame, kFrame}); }
  // Takes up to so many; each must be what was wanted under its token.
  uint32_t take(uint32_t most, const std::vector<uint64_t>& expected) {
    uint32_t taken = 0;
    for (int turn = 0; turn < 200 && taken < most; ++turn) {
      ExtentReader::Got got;
      while (taken < most && reader_.next(got)) {
        EXPECT_EQ(got.token, expected.at(taken++));
        EXPECT_EQ(got.payload, std::string(kFrame, letter(static_cast<uint32_t>(got.token))));
      }
      disk_.run(now_ns_ += 1'000'000);
    }
    return taken;
  }

  int64_t now_ns_ = 0;
  sim::SimStorage storage_;
  sim::SimDisk disk_;
  ExtentReader reader_;
};

TEST_F(ExtentReaderTest, WhatWasForgottenIsNeverGiven) {
  // At any moment: nothing asked, the file being opened, read, and half taken.
  for (int turns = 0; turns < 8; ++turns) {
    for (uint32_t frame = 0; frame < kFrames; ++frame) want(frame);
    ExtentReader::Got got;
    for (int turn = 0; turn < turns; ++turn) {
      reader_.next(got);
      disk_.run(now_ns_ += 200'000);
    }
    reader_.forget_wanted();
    EXPECT_TRUE(reader_.empty());
    want(9);
    want(2);
    EXPECT_EQ(take(2, {9, 2}), 2u) << turns;
    EXPECT_FALSE(reader_.next(got));
    EXPECT_TRUE(reader_.empty());
    for (int turn = 0; turn < 20; ++turn) disk_.run(now_ns_ += 1'000'000);
    EXPECT_FALSE(reader_.busy());
  }
}

}  // namespace
}  // namespace veredus
