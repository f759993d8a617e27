// The six time-outs of RFC 5321 §4.5.3.2, each by its name there: the session ends within a second
// after the limit and not before, however the bytes of a reply trickle in. Content that may have
// been taken leaves its recipients in doubt; everything before that is for later.
#include "tests/smtp/scripted_session.h"

namespace veredus::smtp {
namespace {

using testing::ElementsAre;

struct TimeOut {
  const char* name;
  int64_t limit_ns;
  Phase stage;
  // What the host offers, and how far it goes: what it says, piece by piece. Before each but the
  // first, what is under way has been sent.
  const char* offered;
  std::vector<const char*> said;
  size_t content_bytes;  // of one line's text
  bool is_sent;          // what follows the last piece; else the host does not read it
  Result result;         // of each recipient
};

const TimeOut kTable[] = {
    {"Initial220", 5 * kMinute, Phase::greeting, nullptr, {}, 0, true, Result::later},
    {"Mail", 5 * kMinute, Phase::mail, "", {""}, 10, true, Result::later},
    {"Rcpt", 5 * kMinute, Phase::rcpt, "", {"", "250 ok\r\n"}, 10, true, Result::later},
    {"SecondRcpt",
     5 * kMinute,
     Phase::rcpt,
     "",
     {"", "250 ok\r\n", "250 ok\r\n"},
     10,
     true,
     Result::later},
    {"DataInitiation",
     2 * kMinute,
     Phase::data,
     "",
     {"", "250 ok\r\n", "250 ok\r\n", "250 ok\r\n"},
     10,
     true,
     Result::later},
    {"DataBlock",
     3 * kMinute,
     Phase::body,
     "250-PIPELINING\r\n",
     {"", "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"},
     2'000'000,
     false,
     Result::later},
    {"SecondDataBlock",
     3 * kMinute,
     Phase::body,
     "250-PIPELINING\r\n",
     {"", "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", ""},
     2'000'000,
     false,
     Result::later},
    {"DataTermination",
     10 * kMinute,
     Phase::end_of_data,
     "250-PIPELINING\r\n",
     {"", "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"},
     10,
     true,
     Result::in_doubt},
    {"LastChunk",
     10 * kMinute,
     Phase::end_of_data,
     "250-PIPELINING\r\n250-CHUNKING\r\n",
     {"", "250 ok\r\n250 ok\r\n250 ok\r\n"},
     10,
     true,
     Result::in_doubt},
};

void PrintTo(const TimeOut& row, std::ostream* out) {
  *out << row.name;
}

class TimeOuts : public SessionTest, public testing::WithParamInterface<TimeOut> {
 protected:
  // As far as the row says, with both recipients under way.
  void go_there(Mail& mail) {
    const TimeOut& row = GetParam();
    if (row.offered == nullptr) return connect();
    be_idle(row.offered);
    offer(mail);
    for (size_t i = 1; i < row.said.size(); ++i) {
      pass(kMinute);
      sent();
      if (*row.said[i] != '\0') hear(row.said[i]);
    }
    if (row.is_sent && network_.sending) sent();
  }
  static std::string content() {
    return "Subject: s\r\n\r\n" + std::string(GetParam().content_bytes, 'x') + "\r\n";
  }
  void expect_end(const Mail& mail) {
    const TimeOut& row = GetParam();
    ASSERT_EQ(heard_.size(), row.offered == nullptr ? 1u : 3u);  // the session's own is the last
    for (const Heard& heard : heard_) {
      EXPECT_EQ(heard.reason, Reason::timed_out);
      EXPECT_EQ(heard.stage, row.stage);
    }
    if (row.offered == nullptr) return;
    EXPECT_EQ(heard_[0].outgoing, &mail);
    EXPECT_EQ(heard_[1].outgoing, &mail);
    EXPECT_NE(heard_[0].recipient, heard_[1].recipient);
    EXPECT_EQ(heard_[0].result, row.result);
    EXPECT_EQ(heard_[1].result, row.result);
    EXPECT_THAT(freed_, ElementsAre(&mail));
  }
};

TEST_P(TimeOuts, EndsWithinASecondAndNotBefore) {
  Mail mail({"x@y.test", "z@y.test"}, content());
  go_there(mail);
  expect_time_out(now_, GetParam().limit_ns, GetParam().stage);
  expect_end(mail);
}

// Bytes that complete no reply put nothing off, one every ten seconds.
TEST_P(TimeOuts, ATrickleIsNoReply) {
  if (GetParam().stage == Phase::body) return;  // no reply is due there: any byte ends it
  Mail mail({"x@y.test", "z@y.test"}, content());
  go_there(mail);
  const int64_t since = now_;
  const std::string trickle = "250-" + std::string(1000, 'x');
  for (size_t i = 0; now_ + 10 * kSecond < since + GetParam().limit_ns; ++i) {
    pass(10 * kSecond);
    hear(trickle.substr(i, 1));
  }
  expect_time_out(since, GetParam().limit_ns, GetParam().stage);
  expect_end(mail);
}

INSTANTIATE_TEST_SUITE_P(Rfc5321, TimeOuts, testing::ValuesIn(kTable),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace veredus::smtp
