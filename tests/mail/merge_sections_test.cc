#include <string>

#include <gtest/gtest.h>

#include "engine/mail/template.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

using Vars = std::vector<std::pair<std::string_view, std::string_view>>;

TEST(MergeSections, IncludedWhenThereAndNotEmpty) {
  struct Row {
    std::string text;
    Vars vars;
    std::string wanted;
  };
  const Row rows[] = {
      {"[{{#a}}x{{/a}}]", {{"a", "1"}}, "[x]"},
      {"[{{#a}}x{{/a}}]", {{"a", ""}}, "[]"},
      {"[{{#a}}x{{/a}}]", {}, "[]"},
      {"[{{^a}}x{{/a}}]", {{"a", "1"}}, "[]"},
      {"[{{^a}}x{{/a}}]", {{"a", ""}}, "[x]"},
      {"[{{^a}}x{{/a}}]", {}, "[x]"},
      {"[{{# a }}x{{/ a }}]", {{"a", "false"}}, "[x]"},
      {"{{#a}}Dear {{a}}{{/a}}{{^a}}Hello{{/a}},", {{"a", "Ada"}}, "Dear Ada,"},
      {"{{#a}}Dear {{a}}{{/a}}{{^a}}Hello{{/a}},", {}, "Hello,"},
      {"{{#a}}1{{#b}}2{{/b}}3{{/a}}", {{"a", "y"}, {"b", "y"}}, "123"},
      {"{{#a}}1{{#b}}2{{/b}}3{{/a}}", {{"a", "y"}}, "13"},
      {"{{#a}}1{{#b}}2{{/b}}3{{/a}}", {{"b", "y"}}, ""},
      {"{{#a}}{{#a}}x{{/a}}{{/a}}", {{"a", "y"}}, "x"},
      {"a{{#a}}\r\nx\r\n{{/a}}b", {{"a", "y"}}, "a\r\nx\r\nb"},
      {"a{{#a}}\r\nx\r\n{{/a}}b", {}, "ab"},
      // What is left out needs no value.
      {"{{#a}}{{gone}}{{/a}}.", {}, "."},
      {"{{^a}}{{gone}}{{/a}}.", {{"a", "y"}}, "."},
      // What is always there, and what is there when it was said.
      {"{{#to}}x{{/to}}{{#batch}}x{{/batch}}{{#index}}x{{/index}}", {}, "xxx"},
      {"{{#name}}x{{/name}}{{^name}}y{{/name}}{{^id}}z{{/id}}", {}, "yz"},
      // Lines that begin with a dot after what is left out.
      {"a\r\n{{#a}}x{{/a}}.\r\nb", {}, "a\r\n.\r\nb"},
      {"a\r\n{{#a}}x\r\n{{/a}}.\r\nb", {{"a", "y"}}, "a\r\nx\r\n.\r\nb"},
      {"{{#a}}.x{{/a}}", {{"a", "y"}}, ".x"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(merged("A: b\r\n\r\n" + row.text + "\r\n", row.vars),
              "A: b\r\n\r\n" + row.wanted + "\r\n")
        << row.text;
  }
}

TEST(MergeSections, AVariableOfTheBatchOpensThemToo) {
  Bench bench;
  bench.batch.vars = {{"a", "batch's"}};
  EXPECT_EQ(merged("A: b\r\n\r\n{{#a}}x{{/a}}\r\n", {}, bench), "A: b\r\n\r\nx\r\n");
  EXPECT_EQ(merged("A: b\r\n\r\n{{#a}}x{{/a}}\r\n", {{"a", ""}}, bench), "A: b\r\n\r\n\r\n");
}

TEST(MergeSections, InTheHeaderWithinOneText) {
  const std::pair<std::string, std::string> rows[] = {
      {"Subject: {{#a}}Dear {{a}}{{/a}}{{^a}}Hello{{/a}}", "Subject: Dear Ada"},
      {"Subject: {{#b}}Dear {{b}}{{/b}}{{^b}}Hello{{/b}}", "Subject: Hello"},
      {"Subject: x{{#b}}\r\n y{{/b}}", "Subject: x"},
      {"To: {{#a}}Ms {{a}}{{/a}} <x@y.z>", "To: Ms Ada <x@y.z>"},
      {"To: {{#b}}Ms {{b}}{{/b}} <x@y.z>", "To: <x@y.z>"},
      {"List-Help: <https://x.y/{{#a}}?a={{a}}{{/a}}>", "List-Help: <https://x.y/?a=Ada>"},
  };
  for (const auto& [text, wanted] : rows)
    EXPECT_EQ(merged(text + "\r\n\r\nx\r\n", {{"a", "Ada"}}), wanted + "\r\n\r\nx\r\n") << text;
}

TEST(MergeSections, MustBeClosedWhereTheyWereOpened) {
  const std::string multipart =
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{{#a}}x\r\n--b\r\n\r\n"
      "{{/a}}\r\n--b--\r\n";
  const std::pair<std::string, std::string> rows[] = {
      {"A: b\r\n\r\n{{#a}}\r\n",
       "\"a\" is not closed where it was opened (the same text of a "
       "header field, the same part): it begins at byte 9 (line 3)"},
      {"A: b\r\n\r\n{{/a}}\r\n", "{{/a}} closes no section that was opened here at byte 9"},
      {"A: b\r\n\r\n{{#a}}{{#b}}{{/a}}{{/b}}\r\n", "where the section \"b\" is to be closed"},
      {"A: {{#a}}\r\n\r\n{{/a}}\r\n", "\"a\" is not closed"},
      {"A: {{#a}}b\r\nC: {{/a}}\r\n\r\nx\r\n", "\"a\" is not closed"},
      {"To: {{#a}}Ada <{{/a}}{{to}}>\r\n\r\nx\r\n", "\"a\" is not closed"},
      {"A: b\r\n\r\n{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}\r\n", "deeper than 8"},
      {"A: b\r\n\r\n{{#a|b}}{{/a|b}}\r\n", "wants a name"},
      {"A: b\r\n\r\n{{#}}\r\n", "wants a name"},
      {multipart, "\"a\" is not closed"},
  };
  for (const auto& [text, what] : rows) {
    const std::string got = merged(text, {});
    EXPECT_TRUE(got.starts_with("ERROR") && got.find(what) != std::string::npos) << got;
  }
  EXPECT_EQ(merged("A: b\r\n\r\n{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}x{{/a}}{{/a}}"
                   "{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}\r\n",
                   {{"a", "y"}}),
            "A: b\r\n\r\nx\r\n");
}

TEST(MergeSections, CountAsSlots) {
  const auto slots = [](std::string_view text) {
    const absl::StatusOr<Template> made = Template::compile(text, kMerge);
    EXPECT_TRUE(made.ok()) << made.status();
    return std::pair(made->has_slots(), made->has_body_slots());
  };
  EXPECT_EQ(slots("A: b\r\n\r\n{{#a}}x{{/a}}\r\n"), std::pair(true, true));
  EXPECT_EQ(slots("A: {{#a}}x{{/a}}\r\n\r\nx\r\n"), std::pair(true, false));
  EXPECT_EQ(slots("A: {{a}}\r\n\r\nx{{\"{{\"}}\r\n"), std::pair(true, false));
  EXPECT_EQ(slots("A: {{a}}\r\n\r\n{{a}}\r\n"), std::pair(true, true));
  EXPECT_EQ(slots("A: b\r\n\r\nx{{\"{{\"}}\r\n"), std::pair(false, false));
}

}  // namespace
}  // namespace veredus::mail
