// What a start makes of a batch that was forgotten: it never was.

#include <gtest/gtest.h>

#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

class ForgottenTest : public LoneHomeTest {
 protected:
  static std::shared_ptr<const queue::LiveBatch> batch(uint64_t number) {
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = number;
    live->accepted = 1;
    return live;
  }
  std::vector<uint64_t> committed() const {
    std::vector<uint64_t> numbers;
    for (const auto& [number, known] : found_.batches) {
      if (known.committed) numbers.push_back(number);
    }
    return numbers;
  }
};

TEST_F(ForgottenTest, ItsCommitCountsNoMoreAndItsNumberIsNotGivenAgain) {
  begin();
  append_batch(7);
  append_batch(8);
  run();
  begin({{7, batch(7)}, {8, batch(8)}});
  EXPECT_EQ(committed(), (std::vector<uint64_t>{7, 8}));
  auto message = std::make_unique<AppendMessage>();
  message->request.frames.push_back(
      {queue::FrameType::forgotten, std::string("\x08\0\0\0\0\0\0\0", 8)});
  append(std::move(message));
  run();
  EXPECT_EQ(answers_.count, 3u) << "intake hears when it is durable";
  begin();
  EXPECT_EQ(committed(), (std::vector<uint64_t>{7}));
  EXPECT_EQ(found_.highest_batch, 8u);
  EXPECT_TRUE(found_.damage.empty());
}

}  // namespace
}  // namespace veredus
