#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mail/builder.h"
#include "engine/mail/part_text.h"
#include "tests/mail/parts.h"

namespace veredus::mail {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(BuilderLimits, TooLarge) {
  MessageParts parts = parts_of("a\nb", "<p>=");
  parts.attachments = {{"", "", "QUJD", ""}};
  std::string made, out;
  BuildFault fault;
  BuildSettings settings = unmerged();
  ASSERT_TRUE(build_message(parts, settings, made, fault));
  settings.bytes_max = made.size();
  EXPECT_TRUE(build_message(parts, settings, out, fault));
  out.clear();
  --settings.bytes_max;
  EXPECT_FALSE(build_message(parts, settings, out, fault));
  EXPECT_TRUE(fault.too_large);
  EXPECT_EQ(fault.reason, "the message made from the parts is larger than " +
                              std::to_string(made.size() - 1) + " bytes");
  // Nothing is written of what is known to be too large: encoded, it would be three times that.
  settings.bytes_max = 1u << 20;
  const std::string signs(1u << 19, '='), lines(3u << 18, '\n'), digits((1u << 20) + 4, 'A');
  for (MessageParts large : {parts_of(signs), parts_of("", signs), parts_of(lines)}) {
    std::string nothing;
    EXPECT_FALSE(build_message(large, settings, nothing, fault));
    EXPECT_TRUE(fault.too_large);
    EXPECT_LT(nothing.capacity(), 1000u);
  }
  parts.attachments = {{"", "", digits, ""}};
  EXPECT_FALSE(build_message(parts, settings, out, fault));
  EXPECT_TRUE(fault.too_large);
}

TEST(BuilderLimits, HeadersThatAreTooLarge) {
  std::string words;
  while (words.size() < 60'000) words += "x ";
  MessageParts parts = parts_of("t");
  for (const std::string_view name : {"X-A", "X-B", "X-C", "X-D"})
    parts.headers.emplace_back(name, words);
  EXPECT_THAT(built(parts), Not(HasSubstr("fault")));
  parts.headers.emplace_back("X-E", words);
  EXPECT_EQ(built(parts), "fault: the header fields have more than 262144 bytes together");
  parts.headers = {{"X-A", words + words}};
  EXPECT_EQ(built(parts), "fault: \"headers\": X-A is longer than 65536 bytes");
}

// However a text is encoded, what is said to be its least length is no more than it has.
TEST(BuilderLimits, LeastBytesOfTexts) {
  for (const std::string_view text :
       {"", "a\nb\r\nc\rd", "a=b\t\u00e4\x01 {{x|=}} =\r\n{{{y}}}\n", "{{x}}--\n.\n"}) {
    for (const TextEncoding encoding : {TextEncoding::eight_bit, TextEncoding::quoted_printable}) {
      for (const bool merge : {false, true}) {
        std::string written;
        append_text(text, merge, encoding, written);
        EXPECT_LE(text_bytes_least(text, merge, encoding), written.size()) << text;
        EXPECT_GE(text_bytes_least(text, merge, encoding) + 20, written.size()) << text;
      }
    }
  }
}

}  // namespace
}  // namespace veredus::mail
