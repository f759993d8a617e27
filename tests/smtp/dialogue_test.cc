#include "engine/smtp/dialogue.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace veredus::smtp {
namespace {

constexpr std::string_view kEhlo =
    "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n";

class DialogueTest : public testing::Test {
 protected:
  Step say(std::string_view bytes) { return submit(feed(dialogue_, parser_, bytes, output_)); }
  Step submit(Step step) {
    if (!output_.bytes.empty()) dialogue_.commands_sent();
    if (step.act == Step::Act::send_content) dialogue_.content_sent();
    return step;
  }
  void greet(std::string_view ehlo = kEhlo) {
    submit(dialogue_.connected(output_));
    say("220 mx\r\n");
    say(ehlo);
    ASSERT_TRUE(dialogue_.idle());
    output_.clear();
  }
  Step offer() { return submit(dialogue_.offer(transaction_, output_)); }

  std::array<std::string_view, 2> recipients_ = {"ada@example.org", "bob@example.org"};
  Transaction transaction_{"s@example.net", recipients_, 2048, false};
  DialogueSettings settings_;
  Dialogue dialogue_{&settings_};
  ReplyParser parser_;
  Output output_;
};

// The times of RFC 5321 §4.5.3.2, each while its reply is awaited.
TEST_F(DialogueTest, DeadlinesOfDataByPhase) {
  settings_.use_chunking = false;
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::connect);
  submit(dialogue_.connected(output_));
  EXPECT_EQ(dialogue_.time_limit_ns(), 300 * kSecondNs);
  say("220 mx\r\n");
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::ehlo);
  EXPECT_EQ(dialogue_.time_limit_ns(), 300 * kSecondNs);
  say(kEhlo);
  EXPECT_EQ(dialogue_.time_limit_ns(), 0);
  offer();
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::mail);
  EXPECT_EQ(dialogue_.time_limit_ns(), 300 * kSecondNs);
  say("250 ok\r\n");
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::rcpt);
  EXPECT_EQ(dialogue_.time_limit_ns(), 300 * kSecondNs);
  say("250 ok\r\n250 ok\r\n");
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::data);
  EXPECT_EQ(dialogue_.time_limit_ns(), 120 * kSecondNs);
  const Step step = feed(dialogue_, parser_, "354 go\r\n", output_);
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::body);
  EXPECT_EQ(dialogue_.time_limit_ns(), 180 * kSecondNs);
  submit(step);
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::end_of_data);
  EXPECT_EQ(dialogue_.time_limit_ns(), 600 * kSecondNs);
  say("250 ok\r\n");
  EXPECT_EQ(dialogue_.time_limit_ns(), 0);
  submit(dialogue_.quit(output_));
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::quit);
  EXPECT_GT(dialogue_.time_limit_ns(), 0);
}

TEST_F(DialogueTest, DeadlineAfterOneSendIsThatOfTheDotFromTheStart) {
  greet();
  const Step step = dialogue_.offer(transaction_, output_);
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::body);
  submit(step);
  EXPECT_EQ(dialogue_.phase(), Phase::mail);
  EXPECT_EQ(dialogue_.deadline_phase(), Phase::end_of_data);
}

TEST_F(DialogueTest, SettingsOverrideTimes) {
  settings_.time_limit_ns[static_cast<size_t>(Phase::greeting)] = 7;
  submit(dialogue_.connected(output_));
  EXPECT_EQ(dialogue_.time_limit_ns(), 7);
}

// A reply that comes before the command was submitted cannot be its answer.
TEST_F(DialogueTest, ReplyBeforeTheCommandCloses) {
  settings_.use_chunking = false;
  greet();
  dialogue_.offer(transaction_, output_);  // written, not submitted
  EXPECT_FALSE(dialogue_.expects_reply());
  EXPECT_EQ(feed(dialogue_, parser_, "250 early\r\n", output_).act, Step::Act::closing);
  ASSERT_EQ(output_.outcomes.size(), 3u);
  EXPECT_EQ(output_.outcomes[0].verdict.result, Result::later);
  EXPECT_EQ(output_.outcomes[1].verdict.result, Result::later);
  EXPECT_EQ(output_.outcomes[2].transaction, nullptr);
  EXPECT_TRUE(output_.bytes.empty());
}

TEST_F(DialogueTest, ReplyBeforeTheContentWasSubmittedCloses) {
  greet();
  dialogue_.offer(transaction_, output_);
  dialogue_.commands_sent();  // the first of several blocks: the commands and some content
  feed(dialogue_, parser_, "250 ok\r\n250 ok\r\n250 ok\r\n", output_);
  EXPECT_FALSE(dialogue_.closed());
  feed(dialogue_, parser_, "250 done, without having seen the rest\r\n", output_);
  EXPECT_TRUE(dialogue_.closed());
  EXPECT_EQ(output_.outcomes[0].verdict.result, Result::later);
  EXPECT_EQ(output_.outcomes[0].stage, Phase::body);
}

TEST_F(DialogueTest, TextsOfOneCallStayApart) {
  settings_.use_chunking = false;
  greet();
  offer();
  output_.clear();
  say("250 ok\r\n550-5.1.1 first of two lines\r\n550 5.1.1 second\r\n550 5.1.1 the other "
      "one\r\n503 no\r\n");
  ASSERT_EQ(output_.outcomes.size(), 2u);
  EXPECT_EQ(output_.text(output_.outcomes[0]), "first of two lines\nsecond");
  EXPECT_EQ(output_.text(output_.outcomes[1]), "the other one");
  EXPECT_EQ(output_.bytes, "RSET\r\n");
}

TEST_F(DialogueTest, NothingHappensAfterTheEnd) {
  greet();
  submit(dialogue_.lost(Reason::connection_lost, output_));
  output_.clear();
  EXPECT_EQ(dialogue_.lost(Reason::connection_lost, output_).act, Step::Act::closing);
  EXPECT_EQ(dialogue_.timed_out(output_).act, Step::Act::closing);
  EXPECT_EQ(say("250 ok\r\n").act, Step::Act::closing);
  dialogue_.commands_sent();
  dialogue_.content_sent();
  EXPECT_FALSE(dialogue_.may_offer());
  EXPECT_TRUE(output_.outcomes.empty());
  EXPECT_TRUE(output_.bytes.empty());
}

TEST_F(DialogueTest, FailedConnectConcernsTheHost) {
  dialogue_.lost(Reason::connect_refused, output_);
  ASSERT_EQ(output_.outcomes.size(), 1u);
  EXPECT_EQ(output_.outcomes[0].transaction, nullptr);
  EXPECT_EQ(output_.outcomes[0].stage, Phase::connect);
  EXPECT_EQ(output_.outcomes[0].verdict.scope, Scope::host);
}

TEST_F(DialogueTest, AHundredRecipients) {
  greet();
  const std::vector<std::string_view> many(kRecipientsMax, "x@example.org");
  transaction_.recipients = many;
  offer();
  output_.clear();
  std::string replies = "250 ok\r\n";
  for (size_t i = 0; i < many.size(); ++i)
    replies += i % 3 == 1 ? "550 5.1.1 no\r\n" : "250 ok\r\n";
  say(replies + "250 done\r\n");
  ASSERT_EQ(output_.outcomes.size(), many.size());
  std::vector<int> seen(many.size());
  for (const Outcome& outcome : output_.outcomes) {
    ++seen[outcome.recipient];
    EXPECT_EQ(outcome.verdict.result,
              outcome.recipient % 3 == 1 ? Result::never : Result::delivered);
  }
  EXPECT_EQ(seen, std::vector<int>(many.size(), 1));
}

TEST(DialogueSize, IsSmall) {
  EXPECT_LE(sizeof(Dialogue), 256u);
  EXPECT_LE(sizeof(Dialogue) + sizeof(ReplyParser), 256u);
}

TEST(PhaseTable, HasTheTimesOfTheRfc) {
  EXPECT_EQ(time_limit_ns(Phase::greeting), 5 * kMinuteNs);
  EXPECT_EQ(time_limit_ns(Phase::mail), 5 * kMinuteNs);
  EXPECT_EQ(time_limit_ns(Phase::rcpt), 5 * kMinuteNs);
  EXPECT_EQ(time_limit_ns(Phase::data), 2 * kMinuteNs);
  EXPECT_EQ(time_limit_ns(Phase::body), 3 * kMinuteNs);
  EXPECT_EQ(time_limit_ns(Phase::end_of_data), 10 * kMinuteNs);
}

TEST(EhloName, OnlyNamesAndLiterals) {
  for (const char* name :
       {"mx.example", "localhost", "a-b.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"}) {
    EXPECT_TRUE(valid_ehlo_name(name)) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("a\r\nMAIL"), std::string("a b"), std::string("a\0b", 3),
        std::string("-a"), std::string(".a"), std::string("[]"), std::string("[a"),
        std::string("a:b"), std::string(300, 'a'), std::string("m\xc3\xb6.example")}) {
    EXPECT_FALSE(valid_ehlo_name(name)) << name;
  }
}

}  // namespace
}  // namespace veredus::smtp
