// What the frames of a journal come to, frame by frame.

#include "queue/ledger.h"

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/queue/ledger_frames.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint16_t kJournal = 3;
constexpr uint64_t kBatch = 7;
constexpr int64_t kDue = 5'000'000;

struct Waits {
  uint64_t batch;
  uint32_t index;
  uint32_t segment;
  WaitingState state;
  bool operator==(const Waits&) const = default;
};

class LedgerTest : public testing::Test {
 protected:
  Location frame(FrameType type, const std::string& payload) {
    const Location at{kJournal, segment_, offset_, static_cast<uint32_t>(payload.size())};
    ledger_->on_frame(type, at, payload);
    offset_ += 1u << 20;
    return at;
  }
  Location extent(uint32_t first_index, const std::vector<uint32_t>& indexes, bool carried = false,
                  uint64_t batch = kBatch) {
    return frame(FrameType::extent, extent_payload(batch, first_index, indexes, carried));
  }
  void outcomes(const std::vector<Outcome>& all) {
    frame(FrameType::outcomes, outcomes_payload(all));
  }
  std::vector<Waits> waits() const {
    std::vector<Waits> all;
    for (const auto& [place, run] : ledger_->runs()) {
      uint32_t live = 0;
      for (uint32_t ordinal = 0; ordinal < run.waits.size() * 64; ++ordinal) {
        if (!run.has(ordinal)) continue;
        ++live;
        all.push_back({run.extent.batch, run.extent.first_index + ordinal, run.extent.at.segment,
                       run.state(ordinal)});
      }
      EXPECT_EQ(live, run.live);
      EXPECT_GT(live, 0u) << "a run goes with its last recipient";
      EXPECT_EQ(place, uint64_t{run.extent.at.segment} << 32 | run.extent.at.offset);
    }
    return all;
  }

  std::optional<Ledger> ledger_{kJournal};
  uint32_t segment_ = 1, offset_ = 4096;
};

TEST_F(LedgerTest, WhoIsInAnExtentWaits) {
  const Location at = extent(100, {100, 101, 163, 164, 300});
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 100, 1, {}}, Waits{kBatch, 101, 1, {}},
                                   Waits{kBatch, 163, 1, {}}, Waits{kBatch, 164, 1, {}},
                                   Waits{kBatch, 300, 1, {}}));
  EXPECT_EQ(ledger_->runs().begin()->second.extent.at, at);
  EXPECT_TRUE(ledger_->waits(kBatch, 163, at));
  for (const uint32_t index : {0u, 99u, 102u, 301u, UINT32_MAX})
    EXPECT_FALSE(ledger_->waits(kBatch, index, at)) << index;
  EXPECT_FALSE(ledger_->waits(kBatch + 1, 163, at));
  EXPECT_EQ(ledger_->highest_batch(), kBatch);
}

TEST_F(LedgerTest, WhatAnOutcomeMakesOfWhoWaits) {
  struct Row {
    OutcomeType type;
    uint16_t attempt;
    int64_t next_due_ns;
    bool waits;
    WaitingState state;
  };
  const Row rows[] = {
      {OutcomeType::delivered, 1, 0, false, {}},
      {OutcomeType::failed, 1, 0, false, {}},
      {OutcomeType::expired, 0, 0, false, {}},
      {OutcomeType::cancelled, 0, 0, false, {}},
      {OutcomeType::suppressed, 0, 0, false, {}},
      {OutcomeType::deferred, 1, kDue, true, {kDue, 1, false, false}},
      {OutcomeType::deferred, 255, kDue, true, {kDue, 255, false, false}},
      {OutcomeType::deferred, 256, kDue, true, {kDue, 255, false, false}},
      {OutcomeType::deferred, UINT16_MAX, kDue, true, {kDue, 255, false, false}},
      {OutcomeType::in_doubt, 2, kDue, true, {kDue, 2, true, false}},
      {OutcomeType::in_doubt, 2, 0, true, {0, 2, true, true}},
  };
  for (const Row& row : rows) {
    ledger_.emplace(kJournal);
    const Location at = extent(0, {0, 1});
    outcomes({outcome_of(row.type, kBatch, 0, at, row.attempt, row.next_due_ns)});
    const std::string what =
        std::to_string(static_cast<int>(row.type)) + " " + std::to_string(row.attempt);
    if (row.waits) {
      EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 0, 1, row.state}, Waits{kBatch, 1, 1, {}}))
          << what;
    } else {
      EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 1, 1, {}})) << what;
    }
    EXPECT_EQ(ledger_->runs().begin()->second.held(), row.state.held ? 1u : 0u) << what;
    EXPECT_EQ(ledger_->tallies().at(kBatch).total(), row.waits ? 0u : 1u) << what;
    EXPECT_EQ(ledger_->tallies().at(kBatch).attempts, 1u) << what;
  }
}

TEST_F(LedgerTest, TheLastOutcomeHolds) {
  const Location at = extent(0, {0});
  outcomes({outcome_of(OutcomeType::in_doubt, kBatch, 0, at, 1),
            outcome_of(OutcomeType::deferred, kBatch, 0, at, 2, kDue)});
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 0, 1, {kDue, 2, false, false}}));
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, at, 3)});
  EXPECT_THAT(waits(), IsEmpty());
  // Once more: it is counted, for its recipient may lie before a checkpoint, and nobody else goes.
  extent(1, {1});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, at, 3)});
  EXPECT_THAT(waits(), SizeIs(1));
  EXPECT_EQ(ledger_->tallies().at(kBatch), (Settled{2, 0, 0, 0, 0, 4, 0}));
}

TEST_F(LedgerTest, AnOutcomeOfSomebodyUnknownMakesNobodyWait) {
  outcomes({outcome_of(OutcomeType::deferred, kBatch, 0, {kJournal, 1, 4096, 1}, 1, kDue),
            outcome_of(OutcomeType::failed, kBatch, UINT32_MAX, {}, 1)});
  EXPECT_THAT(waits(), IsEmpty());
  EXPECT_EQ(ledger_->tallies().at(kBatch), (Settled{0, 1, 0, 0, 0, 2, 0}));
}

// Neighbours of one batch in one segment, and an outcome that names the place of neither.
TEST_F(LedgerTest, TheRecipientIsFoundWhereverItLies) {
  const Location first = extent(0, {0, 1, 2});
  const Location second = extent(3, {3, 4, 5});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 4, first)});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 1, second)});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, {kJournal, 99, 4096, 1})});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 3, {kJournal, 0, 0, 0})});
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 2, 1, {}}, Waits{kBatch, 5, 1, {}}));
}

TEST_F(LedgerTest, WhoIsCarriedLiesThereAndKeepsItsState) {
  const Location before = extent(0, {0, 1, 2, 3});
  outcomes({outcome_of(OutcomeType::deferred, kBatch, 1, before, 4, kDue),
            outcome_of(OutcomeType::in_doubt, kBatch, 2, before, 1)});
  segment_ = 9;
  const Location after = extent(0, {1, 2, 3}, true);
  const std::vector<Waits> wanted = {{kBatch, 0, 1, {}},
                                     {kBatch, 1, 9, {kDue, 4, false, false}},
                                     {kBatch, 2, 9, {0, 1, true, true}},
                                     {kBatch, 3, 9, {}}};
  EXPECT_EQ(waits(), wanted);
  // An outcome that was under way names the old place.
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 3, before),
            outcome_of(OutcomeType::delivered, kBatch, 1, after)});
  EXPECT_THAT(waits(),
              ElementsAre(Waits{kBatch, 0, 1, {}}, Waits{kBatch, 2, 9, {0, 1, true, true}}));
  // Carried again, all of them: the runs they were in are gone.
  segment_ = 12;
  extent(0, {0, 2}, true);
  EXPECT_THAT(ledger_->runs(), SizeIs(1));
  EXPECT_THAT(waits(),
              ElementsAre(Waits{kBatch, 0, 12, {}}, Waits{kBatch, 2, 12, {0, 1, true, true}}));
}

// --- batches ---

TEST_F(LedgerTest, ABatchIsKnownFromItsFrames) {
  frame(FrameType::batch, batch_payload(kBatch, 1000));
  EXPECT_FALSE(ledger_->batches().at(kBatch).committed);
  EXPECT_EQ(ledger_->latest_wall_ns(), 1000);
  const Location refusals = frame(FrameType::refusals, number_payload(kBatch) + "{}\n");
  frame(FrameType::commit, commit_payload(kBatch, 12));
  frame(FrameType::content, "A: b\r\n\r\n");
  frame(FrameType::witness, "");
  const KnownBatch& known = ledger_->batches().at(kBatch);
  EXPECT_TRUE(known.committed);
  EXPECT_EQ(known.batch.name, "b7");
  EXPECT_EQ(known.commit.accepted, 12u);
  EXPECT_THAT(known.refusals, ElementsAre(refusals));
  // Its content was moved: the rest stays.
  frame(FrameType::batch, batch_payload(kBatch, 999));
  EXPECT_TRUE(ledger_->batches().at(kBatch).committed);
  EXPECT_EQ(ledger_->latest_wall_ns(), 1000);
}

TEST_F(LedgerTest, WhatIsGivenUpOrForgottenLeavesNothingButItsNumber) {
  for (const FrameType type : {FrameType::abort, FrameType::forgotten}) {
    ledger_.emplace(kJournal);
    frame(FrameType::batch, batch_payload(kBatch));
    const Location at = extent(0, {0, 1});
    extent(2, {2});
    extent(0, {0}, false, kBatch - 1);
    outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, at)});
    frame(FrameType::commit, commit_payload(kBatch));
    frame(type, number_payload(kBatch));
    EXPECT_THAT(waits(), ElementsAre(Waits{kBatch - 1, 0, 1, {}}));
    EXPECT_THAT(ledger_->batches(), IsEmpty());
    EXPECT_THAT(ledger_->tallies(), IsEmpty());
    EXPECT_EQ(ledger_->highest_batch(), kBatch);
    EXPECT_FALSE(ledger_->waits(kBatch, 1, at));
  }
}

TEST_F(LedgerTest, AnAbortOfWhatLiesElsewhereKeepsItsNumberFromBeingGivenAgain) {
  frame(FrameType::abort, number_payload(99));
  frame(FrameType::abort, "short");
  EXPECT_EQ(ledger_->highest_batch(), 99u);
  EXPECT_THAT(ledger_->batches(), IsEmpty());
}

// --- consumers ---

TEST_F(LedgerTest, TheLastWordOfAConsumerHolds) {
  const auto say = [&](const Consumer& consumer, bool in_checkpoint) {
    std::string payload;
    if (in_checkpoint) {
      encode_checkpoint_consumer(consumer, payload);
      frame(FrameType::checkpoint, payload);
    } else {
      encode_consumer(consumer, payload);
      frame(FrameType::consumer, payload);
    }
  };
  say({"a", "1", 10}, false);
  say({"b", "1", 11}, true);
  say({"a", "2", 12}, true);
  say({"b", "2", 13}, false);
  EXPECT_EQ(ledger_->consumers().at("a"), (Consumer{"a", "2", 12}));
  EXPECT_EQ(ledger_->consumers().at("b"), (Consumer{"b", "2", 13}));
  EXPECT_EQ(ledger_->latest_wall_ns(), 13);
  say({"a", "", 14}, false);
  say({"never", "", 15}, false);
  EXPECT_THAT(ledger_->consumers(), SizeIs(1));
}

// --- checkpoints ---

TEST_F(LedgerTest, ACheckpointAloneSaysAllThatAStartMustKnow) {
  std::string payload;
  encode_checkpoint_begin({99, 5000}, payload);
  frame(FrameType::checkpoint, payload);
  const WaitingExtent extent{kBatch, 100, {kJournal, 1, 4096, 900}};
  frame(
      FrameType::checkpoint,
      waiting_payload(extent, {{0, {}}, {64, {kDue, 1, false, false}}, {65, {0, 2, true, true}}}));
  KnownBatch known;
  known.batch.number = kBatch;
  known.batch.name = "spring";
  known.committed = true;
  known.commit.number = kBatch;
  known.commit.accepted = 12;
  known.refusals = {{kJournal, 1, 8192, 30}};
  encode_checkpoint_batch(known, payload);
  frame(FrameType::checkpoint, payload);
  frame(FrameType::checkpoint, tallies_payload({{kBatch, {9, 0, 0, 0, 0, 11, 4000}}}));
  encode_checkpoint_end({1, 4096, 1, 0}, payload);
  frame(FrameType::checkpoint, payload);
  EXPECT_THAT(ledger_->damage(), IsEmpty());
  EXPECT_EQ(ledger_->highest_batch(), 99u);
  EXPECT_EQ(ledger_->latest_wall_ns(), 5000);
  EXPECT_EQ(ledger_->runs().begin()->second.extent.at, extent.at);
  EXPECT_EQ(ledger_->runs().begin()->second.held(), 1u);
  EXPECT_THAT(waits(),
              ElementsAre(Waits{kBatch, 100, 1, {}}, Waits{kBatch, 164, 1, {kDue, 1, false, false}},
                          Waits{kBatch, 165, 1, {0, 2, true, true}}));
  EXPECT_EQ(ledger_->batches().at(kBatch).batch.name, "spring");
  EXPECT_EQ(ledger_->batches().at(kBatch).refusals, known.refusals);
  EXPECT_EQ(ledger_->tallies().at(kBatch), (Settled{9, 0, 0, 0, 0, 11, 4000}));
  EXPECT_EQ(ledger_->take_batches().at(kBatch).commit.accepted, 12u);
}

TEST_F(LedgerTest, APartReplacesWhatCameBefore) {
  frame(FrameType::batch, batch_payload(kBatch));
  frame(FrameType::refusals, number_payload(kBatch) + "{}\n");
  const Location at = extent(0, {0, 1, 2});
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, at),
            outcome_of(OutcomeType::deferred, kBatch, 1, at, 1, kDue)});
  frame(FrameType::checkpoint,
        waiting_payload({kBatch, 0, at}, {{1, {0, 2, true, true}}, {2, {}}}));
  EXPECT_THAT(waits(),
              ElementsAre(Waits{kBatch, 1, 1, {0, 2, true, true}}, Waits{kBatch, 2, 1, {}}));
  // Back to untouched, too.
  frame(FrameType::checkpoint, waiting_payload({kBatch, 0, at}, {{1, {}}}));
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 1, 1, {}}, Waits{kBatch, 2, 1, {}}));
  frame(FrameType::checkpoint, tallies_payload({{kBatch, {1, 0, 0, 0, 0, 2, 4000}}}));
  EXPECT_EQ(ledger_->tallies().at(kBatch), (Settled{1, 0, 0, 0, 0, 2, 4000}));
  KnownBatch known;
  known.batch.number = kBatch;
  std::string payload;
  encode_checkpoint_batch(known, payload);
  frame(FrameType::checkpoint, payload);
  EXPECT_THAT(ledger_->batches().at(kBatch).refusals, IsEmpty());
  // And what comes behind goes on from there.
  outcomes({outcome_of(OutcomeType::failed, kBatch, 2, at)});
  EXPECT_EQ(ledger_->tallies().at(kBatch), (Settled{1, 1, 0, 0, 0, 3, 4000}));
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 1, 1, {}}));
}

// Carried forward while he was out with a ticket: a checkpoint says that he waits where he was.
TEST_F(LedgerTest, WhoStayedWhenHisExtentWasCarriedWaitsOnce) {
  const Location old = extent(0, {0, 1, 2});
  segment_ = 2;
  const Location carried = extent(0, {0, 1}, true);
  frame(FrameType::checkpoint,
        waiting_payload({kBatch, 0, old}, {{0, {kDue, 1, false, false}}, {2, {}}}));
  frame(FrameType::checkpoint, waiting_payload({kBatch, 0, carried}, {{1, {}}}));
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 0, 1, {kDue, 1, false, false}},
                                   Waits{kBatch, 2, 1, {}}, Waits{kBatch, 1, 2, {}}));
  outcomes({outcome_of(OutcomeType::delivered, kBatch, 0, old)});
  EXPECT_FALSE(ledger_->waits(kBatch, 0, carried));
  // The last one of the new extent, too.
  frame(FrameType::checkpoint, waiting_payload({kBatch, 0, old}, {{1, {}}}));
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 1, 1, {}}, Waits{kBatch, 2, 1, {}}));
  EXPECT_THAT(ledger_->damage(), IsEmpty());
}

// --- damage ---

TEST_F(LedgerTest, DamageIsToldAndTheRestIsTaken) {
  std::string outcomes_cut =
      outcomes_payload({outcome_of(OutcomeType::delivered, kBatch, 0, {kJournal, 1, 4096, 1}),
                        outcome_of(OutcomeType::delivered, kBatch, 1, {kJournal, 1, 4096, 1})});
  outcomes_cut.pop_back();
  std::string waiting_cut = waiting_payload({kBatch, 50, {kJournal, 2, 4096, 9}},
                                            {{0, {}}, {1, {kDue, 1, false, false}}});
  waiting_cut.pop_back();
  std::string tallies_cut = tallies_payload({{8, {1, 0, 0, 0, 0, 1, 1}}, {9, {}}});
  tallies_cut.pop_back();
  struct Row {
    FrameType type;
    std::string payload;
    const char* told;
  };
  const Row rows[] = {
      {FrameType::batch, "\1\1", ""},
      {FrameType::batch, "\x7f", "version 127"},
      {FrameType::commit, "", ""},
      {FrameType::extent, "\1", "header"},
      {FrameType::extent, extent_payload(kBatch, 0, {0, 1}) + "more", "page"},
      {FrameType::outcomes, outcomes_cut, "outcomes"},
      {FrameType::consumer, "\1", "consumer"},
      {FrameType::checkpoint, "\1\x7f", "checkpoint"},
      {FrameType::checkpoint, "\1\1", "checkpoint"},
      {FrameType::checkpoint, waiting_cut, "checkpoint"},
      {FrameType::checkpoint, std::string("\1\3\0", 3), ""},
      {FrameType::checkpoint, tallies_cut, "checkpoint"},
      {FrameType::checkpoint, "\1\6", "consumer"},
  };
  for (const Row& row : rows) {
    const size_t before = ledger_->damage().size();
    frame(row.type, row.payload);
    ASSERT_THAT(ledger_->damage(), SizeIs(before + 1)) << row.told;
    EXPECT_THAT(ledger_->damage().back(), HasSubstr(row.told));
  }
  // What stood before the damage.
  EXPECT_THAT(waits(), ElementsAre(Waits{kBatch, 1, 1, {}}, Waits{kBatch, 50, 2, {}}));
  EXPECT_EQ(ledger_->tallies().at(kBatch).delivered, 1u);
  EXPECT_EQ(ledger_->tallies().at(8).delivered, 1u);
  EXPECT_FALSE(ledger_->tallies().contains(9));
  ledger_->on_damage(4, 512, "a torn place");
  EXPECT_THAT(ledger_->damage().back(), HasSubstr("a torn place"));
}

// Bits under a right checksum that no writer of ours makes: a page of other indexes than its
// extent's.
TEST_F(LedgerTest, ARecipientOutsideItsExtentIsDamage) {
  for (const uint32_t first_index : {1u, 70'000u, UINT32_MAX}) {
    ledger_.emplace(kJournal);
    std::string payload = extent_payload(kBatch, 0, {0});
    store_number(payload.data() + 16, first_index);
    frame(FrameType::extent, payload);
    EXPECT_THAT(ledger_->damage(), SizeIs(1));
    EXPECT_THAT(waits(), IsEmpty());
  }
}

}  // namespace
}  // namespace veredus::queue
