// What an operator decides about those held in doubt is told when it is durable, not before.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/in_doubt.h"
#include "tests/engine/lone_home.h"

namespace veredus {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using Action = InDoubtQuestion::Action;

constexpr uint64_t kBatch = 7;

// A batch of one recipient, who was being sent to when the process died, and is held.
class InDoubtDecidedTest : public LoneHomeTest {
 protected:
  void SetUp() override {
    settings_.in_doubt = InDoubtPolicy::hold;
    begin();
    append_batch(kBatch);
    run();
    live_->batch.number = kBatch;
    live_->accepted = 1;
    begin({{kBatch, live_}}, {{kBatch, 0, 1, 0}});
    run(1000);
    ASSERT_EQ(live_->tally.in_doubt_held.load(), 1u);
  }
  void ask(Action action) {
    InDoubtQuestion question;
    question.token = ++token_;
    question.action = action;
    question.batch = kBatch;
    home_->in_doubt_asked(question);
  }
  // Turns in which the disk does nothing.
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn();
  }
  std::shared_ptr<queue::LiveBatch> live_ = std::make_shared<queue::LiveBatch>();
  uint64_t token_ = 0;
};

TEST_F(InDoubtDecidedTest, TheAnswerComesWhenTheDecisionIsDurable) {
  ask(Action::delivered);
  turns(10);
  EXPECT_EQ(live_->tally.delivered.load(), 1u) << "decided";
  EXPECT_THAT(answers_.in_doubt, IsEmpty()) << "and not durable";
  run(10);
  ASSERT_THAT(answers_.in_doubt, SizeIs(1));
  EXPECT_EQ(answers_.in_doubt[0].done, 1u);
  EXPECT_EQ(answers_.in_doubt[0].token, 1u);
}

// A feeder that lost the answer asks again: nobody is held any more, and it must not hear that
// before the first decision is durable.
TEST_F(InDoubtDecidedTest, ASecondOneWaitsForTheFirst) {
  ask(Action::failed);
  ask(Action::failed);
  turns(10);
  EXPECT_THAT(answers_.in_doubt, IsEmpty());
  run(10);
  ASSERT_THAT(answers_.in_doubt, SizeIs(2));
  EXPECT_EQ(answers_.in_doubt[0].done, 1u);
  EXPECT_EQ(answers_.in_doubt[1].done, 0u);
  // With everything on the disk there is nothing to wait for.
  ask(Action::failed);
  turns(1);
  EXPECT_THAT(answers_.in_doubt, SizeIs(3));
}

TEST_F(InDoubtDecidedTest, AListWaitsForNothing) {
  ask(Action::retry);
  ask(Action::list);
  turns(3);
  ASSERT_THAT(answers_.in_doubt, SizeIs(1));
  EXPECT_EQ(answers_.in_doubt[0].token, 2u);
  EXPECT_THAT(answers_.in_doubt[0].items, SizeIs(1));
}

// The group with it is lost; its outcomes are written again, elsewhere.
TEST_F(InDoubtDecidedTest, WhenTheGroupIsLostItComesLater) {
  storage_.faults.sync_error = 1;
  ask(Action::delivered);
  run(300);
  EXPECT_THAT(answers_.in_doubt, IsEmpty());
  storage_.faults.sync_error = 0;
  run(1000);
  ASSERT_THAT(answers_.in_doubt, SizeIs(1));
  home_.reset();
  storage_.crash();
  const auto again = std::make_shared<queue::LiveBatch>();
  again->batch.number = kBatch;
  again->accepted = 1;
  begin({{kBatch, again}});
  run(100);
  EXPECT_EQ(again->tally.delivered.load(), 1u);
  EXPECT_EQ(again->tally.in_doubt_held.load(), 0u);
}

}  // namespace
}  // namespace veredus
