#include <string>

#include <gtest/gtest.h>

#include "engine/mail/encoded_word.h"
#include "engine/mail/escape.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/template.h"
#include "engine/mail/utf8.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

// The header of a message with this field and these variables.
std::string field(std::string_view text, std::string_view a, std::string_view b, Bench& bench) {
  std::string made = merged(std::string(text) + "\r\n\r\nx\r\n", {{"a", a}, {"b", b}}, bench);
  if (made.ends_with("\r\n\r\nx\r\n")) made.resize(made.size() - 7);
  return made;
}
std::string field(std::string_view text, std::string_view a = "", std::string_view b = "") {
  Bench bench;
  return field(text, a, b, bench);
}

TEST(MergeHeader, UnstructuredTextIsEncodedAsAWhole) {
  struct Row {
    std::string text, a, wanted;
  };
  const Row rows[] = {
      {"Subject: Hi {{a}}!", "Ada", "Subject: Hi Ada!"},
      {"Subject: Hi {{a}}!", "Zo\u00eb", "Subject: =?UTF-8?B?SGkgWm/DqyE=?="},
      {"Subject:{{a}}", "Zo\u00eb", "Subject:=?UTF-8?B?Wm/Dqw==?="},
      {"Subject:  \t{{a}}", "Zo\u00eb", "Subject:  \t=?UTF-8?B?Wm/Dqw==?="},
      {"Subject: Zo\u00eb {{a}}", "Ada", "Subject: =?UTF-8?B?Wm/DqyBBZGE=?="},
      {"Subject: {{#a}}Zo\u00eb {{a}}{{/a}}{{^a}}Hello{{/a}}", "", "Subject: Hello"},
      {"Subject: {{#a}}Zo\u00eb {{a}}{{/a}}{{^a}}Hello{{/a}}", "y",
       "Subject: =?UTF-8?B?Wm/DqyB5?="},
      {"X-Any: {{a}}", "\u00eb", "X-Any: =?UTF-8?B?w6s=?="},
      {"Content-Description: {{a}}", "\u00eb", "Content-Description: =?UTF-8?B?w6s=?="},
      // HTML is none of a header's.
      {"Subject: {{a}}", "<&\"'>", "Subject: <&\"'>"},
      // Encoded words stay what they are, and blanks beside them are seen.
      {"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {{a}}", "Ada",
       "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= Ada"},
      {"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {{a}}", "Zo\u00eb",
       "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?IFpvw6s=?="},
      {"Subject: {{a}} =?utf-8?q?x?= =?utf-8?q?y?= z", "\u00eb",
       "Subject: =?UTF-8?B?w6sg?= =?utf-8?q?x?= =?utf-8?q?y?= =?UTF-8?B?IHo=?="},
      // Folds: kept where all is ASCII, but for lines that become blank.
      {"Subject: a\r\n {{a}}\r\n b", "x", "Subject: a\r\n x\r\n b"},
      {"Subject: a\r\n {{a}}\r\n b", "", "Subject: a\r\n b"},
      {"Subject: a\r\n {{a}}", "", "Subject: a"},
      {"Subject: a\r\n {{a}}", "\u00eb", "Subject: =?UTF-8?B?YSDDqw==?="},
      {"Subject: {{\"{{\"}}{{a}}", "x", "Subject: {{x"},
  };
  for (const Row& row : rows) {
    Bench bench;
    EXPECT_EQ(field(row.text, row.a, "", bench), row.wanted) << row.text;
    EXPECT_FALSE(bench.out.header_utf8) << row.text;
    EXPECT_FALSE(bench.out.eight_bit) << row.text;
  }
}

TEST(MergeHeader, LinesWithEncodedWordsHave76Bytes) {
  for (size_t name = 1; name < 120; ++name) {
    for (size_t length = 1; length < 130; length += 3) {
      std::string value;
      for (size_t i = 0; i < length; ++i) value += i % 2 == 0 ? "\U0001F600" : "x";
      const std::string made = field("X-" + std::string(name, 'n') + ": {{a}}", value) + "\r\n";
      std::string decoded;
      for (size_t at = 0, end; at < made.size(); at = end + 2) {
        end = made.find("\r\n", at);
        const std::string_view line(made.data() + at, end - at);
        if (at > 0 || line.size() > name + 4) {
          EXPECT_LE(line.size(), 76u) << line;
        }
        for (size_t word = 0; (word = line.find("=?UTF-8?B?", word)) != std::string_view::npos;) {
          const size_t stop = line.find("?=", word + 10);
          std::string part;
          size_t fault = 0;
          ASSERT_TRUE(append_base64_decoded(line.substr(word + 10, stop - word - 10), part, fault));
          EXPECT_TRUE(is_utf8(part)) << "cut between characters";
          decoded += part;
          word = stop;
        }
      }
      EXPECT_EQ(decoded, value);
    }
  }
}

TEST(MergeHeader, DisplayNames) {
  struct Row {
    std::string text, a, wanted;
  };
  const Row rows[] = {
      {"To: {{a}} <{{to}}>", "Ada Lovelace", "To: Ada Lovelace <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "", "To: <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "  ", "To: <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "Lovelace, Ada", "To: \"Lovelace, Ada\" <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "Ada \"A\\B\" L", "To: \"Ada \\\"A\\\\B\\\" L\" <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "x@y.z>, <e@v.il", "To: \"x@y.z>, <e@v.il\" <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "\"", "To: \"\\\"\" <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "Zo\u00eb", "To: =?UTF-8?B?Wm/Dqw==?= <ada@example.org>"},
      {"To: {{a}} <{{to}}>", "Zo\u00eb, \"<e@v.il>",
       "To: =?UTF-8?B?Wm/DqywgIjxlQHYuaWw+?= <ada@example.org>"},
      {"To: \"{{a}}\" <{{to}}>", "Ada", "To: Ada <ada@example.org>"},
      {"To: \"{{a}}\" <{{to}}>", "", "To: <ada@example.org>"},
      {"To: \"{{a}}\" <{{to}}>", "A. \"B\"", "To: \"A. \\\"B\\\"\" <ada@example.org>"},
      {"To: \"Dr. {{a}}\" <{{to}}>", "Ada", "To: \"Dr. Ada\" <ada@example.org>"},
      {"To: Dear {{a}} <{{to}}>", "Ada", "To: Dear Ada <ada@example.org>"},
      {"To: Dear {{a}} <{{to}}>", "Zo\u00eb", "To: =?UTF-8?B?RGVhciBab8Or?= <ada@example.org>"},
      {"To: Gr\u00fc\u00dfe {{a}} <{{to}}>", "", "To: =?UTF-8?B?R3LDvMOfZQ==?= <ada@example.org>"},
      {"To: {{a}}<{{to}}>", "Ada", "To: Ada <ada@example.org>"},
      {"To: {{a}}\r\n <{{to}}>", "Ada", "To: Ada <ada@example.org>"},
      {"To: =?utf-8?q?=C3=84?= {{a}} <{{to}}>", "B", "To: =?utf-8?q?=C3=84?= B <ada@example.org>"},
      {"To: =?utf-8?q?=C3=84?= {{a}} <{{to}}>", "B.",
       "To: =?utf-8?q?=C3=84?= =?UTF-8?B?IEIu?= <ada@example.org>"},
      {"To: x <a@b.c>, {{a}} <{{to}}>, \"y, {{a}}\" <d@e.f>", "A.",
       "To: x <a@b.c>, \"A.\" <ada@example.org>, \"y, A.\" <d@e.f>"},
      {"To: Team: {{a}} <{{to}}>, <b@c.d>;", "Ada", "To: Team: Ada <ada@example.org>, <b@c.d>;"},
      {"From: {{a}} <n@x.y>", "Zo\u00eb", "From: =?UTF-8?B?Wm/Dqw==?= <n@x.y>"},
      {"List-Id: {{a}} <l.x.y>", "The, List", "List-Id: \"The, List\" <l.x.y>"},
  };
  for (const Row& row : rows) {
    Bench bench;
    EXPECT_EQ(field(row.text, row.a, "", bench), row.wanted) << row.text;
    EXPECT_FALSE(bench.out.header_utf8) << row.text;
  }
}

TEST(MergeHeader, AnAddressThatDoesNotFitBehindEncodedWordsGoesOnTheNextLine) {
  Bench bench;
  bench.entry.to = "ada.lovelace.the.countess@mail.example.org";
  EXPECT_EQ(field("To: {{a}} <{{to}}>", "Zo\u00eb", "", bench),
            "To: =?UTF-8?B?Wm/Dqw==?= <ada.lovelace.the.countess@mail.example.org>");
  EXPECT_EQ(field("To: {{a}} <{{to}}>", "Zo\u00eb Zo\u00eb Zo", "", bench),
            "To: =?UTF-8?B?Wm/DqyBab8OrIFpv?=\r\n <ada.lovelace.the.countess@mail.example.org>");
}

TEST(MergeHeader, AddressesHoldNothingElse) {
  for (const std::string& text :
       {std::string("To: <{{a}}>"), std::string("To: {{a}}"), std::string("Cc: b@c.d, {{a}}"),
        std::string("From: x <{{a}}@y.z>"), std::string("From: {{a}}@y.z"),
        std::string("From: x@{{a}}"), std::string("From: <x{{b|}}@{{a}}>")}) {
    const bool whole =
        text.find("@y.z") == std::string::npos && text.find("x") == std::string::npos;
    EXPECT_FALSE(field(text, whole ? "ada@b.c" : "ada").starts_with("REFUSED")) << text;
    for (const char* bad : {"a b", "a\tb", "a>", "<a", "a,b@c", "a;b", "\"a\"", "a(b)"})
      EXPECT_TRUE(
          field(text, bad).starts_with("REFUSED the variable \"a\" stands where an address"))
          << text << bad;
    // A second @, a source route, a group, a literal, none.
    for (const char* bad : {"a@b@c", "@b.c:x", "x:y@z", "a@[192.0.2.1]", "a\\b", "", " ", ".a",
                            "a..b", "b@c.d@", "a@-b", "@"}) {
      const std::string made = field(text, bad);
      const bool nobody = text.starts_with("Cc") && (bad[0] == '\0');
      EXPECT_EQ(made.starts_with("REFUSED"), !nobody) << text << " " << bad << " " << made;
    }
  }
  // The domain of the author is not moved.
  EXPECT_EQ(
      field("From: {{a}}@news.example", "a@evil.example"),
      "REFUSED the variable \"a\" stands beside the @ of an address, and has another character "
      "than those of atoms and dots (RFC 5322 section 3.2.3)");
  EXPECT_EQ(
      field("From: <{{a}}>", "ada"),
      "REFUSED the variable \"a\" makes no address: the address has no @ behind a local part");
  EXPECT_EQ(field("From: <{{a}}{{b}}>", "a@evil.example", "@news.example").substr(0, 7), "REFUSED");
  EXPECT_EQ(field("From: {{a}}{{b}}", "ada", "@news.example"), "From: ada@news.example");
  EXPECT_EQ(field("From: (we) {{a}} (who)", "ada@b.c"), "From: (we) ada@b.c (who)");
  EXPECT_EQ(field("From: {{#a}}ada{{/a}}@b.c", "y"), "From: ada@b.c");
  EXPECT_EQ(field("From: {{#a}}ada{{/a}}@b.c", "").substr(0, 7), "REFUSED");
  EXPECT_EQ(field("From: {{a}}", "\"a (b\"@b.c").substr(0, 7), "REFUSED");
  EXPECT_EQ(field("From: b{{\"{{\"}}@b.c", ""), "From: b{{@b.c");
  for (const char* bad : {"a b", "a@b", "a>", "a,b", "a:b", "a\\"})
    EXPECT_TRUE(field("List-Id: x <{{a}}.y.z>", bad).starts_with("REFUSED the variable \"a\" st"))
        << bad;
  EXPECT_EQ(field("List-Id: x <{{a}}.y.z>", "ada"), "List-Id: x <ada.y.z>");
  Bench bench;
  bench.entry.to = "\"a b\"@x.y";  // was checked as an address
  EXPECT_EQ(field("To: {{to}}", "", "", bench), "To: \"a b\"@x.y");
  EXPECT_EQ(field("To: <{{a}}>", "\u00eb@x.y", "", bench), "To: <\u00eb@x.y>");
  EXPECT_TRUE(bench.out.header_utf8);
}

TEST(MergeHeader, DomainsOfValuesGoOutInALabels) {
  const std::string domain = "b\u00fccher.example";
  for (const char* text : {"To: <{{a}}@{{b}}>", "To: ada@{{b}}", "To: x <ada@{{b}}>"}) {
    Bench bench;
    const std::string made = field(text, "ada", domain, bench);
    EXPECT_NE(made.find("ada@xn--bcher-kva.example"), std::string::npos) << made;
    EXPECT_FALSE(bench.out.header_utf8);
    EXPECT_FALSE(bench.out.eight_bit);
  }
  Bench bench;
  EXPECT_EQ(field("To: {{a}}", "\u00eb@" + domain, "", bench), "To: \u00eb@xn--bcher-kva.example");
  EXPECT_TRUE(bench.out.header_utf8);
  EXPECT_EQ(
      field("To: {{a}} <ada@{{b}}>", "Zo\u00eb Zo\u00eb Zo\u00eb Zo\u00eb Zo\u00eb Z", domain),
      "To: =?UTF-8?B?Wm/DqyBab8OrIFpvw6sgWm/DqyBab8OrIFo=?=\r\n <ada@xn--bcher-kva.example>");
  EXPECT_TRUE(field("To: a@{{b}}", "", "\u00fc_\u00fc.example").starts_with("REFUSED"));
}

// Only what is constant may say encoded words.
TEST(MergeHeader, AnEncodedWordOfAValueIsItsText) {
  const std::string word = "=?utf-8?Q?a=0D=0ABcc:_v=40x?=";
  for (const char* text :
       {"Subject: {{a}}", "Subject: x {{a}} y", "Subject: x\r\n {{a}}", "X: {{a}}",
        "To: {{a}} <{{to}}>", "To: x {{a}} <{{to}}>", "To: \"{{a}}\" <{{to}}>"}) {
    const std::string made = field(text, word);
    EXPECT_EQ(made.find("=?utf-8"), std::string::npos) << made;
    EXPECT_NE(made.find("=?UTF-8?B?"), std::string::npos) << made;
  }
  // In pieces.
  EXPECT_EQ(field("Subject: {{a}}{{b}}", "=", word.substr(1)).find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("Subject: ={{a}}", word.substr(1)).find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("Subject: {{a}}?utf-8?Q?x?=", "=").find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("Subject: =?utf-8?Q?{{a}}?=", "a").find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("Subject: =?utf-8?Q?{{a}}", "a?=").find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("To: \"=\"?utf-8?Q?{{a}} <{{to}}>", "a?=").find("=?utf-8"), std::string::npos);
  EXPECT_EQ(field("Subject: 1+1=2? {{a}}", "a=b? c?="), "Subject: 1+1=2? a=b? c?=");
}

TEST(MergeHeader, FieldsThatMustSaySomething) {
  struct Row {
    const char *text, *name;
  };
  const Row rows[] = {{"Date: {{a}}", "Date"},
                      {"To: {{a}}", "To"},
                      {"CC:\r\n {{a}}, {{b}}", "CC"},
                      {"Reply-To: {{#a}}x@y.z{{/a}}", "Reply-To"},
                      {"References: {{a}}{{#b}}<x@y.z>{{/b}}", "References"},
                      {"Message-ID:{{a}}", "Message-ID"}};
  for (const Row& row : rows) {
    EXPECT_EQ(field(row.text, ""), "REFUSED the header field " + std::string(row.name) +
                                       " becomes blank by its variables");
    EXPECT_EQ(field(std::string(row.text) + "\r\nX: y", ""), field(row.text, ""));
  }
  EXPECT_EQ(field("Subject: {{a}}", ""), "Subject: ");
  EXPECT_EQ(field("Cc: b@c.d, {{a}}", ""), "Cc: b@c.d,");
  EXPECT_EQ(field("Cc: b@c.d,\r\n {{a}}", ""), "Cc: b@c.d,");
  EXPECT_EQ(field("Cc: b@c.d,\r\n {{a}},\r\n e@f.g", ""), "Cc: b@c.d,,\r\n e@f.g");
  EXPECT_EQ(field("Cc: {{b}},\r\n {{a}}\r\nDate: {{b|x}}", "", "a@b.c").substr(0, 11),
            "Cc: a@b.c,\r");
  EXPECT_EQ(field("Cc: {{a}},\r\n {{b}}", "a@b.c", "d@e.f"), "Cc: a@b.c,\r\n d@e.f");
  EXPECT_EQ(field("Message-ID: <{{a}}>", "a b> <c@d").substr(0, 7), "REFUSED");
  EXPECT_EQ(field("Message-ID: {{a}}", "<a b> <c@d>").substr(0, 7), "REFUSED");
  EXPECT_EQ(field("Message-ID: {{a}}", "<c@d>"), "Message-ID: <c@d>");
}

TEST(MergeHeader, Uris) {
  struct Row {
    const char *text, *a, *wanted;
  };
  const Row rows[] = {
      {"<https://x.y/{{a}}>", "a-._~b/../?c&d=e+f#%41:@",
       "<https://x.y/a-._~b%2F..%2F%3Fc%26d%3De%2Bf%23%2541%3A%40>"},
      {"<{{a}}>", "https://x.y/?a=b&c=%41#d", "<https://x.y/?a=b&c=%41#d>"},
      {"< {{a}}?{{b|&}}>", "HTTP://x.y/\u00eb <", "< HTTP://x.y/%C3%AB%20%3C?%26>"},
      {"<{{#a}}{{a}}{{/a}}{{^a}}https://x.y/{{/a}}>", "mailto:a@b.c", "<mailto:a@b.c>"},
      {"<{{b|}}{{a}}>, <{{a}}>", "https://x.y", "<https://x.y>, <https://x.y>"},
  };
  for (const Row& row : rows) {
    const std::string field_text = std::string("List-Unsubscribe: ") + row.text;
    EXPECT_EQ(merged(field_text + "\r\n\r\nx\r\n", {{"a", row.a}}),
              std::string("List-Unsubscribe: ") + row.wanted + "\r\n\r\nx\r\n");
  }
  for (const char* bad : {"javascript:x", "//x.y", "x", "https:/x.y", "data:,x", " https://x.y"})
    EXPECT_EQ(field("List-Help: <{{a}}>", bad),
              "REFUSED the variable \"a\" begins a URI, but neither with https:// nor http:// nor "
              "mailto:");
}

TEST(MergeHeader, ParametersHoldTokens) {
  const std::string head = "Content-Disposition: attachment; filename=";
  for (const char* bad :
       {"a b", "a;b", "x; y=z", "a(b)", "a\"", "a/b", "a=b", "\u00eb", "a,b", "a\tb"}) {
    EXPECT_TRUE(
        field(head + "{{a}}", bad).starts_with("REFUSED the variable \"a\" stands in a param"))
        << bad;
    EXPECT_TRUE(field(head + "\"x\"; y=\"z\" ({{a}})", bad).starts_with("REFUSED the variable"))
        << bad;
  }
  EXPECT_EQ(field(head + "{{a}}.pdf", "a-b'~"), head + "a-b'~.pdf");
}

TEST(MergeHeader, OtherFields) {
  struct Row {
    std::string text, a, wanted;
    bool utf8;
  };
  const Row rows[] = {
      {"List-Unsubscribe: <https://x.y/u?e={{a}}>, <mailto:{{to}}?subject={{a}}>",
       "a b,<\u00eb>%41",
       "List-Unsubscribe: <https://x.y/u?e=a%20b%2C%3C%C3%AB%3E%2541>, "
       "<mailto:ada%40example.org?subject=a%20b%2C%3C%C3%AB%3E%2541>",
       false},
      {"List-Help: <https://x.y/> ({{a}})", "\u00eb", "List-Help: <https://x.y/> (\u00eb)", true},
      {"Message-ID: <{{a}}@x.y>", "1.2", "Message-ID: <1.2@x.y>", false},
      {"Message-ID: <{{a}}@x.y>", "\u00eb", "Message-ID: <\u00eb@x.y>", true},
      {"References: {{a}}", "<a@b> <c@d>", "References: <a@b> <c@d>", false},
      {"Content-Type: text/plain; format={{a}}", "flowed",
       "Content-Type: text/plain; format=flowed", false},
      {"Content-Disposition: inline; filename=\"{{a}}\"", "a;b (c).pdf",
       "Content-Disposition: inline; filename=\"a;b (c).pdf\"", false},
  };
  for (const Row& row : rows) {
    Bench bench;
    EXPECT_EQ(field(row.text, row.a, "", bench), row.wanted) << row.text;
    EXPECT_EQ(bench.out.header_utf8, row.utf8) << row.text;
  }
  EXPECT_TRUE(field("Content-Disposition: inline; filename=\"{{a}}\"", "x\"; y=\"z")
                  .starts_with("REFUSED the variable \"a\" stands in a parameter"));
  // 8-bit in the header of a part needs 8BITMIME only.
  Bench bench;
  merged(
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: inline; "
      "filename=\"{{a}}\"\r\n\r\nx\r\n--b--\r\n",
      {{"a", "\u00eb"}}, bench);
  EXPECT_FALSE(bench.out.header_utf8);
  EXPECT_TRUE(bench.out.eight_bit);
}

// Nothing that a variable says starts a header field, or ends the header.
TEST(MergeHeader, ValuesDoNotLeaveTheirField) {
  const char* const fields[] = {"Subject: {{a}}",
                                "Subject: x\r\n {{a}}",
                                "To: {{a}} <{{to}}>",
                                "To: <{{a}}>",
                                "To: {{a}}",
                                "List-Help: <{{a}}>",
                                "Message-ID: <{{a}}>",
                                "Content-Type: text/plain; x={{a}}",
                                "References: <a>\r\n {{a}}"};
  const std::string values[] = {"a\r\nBcc: e@v.il",
                                "a\nb",
                                "a\rb",
                                "\r\n\r\nbody",
                                "\r\n .",
                                "a\r\n\tb",
                                "\n",
                                "\r",
                                "a\x0b",
                                "\x7f",
                                std::string("a\0b", 3)};
  for (const char* text : fields) {
    for (const std::string& value : values) {
      EXPECT_TRUE(field(text, value).starts_with("REFUSED the variable \"a\" has "))
          << text << value;
      // The renderer says no, too.
      Bench bench;
      bench.entry.vars = {{"a", value}};
      EXPECT_TRUE(bench.render(std::string(text) + "\r\n\r\nx\r\n", kMerge)
                      .starts_with("ERROR the variable"))
          << text << value;
    }
  }
  EXPECT_EQ(field("References: <a>\r\n {{a}}", ""),
            "REFUSED a folded line of the header becomes blank by its variables");
  EXPECT_EQ(field("References: <a>\r\n {{a}}\r\n <b>", " "),
            "REFUSED a folded line of the header becomes blank by its variables");
}

TEST(MergeHeader, LongLines) {
  const std::string long_value(990, 'x');
  EXPECT_EQ(field("Subj: {{a}}", long_value).size(), 996u);
  EXPECT_EQ(field("Subj: 12{{a}}", long_value).size(), 998u);
  EXPECT_TRUE(field("Subj: 123{{a}}", long_value).starts_with("REFUSED a line"));
  EXPECT_TRUE(field("To: {{a}} <x@y.z>", std::string(985, '.')).starts_with("REFUSED a line"));
  EXPECT_FALSE(field("Subj: 123\u00eb{{a}}", long_value).starts_with("REFUSED"));
}

TEST(MergeHeader, SpansOfFieldsLeaveNoGap) {
  std::vector<FieldSpan> spans;
  const std::string_view values[] = {" a {{b}} <c>, \"d <\\\" , \" <{{e|>}}> (f <), g;\r\n h\r\n",
                                     "",
                                     "\r\n",
                                     " ",
                                     "<",
                                     "\"",
                                     "(",
                                     "((\\)",
                                     "{{a|<",
                                     "{{a|<}}<b>"};
  for (const FieldKind kind : {FieldKind::unstructured, FieldKind::address, FieldKind::uri_list,
                               FieldKind::parameters, FieldKind::structured}) {
    for (const std::string_view value : values) {
      field_spans(kind, value, spans);
      size_t at = 0;
      for (const FieldSpan& span : spans) {
        EXPECT_EQ(span.begin, at);
        EXPECT_GT(span.end, span.begin);
        at = span.end;
      }
      EXPECT_EQ(at, value.size()) << value;
    }
  }
}

}  // namespace
}  // namespace veredus::mail
