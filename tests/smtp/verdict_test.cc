#include "engine/smtp/verdict.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace veredus::smtp {
namespace {

using R = Result;
using S = Scope;
using K = Kind;
using C = BounceClass;

struct Case {
  Phase stage;
  uint16_t code;
  EnhancedStatus enhanced;
  const char* text;
  Result result;
  Scope scope;
  Kind kind;
  BounceClass bounce_class;
};

// Replies as the large receivers give them, and what they mean.
TEST(Verdict, Replies) {
  const EnhancedStatus none;
  const std::vector<Case> cases = {
      {Phase::end_of_data, 250, {2, 0, 0}, "OK", R::delivered, S::recipient, K::none, C::none},
      {Phase::end_of_data,
       250,
       {2, 1, 5},
       "spam? no: ok",
       R::delivered,
       S::recipient,
       K::none,
       C::none},
      // A 2xx anywhere else is no delivery.
      {Phase::rcpt, 250, {2, 1, 5}, "OK", R::later, S::host, K::other, C::protocol_errors},
      {Phase::data, 250, none, "OK", R::later, S::host, K::other, C::protocol_errors},
      {Phase::body, 250, none, "OK", R::later, S::host, K::other, C::protocol_errors},

      {Phase::greeting, 554, none, "no service", R::later, S::host, K::other, C::bad_connection},
      {Phase::greeting, 554, none, "IP found on the Spamhaus Blocklist", R::later, S::source,
       K::block, C::spam_related},
      {Phase::greeting,
       550,
       {5, 7, 1},
       "go away",
       R::later,
       S::source,
       K::block,
       C::policy_related},
      {Phase::greeting, 421, none, "too busy", R::later, S::host, K::soft, C::bad_connection},
      {Phase::ehlo, 550, none, "who?", R::later, S::host, K::other, C::bad_connection},
      {Phase::helo, 450, none, "who?", R::later, S::host, K::soft, C::bad_connection},
      {Phase::rset, 500, none, "what?", R::later, S::host, K::other, C::bad_connection},
      {Phase::idle, 421, none, "idle", R::later, S::host, K::soft, C::bad_connection},

      {Phase::mail, 550, none, "no", R::never, S::message, K::other, C::other},
      {Phase::mail, 451, none, "no", R::later, S::message, K::soft, C::other},
      {Phase::mail, 553, none, "bad sender", R::never, S::message, K::other, C::invalid_sender},
      {Phase::mail,
       501,
       {5, 1, 7},
       "bad sender",
       R::never,
       S::message,
       K::other,
       C::invalid_sender},
      {Phase::mail,
       450,
       {4, 1, 8},
       "domain not found",
       R::later,
       S::message,
       K::soft,
       C::invalid_sender},
      {Phase::mail,
       552,
       {5, 3, 4},
       "message size exceeds fixed limit",
       R::never,
       S::message,
       K::other,
       C::content_related},
      {Phase::mail,
       452,
       {4, 3, 1},
       "insufficient system storage",
       R::later,
       S::host,
       K::soft,
       C::other},
      {Phase::mail,
       503,
       {5, 5, 1},
       "nested MAIL command",
       R::later,
       S::host,
       K::other,
       C::protocol_errors},
      {Phase::mail, 502, none, "not implemented", R::later, S::host, K::other, C::protocol_errors},
      {Phase::mail,
       550,
       {5, 7, 606},
       "Access denied, banned sending IP [192.0.2.1]",
       R::never,
       S::source,
       K::block,
       C::policy_related},
      {Phase::mail, 555, none, "unknown parameter", R::never, S::message, K::other,
       C::protocol_errors},

      {Phase::rcpt,
       550,
       {5, 1, 1},
       "The email account that you tried to reach does not exist",
       R::never,
       S::recipient,
       K::hard,
       C::bad_mailbox},
      {Phase::rcpt,
       550,
       {5, 1, 1},
       "blocked, see https://spam.example/",
       R::never,
       S::recipient,
       K::hard,
       C::bad_mailbox},
      {Phase::rcpt, 550, {5, 1, 2}, "bad domain", R::never, S::recipient, K::hard, C::bad_domain},
      {Phase::rcpt, 556, {5, 1, 10}, "null MX", R::never, S::recipient, K::hard, C::bad_domain},
      {Phase::rcpt,
       550,
       {5, 2, 1},
       "The email account is disabled",
       R::never,
       S::recipient,
       K::hard,
       C::inactive_mailbox},
      {Phase::rcpt,
       450,
       {4, 2, 1},
       "The user is receiving mail too quickly",
       R::later,
       S::recipient,
       K::soft,
       C::policy_related},
      {Phase::rcpt, 552, {5, 2, 2}, "over quota", R::never, S::recipient, K::soft, C::quota_issues},
      {Phase::rcpt, 452, {4, 2, 2}, "over quota", R::later, S::recipient, K::soft, C::quota_issues},
      {Phase::rcpt, 452, none, "mailbox full", R::later, S::recipient, K::soft, C::quota_issues},
      {Phase::rcpt, 552, none, "exceeded storage allocation", R::never, S::recipient, K::soft,
       C::quota_issues},
      {Phase::rcpt, 452, none, "try later", R::later, S::recipient, K::soft, C::quota_issues},
      {Phase::rcpt,
       550,
       {5, 4, 1},
       "Recipient address rejected: Access denied",
       R::never,
       S::recipient,
       K::hard,
       C::bad_mailbox},
      {Phase::rcpt,
       550,
       {5, 4, 6},
       "mail loop",
       R::never,
       S::recipient,
       K::other,
       C::routing_errors},
      {Phase::rcpt,
       554,
       {5, 7, 1},
       "<x@y>: Relay access denied",
       R::never,
       S::recipient,
       K::other,
       C::relaying_issues},
      {Phase::rcpt, 550, none, "relaying denied", R::never, S::recipient, K::other,
       C::relaying_issues},
      {Phase::rcpt, 550, none, "relay.example: no such user here", R::never, S::recipient, K::hard,
       C::bad_mailbox},
      {Phase::rcpt,
       550,
       {5, 7, 1},
       "Client host blocked using zen.spamhaus.org",
       R::never,
       S::source,
       K::block,
       C::spam_related},
      {Phase::rcpt, 554, none, "blocked by RBL: listed in bl.spamcop.net", R::never, S::source,
       K::block, C::spam_related},
      {Phase::rcpt,
       550,
       {5, 7, 129},
       "restricted to members",
       R::never,
       S::recipient,
       K::block,
       C::policy_related},
      {Phase::rcpt,
       451,
       {4, 7, 1},
       "Greylisted, please try again",
       R::later,
       S::recipient,
       K::soft,
       C::policy_related},
      {Phase::rcpt, 451, none, "Graylisting in action", R::later, S::recipient, K::soft,
       C::policy_related},
      {Phase::rcpt,
       421,
       {4, 7, 0},
       "unusual rate of mail from your IP",
       R::later,
       S::source,
       K::block,
       C::policy_related},
      {Phase::rcpt,
       450,
       {4, 7, 28},
       "unusual rate of mail from your IP",
       R::later,
       S::source,
       K::block,
       C::policy_related},
      {Phase::rcpt, 550, none, "no", R::never, S::recipient, K::hard, C::bad_mailbox},
      {Phase::rcpt, 553, none, "no", R::never, S::recipient, K::hard, C::bad_mailbox},
      {Phase::rcpt,
       501,
       {5, 1, 3},
       "bad address syntax",
       R::never,
       S::recipient,
       K::hard,
       C::bad_mailbox},
      {Phase::rcpt, 550, none, "account suspended", R::never, S::recipient, K::hard,
       C::inactive_mailbox},
      {Phase::rcpt, 554, none, "no", R::never, S::recipient, K::other, C::other},
      {Phase::rcpt, 450, none, "no", R::later, S::recipient, K::soft, C::other},
      {Phase::rcpt, 503, none, "need MAIL", R::later, S::host, K::other, C::protocol_errors},

      {Phase::data, 554, none, "no", R::never, S::message, K::other, C::other},
      {Phase::data, 451, none, "no", R::later, S::message, K::soft, C::other},
      {Phase::data, 503, none, "no", R::later, S::host, K::other, C::protocol_errors},

      {Phase::end_of_data,
       550,
       {5, 7, 1},
       "likely unsolicited mail",
       R::never,
       S::message,
       K::block,
       C::spam_related},
      {Phase::end_of_data,
       550,
       {5, 7, 26},
       "unauthenticated",
       R::never,
       S::message,
       K::block,
       C::policy_related},
      {Phase::end_of_data, 554, none, "Virus EICAR found", R::never, S::message, K::block,
       C::virus_related},
      {Phase::end_of_data,
       552,
       {5, 3, 4},
       "too big",
       R::never,
       S::message,
       K::other,
       C::content_related},
      {Phase::end_of_data,
       552,
       {5, 2, 2},
       "over quota",
       R::never,
       S::recipient,
       K::soft,
       C::quota_issues},
      {Phase::end_of_data,
       552,
       {5, 2, 3},
       "too long",
       R::never,
       S::recipient,
       K::other,
       C::content_related},
      {Phase::end_of_data,
       554,
       {5, 6, 0},
       "bad MIME",
       R::never,
       S::message,
       K::other,
       C::content_related},
      {Phase::end_of_data,
       550,
       {5, 1, 1},
       "no such user",
       R::never,
       S::recipient,
       K::hard,
       C::bad_mailbox},
      {Phase::end_of_data,
       554,
       {5, 4, 6},
       "too many hops",
       R::never,
       S::recipient,
       K::other,
       C::routing_errors},
      {Phase::end_of_data, 451, none, "try again", R::later, S::message, K::soft, C::other},
      {Phase::end_of_data, 554, none, "transaction failed", R::never, S::message, K::other,
       C::other},
      {Phase::end_of_data, 354, none, "go on", R::later, S::host, K::other, C::protocol_errors},
  };
  for (const Case& it : cases) {
    const Verdict verdict = judge({it.stage, Reason::none, it.code, it.enhanced, false, it.text});
    const std::string what = std::string(name_of(it.stage)) + " " + std::to_string(it.code) + " " +
                             it.text + " → " + std::string(verdict.rule);
    EXPECT_EQ(name_of(verdict.result), name_of(it.result)) << what;
    EXPECT_EQ(name_of(verdict.scope), name_of(it.scope)) << what;
    EXPECT_EQ(name_of(verdict.kind), name_of(it.kind)) << what;
    EXPECT_EQ(name_of(verdict.bounce_class), name_of(it.bounce_class)) << what;
    EXPECT_FALSE(verdict.new_transaction) << what;
  }
}

TEST(Verdict, TooManyRecipientsNeedsThatOthersWereAccepted) {
  const auto again = [](uint16_t code, EnhancedStatus enhanced, std::string_view text,
                        bool others) {
    const Verdict verdict = judge({Phase::rcpt, Reason::none, code, enhanced, others, text});
    EXPECT_TRUE(!verdict.new_transaction || verdict.result == Result::later);
    return verdict.new_transaction;
  };
  EXPECT_TRUE(again(452, {4, 5, 3}, "too many recipients", true));
  EXPECT_TRUE(again(452, {}, "no more", true));
  EXPECT_TRUE(again(552, {}, "no more", true));
  EXPECT_TRUE(again(552, {5, 5, 3}, "no more", true));
  EXPECT_TRUE(again(451, {4, 5, 3}, "no more", true));
  // Without progress it would go round for ever.
  EXPECT_FALSE(again(452, {4, 5, 3}, "too many recipients", false));
  EXPECT_FALSE(again(452, {}, "too many recipients", false));
  EXPECT_FALSE(again(552, {}, "too many recipients", false));
  // What these codes mean otherwise.
  EXPECT_FALSE(again(452, {4, 2, 2}, "mailbox full", true));
  EXPECT_FALSE(again(452, {}, "mailbox full", true));
  EXPECT_FALSE(again(452, {4, 3, 1}, "disk full", true));
  EXPECT_FALSE(again(552, {5, 2, 2}, "mailbox full", true));
  EXPECT_FALSE(again(552, {5, 2, 3}, "too long", true));
  EXPECT_FALSE(again(450, {}, "too many recipients", true));
}

// RFC 1047: once the content is out, nothing but an understood reply says whether it was taken.
TEST(Verdict, LocalReasons) {
  for (const Reason reason : {Reason::connection_lost, Reason::timed_out, Reason::bad_reply,
                              Reason::unexpected_reply, Reason::local_close, Reason::too_slow}) {
    for (size_t phase = 0; phase < kPhases; ++phase) {
      const auto stage = static_cast<Phase>(phase);
      for (const uint16_t code : {uint16_t{0}, uint16_t{250}, uint16_t{550}}) {
        const Verdict verdict = judge({stage, reason, code, {}, false, "spam 5.1.1"});
        EXPECT_EQ(verdict.result, stage == Phase::end_of_data ? Result::in_doubt : Result::later)
            << words(reason) << " " << name_of(stage);
      }
    }
  }
  for (const Reason reason : {Reason::bad_recipient, Reason::bad_sender, Reason::message_too_big,
                              Reason::needs_8bitmime, Reason::needs_smtputf8}) {
    EXPECT_EQ(judge({Phase::mail, reason, 0, {}, false, {}}).result, Result::never)
        << words(reason);
  }
  for (const Reason reason :
       {Reason::connect_refused, Reason::connect_timed_out, Reason::unreachable}) {
    const Verdict verdict = judge({Phase::connect, reason, 0, {}, false, {}});
    EXPECT_EQ(verdict.result, Result::later) << words(reason);
    EXPECT_EQ(verdict.scope, Scope::host) << words(reason);
  }
}

// Over every stage and code: 4xx is never final, delivered is 2xx at the end of data and nothing
// else.
TEST(Verdict, Everything) {
  for (size_t phase = 0; phase < kPhases; ++phase) {
    const auto stage = static_cast<Phase>(phase);
    for (uint16_t code = 200; code < 600; ++code) {
      for (uint16_t subject = 0; subject < 9; ++subject) {
        for (const bool others : {false, true}) {
          Said said{stage, Reason::none, code, {}, others, "some text"};
          if (subject < 8) said.enhanced = {static_cast<uint16_t>(code / 100), subject, 1};
          const Verdict verdict = judge(said);
          EXPECT_EQ(verdict.result == Result::delivered,
                    stage == Phase::end_of_data && code / 100 == 2);
          EXPECT_NE(verdict.result, Result::in_doubt);
          EXPECT_TRUE(code >= 500 || verdict.result != Result::never);
          if (stage < Phase::mail || stage > Phase::end_of_data) {
            EXPECT_EQ(verdict.result, Result::later);
          }
          EXPECT_FALSE(verdict.rule.empty());
        }
      }
    }
  }
}

TEST(Verdict, NamesAreThoseOfPowerMta) {
  EXPECT_EQ(name_of(BounceClass::bad_mailbox), "bad-mailbox");
  EXPECT_EQ(name_of(BounceClass::no_answer_from_host), "no-answer-from-host");
  EXPECT_EQ(name_of(BounceClass::virus_related), "virus-related");
  std::set<std::string_view> names;
  for (size_t i = 1; i < kBounceClasses; ++i) {
    EXPECT_TRUE(names.insert(name_of(static_cast<BounceClass>(i))).second);
  }
  EXPECT_EQ(names.count(""), 0u);
}

}  // namespace
}  // namespace veredus::smtp
