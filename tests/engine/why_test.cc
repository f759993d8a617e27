// "Why does this mail wait?": whom a question means, what an answer is like. The causes themselves:
// why_causes_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/why_asking.h"

namespace veredus::sim {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kSecond = SmallEngine::kSecond;

// -------------------------------------------------------------------------------------------------
// whom a question means

TEST(WhyQuestionTest, ByAddressInAnyCaseAndBatch) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(2000), ",\"not_before\":\"1h\"");
  engine.feed("c", {"R7@D0.sim", "x@d1.sim"}, ",\"not_before\":\"1h\"");
  WhyQuestion question;
  question.address = "r7@d0.SIM";
  question.domain = "d0.SIM";
  const WhyAnswer both = engine.why(question);
  EXPECT_EQ(both.recipients, 2u);
  ASSERT_THAT(both.waiting, SizeIs(2)) << words(both);
  EXPECT_EQ(both.waiting[0].index + both.waiting[1].index, 7u);
  EXPECT_EQ(both.not_compared, 0u);
  question.batch = engine.number_of("c");
  EXPECT_THAT(engine.why(question).waiting, SizeIs(1));
  question.address = "nobody@d0.sim";
  EXPECT_THAT(engine.why(question).waiting, IsEmpty());
}

// More than are compared at once, on pages that are read in pieces.
TEST(WhyQuestionTest, ByAddressAmongMany) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(40'000), ",\"not_before\":\"1h\"");
  for (const unsigned index : {0u, 16'383u, 16'384u, 39'999u}) {
    WhyQuestion question;
    question.domain = "d0.sim";
    question.address = "r" + std::to_string(index) + "@d0.sim";
    const WhyAnswer answer = engine.why(question);
    ASSERT_THAT(answer.waiting, SizeIs(1)) << index;
    EXPECT_EQ(answer.waiting[0].index, index);
  }
}

TEST(WhyQuestionTest, ABatchIsToldInGroups) {
  SmallEngine engine([](EngineSettings&, Faults& faults) { faults.recipient_later = 1; });
  std::vector<std::string> to = SmallEngine::recipients(30, 0);
  for (const std::string& more : SmallEngine::recipients(12, 1)) to.push_back(more);
  engine.suspend({.domain = "d1.sim"});
  engine.feed("b", to);
  engine.run_to(engine.clock.mono + 20 * kSecond);
  WhyQuestion question;
  question.batch = engine.number_of("b");
  const WhyAnswer answer = engine.why(question);
  EXPECT_EQ(answer.recipients, 42u);
  ASSERT_THAT(answer.waiting, SizeIs(2)) << words(answer);
  EXPECT_EQ(answer.waiting[0].recipients, 30u);
  EXPECT_EQ(answer.waiting[0].conditions[0].what, "retry");
  EXPECT_THAT(answer.waiting[0].conditions[0].text, HasSubstr("450"));
  EXPECT_LT(answer.waiting[0].first_due_mono_ns, answer.waiting[0].last_due_mono_ns);
  EXPECT_EQ(answer.waiting[1].recipients, 12u);
  EXPECT_EQ(answer.waiting[1].conditions[0].what, "suspended");
  question.domain = ".sim";
  EXPECT_EQ(engine.why(question).recipients, 42u);
  question.domain = "d1.sim";
  EXPECT_EQ(engine.why(question).recipients, 12u);
  WhyQuestion of_site;
  of_site.site = answer.waiting[0].site;
  EXPECT_EQ(engine.why(of_site).recipients, 30u);
  of_site.site = "nowhere.sim";
  EXPECT_EQ(engine.why(of_site).recipients, 0u);
}

// Nobody waits who was settled, and in the midst of many that come and go all are counted once.
TEST(WhyQuestionTest, WhoIsSettledDoesNotWait) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(100));
  const WhyQuestion question = about(engine, 50);
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 100; }, 60 * kSecond));
  engine.run_to(engine.clock.mono + kSecond);
  EXPECT_EQ(engine.why(question).recipients, 0u);
}

// A question costs no turn more than its share: a long walk takes many.
TEST(WhyQuestionTest, AWalkTakesItsTime) {
  SmallEngine engine;
  engine.feed("b", SmallEngine::recipients(50'000), ",\"not_before\":\"1h\"");
  engine.run_to(engine.clock.mono + 5 * kSecond);
  WhyQuestion question;
  question.batch = engine.number_of("b");
  const uint64_t before = engine.turns;
  EXPECT_EQ(engine.why(question).recipients, 50'000u);
  EXPECT_GE(engine.turns - before, 50'000u / 8192);
}

// A hot site is sent to by all shards, which share its rate.
TEST(WhyEstimateTest, ARateThatShardsShare) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) {
        settings.global_limits.rates[static_cast<size_t>(Resource::message_rate)] = {600,
                                                                                     60 * kSecond};
      },
      2);
  engine.feed("b", SmallEngine::recipients(4000));
  engine.run_to(engine.clock.mono + 20 * kSecond);
  const WhyAnswer answer = engine.why(about(engine, 2000));
  ASSERT_TRUE(waits_on(answer, "message_rate")) << words(answer);
  const int64_t left = answer.waiting[0].conditions[0].clears_mono_ns - engine.clock.mono;
  const int64_t end = engine.clock.mono;
  EXPECT_TRUE(engine.run_until([&] { return engine.taken("r2000@d0.sim"); }, 1000 * kSecond));
  const int64_t took = engine.clock.mono - end;
  EXPECT_NEAR(static_cast<double>(left), static_cast<double>(took), static_cast<double>(took) / 5);
}

// -------------------------------------------------------------------------------------------------
// words

TEST(WhyTextTest, AReplyIsShownWithoutAddresses) {
  const std::pair<std::string, std::string> cases[] = {
      {"later", "450 later"},
      {"<ada.l+x@example.org>: no such user", "450 <*@example.org>: no such user"},
      {"a@b c@d", "450 *@b *@d"},
      {"@", "450 @"},
      {"ask postmaster@b.sim, not \"x\"@y", "450 ask *@b.sim, not *@y"},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(reply_shown(450, text), shown);
  EXPECT_EQ(reply_shown(0, "connection refused"), "connection refused");
  EXPECT_LE(reply_shown(0, std::string(5000, 'x')).size(), kReplyShownMax);
}

TEST(WhyTextTest, Rates) {
  EXPECT_EQ(rate_text({600, 60 * kSecond}), "600/min");
  EXPECT_EQ(rate_text({7, kSecond}), "7/s");
  EXPECT_EQ(rate_text({7, 10 * kSecond}), "7 in 10000 ms");
}

}  // namespace
}  // namespace veredus::sim
