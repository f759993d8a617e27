#include <string>

#include <gtest/gtest.h>

#include "engine/mail/template.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

std::string two_parts(const std::string& first, const std::string& second) {
  return "Content-Type: multipart/mixed; boundary=\"the b\"\r\n\r\n--the b\r\n\r\n" + first +
         "\r\n--the b\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\n\r\n" +
         second + "\r\n--in--\r\n\r\n--the b--\r\n";
}

constexpr std::string_view kRefused = "REFUSED a line that its variables have a part in";

// Nothing that a variable says begins or ends a part.
TEST(MergeBoundary, LinesThatWouldPartTheMessageAreRefused) {
  struct Row {
    std::string text, value;
    bool good;
  };
  const std::string long_lines = std::string(300, 'x') + "\r\n" + std::string(300, 'y') + "\r\n";
  const Row rows[] = {
      {"{{v}}", "--the b", false},
      {"{{v}}", "--the b--", false},
      {"{{v}}", "--the b \t", false},
      {"{{v}}", "--the bend", false},  // some readers look no further
      {"{{v}}", "x\r\n--the b\r\n\r\nmine", false},
      {"{{v}}", "x\n--the b", false},
      {"{{v}}", "x\r--the b--", false},
      {"{{v}}", "--in--", false},
      {"{{v}}", "x\n--inner", false},
      {"--{{v}}", "the b", false},
      {"{{v}}--the b", "", false},
      {"{{v}}--the b", "x\n", false},
      {"{{v}}--the b", "x", true},
      {"--the {{v}}b", "", false},
      {"--the{{v}} b", "", false},
      {"--the b{{v}}", "", false},
      {"x{{v}}", "\n--the b", false},
      {"{{#gone}}x{{/gone}}--the b", "", false},
      {"x\r\n{{#gone}}\r\ny{{/gone}}--in", "", false},
      {"-{{^gone}}-{{/gone}}the b", "", false},
      {"{{v}}", "-the b", true},
      {"{{v}}", "--the", true},
      {"{{v}}", "--the\nb", true},
      {"{{v}}", " --the b", true},
      {"{{v}}", "--The b", true},
      {"x{{v}}", "--the b", true},
      {"-- {{v}}", "signature", true},
      {long_lines + "--the {{v}}", "b", false},  // of which the door keeps the last line only
      {long_lines + "--the {{v}}", "c", true},
      {long_lines + "{{v}}--the b" + long_lines, "", false},
      {"{{v}}", "", true},
  };
  for (const Row& row : rows) {
    const std::string got = merged(two_parts("x", row.text), {{"v", row.value}});
    EXPECT_EQ(got.starts_with(kRefused), !row.good) << row.text << "|" << row.value << "|" << got;
    EXPECT_EQ(got.starts_with("REFUSED"), !row.good) << got;
    // Boundaries of a part beside say nothing here.
    const bool inner = (row.text + row.value).find("--in") != std::string::npos;
    EXPECT_EQ(merged(two_parts(row.text, "x"), {{"v", row.value}}).starts_with(kRefused),
              !row.good && !inner)
        << row.text << "|" << row.value;
    // Where there are no parts, none can be made.
    EXPECT_FALSE(
        merged("A: b\r\n\r\n" + row.text + "\r\n", {{"v", row.value}}).starts_with("REFUSED"));
  }
}

TEST(MergeBoundary, BeforeAndBehindThePartsToo) {
  const std::string head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
  const std::string parts = "\r\n--b\r\n\r\nx\r\n--b--\r\n";
  EXPECT_EQ(merged(head + "{{v}}" + parts, {{"v", "pre"}}), head + "pre" + parts);
  EXPECT_TRUE(merged(head + "{{v}}" + parts, {{"v", "--b"}}).starts_with(kRefused));
  EXPECT_TRUE(merged(head + parts + "{{v}}\r\n", {{"v", "--b"}}).starts_with(kRefused));
}

TEST(MergeBoundary, LongBoundaries) {
  const std::string boundary(120, 'b');
  const std::string message = "Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--" +
                              boundary + "\r\n\r\n{{v}}\r\n--" + boundary + "--\r\n";
  EXPECT_TRUE(merged(message, {{"v", "--" + boundary}}).starts_with(kRefused));
  EXPECT_FALSE(merged(message, {{"v", "--bb"}}).starts_with("REFUSED"));
}

// The twelve ways to write an end of data that some server takes for one (facts: CVE-2023-51764 and
// its like), and some more: what leaves has no CR or LF alone, and its one end of data is not
// within it.
TEST(MergeBoundary, NothingEndsTheData) {
  std::vector<std::string> values;
  const std::string ends[] = {"\r\n", "\n", "\r", std::string("\r\0\n", 3)};
  for (const std::string& before : ends) {
    for (const std::string& after : ends) {
      for (const char* dots : {".", "..", ""})
        values.push_back("x" + before + dots + after + "MAIL FROM:<e@v.il>" + after);
    }
  }
  values.insert(values.end(),
                {".", ".\r", ".\n", "\n.", "\r.", "\r\n.\r", "\r\n.\n", ".\r\n.\r\n."});
  const std::string messages[] = {"A: b\r\n\r\n{{v}}\r\n",
                                  "A: b\r\n\r\nx{{v}}x\r\n",
                                  "A: b\r\n\r\n{{v}}.\r\n.\r\n",
                                  "A: b\r\n\r\n.{{v}}\r\n",
                                  "Content-Type: text/html\r\n\r\n{{v}}.{{v}}\r\n",
                                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n{{v}}\r\n"};
  for (const std::string& message : messages) {
    for (const std::string& value : values) {
      const std::string got = merged(message, {{"v", value}});
      if (value.find('\0') != std::string::npos) {
        EXPECT_EQ(got, "REFUSED the variable \"v\" has a NUL byte");
        continue;
      }
      std::string stuffed;
      append_dot_stuffed(got, true, stuffed);  // merged() saw that it is so
      ASSERT_TRUE(stuffed.ends_with("\r\n"));
      EXPECT_EQ(stuffed.find("\r\n.\r\n"), std::string::npos);
      for (size_t at = 0; at < stuffed.size(); ++at) {
        if (stuffed[at] == '\r') {
          EXPECT_EQ(stuffed.substr(at, 2), "\r\n");
        }
        if (stuffed[at] == '\n') {
          EXPECT_EQ(stuffed.substr(at - 1, 2), "\r\n");
        }
      }
    }
  }
}

}  // namespace
}  // namespace veredus::mail
