// A session under TLS, with OpenSSL's own server at the other end.

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/tls_server.h"
#include "tests/smtp/scripted_session.h"

namespace veredus::smtp {
namespace {

using test::TlsServer;
using test::TlsServerContext;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SessionTlsTest : public SessionTest {
 protected:
  SessionTlsTest() { settings_.tls = TlsUse::opportunistic; }
  io::TlsPeer tls_peer(const Session&) override { return {"mx.test"}; }

  void be_asked_for_tls() {
    connect();
    hear("220 mx.test\r\n");
    sent();
    hear("250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
    sent();
    EXPECT_EQ(network_.sends.back(), "STARTTLS\r\n");
    in_clear_ = network_.wire.size();
  }
  // What was sent since the last call goes to the server; what that says is heard.
  void exchange() {
    for (bool more = true; more;) {
      more = false;
      if (in_clear_ < network_.wire.size()) {
        server_->receive(std::string_view(network_.wire).substr(in_clear_));
        in_clear_ = network_.wire.size();
        more = true;
      }
      const std::string down = server_->take();
      more = more || !down.empty();
      // The answer may be there before the kernel has said that our part is out.
      if (overtakes_ && !down.empty()) hear(down);
      if (network_.sending) sent();
      if (!overtakes_ && !down.empty()) hear(down);
      if (network_.closing) return;
    }
  }
  void begin_tls() {
    server_ = std::make_unique<TlsServer>(context_);
    be_asked_for_tls();
    hear("220 go ahead\r\n");
    exchange();
  }
  void answer(const std::string& text) {
    server_->say(text);
    exchange();
  }
  void be_idle_under_tls(const std::string& capabilities = "") {
    begin_tls();
    ASSERT_TRUE(server_->done());
    EXPECT_EQ(server_->heard(), "EHLO mta.test\r\n");
    EXPECT_EQ(ready_, 0) << "nothing that was said in clear counts";
    answer("250-mx.test\r\n" + capabilities + "250 SIZE\r\n");
    ASSERT_EQ(ready_, 1);
    heard_at_ = server_->heard().size();
  }
  // What nobody could have sent: the peer, or somebody between.
  void expect_end_by_a_changed_record(Result result) {
    server_->say("250 ok\r\n");
    std::string record = server_->take();
    record.back() = static_cast<char>(record.back() ^ 1);
    hear(record);
    ASSERT_FALSE(heard_.empty());
    EXPECT_EQ(heard_[0].reason, Reason::tls_failed);
    EXPECT_EQ(heard_[0].result, result);
    closed();
  }
  std::string said() {
    return server_->heard().substr(std::exchange(heard_at_, server_->heard().size()));
  }
  void end() {
    session_.abort();
    closed();
  }

  TlsServerContext context_;
  std::unique_ptr<TlsServer> server_;
  size_t in_clear_ = 0;  // of what was sent: what the server has got
  size_t heard_at_ = 0;
  bool overtakes_ = false;
};

TEST_F(SessionTlsTest, ATransactionGoesUnderTls) {
  for (const bool overtakes : {false, true}) {
    overtakes_ = overtakes;
    heard_.clear();
    ready_ = 0;
    now_ += kSecond;
    be_idle_under_tls();
    EXPECT_GE(session_.tls_us(), 0);
    EXPECT_EQ(session_.tls()->protocol(), "TLSv1.3");
    Mail mail({"x@y.test"});
    offer(mail);
    exchange();
    EXPECT_EQ(said(), "MAIL FROM:<a@b.test> SIZE=21\r\n") << "PIPELINING was offered in clear only";
    answer("250 ok\r\n");
    answer("250 ok\r\n");
    EXPECT_EQ(said(), "RCPT TO:<x@y.test>\r\nDATA\r\n");
    answer("354 go\r\n");
    EXPECT_EQ(said(), mail.body + ".\r\n");
    answer("250 taken\r\n");
    ASSERT_EQ(heard_.size(), 1u);
    EXPECT_EQ(heard_[0].result, Result::delivered);
    EXPECT_THAT(network_.wire.substr(in_clear_ / 2), Not(HasSubstr("MAIL")));
    EXPECT_THAT(network_.wire, Not(HasSubstr("x@y.test")));
    end();
  }
}

// RFC 8314: what is said in clear is nothing at all. Then who we are, and only then a transaction.
TEST_F(SessionTlsTest, FromTheConnectionOn) {
  auto credentials = std::make_shared<Credentials>();
  credentials->user = "us";
  credentials->password = "secret";
  settings_.implicit_tls = true;
  settings_.credentials = credentials;
  for (const bool overtakes : {false, true}) {
    overtakes_ = overtakes;
    heard_.clear();
    ready_ = 0;
    server_ = std::make_unique<TlsServer>(context_);
    in_clear_ = network_.wire.size();
    connect();
    exchange();
    ASSERT_TRUE(server_->done());
    EXPECT_EQ(session_.dialogue().phase(), Phase::greeting);
    EXPECT_GE(session_.tls_us(), 0);
    answer("220 mx.test\r\n");
    EXPECT_EQ(server_->heard(), "EHLO mta.test\r\n");
    answer("250-mx.test\r\n250 AUTH PLAIN\r\n");
    EXPECT_EQ(server_->heard(), "EHLO mta.test\r\nAUTH PLAIN AHVzAHNlY3JldA==\r\n");
    EXPECT_EQ(ready_, 0);
    answer("235 in\r\n");
    EXPECT_EQ(ready_, 1);
    EXPECT_THAT(heard_, IsEmpty());
    end();
  }
  EXPECT_THAT(network_.wire, Not(HasSubstr("EHLO")));
}

TEST_F(SessionTlsTest, AServerInClearWhereTlsIsToBe) {
  settings_.implicit_tls = true;
  connect();
  hear("220 mx.test ESMTP\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::tls_failed);
  EXPECT_EQ(heard_[0].stage, Phase::tls);
  closed();
}

TEST_F(SessionTlsTest, ContentOfManyBlocks) {
  be_idle_under_tls("250-CHUNKING\r\n250-PIPELINING\r\n");
  std::string text;
  for (int i = 0; text.size() < 1'000'000; ++i) text += "line " + std::to_string(i) + "\r\n";
  Mail mail({"x@y.test"}, text);
  offer(mail);
  exchange();
  EXPECT_EQ(said(), "MAIL FROM:<a@b.test> SIZE=" + std::to_string(text.size()) +
                        "\r\nRCPT TO:<x@y.test>\r\nBDAT " + std::to_string(text.size()) +
                        " LAST\r\n" + text);
  answer("250 ok\r\n250 ok\r\n250 taken\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].result, Result::delivered);
  end();
}

TEST_F(SessionTlsTest, TheNextConnectionResumes) {
  be_idle_under_tls();
  EXPECT_FALSE(session_.tls()->resumed());
  end();
  ready_ = 0;
  heard_.clear();
  be_idle_under_tls();
  EXPECT_TRUE(session_.tls()->resumed());
  end();
}

TEST_F(SessionTlsTest, BytesBehindTheGoAheadEndIt) {
  server_ = std::make_unique<TlsServer>(context_);
  be_asked_for_tls();
  hear("220 go ahead\r\n250-mx.test\r\n250 CHUNKING\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::tls_injected);
  EXPECT_EQ(network_.wire.size(), in_clear_) << "not even a ClientHello";
  closed();
}

TEST_F(SessionTlsTest, BytesInClearInTheHandshakeEndIt) {
  server_ = std::make_unique<TlsServer>(context_);
  be_asked_for_tls();
  hear("220 go ahead\r\n");
  hear("250-mx.test\r\n250 CHUNKING\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::tls_injected);
  EXPECT_EQ(heard_[0].stage, Phase::tls);
  EXPECT_EQ(ready_, 0);
  closed();
}

// The last reply and the end of TLS in one: whatever would be said next cannot be.
TEST_F(SessionTlsTest, AReplyAndTheEndInOne) {
  for (const char* reply : {"554 5.7.1 go away\r\n", "450 not now\r\n", "250 mx.test\r\n"}) {
    heard_.clear();
    begin_tls();
    server_->say(reply);
    server_->say_goodbye();
    hear(server_->take());
    ASSERT_EQ(heard_.empty(), false) << reply;
    EXPECT_EQ(heard_[0].outgoing, nullptr);
    closed();
  }
  heard_.clear();
  ready_ = 0;
  be_idle_under_tls();
  Mail mail({"x@y.test"});
  offer(mail);
  exchange();
  server_->say("250 ok\r\n");
  server_->say_goodbye();
  hear(server_->take());
  ASSERT_FALSE(heard_.empty());
  EXPECT_EQ(heard_[0].result, Result::later);
  EXPECT_EQ(heard_[0].reason, Reason::connection_lost);
  closed();
}

// BDAT that was not sent is not in doubt.
TEST_F(SessionTlsTest, TheEndBeforeTheContentIsNoDoubt) {
  be_idle_under_tls("250-CHUNKING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  exchange();
  answer("250 ok\r\n");
  server_->say("250 ok\r\n");
  server_->say_goodbye();
  hear(server_->take());
  ASSERT_FALSE(heard_.empty());
  EXPECT_EQ(heard_[0].result, Result::later);
  closed();
}

TEST_F(SessionTlsTest, AHandshakeThatStallsTimesOut) {
  server_ = std::make_unique<TlsServer>(context_);
  be_asked_for_tls();
  hear("220 go ahead\r\n");
  sent();
  // One byte every ten seconds does not put it off.
  server_->receive(std::string_view(network_.wire).substr(in_clear_));
  const std::string down = server_->take();
  const int64_t begun = now_;
  for (size_t at = 0; heard_.empty() && at < 10; ++at) {
    hear(down.substr(at, 1));
    pass(10 * kSecond);
  }
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::timed_out);
  EXPECT_EQ(heard_[0].stage, Phase::tls);
  EXPECT_LE(heard_[0].at_ns - begun, 31 * kSecond);
  closed();
}

TEST_F(SessionTlsTest, ARecordThatWasChangedEndsIt) {
  be_idle_under_tls();
  Mail mail({"x@y.test"});
  offer(mail);
  exchange();
  expect_end_by_a_changed_record(Result::later);
}

TEST_F(SessionTlsTest, AfterTheContentItIsInDoubt) {
  be_idle_under_tls("250-CHUNKING\r\n250-PIPELINING\r\n");
  Mail mail({"x@y.test"});
  offer(mail);
  exchange();
  expect_end_by_a_changed_record(Result::in_doubt);
}

TEST_F(SessionTlsTest, RequiredAndNotOffered) {
  settings_.tls = TlsUse::required;
  connect();
  hear("220 mx.test\r\n");
  sent();
  hear("250-mx.test\r\n250 PIPELINING\r\n");
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].reason, Reason::tls_missing);
  EXPECT_EQ(ready_, 0);
  sent();
  EXPECT_EQ(network_.sends.back(), "QUIT\r\n");
  hear("221 bye\r\n");
  closed();
}

TEST_F(SessionTlsTest, NotOfferedItGoesInClear) {
  be_idle();
  EXPECT_EQ(session_.tls(), nullptr);
  EXPECT_EQ(session_.tls_us(), -1);
  end();
}

}  // namespace
}  // namespace veredus::smtp
