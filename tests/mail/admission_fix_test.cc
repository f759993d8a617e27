#include "engine/mail/admission_fix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mail/admission_message.h"

namespace veredus::mail {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const TestMessage kGood;

// Empty: nothing can be mended.
std::string mended(const std::string& message, Findings found,
                   std::string_view feedback_id = "c:t:sender", bool merge = false) {
  std::string out;
  const FixSettings settings{feedback_id, merge};
  return fix_message(message, found, settings, out) ? out : "";
}

std::string shortened(const std::string& message, bool name_charsets = true,
                      Findings expected = {Finding::line_length}) {
  std::string out;
  Findings mended;
  if (!shorten_lines(message, name_charsets, out, mended)) return "";
  EXPECT_EQ(mended, expected);
  return out;
}

TEST(AdmissionFix, AddsFieldsAtTheEndOfTheHeader) {
  const std::string message = kGood.without("MIME-Version").without("Feedback-ID").text();
  const std::string made =
      mended(message, {Finding::mime_version_missing, Finding::feedback_id_missing});
  std::string expected = message;
  expected.insert(message.find("\r\n\r\n") + 2, "MIME-Version: 1.0\r\nFeedback-ID: c:t:sender\r\n");
  EXPECT_EQ(made, expected);
  const TestSigners signers;
  EXPECT_EQ(found_in(made, &signers), "");
}

TEST(AdmissionFix, NamesTheCharsetOfTextsThatAreUtf8) {
  const std::string parts =
      "--b\r\nContent-Type: text/html; x=y;\r\n\r\n\xc3\xbc\r\n"
      "--b\r\n\r\n\xc3\xa4\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\nlatin \xe4\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\nASCII\r\n--b--\r\n";
  const TestMessage mixed = kGood.with("Content-Type", "multipart/mixed; boundary=b");
  const std::string made = mended(mixed.of_body(parts).text(), {Finding::charset_missing});
  EXPECT_EQ(made, mixed
                      .of_body("--b\r\nContent-Type: text/html; x=y; charset=utf-8\r\n\r\n\xc3\xbc"
                               "\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4"
                               "\r\n--b\r\nContent-Type: text/plain\r\n\r\nlatin \xe4\r\n"
                               "--b\r\nContent-Type: text/plain\r\n\r\nASCII\r\n--b--\r\n")
                      .text());
}

TEST(AdmissionFix, AMessageThatSaysNothingOfItsContentDoesThen) {
  const TestMessage plain =
      kGood.without("MIME-Version").without("Content-Type").of_body("\xc3\xbc\r\n");
  const std::string made =
      mended(plain.text(), {Finding::mime_version_missing, Finding::charset_missing});
  EXPECT_EQ(made, plain.and_also("MIME-Version", "1.0")
                      .and_also("Content-Type", "text/plain; charset=utf-8")
                      .text());
}

TEST(AdmissionFix, AnEmptyCharsetAndUsAsciiAreReplaced) {
  const auto made = [](std::string_view type) {
    const TestMessage message = kGood.with("Content-Type", type).of_body("\xc3\xbc\r\n");
    const std::string text = mended(message.text(), {Finding::charset_missing});
    const size_t at = text.find("Content-Type: ") + 14;
    return text.empty() ? text : text.substr(at, text.find("\r\n\r\n") - at);
  };
  EXPECT_EQ(made("text/plain; charset=\"\""), "text/plain; charset=utf-8");
  EXPECT_EQ(made("text/plain; charset=\"\"; format=flowed"),
            "text/plain; charset=utf-8; format=flowed");
  EXPECT_EQ(made("text/plain; charset=;\r\n x=y"), "text/plain; charset=utf-8;\r\n x=y");
  EXPECT_EQ(made("text/plain; charset="), "text/plain; charset=utf-8");
  EXPECT_EQ(made("text/plain; charset=\"utf-8"), "text/plain; charset=utf-8");
  EXPECT_EQ(made("text/plain; Charset=\r\n US-ascii"), "text/plain; Charset=utf-8");
  EXPECT_EQ(made("text/plain (open"), "") << "what is added would be in the comment";
}

TEST(AdmissionFix, SaysEightBitOfPartsThatAre) {
  const std::string high = "\xc3\xbc\r\n", text = "Content-Type: text/plain; charset=utf-8\r\n";
  const auto field = [](std::string_view encoding) {
    return "Content-Transfer-Encoding: " + std::string(encoding) + "\r\n";
  };
  const auto parts = [&](const std::string& first, const std::string& second) {
    return kGood.with("Content-Type", "multipart/mixed; boundary=b")
        .of_body("--b\r\n" + first + text + "\r\n" + high + "--b\r\n" + text + second + "\r\n" +
                 high + "--b\r\n" + text + field("7bit") + "\r\nASCII\r\n--b\r\n" + text +
                 field("quoted-printable") + "\r\n" + high + "--b--\r\n")
        .text();
  };
  EXPECT_EQ(mended(parts(field("7Bit"), ""), {Finding::eight_bit_encoding}),
            parts(field("8bit"), field("8bit")));
  const TestMessage plain = kGood.without("MIME-Version").without("Content-Type").of_body(high);
  const std::string made = mended(
      plain.text(),
      {Finding::mime_version_missing, Finding::charset_missing, Finding::eight_bit_encoding});
  EXPECT_EQ(made, plain.and_also("MIME-Version", "1.0")
                      .and_also("Content-Type", "text/plain; charset=utf-8")
                      .and_also("Content-Transfer-Encoding", "8bit")
                      .text());
}

TEST(AdmissionFix, NamesTheCharsetOfVariables) {
  const TestMessage html = kGood.with("Content-Type", "text/html").of_body("{{name}}\r\n");
  EXPECT_EQ(mended(html.text(), {Finding::charset_missing}, "", true),
            html.with("Content-Type", "text/html; charset=utf-8").text());
  EXPECT_EQ(mended(html.text(), {Finding::charset_missing}, "", false), "");
}

// Whether a POST is answered only the feeder knows (RFC 8058 §3.1).
TEST(AdmissionFix, OneClickIsNotPromisedForTheFeeder) {
  EXPECT_EQ(mended(kGood.without("List-Unsubscribe-Post").text(), {Finding::unsubscribe_one_click}),
            "");
}

TEST(AdmissionFix, WhatCannotBeMendedStays) {
  EXPECT_EQ(mended(kGood.text(), {Finding::from_missing, Finding::date_syntax}), "");
  EXPECT_EQ(mended(kGood.without("Feedback-ID").text(), {Finding::feedback_id_missing}, ""), "");
  EXPECT_EQ(mended(kGood.with("List-Unsubscribe", "<mailto:u@x.example>")
                       .without("List-Unsubscribe-Post")
                       .text(),
                   {Finding::unsubscribe_one_click}),
            "");
  EXPECT_EQ(
      mended(kGood.with("List-Unsubscribe-Post", "x").text(), {Finding::unsubscribe_one_click}),
      "");
  const TestMessage html = kGood.with("Content-Type", "text/html");
  EXPECT_EQ(mended(html.of_body("\xe4\r\n").text(), {Finding::charset_missing}), "");
}

TEST(AdmissionFix, SignedMessagesStayAsTheyAre) {
  for (const std::string_view field : {"DKIM-Signature", "ARC-Seal"}) {
    const TestMessage made = kGood.without("MIME-Version").and_also(field, "v=1; d=x.example");
    EXPECT_EQ(mended(made.text(), {Finding::mime_version_missing}), "") << field;
    EXPECT_EQ(shortened(made.of_body(std::string(1000, 'x') + "\r\n").text()), "") << field;
  }
}

// RFC 1847 §2: what is signed or encrypted is not to change; what stands beside it may.
TEST(AdmissionFix, WhatIsSealedStaysAsItIs) {
  const std::string text = "Content-Type: text/plain\r\n\r\n\xc3\xbc\r\n";
  const std::string nested =
      "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" + text + "\r\n--i--\r\n";
  for (const std::string_view type : {"multipart/signed", "multipart/encrypted"}) {
    const std::string sealing = std::string(type) + "; boundary=b";
    const TestMessage message = kGood.with("Content-Type", sealing);
    for (const std::string& part : {text, nested}) {
      const std::string body = "--b\r\n" + part + "\r\n--b--\r\n";
      EXPECT_EQ(mended(message.of_body(body).text(),
                       {Finding::charset_missing, Finding::eight_bit_encoding}),
                "")
          << type;
      const std::string beside = "--o\r\n" + text + "\r\n--o\r\nContent-Type: " + sealing +
                                 "\r\n\r\n" + body + "\r\n--o--\r\n";
      const TestMessage outer = kGood.with("Content-Type", "multipart/mixed; boundary=o");
      const std::string made = mended(outer.of_body(beside).text(), {Finding::charset_missing});
      EXPECT_THAT(made, HasSubstr("--o\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"));
      EXPECT_THAT(made, HasSubstr(sealing + "\r\n\r\n" + body)) << type;
    }
  }
}

TEST(ShortenLines, WhatIsSealedStaysAsItIs) {
  const std::string line(1000, 'x'), digits(1000, 'A');
  const std::string part = "--b\r\nContent-Type: text/plain\r\n\r\n" + line + "\r\n--b--\r\n";
  for (const std::string_view type : {"multipart/signed", "multipart/encrypted"}) {
    const TestMessage message = kGood.with("Content-Type", std::string(type) + "; boundary=\"b\"");
    EXPECT_EQ(shortened(message.of_body(part).text()), "") << type;
  }
  for (const std::string_view type : {"application/pkcs7-mime", "Application/X-PKCS7-Mime"}) {
    const TestMessage message = kGood.with("Content-Type", type);
    EXPECT_EQ(shortened(message.and_also("Content-Transfer-Encoding", "base64")
                            .of_body(digits + "\r\n")
                            .text()),
              "")
        << type;
  }
}

TEST(ShortenLines, TextsBecomeQuotedPrintable) {
  const std::string line(1000, 'x');
  const std::string made = shortened(kGood.of_body(line + "\r\nb = c\r\n").text());
  EXPECT_TRUE(made.starts_with(kGood.text().substr(0, kGood.text().find("\r\n\r\n"))));
  EXPECT_NE(made.find("\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"),
            std::string::npos);
  EXPECT_TRUE(made.ends_with("x\r\nb =3D c\r\n"));
  std::string back = made.substr(made.find("\r\n\r\n") + 4);
  for (size_t at; (at = back.find("=\r\n")) != std::string::npos;) back.erase(at, 3);
  EXPECT_TRUE(back.starts_with(line + "\r\nb "));
  const TestSigners signers;
  EXPECT_EQ(found_in(made, &signers), "");
}

TEST(ShortenLines, OnlyPartsThatHaveLongOnesAreChanged) {
  const std::string line(1000, 'x'), digits(2000, 'A');
  const std::string parts =
      "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + line +
      "\r\n--b\r\n\r\nshort = short\r\n--b\r\nContent-Type: image/png\r\n"
      "content-transfer-encoding: BASE64\r\n\r\n" +
      digits + "\r\n--b\r\nContent-Type: image/svg+xml\r\n\r\n" + line + "\r\n--b--\r\n";
  const TestMessage mixed = kGood.with("Content-Type", "multipart/mixed; boundary=b");
  const std::string made = shortened(mixed.of_body(parts).text());
  EXPECT_NE(made.find("text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx"),
            std::string::npos);
  EXPECT_NE(made.find("\r\n--b\r\n\r\nshort = short\r\n--b\r\n"), std::string::npos);
  EXPECT_NE(made.find("image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
                      std::string(76, 'A') + "\r\n"),
            std::string::npos);
  EXPECT_NE(made.find("svg+xml\r\nContent-Transfer-Encoding: base64\r\n\r\neHh4"),
            std::string::npos);
  EXPECT_EQ(line_findings(made), Findings());
  const TestSigners signers;
  EXPECT_EQ(found_in(made, &signers), "");
}

TEST(ShortenLines, NamesTheCharsetOfWhatItEncodes) {
  const std::string line(1000, 'x'), text = line + "\xc3\xbc\r\n";
  const Findings both = {Finding::line_length, Finding::charset_missing};
  const TestMessage bare = kGood.without("Content-Type").without("Content-Transfer-Encoding");
  EXPECT_THAT(shortened(bare.of_body(text).text(), true, both),
              HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\nxxx"));
  EXPECT_THAT(shortened(bare.of_body(text).text(), false), Not(HasSubstr("charset")));
  EXPECT_THAT(shortened(bare.of_body(line + "\xe4\r\n").text()), Not(HasSubstr("charset")));
  EXPECT_THAT(shortened(bare.of_body(line + "\r\n").text()), Not(HasSubstr("charset")));
  // Whichever field comes first.
  const std::string type = "Content-Type: text/html", encoding = "Content-Transfer-Encoding: 8bit";
  const TestMessage mixed = kGood.with("Content-Type", "multipart/mixed; boundary=b");
  for (const std::string& head :
       {type + "\r\n" + encoding + "\r\n\r\n", encoding + "\r\n" + type + "\r\n\r\n"}) {
    const std::string made =
        shortened(mixed.of_body("--b\r\n" + head + text + "--b--\r\n").text(), true, both);
    EXPECT_THAT(made, HasSubstr("\r\nContent-Type: text/html; charset=utf-8\r\n"));
    EXPECT_THAT(made, HasSubstr("\r\nContent-Transfer-Encoding: quoted-printable\r\n"));
    EXPECT_THAT(made, Not(HasSubstr("8bit")));
    EXPECT_EQ(line_findings(made), Findings());
  }
}

TEST(ShortenLines, WhatCannotBe) {
  const std::string line = std::string(1000, 'x') + "\r\n";
  const TestMessage made = kGood.of_body(line);
  EXPECT_EQ(shortened(made.and_also("Content-Transfer-Encoding", "quoted-printable").text()), "");
  EXPECT_EQ(shortened(made.and_also("Content-Transfer-Encoding", "binary").text()), "");
  EXPECT_EQ(shortened(made.with("Content-Type", "message/rfc822").text()), "");
  EXPECT_EQ(shortened(made.with("Content-Type", "multipart/mixed").text()), "");
  EXPECT_EQ(shortened(kGood.with("Subject", std::string(1000, 'x')).text()), "");
  EXPECT_EQ(shortened(kGood.text()), "") << "there is none";
}

}  // namespace
}  // namespace veredus::mail
