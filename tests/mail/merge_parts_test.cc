#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/template.h"
#include "tests/mail/merge_bench.h"

// What parts and their headers decide of how values go into them.

namespace veredus::mail {
namespace {

std::string body_of(std::string_view type, std::string_view value) {
  const std::string head = "Content-Type: " + std::string(type) + "\r\n\r\n";
  const std::string made = merged(head + "{{a}}\r\n", {{"a", value}});
  return made.starts_with(head) ? made.substr(head.size()) : made;
}

// What compiling says of a message.
std::string fault_of(std::string_view message) {
  const absl::StatusOr<Template> compiled = Template::compile(message, kMerge);
  return compiled.ok() ? "" : std::string(compiled.status().message());
}

TEST(MergeParts, ValuesAreUtf8) {
  for (const char* type :
       {"text/plain", "text/html", "text/plain; charset=utf-8", "text/plain; charset=\"UTF-8\"",
        "text/html; charset=Utf8", "application/json"})
    EXPECT_EQ(body_of(type, "\u00eb"), "\u00eb\r\n") << type;
  for (const char* type : {"text/plain; charset=iso-8859-1", "text/html; Charset=\"ISO-8859-1\"",
                           "text/plain; x=y; charset=ISO-8859-1 (Latin 1)"}) {
    EXPECT_EQ(body_of(type, "\u00eb"),
              "REFUSED the variable \"a\" is not ASCII, and the charset of its text is iso-8859-1: "
              "give the text charset=utf-8");
    EXPECT_EQ(body_of(type, "e"), "e\r\n");
  }
  EXPECT_TRUE(body_of("text/plain; charset=us-ascii", "\u00eb").starts_with("REFUSED"));
  const std::string quoted =
      "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: "
      "quoted-printable\r\n\r\n{{a}}\r\n";
  EXPECT_TRUE(merged(quoted, {{"a", "\u00eb"}}).starts_with("REFUSED"));
  // Each part has its own.
  EXPECT_FALSE(merged("Content-Type: multipart/mixed; boundary=b; charset=us-ascii\r\n\r\n--b\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n\r\nx\r\n--b\r\n"
                      "Content-Type: text/plain; charset=utf-8\r\n\r\n{{a}}\r\n--b--\r\n",
                      {{"a", "\u00eb"}})
                   .starts_with("REFUSED"));
}

TEST(MergeParts, WhatShapesAPartIsNoVariable) {
  for (const char* type :
       {"{{a}}", "text/{{a}}", "text/plain; charset={{a}}", "text/plain; CharSet=\"x{{a}}\"",
        "text/plain; charset*={{a}}", "text/plain; {{a}}=x", "text/plain; x=y {{a}}; z=y",
        "text/plain; x=y ({{a}})", "text/plain; x={{#a}}1; y=2{{/a}}",
        "text/plain; x=1{{#a}}; charset=latin1; y=2{{/a}}", "text/plain; charset={{a|;}}",
        "text/plain; boundary={{a}}", "multipart/mixed; x={{a}}"}) {
    EXPECT_NE(fault_of("Content-Type: " + std::string(type) + "\r\n\r\nx\r\n")
                  .find("cannot be a variable: found one at byte"),
              std::string::npos)
        << type;
  }
  for (const char* type :
       {"text/plain; x={{a}}", "text/plain; x=\"{{a|;charset=y}}\"; charset=utf-8",
        "text/plain; x={{#a}}1{{/a}}"})
    EXPECT_EQ(fault_of("Content-Type: " + std::string(type) + "\r\n\r\nx\r\n"), "") << type;
}

TEST(MergeParts, PartsAreFoundByWhatTheirHeaderSays) {
  const std::string part = "Content-Type: text/html\r\n\r\n{{a}}";
  const auto multipart = [&](std::string_view type, std::string_view delimiter) {
    const std::string line(delimiter);
    return merged("Content-Type: " + std::string(type) + "\r\n\r\n" + line + "\r\n" + part +
                      "\r\n" + line + "--\r\n",
                  {{"a", "<&"}});
  };
  EXPECT_NE(multipart("multipart/mixed; boundary=\"b  \"", "--b").find("&lt;&amp;"),
            std::string::npos)
      << "RFC 2046 section 5.1.1: no boundary ends with a blank";
  EXPECT_NE(multipart("\"multipart/mixed\"; boundary=b", "--b").find("&lt;&amp;"),
            std::string::npos);
  EXPECT_EQ(multipart("multipart/mixed; boundary=c", "--b").substr(0, 45),
            "ERROR no line has the boundary of the multipa");
  EXPECT_EQ(multipart("multipart/mixed; boundary=\" \"", "--b").substr(0, 31),
            "ERROR a multipart has no bounda");
  EXPECT_EQ(body_of("\"text/html\"", "<"), "&lt;\r\n");
  EXPECT_EQ(body_of("\"text/plain\"", "<"), "<\r\n");
  EXPECT_NE(
      merged("Content-Type: message/global\r\n\r\n" + part + "\r\n", {{"a", "<"}}).find("&lt;"),
      std::string::npos);
}

TEST(MergeParts, AFedMessageWithAnEncodedPartIsNotMerged) {
  Normalised out;
  ContentError error;
  const std::string encoded = "Content-Transfer-Encoding: \"Quoted-Printable\"\r\n\r\n{{a}}\r\n";
  EXPECT_FALSE(normalise("A: b\r\n" + encoded, true, out, error));
  EXPECT_EQ(error.line, 2u);
  EXPECT_FALSE(
      normalise("Content-Type: message/rfc822\r\n\r\nA: b\r\n" + encoded, true, out, error));
  EXPECT_EQ(error.line, 4u);
  EXPECT_NE(error.reason.find("such parts cannot be merged"), std::string::npos);
  EXPECT_FALSE(
      normalise("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{{a}}\r\n"
                "--b\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--\r\n",
                true, out, error));
  EXPECT_EQ(error.line, 7u);
  EXPECT_TRUE(normalise("A: b\r\n\r\nx\r\n" + encoded, true, out, error)) << error.reason;
}

}  // namespace
}  // namespace veredus::mail
