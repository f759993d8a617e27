// What another policy changes for mail that the engine has already, and for what comes then.

#include <gtest/gtest.h>

#include "queue/delivery_window.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

const queue::Tally& tally_of(SmallEngine& engine, const std::string& batch) {
  return engine.core().find_batch(engine.number_of(batch))->tally;
}
void reload(SmallEngine& engine, const std::function<void(EngineSettings&)>& change) {
  EngineSettings fresh = engine.settings;
  change(fresh);
  engine.core().reload(fresh);
}

// They are due and cannot go: nothing takes them up but the end of their time.
TEST(Reloaded, TheMaximumAge) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.windows =
        std::make_shared<queue::DeliveryWindows>(*queue::parse_windows("Mo 08:00-09:00 UTC"));
  });
  engine.feed("b", SmallEngine::recipients(50));
  const int64_t begun = engine.clock.mono;
  engine.run_to(begun + 10 * kSecond);
  reload(engine, [](EngineSettings& fresh) { fresh.retry.max_age_ns = 120 * kSecond; });
  engine.run_to(begun + 100 * kSecond);
  EXPECT_EQ(tally_of(engine, "b").expired.load(), 0u);
  engine.run_to(begun + 140 * kSecond);
  EXPECT_EQ(tally_of(engine, "b").expired.load(), 50u);
}

TEST(Reloaded, TheCurveOfThoseWithoutARoute) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.dns_failure = 1; });
  reload(engine,
         [](EngineSettings& fresh) { fresh.retry.initial_ns = fresh.retry.cap_ns = 20 * kSecond; });
  engine.feed("b", SmallEngine::recipients(1));
  engine.run_to(engine.clock.mono + 100 * kSecond);
  WhyQuestion question;
  question.batch = engine.number_of("b");
  question.index = 0;
  const WhyAnswer answer = engine.why(question);
  ASSERT_EQ(answer.waiting.size(), 1u);
  EXPECT_GE(answer.waiting[0].attempts, 3);
}

// Sessions that are there go on in clear no longer, idle or at work.
TEST(Reloaded, TlsThatIsRequired) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.dialogue.tls = smtp::TlsUse::opportunistic;  // and nobody offers it
    faults.latency_min_ns = kSecond / 10;
  });
  engine.feed("b", SmallEngine::recipients(2000));
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken >= 100; }, 100 * kSecond));
  const size_t under_way = 200;
  const size_t before = engine.internet.taken;
  reload(engine, [](EngineSettings& fresh) { fresh.dialogue.tls = smtp::TlsUse::required; });
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_LE(engine.internet.taken, before + under_way);
  EXPECT_EQ(tally_of(engine, "b").delivered.load(), engine.internet.taken);
  EXPECT_EQ(tally_of(engine, "b").failed.load(), 0u);
  reload(engine, [](EngineSettings& fresh) { fresh.dialogue.tls = smtp::TlsUse::none; });
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 2000; }, 100'000 * kSecond));
}

// Of who comes in doubt from then on; a provider's own goes before that of all.
TEST(Reloaded, WhatBecomesOfThoseInDoubt) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.reset_before_reply = 1; });
  const auto feed = [&engine](const std::string& name) {
    engine.feed(name, SmallEngine::recipients(3));
    engine.run_to(engine.clock.mono + 60 * kSecond);
  };
  feed("first");
  EXPECT_EQ(tally_of(engine, "first").in_doubt_waiting.load(), 3u);
  reload(engine, [](EngineSettings& fresh) { fresh.in_doubt = InDoubtPolicy::hold; });
  feed("second");
  EXPECT_EQ(tally_of(engine, "second").in_doubt_held.load(), 3u);
  reload(engine, [](EngineSettings& fresh) {
    fresh.in_doubt = InDoubtPolicy::hold;
    Provider p;
    p.name = "p";
    p.mx = {"mx0.sim"};
    p.per_source.connections = 20;
    p.in_doubt = InDoubtPolicy::assume_delivered;
    fresh.providers.push_back(p);
  });
  feed("third");
  EXPECT_EQ(tally_of(engine, "third").delivered.load(), 3u);
  reload(engine, [](EngineSettings& fresh) {
    fresh.in_doubt_rules = {{"", "d0.sim", InDoubtPolicy::hold, kSecond}};
  });
  feed("fourth");
  EXPECT_EQ(tally_of(engine, "fourth").in_doubt_held.load(), 3u);
  EXPECT_EQ(tally_of(engine, "first").in_doubt_waiting.load(), 3u);
  EXPECT_EQ(tally_of(engine, "second").in_doubt_held.load(), 3u);
}

}  // namespace
}  // namespace veredus::sim
