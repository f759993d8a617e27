#include "queue/journal_epochs.h"

#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

TEST(Epochs, ALaterEpochVoidsWhatIsBehindItsCut) {
  Epochs epochs;
  EXPECT_EQ(epochs.highest(), 0u);
  EXPECT_EQ(epochs.lowest(), 1u);
  epochs.learn({1, 1, 1});
  EXPECT_FALSE(epochs.is_void(1, 1'000'000));
  epochs.learn({2, 8, 11});
  EXPECT_FALSE(epochs.is_void(1, 7));
  EXPECT_TRUE(epochs.is_void(1, 8));
  EXPECT_FALSE(epochs.is_void(2, 11));
  EXPECT_EQ(epochs.highest(), 2u);
}

TEST(Epochs, BetweenCutAndFirstNothingIsMissing) {
  Epochs epochs;
  epochs.learn({1, 1, 1});
  epochs.learn({2, 8, 11});
  EXPECT_EQ(epochs.after(6), 7u);
  EXPECT_EQ(epochs.after(7), 11u);
  EXPECT_EQ(epochs.after(11), 12u);
}

TEST(Epochs, AnEpochThatALaterOneVoidsWholeCountsNowhere) {
  Epochs epochs;
  epochs.learn({3, 8, 20});
  epochs.learn({1, 1, 1});
  epochs.learn({2, 8, 11});
  EXPECT_TRUE(epochs.is_void(2, 11));
  EXPECT_EQ(epochs.after(7), 20u);
  EXPECT_TRUE(epochs.is_void(1, 8));
}

TEST(Epochs, ALaterLowerCutVoidsAllOlderEpochs) {
  Epochs epochs;
  epochs.learn({1, 1, 1});
  epochs.learn({2, 8, 8});
  epochs.learn({4, 5, 30});
  EXPECT_TRUE(epochs.is_void(1, 5));
  EXPECT_TRUE(epochs.is_void(2, 8));
  EXPECT_TRUE(epochs.is_void(3, 5));  // an epoch of which nothing else is known
  EXPECT_FALSE(epochs.is_void(3, 4));
  EXPECT_EQ(epochs.after(4), 30u);
}

}  // namespace
}  // namespace veredus::queue
