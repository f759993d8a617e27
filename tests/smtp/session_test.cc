// A session over a network and a clock of the test's own: its time limits, its sends, and who owns
// what until when.

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/smtp/scripted_session.h"

namespace veredus::smtp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// -------------------------------------------------------------------------------------------------
// connecting

TEST_F(SessionTest, NoSocketIsSaidAtOnce) {
  network_.no_sockets = true;
  EXPECT_FALSE(session_.dial({{192, 0, 2, 1}, 25, 4}, {}, settings_));
  EXPECT_EQ(closings_ + gone_, 0);
  network_.no_sockets = false;
  be_idle();
}

TEST_F(SessionTest, ConnectRefused) {
  dial();
  network_.events->on_connected(ECONNREFUSED);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].outgoing, nullptr);
  EXPECT_EQ(heard_[0].reason, Reason::connect_refused);
  EXPECT_EQ(closings_, 1);
  EXPECT_EQ(gone_, 0) << "the socket is still the kernel's";
  closed();
  EXPECT_EQ(gone_, 1);
}

TEST_F(SessionTest, ConnectTimesOut) {
  world_.limits.connect_ns = 30 * kSecond;
  dial();
  pass(30 * kSecond - 1);
  EXPECT_THAT(heard_, IsEmpty());
  pass(kSecond);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::connect_timed_out);
  // A connect that comes through all the same changes nothing.
  network_.events->on_connected(0);
  submit();
  EXPECT_THAT(network_.sends, IsEmpty());
  closed();
}

// ------------------------------------------------------------------------------------ time limits
// The six of RFC 5321 §4.5.3.2: time_outs_test.cc.

// The host has answered what it has not read, and reads no more: nobody else would end it.
TEST_F(SessionTest, WhatIsAnsweredAndNotReadEnds) {
  be_idle("250-CHUNKING\r\n250-PIPELINING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  hear("250 ok\r\n250 ok\r\n250 taken\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].result, Result::delivered);
  session_.leave();
  pass(3 * kMinute - kSecond);
  EXPECT_FALSE(network_.closing);
  pass(2 * kSecond);
  EXPECT_TRUE(network_.closing);
  closed();
  EXPECT_EQ(freed_.size(), 1u);
}
// One that reads it late is as good as any.
TEST_F(SessionTest, WhatIsAnsweredAndReadLateGoesOn) {
  be_idle("250-CHUNKING\r\n250-PIPELINING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  hear("250 ok\r\n250 ok\r\n250 taken\r\n");
  pass(2 * kMinute);
  sent();
  pass(10 * kMinute);
  EXPECT_FALSE(network_.closing);
  EXPECT_EQ(ready_, 2);
}

TEST_F(SessionTest, EveryReplyBeginsTheTimeAnew) {
  be_idle();
  Mail mail({"x@y.test", "z@y.test"});
  offer(mail);
  sent();
  pass(4 * kMinute);
  hear("250 ok\r\n");
  sent();
  pass(4 * kMinute);
  hear("250 ok\r\n");
  sent();
  expect_time_out(now_, 5 * kMinute, Phase::rcpt);
}

TEST_F(SessionTest, IdleHasNoLimit) {
  be_idle();
  pass(60 * kMinute);
  EXPECT_THAT(heard_, IsEmpty());
  EXPECT_FALSE(network_.closing);
}

// A server that sends a byte every ten seconds gets no more time than one that is silent.
TEST_F(SessionTest, TimeIsPerReplyNotPerRead) {
  connect();
  const int64_t begun = now_;
  hear("220-");
  while (heard_.empty() && now_ < begun + 20 * kMinute) {
    pass(10 * kSecond);
    if (heard_.empty()) hear("x");
  }
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::timed_out);
  EXPECT_GE(heard_[0].at_ns, begun + 5 * kMinute);
  EXPECT_LE(heard_[0].at_ns, begun + 5 * kMinute + kSecond);
}

// -------------------------------------------------------------------------------------------------
// all of it: a server that is just in time with every single reply

TEST_F(SessionTest, SetupHasALimitOfItsOwn) {
  world_.limits.setup_ns = 7 * kMinute;
  const int64_t begun = now_;
  connect();
  pass(4 * kMinute);
  hear("220 mx.test\r\n");
  sent();
  pass(begun + 7 * kMinute - now_ - 1);
  EXPECT_THAT(heard_, IsEmpty());
  pass(kSecond);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::too_slow);
  EXPECT_EQ(heard_[0].stage, Phase::ehlo);
  closed();
}

TEST_F(SessionTest, TransactionHasALimitOfItsOwn) {
  be_idle();
  pass(60 * kMinute);  // idling before it does not count
  Mail mail({"a@y.test", "b@y.test", "c@y.test", "d@y.test", "e@y.test", "f@y.test", "g@y.test",
             "h@y.test", "i@y.test", "j@y.test"});
  const int64_t begun = now_;
  offer(mail);
  while (heard_.empty() && now_ < begun + 60 * kMinute) {
    if (network_.sending) sent();
    pass(4 * kMinute);
    if (heard_.empty()) hear("250 ok\r\n");
  }
  ASSERT_EQ(heard_.size(), 11u) << "ten recipients, and the session itself";
  for (const Heard& one : heard_) {
    EXPECT_EQ(one.reason, Reason::too_slow);
    EXPECT_EQ(one.result, Result::later);
    EXPECT_EQ(one.stage, Phase::rcpt);
  }
  EXPECT_GE(heard_[0].at_ns, begun + 30 * kMinute);
  EXPECT_LE(heard_[0].at_ns, begun + 30 * kMinute + kSecond);
  closed();
}

TEST_F(SessionTest, EveryTransactionHasItsOwnTime) {
  be_idle("250-PIPELINING\r\n");
  for (int i = 0; i < 5; ++i) {
    Mail mail({"x@y.test"});
    offer(mail);
    sent();
    pass(4 * kMinute);
    hear("250 ok\r\n250 ok\r\n354 go\r\n");
    sent();
    pass(9 * kMinute);
    hear("250 ok\r\n");
    ASSERT_EQ(heard_.size(), static_cast<size_t>(i) + 1);
    EXPECT_EQ(heard_.back().result, Result::delivered);
  }
}

// A block that is taken just within its three minutes would let 40 MB take eight hours.
TEST_F(SessionTest, ContentHasALeastRate) {
  world_.limits.content_bytes_per_s = 4096;
  be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
  Mail mail({"x@y.test"}, std::string(8 * 1024 * 1024 - 2, 'x') + "\r\n");
  const int64_t begun = now_;
  offer(mail);
  while (heard_.empty() && now_ < begun + 120 * kMinute) {
    pass(170 * kSecond);
    if (heard_.empty()) sent();
  }
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_EQ(heard_[0].reason, Reason::too_slow);
  EXPECT_EQ(heard_[0].result, Result::later);
  const int64_t limit = 30 * kMinute + 2048 * kSecond;
  EXPECT_GE(heard_[0].at_ns, begun + limit);
  EXPECT_LE(heard_[0].at_ns, begun + limit + kSecond);
  closed();
}

// -------------------------------------------------------------------------------------------------
// content

TEST_F(SessionTest, LargeContentGoesInBlocksAndIsInDoubtOnlyBehindTheLast) {
  for (const bool last_too : {false, true}) {
    SCOPED_TRACE(last_too);
    heard_.clear();
    freed_.clear();
    ready_ = 0;
    be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
    Mail mail({"x@y.test"}, std::string(600 * 1024 - 2, 'x') + "\r\n");
    const std::string body = mail.body;
    offer(mail);
    ASSERT_EQ(network_.sends.size(), 1u);
    sent();
    ASSERT_EQ(network_.sends.size(), 2u);
    if (last_too) {
      sent();
      ASSERT_EQ(network_.sends.size(), 3u);
      EXPECT_TRUE(network_.wire.ends_with(body)) << "the blocks are not the content";
      EXPECT_EQ(network_.wire.size() - network_.wire.find("LAST\r\n") - 6, body.size());
    }
    network_.events->on_ended(0);
    ASSERT_FALSE(heard_.empty());
    EXPECT_EQ(heard_[0].outgoing, &mail);
    EXPECT_EQ(heard_[0].result, last_too ? Result::in_doubt : Result::later);
    EXPECT_THAT(freed_, IsEmpty()) << "the kernel still reads it";
    closed();
    EXPECT_THAT(freed_, ElementsAre(&mail));
  }
}

TEST_F(SessionTest, ReplyOvertakesTheEndOfTheSend) {
  be_idle("250-PIPELINING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  hear("250 ok\r\n250 ok\r\n354 go\r\n");  // on_sent has not come
  ASSERT_EQ(network_.sends.size(), 1u) << "a second send while one is under way";
  sent();
  ASSERT_EQ(network_.sends.size(), 2u);
  EXPECT_TRUE(network_.sends[1].ends_with("Hello\r\n.\r\n"));
  hear("250 2.0.0 stored\r\n");  // again
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].result, Result::delivered);
  EXPECT_THAT(freed_, IsEmpty()) << "the kernel still reads it";
  EXPECT_EQ(ready_, 1) << "not ready while a send is under way";
  sent();
  EXPECT_THAT(freed_, ElementsAre(&mail));
  EXPECT_EQ(ready_, 2);
}

// The content is refused while it is on its way: its recipients are settled, its bytes are not
// free.
TEST_F(SessionTest, RefusedWhileTheContentIsOnItsWay) {
  be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
  Mail mail({"x@y.test"}, std::string(400 * 1024 - 2, 'x') + "\r\n");
  offer(mail);
  hear("550 5.7.1 not you\r\n503 no\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_THAT(freed_, IsEmpty());
  sent();
  EXPECT_THAT(freed_, IsEmpty());
  sent();
  EXPECT_THAT(freed_, ElementsAre(&mail));
  EXPECT_EQ(ready_, 1);
  hear("503 no\r\n");
  EXPECT_EQ(ready_, 2) << "the session goes on";
}

TEST_F(SessionTest, AbortWithASendUnderWay) {
  be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
  Mail mail({"x@y.test", "z@y.test"});
  offer(mail);
  session_.abort();
  ASSERT_GE(heard_.size(), 2u);
  EXPECT_EQ(heard_[0].result, Result::in_doubt);
  EXPECT_THAT(freed_, IsEmpty());
  EXPECT_TRUE(network_.closing);
  // What the kernel still says is not heard.
  network_.events->on_sent(0);
  network_.events->on_received("250 ok\r\n");
  network_.events->on_ended(0);
  EXPECT_EQ(gone_, 0);
  closed();
  EXPECT_THAT(freed_, ElementsAre(&mail));
  EXPECT_EQ(gone_, 1);
  pass(20 * kMinute);
  EXPECT_EQ(closings_, 1);
}

// ---------------------------------------------------------------------------------------------
// leaving, early mail

TEST_F(SessionTest, LeaveWhileBusy) {
  be_idle("250-PIPELINING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  session_.leave();
  EXPECT_FALSE(session_.may_offer());
  sent();
  hear("250 ok\r\n250 ok\r\n354 go\r\n");
  sent();
  hear("250 2.0.0 stored\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].result, Result::delivered);
  EXPECT_TRUE(network_.wire.ends_with("\r\n.\r\nQUIT\r\n"));
  EXPECT_EQ(ready_, 1);
  sent();
  hear("221 bye\r\n");
  EXPECT_EQ(heard_.size(), 1u) << "a good end is no outcome";
  closed();
  EXPECT_EQ(gone_, 1);
}

TEST_F(SessionTest, LeaveBeforeTheGreeting) {
  connect();
  session_.leave();
  EXPECT_TRUE(network_.closing);
  EXPECT_THAT(network_.sends, IsEmpty());
  closed();
}

TEST_F(SessionTest, EarlyMailWithTwoTransactions) {
  settings_.allow_early_mail = true;
  be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
  Mail first({"x@y.test"}), second({"z@y.test"}), third({"w@y.test"});
  offer(first);
  hear("250 ok\r\n250 ok\r\n");
  EXPECT_EQ(ready_, 1) << "a send is under way";
  sent();
  EXPECT_EQ(ready_, 2);
  ASSERT_TRUE(session_.may_offer());
  pass(kSecond);
  offer(second);
  sent();
  EXPECT_FALSE(session_.may_offer()) << "a third one";
  hear("250 2.0.0 stored\r\n250 ok\r\n250 ok\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].outgoing, &first);
  EXPECT_EQ(heard_[0].result, Result::delivered);
  EXPECT_THAT(freed_, ElementsAre(&first));
  EXPECT_EQ(second.moments.offered_ns - first.moments.offered_ns, kSecond)
      << "each has its own times";
  ASSERT_TRUE(session_.may_offer());
  offer(third);
  network_.events->on_ended(ECONNRESET);
  ASSERT_EQ(heard_.size(), 4u);
  EXPECT_EQ(heard_[1].outgoing, &second);
  EXPECT_EQ(heard_[1].result, Result::in_doubt);
  EXPECT_EQ(heard_[2].outgoing, &third);
  EXPECT_EQ(heard_[2].result, Result::in_doubt);
  EXPECT_EQ(heard_[3].outgoing, nullptr);
  closed();
  EXPECT_EQ(freed_.size(), 3u);
}

// A refused BDAT leaves a transaction to be reset: who was told "ready" before must ask again.
TEST_F(SessionTest, EarlyMailIsNotOfferedIntoAReset) {
  settings_.allow_early_mail = true;
  be_idle("250-PIPELINING\r\n250-CHUNKING\r\n");
  Mail first({"x@y.test"});
  offer(first);
  sent();
  hear("250 ok\r\n250 ok\r\n");
  EXPECT_EQ(ready_, 2);
  hear("451 later\r\n");
  EXPECT_TRUE(network_.wire.ends_with("RSET\r\n"));
  EXPECT_FALSE(session_.may_offer());
  sent();
  EXPECT_FALSE(session_.may_offer());
  hear("250 ok\r\n");
  EXPECT_TRUE(session_.may_offer());
  EXPECT_EQ(ready_, 3);
}

}  // namespace
}  // namespace veredus::smtp
