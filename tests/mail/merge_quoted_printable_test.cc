#include <random>
#include <string>

#include <gtest/gtest.h>

#include "engine/mail/idn.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/quoted_printable.h"
#include "engine/mail/template.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kPlain = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
constexpr std::string_view kHtml =
    "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";

int digit_of(char c) {
  return c >= 'A' ? c - 'A' + 10 : c - '0';
}

// RFC 2045 §6.7.
std::string decoded(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '=') {
      out += text[at];
    } else if (text.substr(at + 1).starts_with("\r\n")) {
      at += 2;
    } else {
      out += static_cast<char>(digit_of(text[at + 1]) * 16 + digit_of(text[at + 2]));
      at += 2;
    }
  }
  return out;
}

// As build_message() writes a part: the constant pieces encoded, each as if it began a line.
std::string encoded_around_tags(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t tag = std::min(text.find("{{"), text.size());
    size_t column = 0;
    append_quoted_printable(text.substr(0, tag), column, out);
    const size_t end = tag == text.size() ? tag : behind_merge_tag(text, tag);
    out += text.substr(tag, end - tag);
    text.remove_prefix(end);
  }
  return out;
}

size_t longest_line(std::string_view text) {
  size_t longest = 0;
  for (size_t at = 0, end; (end = text.find("\r\n", at)) != std::string_view::npos; at = end + 2)
    longest = std::max(longest, end - at);
  return longest;
}

TEST(MergeQuotedPrintable, ValuesAreEncoded) {
  struct Row {
    std::string_view head;
    std::string text, value, wanted;
  };
  const std::string x74(74, 'x'), x75(75, 'x'), x76(76, 'x');
  const Row rows[] = {
      {kPlain, "Hi {{v}}!", "Zo\u00eb = <x>", "Hi Zo=C3=AB =3D <x>!"},
      {kHtml, "Hi {{v}}!", "Zo\u00eb = <x>", "Hi Zo=C3=AB =3D &lt;x&gt;!"},
      {kHtml, "Hi {{{v}}}!", "<b>", "Hi <b>!"},
      {kPlain, "{{v}}", "a\nb\rc\r\n.", "a\r\nb\r\nc\r\n."},
      {kPlain, "{{v}}\r\n", "blank \nand ", "blank=20\r\nand=20\r\n"},
      {kPlain, "{{v}}", "--b", "=2D-b"},
      {kPlain, "{{\"{{\"}}{{v}}", "x", "{{x"},
      // A soft break where the line would pass 76 bytes: before a value, in it, behind it.
      {kPlain, x74 + "{{v}}", "y", x74 + "y"},
      {kPlain, x75 + "{{v}}", "y", x75 + "=\r\ny"},
      {kPlain, x74 + "{{v}}", "\u00eb", x74 + "=\r\n=C3=AB"},
      {kPlain, "{{v}}", x76 + "y", x75 + "=\r\nxy"},
      {kPlain, "{{v}}" + x74, "y", "y" + x74},
      {kPlain, "{{v}}" + x75 + "\r\nz", "y", "y" + x75 + "\r\nz"},
      {kPlain, "{{v}}" + x76 + "\r\nz", "y", "y=\r\n" + x76 + "\r\nz"},
      {kPlain, "{{v}}" + x76 + "\r\nz", "", x76 + "\r\nz"},
      {kPlain, "{{v}}" + x75 + "{{v}}", "y", "y=\r\n" + x75 + "=\r\ny"},
      {kPlain, "a\r\n{{v}}{{v}}" + x74, "y", "a\r\nyy" + x74},
      {kPlain, "{{#v}}" + x74 + "{{/v}}{{#v}}yz{{/v}}", "1", x74 + "=\r\nyz"},
      {kPlain, "{{v}}" + x74 + "{{\"{{\"}}", "", x74 + "=\r\n{{"},
      {kPlain, "{{v}}.{{v}}", x75, x75 + "=\r\n." + x74 + "=\r\nx"},
  };
  for (const Row& row : rows) {
    Bench bench;
    const std::string got =
        merged(std::string(row.head) + row.text + "\r\n", {{"v", row.value}}, bench);
    EXPECT_EQ(got, std::string(row.head) + row.wanted + "\r\n") << row.text;
    EXPECT_FALSE(bench.out.eight_bit);
  }
}

TEST(MergeQuotedPrintable, DecodedItIsTheSameAsPlain) {
  std::mt19937_64 random(17);
  const std::string bits[] = {"{{a}}",
                              "{{b}}",
                              "{{#a}}",
                              "{{/a}}",
                              "word ",
                              "\u20ac",
                              "\r\n",
                              ".",
                              "--",
                              " ",
                              "=",
                              "{{gone|x}}",
                              "\r\n.\r\n",
                              "\t",
                              "<",
                              "{{c}}",
                              std::string(70, 'l')};
  const std::string value_bits[] = {"v", "\u00e4", "\n", "\r\n.",
                                    " ", "--",     "&",  std::string(60, 'w')};
  size_t rendered = 0;
  for (int round = 0; round < 5000; ++round) {
    const bool html = random() % 2 == 0;
    std::string text;
    bool open = false;
    for (size_t n = random() % 20; n > 0; --n) {
      const std::string& bit = bits[random() % std::size(bits)];
      if ((bit == "{{#a}}") == open && (bit == "{{#a}}" || bit == "{{/a}}") &&
          (bit == "{{#a}}" || !open))
        continue;
      if (bit == "{{/a}}" && !open) continue;
      open = bit == "{{#a}}" || (open && bit != "{{/a}}");
      text += bit;
    }
    if (open) text += "{{/a}}";
    std::string a, b;
    for (size_t n = random() % 4; n > 0; --n) a += value_bits[random() % std::size(value_bits)];
    for (size_t n = random() % 9; n > 0; --n) b += value_bits[random() % std::size(value_bits)];
    const std::vector<std::pair<std::string_view, std::string_view>> vars = {
        {"a", a}, {"b", b}, {"c", "\u00fc"}};
    const std::string type = html ? "Content-Type: text/html\r\n" : "X: y\r\n";
    Bench bench;
    const std::string plain = merged(type + "\r\n" + text + "\r\n", vars, bench);
    const std::string quoted =
        merged(type + std::string(kPlain) + encoded_around_tags(text + "\r\n"), vars, bench);
    if (plain.starts_with("REFUSED")) continue;  // too long a line: quoted-printable has none
    ++rendered;
    ASSERT_TRUE(quoted.starts_with(type)) << quoted << text;
    ASSERT_LE(longest_line(quoted), 76u) << quoted;
    ASSERT_EQ(type + "\r\n" + decoded(quoted.substr(type.size() + kPlain.size())), plain) << quoted;
    ASSERT_EQ(quoted.find("\r\n--"), std::string::npos) << quoted;
    ASSERT_FALSE(has_high(quoted));
  }
  EXPECT_GT(rendered, 4000u);
}

}  // namespace
}  // namespace veredus::mail
