#include "engine/mail/field_writer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

std::string field(std::string_view name, std::string_view value, bool merge = false) {
  std::string out, why_not;
  if (append_field(name, value, merge, out, why_not)) return out;
  return "! " + why_not;
}

struct Row {
  std::string name, value, written;
};

TEST(FieldWriter, Text) {
  const std::string word(30, 'x');
  const Row rows[] = {
      {"Subject", "Hello", "Subject: Hello\r\n"},
      {"Subject", "", "Subject:\r\n"},
      {"Subject", " \t a  b\tc ", "Subject: a  b\tc\r\n"},
      {"Subject", word + " " + word + " " + word,
       "Subject: " + word + " " + word + "\r\n " + word + "\r\n"},
      {"Subject", word + "  " + word + "  " + word,
       "Subject: " + word + "  " + word + "\r\n  " + word + "\r\n"},
      {"Subject", std::string(200, 'x') + " y", "Subject: " + std::string(200, 'x') + "\r\n y\r\n"},
      {"Subject", "=?utf-8?q?=C3=A4?= x", "Subject: =?utf-8?q?=C3=A4?= x\r\n"},
      {"Subject", "=?utf-8?q?=C3=A4?= " + word + " " + std::string(18, 'y'),
       "Subject: =?utf-8?q?=C3=A4?= " + word + "\r\n " + std::string(18, 'y') + "\r\n"},
      {"Subject", "Gr\u00fc\u00dfe", "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n"},
      {"X-Any", "\u00e4", "X-Any: =?UTF-8?B?w6Q=?=\r\n"},
      {"Subject", std::string(990, 'x'),
       "! has more than 998 bytes without a blank to fold them at"},
      {"Subject", "a\rb", "! has a line end"},
      {"Subject", "a\xff", "! is not UTF-8"},
      {"Message-ID", "<a@b.c>", "Message-ID: <a@b.c>\r\n"},
      {"References", "<a@b.c>\u00e4",
       "! is not ASCII, and text stands elsewhere than in this field"},
      {"List-Help", "<https://\u00e4.example>",
       "! is not ASCII: percent-encode it, and write domains in A-labels (xn--…)"},
      {"List-Id", "Gr\u00fc\u00dfe <a.b.example>",
       "List-Id: =?UTF-8?B?R3LDvMOfZQ==?= <a.b.example>\r\n"},
      {"List-Id", "x <\u00e4.example>",
       "! is not ASCII between < and >: write domains in A-labels (xn--…)"},
  };
  for (const Row& row : rows) EXPECT_EQ(field(row.name, row.value), row.written) << row.value;
  const std::string words =
      field("Subject", std::string(40, 'x') + std::string("\u00e4") + std::string(60, 'y'));
  EXPECT_THAT(words, testing::HasSubstr("?=\r\n =?"));
  size_t at = 0;
  for (size_t end; (end = words.find('\n', at)) != std::string::npos; at = end + 1)
    EXPECT_LE(end - 1 - at, 76u);
}

TEST(FieldWriter, Addresses) {
  const Row rows[] = {
      {"", "ada@example.org", "ada@example.org"},
      {"", "<ada@Example.org>", "<ada@Example.org>"},
      {"", "Ada  Lovelace <ada@example.org>", "Ada Lovelace <ada@example.org>"},
      {"", "\"Ada\" <ada@example.org>", "Ada <ada@example.org>"},
      {"", "Ada L. <ada@example.org>", "\"Ada L.\" <ada@example.org>"},
      {"", "\"L, \\\"A\\\"\" <ada@example.org>", "\"L, \\\"A\\\"\" <ada@example.org>"},
      {"", "J\u00f6rg <j@b\u00fccher.example>", "=?UTF-8?B?SsO2cmc=?= <j@xn--bcher-kva.example>"},
      {"", "\"M\u00fcller, J\" <j@x.example>", "=?UTF-8?B?TcO8bGxlciwgSg==?= <j@x.example>"},
      {"", "=?utf-8?q?=C3=A4?= <a@b.c>", "=?utf-8?q?=C3=A4?= <a@b.c>"},
      {"", "\u00e4@x.example", "\u00e4@x.example"},
      {"", "a@x.example,b@y.example , C <c@z.example>",
       "a@x.example, b@y.example, C <c@z.example>"},
      {"", "undisclosed-recipients:;", "undisclosed-recipients:;"},
      {"", "Friends: a@x.example, B <b@y.example>;", "Friends: a@x.example, B <b@y.example>;"},
      {"", "a@x.example (work)", "a@x.example (work)"},
      {"", "a@[192.0.2.1]", "a@[192.0.2.1]"},
      {"", "a@x.example (\u00e4)", "! has a comment, or the name of a group, that is not ASCII"},
      {"", "Ada", "! is no list of addresses: "},
      {"", "a@-x.example", "! has an address that is none: "},
      {"", "a@x.example b@y.example", "! is no list of addresses: "},
  };
  for (const Row& row : rows) {
    const std::string made = field("To", row.value);
    if (row.written.starts_with("!")) {
      EXPECT_THAT(made, testing::StartsWith(row.written)) << row.value;
    } else {
      EXPECT_EQ(made, "To: " + row.written + "\r\n");
    }
  }
  std::string many;
  for (int i = 0; i < 9; ++i) many += (i == 0 ? "" : ",") + std::string("Ada <ada@example.org>");
  EXPECT_EQ(field("Cc", many),
            "Cc: Ada <ada@example.org>, Ada <ada@example.org>, Ada <ada@example.org>,\r\n"
            " Ada <ada@example.org>, Ada <ada@example.org>, Ada <ada@example.org>,\r\n"
            " Ada <ada@example.org>, Ada <ada@example.org>, Ada <ada@example.org>\r\n");
}

// RFC 2047 §2: lines with encoded words have 76 bytes at most.
TEST(FieldWriter, LinesWithEncodedWords) {
  for (size_t length = 1; length < 150; ++length) {
    std::string name;
    for (size_t i = 0; i < length; ++i) name += i % 3 == 0 ? "\u00e4" : "x";
    const std::string address = " <" + std::string(length % 64 + 1, 'l') + "@x.example>";
    std::string many;
    for (int i = 0; i < 4; ++i) many += (i == 0 ? "" : ", ") + name + address + ", ada@example.org";
    for (const std::string& written :
         {field("From", name + address), field("Disposition-Notification-To", many),
          field("Reply-To", name + " <{{to}}>", true), field("X-A", name),
          field("List-Id", name + " <" + std::string(length % 64 + 1, 'l') + ".example>"),
          field("From", many)}) {
      ASSERT_FALSE(written.starts_with("!")) << written;
      for (size_t at = 0, end; (end = written.find('\n', at)) != std::string::npos; at = end + 1) {
        const std::string line = written.substr(at, end - 1 - at);
        EXPECT_TRUE(line.size() <= 76 || line.find("=?") == std::string::npos) << line;
        EXPECT_FALSE(line.ends_with(' ')) << line;
      }
    }
  }
}

TEST(FieldWriter, LongValues) {
  std::string words;
  while (words.size() < kFieldBytesMax) words += "x ";
  EXPECT_THAT(field("X-A", words.substr(2) + "xx"), testing::StartsWith("X-A: x x"));
  EXPECT_EQ(field("X-A", words + "x"), "! is longer than 65536 bytes");
}

TEST(FieldWriter, Tags) {
  const std::string word(30, 'x'), tag = "{{a|" + std::string(40, 'b') + " c}}";
  const Row rows[] = {
      {"Subject", "Hello {{name|dear you}}", "Subject: Hello {{name|dear you}}\r\n"},
      {"Subject", "Gr\u00fc\u00dfe, {{name}}", "Subject: Gr\u00fc\u00dfe, {{name}}\r\n"},
      // Folded where something stays on each line, and never within.
      {"Subject", word + " " + word + " " + tag + " y",
       "Subject: " + word + " " + word + " " + tag + "\r\n y\r\n"},
      {"Subject", word + " " + word + " " + tag + "!",
       "Subject: " + word + " " + word + "\r\n " + tag + "!\r\n"},
      {"Subject", word + " {{#a}}" + word + " " + word + "{{/a}} y",
       "Subject: " + word + " {{#a}}" + word + " " + word + "{{/a}}\r\n y\r\n"},
      {"Subject", "{{#a}}x", "! has a section that does not end in it: {{#a}}"},
      {"Subject", "{{/a}}",
       "! has, at byte 1, a tag that is not understood: it ends a section that "
       "is not the open one"},
      {"To", "{{name}} <{{to}}>", "To: {{name}} <{{to}}>\r\n"},
      {"To", "{{to}}", "To: {{to}}\r\n"},
      // A name without tags of its own is encoded here.
      {"To", "Gr\u00fc\u00dfe <{{to}}>", "To: =?UTF-8?B?R3LDvMOfZQ==?= <{{to}}>\r\n"},
      {"Cc", "a@b.c, \"M\u00fcller, A\"  <n+{{id}}@b\u00fccher.example>",
       "Cc: a@b.c, =?UTF-8?B?TcO8bGxlciwgQQ==?= <n+{{id}}@xn--bcher-kva.example>\r\n"},
      {"Reply-To", "A. B <{{to}}>", "Reply-To: \"A. B\" <{{to}}>\r\n"},
      {"From", "=?utf-8?q?=C3=A4?= <{{to}}>", "From: =?utf-8?q?=C3=A4?= <{{to}}>\r\n"},
      {"From", "\u00e4 (x) <{{to}}>", "! has a comment, or an encoded word, beside"},
      {"From", "{{to}} (\u00e4)", "! has a comment, or"},
      {"List-ID", "Gr\u00fc\u00dfe <{{x}}.b.example>",
       "List-ID: =?UTF-8?B?R3LDvMOfZQ==?= <{{x}}.b.example>\r\n"},
      {"List-ID", "Gr\u00fc\u00dfe {{y}} <{{x}}.b.example>",
       "List-ID: Gr\u00fc\u00dfe {{y}} <{{x}}.b.example>\r\n"},
      {"List-ID", "x <{{x}}.\u00e4>", "! is not ASCII between < and >"},
      // What may be nothing at all gets no line of its own.
      {"To", word + "@" + word + ".example, {{cc|" + word + "}}",
       "To: " + word + "@" + word + ".example, {{cc|" + word + "}}\r\n"},
      {"To", word + "@" + word + ".example, {{#a}}x@y.z{{/a}}",
       "To: " + word + "@" + word + ".example, {{#a}}x@y.z{{/a}}\r\n"},
      {"To", "\"{{name}}\" <{{to}}>, {{other}}", "To: \"{{name}}\" <{{to}}>, {{other}}\r\n"},
      {"To", "{{local}}@{{domain}}", "To: {{local}}@{{domain}}\r\n"},
      {"To", "{{#name}}Dear {{name}} {{/name}}<{{to}}>",
       "To: {{#name}}Dear {{name}} {{/name}}<{{to}}>\r\n"},
      {"From", "J\u00f6rg f\u00fcr {{firm}} <j+{{id}}@b\u00fccher.example>, \u00c4 <a@b.c>",
       "From: J\u00f6rg f\u00fcr {{firm}} <j+{{id}}@xn--bcher-kva.example>,\r\n"
       " =?UTF-8?B?w4Q=?= <a@b.c>\r\n"},
      {"From", "{{name}} <{{local}}@{{x}}\u00e4.example>",
       "! has a domain that is not ASCII, and no domain name: it has a variable in it"},
      {"From", "{{name}} {{to}}", "! is no list of addresses: "},
      {"From", "{{name}} <>", "! is no list of addresses: "},
      {"To", "{{#x}}a@b.c, {{/x}}d@e.f",
       "! has a section that reaches over several of its addresses or URIs"},
      {"List-Help", "{{#x}}<https://b.c>{{/x}}",
       "! has a section that reaches over several of its addresses or URIs"},
      {"Message-ID", "<{{id|\u00e4}}@x>", "Message-ID: <{{id|\u00e4}}@x>\r\n"},
      {"List-Unsubscribe", "<https://x.example/{{id}}>",
       "List-Unsubscribe: <https://x.example/{{id}}>\r\n"},
  };
  for (const Row& row : rows) {
    const std::string made = field(row.name, row.value, true);
    if (row.written.starts_with("!")) {
      EXPECT_THAT(made, testing::StartsWith(row.written)) << row.value;
    } else {
      EXPECT_EQ(made, row.written);
    }
  }
  // Without merge they are text.
  EXPECT_EQ(field("Subject", "{{#a}}\u00e4"), "Subject: =?UTF-8?B?e3sjYX19w6Q=?=\r\n");
}

}  // namespace
}  // namespace veredus::mail
