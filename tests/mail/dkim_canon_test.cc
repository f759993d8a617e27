#include "engine/mail/dkim_canon.h"

#include <initializer_list>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/mail/naive_canon.h"

namespace veredus::mail {
namespace {

using testing::naive_canonical_body;

struct Collected final : CanonSink {
  void take(const char* data, size_t size) override { text.append(data, size); }
  std::string text;
};

std::string body_of(DkimCanon canon, std::initializer_list<std::string_view> pieces) {
  Collected sink;
  DkimBodyCanon body(canon, sink);
  for (const std::string_view piece : pieces) body.update(piece);
  body.finish();
  return sink.text;
}
std::string simple_body(std::string_view text) {
  return body_of(DkimCanon::simple, {text});
}
std::string relaxed_body(std::string_view text) {
  return body_of(DkimCanon::relaxed, {text});
}
std::string field_of(DkimCanon canon, std::string_view field) {
  std::string out = "kept ";
  append_canonical_field(canon, field, out);
  return out.substr(5);
}
std::string relaxed_field(std::string_view field) {
  return field_of(DkimCanon::relaxed, field);
}

// RFC 6376 §3.4.5.
TEST(DkimCanon, ExamplesOfTheRfc) {
  EXPECT_EQ(relaxed_field("A: X\r\n"), "a:X\r\n");
  EXPECT_EQ(relaxed_field("B : Y\t\r\n\tZ  \r\n"), "b:Y Z\r\n");
  EXPECT_EQ(field_of(DkimCanon::simple, "B : Y\t\r\n\tZ  \r\n"), "B : Y\t\r\n\tZ  \r\n");
  EXPECT_EQ(relaxed_body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
  EXPECT_EQ(simple_body(" C \r\nD \t E\r\n\r\n\r\n"), " C \r\nD \t E\r\n");
}

TEST(DkimCanon, EmptyBodies) {
  EXPECT_EQ(simple_body(""), "\r\n");
  EXPECT_EQ(relaxed_body(""), "");
  for (const std::string_view empty : {"\r\n", "\r\n\r\n\r\n"}) {
    EXPECT_EQ(simple_body(empty), "\r\n");
    EXPECT_EQ(relaxed_body(empty), "");
  }
  EXPECT_EQ(simple_body(" \r\n"), " \r\n");
  EXPECT_EQ(relaxed_body(" \t\r\n \r\n"), "");
}

TEST(DkimCanon, TheLastLineEndIsAddedWhereItLacks) {
  EXPECT_EQ(simple_body("a"), "a\r\n");
  EXPECT_EQ(relaxed_body("a \t"), "a\r\n");
  EXPECT_EQ(simple_body("a\r"), "a\r\r\n");
  EXPECT_EQ(relaxed_body(" "), "");
}

TEST(DkimCanon, OnlyEmptyLinesAtTheEndGo) {
  EXPECT_EQ(simple_body("\r\n\r\na\r\n\r\nb\r\n\r\n"), "\r\n\r\na\r\n\r\nb\r\n");
  EXPECT_EQ(relaxed_body("\r\n \r\na\r\n\t\r\nb\r\n \r\n"), "\r\n\r\na\r\n\r\nb\r\n");
}

TEST(DkimCanon, RelaxedWhiteSpace) {
  EXPECT_EQ(relaxed_body("a\tb\r\n"), "a b\r\n");
  EXPECT_EQ(relaxed_body("a \t  b  \r\n  c\r\n"), "a b\r\n c\r\n");
  // A long line, so that whole blocks are looked at; white space where they meet.
  for (size_t at = 60; at < 70; ++at) {
    std::string line(200, 'x');
    line[at] = ' ';
    EXPECT_EQ(relaxed_body(line + "\r\n"), line + "\r\n");
    std::string wide = line;
    wide.insert(at, "\t ");
    EXPECT_EQ(relaxed_body(wide + "\r\n"), line + "\r\n") << at;
  }
}

TEST(DkimCanon, BareLineEndsAreBytes) {
  EXPECT_EQ(simple_body("a\n\r\r\n\n\r\n"), "a\n\r\r\n\n\r\n");
  EXPECT_EQ(relaxed_body("a \n\tb \r c\r\n"), "a \n b \r c\r\n");
}

TEST(DkimCanon, Fields) {
  EXPECT_EQ(relaxed_field("SUBJECT:\r\n \r\n a\r\n\t b\r\n"), "subject:a b\r\n");
  EXPECT_EQ(relaxed_field("X:\r\n"), "x:\r\n");
  EXPECT_EQ(relaxed_field("X: \t \r\n"), "x:\r\n");
  EXPECT_EQ(relaxed_field("X: a : B"), "x:a : B");
  EXPECT_EQ(relaxed_field("X: a \r\n b\r\n \r\n"), "x:a b\r\n");
}

// Wherever a body is cut, once or twice, the same comes out.
TEST(DkimCanon, EverySplitGivesTheSame) {
  const std::string_view text = " a \t b\r\n\r\n \t\r\n\tc\r d\n e \r\n.\r\n \r\n\r\n";
  for (const DkimCanon canon : {DkimCanon::simple, DkimCanon::relaxed}) {
    const std::string whole = body_of(canon, {text});
    EXPECT_EQ(whole, naive_canonical_body(text, canon == DkimCanon::relaxed));
    for (size_t first = 0; first <= text.size(); ++first) {
      for (size_t second = first; second <= text.size(); ++second) {
        EXPECT_EQ(body_of(canon, {text.substr(0, first), text.substr(first, second - first),
                                  text.substr(second)}),
                  whole)
            << first << " " << second;
      }
    }
  }
}

TEST(DkimCanon, AsANaiveOneDoesIt) {
  std::mt19937 random(1);
  constexpr std::string_view kParts[] = {" ", "\t", "\r\n", "\r", "\n", "a", "word", "  "};
  for (int run = 0; run < 3000; ++run) {
    std::string text;
    for (size_t parts = random() % 60; parts > 0; --parts) {
      text += kParts[random() % std::size(kParts)];
      if (random() % 10 == 0) text += std::string(random() % 600, 'x');
    }
    for (const DkimCanon canon : {DkimCanon::simple, DkimCanon::relaxed}) {
      const std::string expected = naive_canonical_body(text, canon == DkimCanon::relaxed);
      ASSERT_EQ(body_of(canon, {text}), expected);
      Collected sink;
      DkimBodyCanon body(canon, sink);
      for (size_t at = 0; at < text.size();) {
        const size_t size = random() % 90;
        body.update(std::string_view(text).substr(at, size));
        at += size;
      }
      body.finish();
      ASSERT_EQ(sink.text, expected);
    }
  }
}

}  // namespace
}  // namespace veredus::mail
