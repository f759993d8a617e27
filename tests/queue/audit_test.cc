#include "queue/audit.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/batch.h"
#include "queue/checkpoint.h"
#include "queue/extent.h"
#include "queue/outcome.h"
#include "queue/planted.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kBatch = 7;

// A journal made by hand, frame by frame.
class Hand {
 public:
  explicit Hand(uint16_t journal) : books(journal) {}

  Hand& commit(uint32_t accepted, uint64_t number = kBatch) {
    Batch batch;
    batch.number = number;
    batch.name = "b" + std::to_string(number);
    std::string payload;
    encode_batch(batch, payload);
    frame(FrameType::batch, payload);
    Commit commit;
    commit.number = number;
    commit.accepted = accepted;
    payload.clear();
    encode_commit(commit, payload);
    frame(FrameType::commit, payload);
    return *this;
  }
  Hand& extent(uint32_t first, uint32_t count, uint64_t number = kBatch) {
    ExtentWriter writer(number, first);
    for (uint32_t i = 0; i < count; ++i) {
      Entry entry;
      entry.index = first + i;
      entry.to = "a@b.test";
      EXPECT_TRUE(writer.add(entry));
    }
    frame(FrameType::extent, writer.finish());
    return *this;
  }
  Hand& outcome(uint32_t index, OutcomeType type, bool held = false) {
    Outcome outcome;
    outcome.type = type;
    outcome.batch = kBatch;
    outcome.index = index;
    outcome.attempt = 1;
    outcome.segment = 1;
    outcome.page_offset = 24;
    if (!is_final(type) && !held) outcome.next_due_wall_ns = 1;
    OutcomeWriter writer;
    writer.add(outcome);
    std::string payload;
    writer.take(payload);
    frame(FrameType::outcomes, payload);
    return *this;
  }
  Hand& delivered(uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; ++i) outcome(i, OutcomeType::delivered);
    return *this;
  }
  // All of a checkpoint by what the books say now.
  Hand& checkpoint() {
    std::string payload;
    encode_checkpoint_begin({kBatch, 1}, payload);
    frame(FrameType::checkpoint, payload);
    TalliesWriter tallies;
    for (const auto& [batch, settled] : books.ledger.tallies()) tallies.add(batch, settled);
    tallies.take(payload);
    frame(FrameType::checkpoint, payload);
    encode_checkpoint_end({1, 4096, 1, 0}, payload);
    frame(FrameType::checkpoint, payload);
    return *this;
  }
  void frame(FrameType type, const std::string& payload) {
    const Location at{books.journal(), 1, next_, static_cast<uint32_t>(payload.size())};
    books.on_frame(type, at, payload);
    next_ += 1u << 20;
  }
  JournalBooks books;

 private:
  uint32_t next_ = 4096;
};

std::vector<Account> audit(std::initializer_list<const Hand*> journals,
                           const std::set<uint64_t>* known = nullptr) {
  Audit audit;
  for (const Hand* journal : journals) {
    EXPECT_THAT(journal->books.ledger.damage(), IsEmpty());
    audit.add(journal->books);
  }
  return audit.judge(known);
}

TEST(Audit, Holds) {
  Hand first(0), second(1);
  first.commit(10).extent(0, 6).delivered(0, 3).outcome(3, OutcomeType::failed);
  first.outcome(4, OutcomeType::deferred);
  second.extent(6, 4).outcome(6, OutcomeType::in_doubt, true).outcome(7, OutcomeType::in_doubt);
  second.outcome(8, OutcomeType::expired);
  const std::vector<Account> accounts = audit({&first, &second});
  ASSERT_EQ(accounts.size(), 1u);
  const Account& account = accounts[0];
  EXPECT_THAT(account.faults, IsEmpty());
  EXPECT_EQ(account.name, "b7");
  EXPECT_EQ(account.accepted, 10u);
  EXPECT_EQ(account.delivered, 3u);
  EXPECT_EQ(account.failed, 1u);
  EXPECT_EQ(account.expired, 1u);
  EXPECT_EQ(account.in_doubt, 1u);
  EXPECT_EQ(account.waiting, 4u);  // 4, 5, 7, 9
  EXPECT_EQ(account.deferred, 2u);
  EXPECT_EQ(account.in_doubt_waiting, 1u);
}

TEST(Audit, OneMissing) {
  Hand journal(0);
  journal.commit(10).extent(0, 9).delivered(0, 9);
  const auto accounts = audit({&journal});
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_THAT(accounts[0].faults, ElementsAre("10 were accepted, 9 are accounted for: 1 missing"));
}

TEST(Audit, OneSettledTwice) {
  Hand journal(0);
  journal.commit(10).extent(0, 10).delivered(0, 10).delivered(4, 5);
  const auto accounts = audit({&journal});
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_THAT(accounts[0].faults,
              ElementsAre("10 were accepted, 11 are accounted for: 1 too many",
                          "1 counted twice: recipient 4 has a further final outcome in journal 0, "
                          "segment 1"));
}

// The sum is right; the books are not.
TEST(Audit, OneMissingBesideOneSettledTwice) {
  Hand journal(0);
  journal.commit(10).extent(0, 9).delivered(0, 9).delivered(4, 5);
  const auto accounts = audit({&journal});
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].sum(), 10u);
  EXPECT_FALSE(accounts[0].holds());
}

// The first outcome is not in the journal any more: the checkpoint does not name the recipient.
TEST(Audit, SettledBeforeTheCheckpointAndAgainBehindIt) {
  Hand journal(0);
  journal.commit(10).extent(0, 9).delivered(0, 9).checkpoint();
  Hand later(0);
  later.commit(10);
  later.checkpoint();
  TalliesWriter tallies;
  tallies.add(kBatch, journal.books.ledger.tallies().at(kBatch));
  std::string payload;
  tallies.take(payload);
  later.frame(FrameType::checkpoint, payload);
  later.delivered(4, 5);
  const auto accounts = audit({&later});
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].sum(), 10u);
  EXPECT_THAT(accounts[0].faults, ElementsAre(HasSubstr("1 counted twice: recipient 4 ")));
}

TEST(Audit, InTwoJournals) {
  Hand first(0), second(1);
  first.commit(11).extent(0, 10).delivered(0, 1);
  second.extent(0, 2).delivered(1, 2);
  const auto accounts = audit({&first, &second});
  ASSERT_EQ(accounts.size(), 1u);
  ASSERT_EQ(accounts[0].faults.size(), 2u);  // 12 of 11
  EXPECT_THAT(accounts[0].faults[1], HasSubstr("2 counted twice: recipient 1 "));
  EXPECT_THAT(accounts[0].faults[1], HasSubstr("recipient 0 "));
}

TEST(Audit, AJournalIsGone) {
  Hand first(0), second(1);
  first.commit(10).extent(0, 6).delivered(0, 6);
  second.extent(6, 4).delivered(6, 7);
  EXPECT_THAT(audit({&first}).at(0).faults, ElementsAre(HasSubstr("4 missing")));
  // With the commit in it: those who wait are not an upload's, for it has outcomes.
  const auto accounts = audit({&second});
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_THAT(accounts[0].faults, ElementsAre(HasSubstr("no journal holds its commit")));
}

TEST(Audit, UploadsAndForgottenBatchesAreNone) {
  Hand journal(0), other(1);
  journal.extent(0, 10, 8);
  journal.commit(1).extent(0, 1).delivered(0, 1);
  other.outcome(5, OutcomeType::delivered);
  journal.frame(FrameType::forgotten, std::string("\x07\0\0\0\0\0\0\0", 8));
  EXPECT_THAT(audit({&journal, &other}), IsEmpty());
}

// While an engine writes: of a batch whose commit came later nobody knows what the journals that
// were read before hold of it.
TEST(Audit, OnlyThoseKnownBefore) {
  Hand journal(0);
  journal.commit(10).extent(0, 3);
  journal.commit(2, 9).extent(0, 2, 9);
  const std::set<uint64_t> known = {9};
  const auto accounts = audit({&journal}, &known);
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].number, 9u);
  EXPECT_TRUE(accounts[0].holds());
}

TEST(Audit, MarksAndUnreadable) {
  Hand journal(0);
  journal.commit(4).extent(0, 4).outcome(0, OutcomeType::deferred).delivered(3, 4);
  Audit audit;
  audit.add(journal.books);
  // The outcome of the first is there; the third is settled; one is named twice.
  audit.add({{kBatch, 0, 1, 0}, {kBatch, 1, 1, 0}, {kBatch, 3, 1, 0}});
  audit.add({{kBatch, 1, 1, 0}});
  audit.unreadable(kBatch, 2, "why");
  const std::vector<Account> accounts = audit.judge(nullptr);
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].marked, 1u);
  EXPECT_EQ(accounts[0].unreadable, 2u);
  EXPECT_THAT(accounts[0].faults, ElementsAre("2 who wait cannot be read: why"));
}

#ifdef VEREDUS_PLANTED
struct Plant {
  explicit Plant(Planted defect) { planted = defect; }
  ~Plant() { planted = Planted::none; }
};

// What a ledger would say that adds up where it should replace.
TEST(Audit, FindsAnOutcomeThatIsCountedTwice) {
  const Plant plant(Planted::tallies_added);
  Hand journal(0);
  journal.commit(10).extent(0, 10).delivered(0, 6).checkpoint();
  EXPECT_THAT(audit({&journal}).at(0).faults, ElementsAre(HasSubstr("6 too many")));
}

TEST(Audit, FindsWhoIsCarriedAndStays) {
  const Plant plant(Planted::carried_stays);
  Hand journal(0);
  journal.commit(2).extent(0, 2);
  ExtentWriter writer(kBatch, 1);
  Entry entry;
  entry.index = 1;
  entry.to = "a@b.test";
  writer.add(entry);
  journal.frame(FrameType::extent, writer.finish(true));
  EXPECT_THAT(audit({&journal}).at(0).faults,
              ElementsAre(HasSubstr("1 too many"), HasSubstr("recipient 1 waits in")));
}
#endif

TEST(Audit, CommittedTwice) {
  Hand first(0), second(1);
  first.commit(1).extent(0, 1);
  second.commit(1);
  EXPECT_THAT(audit({&first, &second}).at(0).faults,
              ElementsAre("committed a second time, in journal 1"));
}

}  // namespace
}  // namespace veredus::queue
