#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mail/builder.h"
#include "tests/mail/parts.h"

namespace veredus::mail {
namespace {

using testing::HasSubstr;

TEST(BuilderAttachments, TypesOfAttachments) {
  for (const std::string_view type :
       {"text/plain; charset=utf-8", "text/calendar;method=REQUEST ; x=\"a\\\"b;\"", "a/b",
        "application/vnd.x+json"}) {
    MessageParts parts = parts_of("t");
    parts.attachments = {{"a", type, "QQ==", ""}};
    EXPECT_THAT(built(parts), HasSubstr("\r\nContent-Type: " + std::string(type) + "\r\n"));
  }
}

TEST(BuilderAttachments, LinesOfAttachments) {
  MessageParts parts = parts_of("t");
  const std::string digits(76 * 2 + 4, 'A');
  parts.attachments = {{"a", "", digits, ""}};
  const std::string line(76, 'A');
  EXPECT_THAT(built(parts), HasSubstr("\r\n\r\n" + line + "\r\n" + line + "\r\nAAAA\r\n--"));
}

// Readers decode encoded words in quoted strings, too.
TEST(BuilderAttachments, NamesOfAttachmentsStayWhatTheyAre) {
  MessageParts parts = parts_of("t");
  parts.attachments = {{"=?utf-8?q?a?=.txt", "", "QQ==", ""}};
  EXPECT_THAT(built(parts), HasSubstr(";\r\n filename*=utf-8''%3D%3Futf-8%3Fq%3Fa%3F%3D.txt\r\n"));
}

TEST(BuilderAttachments, CidsThatHtmlShows) {
  struct Row {
    std::string_view html, cid;
    bool merge, shown;
  };
  const Row rows[] = {
      {"<img src=\"cid:a@b\">", "a@b", true, true},
      {"<img src='CID:a%40b'>", "a@b", true, true},
      {"<img src=cid:a&amp;b>", "a&b", true, true},
      {"<p style=\"background: url(cid:a)\">", "a", true, true},
      {"cid:x cid: cid:a", "a", true, true},
      {"cid:cid:a", "a", true, true},
      {"<img src=cid:ab>", "a", true, false},
      {"<img src=cid:a>", "ab", true, false},
      {"<img src=cid:A>", "a", true, false},
      {"a", "a", true, false},
      {":a", "a", true, false},
      {"cid:%4", "%4", true, true},
      // A value may be the name of any.
      {"<img src=cid:{{a}}>", "b", true, true},
      {"<img src=cid:{{a}}>", "b", false, false},
  };
  for (const Row& row : rows) {
    MessageParts parts = parts_of("t", row.html);
    parts.attachments = {{"", "", "QQ==", row.cid}, {"", "", "QQ==", "other"}};
    BuildSettings settings;
    settings.merge = row.merge;
    const std::string made = built(parts, settings);
    const bool shown = made.find("inline\r\nContent-ID: <" + std::string(row.cid)) != made.npos;
    EXPECT_EQ(shown, row.shown) << row.html;
    EXPECT_THAT(made, HasSubstr("Content-ID: <" + std::string(row.cid) + ">\r\n"));
  }
}

}  // namespace
}  // namespace veredus::mail
