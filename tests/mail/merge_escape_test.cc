#include <string>

#include <gtest/gtest.h>

#include "engine/mail/escape.h"
#include "engine/mail/template.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kSharp = "<a href=\"x\">O'Neill & co</a>";
constexpr std::string_view kBlunt = "&lt;a href=&quot;x&quot;&gt;O&#39;Neill &amp; co&lt;/a&gt;";

TEST(MergeEscape, InPartsThatAreMarkup) {
  const std::pair<std::string, bool> types[] = {
      {"Content-Type: text/html", true},
      {"content-type: TEXT/HTML; charset=utf-8", true},
      {"Content-Type:\r\n text/html (a comment)", true},
      {"Content-Type: text/x-amp-html", true},
      {"Content-Type: application/xhtml+xml", true},
      {"Content-Type: text/plain", false},
      {"Content-Type: text", false},  // text/plain, as RFC 2045 §5.2 would have it read
      {"Content-Type: application/json", false},
      {"X: y", false},
  };
  const std::string vars = std::string(kSharp);
  for (const auto& [type, escaped] : types) {
    const std::string got = merged(type + "\r\n\r\n{{x}} {{{x}}} {{y|<&>}}\r\n", {{"x", vars}});
    EXPECT_EQ(got, type + "\r\n\r\n" + std::string(escaped ? kBlunt : kSharp) + " " +
                       std::string(kSharp) + (escaped ? " &lt;&amp;&gt;\r\n" : " <&>\r\n"));
  }
}

TEST(MergeEscape, PartByPart) {
  const std::string head =
      "Content-Type: multipart/mixed; boundary=\"o\"\r\n\r\n{{x}}\r\n--o\r\n"
      "Content-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\n";
  const std::string html = "\r\n--i\r\nContent-Type: text/html\r\n\r\n";
  const std::string inner = "\r\n--i--\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: ";
  const std::string deep = "\r\nContent-Type: text/html\r\n\r\n";
  const std::string tail = "\r\n--o--\r\n";
  const std::string got = merged(
      head + "{{x}}" + html + "{{x}}" + inner + "{{x}}" + deep + "{{x}}" + tail + "{{x}}\r\n",
      {{"x", "<&"}});
  const std::string preamble = "{{x}}";
  std::string wanted =
      head + "<&" + html + "&lt;&amp;" + inner + "<&" + deep + "&lt;&amp;" + tail + "<&\r\n";
  wanted.replace(wanted.find(preamble), preamble.size(), "<&");
  EXPECT_EQ(got, wanted);
}

TEST(MergeEscape, LineEndsBecomeCrlf) {
  const std::string head = "Content-Type: text/html\r\n\r\n";
  EXPECT_EQ(merged(head + "{{x}}\r\n", {{"x", "<\n>\r&\r\n."}}),
            head + "&lt;\r\n&gt;\r\n&amp;\r\n.\r\n");
  EXPECT_EQ(merged(head + "{{{x}}}\r\n", {{"x", "<\n>\r&\r\n."}}), head + "<\r\n>\r\n&\r\n.\r\n");
}

TEST(MergeEscape, EscapesCountInTheLength) {
  const std::string head = "Content-Type: text/html\r\n\r\n";
  const std::string fits(199, '&'), too_long(200, '&');
  EXPECT_TRUE(merged(head + "{{x}}xxx\r\n", {{"x", fits}}).starts_with(head));
  EXPECT_TRUE(merged(head + "{{x}}xxxx\r\n", {{"x", fits}}).starts_with("REFUSED a line"));
  EXPECT_TRUE(merged(head + "{{x}}\r\n", {{"x", too_long}}).starts_with("REFUSED a line"));
  EXPECT_TRUE(merged(head + "{{{x}}}\r\n", {{"x", too_long}}).starts_with(head));
}

// Where the structure is not understood, or cannot be changed, nothing is guessed.
TEST(MergeEscape, PartsThatCannotHaveVariables) {
  const std::string mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
  const std::pair<std::string, std::string> rows[] = {
      {mixed + "no header\r\n\r\n{{x}}\r\n--b--\r\n", "a header that is not understood"},
      {mixed + "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n{{x}}\r\n--b--\r\n",
       "a header that is not understood"},
      {"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n{{x}}\r\n--b--\r\n", "has no boundary"},
      {"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{{x}}\r\n--b--\r\n", "signed"},
      {"Content-Type: multipart/mixed; boundary=\"{{x}}\"\r\n\r\nx\r\n",
       "what type, charset, encoding and parts a part has cannot be a variable: found one at byte "
       "42"},
      {"Content-Type: text/{{x}}\r\n\r\nx\r\n", "what type"},
      {"Content-Transfer-Encoding: {{x}}\r\n\r\nx\r\n", "what type"},
      {"Content-Transfer-Encoding: base64\r\n\r\n{{x}}\r\n",
       "encoded, and not in quoted-printable"},
      {mixed + "A{{x}}: b\r\n\r\nx\r\n--b--\r\n", "the name of a header field"},
      {mixed + "no field {{x}}\r\n\r\nx\r\n--b--\r\n", "the name of a header field"},
  };
  for (const auto& [text, what] : rows) {
    const std::string got = merged(text, {{"x", "y"}});
    EXPECT_TRUE(got.starts_with("ERROR") && got.find(what) != std::string::npos) << text << "\n"
                                                                                 << got;
  }
  // Without variables in them they stay as they are.
  const std::string odd = mixed + "no header\r\n\r\nx\r\n--b\r\n\r\n";
  EXPECT_EQ(merged(odd + "{{x}}\r\n--b--\r\n", {{"x", "y"}}), odd + "y\r\n--b--\r\n");
}

TEST(MergeEscape, PartsNestedTooDeep) {
  for (const unsigned depth : {20u, 21u}) {
    std::string text;
    for (unsigned i = 0; i < depth; ++i) {
      const std::string b = "b" + std::to_string(i);
      text += "Content-Type: multipart/mixed; boundary=" + b + "x\r\n\r\n--" + b + "x\r\n";
    }
    text += "\r\n{{x}}\r\n";
    EXPECT_EQ(merged(text, {{"x", "y"}}).starts_with("ERROR parts are nested"), depth == 21);
  }
}

TEST(MergeEscape, Uris) {
  const std::pair<std::string, std::string> rows[] = {
      {"abc-._~:/?#[]@!$&'()*+;=%20", "abc-._~:/?#[]@!$&'()*+;=%20"},
      {"a b", "a%20b"},
      {"<>\"{}|\\^`,", "%3C%3E%22%7B%7D%7C%5C%5E%60%2C"},
      {"\xC3\xA4\t\x7f", "%C3%A4%09%7F"},
  };
  for (const auto& [text, wanted] : rows) {
    std::string out;
    append_uri_escaped(text, out);
    EXPECT_EQ(out, wanted);
  }
}

}  // namespace
}  // namespace veredus::mail
