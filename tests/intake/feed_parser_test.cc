#include "engine/intake/feed_parser.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/intake/json_check.h"
#include "engine/intake/json_writer.h"

namespace veredus::intake {
namespace {

constexpr int64_t kNow = 1782898205'000'000'000;  // 2026-07-01T09:30:05Z
constexpr int64_t kSecond = 1'000'000'000;

// Writes down everything that it hears.
struct Ledger : FeedHandler {
  Key on_key(std::string_view tenant, std::string_view name, FeedError& error) override {
    log += "key " + std::string(tenant) + "/" + std::string(name) + "\n";
    if (verdict == Key::refuse) {
      error.http = 409;
      error.code = "in_progress";
    }
    return verdict;
  }
  int64_t wall_ns() override { return kNow; }
  bool on_batch(const queue::Batch& b, std::string bytes, FeedError&) override {
    batch = b;
    content = std::move(bytes);
    log += "batch " + b.name + " content " + std::to_string(content.size()) + "\n";
    return true;
  }
  bool on_recipient(const queue::Entry& e, FeedError&) override {
    log +=
        "to " + std::to_string(e.index) + " " + std::string(e.to) + " id=" + std::string(e.id) +
        " name=" + std::string(e.name) + " meta=" + std::string(e.meta_json) +
        " pool=" + std::string(e.pool) + " prio=" + std::to_string(e.priority) + " nb=" +
        std::to_string(e.not_before_wall_ns == 0 ? 0 : (e.not_before_wall_ns - kNow) / kSecond) +
        " ex=" + std::to_string(e.expires_wall_ns == 0 ? 0 : (e.expires_wall_ns - kNow) / kSecond);
    if (e.has_sender) log += " sender=" + std::string(e.sender);
    for (const auto& [name, value] : e.vars)
      log += " " + std::string(name) + "=" + std::string(value);
    if (e.has_message)
      log += " message[" + std::to_string(e.content_flags) + "]=" + std::string(e.message);
    log += "\n";
    ++recipients;
    return true;
  }
  void on_refused(uint64_t line, std::string_view to, std::string_view status,
                  std::string_view reason) override {
    log += "refused " + std::to_string(line) + " " + std::string(to) + " " + std::string(status) +
           " " + std::string(reason) + "\n";
    ++refused;
  }
  Key verdict = Key::proceed;
  queue::Batch batch;
  std::string content, log;
  unsigned recipients = 0, refused = 0;
};

struct Played {
  Ledger ledger;
  bool good = false;
  FeedError error;
  std::string told() const {
    return ledger.log + (good ? "good"
                              : "error " + std::to_string(error.http) + " " +
                                    std::string(error.code) + " " + std::to_string(error.line) +
                                    ":" + std::to_string(error.byte) + " " + error.reason);
  }
};

FeedSettings settings() {
  FeedSettings made;
  made.own_names = {"mx.news.example"};
  return made;
}

void play(Played& out, const std::string& body, const FeedSettings& with,
          const std::vector<size_t>& cuts = {}) {
  FeedParser parser(with, out.ledger);
  size_t from = 0;
  // Each chunk in a block of its own, so that a read beyond it is seen.
  const auto give = [&](size_t to) {
    const std::vector<char> chunk(body.begin() + static_cast<ptrdiff_t>(from),
                                  body.begin() + static_cast<ptrdiff_t>(to));
    parser.feed({chunk.data(), chunk.size()});
    from = to;
  };
  for (const size_t cut : cuts) give(cut);
  give(body.size());
  out.good = parser.finish();
  out.error = parser.error();
  EXPECT_EQ(out.good, !parser.failed());
}

Played play(const std::string& body, const FeedSettings& with = settings()) {
  Played out;
  play(out, body, with);
  return out;
}

const std::string kRaw =
    R"("message":{"raw":"From: a@b.c\r\nDate: x\r\nMessage-ID: <x>\r\n\r\nHello\r\n"})";
const std::string kBatch = R"({"batch":"b1","sender":"bounce@news.example",)" + kRaw + "}\n";
const std::string kTo = "{\"to\":\"ada@example.org\"}\n";

std::string batch_with(const std::string& fields) {
  return R"({"batch":"b1","sender":"bounce@news.example",)" + kRaw + (fields.empty() ? "" : ",") +
         fields + "}\n";
}

TEST(FeedParser, TheExampleOfThePage) {
  const Played done = play(
      R"({"batch":"spring-7","sender":"bounce@news.example","tenant":"acme","campaign":"spring","message":{"raw":"Subject: x\n\nHi"}})"
      "\n{\"to\":\"ada@example.org\",\"vars\":{\"first\":\"Ada\"}}\n"
      "{\"to\":\"bob@example.net\",\"vars\":{\"first\":\"Bob\"},\"meta\":{\"user\":17}}\n");
  EXPECT_EQ(done.told(),
            "key acme/spring-7\nbatch spring-7 content 18\n"
            "to 0 ada@example.org id= name= meta= pool= prio=-1 nb=0 ex=0 first=Ada\n"
            "to 1 bob@example.net id= name= meta={\"user\":17} pool= prio=-1 nb=0 ex=0 first=Bob\n"
            "good");
  EXPECT_EQ(done.ledger.content, "Subject: x\r\n\r\nHi\r\n");
  EXPECT_EQ(done.ledger.batch.content_flags, queue::kContentNoDate | queue::kContentNoMessageId);
}

TEST(FeedParser, EveryFieldOfTheBatchLine) {
  const Played done = play(
      batch_with(
          R"("tenant":"t","campaign":"c","priority":80,"not_before":"1h","expires":"2026-07-02T09:30:05Z",)"
          R"("pool":"default","dkim":[],"tls":"required","unique":true,"verp":true,"merge":true,)"
          R"("tags":[ "x", "y z" ],"meta":{ "a" : [1, {"b":null}] },"vars":{"v":"text","n":-1.50,"t":true})") +
      kTo);
  ASSERT_TRUE(done.good) << done.told();
  const queue::Batch& batch = done.ledger.batch;
  EXPECT_EQ(batch.tenant, "t");
  EXPECT_EQ(batch.name, "b1");
  EXPECT_EQ(batch.campaign, "c");
  EXPECT_EQ(batch.sender, "bounce@news.example");
  EXPECT_EQ(batch.priority, 80);
  EXPECT_EQ(batch.accepted_wall_ns, kNow);
  EXPECT_EQ(batch.not_before_wall_ns, kNow + 3600 * kSecond);
  EXPECT_EQ(batch.expires_wall_ns, kNow + 86400 * kSecond);
  EXPECT_EQ(batch.pool, "default");
  EXPECT_TRUE(batch.unique && batch.verp && batch.tls_required && batch.dkim_none);
  EXPECT_FALSE(batch.sender_has_slots);
  EXPECT_EQ(batch.tags_json, R"(["x","y z"])");
  EXPECT_EQ(batch.meta_json, R"({"a":[1,{"b":null}]})");
  const std::vector<std::pair<std::string, std::string>> vars = {
      {"v", "text"}, {"n", "-1.50"}, {"t", "true"}};
  EXPECT_EQ(batch.vars, vars);
  EXPECT_EQ(batch.content_flags, queue::kContentMerge);
}

TEST(FeedParser, TlsIsThePolicysUnlessRequired) {
  for (const char* fields : {"", "\"tls\":\"policy\""}) {
    const Played done = play(batch_with(fields) + kTo);
    ASSERT_TRUE(done.good) << done.told();
    EXPECT_FALSE(done.ledger.batch.tls_required);
  }
}

TEST(FeedParser, EveryFieldOfARecipientLine) {
  const Played done = play(
      kBatch +
      R"({"to":"Ada@Example.ORG","id":"u:1@x","name":"Ada \"L\" \u00e9","vars":{"a":"b"},"meta":{"k": 1},)"
      R"("sender":"own@x.y","priority":0,"pool":"default","not_before":"30s","expires":"5d",)"
      R"("message":{"raw_base64":"QTogYg0KRGF0ZTogeA0KTWVzc2FnZS1JRDogPHk+DQoNCi54DQo="}})" +
      "\n");
  EXPECT_EQ(done.told(),
            "key default/b1\nbatch b1 content 48\n"
            "to 0 Ada@example.org id=u:1@x name=Ada \"L\" \xC3\xA9 meta={\"k\":1} pool=default "
            "prio=0 nb=30 ex=432000 "
            "sender=own@x.y a=b message[2]=A: b\r\nDate: x\r\nMessage-ID: <y>\r\n\r\n.x\r\n\ngood");
}

TEST(FeedParser, RecipientsWithTheirOwnMessageNeedNoOther) {
  const std::string own = R"({"to":"ada@example.org","message":{"raw":"A: b\r\n\r\nx\r\n"}})";
  const Played done = play("{\"batch\":\"b1\",\"sender\":\"\"}\n" + own + "\n");
  EXPECT_TRUE(done.good) << done.told();
  EXPECT_TRUE(done.ledger.content.empty());
  const Played lacking = play("{\"batch\":\"b1\",\"sender\":\"\"}\n" + own + "\n" + kTo);
  EXPECT_FALSE(lacking.good);
  EXPECT_EQ(lacking.error.line, 3u);
}

TEST(FeedParser, RefusedRecipientsKeepTheirIndex) {
  const Played done = play(kBatch + "{\"to\":\"x@\"}\n" + kTo +
                           "{\"to\":\"a b@c.d\"}\n{\"to\":\"j@-\xC3\xBC.d\"}\n" +
                           R"({"to":"crlf\r\nDATA@c.d"})" + "\n" + kTo);
  EXPECT_EQ(done.ledger.recipients, 2u);
  EXPECT_EQ(done.ledger.refused, 4u);
  EXPECT_NE(done.ledger.log.find("refused 2 x@ 5.1.3 "), std::string::npos) << done.ledger.log;
  EXPECT_NE(done.ledger.log.find("to 1 ada@"), std::string::npos);
  EXPECT_NE(done.ledger.log.find("refused 5 j@-\xC3\xBC.d 5.1.2 "), std::string::npos);
  EXPECT_NE(done.ledger.log.find("to 5 ada@"), std::string::npos);
  EXPECT_TRUE(done.good);
}

TEST(FeedParser, RefusalsByVariableSenderAndMessage) {
  const std::string merged =
      R"({"batch":"b1","sender":"b-{{who|x}}@news.example","merge":true,"vars":{"def":"d"},)"
      R"("message":{"raw":"Subject: {{s|none}}\r\n\r\n{{first}} {{def}}\r\n"}})"
      "\n";
  const std::pair<std::string, std::string> rows[] = {
      {R"({"to":"a@b.c","vars":{"first":"x"}})", "to 0"},
      {R"({"to":"a@b.c"})", "refused 2 a@b.c 5.6.0 the variable \"first\" is not defined"},
      {R"({"to":"a@b.c","vars":{"first":"x","s":"a\r\nBcc: e@f.g"}})",
       "refused 2 a@b.c 5.6.0 the variable \"s\" has CR"},
      {R"({"to":"a@b.c","vars":{"first":"x","s":"a\u0000b"}})",
       "refused 2 a@b.c 5.6.0 the variable \"s\" has a NUL"},
      {R"({"to":"a@b.c","vars":{"first":"x","who":"a b"}})", "refused 2 a@b.c 5.1.7 the sender"},
      {R"({"to":"a@b.c","vars":{"first":"x","who":"a\nb"}})", "refused 2 a@b.c 5.1.7 the sender"},
      {R"({"to":"a@b.c","vars":{"first":"x"},"sender":"nobody"})",
       "refused 2 a@b.c 5.1.7 the sender"},
      {R"({"to":"a@b.c","vars":{"first":"x"},"sender":"{{gone}}@x.y"})",
       "refused 2 a@b.c 5.1.7 the sender"},
      {R"({"to":"a@b.c","vars":{"first":"x"},"expires":"0s"})", "refused 2 a@b.c 5.4.7"},
      {R"({"to":"a@b.c","message":{"raw":"no header"}})", "refused 2 a@b.c 5.6.0 line 1"},
      {R"({"to":"a@b.c","message":{"raw":"A: b\r\n\r\n{{#x}}"}})",
       "refused 2 a@b.c 5.6.0 the message: the section \"x\" is not closed"},
      {R"({"to":"a@b.c","message":{"raw":"A: b\r\n\r\n{{gone}}"}})",
       "refused 2 a@b.c 5.6.0 the variable \"gone\""},
      {R"({"to":"a@b.c","message":{"raw":"Received: by mx.news.example (Veredus) id a-1.1;\r\n\tx\r\n\r\n"}})",
       "refused 2 a@b.c 5.4.6"},
  };
  for (const auto& [line, wanted] : rows) {
    const Played done = play(merged + line + "\n");
    EXPECT_TRUE(done.good) << done.told();
    EXPECT_NE(done.ledger.log.find(wanted), std::string::npos) << line << "\n" << done.ledger.log;
  }
}

TEST(FeedParser, UniqueRefusesTheSecond) {
  const std::string lines = kTo + "{\"to\":\"ada@EXAMPLE.org\"}\n{\"to\":\"Ada@example.org\"}\n";
  const Played unique = play(batch_with("\"unique\":true") + lines);
  EXPECT_EQ(unique.ledger.recipients, 2u);
  EXPECT_NE(unique.ledger.log.find("refused 3 ada@EXAMPLE.org 5.1.0"), std::string::npos);
  EXPECT_EQ(play(kBatch + lines).ledger.recipients, 3u);
}

struct Bad {
  std::string body;
  std::string_view code;
  uint64_t line, byte;
  std::string reason;
  std::string hint;
};

TEST(FeedParser, BadBodiesAreNamedByLineAndByte) {
  const std::string deep = "{\"to\":\"a@b.c\",\"meta\":{\"a\":[[[[[[[1]]]]]]]}}\n";
  const Bad rows[] = {
      {"", "malformed", 0, 0, "empty", ""},
      {"\n\n", "malformed", 0, 0, "empty", ""},
      {kBatch, "malformed", 0, 0, "no recipient", ""},
      {"\xEF\xBB\xBF" + kBatch + kTo, "malformed", 1, 1, "byte order mark", ""},
      {"[]\n", "malformed", 1, 1, "one JSON object", ""},
      {"{\"batch\":\"b1\"", "malformed", 1, 14, "comma", ""},
      {"{\"batch\" \"b1\"}\n", "malformed", 1, 10, "colon", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\"} {}\n", "malformed", 1, 28, "follows", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\"}{}\n", "malformed", 1, 27, "follows", ""},
      {"{\"batch\":\"b1\",\"batch\":\"b2\",\"sender\":\"\"}\n", "malformed", 1, 15, "there twice",
       ""},
      {"{\"batch\":\"b1\",\"sendr\":\"\"}\n", "malformed", 1, 15, "\"sendr\" is not known",
       "did you mean \"sender\"?"},
      {"{\"batch\":\"b1\",\"frobnicate\":\"\"}\n", "malformed", 1, 15, "not known",
       "known keys here: batch"},
      {"{\"batch\":\"b1\",\"to\":\"a@b.c\"}\n", "malformed", 1, 15, "belongs to recipient lines",
       ""},
      {"{\"sender\":\"\"}\n", "malformed", 1, 1, "no \"batch\"", ""},
      {"{\"batch\":\"b1\"}\n", "malformed", 1, 1, "no \"sender\"", "null sender"},
      {"{\"batch\":\"b 1\",\"sender\":\"\"}\n", "malformed", 1, 10, "\"batch\" is no name",
       "1 to 128"},
      {"{\"batch\":\"\",\"sender\":\"\"}\n", "malformed", 1, 10, "\"batch\" is no name", ""},
      {"{\"batch\":\"" + std::string(129, 'b') + "\",\"sender\":\"\"}\n", "malformed", 1, 10,
       "\"batch\" is no name", ""},
      {"{\"batch\":7,\"sender\":\"\"}\n", "malformed", 1, 10, "\"batch\" wants a string", ""},
      {"{\"batch\":\"b1\",\"sender\":\"nobody\"}\n", "malformed", 1, 24,
       "\"sender\": the address has no @", ""},
      {"{\"batch\":\"b1\",\"sender\":\"{{#x}}@y\"}\n", "malformed", 1, 24, "section", ""},
      {batch_with("\"priority\":101") + kTo, "malformed", 1, 0, "0 to 100", ""},
      {batch_with("\"priority\":-1") + kTo, "malformed", 1, 0, "0 to 100", ""},
      {batch_with("\"priority\":5.5") + kTo, "malformed", 1, 0, "whole number", ""},
      {batch_with("\"priority\":\"5\"") + kTo, "malformed", 1, 0, "whole number", ""},
      {batch_with("\"priority\":123456789012345678901234567890") + kTo, "malformed", 1, 0,
       "too large", ""},
      {batch_with("\"expires\":\"soon\"") + kTo, "malformed", 1, 0, "neither a time nor a duration",
       ""},
      {batch_with("\"expires\":\"2020-01-01T00:00:00Z\"") + kTo, "malformed", 1, 0, "over already",
       ""},
      {batch_with("\"pool\":\"other\"") + kTo, "unknown_pool", 1, 0,
       "there is no source pool \"other\"; known are default", "leave \"pool\" out"},
      {batch_with("\"pool\":\"o t\"") + kTo, "unknown_pool", 1, 0,
       "there is no source pool of that name; known are default", ""},
      {batch_with("\"unique\":1") + kTo, "malformed", 1, 0, "true or false", ""},
      {batch_with("\"tags\":\"x\"") + kTo, "malformed", 1, 0, "array of strings", ""},
      {batch_with("\"tags\":[\"x\",1]") + kTo, "malformed", 1, 0, "array of strings", ""},
      {batch_with("\"meta\":[1]") + kTo, "malformed", 1, 0, "wants an object", ""},
      {batch_with("\"meta\":{\"a\":1,\"a\":2}") + kTo, "malformed", 1, 0, "there twice", ""},
      {batch_with("\"meta\":{\"a\":tru}") + kTo, "malformed", 1, 0, "misspelt", ""},
      {batch_with("\"meta\":{\"a\":[1}}") + kTo, "malformed", 1, 0, "comma or ]", ""},
      {batch_with("\"vars\":{\"a\":null}") + kTo, "malformed", 1, 0, "variables are texts", ""},
      {batch_with("\"vars\":{\"a\":1e999}") + kTo, "malformed", 1, 0, "too large", ""},
      {batch_with("\"vars\":{\"a b\":\"\"}") + kTo, "malformed", 1, 0, "no proper name", ""},
      {batch_with("\"vars\":{\"a\":\"\",\"a\":\"\"}") + kTo, "malformed", 1, 0, "there twice", ""},
      {batch_with("\"dkim\":[\"k1\"]") + kTo, "unknown_identity", 1, 0,
       "no signing identity \"k1\"", "[dkim.NAME]"},
      {batch_with("\"dkim\":[\"k1\",\"k1\"]") + kTo, "malformed", 1, 0, "\"k1\" twice", ""},
      {batch_with("\"dkim\":[1]") + kTo, "malformed", 1, 0, "an array of names", ""},
      {batch_with("\"dkim\":\"k1\"") + kTo, "malformed", 1, 0, "an array of names", ""},
      {batch_with("\"dkim\":[\"1\",\"2\",\"3\",\"4\",\"5\"]") + kTo, "malformed", 1, 0,
       "more than 4", ""},
      {batch_with("\"tls\":\"no\"") + kTo, "malformed", 1, 0, "\"tls\" is", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"rav\":\"x\"}}\n", "malformed", 1, 38,
       "not known", "did you mean \"raw\"?"},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"message\":{}}\n", "malformed", 1, 37, "wants \"raw\"",
       ""},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"raw\":\"A: b\",\"raw_base64\":\"\"}}\n",
       "malformed", 1, 51, "once", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"raw_base64\":\"QTo*\"}}\n", "malformed", 1,
       55, "no base64", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"raw\":\"A: b\\nrubbish\\n\\n\"}}\n",
       "bad_message", 1, 44, "line 2 of the message", ""},
      {"{\"batch\":\"b1\",\"sender\":\"\",\"merge\":true,\"message\":{\"raw\":\"A: "
       "b\\n\\n{{#x}}\"}}\n",
       "bad_message", 1, 57, "line 3", ""},
      {kBatch + "{\"to\":\"a@b.c\"\n", "malformed", 2, 14, "comma", ""},
      {kBatch + kTo + "{\"to\":\"a@b.c\",\"vras\":{}}\n", "malformed", 3, 15, "not known",
       "did you mean \"vars\"?"},
      {kBatch + "{\"to\":\"a@b.c\",\"verp\":true}\n", "malformed", 2, 15,
       "belongs to the batch line", ""},
      {kBatch + "{\"id\":\"x\"}\n", "malformed", 2, 1, "no \"to\"", ""},
      {kBatch + "{\"to\":7}\n", "malformed", 2, 7, "\"to\" wants a string", ""},
      {kBatch + "{\"to\":\"a@b.c\",\"id\":\"a b\"}\n", "malformed", 2, 20, "\"id\" is no name", ""},
      {kBatch + "{\"to\":\"a\xFF@b.c\"}\n", "malformed", 2, 9, "not UTF-8", ""},
      {kBatch + "{\"to\":\"a\\ud800@b.c\"}\n", "malformed", 2, 9, "surrogate", ""},
      {kBatch + "{\"to\":\"a\\udc00@b.c\"}\n", "malformed", 2, 9, "surrogate", ""},
      {kBatch + "{\"to\":\"a\x01@b.c\"}\n", "malformed", 2, 9, "control byte", ""},
      {kBatch + deep, "malformed", 2, 0, "nested deeper", ""},
      {kBatch + "{\"to\":\"a@b.c\",\"t\\u006f\":\"x@y.z\"}\n", "malformed", 2, 15, "there twice",
       ""},
      {kBatch + "\n" + kTo, "malformed", 2, 0, "empty line", ""},
      {kBatch + kTo + " \n" + kTo, "malformed", 3, 0, "empty line", ""},
      {kBatch + "null\n", "malformed", 2, 1, "one JSON object", ""},
  };
  for (const Bad& row : rows) {
    const Played done = play(row.body);
    EXPECT_FALSE(done.good) << row.body;
    EXPECT_EQ(done.error.http, 400);
    EXPECT_EQ(done.error.code, row.code) << row.body << done.told();
    EXPECT_EQ(done.error.line, row.line) << row.body << done.told();
    if (row.byte != 0) {
      EXPECT_EQ(done.error.byte, row.byte) << row.body << done.told();
    }
    EXPECT_NE(done.error.reason.find(row.reason), std::string::npos) << row.body << done.told();
    EXPECT_NE(done.error.hint.find(row.hint), std::string::npos) << row.body << done.error.hint;
  }
}

TEST(FeedParser, APoolThatARecipientNamesAlone) {
  FeedSettings two = settings();
  two.limits.pools = {"default", "news"};
  const auto to = [](const std::string& pool) {
    return "{\"to\":\"a@b.c\",\"pool\":\"" + pool + "\"}\n";
  };
  const Played done = play(kBatch + to("news") + to("gone") + to("default"), two);
  EXPECT_TRUE(done.good) << done.told();
  EXPECT_EQ(done.ledger.recipients, 2u) << done.told();
  EXPECT_NE(
      done.ledger.log.find("refused 3 a@b.c 5.3.5 there is no source pool \"gone\"; known are "
                           "default news\n"),
      std::string::npos)
      << done.told();
  EXPECT_TRUE(play(batch_with("\"pool\":\"news\"") + kTo, two).good);
  // Without a list all of them are taken.
  two.limits.pools.clear();
  EXPECT_EQ(play(batch_with("\"pool\":\"gone\"") + to("other"), two).ledger.recipients, 1u);
}

TEST(FeedParser, LoopsAreSeenAtTheDoor) {
  std::string raw = "From: a@b.c\\r\\n";
  for (int i = 0; i < 51; ++i) raw += "Received: from x by y; now\\r\\n";
  const Played done = play("{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"raw\":\"" + raw +
                           "\\r\\nx\"}}\n" + kTo);
  EXPECT_FALSE(done.good);
  EXPECT_EQ(done.error.code, "loop");
  EXPECT_NE(done.error.reason.find("5.4.6"), std::string::npos) << done.error.reason;
}

TEST(FeedParser, Limits) {
  FeedSettings small = settings();
  small.limits.recipients_max = 2;
  small.limits.recipient_line_bytes = 100;
  small.limits.message_bytes = 60;
  small.limits.batch_line_bytes = 400;
  small.limits.vars_max = 2;
  small.limits.tags_max = 1;
  small.limits.meta_bytes = 12;
  EXPECT_TRUE(play(kBatch + kTo + kTo, small).good);
  const auto too_large = [&](const std::string& body, uint64_t line) {
    const Played done = play(body, small);
    EXPECT_FALSE(done.good) << body;
    EXPECT_EQ(done.error.http, 413) << done.told();
    EXPECT_EQ(done.error.code, "too_large");
    EXPECT_EQ(done.error.line, line) << done.told();
  };
  too_large(kBatch + kTo + kTo + kTo, 4);
  too_large(kBatch + "{\"to\":\"a@b.c\",\"name\":\"" + std::string(90, 'x') + "\"}\n", 2);
  too_large(kBatch + "{\"to\":\"a@b.c\",\"name\":\"" + std::string(500, 'x') + "\"}\n", 2);
  too_large(kBatch + "{\"to\":\"a@b.c\",\"meta\":{\"abcdefgh\":1}}\n", 2);
  too_large(std::string(401, ' '), 1);
  too_large("{\"batch\":\"b1\",\"sender\":\"\",\"message\":{\"raw\":\"A: b\\n\\n" +
                std::string(60, 'x') + "\"}}\n",
            1);
  EXPECT_EQ(play(batch_with("\"vars\":{\"a\":\"\",\"b\":\"\",\"c\":\"\"}") + kTo, small).error.http,
            400);
  EXPECT_EQ(play(batch_with("\"tags\":[\"a\",\"b\"]") + kTo, small).error.http, 400);
  // An own message is not counted as line, and refused for its size by itself.
  const std::string own = "{\"to\":\"a@b.c\",\"message\":{\"raw\":\"A: b\\n\\n";
  EXPECT_EQ(play(kBatch + own + std::string(30, 'x') + "\"}}\n", small).ledger.recipients, 1u);
  const Played large = play(kBatch + own + std::string(200, 'x') + "\"}}\n", small);
  EXPECT_TRUE(large.good) << large.told();
  EXPECT_NE(large.ledger.log.find("refused 2 a@b.c 5.3.4"), std::string::npos) << large.ledger.log;
}

TEST(FeedParser, LineEndsAndEmptyLinesAtTheEnd) {
  const std::string wanted = play(kBatch + kTo).told();
  std::string crlf = kBatch + kTo;
  crlf.insert(crlf.size() - 1, "\r");
  crlf.insert(kBatch.size() - 1, "\r");
  EXPECT_EQ(play(crlf).told(), wanted);
  EXPECT_EQ(play(kBatch + kTo.substr(0, kTo.size() - 1)).told(), wanted);
  EXPECT_EQ(play(kBatch + kTo + "\n\r\n \n").told(), wanted);
}

TEST(FeedParser, AKnownKeyStopsTheLooking) {
  Played done;
  done.ledger.verdict = FeedHandler::Key::compare;
  play(done, kBatch + "this is not looked at\n", settings());
  EXPECT_EQ(done.told(), "key default/b1\ngood");
  // Only what was wrong in any case is seen: what depends on time and settings comes after the key.
  Played late;
  late.ledger.verdict = FeedHandler::Key::compare;
  play(late, batch_with("\"expires\":\"2020-01-01T00:00:00Z\",\"pool\":\"gone\"") + kTo,
       settings());
  EXPECT_EQ(late.told(), "key default/b1\ngood");
  Played refused;
  refused.ledger.verdict = FeedHandler::Key::refuse;
  play(refused, kBatch + kTo, settings());
  EXPECT_FALSE(refused.good);
  EXPECT_EQ(refused.error.http, 409);
}

std::vector<std::string> bodies() {
  const std::string own = R"({"to":"own@example.org","message":{"raw":"A: \u00e9\r\n\r\nx\r\n"}})"
                          "\n";
  return {kBatch + kTo + "{\"to\":\"x@\"}\n" + own + kTo,
          batch_with("\"merge\":true,\"unique\":true,\"vars\":{\"a\":\"\\u00e9\"}") + kTo + kTo +
              "{\"to\":\"b@c.d\",\"meta\":{\"k\": [1, 2]}}\r\n\n",
          kBatch + kTo + "{\"to\":\"a@b.c\",\"vras\":{}}\n" + kTo,
          kBatch + "{\"to\":\"a\xFF@b.c\"}\n",
          kBatch + kTo + "\n" + kTo,
          kBatch.substr(0, 60)};
}

TEST(FeedParser, ByteByByteIsTheSame) {
  for (const std::string& body : bodies()) {
    const std::string wanted = play(body).told();
    std::vector<size_t> cuts;
    for (size_t i = 1; i < body.size(); ++i) cuts.push_back(i);
    Played done;
    play(done, body, settings(), cuts);
    EXPECT_EQ(done.told(), wanted);
  }
}

TEST(FeedParser, CutAnywhereIsTheSame) {
  for (const std::string& body : bodies()) {
    const std::string wanted = play(body).told();
    for (size_t cut = 0; cut <= body.size(); ++cut) {
      Played done;
      play(done, body, settings(), {cut});
      ASSERT_EQ(done.told(), wanted) << cut;
    }
  }
}

// A body that is cut off never says more than that it is: every line heard was whole.
TEST(FeedParser, CutOffBodies) {
  const std::string body = kBatch + kTo + kTo;
  for (size_t length = 0; length < body.size(); ++length) {
    const Played done = play(body.substr(0, length));
    const size_t lines = static_cast<size_t>(
        std::count(body.begin(), body.begin() + static_cast<ptrdiff_t>(length), '\n'));
    EXPECT_LE(done.ledger.recipients, lines) << length;
    const bool at_end = body[length] == '\n' || (length > 0 && body[length - 1] == '\n');
    EXPECT_EQ(done.good, at_end && length >= kBatch.size() + kTo.size() - 1) << length;
  }
}

// What the fast parser takes, the strict one takes, too.
TEST(FeedParser, DamagedLinesAreNeverTakenForGood) {
  const std::string lines[] = {
      R"({"to":"ada@example.org","id":"7","vars":{"a":"b\n","n":-1.5e3,"t":true},"meta":{"k":[1,{"x":null}],"y":"\u00e9"}})",
      R"({"to":"ada@example.org","message":{"raw":"A: b\r\n\r\nx\r\n"},"priority":5,"expires":"5d","sender":"a@b.c"})",
  };
  std::mt19937_64 random(5);
  unsigned taken = 0;
  for (int round = 0; round < 40000; ++round) {
    std::string line = lines[random() % 2];
    for (size_t n = 1 + random() % 2; n > 0; --n) {
      const size_t at = random() % line.size();
      switch (random() % 4) {
        case 0:
          line.erase(at, 1 + random() % 3);
          break;
        case 1:
          line.insert(at, 1, "{}[]\",:\\u0e-1 \xC3\x01"[random() % 16]);
          break;
        case 2:
          line[at] = static_cast<char>(random());
          break;
        default:
          line.insert(at, line.substr(random() % line.size(), random() % 8));
          break;
      }
    }
    if (line.find('\n') != std::string::npos) continue;
    const Played done = play(kBatch + line + "\n");
    if (!done.good) {
      EXPECT_FALSE(done.error.reason.empty());
      continue;
    }
    ++taken;
    ASSERT_EQ(find_json_fault(line, 8).reason, "") << line;
  }
  EXPECT_GT(taken, 1000u);
}

TEST(FeedParser, HoldsOnlyTheLineUnderWay) {
  Ledger ledger;
  const FeedSettings with = settings();
  FeedParser parser(with, ledger);
  std::string body = kBatch;
  for (int i = 0; i < 20000; ++i) body += kTo;
  for (size_t at = 0; at < body.size(); at += 1000) {
    ASSERT_TRUE(parser.feed(std::string_view(body).substr(at, 1000)));
    ASSERT_LT(parser.bytes_held(), 10000u);
  }
  EXPECT_TRUE(parser.finish());
  EXPECT_EQ(parser.lines(), 20000u);
}

}  // namespace
}  // namespace veredus::intake
