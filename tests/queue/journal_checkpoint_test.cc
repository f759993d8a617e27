// Which checkpoint a start begins at.

#include <gtest/gtest.h>

#include "queue/checkpoint.h"
#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

std::string begin_payload() {
  std::string payload;
  encode_checkpoint_begin({1, 2}, payload);
  return payload;
}
std::string end_payload(const CheckpointPlace& place) {
  std::string payload;
  encode_checkpoint_end(place, payload);
  return payload;
}

TEST(JournalCheckpoint, TheLastOneThatIsComplete) {
  sim::SimStorage storage(1);
  CheckpointPlace complete;
  {
    Life life(storage);
    life.open().put("first");
    complete = life.journal.append_checkpoint_begin(begin_payload());
    life.put(end_payload(complete), FrameType::checkpoint);
    life.journal.append_checkpoint_begin(begin_payload());
    life.shut();
  }
  Life next(storage);
  next.open();
  EXPECT_EQ(next.recovered->checkpoint, complete);
  next.shut();
}

// Its parts before the loss may be void: whoever writes it goes on though he was not told yet.
TEST(JournalCheckpoint, AnEndBehindALossEndsNothing) {
  for (const bool begin_is_lost : {false, true}) {
    sim::SimStorage storage(1);
    {
      Life life(storage);
      life.open().put("first");
      CheckpointPlace place;
      if (!begin_is_lost) {
        place = life.journal.append_checkpoint_begin(begin_payload());
        life.settle();
      }
      storage.faults.sync_error = 1.0;
      if (begin_is_lost) place = life.journal.append_checkpoint_begin(begin_payload());
      life.journal.append(FrameType::checkpoint, "a part");
      for (int turn = 0; turn < 100 && !life.journal.losses_untold(); ++turn) {
        life.journal.flush();
        life.disk.complete_one();
      }
      ASSERT_TRUE(life.journal.losses_untold());
      EXPECT_TRUE(life.heard.lost.empty());
      storage.faults.sync_error = 0;
      life.put(end_payload(place), FrameType::checkpoint);
      EXPECT_FALSE(life.journal.losses_untold());
      EXPECT_EQ(life.heard.lost.size(), 1u);
      life.shut();
    }
    Life next(storage);
    next.open();
    EXPECT_EQ(next.recovered->checkpoint, CheckpointPlace{}) << begin_is_lost;
    EXPECT_EQ(next.visited.payloads().front(), "first");
    next.shut();
  }
}

}  // namespace
}  // namespace veredus::queue
