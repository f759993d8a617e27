#include "engine/mail/admission.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "tests/mail/admission_message.h"

namespace veredus::mail {
namespace {

const TestMessage kGood;

struct Row {
  std::string what;
  std::string message;
  std::string found;  // names, in the order of the enumeration
};

void expect_found(const std::vector<Row>& rows, bool merge = false) {
  const TestSigners signers;
  for (const Row& row : rows)
    EXPECT_EQ(found_in(row.message, &signers, merge), row.found) << row.what;
}

TEST(Admission, OfGoodMessagesNothingIsFound) {
  const std::string parts =
      "intro\r\n--b\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n"
      "Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--b\r\n"
      "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
      "=C3=BC\r\n--b--\r\n";
  expect_found({
      {"plain", kGood.text(), ""},
      {"8-bit text in a charset",
       kGood.and_also("Content-Transfer-Encoding", "8bit")
           .of_body("gr\xc3\xbc\xc3\x9f\x65\r\n")
           .text(),
       ""},
      {"a subdomain of the signer's", kGood.with("From", "a@mail.news.example").text(), ""},
      {"several authors and a sender",
       kGood.with("From", "a@news.example, b@News.Example")
           .and_also("Sender", "a@news.example")
           .text(),
       ""},
      {"encoded words",
       kGood.with("From", "=?utf-8?q?=C3=84?=\r\n <a@news.example>")
           .with("Subject", "=?utf-8?b?w7w=?=")
           .text(),
       ""},
      {"comments in a date", kGood.with("Date", "24 Nov 2026 00:28 -0700 (MST)").text(), ""},
      {"a day that is there every fourth year",
       kGood.with("Date", "29 Feb 2028 00:28:29 +0000").text(), ""},
      {"an old zone", kGood.with("Date", "Tue, 24 Nov 2026 00:28:29 GMT").text(), ""},
      {"names in small letters", kGood.without("From").and_also("from", "a@news.example").text(),
       ""},
      {"parts",
       kGood.with("Content-Type", "multipart/alternative; boundary=b").of_body(parts).text(), ""},
      {"7-bit without any MIME", kGood.without("MIME-Version").without("Content-Type").text(), ""},
      {"an empty Bcc", kGood.and_also("Bcc", "").text(), ""},
      {"Feedback-ID of one field", kGood.with("Feedback-ID", "sender").text(), ""},
      {"trace fields may repeat",
       kGood.and_also("Received", "by a; x").and_also("Received", "by b; y").text(), ""},
  });
}

TEST(Admission, TheAuthor) {
  expect_found({
      {"no From", kGood.without("From").text(), "from-missing"},
      {"two From", kGood.and_also("From", "b@news.example").text(), "from-multiple"},
      {"two authors, no sender", kGood.with("From", "a@news.example, b@news.example").text(),
       "from-multiple"},
      {"authors of several domains",
       kGood.with("From", "a@news.example, b@y.example")
           .and_also("Sender", "a@news.example")
           .text(),
       "from-multiple"},
      {"empty", kGood.with("From", "").text(), "from-syntax"},
      {"no address", kGood.with("From", "News").text(), "from-syntax"},
      {"no brackets", kGood.with("From", "News news@news.example").text(), "from-syntax"},
      {"a comma in the name", kGood.with("From", "News, Ltd. <news@news.example>").text(),
       "from-syntax"},
      {"an open quote", kGood.with("From", "\"News <news@news.example>").text(), "from-syntax"},
      {"an empty group", kGood.with("From", "nobody:;").text(), "from-syntax"},
      {"one label", kGood.with("From", "news@localhost").text(), "from-syntax dkim-alignment"},
      {"a literal", kGood.with("From", "news@[192.0.2.1]").text(), "from-syntax dkim-alignment"},
      {"two dots", kGood.with("From", "a..b@news.example").text(), "from-syntax"},
  });
}

TEST(Admission, OtherAddressFields) {
  expect_found({
      {"To", kGood.with("To", "ada@").text(), "address-syntax"},
      {"empty To", kGood.with("To", "").text(), "address-syntax"},
      {"Cc", kGood.and_also("Cc", "Ada, the first <ada@example.org>").text(), "address-syntax"},
      {"Reply-To", kGood.and_also("Reply-To", "<news@news.example").text(), "address-syntax"},
      {"Sender of two", kGood.and_also("Sender", "a@news.example, b@news.example").text(),
       "address-syntax"},
  });
}

TEST(Admission, Signatures) {
  const std::string foreign = "v=1; a=rsa-sha256; d=esp.example; s=s;\r\n h=from:to; bh=x; b=y";
  const std::string ours =
      "v=1; a=rsa-sha256; d=Mail.Other.example; s=s; h=From : To\r\n"
      " : List-Unsubscribe:List-Unsubscribe-Post; bh=x; b=y";
  const auto other = [](const TestMessage& message) {
    return message.with("From", "a@other.example").text();
  };
  TestSigners none;
  none.signatures.clear();
  EXPECT_EQ(found_in(kGood.text(), &none), "dkim-missing unsubscribe-unsigned");
  EXPECT_EQ(found_in(kGood.text(), nullptr), "dkim-missing unsubscribe-unsigned");
  EXPECT_EQ(found_in(other(kGood.and_also("DKIM-Signature", ours)), nullptr), "");
  EXPECT_EQ(found_in(other(kGood.and_also("DKIM-Signature", foreign)), nullptr),
            "dkim-alignment unsubscribe-unsigned");
  EXPECT_EQ(
      found_in(other(kGood.and_also("DKIM-Signature", foreign).and_also("DKIM-Signature", ours)),
               nullptr),
      "");
  TestSigners uncovered;
  uncovered.signatures[0].unsubscribe = false;
  EXPECT_EQ(found_in(kGood.text(), &uncovered), "unsubscribe-unsigned");
  EXPECT_EQ(found_in(other(kGood), &uncovered), "dkim-alignment unsubscribe-unsigned");
}

// The engine adds Date and Message-ID where they lack, whoever signed the message before.
TEST(Admission, SignaturesThatCoverWhatTheEngineAdds) {
  const auto found = [](const TestMessage& message, std::string_view covered) {
    const std::string value = "v=1; d=news.example; s=s; bh=x; b=y;\r\n h=" + std::string(covered);
    return found_in(message.and_also("DKIM-Signature", value).text(), nullptr);
  };
  const std::string list = "from:list-unsubscribe:list-unsubscribe-post";
  const TestMessage no_date = kGood.without("Date"), no_id = kGood.without("Message-ID");
  EXPECT_EQ(found(kGood, list + ":date:date:message-id:message-id"), "");
  EXPECT_EQ(found(no_date, list), "date-missing");
  EXPECT_EQ(found(no_date, list + ":message-id"), "date-missing");
  EXPECT_EQ(found(no_date, list + ":\r\n DATE "), "signature-breaks date-missing");
  EXPECT_EQ(found(no_id, list + ":message-id"), "signature-breaks message-id-missing");
  EXPECT_EQ(found(no_date.without("Message-ID"), "date:message-id:" + list),
            "signature-breaks date-missing message-id-missing");
}

TEST(Admission, ASignatureOfNoDomainIsNone) {
  const auto found = [](std::string_view domain) {
    const std::string value =
        "v=1; s=s; bh=x; b=y; h=from:list-unsubscribe:\r\n "
        "list-unsubscribe-post; d=" +
        std::string(domain);
    return found_in(kGood.and_also("DKIM-Signature", value).text(), nullptr);
  };
  const std::string none = "dkim-missing unsubscribe-unsigned";
  EXPECT_EQ(found("news.example"), "");
  EXPECT_EQ(found(""), none);
  EXPECT_EQ(found("news..example"), none);
  EXPECT_EQ(found("news.example x"), none);
  std::string longest, folded;
  for (int i = 0; i < 126; ++i) longest += "a.";  // 252 bytes
  for (int i = 0; i < 1000; ++i) folded += "news.example\r\n ";
  EXPECT_EQ(found(longest + "b"), "dkim-alignment");
  EXPECT_EQ(found(longest + "bc"), none);
  EXPECT_EQ(found(folded + "x"), none);
}

TEST(Admission, AlignmentIsThatOfOrganizationalDomains) {
  TestSigners signers;
  const auto found = [&](std::string_view signer, std::string_view author) {
    signers.signatures[0].domain = signer;
    return found_in(kGood.with("From", "a@" + std::string(author)).text(), &signers);
  };
  EXPECT_EQ(found("news.example.co.uk", "mail.example.co.uk"), "");
  EXPECT_EQ(found("a.co.uk", "b.co.uk"), "dkim-alignment");
  EXPECT_EQ(found("deep.mail.example.org", "Example.ORG"), "");
  EXPECT_EQ(found("xn--bcher-kva.example", "b\xc3\xbc\x63her.example"), "header-eight-bit");
  EXPECT_EQ(found("notnews.example", "news.example"), "dkim-alignment");
}

TEST(Admission, Unsubscribing) {
  expect_found({
      {"none", kGood.without("List-Unsubscribe").without("List-Unsubscribe-Post").text(),
       "unsubscribe-missing"},
      {"mail only", kGood.with("List-Unsubscribe", "<mailto:u@news.example>").text(),
       "unsubscribe-one-click"},
      {"http only", kGood.with("List-Unsubscribe", "<http://news.example/u>").text(),
       "unsubscribe-one-click"},
      {"no brackets", kGood.with("List-Unsubscribe", "https://news.example/u").text(),
       "unsubscribe-one-click"},
      {"no Post", kGood.without("List-Unsubscribe-Post").text(), "unsubscribe-one-click"},
      {"a URI in a comment",
       kGood.with("List-Unsubscribe", "(x <https://no.example/>) https://y.example").text(),
       "unsubscribe-one-click"},
      {"no host", kGood.with("List-Unsubscribe", "<https://>").text(), "unsubscribe-one-click"},
      {"a path only", kGood.with("List-Unsubscribe", "<https:///u>").text(),
       "unsubscribe-one-click"},
      {"a port only", kGood.with("List-Unsubscribe", "<https://a@:443/u>").text(),
       "unsubscribe-one-click"},
      {"behind a comment",
       kGood.with("List-Unsubscribe", "(a (b) <c>) <https://news.example:443?u>").text(), ""},
      {"another Post", kGood.with("List-Unsubscribe-Post", "One-Click").text(),
       "unsubscribe-one-click"},
      {"twice", kGood.and_also("List-Unsubscribe", "<https://news.example/v>").text(),
       "header-syntax"},
  });
}

TEST(Admission, FeedbackIdDateAndMessageId) {
  expect_found({
      {"no Feedback-ID", kGood.without("Feedback-ID").text(), "feedback-id-missing"},
      {"five fields", kGood.with("Feedback-ID", "a:b:c:d:e").text(), "feedback-id-syntax"},
      {"no sender", kGood.with("Feedback-ID", "a:b:c:").text(), "feedback-id-syntax"},
      {"a blank", kGood.with("Feedback-ID", "a b:c").text(), "feedback-id-syntax"},
      {"no Date", kGood.without("Date").text(), "date-missing"},
      {"another form", kGood.with("Date", "2026-11-24T00:28:29Z").text(), "date-syntax"},
      {"no zone", kGood.with("Date", "Tue, 24 Nov 2026 00:28:29").text(), "date-syntax"},
      {"hour 24", kGood.with("Date", "Tue, 24 Nov 2026 24:28:29 +0000").text(), "date-syntax"},
      {"two digits of a year", kGood.with("Date", "24 Nov 26 00:28:29 +0000").text(),
       "date-syntax"},
      {"31 February", kGood.with("Date", "31 Feb 2026 00:28:29 +0000").text(), "date-syntax"},
      {"29 February", kGood.with("Date", "29 Feb 2026 00:28:29 +0000").text(), "date-syntax"},
      {"31 April", kGood.with("Date", "31 Apr 2026 00:28:29 +0000").text(), "date-syntax"},
      {"no month", kGood.with("Date", "Tue, 24 Foo 2026 00:28:29 +0000").text(), "date-syntax"},
      {"no Message-ID", kGood.without("Message-ID").text(), "message-id-missing"},
      {"no brackets", kGood.with("Message-ID", "1@news.example").text(), "message-id-syntax"},
      {"no @", kGood.with("Message-ID", "<1>").text(), "message-id-syntax"},
      {"a blank", kGood.with("Message-ID", "<1 2@news.example>").text(), "message-id-syntax"},
      {"two", kGood.with("Message-ID", "<1@a.example> <2@a.example>").text(), "message-id-syntax"},
  });
}

TEST(Admission, HeaderAndLines) {
  std::string bare_lf = kGood.text(), bare_cr = kGood.text() + "x\ry\r\n";
  std::erase(bare_lf, '\r');
  expect_found({
      {"Subject twice", kGood.and_also("subject", "again").text(), "header-syntax"},
      {"To twice", kGood.and_also("To", "bob@example.org").text(), "header-syntax"},
      {"Message-ID twice", kGood.and_also("Message-ID", "<2@news.example>").text(),
       "header-syntax"},
      {"a blank in front of the colon", kGood.and_also("X-Spring ", "7").text(), "header-syntax"},
      {"a line of blanks", kGood.with("Subject", "Spring\r\n \r\n sale").text(), "header-syntax"},
      {"Return-Path", kGood.and_also("return-path", "<b@news.example>").text(), "return-path"},
      {"no field", kGood.and_also("X\r\nno field", "x").text(),
       "! line 11 of the message is no header field (name: value), and no empty line has ended the "
       "header yet"},
      {"UTF-8", kGood.with("Subject", "gr\xc3\xbc\xc3\x9f\x65").text(), "header-eight-bit"},
      {"LF", bare_lf, "bare-lf"},
      {"CR", bare_cr, "bare-cr"},
      {"an end of data with LF", kGood.of_body("a\r\n.\nb\r\n").text(), "bare-lf"},
      {"no line end at the end", kGood.of_body("a").text(), ""},
  });
}

TEST(Admission, Mime) {
  const TestMessage mixed = kGood.with("Content-Type", "multipart/mixed; boundary=b");
  const TestMessage eight_bit =
      kGood.and_also("Content-Transfer-Encoding", "8bit").of_body("\xc3\xbc\r\n");
  expect_found({
      {"no MIME-Version", kGood.without("MIME-Version").text(), "mime-version-missing"},
      {"8-bit without any MIME",
       kGood.without("MIME-Version").without("Content-Type").of_body("\xc3\xbc\r\n").text(),
       "mime-version-missing charset-missing eight-bit-encoding"},
      {"no charset", eight_bit.with("Content-Type", "text/html").text(), "charset-missing"},
      {"an empty charset", eight_bit.with("Content-Type", "text/html; charset=\"\"; x=y").text(),
       "charset-missing"},
      {"us-ascii", eight_bit.with("Content-Type", "text/html; charset=US-ASCII").text(),
       "charset-missing"},
      {"no text", eight_bit.with("Content-Type", "image/svg+xml").text(), ""},
      {"no charset in a part",
       mixed
           .of_body("--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                    "\xc3\xbc\r\n--b--\r\n")
           .text(),
       "charset-missing"},
      {"a part that says nothing", mixed.of_body("--b\r\n\r\n\xc3\xbc\r\n--b--\r\n").text(),
       "charset-missing eight-bit-encoding"},
      {"7bit", eight_bit.with("Content-Transfer-Encoding", "7Bit").text(), "eight-bit-encoding"},
      {"no encoding", eight_bit.without("Content-Transfer-Encoding").text(), "eight-bit-encoding"},
      {"encoded, and no charset",
       eight_bit.with("Content-Transfer-Encoding", "quoted-printable")
           .with("Content-Type", "text/plain")
           .text(),
       "eight-bit-encoding"},
      {"base64", eight_bit.with("Content-Transfer-Encoding", "base64").text(),
       "eight-bit-encoding"},
      {"an image that says nothing",
       mixed.of_body("--b\r\nContent-Type: image/x\r\n\r\n\xff\r\n--b--\r\n").text(),
       "eight-bit-encoding"},
      {"no subtype", kGood.with("Content-Type", "text").text(), "mime-syntax"},
      {"no boundary", kGood.with("Content-Type", "multipart/mixed").text(), "mime-syntax"},
      {"no parts", mixed.text(), "mime-syntax"},
      {"not closed", mixed.of_body("--b\r\n\r\nx\r\n").text(), "mime-syntax"},
      {"no such encoding", kGood.and_also("Content-Transfer-Encoding", "utf-8").text(),
       "mime-syntax"},
      {"an encoded multipart",
       mixed.and_also("Content-Transfer-Encoding", "base64").of_body("--b\r\n\r\n--b--\r\n").text(),
       "mime-syntax"},
      {"twice", kGood.and_also("Content-Type", "text/html").text(), "header-syntax"},
  });
}

TEST(Admission, WhatPartsLackTheEngineAdds) {
  const TestSigners signers;
  const std::string message = kGood.without("Date").without("Message-ID").text();
  EXPECT_EQ(found_in(message, &signers), "date-missing message-id-missing");
  EXPECT_EQ(found_in(message, &signers, false, true), "");
}

TEST(Admission, VariablesAreNotJudgedByTheirNames) {
  expect_found(
      {
          {"a name", kGood.with("From", "{{name|Dear, friend}} <news@news.example>").text(), ""},
          {"the address", kGood.with("From", "{{from}}").text(), ""},
          {"the domain", kGood.with("From", "News <news@{{brand}}.example>").text(), ""},
          {"a local part", kGood.with("From", "{{{who}}}@other.example").text(), ""},
          {"To", kGood.with("To", "{{name}} <{{to}}>").text(), ""},
          {"dates", kGood.with("Date", "{{date}}").with("Message-ID", "<{{id}}>").text(), ""},
          {"the URI", kGood.with("List-Unsubscribe", "<{{url}}>").text(), ""},
          {"part of the URI", kGood.with("List-Unsubscribe", "<https://x.example/{{to}}>").text(),
           ""},
          {"Feedback-ID", kGood.with("Feedback-ID", "{{c|my campaign}}:acme:sender").text(), ""},
      },
      true);
}

// Values may have bytes over 127.
TEST(Admission, TextsWithVariablesNameACharset) {
  const TestMessage html = kGood.with("Content-Type", "text/html").of_body("Dear {{name}}\r\n");
  const TestMessage mixed = kGood.with("Content-Type", "multipart/mixed; boundary=b");
  const std::string part = "--b\r\nContent-Type: text/plain\r\n\r\n";
  const std::vector<Row> rows = {
      {"a text", html.text(), "charset-missing"},
      {"us-ascii", html.with("Content-Type", "text/html; charset=us-ascii").text(),
       "charset-missing"},
      {"a part", mixed.of_body(part + "{{{name}}}\r\n--b--\r\n").text(), "charset-missing"},
      {"no MIME at all", html.without("MIME-Version").without("Content-Type").text(),
       "mime-version-missing charset-missing"},
      {"not in a text", mixed.of_body("{{x}}\r\n" + part + "\r\n--b--\r\n").text(), ""},
      {"utf-8", html.with("Content-Type", "text/html; charset=utf-8").text(), ""},
      {"none", html.of_body("Dear name\r\n").text(), ""},
  };
  expect_found(rows, true);
  const TestSigners signers;
  for (const Row& row : rows) EXPECT_EQ(found_in(row.message, &signers), "") << row.what;
}

TEST(Admission, AnAuthorThatVariesIsCheckedForEachRecipient) {
  const TestSigners signers;
  AdmissionFacts facts;
  facts.merge = true;
  facts.signers = &signers;
  Admission admission;
  const std::string text = kGood.with("From", "{{from}}").text();
  EXPECT_TRUE(admission.check(text, facts).author_varies);
  EXPECT_EQ(names_of(admission.check_author("From: a@news.example\r\n").found), "");
  EXPECT_EQ(names_of(admission.check_author("From: b@news.example\r\n").found), "");
  EXPECT_EQ(signers.asked, 1u) << "the domain asked for last is remembered";
  EXPECT_EQ(names_of(admission.check_author("From: a@other.example\r\n").found), "dkim-alignment");
  EXPECT_EQ(names_of(admission.check_author("From: nobody\r\n").found), "from-syntax");
  EXPECT_EQ(names_of(admission.check_author("From: a@localhost\r\n").found),
            "from-syntax dkim-alignment");
  EXPECT_TRUE(admission.check(text, facts).author_varies);
  EXPECT_EQ(names_of(admission.check_author("From: a@localhost\r\n").found),
            "from-syntax dkim-alignment")
      << "not of the message before";
  EXPECT_FALSE(admission.check(kGood.text(), facts).author_varies);
  // A value in a local part may bring an @, one in a name brings nothing.
  for (const char* varies : {"{{a}}@news.example", "x <a{{b}}@news.example>",
                             "a@news.example, {{b}}@news.example", "{{#a}}a@news.example{{/a}}"})
    EXPECT_TRUE(admission.check(kGood.with("From", varies).text(), facts).author_varies) << varies;
  EXPECT_FALSE(
      admission.check(kGood.with("From", "{{a}} <a@news.example>").text(), facts).author_varies);
  EXPECT_TRUE(admission.check(text, facts).author_varies);
  EXPECT_EQ(names_of(admission.check_author("From: a@news.example, <b\r\n").found), "from-syntax");
  EXPECT_EQ(names_of(admission.check_author("From: a@news.example, b@x.example\r\n").found),
            "from-multiple");
  EXPECT_EQ(names_of(admission.check_author("From: a@news.example\r\n").found), "");
}

TEST(Admission, DetailsSayWhatAndAreForgottenWithTheNextMessage) {
  const TestSigners signers;
  AdmissionFacts facts;
  facts.signers = &signers;
  Admission admission;
  const auto detail = [&](const TestMessage& message, Finding finding) {
    const std::string text = message.text();
    return admission.check(text, facts).details[static_cast<size_t>(finding)];
  };
  EXPECT_EQ(detail(kGood.and_also("Subject", "x"), Finding::header_syntax),
            "Subject stands several times");
  EXPECT_EQ(detail(kGood.with("To", "x"), Finding::address_syntax), "To: an address has no @");
  EXPECT_EQ(detail(kGood.with("From", "a@y.example"), Finding::dkim_alignment),
            "From is of y.example, d= is news.example");
  for (const Finding each :
       {Finding::header_syntax, Finding::address_syntax, Finding::dkim_alignment})
    EXPECT_EQ(detail(kGood, each), "");
}

TEST(AdmissionFindings, DetailsAreShortAndPrintable) {
  EXPECT_EQ(detail_of("gr\xc3\xbc\xc3\x9f\x65, d= is x"), "gr\xc3\xbc\xc3\x9f\x65, d= is x");
  EXPECT_EQ(detail_of(std::string_view("a\r\nb\0\x7f", 6)), "a\\x0D\\x0Ab\\x00\\x7F");
  EXPECT_EQ(detail_of("\xc2\x85 \xe4"), "\\xC2\\x85 \\xE4");
  const std::string full(kDetailBytesMax, 'x'), but_one(kDetailBytesMax - 1, 'x');
  EXPECT_EQ(detail_of(full), full);
  EXPECT_EQ(detail_of(full + "x"), full + "…");
  EXPECT_EQ(detail_of(but_one + "\xc3\xbc"), but_one + "…") << "no half of a character";
  EXPECT_EQ(detail_of(but_one + "\n"), but_one + "…");
}

// A field may be long: what is told of it is not.
TEST(AdmissionFindings, WhateverIsFedDetailsAreShort) {
  const TestSigners signers;
  AdmissionFacts facts;
  facts.signers = &signers;
  const std::string label(900, 'a'), name(900, 'X');
  std::string many;
  for (int i = 0; i < 10000; ++i) many += "\r\n " + label;
  for (const TestMessage& message :
       {kGood.with("From", "a@" + label + "." + label), kGood.and_also(name + " ", "x"),
        kGood.and_also("DKIM-Signature", "d=" + many), kGood.with("Date", many),
        kGood.with("To", many), kGood.and_also("Content-Transfer-Encoding", many)}) {
    Admission admission;
    const std::string text = message.text();
    const AdmissionReport& report = admission.check(text, facts);
    EXPECT_FALSE(message.fields.empty());
    for (const std::string& detail : report.details)
      EXPECT_LE(detail.size(), kDetailBytesMax + std::string_view("…").size());
  }
}

TEST(AdmissionFindings, TheTableOfTheDocumentationIsComplete) {
  std::ifstream file(VEREDUS_SOURCE "/engine/intake/README.md");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  size_t last = 0;
  for (size_t i = 0; i < kFindings; ++i) {
    const std::string name(text_of(static_cast<Finding>(i)).name);
    const size_t row = text.find("\n| `" + name + "` |");
    ASSERT_NE(row, std::string::npos) << name;
    EXPECT_GT(row, last) << name << " stands elsewhere in the enumeration";
    last = row;
  }
}

TEST(AdmissionFindings, NamesAreFoundAndApart) {
  for (size_t i = 0; i < kFindings; ++i) {
    const auto each = static_cast<Finding>(i);
    EXPECT_EQ(finding_named(text_of(each).name), each);
    EXPECT_FALSE(text_of(each).reason.empty() || text_of(each).remedy.empty());
  }
  EXPECT_FALSE(finding_named("from").has_value());
  EXPECT_EQ(names_of({Finding::bare_lf, Finding::from_missing}), "from-missing bare-lf");
}

}  // namespace
}  // namespace veredus::mail
