#include "engine/intake/intake.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/intake/scripted_port.h"

namespace veredus::intake {
namespace {

TEST(Intake, ASmallBatchIsOneRequestToOneShard) {
  ScriptedPort port(3);
  Intake intake(port, {});
  Fed fed(intake, body_of("b1", 3));
  EXPECT_EQ(port.appends, 1u);
  EXPECT_EQ(fed.listener.answers, 0u) << "acknowledged before it was durable";
  EXPECT_TRUE(port.announced.empty());
  EXPECT_FALSE(fed.upload->answered());
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answers, 1u);
  EXPECT_EQ(fed.listener.answer.status, 200);
  EXPECT_EQ(fed.listener.answer.body,
            R"({"batch":"b1","accepted":3,"refused":0,"refusals":[],"replayed":false})");
  EXPECT_EQ(port.announced.size(), 1u);
  const std::vector<std::string> wanted = {"0 u0@example.org", "1 u1@example.org",
                                           "2 u2@example.org"};
  EXPECT_EQ(port.recovered()[1], wanted);
  ASSERT_NE(intake.find("default", "b1"), nullptr);
  EXPECT_EQ(intake.find("default", "b1")->batch.content.length, 15u);
  EXPECT_EQ(intake.uploads(), 0u);
  EXPECT_EQ(intake.unanswered_bytes(), 0u);
  EXPECT_EQ(intake.held_bytes(), 0u);
  Fed second(intake, body_of("b2", 1));
  EXPECT_TRUE(port.waiting[0].empty() && !port.waiting[1].empty())
      << "the next one goes to the next shard";
}

TEST(Intake, ALargeBatchCommitsWhenAllItsExtentsAreDurable) {
  ScriptedPort port(3);
  Intake intake(port, small_extents());
  Fed fed(intake, body_of("b1", 30));
  EXPECT_EQ(port.appends, 5u);  // the beginning, and 8 + 8 + 8 + 6
  for (unsigned i = 0; i < 3; ++i)
    EXPECT_FALSE(port.waiting[i].empty()) << "extents go round all shards";
  // All but one.
  for (unsigned i = 0; i < 3; ++i) {
    while (port.waiting[i].size() > (i == 2 ? 1u : 0u)) port.answer(intake, i);
  }
  EXPECT_EQ(port.frames_of(FrameType::commit), 0u);
  EXPECT_EQ(port.appends, 5u) << "a commit before the last extent was durable";
  port.answer(intake, 2);
  EXPECT_EQ(port.appends, 6u);
  EXPECT_EQ(fed.listener.answers, 0u);
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answer.status, 200);
  EXPECT_EQ(port.recovered()[1].size(), 30u);
  EXPECT_EQ(port.frames_of(FrameType::content), 1u);
}

TEST(Intake, AnyLostAppendRefusesTheWholeBatch) {
  for (unsigned lost = 0; lost < 6; ++lost) {
    ScriptedPort port(2);
    Intake intake(port, small_extents());
    Fed fed(intake, body_of("b1", 30));
    unsigned n = 0;
    for (unsigned round = 0; round < 20; ++round) {
      for (unsigned i = 0; i < 2; ++i) {
        if (!port.waiting[i].empty()) port.answer(intake, i, n++ != lost);
      }
    }
    EXPECT_EQ(fed.listener.answers, 1u);
    EXPECT_EQ(fed.listener.answer.status, 503);
    EXPECT_GT(fed.listener.answer.retry_after_s, 0u);
    EXPECT_EQ(find_json_fault(fed.listener.answer.body, 8).reason, "");
    EXPECT_TRUE(port.announced.empty());
    EXPECT_TRUE(port.recovered().empty());
    EXPECT_EQ(port.discarded.count(1), 1u);
    EXPECT_EQ(port.frames_of(FrameType::abort), 1u);
    EXPECT_EQ(intake.find("default", "b1"), nullptr);
    EXPECT_EQ(intake.unanswered_bytes(), 0u);
    // The key is free again.
    Fed again(intake, body_of("b1", 30));
    port.answer_all(intake);
    EXPECT_EQ(again.listener.answer.status, 200);
    EXPECT_EQ(port.recovered().size(), 1u);
  }
}

TEST(Intake, ASmallBatchWhoseGroupIsLost) {
  ScriptedPort port(1);
  Intake intake(port, {});
  Fed fed(intake, body_of("b1", 3));
  port.answer(intake, 0, false);
  EXPECT_EQ(fed.listener.answer.status, 503);
  port.answer_all(intake);
  EXPECT_TRUE(port.recovered().empty());
  EXPECT_EQ(port.frames_of(FrameType::abort), 1u);
  EXPECT_EQ(port.discarded.count(1), 1u);
}

TEST(Intake, SameBodyGetsTheStoredAnswer) {
  ScriptedPort port(2);
  Intake intake(port, {});
  const std::string body = body_of("b1", 3) + "{\"to\":\"x@\"}\n";
  Fed first(intake, body);
  port.answer_all(intake);
  const unsigned appends = port.appends;
  Fed again(intake, body);
  EXPECT_EQ(again.listener.answer.status, 200);
  std::string wanted = first.listener.answer.body;
  wanted.replace(wanted.find("\"replayed\":false"), 16, "\"replayed\":true");
  EXPECT_EQ(again.listener.answer.body, wanted);
  EXPECT_EQ(port.appends, appends) << "a replay queues nothing";
  Fed no_end(intake, body.substr(0, body.size() - 1));
  EXPECT_EQ(no_end.listener.answer.status, 409) << "another body, if only by its line end";
  Fed other(intake, body_of("b1", 4));
  EXPECT_EQ(other.listener.answer.status, 409);
  EXPECT_NE(other.listener.answer.body.find("\"code\":\"conflict\""), std::string::npos);
  Fed tenant(intake, body_of("b1", 4, "acme"));
  port.answer_all(intake);
  EXPECT_EQ(tenant.listener.answer.status, 200) << "the key has the tenant in it";
  EXPECT_EQ(port.announced.size(), 2u);
  // A replay is answered also when nothing new is taken.
  port.open = false;
  Fed closed(intake, body);
  EXPECT_EQ(closed.listener.answer.status, 200);
}

TEST(Intake, AReplayWhileTheFirstIsRunning) {
  ScriptedPort port(2);
  Intake intake(port, {});
  const std::string body = body_of("b1", 3);
  Fed first(intake, body, false);
  Fed second(intake, body);
  EXPECT_EQ(second.listener.answer.status, 409);
  EXPECT_NE(second.listener.answer.body.find("\"code\":\"in_progress\""), std::string::npos);
  first.upload->finish();
  Fed third(intake, body);
  EXPECT_EQ(third.listener.answer.status, 409) << "in progress until it is durable";
  port.answer_all(intake);
  EXPECT_EQ(first.listener.answer.status, 200);
  Fed fourth(intake, body);
  EXPECT_EQ(fourth.listener.answer.status, 200);
  EXPECT_EQ(port.announced.size(), 1u);
}

TEST(Intake, ConnectionLostBeforeTheCommit) {
  ScriptedPort port(2);
  Intake intake(port, small_extents());
  const std::string body = body_of("b1", 30);
  {
    Fed fed(intake, body, false);
    EXPECT_GT(port.appends, 2u);
    fed.upload->abandon();
    EXPECT_EQ(fed.listener.answers, 0u);
  }
  {
    Fed fed(intake, body, true);  // complete, but not all extents are durable
    fed.upload.reset();
  }
  { Fed fed(intake, body, false); }  // dropped without a word
  port.answer_all(intake);
  EXPECT_EQ(port.discarded.size(), 3u);
  EXPECT_TRUE(port.recovered().empty());
  EXPECT_TRUE(port.announced.empty());
  EXPECT_EQ(intake.uploads(), 0u);
  EXPECT_EQ(intake.held_bytes(), 0u);
  Fed again(intake, body);
  port.answer_all(intake);
  EXPECT_EQ(again.listener.answer.status, 200);
}

TEST(Intake, ConnectionLostAfterTheCommitWasAskedFor) {
  ScriptedPort port(2);
  Intake intake(port, {});
  const std::string body = body_of("b1", 3);
  {
    Fed fed(intake, body);
    fed.upload->abandon();
    port.answer_all(intake);
    EXPECT_EQ(fed.listener.answers, 0u);
  }
  EXPECT_EQ(port.announced.size(), 1u) << "it runs to its end";
  Fed again(intake, body);
  EXPECT_EQ(again.listener.answer.status, 200);
  EXPECT_NE(again.listener.answer.body.find("\"replayed\":true"), std::string::npos);
  EXPECT_EQ(port.announced.size(), 1u);
}

TEST(Intake, ABadLineLeavesNothing) {
  ScriptedPort port(2);
  Intake intake(port, small_extents());
  Fed fed(intake, body_of("b1", 30) + "{\"to\":\"a@b.c\",\"vras\":{}}\n" + "{\"to\":\"a@b.c\"}\n");
  EXPECT_EQ(fed.listener.answers, 1u);
  EXPECT_EQ(fed.listener.answer.status, 400);
  EXPECT_EQ(
      fed.listener.answer.body,
      R"({"error":{"code":"malformed","line":32,"byte":15,"reason":"the key \"vras\" is not known","hint":"did you mean \"vars\"?"}})");
  port.answer_all(intake);
  EXPECT_TRUE(port.recovered().empty());
  EXPECT_TRUE(port.announced.empty());
  EXPECT_EQ(port.discarded.size(), 1u);
  // A small one was never sent at all.
  const unsigned appends = port.appends;
  Fed small(intake, body_of("b2", 3) + "rubbish\n");
  EXPECT_EQ(small.listener.answer.status, 400);
  EXPECT_EQ(port.appends, appends);
}

TEST(Intake, RefusedRecipients) {
  ScriptedPort port(2);
  IntakeSettings settings = small_extents();
  settings.refusals_in_answer = 2;
  Intake intake(port, settings);
  Fed fed(intake, body_of("b1", 2) + "{\"to\":\"x@\"}\n{\"to\":\"a b@c.d\"}\n{\"to\":\"\"}\n");
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answer.status, 200);
  EXPECT_EQ(
      fed.listener.answer.body,
      R"({"batch":"b1","accepted":2,"refused":3,"refusals":[)"
      R"({"line":4,"to":"x@","status":"5.1.3","reason":"there is nothing behind the @"},)"
      R"({"line":5,"to":"a b@c.d","status":"5.1.3","reason":"the part in front of the @ is no atoms with dots between and no quoted string"}],)"
      R"("replayed":false})");
  const Intake::BatchPtr known = intake.find("default", "b1");
  const queue::LiveBatch::Locations refusals = known->refusals;
  ASSERT_EQ(refusals->size(), 1u);
  EXPECT_EQ(known->refused, 3u);
  const queue::Location& at = refusals->front();
  const std::string& frame = port.journals[at.journal][at.offset].payload;
  EXPECT_EQ(ScriptedPort::number_of(frame), 1u);
  EXPECT_EQ(std::count(frame.begin() + 8, frame.end(), '\n'), 3);
  // All refused: the batch is there all the same, for who asks again.
  Fed none(intake, body_of("b2", 0) + "{\"to\":\"x@\"}\n");
  port.answer_all(intake);
  EXPECT_EQ(none.listener.answer.status, 200);
  EXPECT_NE(none.listener.answer.body.find("\"accepted\":0,\"refused\":1"), std::string::npos);
}

TEST(Intake, ManyRefusalsAreWrittenAsTheyCome) {
  ScriptedPort port(2);
  IntakeSettings settings;
  settings.extent_bytes = 4096;
  Intake intake(port, settings);
  std::string body = body_of("b1", 1);
  for (int i = 0; i < 500; ++i) body += "{\"to\":\"x@\"}\n";
  Fed fed(intake, body);
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answer.status, 200);
  const queue::LiveBatch::Locations refusals = intake.find("default", "b1")->refusals;
  EXPECT_GT(refusals->size(), 5u);
  ptrdiff_t lines = 0;
  for (const queue::Location& at : *refusals) {
    const std::string& frame = port.journals[at.journal][at.offset].payload;
    lines += std::count(frame.begin() + 8, frame.end(), '\n');
  }
  EXPECT_EQ(lines, 500);
}

TEST(Intake, BackPressure) {
  ScriptedPort port(2);
  IntakeSettings settings = small_extents();
  settings.upload_unanswered_max = 1000;
  Intake intake(port, settings);
  Fed fed(intake);
  const std::string body = body_of("b1", 400);
  size_t fed_bytes = 0;
  unsigned pauses = 0;
  while (fed_bytes < body.size()) {
    if (fed.upload->wants_pause()) {
      ++pauses;
      ASSERT_LT(intake.unanswered_bytes(), 1000u + 1000u);
      const unsigned resumes = fed.listener.resumes;
      while (fed.listener.resumes == resumes)
        ASSERT_TRUE(port.answer(intake, 0) || port.answer(intake, 1));
      EXPECT_FALSE(fed.upload->wants_pause());
      EXPECT_LE(intake.unanswered_bytes(), 1000u);
    }
    const size_t piece = std::min<size_t>(500, body.size() - fed_bytes);
    fed.upload->feed(std::string_view(body).substr(fed_bytes, piece));
    fed_bytes += piece;
  }
  EXPECT_GT(pauses, 3u);
  EXPECT_EQ(pauses, fed.listener.resumes);
  fed.upload->finish();
  port.answer_all(intake);
  EXPECT_EQ(fed.listener.answer.status, 200);
  EXPECT_EQ(port.recovered()[1].size(), 400u);
}

TEST(Intake, OneUploadsBytesPauseTheOthers) {
  ScriptedPort port(1);
  IntakeSettings settings = small_extents();
  settings.unanswered_max = 1000;
  Intake intake(port, settings);
  Fed first(intake, body_of("b1", 100), false);
  EXPECT_TRUE(first.upload->wants_pause());
  Fed second(intake, body_of("b2", 1), false);
  EXPECT_TRUE(second.upload->wants_pause());
  port.answer_all(intake);
  EXPECT_EQ(first.listener.resumes, 1u);
  EXPECT_EQ(second.listener.resumes, 1u);
}

TEST(Intake, Bounds) {
  ScriptedPort port(1);
  IntakeSettings settings;
  settings.uploads_max = 2;
  settings.batches_max = 3;
  settings.held_max = 20'000;
  Intake intake(port, settings);
  port.open = false;
  Fed closed(intake, body_of("b1", 1));
  EXPECT_EQ(closed.listener.answer.status, 503);
  EXPECT_NE(closed.listener.answer.body.find("the disk is full"), std::string::npos);
  EXPECT_GT(closed.listener.answer.retry_after_s, 0u);
  port.open = true;
  {
    Fed first(intake, body_of("b1", 1), false), second(intake, body_of("b2", 1), false),
        third(intake, body_of("b3", 1), false);
    EXPECT_EQ(third.listener.answer.status, 503);
    first.upload->finish();
    second.upload->finish();
    port.answer_all(intake);
    EXPECT_EQ(first.listener.answer.status, 200);
    EXPECT_EQ(second.listener.answer.status, 200);
  }
  {
    Fed large(intake, "{\"batch\":\"" + std::string(30'000, 'x'), false);
    EXPECT_EQ(large.listener.answer.status, 503);
    EXPECT_EQ(intake.held_bytes(), 0u);
  }
  Fed third(intake, body_of("b3", 1));
  port.answer_all(intake);
  EXPECT_EQ(third.listener.answer.status, 200);
  Fed fourth(intake, body_of("b4", 1));
  EXPECT_EQ(fourth.listener.answer.status, 503);
  EXPECT_NE(fourth.listener.answer.body.find("maximum of 3 remembered"), std::string::npos);
}

// Refused before anything of it is written: what waits, what the shards have not counted yet and
// what comes must fit.
TEST(Intake, RecipientsWaitingAreLimited) {
  ScriptedPort port(2);
  IntakeSettings settings = small_extents();
  settings.waiting_max = 20;
  Intake intake(port, settings);
  Fed larger(intake, body_of("b1", 21));
  EXPECT_EQ(larger.listener.answer.status, 413);
  EXPECT_NE(larger.listener.answer.body.find("limits.waiting"), std::string::npos);
  port.answer_all(intake);
  EXPECT_EQ(port.frames_of(FrameType::commit), 0u);
  Fed fits(intake, body_of("b2", 6));
  Fed beside(intake, body_of("b3", 15));  // 6 are on their way
  EXPECT_EQ(beside.listener.answer.status, 503);
  EXPECT_GT(beside.listener.answer.retry_after_s, 0u);
  Fed just(intake, body_of("b4", 14));
  port.answer_all(intake);
  EXPECT_EQ(fits.listener.answer.status, 200);
  EXPECT_EQ(just.listener.answer.status, 200);
  port.waiting_elsewhere = 20;  // the shards count them now
  Fed full(intake, body_of("b5", 1));
  EXPECT_EQ(full.listener.answer.status, 503);
  EXPECT_EQ(port.frames_of(FrameType::commit), 2u);
  port.waiting_elsewhere = 0;
  {
    Fed lost(intake, body_of("b6", 20), false);
    lost.upload->abandon();
  }
  Fed again(intake, body_of("b7", 20));
  port.answer_all(intake);
  EXPECT_EQ(again.listener.answer.status, 200) << "places of a lost upload are free again";
}

TEST(Intake, OtherSettingsHoldFromTheNextUploadOn) {
  ScriptedPort port(1);
  IntakeSettings settings = small_extents();
  settings.feed.own_names = {"mx.news.example"};
  Intake intake(port, settings);
  const auto to_pool = [](const std::string& name) {
    return "{\"to\":\"" + name + "@example.org\",\"pool\":\"news\"}\n";
  };
  // Both parsers stand in the midst of their batches when the pool comes.
  Fed before(intake, body_of("before", 1) + to_pool("a"), false);
  IntakeSettings other = settings;
  other.feed.limits.pools = {"default", "news"};
  other.feed.own_names = {"mx.other.example", "mx.news.example"};
  other.waiting_max = 5;
  intake.apply(other);
  before.upload->feed(to_pool("b"));
  before.upload->finish();
  Fed after(intake, body_of("after", 1) + to_pool("a"));
  port.answer_all(intake);
  EXPECT_EQ(before.listener.answer.status, 200);
  EXPECT_NE(before.listener.answer.body.find("\"refused\":2"), std::string::npos)
      << before.listener.answer.body;
  EXPECT_NE(after.listener.answer.body.find("\"refused\":0"), std::string::npos)
      << after.listener.answer.body;
  Fed many(intake, body_of("many", 6));
  EXPECT_EQ(many.listener.answer.status, 413);
  EXPECT_NE(intake.limits_json().find("\"pools\":[\"default\",\"news\"]"), std::string::npos);
  EXPECT_EQ(intake.settings().waiting_max, 5u);
}

TEST(Intake, RestoredBatchesAreKnown) {
  ScriptedPort port(2);
  const std::string body = body_of("b1", 3) + "{\"to\":\"x@\"}\n";
  std::string answer;
  {
    Intake intake(port, {});
    Fed fed(intake, body);
    port.answer_all(intake);
    answer = fed.listener.answer.body;
  }
  Intake intake(port, {});
  for (const auto& journal : port.journals) {
    for (const ScriptedPort::Frame& frame : journal) {
      if (frame.type != FrameType::commit) continue;
      const queue::Commit commit = *queue::decode_commit(frame.payload);
      auto live = std::make_shared<queue::LiveBatch>();
      live->batch.number = commit.number;
      live->batch.name = "b1";
      live->accepted = commit.accepted;
      std::copy_n(commit.body_sha256.begin(), live->body_sha256.size(), live->body_sha256.begin());
      live->answer_json = std::make_shared<const std::string>(commit.answer_json);
      intake.restore(live);
    }
  }
  ASSERT_EQ(intake.batches(), 1u);
  EXPECT_EQ(*intake.find("default", "b1")->answer_json.load(), answer);
  Fed again(intake, body);
  EXPECT_EQ(again.listener.answer.status, 200);
  EXPECT_NE(again.listener.answer.body.find("\"replayed\":true"), std::string::npos);
  Fed other(intake, body_of("b1", 2));
  EXPECT_EQ(other.listener.answer.status, 409);
  Fed next(intake, body_of("b2", 2));
  port.answer_all(intake);
  EXPECT_EQ(intake.find("default", "b2")->batch.number, 2u) << "numbers go on";
}

TEST(Intake, JsonOfTheTallies) {
  queue::LiveBatch live;
  live.batch.name = "b1";
  live.batch.number = 7;
  live.batch.accepted_wall_ns = 1'782'898'205'000'000'000;
  live.accepted = 100;
  live.refused = 1;
  live.tally.delivered = 40;
  live.tally.failed = 5;
  live.tally.in_doubt_held = 5;
  live.tally.deferred_now = 10;
  live.tally.attempts = 60;
  std::string out;
  append_batch_json(live, live.batch.accepted_wall_ns + 10'000'000'000, out);
  EXPECT_EQ(
      out,
      R"({"tenant":"default","batch":"b1","number":7,"accepted_at":"2026-07-01T09:30:05.000Z","accepted":100,"refused":1,)"
      R"("delivered":40,"failed":5,"expired":0,"cancelled":0,"suppressed":0,"waiting":50,"in_doubt":5,"deferred":10,)"
      R"("in_doubt_waiting":0,"attempts":60,"rate":5,"finish_s":10})");
  ScriptedPort port(1);
  const Intake intake(port, {});
  EXPECT_EQ(find_json_fault(intake.limits_json(), 8).reason, "") << intake.limits_json();
}

// Many feeders, answers in any order, lost groups, lost connections; a crash may come after every
// step. What was told 200 is there, whole; what was told otherwise is not; nothing is announced
// that is not durable.
void play(uint64_t seed) {
  std::mt19937_64 random(seed);
  ScriptedPort port(1 + static_cast<unsigned>(random() % 3));
  IntakeSettings settings = small_extents();
  settings.upload_unanswered_max = 2000;
  Intake intake(port, settings);
  struct Feeder {
    std::string name, body;
    unsigned recipients = 0;
    size_t at = 0;
    bool finished = false, told_yes = false;
    std::unique_ptr<Fed> fed;
  };
  std::vector<Feeder> feeders(4);
  for (size_t i = 0; i < feeders.size(); ++i) {
    feeders[i].name = "b" + std::to_string(i);
    feeders[i].recipients = 1 + static_cast<unsigned>(random() % 40);
    feeders[i].body = body_of(feeders[i].name, feeders[i].recipients);
    if (random() % 4 == 0) feeders[i].body += "{\"to\":\"x@\"}\n";
  }
  const bool lossy = random() % 2 == 0;
  for (unsigned step = 0; step < 400; ++step) {
    Feeder& feeder = feeders[random() % feeders.size()];
    if (feeder.fed == nullptr) {
      feeder.fed = std::make_unique<Fed>(intake);
      feeder.at = 0;
      feeder.finished = false;
    } else if (feeder.fed->listener.answers > 0) {
      EXPECT_EQ(feeder.fed->listener.answers, 1u);
      const int status = feeder.fed->listener.answer.status;
      // 409: the commit of an upload whose connection was lost is still on its way.
      const bool in_progress =
          feeder.fed->listener.answer.body.find("in_progress") != std::string::npos;
      EXPECT_TRUE(status == 200 || status == 503 || (lossy && status == 409 && in_progress))
          << feeder.fed->listener.answer.body;
      if (status == 200) {
        const bool replayed =
            feeder.fed->listener.answer.body.find("\"replayed\":true") != std::string::npos;
        EXPECT_TRUE(replayed || !feeder.told_yes) << "queued a second time";
        feeder.told_yes = true;
      }
      feeder.fed.reset();
    } else if (lossy && random() % 40 == 0) {
      feeder.fed.reset();  // the connection is lost
    } else if (!feeder.finished && !feeder.fed->upload->wants_pause()) {
      const size_t piece = std::min<size_t>(random() % 700, feeder.body.size() - feeder.at);
      feeder.fed->upload->feed(std::string_view(feeder.body).substr(feeder.at, piece));
      feeder.at += piece;
      if (feeder.at == feeder.body.size() && feeder.fed->listener.answers == 0) {
        feeder.fed->upload->finish();
        feeder.finished = true;
      }
    }
    port.answer(intake, static_cast<unsigned>(random() % port.shards()),
                !lossy || random() % 12 != 0);
    // The crash: only what is durable is there.
    const auto there = port.recovered();
    for (const uint64_t number : port.announced) ASSERT_TRUE(there.contains(number));
    for (const Feeder& each : feeders) {
      if (!each.told_yes) continue;
      const Intake::BatchPtr known = intake.find("default", each.name);
      ASSERT_NE(known, nullptr);
      ASSERT_TRUE(there.contains(known->batch.number));
      ASSERT_EQ(there.at(known->batch.number).size(), each.recipients);
    }
  }
  for (Feeder& feeder : feeders) feeder.fed.reset();
  port.answer_all(intake);
  EXPECT_EQ(intake.uploads(), 0u);
  EXPECT_EQ(intake.unanswered_bytes(), 0u);
  EXPECT_EQ(intake.held_bytes(), 0u);
  // Every batch that exists was announced, once, and has one key: no feeder's mail is there twice.
  EXPECT_EQ(port.recovered().size(), port.announced.size());
  EXPECT_EQ(port.announced.size(), intake.batches());
  EXPECT_LE(intake.batches(), feeders.size());
}

TEST(Intake, WhatIsToldIsTrueWhateverHappens) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    play(seed);
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace veredus::intake
