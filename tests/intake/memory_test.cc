// How long a batch is remembered, and what becomes of its key then.

#include "engine/intake/memory.h"

#include "queue/live_batch.h"
#include "tests/intake/scripted_port.h"

namespace veredus::intake {
namespace {

constexpr int64_t kHour = 3600 * int64_t{1'000'000'000};
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kYear = 365 * kDay;

// Fed, acknowledged, and all of it delivered.
void feed_finished(ScriptedPort& port, Intake& intake, const std::string& name,
                   unsigned recipients) {
  // One more is refused: a batch of which nobody was accepted exists, too.
  Fed fed(intake, body_of(name, recipients) + "{\"to\":\"x@\"}\n");
  port.answer_all(intake);
  ASSERT_EQ(fed.listener.answer.status, 200);
  const Intake::BatchPtr live = intake.find("default", name);
  live->tally.delivered = recipients;
  live->tally.last_outcome_wall_ns = port.wall;
}

TEST(Memory, AFinishedBatchIsForgottenInItsTimeAndItsKeyIsFree) {
  ScriptedPort port(3);
  Intake intake(port, {});
  feed_finished(port, intake, "b1", 3);
  feed_finished(port, intake, "b2", 2);
  intake.tick();  // sees that both are finished
  port.mono += 7 * kDay - 1;
  intake.tick();
  EXPECT_EQ(port.frames_of(FrameType::forgotten), 0u);
  Fed again(intake, body_of("b1", 3) + "{\"to\":\"x@\"}\n");
  EXPECT_NE(again.listener.answer.body.find("\"replayed\":true"), std::string::npos);
  port.mono += 1;
  intake.tick();
  // Until it is durable the old answer holds.
  EXPECT_NE(intake.find("default", "b1"), nullptr);
  Fed still(intake, body_of("b1", 3) + "{\"to\":\"x@\"}\n");
  EXPECT_NE(still.listener.answer.body.find("\"replayed\":true"), std::string::npos);
  EXPECT_TRUE(port.forgotten.empty());
  port.answer_all(intake);
  EXPECT_EQ(port.forgotten, (std::set<uint64_t>{1, 2}));
  EXPECT_EQ(intake.find("default", "b1"), nullptr);
  EXPECT_EQ(intake.batches(), 0u);
  // In the journal that holds its commit.
  for (const auto& journal : port.journals) {
    uint64_t committed = 0;
    for (const ScriptedPort::Frame& frame : journal) {
      if (frame.type == FrameType::commit) committed = queue::decode_commit(frame.payload)->number;
      if (frame.type != FrameType::forgotten) continue;
      EXPECT_EQ(ScriptedPort::number_of(frame.payload), committed);
    }
  }
  EXPECT_TRUE(port.recovered().empty());
  Fed anew(intake, body_of("b1", 3) + "{\"to\":\"x@\"}\n");
  port.answer_all(intake);
  EXPECT_NE(anew.listener.answer.body.find("\"replayed\":false"), std::string::npos);
  EXPECT_EQ(intake.find("default", "b1")->batch.number, 3u);
  EXPECT_EQ(port.recovered().size(), 1u);
}

TEST(Memory, NothingIsForgottenWhileSomethingOfItWaitsOrIsHeld) {
  ScriptedPort port(1);
  Intake intake(port, {});
  feed_finished(port, intake, "waits", 3);
  feed_finished(port, intake, "held", 3);
  feed_finished(port, intake, "none", 0);
  intake.find("default", "waits")->tally.delivered = 2;
  intake.find("default", "held")->tally.delivered = 2;
  intake.find("default", "held")->tally.in_doubt_held = 1;
  for (int week = 0; week < 10; ++week) {
    intake.tick();
    port.answer_all(intake);
    port.mono += 7 * kDay;
  }
  EXPECT_NE(intake.find("default", "waits"), nullptr);
  EXPECT_NE(intake.find("default", "held"), nullptr);
  EXPECT_EQ(intake.find("default", "none"), nullptr) << "nobody to wait for: from acceptance";
  // Its time begins with its last outcome, not with the first ones.
  intake.find("default", "waits")->tally.failed = 1;
  intake.tick();
  port.mono += 7 * kDay - 1;
  intake.tick();
  port.answer_all(intake);
  EXPECT_NE(intake.find("default", "waits"), nullptr);
  port.mono += 1;
  intake.tick();
  port.answer_all(intake);
  EXPECT_EQ(intake.find("default", "waits"), nullptr);
}

TEST(Memory, WhatCannotBeWrittenIsTriedAgain) {
  ScriptedPort port(1);
  Intake intake(port, {});
  feed_finished(port, intake, "b1", 1);
  intake.tick();
  port.mono += 7 * kDay;
  intake.tick();
  port.answer(intake, 0, false);  // lost
  EXPECT_NE(intake.find("default", "b1"), nullptr);
  EXPECT_TRUE(port.forgotten.empty());
  port.open = false;  // while the disk fails an outcome may not be durable
  intake.tick();
  EXPECT_TRUE(port.waiting[0].empty());
  port.open = true;
  intake.tick();
  intake.tick();
  EXPECT_EQ(port.waiting[0].size(), 1u) << "one round's frames are under way at a time";
  port.answer_all(intake);
  EXPECT_EQ(intake.find("default", "b1"), nullptr);
}

TEST(Memory, AWallClockThatJumpsForgetsNothing) {
  ScriptedPort port(1);
  Intake intake(port, {});
  feed_finished(port, intake, "b1", 1);
  intake.tick();
  port.wall += 10 * kYear;
  port.mono += kDay;
  intake.tick();
  port.answer_all(intake);
  EXPECT_NE(intake.find("default", "b1"), nullptr);
}

TEST(Memory, ATickLooksAtABoundedNumberAndComesRound) {
  ScriptedPort port(1);
  Intake intake(port, {});
  const unsigned many = 400;
  for (unsigned i = 0; i < many; ++i) feed_finished(port, intake, "b" + std::to_string(i), 1);
  for (int i = 0; i < 5; ++i) intake.tick();
  port.mono += 7 * kDay;
  const size_t before = intake.batches();
  intake.tick();
  port.answer_all(intake);
  EXPECT_LT(intake.batches(), before);
  EXPECT_GT(intake.batches(), 0u);
  for (int i = 0; i < 5; ++i) {
    intake.tick();
    port.answer_all(intake);
  }
  EXPECT_EQ(intake.batches(), 0u);
}

TEST(Memory, WhatIsFoundAtAStart) {
  constexpr int64_t kNow = 1'782'898'205'000'000'000;
  ScriptedPort port(1);
  port.mono = kHour;  // the host has run an hour: ages reach below zero
  Intake intake(port, {});
  const auto restore = [&](const std::string& name, uint32_t delivered, int64_t finished_wall_ns) {
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = intake.batches() + 1;
    live->batch.name = name;
    live->accepted = 2;
    live->tally.delivered = delivered;
    live->tally.last_outcome_wall_ns = finished_wall_ns;
    live->taken_up = {port.mono, kNow, kNow - kHour};
    intake.restore(live);
  };
  restore("old", 2, kNow - 100 * kDay);
  restore("fresh", 2, kNow - kDay - kHour);
  restore("waits", 1, kNow - 100 * kDay);
  const auto after = [&](int64_t passed) {
    port.mono += passed;
    intake.tick();
    port.answer_all(intake);
    std::vector<std::string> names;
    intake.for_each([&](const Intake::BatchPtr& live) { names.push_back(live->batch.name); });
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(after(0), (Names{"old", "fresh", "waits"}));
  EXPECT_EQ(after(kRememberedAfterStartNs - 1), (Names{"old", "fresh", "waits"}));
  EXPECT_EQ(after(1), (Names{"fresh", "waits"}));
  EXPECT_EQ(after(6 * kDay - kRememberedAfterStartNs - 1), (Names{"fresh", "waits"}));
  EXPECT_EQ(after(1), (Names{"waits"}));
}

TEST(Memory, AgesOnLoad) {
  struct Row {
    const char* what;
    int64_t remember, finished, last, now, age;
  };
  constexpr int64_t kFinished = 1'782'898'205'000'000'000;
  const Row rows[] = {
      {"just finished", 7 * kDay, kFinished, kFinished, kFinished, 0},
      {"we ran two days more", 7 * kDay, kFinished, kFinished + 2 * kDay, kFinished + 2 * kDay,
       2 * kDay},
      {"a long stop does not count", 7 * kDay, kFinished, kFinished + kDay, kFinished + 30 * kDay,
       kDay},
      {"the clock is years ahead now", 7 * kDay, kFinished, kFinished + kDay,
       kFinished + 10 * kYear, kDay},
      {"it was years ahead, and is right again", 7 * kDay, kFinished, kFinished + 10 * kYear,
       kFinished + kDay, kDay},
      {"it was, and still is: some time is left", 7 * kDay, kFinished, kFinished + 10 * kYear,
       kFinished + 10 * kYear, 7 * kDay - kRememberedAfterStartNs},
      {"it is behind", 7 * kDay, kFinished, kFinished + kDay, kFinished - kYear, 0},
      {"finished by a clock that was ahead", 7 * kDay, kFinished + kYear, kFinished, kFinished, 0},
      {"all of a short time is left", kHour, kFinished, kFinished + kDay, kFinished + kDay, 0},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(finished_age_on_load_ns(row.remember, row.finished, row.last, row.now), row.age)
        << row.what;
  }
}

}  // namespace
}  // namespace veredus::intake
