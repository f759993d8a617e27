// What a batch line asks of receivers by DSN (RFC 3461).

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/intake/feed_parser.h"

namespace veredus::intake {
namespace {

struct Taker : FeedHandler {
  Key on_key(std::string_view, std::string_view, FeedError&) override { return Key::proceed; }
  int64_t wall_ns() override { return 1782898205'000'000'000; }
  bool on_batch(const queue::Batch& b, std::string, FeedError&) override {
    dsn = b.dsn;
    return true;
  }
  bool on_recipient(const queue::Entry&, FeedError&) override { return true; }
  void on_refused(uint64_t, std::string_view, std::string_view, std::string_view) override {}
  queue::Dsn dsn;
};

// Empty: taken.
std::string feed(const std::string& dsn, Taker& taker) {
  const FeedSettings settings;
  FeedParser parser(settings, taker);
  const std::string body =
      R"({"batch":"b1","sender":"b@news.example","message":{"raw":"A: b\n\nx"},"dsn":)" + dsn +
      "}\n{\"to\":\"ada@example.org\"}\n";
  if (parser.feed(body) && parser.finish()) return "";
  const FeedError& error = parser.error();
  return std::to_string(error.line) + ":" + std::to_string(error.byte) + " " + error.reason + "|" +
         error.hint;
}

TEST(FeedDsn, IsTaken) {
  using queue::DsnReturn;
  struct Row {
    const char* text;
    queue::Dsn dsn;
  };
  const std::vector<Row> rows = {
      {R"({"notify":["failure"],"ret":"hdrs","envid":"spring-7"})",
       {queue::kDsnFailure, DsnReturn::headers, "spring-7"}},
      {R"({"notify":["never"]})", {queue::kDsnNever, DsnReturn::not_said, ""}},
      {R"({"notify":["delay","success","failure","delay"]})",
       {queue::kDsnSuccess | queue::kDsnFailure | queue::kDsnDelay, DsnReturn::not_said, ""}},
      {R"({ "ret" : "full" })", {0, DsnReturn::full, ""}},
      {R"({"envid":"a b+=\u007e"})", {0, DsnReturn::not_said, "a b+=~"}},
      {R"({})", {}},
  };
  for (const Row& row : rows) {
    Taker taker;
    EXPECT_EQ(feed(row.text, taker), "") << row.text;
    EXPECT_EQ(taker.dsn, row.dsn) << row.text;
  }
  Taker taker;
  EXPECT_EQ(feed("{\"envid\":\"" + std::string(100, 'x') + "\"}", taker), "");
  EXPECT_EQ(feed("{\"envid\":\"" + std::string(32, '+') + "1234\"}", taker), "");
}

TEST(FeedDsn, IsRefusedByName) {
  struct Row {
    std::string text, reason;
  };
  const std::vector<Row> rows = {
      {R"([])", "\"dsn\" wants an object"},
      {R"("never")", "\"dsn\" wants an object"},
      {R"({"notifi":["never"]})", "did you mean \"notify\"?"},
      {R"({"notify":"never"})", "an array of strings"},
      {R"({"notify":[1]})", "an array of strings"},
      {R"({"notify":["NEVER"]})", "does not know \"NEVER\""},
      {R"({"notify":[]})", "is empty"},
      {R"({"notify":["failure","never"]})", "stands alone"},
      {R"({"ret":"headers"})", "\"full\" or \"hdrs\""},
      {R"({"ret":1})", "\"ret\" wants a string"},
      {R"({"ret":"full","ret":"full"})", "there twice"},
      {R"({"envid":""})", "is empty"},
      {R"({"envid":"j\u00f6"})", "printable ASCII"},
      {R"({"envid":"a\r\nRCPT"})", "printable ASCII"},
      {R"({"envid":"\u007f"})", "printable ASCII"},
      {"{\"envid\":\"" + std::string(101, 'x') + "\"}", "longer than 100"},
      {"{\"envid\":\"" + std::string(34, '+') + "\"}", "longer than 100"},
      {R"({"envid":"x","to":"y"})", "not known"},
  };
  for (const Row& row : rows) {
    Taker taker;
    const std::string said = feed(row.text, taker);
    EXPECT_NE(said.find(row.reason), std::string::npos) << row.text << ": " << said;
    EXPECT_TRUE(said.starts_with("1:")) << said;
  }
  Taker taker;
  EXPECT_TRUE(feed(R"({"ret":"x"})", taker).starts_with("1:78 ")) << feed(R"({"ret":"x"})", taker);
  EXPECT_NE(feed(R"({"notify":[}})", taker), "");
}

}  // namespace
}  // namespace veredus::intake
