#include "engine/mail/content.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

struct Result {
  bool good = false;
  std::string bytes;
  uint8_t flags = 0;
  uint32_t header_bytes = 0;
  ContentError error;
};

Result run(std::string_view raw, bool merge = false) {
  Result result;
  Normalised out;
  result.good = normalise(raw, merge, out, result.error);
  if (result.good) result.bytes = out.bytes;
  result.flags = out.flags;
  result.header_bytes = out.header_bytes;
  return result;
}

constexpr std::string_view kHead = "From: a@b.c\r\nDate: x\r\nMessage-ID: <x@y>\r\n\r\n";

TEST(Content, CleanInputIsNotCopied) {
  const std::string raw = std::string(kHead) + "Hello\r\n";
  Normalised out;
  ContentError error;
  ASSERT_TRUE(normalise(raw, false, out, error));
  EXPECT_EQ(out.bytes.data(), raw.data());
  EXPECT_EQ(out.flags, 0);
  EXPECT_EQ(out.header_bytes, kHead.size() - 2);
  for (size_t n = 0; n < 130; ++n) {
    const std::string longer = std::string(kHead) + std::string(n, 'x') + "\r\ny\r\n";
    ASSERT_TRUE(normalise(longer, false, out, error));
    EXPECT_EQ(out.bytes.data(), longer.data()) << n;
  }
}

TEST(Content, LineEnds) {
  const std::string head = "A: b\r\n\r\n";
  const std::pair<std::string, std::string> rows[] = {
      {"A: b\n\nx\n", head + "x\r\n"},
      {"A: b\n\nx\r", head + "x\r\n"},
      {"A: b\r\n\r\nx", head + "x\r\n"},
      {"A: b\n\r\nx\r\ny", head + "x\r\ny\r\n"},
      {"A: b\n\n\rx\r\r\n\ry", head + "\r\nx\r\n\r\n\r\ny\r\n"},
      {"A: b", "A: b\r\n"},
      {"A: b\r\n\r\nx\r", head + "x\r\n"},
      // The look-alikes of an end of data: only one form may be left, and it is stuffed when it is
      // sent.
      {head + "a\n.\nb\r\n", head + "a\r\n.\r\nb\r\n"},
      {head + "a\r.\rb\r\n", head + "a\r\n.\r\nb\r\n"},
      {head + "a\n.\r\nb\r\n", head + "a\r\n.\r\nb\r\n"},
      {head + "a\r\n.\nb\r\n", head + "a\r\n.\r\nb\r\n"},
      {head + "a\r\r\n.\r\nb\r\n", head + "a\r\n\r\n.\r\nb\r\n"},
  };
  for (const auto& [raw, clean] : rows) {
    const Result result = run(raw);
    EXPECT_TRUE(result.good) << result.error.reason;
    EXPECT_EQ(result.bytes, clean);
    EXPECT_EQ((result.flags & queue::kContentDotLines) != 0, clean.find("\n.") != std::string::npos)
        << clean;
  }
}

// To some readers a CR ends a line: what follows it must not become a field here.
TEST(Content, HeadersHaveNoCrWithoutLf) {
  const std::pair<std::string, uint64_t> rows[] = {
      {"Subject: hi\rBcc: v@x\r\n\r\nx\r\n", 1},
      {"A: b\r\nSubject: hi\rBcc: v@x\n\nx\n", 2},
      {"A: b\r\r\nB: c\r\n\r\nx\r\n", 1},
      {"A: b\r\rx\r", 1},
      {"A: b\n\rx\r\ny", 2},
      {"A: b\r", 1},
      {"A: b\r\n\r\r\nx\r\n", 2},
  };
  for (const auto& [raw, line] : rows) {
    const Result result = run(raw);
    EXPECT_FALSE(result.good) << raw;
    EXPECT_EQ(result.error.line, line) << raw;
    EXPECT_EQ(result.error.status, "5.6.0");
    EXPECT_NE(result.error.reason.find("has a CR without LF in its header"), std::string::npos);
  }
  EXPECT_TRUE(run("A: b\nB: c\n\nx\ry\r\r\n").good);
  EXPECT_TRUE(run("A: b\nB: c").good);
}

TEST(Content, Flags) {
  EXPECT_EQ(run("A: b\r\n\r\nx\r\n").flags, queue::kContentNoDate | queue::kContentNoMessageId);
  EXPECT_EQ(run("DATE: b\r\nmessage-id : <x>\r\n\r\nx\r\n").flags, 0);
  EXPECT_EQ(run("Date: b\r\nX: y\r\n message-id: no\r\n\r\nMessage-ID: no\r\n").flags,
            queue::kContentNoMessageId);
  EXPECT_EQ(run(std::string(kHead) + "gr\xC3\xBC\xC3\x9F\r\n").flags, queue::kContentEightBit);
  EXPECT_EQ(run(std::string(kHead) + ".\r\n").flags, queue::kContentDotLines);
  EXPECT_EQ(run(std::string(kHead) + "x.\r\n").flags, 0);
  EXPECT_EQ(run(std::string(kHead) + "{{x}}\r\n", true).flags, queue::kContentMerge);
}

// Every place in a block of the survey, and its borders.
TEST(Content, FindsThingsAtEveryOffset) {
  for (size_t n = 0; n < 200; ++n) {
    const std::string before(n, 'x');
    EXPECT_EQ(run(std::string(kHead) + before + "\r\n.y\r\n").flags, queue::kContentDotLines) << n;
    EXPECT_EQ(run(std::string(kHead) + before + "\xC3\xBC\r\n").flags, queue::kContentEightBit)
        << n;
    EXPECT_EQ(run(std::string(kHead) + before + "\ny\r\n").bytes,
              std::string(kHead) + before + "\r\ny\r\n")
        << n;
    EXPECT_EQ(run(std::string(kHead) + before + "\r").bytes, std::string(kHead) + before + "\r\n")
        << n;
    EXPECT_EQ(run(std::string(kHead) + before).bytes,
              n == 0 ? std::string(kHead) : std::string(kHead) + before + "\r\n");
    const Result nul = run(std::string(kHead) + before + std::string(1, '\0') + "\r\n");
    EXPECT_FALSE(nul.good);
    EXPECT_EQ(nul.error.line, 5u);
  }
}

TEST(Content, LongLines) {
  const std::string head(kHead);
  EXPECT_TRUE(run(head + std::string(998, 'x') + "\r\n").good);
  EXPECT_TRUE(run(head + std::string(998, 'x')).good);
  EXPECT_TRUE(run(head + std::string(998, 'x') + "\r" + std::string(998, 'y') + "\n").good);
  for (const std::string& raw :
       {head + "a\r\n" + std::string(999, 'x') + "\r\n",
        head + "a\n" + std::string(999, 'x') + "\n", head + "a\r\n" + std::string(999, 'x')}) {
    const Result result = run(raw);
    EXPECT_FALSE(result.good);
    EXPECT_EQ(result.error.line, 6u);
    EXPECT_EQ(result.error.status, "5.6.0");
    EXPECT_NE(result.error.reason.find("999 bytes"), std::string::npos) << result.error.reason;
  }
  EXPECT_FALSE(run("A: " + std::string(996, 'x') + "\r\n\r\n").good);
}

TEST(Content, HeaderSyntax) {
  const std::pair<std::string, uint64_t> rows[] = {
      {"", 1},
      {"\r\nbody\r\n", 1},
      {" folded: x\r\n\r\n", 1},
      {"From ada Mon\r\nA: b\r\n\r\n", 1},
      {"no header here\r\n", 1},
      {": x\r\n\r\n", 1},
      {"A: b\r\nB c\r\n\r\n", 2},
      {"A: b\r\n x\r\nrubbish\r\n\r\n", 3},
      {"A: b\nrubbish\n\n", 2},
  };
  for (const auto& [raw, line] : rows) {
    const Result result = run(raw);
    EXPECT_FALSE(result.good) << raw;
    EXPECT_EQ(result.error.line, line) << raw;
    EXPECT_EQ(result.error.status, "5.6.0");
  }
  const Result high = run("A: b\r\nSubject: gr\xC3\xBC\xDF\r\n\r\n");
  EXPECT_FALSE(high.good);
  EXPECT_EQ(high.error.offset, 19u) << "of the byte, not of its line";
  EXPECT_EQ(high.error.status, "5.6.0");
  EXPECT_EQ(high.error.line, 2u);
  EXPECT_FALSE(run("A: b\r\nGr\xC3\xBC\xC3\x9F: x\r\n\r\n").good);
  EXPECT_TRUE(run("A: b\r\n\tfold\r\n\r\n").good);
  EXPECT_TRUE(run("A:\r\n").good);
}

TEST(Content, Utf8InTheHeaderIsFlagged) {
  const std::string body = "\r\n\r\ngr\xC3\xBC\xC3\x9F\r\n";
  EXPECT_EQ(run("A: b" + body).flags & queue::kContentHeaderUtf8, 0);
  for (const std::string& header :
       {std::string("Subject: gr\xC3\xBC\xC3\x9F"), std::string("A: b\r\n\tgr\xC3\xBC\xC3\x9F")}) {
    const Result result = run(header + body);
    ASSERT_TRUE(result.good) << result.error.reason;
    EXPECT_NE(result.flags & queue::kContentHeaderUtf8, 0);
    EXPECT_NE(result.flags & queue::kContentEightBit, 0);
  }
}

// What becomes of values is for the renderer to say, default texts among them; the text of a field
// with {{…}} is encoded as a whole, so is a display name; an address is not.
TEST(Content, Utf8ThatMergingEncodesIsNotFlagged) {
  const std::pair<const char*, bool> rows[] = {
      {"Subject: Hallo {{name|Kundin M\u00fcller}}", false},
      {"Subject: Hallo {{{name|Kundin M\u00fcller}} \u00e4}}} {{a}}", false},
      {"Subject: {{a|\u00e4}}{{b|\u00e4}}\r\n {{c|\u00e4}}", false},
      {"Subject: Gr\u00fc\u00dfe {{name|Kundin}}", false},
      {"Subject: {{name|x}} \u00e4 {{name|x}}", false},
      {"Subject: {{a|\u00e4}}\r\n \u00e4", false},
      {"Subject: {{\"{{\"}}\u00e4", false},
      {"Subject: \u00e4", true},
      {"Subject: {{a}}\r\nComments: \u00e4", true},
      {"To: \"Gr\u00fc\u00dfe, {{name}}\" <{{to}}>", false},
      {"To: {{name}} <\u00e4@x.y>", true},
      {"To: {{name}} <{{to|\u00e4@x.y}}>, \u00e4 <a@x.y>", true},
      {"To: {{to}}, \u00e4@x.y", true},
      {"List-Help: <https://x.y/{{a}}> (\u00e4)", true},
      {"Message-ID: <{{a}}\u00e4@x.y>", true},
      {"Content-Description: {{a}} \u00e4", false},
  };
  for (const auto& [field, flagged] : rows) {
    const std::string message = std::string(field) + "\r\n\r\nx\r\n";
    const uint8_t flags = run(message, true).flags;
    EXPECT_EQ((flags & queue::kContentHeaderUtf8) != 0, flagged) << field;
    EXPECT_EQ((flags & queue::kContentEightBit) != 0, flagged) << field;
    EXPECT_NE(run(message, false).flags & queue::kContentHeaderUtf8, 0) << field;
  }
  EXPECT_NE(run("Subject: {{a}} \u00e4\r\n\r\n\u00e4\r\n", true).flags & queue::kContentEightBit,
            0);
}

TEST(Content, WhatCannotBeMerged) {
  const std::string multipart =
      "A: b\r\nContent-Type: multipart/mixed;\r\n boundary=x\r\n\r\n--x\r\nContent-Type: "
      "text/plain\r\n"
      "Content-Transfer-Encoding: ";
  EXPECT_TRUE(run("A: b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", true).good);
  EXPECT_TRUE(run(multipart + "7bit\r\n\r\nx\r\n--x--\r\n", true).good);
  EXPECT_TRUE(run("A: b\r\n\r\nContent-Transfer-Encoding: base64\r\n", true).good);
  EXPECT_TRUE(run("A: b\r\nContent-Transfer-Encoding: base64\r\n\r\n", false).good);
  EXPECT_FALSE(run("A: b\r\nCONTENT-transfer-encoding:\r\n  Base64\r\n\r\n", true).good);
  EXPECT_FALSE(run("A: b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", true).good);
  const Result part = run(multipart + "quoted-printable\r\n\r\nx\r\n--x--\r\n", true);
  EXPECT_FALSE(part.good);
  EXPECT_EQ(part.error.line, 7u);
  EXPECT_FALSE(run("A: b\r\nDKIM-Signature: v=1\r\n\r\n", true).good);
  EXPECT_TRUE(run("A: b\r\nDKIM-Signature: v=1\r\n\r\n", false).good);
  Normalised out;
  ContentError error;
  const std::string built = multipart + "quoted-printable\r\n\r\nx\r\n--x--\r\n";
  EXPECT_TRUE(normalise(built, true, out, error, ContentOrigin::built)) << error.reason;
}

std::string naive_clean(std::string_view raw) {
  std::string out;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '\r' || raw[i] == '\n') {
      out += "\r\n";
      if (raw[i] == '\r' && i + 1 < raw.size() && raw[i + 1] == '\n') ++i;
    } else {
      out += raw[i];
    }
  }
  if (!out.ends_with("\r\n")) out += "\r\n";
  return out;
}

TEST(Content, RandomTextsComeOutClean) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string raw = "A: b\r\n\r\n";
    const size_t length = random() % 150;
    for (size_t i = 0; i < length; ++i) raw += "\r\n..xy\xC3"[random() % 7];
    const Result result = run(raw);
    ASSERT_TRUE(result.good) << result.error.reason;
    ASSERT_EQ(result.bytes, naive_clean(raw));
    ASSERT_EQ((result.flags & queue::kContentDotLines) != 0,
              result.bytes.find("\n.") != std::string::npos);
    ASSERT_EQ((result.flags & queue::kContentEightBit) != 0, raw.find('\xC3') != std::string::npos);
    // Clean is clean: nothing changes any more.
    ASSERT_EQ(run(result.bytes).bytes, result.bytes);
  }
}

TEST(Content, DotStuffing) {
  std::string out;
  append_dot_stuffed(".a\r\n..\r\nb.\r\n.", true, out);
  EXPECT_EQ(out, "..a\r\n...\r\nb.\r\n..");
  out.clear();
  append_dot_stuffed(".a\r\n.\r\n", false, out);
  EXPECT_EQ(out, ".a\r\n..\r\n");
}

TEST(Base64, ThereAndBack) {
  std::mt19937_64 random(3);
  for (size_t length = 0; length < 200; ++length) {
    std::string bytes, text, back;
    for (size_t i = 0; i < length; ++i) bytes += static_cast<char>(random());
    append_base64(bytes, text);
    EXPECT_EQ(text.size() % 4, 0u);
    size_t fault = 0;
    ASSERT_TRUE(append_base64_decoded(text, back, fault)) << length;
    ASSERT_EQ(back, bytes);
  }
}

TEST(Base64, StrictAboutEverything) {
  const std::pair<std::string_view, size_t> rows[] = {
      {"Zg", 2},       {"Zg=", 3},   {"Z", 1},        {"Zh==", 1},  {"Zm9=", 2},
      {"Zm9v\r\n", 4}, {"Zm 9v", 2}, {"Zm-v", 2},     {"=", 1},     {"====", 0},
      {"Zg==Zg==", 2}, {"Zm9v=", 5}, {"Zm9v====", 4}, {"Zm9vZ", 5},
  };
  for (const auto& [text, where] : rows) {
    std::string out;
    size_t fault = 0;
    EXPECT_FALSE(append_base64_decoded(text, out, fault)) << text;
    EXPECT_EQ(fault, where) << text;
  }
  std::string out;
  size_t fault = 0;
  EXPECT_TRUE(append_base64_decoded("", out, fault));
  EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace veredus::mail
