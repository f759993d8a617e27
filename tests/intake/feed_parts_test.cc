// Messages that are fed in parts.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/intake/feed_parser.h"

namespace veredus::intake {
namespace {

using testing::HasSubstr;
using testing::Not;

// What became of the batch.
struct Taken : FeedHandler {
  Key on_key(std::string_view, std::string_view, FeedError&) override { return Key::proceed; }
  int64_t wall_ns() override { return 1782898205'000'000'000; }
  bool on_batch(const queue::Batch& batch, std::string bytes, FeedError&) override {
    content = std::move(bytes);
    flags = batch.content_flags;
    return true;
  }
  bool on_recipient(const queue::Entry& entry, FeedError&) override {
    ++recipients;
    own = entry.message;
    own_flags = entry.content_flags;
    return true;
  }
  void on_refused(uint64_t, std::string_view to, std::string_view status,
                  std::string_view reason) override {
    refused.append(to).append(" ").append(status).append(" ").append(reason).append("\n");
  }
  bool good = false;
  FeedError error;
  std::string content, own, refused;
  uint8_t flags = 0, own_flags = 0;
  unsigned recipients = 0;
};

Taken fed(const std::string& body, const FeedSettings& settings = FeedSettings()) {
  Taken taken;
  FeedParser parser(settings, taken);
  taken.good = parser.feed(body) && parser.finish();
  taken.error = parser.error();
  return taken;
}

const std::string kTo = "{\"to\":\"ada@example.org\",\"name\":\"Ada\",\"id\":\"7\"}\n";

// With further fields of the batch line in front of the message.
std::string batch(const std::string& parts, const std::string& fields = "") {
  return "{\"batch\":\"b1\",\"sender\":\"\"," + fields + "\"message\":{" + parts + "}}\n";
}

TEST(FeedParts, EveryPart) {
  FeedSettings settings;
  settings.feedback_sender = "acme1";
  const Taken taken = fed(
      batch(
          R"("from":"News <n@x.example>","to":"{{name}} <{{to}}>","reply_to":"h@x.example","subject":"Hi {{name}}",)"
          R"("text":"Dear {{name}}\n","html":"<p>Dear {{name}}<img src=cid:l>","headers":{"X-A":"1","X-B":"\u00e4"},)"
          R"("attachments":[{"name":"a.txt","type":"text/plain","base64":"QQ=="},{"type":"image/png","base64":"","cid":"l"}],)"
          R"("unsubscribe":{"url":"https://x.example/{{id}}","mailto":"u@x.example"})",
          R"("tenant":"acme","campaign":"spring",)") +
          kTo,
      settings);
  ASSERT_TRUE(taken.good) << taken.error.reason;
  EXPECT_EQ(taken.recipients, 1u) << taken.refused;
  for (const std::string_view line :
       {"From: News <n@x.example>\r\n", "To: {{name}} <{{to}}>\r\n", "Reply-To: h@x.example\r\n",
        "Subject: Hi {{name}}\r\n", "X-A: 1\r\n", "X-B: =?UTF-8?B?w6Q=?=\r\n",
        "List-Unsubscribe: <https://x.example/{{id}}>,\r\n <mailto:u@x.example>\r\n",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "Feedback-ID: spring:acme:b1:acme1\r\n", "Content-Type: multipart/mixed;",
        "Content-Type: multipart/alternative;", "Content-Type: multipart/related;",
        "Dear {{name}}\r\n", "<p>Dear {{name}}<img src=cid:l>\r\n",
        "filename=\"a.txt\"\r\n\r\nQQ==\r\n", "Content-ID: <l>\r\n"})
    EXPECT_THAT(taken.content, HasSubstr(std::string(line)));
  EXPECT_EQ(taken.flags, queue::kContentMerge | queue::kContentNoDate | queue::kContentNoMessageId);
}

TEST(FeedParts, AreMergedUnlessTheBatchSaysOtherwise) {
  const std::string parts = R"("from":"n@x.example","text":"{{name}}")";
  EXPECT_NE(fed(batch(parts) + kTo).flags & queue::kContentMerge, 0);
  EXPECT_NE(fed(batch(parts, R"("merge":true,)") + kTo).flags & queue::kContentMerge, 0);
  const Taken not_merged = fed(batch(parts, R"("merge":false,)") + kTo);
  EXPECT_EQ(not_merged.flags & queue::kContentMerge, 0);
  EXPECT_THAT(not_merged.content, HasSubstr("To: undisclosed-recipients:;\r\n"));
  EXPECT_EQ(fed(batch(R"("raw":"A: b\n\n{{name}}")") + kTo).flags & queue::kContentMerge, 0);
  // A batch of raw messages whose recipients bring parts, and the other way round.
  const std::string own = R"({"to":"ada@example.org","name":"Ada","message":{)";
  const std::string raw = R"("raw":"A: b\n\n{{gone}}")";
  EXPECT_NE(fed(batch(raw) + own + parts + "}}\n").own_flags & queue::kContentMerge, 0);
  EXPECT_EQ(fed(batch(parts) + own + raw + "}}\n").own_flags & queue::kContentMerge, 0);
  EXPECT_THAT(fed(batch(parts, R"("merge":true,)") + own + raw + "}}\n").refused,
              HasSubstr("\"gone\" is not defined"));
}

TEST(FeedParts, OfARecipientsOwn) {
  const std::string own = R"({"to":"ada@example.org","name":"Ada, L.","message":{)";
  const auto with = [&](const std::string& parts, const std::string& fields) {
    return fed("{\"batch\":\"b1\",\"sender\":\"\"" + fields + "}\n" + own + parts + "}}\n");
  };
  const std::string parts = R"("from":"n@x.example","text":"t","subject":"s")";
  const Taken merged = with(parts, "");
  EXPECT_THAT(merged.own, HasSubstr("To: {{name}} <{{to}}>\r\n")) << merged.error.reason;
  EXPECT_THAT(with(parts, R"(,"merge":false)").own,
              HasSubstr("To: \"Ada, L.\" <ada@example.org>\r\n"));
  // What is wrong with it refuses the recipient, not the batch.
  const std::pair<std::string, std::string> rows[] = {
      {R"("from":"n@x.example","text":"t","subject":"a\r\nBcc: x@y.z")",
       "5.6.0 \"subject\" has a line end"},
      {R"("from":"n@x.example","text":"{{gone}}")", "5.6.0 the variable \"gone\" is not defined"},
      {R"("text":"t")", "5.6.0 the message has no \"from\""},
      {R"("from":"n@x.example","text":"t","attachments":[{"base64":"*"}])",
       "5.6.0 attachment 1: \"base64\" is no base64"},
  };
  for (const auto& [bad, refusal] : rows) {
    const Taken taken = with(bad, "");
    EXPECT_TRUE(taken.good) << taken.error.reason;
    EXPECT_EQ(taken.recipients, 0u);
    EXPECT_THAT(taken.refused, HasSubstr("ada@example.org " + refusal)) << bad;
  }
}

// Nothing that a variable says gets into the header, or out of its part.
TEST(FeedParts, VariablesStayInTheirPlaces) {
  const std::string head =
      batch(R"("from":"n@x.example","subject":"{{s|x}}","text":"{{t|x}}","html":"{{t|x}}")");
  const auto refused = [&](const std::string& vars) {
    return fed(head + R"({"to":"ada@example.org","vars":{)" + vars + "}}\n").refused;
  };
  EXPECT_EQ(refused(R"("s":"y","t":"a\nb\n.\nc")"), "");
  EXPECT_THAT(refused(R"("s":"y\r\nBcc: e@f.g")"), HasSubstr("5.6.0 the variable \"s\" has CR"));
  EXPECT_THAT(refused(R"("t":"a\u0000b")"), HasSubstr("NUL"));
}

struct Bad {
  std::string parts;
  std::string_view code;
  std::string at;  // what stands where the fault is said to be
  std::string reason;
};

TEST(FeedParts, FaultsAreNamedByPartAndByte) {
  const std::string from = R"("from":"n@x.example",)", good = from + R"("text":"t")";
  const Bad rows[] = {
      {good + R"(,"raw":"A: b")", "malformed", "\"raw\"", "whole or in parts"},
      {R"("raw":"A: b","text":"t")", "malformed", "\"text\"", "whole or in parts"},
      {R"("raw":"A: b","raw":"A: b")", "malformed", "\"raw\":\"A: b\"}}", "\"raw\" is there twice"},
      {from + R"("text":"t","text":"u")", "malformed", "\"text\":\"u\"", "\"text\" is there twice"},
      {from + R"("texd":"t")", "malformed", "\"texd\"", "not known"},
      {from + R"("text":7)", "malformed", "7", "\"text\" wants a string"},
      {from + R"("text":null)", "malformed", "null", "\"text\" wants a string"},
      {good + R"(,"headers":[])", "malformed", "[]", "\"headers\" wants an object"},
      {good + R"(,"headers":{"X":1})", "malformed", "1}", "\"X\" wants a string"},
      {good + R"(,"headers":{"X":"1","X":"2"})", "malformed", "\"X\":\"2\"", "there twice"},
      {good + R"(,"headers":{"X":"a\nb"})", "bad_message", "\"X\":\"a", "X has a line end"},
      {good + R"(,"headers":{"A":"b","Bcc":"c"})", "bad_message", "\"Bcc\"", "Bcc is made"},
      {good + R"(,"attachments":{})", "malformed", "{}", "an array of objects"},
      {good + R"(,"attachments":["x"])", "malformed", "\"x\"", "an array of objects"},
      {good + R"(,"attachments":[{}])", "malformed", "{}", "wants \"base64\""},
      {good + R"(,"attachments":[{"nam":"x"}])", "malformed", "\"nam\"", "not known"},
      {good + R"(,"attachments":[{"base64":"","base64":""}])", "malformed", "\"base64\":\"\"}",
       "there twice"},
      {good + R"(,"attachments":[{"base64":""},{"base64":"QUJD!UJD"}])", "bad_message", "!UJD",
       "attachment 2: \"base64\" is no base64"},
      {good + R"(,"attachments":[{"base64":"","type":"x"}])", "bad_message", "{\"base64",
       "attachment 1: the type"},
      {good + R"(,"unsubscribe":"https://x.example/")", "malformed", "\"https", "an object"},
      {good + R"(,"unsubscribe":{})", "bad_message", "{}", "wants \"url\""},
      {good + R"(,"unsubscribe":{"uri":""})", "malformed", "\"uri\"", "not known"},
      {good + R"(,"unsubscribe":{"url":"https://x.example/","mailto":""})", "bad_message",
       "{\"url\"", "\"mailto\" is empty"},
      {good + R"(,"unsubscribe":{"url":"x"})", "bad_message", "{\"url\"", "https://"},
      {R"("text":"t")", "bad_message", "{\"text\"", "no \"from\""},
      {R"("from":"News","text":"t")", "bad_message", "\"News\"", "\"from\" is no list"},
      {from + R"("subject":"a\nb","text":"t")", "bad_message", "\"a\\nb\"",
       "\"subject\" has a line"},
      {from + R"("subject":"s")", "bad_message", "{\"from\"", "neither \"text\" nor \"html\""},
      {from + R"("html":"{{#a}}b")", "bad_message", "\"{{#a}}b\"", "\"html\" has a section"},
      {from + R"("text":"t","headers":{1})", "malformed", "1}", ""},
      {from + R"("text":"t","attachments":[,])", "malformed", ",]", ""},
  };
  for (const Bad& row : rows) {
    const std::string body = batch(row.parts);
    const Taken taken = fed(body + kTo);
    EXPECT_FALSE(taken.good) << row.parts;
    EXPECT_EQ(taken.error.http, 400);
    EXPECT_EQ(taken.error.code, row.code) << row.parts << taken.error.reason;
    EXPECT_EQ(taken.error.line, 1u);
    ASSERT_GT(taken.error.byte, 0u) << row.parts;
    EXPECT_THAT(body.substr(taken.error.byte - 1), testing::StartsWith(row.at)) << row.parts;
    EXPECT_THAT(taken.error.reason, HasSubstr(row.reason)) << row.parts;
  }
}

TEST(FeedParts, Limits) {
  FeedSettings small;
  small.limits.headers_max = 2;
  small.limits.attachments_max = 1;
  small.limits.message_bytes = 1000;
  small.limits.recipient_line_bytes = 200;
  const std::string good = R"("from":"n@x.example","text":"t")";
  EXPECT_TRUE(fed(batch(good + R"(,"headers":{"A":"1","B":"2"})") + kTo, small).good);
  EXPECT_THAT(
      fed(batch(good + R"(,"headers":{"A":"1","B":"2","C":"3"})") + kTo, small).error.reason,
      HasSubstr("more than 2 in \"headers\""));
  const std::string attachment = R"({"base64":""})";
  EXPECT_TRUE(fed(batch(good + R"(,"attachments":[)" + attachment + "]") + kTo, small).good);
  EXPECT_THAT(
      fed(batch(good + R"(,"attachments":[)" + attachment + "," + attachment + "]") + kTo, small)
          .error.reason,
      HasSubstr("more than 1 in \"attachments\""));
  const std::string large = R"("from":"n@x.example","text":")" + std::string(900, 'x') + "\"";
  const Taken taken = fed(batch(large) + kTo, small);
  EXPECT_EQ(taken.error.http, 413);
  EXPECT_EQ(taken.error.code, "too_large");
  // Parts of a recipient's own are not counted as his line.
  const std::string own = "{\"to\":\"ada@example.org\",\"message\":{";
  const std::string some = R"("from":"n@x.example","text":")" + std::string(400, 'x') + "\"";
  EXPECT_EQ(fed(batch(good) + own + some + "}}\n", small).recipients, 1u);
  EXPECT_THAT(fed(batch(good) + own + large + "}}\n", small).refused,
              HasSubstr("5.3.4 the message made from the parts is larger than 1000 bytes"));
}

// Whose lines and bytes a fault is about that only the message shows.
TEST(FeedParts, FaultsOfTheMessageThatIsMade) {
  std::string deep, ends;
  for (int i = 0; i < 9; ++i) deep += "{{#a}}", ends += "{{/a}}";
  const std::string parts = R"("from":"n@x.example","text":")" + deep + ends + "\"";
  EXPECT_THAT(fed(batch(parts) + kTo).error.reason,
              testing::StartsWith("the message made from the parts: "));
  const std::string good = R"("from":"n@x.example","text":"t")";
  EXPECT_THAT(
      fed(batch(good) + "{\"to\":\"ada@example.org\",\"message\":{" + parts + "}}\n").refused,
      HasSubstr("5.6.0 the message made from the parts: "));
}

}  // namespace
}  // namespace veredus::intake
