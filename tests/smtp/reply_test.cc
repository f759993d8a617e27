#include "engine/smtp/reply.h"

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace veredus::smtp {
namespace {

struct Parsed {
  uint16_t code = 0;
  uint16_t lines = 0;
  EnhancedStatus enhanced;
  std::string text;
  bool operator==(const Parsed&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Parsed& parsed) {
  return out << parsed.code << " " << parsed.enhanced.status_class << "." << parsed.enhanced.subject
             << "." << parsed.enhanced.detail << " lines " << parsed.lines << " '" << parsed.text
             << "'";
}

struct Outcome {
  std::vector<Parsed> replies;
  ReplyError error = ReplyError::none;
  bool empty = true;
};

// Feeds `bytes` in pieces of `piece` bytes.
Outcome parse(const std::string& bytes, size_t piece) {
  ReplyParser parser;
  Outcome outcome;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string chunk =
        bytes.substr(at, piece);  // its own memory: views into it must not be kept
    std::string_view rest = chunk;
    Reply reply;
    ReplyParser::Result result;
    while ((result = parser.feed(rest, reply)) == ReplyParser::Result::reply) {
      outcome.replies.push_back({reply.code, reply.lines, reply.enhanced, std::string(reply.text)});
    }
    if (result == ReplyParser::Result::error) {
      outcome.error = parser.error();
      EXPECT_EQ(parser.feed(rest, reply), ReplyParser::Result::error) << "an error is forgotten";
      return outcome;
    }
    EXPECT_TRUE(rest.empty());
  }
  outcome.empty = parser.empty();
  return outcome;
}

struct Case {
  const char* name;
  std::string bytes;
  std::vector<Parsed> replies;
  ReplyError error = ReplyError::none;
  bool empty = true;
};

std::vector<Case> cases() {
  const EnhancedStatus none;
  const std::string x2042(2042, 'x');
  std::string lines128;
  for (int i = 0; i < 127; ++i) lines128 += "220-a\r\n";
  return {
      {"Plain", "250 ok\r\n", {{250, 1, none, "ok"}}},
      {"NoText", "250\r\n", {{250, 1, none, ""}}},
      {"NoTextBareLf", "354\n", {{354, 1, none, ""}}},
      {"EmptyText", "250 \r\n", {{250, 1, none, ""}}},
      {"BareLf", "250 ok\n", {{250, 1, none, "ok"}}},
      {"CrInText", "250 a\rb\r\n", {{250, 1, none, "a\rb"}}},
      {"TwoCr", "250 a\r\r\n", {{250, 1, none, "a\r"}}},
      {"NulInText", std::string("250 a\0b\r\n", 9), {{250, 1, none, std::string("a\0b", 3)}}},
      {"Two", "250 ok\r\n354 go\r\n", {{250, 1, none, "ok"}, {354, 1, none, "go"}}},
      {"MultiLine", "250-a\r\n250-b\r\n250 c\r\n", {{250, 3, none, "a\nb\nc"}}},
      {"MultiLineThenOne",
       "250-a\r\n250 b\r\n221 c\r\n",
       {{250, 2, none, "a\nb"}, {221, 1, none, "c"}}},
      {"MultiLineEndsWithoutText", "250-a\r\n250\r\n", {{250, 2, none, "a\n"}}},
      {"Enhanced", "550 5.1.1 no such user\r\n", {{550, 1, {5, 1, 1}, "no such user"}}},
      {"EnhancedAlone", "250 2.0.0\r\n", {{250, 1, {2, 0, 0}, ""}}},
      {"EnhancedLarge", "550 5.7.606 banned\r\n", {{550, 1, {5, 7, 606}, "banned"}}},
      {"EnhancedTooLarge", "550 5.7.6061 banned\r\n", {{550, 1, none, "5.7.6061 banned"}}},
      {"EnhancedOfOtherClass", "550 4.1.1 odd\r\n", {{550, 1, none, "4.1.1 odd"}}},
      {"EnhancedIsAnAddress", "450 4.1.1.2 is busy\r\n", {{450, 1, none, "4.1.1.2 is busy"}}},
      {"EnhancedWithoutDetail", "550 5.1 odd\r\n", {{550, 1, none, "5.1 odd"}}},
      {"EnhancedOnEachLine",
       "550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1 c\r\n",
       {{550, 3, {5, 1, 1}, "a\nb\nc"}}},
      {"EnhancedOnOtherLineDiffers",
       "550-5.1.1 a\r\n550 5.1.2 b\r\n",
       {{550, 2, {5, 1, 1}, "a\n5.1.2 b"}}},
      {"EnhancedNotOnFirstLine", "550-a\r\n550 5.1.2 b\r\n", {{550, 2, none, "a\n5.1.2 b"}}},
      {"Code57x", "571 no\r\n", {{571, 1, none, "no"}}},
      {"Incomplete", "250-a\r\n250", {}, ReplyError::none, false},
      {"IncompleteCode", "2", {}, ReplyError::none, false},
      {"LongestLine", "220 " + x2042 + "\r\n", {{220, 1, none, x2042}}},
      {"LineTooLong", "220 " + x2042 + "x\r\n", {}, ReplyError::line_too_long},
      {"NoLfEver", std::string(5000, '2'), {}, ReplyError::line_too_long},
      {"SecondLineTooLong", "220-a\r\n220 " + x2042 + "x\r\n", {}, ReplyError::line_too_long},
      {"TooManyLines", lines128 + "220-a\r\n220 b\r\n", {}, ReplyError::too_many_lines},
      {"Code22", "22 x\r\n", {}, ReplyError::bad_code},
      {"Code850", "850 x\r\n", {}, ReplyError::bad_code},
      {"Code150", "150 x\r\n", {}, ReplyError::bad_code},
      {"CodeUnderscore", "220_x\r\n", {}, ReplyError::bad_code},
      {"CodeTab", "220\tx\r\n", {}, ReplyError::bad_code},
      {"CodeFourDigits", "2200 x\r\n", {}, ReplyError::bad_code},
      {"CodeLetters", "2a0 x\r\n", {}, ReplyError::bad_code},
      {"CodeSigned", "+25 x\r\n", {}, ReplyError::bad_code},
      {"CodeThenTwoCr", "250\r\r\n", {}, ReplyError::bad_code},
      {"EmptyLine", "\r\n", {}, ReplyError::bad_code},
      {"EmptyLineBareLf", "\n", {}, ReplyError::bad_code},
      {"EmptyContinuation", "250-a\r\n\r\n", {}, ReplyError::bad_code},
      {"Mixed", "250-a\r\n251 b\r\n", {}, ReplyError::mixed_codes},
      {"GoodThenBad", "250 a\r\nhello\r\n", {{250, 1, none, "a"}}, ReplyError::bad_code},
  };
}

// Every case, cut into pieces of every small size and whole: the same replies, the same error.
TEST(ReplyParser, Table) {
  for (const Case& it : cases()) {
    for (const size_t piece :
         {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{7}, size_t{1 << 20}}) {
      const Outcome outcome = parse(it.bytes, piece);
      EXPECT_EQ(outcome.replies, it.replies) << it.name << " in pieces of " << piece;
      EXPECT_EQ(outcome.error, it.error) << it.name << " in pieces of " << piece;
      EXPECT_TRUE(it.error != ReplyError::none || outcome.empty == it.empty) << it.name;
    }
  }
}

TEST(ReplyParser, TakesTheMostLinesAndKeepsOnlySomeText) {
  std::string bytes;
  for (int i = 0; i < 127; ++i) bytes += "220-" + std::string(200, 'a') + "\r\n";
  bytes += "220 last\r\n";
  for (const size_t piece : {size_t{1}, size_t{1000}, size_t{1 << 20}}) {
    const Outcome outcome = parse(bytes, piece);
    ASSERT_EQ(outcome.replies.size(), 1u);
    EXPECT_EQ(outcome.replies[0].lines, 128);
    EXPECT_EQ(outcome.replies[0].text.size(), kReplyTextMax);
    EXPECT_TRUE(outcome.empty);
  }
}

TEST(ReplyParser, TakesTheMostBytes) {
  // 32 lines of 2,048 bytes are 64 KiB exactly; one byte more is too much.
  std::string bytes;
  for (int i = 0; i < 31; ++i) bytes += "220-" + std::string(2042, 'a') + "\r\n";
  const std::string fits = bytes + "220 " + std::string(2042, 'a') + "\r\n";
  const std::string over = bytes + "220-" + std::string(2042, 'a') + "\r\n220\n";
  for (const size_t piece : {size_t{1}, size_t{1000}, size_t{1 << 20}}) {
    EXPECT_EQ(parse(fits, piece).replies.size(), 1u);
    EXPECT_EQ(parse(over, piece).error, ReplyError::too_many_bytes);
  }
}

TEST(ReplyParser, WholeLineIsNotCopied) {
  ReplyParser parser;
  const std::string bytes = "250 2.0.0 a text that is longer than a short string\r\n";
  std::string_view rest = bytes;
  Reply reply;
  ASSERT_EQ(parser.feed(rest, reply), ReplyParser::Result::reply);
  EXPECT_EQ(reply.text.data(), bytes.data() + 10);
}

TEST(ReplyParser, EveryErrorHasWords) {
  for (int error = 0; error <= static_cast<int>(ReplyError::unrequested); ++error) {
    EXPECT_FALSE(words(static_cast<ReplyError>(error)).empty()) << error;
  }
}

}  // namespace
}  // namespace veredus::smtp
