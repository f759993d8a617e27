#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/smtp/verdict.h"

namespace veredus::smtp {
namespace {

using S = Scope;
using K = Kind;

// Replies that say when to come back, and those of greylisters: what they mean, and for whom.
TEST(Verdict, WhenToComeBack) {
  constexpr int64_t kSecond = 1'000'000'000;
  const EnhancedStatus none;
  struct Row {
    Phase stage;
    uint16_t code;
    EnhancedStatus enhanced;
    const char* text;
    const char* rule;
    Scope scope;
    Kind kind;
    bool greylisted;
    int64_t retry_after_s;
  };
  const std::vector<Row> rows = {
      // Greylisters, at RCPT and later: the recipient's own matter, whatever the status.
      {Phase::rcpt,
       450,
       {4, 2, 0},
       "<a@b>: Recipient address rejected: Greylisted for 300 seconds",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       300},
      {Phase::rcpt,
       451,
       {4, 7, 1},
       "Greylisting in action, please come back in 00:04:32",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       272},
      {Phase::rcpt,
       422,
       {4, 2, 2},
       "Greylisted, please try again in a few moments.",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       0},
      {Phase::rcpt,
       450,
       {4, 1, 8},
       "Sender address rejected: Greylisted for 57 sec.",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       57},
      {Phase::rcpt,
       450,
       {4, 2, 1},
       "too many new senders, greylisted",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       0},
      {Phase::rcpt, 451, none, "greylisted, see http://rbl.example.org/spam", "greylisted",
       S::recipient, K::soft, true, 0},
      {Phase::mail, 451, none, "Greylisted, please try again in 900 seconds", "greylisted",
       S::recipient, K::soft, true, 900},
      {Phase::end_of_data,
       451,
       {4, 7, 1},
       "Try again later",
       "greylisted",
       S::recipient,
       K::soft,
       true,
       0},
      {Phase::rcpt, 450, none, "not yet authorized to deliver mail from <a@b>", "greylisted",
       S::recipient, K::soft, true, 0},
      // A host that closes, or says so before there is a recipient.
      {Phase::rcpt,
       421,
       {4, 7, 1},
       "Greylisted, retry in 5 minutes",
       "closing-greylisted",
       S::host,
       K::soft,
       true,
       300},
      {Phase::mail,
       421,
       {4, 7, 0},
       "[GL01] Message from (192.0.2.1) temporarily deferred",
       "closing-greylisted",
       S::host,
       K::soft,
       true,
       0},
      {Phase::greeting,
       450,
       {4, 7, 1},
       "greylisted, wait 60 seconds",
       "session-greylisted",
       S::host,
       K::soft,
       true,
       60},
      // Not greylisters.
      {Phase::greeting, 421, none, "Try again later", "closing", S::host, K::soft, false, 0},
      {Phase::ehlo, 450, none, "Try again later", "session-later", S::host, K::soft, false, 0},
      {Phase::rcpt,
       450,
       {4, 2, 0},
       "mailbox busy, try again in 2 minutes",
       "recipient-later",
       S::recipient,
       K::soft,
       false,
       120},
      {Phase::rcpt, 550, none, "greylisted: no such user, try again in 5 minutes", "words-unknown",
       S::recipient, K::hard, false, 0},
      // The host.
      {Phase::greeting, 421, none, "too busy, try again in 5 minutes", "closing", S::host, K::soft,
       false, 300},
      {Phase::mail,
       421,
       {4, 3, 2},
       "too many connections, please try again later",
       "closing",
       S::host,
       K::soft,
       false,
       0},
      {Phase::greeting, 554, none, "no service for 1 hour, come back in 1 hour", "session-refused",
       S::host, K::other, false, 3600},
      {Phase::mail,
       452,
       {4, 3, 1},
       "insufficient storage, wait 10 minutes",
       "host-storage",
       S::host,
       K::soft,
       false,
       600},
      // Our source is throttled.
      {Phase::mail,
       421,
       {4, 7, 0},
       "[TSS04] Messages from 192.0.2.1 temporarily deferred",
       "closing-policy",
       S::source,
       K::block,
       false,
       0},
      {Phase::greeting, 421, none, "[IPTS04] Messages from 192.0.2.1 temporarily deferred",
       "closing-rate", S::source, K::block, false, 0},
      {Phase::mail, 421, none, "rate limit exceeded, try again in 15 minutes", "closing-rate",
       S::source, K::block, false, 900},
      {Phase::end_of_data,
       421,
       {4, 7, 28},
       "[192.0.2.1] Our system has detected an unusual rate",
       "closing-policy",
       S::source,
       K::block,
       false,
       0},
      {Phase::rcpt,
       451,
       {4, 7, 500},
       "Server busy. Please try again later from [192.0.2.1].",
       "rate-later",
       S::source,
       K::block,
       false,
       0},
      {Phase::mail,
       451,
       {4, 7, 650},
       "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
       "block-later",
       S::source,
       K::block,
       false,
       0},
      {Phase::rcpt,
       450,
       {4, 7, 1},
       "Error: too much mail from 192.0.2.1",
       "rate-later",
       S::source,
       K::block,
       false,
       0},
      {Phase::rcpt,
       451,
       {4, 7, 1},
       "Client host rejected: Please try again slower",
       "rate-later",
       S::source,
       K::block,
       false,
       0},
      {Phase::mail,
       451,
       {4, 7, 1},
       "throttled for 2 hours",
       "rate-later",
       S::source,
       K::block,
       false,
       7200},
      // One recipient who gets too much.
      {Phase::rcpt,
       450,
       {4, 2, 1},
       "The user is receiving mail too quickly. Retry in 1 hour",
       "recipient-rate",
       S::recipient,
       K::soft,
       false,
       3600},
  };
  for (const Row& row : rows) {
    const Verdict verdict =
        judge({row.stage, Reason::none, row.code, row.enhanced, false, row.text});
    const std::string what = std::string(name_of(row.stage)) + " " + row.text;
    EXPECT_EQ(verdict.rule, row.rule) << what;
    EXPECT_EQ(name_of(verdict.scope), name_of(row.scope)) << what;
    EXPECT_EQ(name_of(verdict.kind), name_of(row.kind)) << what;
    EXPECT_EQ(verdict.greylisted, row.greylisted) << what;
    EXPECT_EQ(verdict.retry_after_ns, row.retry_after_s * kSecond) << what;
  }
  // Without a reply that decided, none says when.
  for (const Reason reason : {Reason::connection_lost, Reason::timed_out, Reason::local_close}) {
    for (const Phase stage : {Phase::rcpt, Phase::end_of_data}) {
      const Verdict verdict =
          judge({stage, reason, 451, none, false, "greylisted, try again in 5 minutes"});
      EXPECT_FALSE(verdict.greylisted) << words(reason);
      EXPECT_EQ(verdict.retry_after_ns, 0) << words(reason);
    }
  }
  const Verdict taken = judge(
      {Phase::end_of_data, Reason::none, 250, none, false, "greylisted, try again in 5 minutes"});
  EXPECT_EQ(taken.result, Result::delivered);
  EXPECT_FALSE(taken.greylisted);
  EXPECT_EQ(taken.retry_after_ns, 0);
}

}  // namespace
}  // namespace veredus::smtp
