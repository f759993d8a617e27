// Orders in a journal: what a start finds of them, and how they are counted as events.

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/audit.h"
#include "queue/checkpoint.h"
#include "queue/ledger.h"
#include "tests/queue/journal_harness.h"
#include "tests/queue/orders_by_hand.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Filter kAcme{.tenant = "acme"};

Order ended(Order order, Order::State state, int64_t wall_ns = 1'700'000'000'000'000'005) {
  order.state = state;
  order.ended_wall_ns = wall_ns;
  return order;
}
std::string bytes_of(const Order& order) {
  std::string bytes;
  encode_order(order, bytes);
  return bytes;
}
std::string part_of(const Order& order) {
  std::string bytes;
  encode_checkpoint_order(order, bytes);
  return bytes;
}
std::string begin_of(uint64_t highest_order) {
  std::string bytes;
  encode_checkpoint_begin({5, 6, highest_order}, bytes);
  return bytes;
}

void tell(Ledger& ledger, FrameType type, const std::string& payload) {
  ledger.on_frame(type, {0, 3, 8192, static_cast<uint32_t>(payload.size())}, payload);
}

std::vector<uint64_t> numbers_of(const Ledger& ledger) {
  std::vector<uint64_t> numbers;
  for (const auto& [number, order] : ledger.orders()) numbers.push_back(number);
  return numbers;
}

TEST(LedgerOrders, TheLastWordHolds) {
  const Order cancel = order_of(7, Order::Kind::cancel, kAcme);
  const Order suspend = order_of(9, Order::Kind::suspend, kAcme);
  Ledger ledger(0);
  EXPECT_THAT(ledger.orders(), IsEmpty());
  EXPECT_EQ(ledger.highest_order(), 0u);
  tell(ledger, FrameType::order, bytes_of(suspend));
  tell(ledger, FrameType::order, bytes_of(cancel));
  EXPECT_EQ(ledger.orders(), (std::map<uint64_t, Order>{{7, cancel}, {9, suspend}}));
  EXPECT_EQ(ledger.latest_wall_ns(), cancel.given_wall_ns);
  tell(ledger, FrameType::order, bytes_of(ended(cancel, Order::State::done)));
  EXPECT_THAT(numbers_of(ledger), ElementsAre(9));
  EXPECT_EQ(ledger.latest_wall_ns(), cancel.given_wall_ns + 5);
  tell(ledger, FrameType::order, bytes_of(ended(suspend, Order::State::lifted)));
  EXPECT_THAT(ledger.orders(), IsEmpty());
  EXPECT_EQ(ledger.highest_order(), 9u);
  // It ends where it was never given, too: this journal was not reached.
  tell(ledger, FrameType::order,
       bytes_of(ended(order_of(12, Order::Kind::suspend, kAcme), Order::State::lifted)));
  EXPECT_THAT(ledger.orders(), IsEmpty());
  EXPECT_EQ(ledger.highest_order(), 12u);
  EXPECT_THAT(ledger.damage(), IsEmpty());
}

TEST(LedgerOrders, ACheckpointSaysThemAgain) {
  const Order cancel = order_of(7, Order::Kind::cancel, kAcme);
  Ledger ledger(0);
  tell(ledger, FrameType::checkpoint, begin_of(20));
  tell(ledger, FrameType::checkpoint, part_of(cancel));
  EXPECT_EQ(ledger.orders(), (std::map<uint64_t, Order>{{7, cancel}}));
  EXPECT_EQ(ledger.highest_order(), 20u) << "numbers of those that ended are not given again";
  tell(ledger, FrameType::order, bytes_of(ended(cancel, Order::State::done)));
  EXPECT_THAT(ledger.orders(), IsEmpty());
  EXPECT_THAT(ledger.damage(), IsEmpty());
}

TEST(LedgerOrders, DamagedOnesAreAnAlarmAndHoldForNobody) {
  const Order cancel = order_of(7, Order::Kind::cancel, kAcme);
  const std::string sound = bytes_of(cancel), part = part_of(cancel);
  std::string newer = sound, wider = sound;
  newer[0] = 2;
  wider += "\x28\x01x";  // a part of the filter that is not known
  struct Row {
    FrameType type;
    std::string payload;
    const char* words;
  };
  for (const Row& row : {Row{FrameType::order, "", "damaged order record"},
                         {FrameType::order, sound.substr(0, sound.size() - 3), "damaged"},
                         {FrameType::order, newer, "version 2"},
                         {FrameType::order, wider, "does not understand"},
                         {FrameType::checkpoint, part.substr(0, part.size() - 3), "damaged"},
                         {FrameType::checkpoint, "\1\x09", "damaged checkpoint"}}) {
    Ledger ledger(0);
    tell(ledger, FrameType::order, bytes_of(order_of(3, Order::Kind::suspend, kAcme)));
    tell(ledger, row.type, row.payload);
    ASSERT_THAT(ledger.damage(), SizeIs(1)) << row.words;
    EXPECT_THAT(ledger.damage().front(), HasSubstr("segment 3, byte 8192: "));
    EXPECT_THAT(ledger.damage().front(), HasSubstr(row.words));
    EXPECT_THAT(numbers_of(ledger), ElementsAre(3));
  }
}

// An audit counts recipients: orders are none of its business, and no fault.
TEST(LedgerOrders, AnAuditPassesThemOver) {
  JournalBooks books(0);
  const std::string payload = bytes_of(order_of(7, Order::Kind::cancel, kAcme));
  books.on_frame(FrameType::order, {0, 3, 8192, 0}, payload);
  EXPECT_THAT(numbers_of(books.ledger), ElementsAre(7));
  Audit audit;
  audit.add(books);
  EXPECT_THAT(audit.judge(nullptr), IsEmpty());
}

// --- in a real journal ---

void write(Life& life, const Order& order) {
  life.journal.append(FrameType::order, bytes_of(order), kEventsOfOrder);
}
CheckpointPlace begin(Life& life) {
  return life.journal.append_checkpoint_begin(begin_of(9));
}
void finish(Life& life, const CheckpointPlace& place) {
  std::string payload;
  encode_checkpoint_end(place, payload);
  life.put(payload, FrameType::checkpoint);
  life.journal.checkpoint_complete(place);
}
Ledger replayed(const Life& life) {
  Ledger ledger(0);
  for (const Visited::Frame& frame : life.visited.frames)
    ledger.on_frame(frame.type, frame.location, frame.payload);
  return ledger;
}

TEST(LedgerOrders, SurviveStartsFromACheckpoint) {
  const Order kept = order_of(4, Order::Kind::suspend, kAcme);
  const Order done = order_of(9, Order::Kind::cancel, kAcme);
  sim::SimStorage storage(1);
  {
    Life life(storage);
    life.open();
    write(life, kept);
    write(life, done);
    write(life, ended(done, Order::State::done));
    life.settle();
    EXPECT_EQ(life.journal.durable_events(), 3u) << "each is an event";
    const CheckpointPlace place = begin(life);
    EXPECT_EQ(place.events_before, 3u);
    life.put(part_of(kept), FrameType::checkpoint);
    finish(life, place);
    EXPECT_EQ(life.journal.durable_events(), 3u) << "what a checkpoint says again is none";
    life.shut();
  }
  {
    Life life(storage);
    life.open();
    EXPECT_NE(life.recovered->checkpoint.segment, 0u);
    EXPECT_EQ(life.recovered->events, 3u);
    EXPECT_EQ(life.journal.durable_events(), 3u);
    const Ledger ledger = replayed(life);
    EXPECT_EQ(ledger.orders(), (std::map<uint64_t, Order>{{4, kept}}));
    EXPECT_EQ(ledger.highest_order(), 9u);
    write(life, ended(kept, Order::State::lifted));
    life.shut();
  }
  Life last(storage);
  last.open();
  EXPECT_EQ(last.recovered->events, 4u);
  EXPECT_THAT(replayed(last).orders(), IsEmpty());
  last.shut();
}

// Whoever asked is told no, and may ask again: it must not come back.
TEST(LedgerOrders, OneThatIsLostIsNotWrittenAgainByTheJournal) {
  sim::SimStorage storage(1);
  {
    Life life(storage);
    life.open();
    write(life, order_of(1, Order::Kind::suspend, kAcme));
    life.settle();
    storage.faults.sync_error = 1.0;
    write(life, order_of(2, Order::Kind::cancel, kAcme));
    for (int turn = 0; turn < 100 && !life.journal.losses_untold(); ++turn) {
      life.journal.flush();
      life.disk.complete_one();
    }
    ASSERT_TRUE(life.journal.losses_untold());
    storage.faults.sync_error = 0;
    life.settle();
    EXPECT_THAT(life.heard.lost, SizeIs(1));
    EXPECT_EQ(life.journal.durable_events(), 1u);
    life.shut();
  }
  Life next(storage);
  next.open();
  EXPECT_THAT(numbers_of(replayed(next)), ElementsAre(1));
  EXPECT_EQ(next.recovered->events, 1u);
  next.shut();
}

}  // namespace
}  // namespace veredus::queue
