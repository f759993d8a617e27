// The admission check at the door: what each mode does with a batch's message, with those of
// recipients, and with authors that are each recipient's own.

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/intake/json_writer.h"
#include "tests/intake/scripted_port.h"
#include "tests/mail/admission_message.h"
#include "tests/mail/dkim_test_keys.h"

namespace veredus::intake {
namespace {

using mail::Finding;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const mail::TestMessage kGood;

// Signs for news.example and what is under it.
std::shared_ptr<const mail::DkimIdentities> identities() {
  mail::DkimIdentity identity;
  identity.name = "news";
  identity.domain = "news.example";
  identity.selector = "s1";
  static const std::shared_ptr<const mail::DkimKey> key = mail::testing::ed25519_key();
  identity.key = key;
  std::vector<mail::DkimIdentity> all = {std::move(identity)};
  return std::make_shared<const mail::DkimIdentities>(*mail::DkimIdentities::make(std::move(all)));
}

struct Taker : FeedHandler {
  Key on_key(std::string_view, std::string_view, FeedError&) override { return Key::proceed; }
  int64_t wall_ns() override { return 1782898205'000'000'000; }
  bool on_batch(const queue::Batch&, std::string text, FeedError&) override {
    content = std::move(text);
    return true;
  }
  bool on_recipient(const queue::Entry& entry, FeedError&) override {
    taken.emplace_back(entry.to);
    if (entry.has_message) own.emplace_back(entry.message);
    return true;
  }
  void on_refused(uint64_t line, std::string_view, std::string_view status,
                  std::string_view reason) override {
    refused.push_back(std::to_string(line) + " " + std::string(status) + " " + std::string(reason));
  }
  void on_batch_findings(const MessageFindings& findings) override {
    of_batch = names_of(findings.found) + "|" + names_of(findings.fixed);
  }
  void on_recipient_findings(uint64_t line, const MessageFindings& findings) override {
    of_recipients.push_back(std::to_string(line) + " " + names_of(findings.found) + "|" +
                            names_of(findings.fixed));
  }
  std::string content, of_batch;
  std::vector<std::string> taken, own, refused, of_recipients;
};

std::string json(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

struct Body {
  std::string message;                 // of the batch; empty: none
  std::vector<std::string> own = {};   // of recipients
  std::vector<std::string> from = {};  // of recipients: a variable
  bool merge = false;
  std::string tenant = "acme";
  std::string more = {};  // keys of the batch line

  std::string text() const {
    std::string out = R"({"batch":"b1","campaign":"c:1","sender":"b@news.example","tenant":")" +
                      tenant + "\",\"merge\":" + (merge ? "true" : "false") + more;
    if (!message.empty()) out += ",\"message\":{\"raw\":" + json(message) + "}";
    out += "}\n";
    for (const std::string& each : own)
      out += "{\"to\":\"own@example.org\",\"message\":{\"raw\":" + json(each) + "}}\n";
    for (const std::string& each : from)
      out += "{\"to\":\"ada@example.org\",\"vars\":{\"from\":" + json(each) + "}}\n";
    if (own.empty() && from.empty()) out += "{\"to\":\"ada@example.org\"}\n";
    return out;
  }
};

// "": taken; else code, line, byte, reason, hint.
std::string feed(AdmissionMode mode, const Body& body, Taker& taker, mail::Findings ignore = {}) {
  FeedSettings settings;
  settings.admission.each = {mode, ignore};
  settings.feedback_sender = "sender";
  settings.dkim = identities();
  FeedParser parser(settings, taker);
  if (parser.feed(body.text()) && parser.finish()) return "";
  const FeedError& error = parser.error();
  return std::string(error.code) + " " + std::to_string(error.line) + ":" +
         std::to_string(error.byte) + " " + error.reason + " | " + error.hint;
}

const mail::TestMessage kBroken =
    kGood.without("MIME-Version").without("Feedback-ID").with("From", "a@other.example");

TEST(FeedAdmission, OffLooksForNothing) {
  Taker taker;
  EXPECT_EQ(feed(AdmissionMode::off, {kBroken.text(), {kBroken.text()}}, taker), "");
  EXPECT_EQ(taker.of_batch + taker.content, kBroken.text());
  EXPECT_TRUE(taker.of_recipients.empty());
}

TEST(FeedAdmission, WarnTellsAndChangesNothing) {
  Taker taker;
  EXPECT_EQ(feed(AdmissionMode::warn, {kBroken.text()}, taker), "");
  EXPECT_EQ(taker.of_batch,
            "dkim-missing unsubscribe-unsigned feedback-id-missing mime-version-missing|");
  EXPECT_EQ(taker.content, kBroken.text());
  Taker good;
  EXPECT_EQ(feed(AdmissionMode::warn, {kGood.text()}, good), "");
  EXPECT_EQ(good.of_batch, "");
}

TEST(FeedAdmission, WhatIsMendedWhateverTheModeIsToldAsFixed) {
  std::string text = kGood.without("Date").without("Message-ID").text();
  std::erase(text, '\r');
  Taker taker;
  EXPECT_EQ(feed(AdmissionMode::warn, {text}, taker), "");
  EXPECT_EQ(taker.of_batch,
            "date-missing message-id-missing bare-lf|date-missing message-id-missing bare-lf");
}

TEST(FeedAdmission, FixMendsWhatCanBe) {
  Taker taker;
  EXPECT_EQ(feed(AdmissionMode::fix, {kBroken.text()}, taker), "");
  EXPECT_EQ(taker.of_batch,
            "dkim-missing unsubscribe-unsigned feedback-id-missing mime-version-missing|"
            "feedback-id-missing mime-version-missing");
  std::string expected = kBroken.text();
  expected.insert(expected.find("\r\n\r\n") + 2,
                  "MIME-Version: 1.0\r\nFeedback-ID: c-1:acme:b1:sender\r\n");
  EXPECT_EQ(taker.content, expected);
}

TEST(FeedAdmission, FixShortensLines) {
  const std::string text = kGood.of_body(std::string(1200, 'x') + "\n").text();
  Taker warned, taker;
  EXPECT_THAT(feed(AdmissionMode::warn, {text}, warned), HasSubstr("has 1200 bytes"));
  EXPECT_EQ(feed(AdmissionMode::fix, {text}, taker), "");
  EXPECT_EQ(taker.of_batch, "line-length bare-lf|line-length bare-lf");
  EXPECT_THAT(taker.content, AllOf(HasSubstr("quoted-printable\r\n\r\nxxx"), HasSubstr("x=\r\nx"),
                                   Not(HasSubstr(std::string(77, 'x')))));
  Taker merged, ignoring;
  EXPECT_THAT(feed(AdmissionMode::fix, {text, {}, {}, true}, merged), HasSubstr("1200 bytes"))
      << "values would have to be encoded";
  EXPECT_THAT(feed(AdmissionMode::fix, {text}, ignoring, {Finding::line_length}),
              HasSubstr("1200 bytes"));
}

TEST(FeedAdmission, FixNamesTheCharsetOfLinesThatItShortens) {
  const std::string text = kGood.with("Content-Type", "text/html")
                               .of_body(std::string(1200, 'x') + "\xc3\xbc\r\n")
                               .text();
  Taker taker, ignoring;
  EXPECT_EQ(feed(AdmissionMode::fix, {text}, taker), "");
  EXPECT_EQ(taker.of_batch, "charset-missing line-length|charset-missing line-length");
  EXPECT_THAT(taker.content, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_EQ(feed(AdmissionMode::fix, {text}, ignoring, {Finding::charset_missing}), "");
  EXPECT_EQ(ignoring.of_batch, "line-length|line-length");
  EXPECT_THAT(ignoring.content, HasSubstr("Content-Type: text/html\r\n"));
}

TEST(FeedAdmission, FixMendsWhatRecipientsCarry) {
  Taker taker;
  const mail::TestMessage html = kGood.with("Content-Type", "text/html").of_body("\xc3\xbc\n");
  EXPECT_EQ(feed(AdmissionMode::fix, {"", {kGood.text(), html.text(), kBroken.text()}}, taker), "");
  EXPECT_THAT(taker.of_recipients,
              testing::ElementsAre(
                  "3 charset-missing eight-bit-encoding bare-lf|"
                  "charset-missing eight-bit-encoding bare-lf",
                  "4 dkim-missing unsubscribe-unsigned feedback-id-missing mime-version-missing|"
                  "feedback-id-missing mime-version-missing"));
  EXPECT_EQ(taker.own[0], kGood.text());
  EXPECT_THAT(taker.own[1],
              HasSubstr("text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
                        "\r\n\xc3\xbc\r\n"));
}

TEST(FeedAdmission, RefuseNamesAllOfIt) {
  Taker taker;
  EXPECT_EQ(feed(AdmissionMode::refuse, {kGood.text()}, taker), "");
  const std::string told = feed(AdmissionMode::refuse, {kBroken.text()}, taker);
  EXPECT_THAT(told, AllOf(HasSubstr("admission 1:"),
                          HasSubstr("dkim-missing: no DKIM signature will be on it: From is of "
                                    "other.example; unsubscribe-unsigned: "),
                          HasSubstr("; feedback-id-missing: there is no Feedback-ID; "
                                    "mime-version-missing: "),
                          HasSubstr("| configure a signing identity for the domain of From")));
}

TEST(FeedAdmission, RefuseRefusesRecipientsByFormOrPolicy) {
  Taker taker;
  const std::string policy = kGood.without("Feedback-ID").text();
  const std::string form = kGood.without("From").text();
  EXPECT_EQ(feed(AdmissionMode::refuse, {"", {policy, kGood.text(), form}}, taker), "");
  EXPECT_EQ(taker.taken.size(), 1u);
  EXPECT_THAT(taker.refused, testing::ElementsAre(
                                 "2 5.7.1 admission: feedback-id-missing: there is no Feedback-ID",
                                 "4 5.6.0 admission: from-missing: the message has no From"));
}

TEST(FeedAdmission, WhatIsIgnoredIsNotFoundAndNotMended) {
  const mail::Findings ignore = {Finding::feedback_id_missing, Finding::dkim_missing,
                                 Finding::unsubscribe_unsigned};
  Taker refusing, fixing;
  EXPECT_THAT(feed(AdmissionMode::refuse, {kBroken.text()}, refusing, ignore),
              AllOf(HasSubstr("mime-version-missing"), Not(HasSubstr("feedback"))));
  EXPECT_EQ(feed(AdmissionMode::fix, {kBroken.text()}, fixing, ignore), "");
  EXPECT_EQ(fixing.of_batch, "mime-version-missing|mime-version-missing");
  EXPECT_THAT(fixing.content, Not(HasSubstr("Feedback-ID")));
}

TEST(FeedAdmission, TheBatchSaysWhoSigns) {
  Taker unsigned_, named;
  Body body{kGood.text()};
  body.more = ",\"dkim\":[]";
  EXPECT_EQ(feed(AdmissionMode::warn, body, unsigned_), "");
  EXPECT_EQ(unsigned_.of_batch, "dkim-missing unsubscribe-unsigned|");
  body.message = kGood.with("From", "a@other.example").text();
  body.more = ",\"dkim\":[\"news\"]";
  EXPECT_EQ(feed(AdmissionMode::warn, body, named), "");
  EXPECT_EQ(named.of_batch, "dkim-alignment|");
}

// Whatever the mode: else all its recipients would fail later.
TEST(FeedAdmission, WhatCannotBeSignedIsRefused) {
  for (const AdmissionMode mode : {AdmissionMode::off, AdmissionMode::warn, AdmissionMode::fix}) {
    Taker taker, own;
    Body body{kGood.without("From").text()};
    EXPECT_EQ(feed(mode, body, taker), "") << "nobody signs it";
    body.more = ",\"dkim\":[\"news\"]";
    EXPECT_THAT(feed(mode, body, taker),
                AllOf(HasSubstr("bad_message 1:"), HasSubstr("has no From field")));
    body.own = {body.message};
    body.message.clear();
    EXPECT_EQ(feed(mode, body, own), "");
    EXPECT_THAT(own.refused,
                testing::ElementsAre(AllOf(HasSubstr("2 5.6.0 the message has no From"))));
  }
}

// A message that is signed already is not signed again, unless the batch says by whom.
TEST(FeedAdmission, WhatIsSignedIsJudgedByItsSignature) {
  const std::string text =
      kGood.and_also("DKIM-Signature", "v=1; d=esp.example; s=x; h=from; bh=x; b=y").text();
  Taker by_author, named;
  Body body{text};
  EXPECT_EQ(feed(AdmissionMode::warn, body, by_author), "");
  EXPECT_EQ(by_author.of_batch, "dkim-alignment unsubscribe-unsigned|");
  body.more = ",\"dkim\":[\"news\"]";
  EXPECT_EQ(feed(AdmissionMode::warn, body, named), "");
  EXPECT_EQ(named.of_batch, "");
}

// It breaks whatever the mode: that is not told as mended, though the message gets its Date.
TEST(FeedAdmission, ASignatureThatTheEngineBreaksIsNotMended) {
  const std::string text =
      kGood.without("Date")
          .and_also("DKIM-Signature",
                    "v=1; d=news.example; s=x; bh=x; b=y; h=from:date:list-unsubscribe:\r\n"
                    " list-unsubscribe-post")
          .text();
  for (const AdmissionMode mode : {AdmissionMode::warn, AdmissionMode::fix}) {
    Taker taker;
    EXPECT_EQ(feed(mode, {text}, taker), "");
    EXPECT_EQ(taker.of_batch, "signature-breaks date-missing|date-missing");
    EXPECT_EQ(taker.content, text);
  }
  Taker refusing;
  EXPECT_THAT(feed(AdmissionMode::refuse, {text}, refusing),
              HasSubstr("signature-breaks: the engine adds what the message lacks, and the "
                        "signature that it has covers as lacking: Date, which h= names; "));
}

TEST(FeedAdmission, OfPartsTheEngineMakesWhatItCan) {
  Taker taker, bare;
  Body body;
  body.more =
      R"(,"message":{"from":"News <a@news.example>","subject":"x","text":"Gr\u00fc\u00dfe",)"
      R"("unsubscribe":{"url":"https://news.example/u/{{index}}"}})";
  body.merge = true;
  EXPECT_EQ(feed(AdmissionMode::warn, body, taker), "");
  EXPECT_EQ(taker.of_batch, "");
  body.more = R"(,"message":{"from":"a@other.example","subject":"x","text":"x"})";
  EXPECT_EQ(feed(AdmissionMode::warn, body, bare), "");
  EXPECT_EQ(bare.of_batch, "dkim-missing unsubscribe-missing|");
}

TEST(FeedAdmission, AnAuthorOfEachRecipient) {
  const std::string text = kGood.with("From", "{{name|News}} <{{from}}>").text();
  const std::vector<std::string> from = {"a@news.example", "a@other.example", "b@other.example",
                                         "a@mail.news.example"};
  Taker warned, refusing;
  EXPECT_EQ(feed(AdmissionMode::warn, {text, {}, from, true}, warned), "");
  EXPECT_EQ(warned.of_batch, "");
  EXPECT_EQ(warned.taken.size(), 4u);
  EXPECT_THAT(warned.of_recipients, testing::ElementsAre("3 dkim-missing unsubscribe-unsigned|",
                                                         "4 dkim-missing unsubscribe-unsigned|"));
  EXPECT_EQ(feed(AdmissionMode::refuse, {text, {}, from, true}, refusing), "");
  EXPECT_EQ(refusing.taken.size(), 2u);
  ASSERT_EQ(refusing.refused.size(), 2u);
  EXPECT_THAT(refusing.refused[1], AllOf(HasSubstr("4 5.7.1 admission: dkim-missing: "),
                                         HasSubstr("From is of other.example")));
}

// Answers are kept for days: what was fed does not make them large.
TEST(FeedAdmission, TheAnswerHasABound) {
  ScriptedPort port(1);
  IntakeSettings settings;
  settings.feed.admission.each.mode = AdmissionMode::warn;
  Intake intake(port, settings);
  std::string domain, text;
  for (int i = 0; i < 20000; ++i) domain += std::string(50, 'a') + "\r\n ";
  for (const std::string_view name : {"Date", "Message-ID", "To", "Feedback-ID", "Subject"})
    text += std::string(name) + ": " + domain + "x\r\n";
  text += "DKIM-Signature: h=from; d=" + domain + "x\r\nFrom: a@" + std::string(900, 'b') +
          ".example\r\n\r\nHello\r\n";
  Listener listener;
  const auto upload = intake.begin_upload(listener);
  upload->feed(Body{text, {text, text}}.text());
  upload->finish();
  port.answer_all(intake);
  ASSERT_EQ(listener.answers, 1u);
  EXPECT_EQ(listener.answer.status, 200u) << listener.answer.body.substr(0, 1000);
  EXPECT_THAT(listener.answer.body, HasSubstr("\"date-syntax\""));
  EXPECT_LT(listener.answer.body.size(), mail::kFindings * 400);
}

TEST(FeedAdmission, TheAnswerCountsByNameAndIsReplayed) {
  ScriptedPort port(2);
  IntakeSettings settings;
  settings.feed.admission.each.mode = AdmissionMode::warn;
  settings.feed.dkim = identities();
  Intake intake(port, settings);
  const std::string own = kGood.without("Feedback-ID").with("Date", "today").text();
  Body body{kGood.without("Feedback-ID").without("Message-ID").text(), {own, own}, {"x", "y", "z"}};
  const std::string expected =
      R"("findings":[{"name":"feedback-id-missing","reason":"there is no Feedback-ID",)"
      R"("fixed":false,"recipients":5,"line":1},)"
      R"({"name":"date-syntax","reason":"Date is no date","fixed":false,"recipients":2,"line":2},)"
      R"({"name":"message-id-missing","reason":"there is no Message-ID","fixed":true,)"
      R"("recipients":3,"line":1}],"replayed":)";
  for (const std::string replayed : {"false", "true"}) {
    Listener listener;
    const auto upload = intake.begin_upload(listener);
    upload->feed(body.text());
    upload->finish();
    port.answer_all(intake);
    ASSERT_EQ(listener.answers, 1u);
    EXPECT_EQ(listener.answer.body, R"({"batch":"b1","accepted":5,"refused":0,"refusals":[],)" +
                                        expected + replayed + "}");
  }
  Listener listener;
  const auto upload = intake.begin_upload(listener);
  body.tenant = "clean";
  body.message = kGood.text();
  body.own.clear();
  upload->feed(body.text());
  upload->finish();
  port.answer_all(intake);
  EXPECT_EQ(listener.answer.body,
            R"({"batch":"b1","accepted":3,"refused":0,"refusals":[],"replayed":false})");
}

}  // namespace
}  // namespace veredus::intake
