#include "engine/smtp/reply_rules.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/smtp/reply_rule_file.h"

// Rules for the texts of replies, as an operator writes them.

namespace veredus::smtp {
namespace {

using Rules = std::shared_ptr<const ReplyRules>;

Rules read(std::string_view text) {
  auto rules = ReplyRules::make(text, "own.toml");
  EXPECT_TRUE(rules.ok()) << rules.status().ToString() << "\n" << text;
  return rules.ok() ? *rules : *ReplyRules::make("", "");
}

// A rule of its own, of a text and some more lines.
std::string rule(std::string_view name, std::string_view lines) {
  return "[[rules]]\nname = \"" + std::string(name) + "\"\n" + std::string(lines) +
         "\nscope = \"source\"\nkind = \"block\"\nclass = \"other\"\n";
}

Said rcpt(uint16_t code, std::string_view text, EnhancedStatus enhanced = {}) {
  return {Phase::rcpt, Reason::none, code, enhanced, false, text};
}

std::string rule_of(const Said& said, const Rules& rules) {
  return std::string(judge(said, *rules).rule);
}

TEST(ReplyRules, ThoseShippedAreRight) {
  const auto alone = ReplyRules::make("", "");
  ASSERT_TRUE(alone.ok()) << alone.status().ToString();
  EXPECT_GE((*alone)->size(), 30u);
  EXPECT_EQ((*alone)->size(), ReplyRules::shipped().size());
  ReplyRuleFile file;
  ASSERT_TRUE(read_reply_rules(shipped_replies(), kShippedRepliesFile, file).ok());
  for (size_t i = 1; i < kTextClasses; ++i) {
    EXPECT_FALSE(file.texts[i].empty()) << name_of(static_cast<TextClass>(i));
  }
  // An operator may begin with a copy.
  const auto copy = ReplyRules::make(shipped_replies(), "copy.toml");
  ASSERT_TRUE(copy.ok()) << copy.status().ToString();
  EXPECT_EQ((*copy)->size(), (*alone)->size());
}

TEST(ReplyRules, OwnOnesComeFirstAndInTheirOrder) {
  const Rules rules =
      read(rule("first", "text = 'ptr record'") + rule("second", "text = 'record'"));
  EXPECT_EQ(rule_of(rcpt(550, "no PTR record"), rules), "first");
  EXPECT_EQ(rule_of(rcpt(550, "no record"), rules), "second");
  EXPECT_EQ(rule_of(rcpt(550, "reverse DNS"), rules), "no-reverse-dns");
  EXPECT_EQ(rule_of(rcpt(550, "user unknown"), rules), "words-unknown");
}

TEST(ReplyRules, AnOwnOneTakesThePlaceOfAShippedOneOfItsName) {
  const Rules rules = read(rule("no-reverse-dns", "text = 'only this'"));
  EXPECT_EQ(rules->size(), ReplyRules::shipped().size());
  EXPECT_EQ(rule_of(rcpt(550, "only this"), rules), "no-reverse-dns");
  EXPECT_EQ(rule_of(rcpt(550, "no PTR record"), rules), "mailbox-code");
}

TEST(ReplyRules, OwnWordsJoinThoseShipped) {
  const std::string_view german = "Empf\xc3\xa4nger unbekannt";
  EXPECT_EQ(judge(rcpt(554, german)).rule, "recipient-refused");
  const Rules rules = read("[texts]\nunknown = ['empf.{1,2}nger unbekannt']\n");
  EXPECT_EQ(rule_of(rcpt(554, german), rules), "words-unknown");
  EXPECT_EQ(rule_of(rcpt(554, "user unknown"), rules), "words-unknown");
}

TEST(ReplyRules, ConditionsMustAllHold) {
  const Rules rules = read(rule(
      "it", "text = 'abc'\nstages = ['rcpt', 'end-of-data']\ncode = '550-552'\nstatus = '5.7'"));
  const EnhancedStatus right = {5, 7, 9};
  EXPECT_EQ(rule_of(rcpt(550, "x ABC y", right), rules), "it");
  EXPECT_EQ(rule_of(rcpt(552, "abc", right), rules), "it");
  EXPECT_NE(rule_of(rcpt(553, "abc", right), rules), "it");
  EXPECT_NE(rule_of(rcpt(550, "ab c", right), rules), "it");
  EXPECT_NE(rule_of(rcpt(550, "abc", {5, 1, 9}), rules), "it");
  EXPECT_NE(rule_of(rcpt(550, "abc"), rules), "it");
  EXPECT_EQ(rule_of({Phase::end_of_data, Reason::none, 550, right, false, "abc"}, rules), "it");
  EXPECT_NE(rule_of({Phase::mail, Reason::none, 550, right, false, "abc"}, rules), "it");
  // Not where a reply did not decide.
  EXPECT_NE(rule_of({Phase::rcpt, Reason::bad_reply, 550, right, false, "abc"}, rules), "it");

  const Rules by_status = read(rule("it", "status = 'x.7.9'"));
  EXPECT_EQ(rule_of(rcpt(550, "", {5, 7, 9}), by_status), "it");
  EXPECT_EQ(rule_of(rcpt(450, "", {4, 7, 9}), by_status), "it");
  EXPECT_NE(rule_of(rcpt(450, "", {4, 7, 8}), by_status), "it");
}

TEST(ReplyRules, WithoutResultTheCodeSaysIt) {
  const Rules rules = read(rule("it", "text = 'abc'"));
  EXPECT_EQ(judge(rcpt(550, "abc"), *rules).result, Result::never);
  EXPECT_EQ(judge(rcpt(450, "abc"), *rules).result, Result::later);
  EXPECT_EQ(judge({Phase::greeting, Reason::none, 550, {}, false, "abc"}, *rules).result,
            Result::later);
  const Verdict later = judge(rcpt(450, "abc, try again in 5 minutes"), *rules);
  EXPECT_EQ(later.retry_after_ns, 300'000'000'000);
  EXPECT_EQ(judge(rcpt(550, "abc, try again in 5 minutes"), *rules).retry_after_ns, 0);
}

TEST(ReplyRules, ANewTransactionOnlyWhereOthersWereAccepted) {
  const Rules rules =
      read(rule("it", "text = 'abc'\nresult = 'later'\nnew_transaction = true\ncode = 450"));
  Said said = rcpt(450, "abc");
  EXPECT_NE(rule_of(said, rules), "it");
  said.others_accepted = true;
  EXPECT_EQ(rule_of(said, rules), "it");
  EXPECT_TRUE(judge(said, *rules).new_transaction);
}

TEST(ReplyRules, LinesAreJoinedAndTheEndIsNotLookedAt) {
  const Rules rules = read(rule("it", "text = 'abc def'"));
  EXPECT_EQ(rule_of(rcpt(550, "xabc\ndefx"), rules), "it");
  std::string text(kReplyLookedAt - 7, '.');
  EXPECT_EQ(rule_of(rcpt(550, text + "abc def"), rules), "it");
  EXPECT_NE(rule_of(rcpt(550, text + ".abc def"), rules), "it");
}

TEST(ReplyRules, NamesOutliveTheRules) {
  std::string_view name;
  {
    const Rules rules = read(rule("of-a-moment", "text = 'abc'"));
    name = judge(rcpt(550, "abc"), *rules).rule;
  }
  EXPECT_EQ(name, "of-a-moment");
}

// Whatever a file says: delivered is a 2xx at the end of data and nothing else, a 4xx is not final,
// and only a reply in a transaction is.
TEST(ReplyRules, MaySayNoMoreThanAReplyCan) {
  for (const char* says : {"", "\nresult = 'never'"}) {
    const Rules rules = read(rule("all", "text = '.'" + std::string(says)));
    for (size_t phase = 0; phase < kPhases; ++phase) {
      const auto stage = static_cast<Phase>(phase);
      for (uint16_t code = 200; code < 600; ++code) {
        const Verdict verdict = judge({stage, Reason::none, code, {}, true, "x"}, *rules);
        EXPECT_EQ(verdict.result == Result::delivered,
                  stage == Phase::end_of_data && code / 100 == 2);
        EXPECT_NE(verdict.result, Result::in_doubt);
        const bool may = code >= 500 && stage >= Phase::mail && stage <= Phase::end_of_data;
        const bool lost_track = code == 500 || code == 502 || code == 503;
        EXPECT_EQ(verdict.result == Result::never, may && (!lost_track || *says != '\0')) << code;
      }
    }
  }
}

// The address that a reply repeats is not what it says.
TEST(ReplyRules, AddressesAreNoWords) {
  const auto judged = [](const std::string& text, EnhancedStatus status) {
    return judge({Phase::rcpt, Reason::none, 550, status, false, text}, ReplyRules::shipped());
  };
  EXPECT_EQ(judged("<dmarc@example.com>: Recipient address rejected: User unknown", {5, 1, 1}).kind,
            Kind::hard);
  EXPECT_EQ(judged("<dmarc-reports@example.com>: No such user here", {}).kind, Kind::hard);
  EXPECT_EQ(judged("The user rdns@spam.example.com does not exist", {5, 1, 1}).kind, Kind::hard);
  EXPECT_EQ(judged("foo@example.com...User unknown", {}).kind, Kind::hard);
  const Rules rules = read(rule("mine", "text = 'to \\S+@\\S+ refused'"));
  EXPECT_EQ(rule_of(rcpt(554, "mail to spam@example.com refused"), rules), "mine");
}

// Each had been taken for something that it is not.
TEST(ReplyRules, WhatIsEasilyMisread) {
  const struct {
    Phase stage;
    uint16_t code;
    EnhancedStatus status;
    const char* text;
    Result result;
    Scope scope;
    Kind kind;
  } kCases[] = {
      {Phase::rcpt,
       550,
       {5, 2, 1},
       "The user you are trying to contact is receiving mail at a rate that prevents additional "
       "messages from being delivered.",
       Result::never,
       Scope::recipient,
       Kind::soft},
      {Phase::mail,
       550,
       {5, 7, 1},
       "STARTTLS is required to send mail",
       Result::later,
       Scope::host,
       Kind::other},
      {Phase::rcpt,
       554,
       {5, 7, 1},
       "Session encryption is required",
       Result::later,
       Scope::host,
       Kind::other},
      {Phase::mail, 523, {5, 7, 10}, "Encryption needed", Result::later, Scope::host, Kind::other},
      {Phase::rcpt,
       554,
       {},
       "Your access to this mail system has been suspended due to spam",
       Result::never,
       Scope::source,
       Kind::block},
      {Phase::rcpt,
       554,
       {},
       "We no longer accept mail from your IP, blacklisted",
       Result::never,
       Scope::source,
       Kind::block},
      {Phase::rcpt,
       550,
       {},
       "Access from 192.0.2.3 disabled: listed at zen.spamhaus.org",
       Result::never,
       Scope::source,
       Kind::block},
      {Phase::rcpt,
       550,
       {},
       "Sender domain does not exist",
       Result::never,
       Scope::message,
       Kind::other},
      {Phase::rcpt,
       553,
       {},
       "Domain of sender does not exist",
       Result::never,
       Scope::message,
       Kind::other},
      {Phase::rcpt,
       554,
       {5, 7, 1},
       "<a@b.test>: Recipient address rejected: Access denied",
       Result::never,
       Scope::recipient,
       Kind::block},
      {Phase::end_of_data,
       554,
       {5, 7, 1},
       "Service unavailable; Client host [192.0.2.3] blocked using zen.spamhaus.org",
       Result::never,
       Scope::source,
       Kind::block},
      {Phase::rcpt,
       550,
       {},
       "This account has been suspended",
       Result::never,
       Scope::recipient,
       Kind::hard},
      {Phase::rcpt,
       550,
       {},
       "The mailbox is no longer available",
       Result::never,
       Scope::recipient,
       Kind::hard},
  };
  for (const auto& each : kCases) {
    const Verdict verdict =
        judge({each.stage, Reason::none, each.code, each.status, false, each.text},
              ReplyRules::shipped());
    EXPECT_EQ(verdict.result, each.result) << each.text;
    EXPECT_EQ(verdict.scope, each.scope) << each.text;
    EXPECT_EQ(verdict.kind, each.kind) << each.text;
  }
}

// Whatever else it says.
TEST(ReplyRules, AGreylistersReplyStaysOne) {
  const Verdict verdict =
      judge({Phase::rcpt,
             Reason::none,
             450,
             {4, 7, 1},
             false,
             "Greylisted; your host has no reverse DNS, try again in 5 minutes"},
            ReplyRules::shipped());
  EXPECT_EQ(verdict.result, Result::later);
  EXPECT_TRUE(verdict.greylisted);
  EXPECT_EQ(verdict.retry_after_ns, 5 * kMinuteNs);
}

// Patterns that keep much in mind are slow, not wrong.
TEST(ReplyRules, HeavyPatternsStillFind) {
  std::string text;
  for (int i = 0; i < 60; ++i) {
    text += rule("heavy-" + std::to_string(i), "text = 'a.{200}b" + std::to_string(i) + "c'");
  }
  const Rules rules = read(text);
  const std::string many(1000 - 210, 'a');
  EXPECT_EQ(rule_of(rcpt(554, many + std::string(201, '-') + "b17c"), rules), "recipient-refused");
  EXPECT_EQ(rule_of(rcpt(554, many + std::string(200, 'a') + "b17c"), rules), "heavy-17");
}

TEST(ReplyRules, FaultsAreNamedWithTheirPlaceAndWhatToDo) {
  const std::string fine = "scope = 'source'\nkind = 'block'\nclass = 'other'\n";
  const auto of = [&fine](const std::string& lines) {
    return "\n[[rules]]\nname = 'it'\n" + lines + "\n" + fine;
  };
  const struct {
    std::string text, error;
  } kCases[] = {
      {of("text = '\\Qour own [words]'"), "cannot be used"},
      {of("text = 'a'\nstatus = '5.7.'"), "no enhanced status"},
      {of("text = 'a)|(?:b'"), "cannot be used"},
      {"[[rules]\n", "own.toml:1:"},
      {"[[rules]\n", "not TOML"},
      {"\nrule = 1\n", "own.toml:2:1: there is no \"rule\" here; write [texts] or [[rules]]"},
      {"[texts]\nunknwon = ['x']\n", "own.toml:2:1: there is no class of texts \"unknwon\"; there"},
      {"[texts]\nspam = ['x', '(']\n", "own.toml:2:14: the pattern \"(\" cannot be used: missing"},
      {"[texts]\nspam = ['x*']\n", "it is found in every text"},
      {"[texts]\nspam = [1]\n", "own.toml:2:9: no text; write a pattern in quotes"},
      {"[texts]\nspam = []\n", "own.toml:2:8: an empty list"},
      {"rules = 1\n", "head each one [[rules]]"},
      {"[[rules]]\ntext = 'x'\n" + fine, "own.toml:1:1: rule \"\" says no name; add it"},
      {"[[rules]]\nname = 'A b'\n", "own.toml:2:8: no name of a rule; write up to 64 of a-z"},
      {"[[rules]]\nname = 'it'\ntext = 'x'\n", "rule \"it\" says no scope; add it"},
      {of("txt = 'x'"), "own.toml:4:1: a rule has no \"txt\"; it has name, stages, code"},
      {of("text = 'x'\nresult = 'delivered'"), "\"delivered\" is no result; write one of later, n"},
      {of("text = 'x'\nresult = 'in_doubt'"), "\"in_doubt\" is no result"},
      {of("text = 'x'\ncode = 450\nresult = 'never'"), "own.toml:2:1: rule \"it\" says never of a"},
      {of("text = 'x'\nstages = ['greeting']\nresult = 'never'"), "before or after a transaction"},
      {of("text = 'x'\nstages = ['rpct']"), "own.toml:5:11: no stage; write some of connect, gre"},
      {of("text = 'x'\nstages = 'rcpt'"), "no list of stages"},
      {of("text = 'x'\ncode = 250"), "own.toml:5:8: no code; write one from 400 to 599"},
      {of("text = 'x'\ncode = '552-550'"), "no code"},
      {of("text = 'x'\nstatus = '5'"), "own.toml:5:10: no enhanced status; write \"5.7.26\""},
      {of("text = 'x'\nstatus = '2.1.5'"), "no enhanced status"},
      {of("text = 'x'\ncode = 450\nstatus = '5.1.1'"), "fits nothing"},
      {of("text = 'x'\nnew_transaction = true"), "asks for a new transaction"},
      {of("text = 'x'\ngreylisted = true"), "speaks of a greylister"},
      {of("text = 'x'\ngreylisted = 1"), "neither true nor false"},
      {of("result = 'later'"), "asks for nothing; give it a text, a code or a status"},
      {of("text = 'x'") + of("text = 'y'"), "own.toml:9:1: rule \"it\" stands here twice"},
      {"[[rules]]\nname = 'it'\nclass = 'bad'\n", "\"bad\" is no class; write one of bad-config"},
      {"[[rules]]\nname = 'it'\nkind = 'bad'\n", "\"bad\" is no kind; write one of hard, soft, bl"},
  };
  for (const auto& it : kCases) {
    const auto rules = ReplyRules::make(it.text, "own.toml");
    ASSERT_FALSE(rules.ok()) << it.text;
    EXPECT_NE(rules.status().message().find(it.error), std::string::npos)
        << it.text << "\n→ " << rules.status().message();
  }
  const auto absent = ReplyRules::load("/nonexistent/replies.toml");
  EXPECT_TRUE(absl::IsNotFound(absent.status())) << absent.status().ToString();
  EXPECT_FALSE(ReplyRules::load("/").ok());
}

TEST(ReplyRules, StagesAreNamedAsInEvents) {
  EXPECT_EQ(stage_named("rcpt"), Phase::rcpt);
  EXPECT_EQ(stage_named("RCPT"), Phase::rcpt);
  EXPECT_EQ(stage_named("end-of-data"), Phase::end_of_data);
  EXPECT_EQ(stage_named("end of data"), Phase::end_of_data);
  EXPECT_EQ(stage_named("content"), Phase::body);
  EXPECT_EQ(stage_named("dot"), std::nullopt);
  EXPECT_EQ(stage_named(""), std::nullopt);
}

}  // namespace
}  // namespace veredus::smtp
