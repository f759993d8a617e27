#include "engine/mail/quoted_printable.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

std::string encoded(std::string_view text, size_t column = 0) {
  std::string out;
  append_quoted_printable(text, column, out);
  return out;
}

TEST(QuotedPrintable, EncodesWhatMustBeAndNoMore) {
  EXPECT_EQ(encoded("a = b ~\r\n"), "a =3D b ~\r\n");
  EXPECT_EQ(encoded("\xc3\xbc\x7f"), "=C3=BC=7F");
}
TEST(QuotedPrintable, LineEndsOfAnyKindBecomeCrlf) {
  EXPECT_EQ(encoded("a\nb\rc\r\nd"), "a\r\nb\r\nc\r\nd");
}
TEST(QuotedPrintable, BlanksAtTheEndOfALineOrOfAPieceAreEncoded) {
  EXPECT_EQ(encoded("a \r\nb\t\r\n c "), "a=20\r\nb=09\r\n c=20");
}
TEST(QuotedPrintable, GoesOnAtItsColumn) {
  size_t column = 70;
  std::string out;
  append_quoted_printable("123456789", column, out);
  EXPECT_EQ(out, "12345=\r\n6789");
  EXPECT_EQ(column, 4u);
}
TEST(QuotedPrintable, NoLineIsLongerThan76) {
  const std::string out = encoded(std::string(500, 'x') + std::string(200, '='));
  for (size_t at = 0, end; at < out.size(); at = end + 2) {
    end = std::min(out.find("\r\n", at), out.size());
    EXPECT_LE(end - at, kEncodedLineMax);
  }
}
TEST(QuotedPrintable, TwoHyphensBeginNoLine) {
  EXPECT_EQ(encoded("--x"), "=2D-x");
  EXPECT_EQ(encoded("a--x"), "a--x");
}

}  // namespace
}  // namespace veredus::mail
