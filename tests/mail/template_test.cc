#include "engine/mail/template.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/mail/content.h"
#include "tests/mail/merge_bench.h"

namespace veredus::mail {
namespace {

TEST(Template, PlainReplacement) {
  Bench bench;
  bench.entry.vars = {{"first", "Ada"}, {"empty", ""}};
  bench.batch.vars = {{"first", "nobody"}, {"city", "London"}};
  bench.entry.name = "Ada L.";
  const std::pair<std::string, std::string> rows[] = {
      {"{{first}}", "Ada"},
      {"a {{first}} b", "a Ada b"},
      {"{{ first }}", "Ada"},
      {"{{{first}}}", "Ada"},
      {"{{{first|x}}}", "Ada"},
      {"{{city}}", "London"},
      {"{{other|some text}}", "some text"},
      {"{{other|}}", ""},
      {"[{{empty}}]", "[]"},
      {"[{{empty|full}}]", "[]"},
      {"{{to}} {{name}} {{batch}} {{index}} [{{id}}]", "ada@example.org Ada L. spring-7 5 []"},
      {"{{id|none}}", "none"},
      {"{{\"{{\"}}first}}", "{{first}}"},
      {"a{{\"{{\"}}{{first}}", "a{{Ada"},
      {"{ {first} } }}", "{ {first} } }}"},
      {"{{first}}{{first}}", "AdaAda"},
      {"{{first}", "ERROR"},
  };
  for (const auto& [text, wanted] : rows) {
    const std::string message = "A: b\r\n\r\n" + text + "\r\n";
    const std::string got = bench.render(message, kMerge);
    if (wanted == "ERROR") {
      EXPECT_TRUE(got.starts_with("ERROR")) << text;
    } else {
      EXPECT_EQ(got, "A: b\r\n\r\n" + wanted + "\r\n") << text;
    }
  }
}

TEST(Template, WithoutMergeNothingIsASlot) {
  Bench bench;
  const std::string message = "A: {{b}}\r\n\r\n{{#x}} {{\r\n";
  EXPECT_EQ(bench.render(message, 0), message);
}

TEST(Template, MostSpecificVariableWins) {
  Bench bench;
  bench.entry.name = "Ada";
  bench.batch.vars = {{"name", "friend"}, {"id", "batch's"}};
  EXPECT_EQ(bench.render("{{name}} {{id}}\r\n", kMerge | queue::kContentDotLines),
            "ERROR the name of a header field cannot be a variable: found one at byte 1 (line 1)");
  EXPECT_EQ(bench.render("A: {{name}} {{id}}\r\n", kMerge), "A: Ada batch's\r\n");
  bench.entry.vars = {{"name", "own"}};
  EXPECT_EQ(bench.render("A: {{name}}\r\n", kMerge), "A: own\r\n");
}

TEST(Template, ErrorsNameThePlace) {
  const std::pair<std::string, std::string> rows[] = {
      {"A: b\r\n\r\nx {{#list}}\r\n", "\"list\" is not closed"},
      {"A: b\r\n\r\nx {{^list}}\r\n", "\"list\" is not closed"},
      {"A: b\r\n\r\nx {{/list}}\r\n", "closes no section"},
      {"A: b\r\n\r\nx {{}}\r\n", "wants a name"},
      {"A: b\r\n\r\nx {{a b}}\r\n", "wants a name"},
      {"A: b\r\n\r\nx {{!note}}\r\n", "wants a name"},
      {"A: b\r\n\r\nx {{name\r\n}}\r\n", "not closed"},
      {"A: b\r\n\r\nx {{{name}}\r\n", "not closed"},
  };
  for (const auto& [text, what] : rows) {
    const absl::StatusOr<Template> compiled = Template::compile(text, kMerge);
    ASSERT_FALSE(compiled.ok()) << text;
    EXPECT_NE(std::string(compiled.status().message()).find(what), std::string::npos)
        << compiled.status();
    EXPECT_NE(std::string(compiled.status().message()).find("at byte 11 (line 3)"),
              std::string::npos)
        << compiled.status();
  }
  EXPECT_FALSE(Template::compile("A: b\r\n{{x}}: c\r\n\r\n", kMerge).ok());
  EXPECT_FALSE(Template::compile("A: b\r\nX-{{x}}: c\r\n\r\n", kMerge).ok());
  EXPECT_TRUE(Template::compile("A: b\r\n {{x}}\r\n\r\n", kMerge).ok());
}

TEST(Template, RefusalsAtTheDoor) {
  queue::Batch batch;
  queue::Entry entry;
  const std::string text = "Subject: {{s|x}}\r\n\r\nHello {{b|x}}\r\n";
  EXPECT_EQ(refusal_of(text, batch, entry), "");
  EXPECT_EQ(refusal_of("A: b\r\n\r\n{{gone}}\r\n", batch, entry),
            "5.6.0 the variable \"gone\" is not defined and has no default");
  for (const std::string& bad :
       {std::string("a\rb"), std::string("a\nb"), std::string("a\r\nBcc: x"),
        std::string("a\0b", 3), std::string("\x01"), std::string("\x7f")}) {
    entry.vars = {{"s", bad}};
    EXPECT_NE(refusal_of(text, batch, entry), "") << bad;
  }
  entry.vars = {{"s", "tab\tis fine"}};
  EXPECT_EQ(refusal_of(text, batch, entry), "");
  const std::string nul("a\0b", 3);
  entry.vars = {{"b", nul}};
  EXPECT_NE(refusal_of(text, batch, entry), "");
  entry.vars = {{"b", "a\r\nb\nc\rd"}};
  EXPECT_EQ(refusal_of(text, batch, entry), "");
}

TEST(Template, LinesThatGrowTooLongAreRefused) {
  queue::Batch batch;
  queue::Entry entry;
  const std::string text =
      "A: b\r\n\r\n" + std::string(500, 'x') + "{{v}}" + std::string(400, 'y') + "\r\n";
  const std::string fits(98, 'v'), too_long(99, 'v');
  const std::string two = std::string(498, 'v') + "\n" + std::string(598, 'v');
  const std::string first_long = std::string(499, 'v') + "\n",
                    last_long = "\n" + std::string(599, 'v');
  const std::string inner = "\n" + std::string(999, 'v') + "\n";
  for (const auto& [value, good] : {std::pair<const std::string&, bool>{fits, true},
                                    {too_long, false},
                                    {two, true},
                                    {first_long, false},
                                    {last_long, false},
                                    {inner, false}}) {
    entry.vars = {{"v", value}};
    EXPECT_EQ(refusal_of(text, batch, entry).empty(), good) << value.size();
    // What the door lets through has no long line, what it refuses has.
    Bench bench;
    bench.entry.vars = entry.vars;
    const std::string rendered = bench.render(text, kMerge);
    size_t longest = 0;
    for (size_t at = 0, end; (end = rendered.find("\r\n", at)) != std::string::npos; at = end + 2)
      longest = std::max(longest, end - at);
    EXPECT_EQ(longest <= 998, good);
  }
}

TEST(Render, ConstantBytesAreNotCopied) {
  Bench bench;
  bench.entry.vars = {{"x", "value"}};
  const std::string message =
      "A: b\r\n\r\n" + std::string(900, 'c') + "\r\n{{x}}\r\n" + std::string(900, 'd') + "\r\n";
  bench.render(message, kMerge);
  size_t inside = 0;
  for (const Piece& piece : bench.out.pieces) {
    if (piece.data >= message.data() && piece.data < message.data() + message.size())
      inside += piece.size;
  }
  EXPECT_EQ(inside, message.size() - 5);
  bench.render(message, kMerge, true);
  inside = 0;
  for (const Piece& piece : bench.out.pieces) {
    if (piece.data >= message.data() && piece.data < message.data() + message.size())
      inside += piece.size;
  }
  EXPECT_EQ(inside, message.size() - 5) << "without dot lines the stuffed form shares everything";
}

// Counted: what is constant points into the message, all else is what the variables say.
TEST(Render, OnlyWhatVariablesSayIsCopied) {
  Bench bench;
  bench.entry.vars = {{"first", "Ada"}, {"more", "A & B"}, {"token", "t k"}};
  const std::string rows = std::string(900, 'c') + "\r\n";
  const std::string message =
      "To: {{first}} <{{to}}>\r\nSubject: Dear {{first}}, {{more}}\r\n"
      "List-Help: <https://x.y/{{token}}>\r\nContent-Type: text/html\r\n\r\n" +
      rows + "{{#first}}<b>{{more}}</b>{{/first}}{{^first}}" + rows + "{{/first}}\r\n" + rows;
  const std::string_view dynamic[] = {"Ada ",  "ada@example.org", "Ada",
                                      "A & B", "t%20k",           "A &amp; B"};
  std::string wanted;
  for (const std::string_view part : dynamic) wanted += part;
  for (const bool dot_stuffed : {false, true}) {
    const std::string all = bench.render(message, kMerge, dot_stuffed);
    EXPECT_EQ(bench.scratch, wanted);
    size_t inside = 0;
    for (const Piece& piece : bench.out.pieces) {
      if (piece.data >= message.data() && piece.data < message.data() + message.size())
        inside += piece.size;
    }
    EXPECT_EQ(inside + wanted.size(), all.size());
  }
}

TEST(Render, TraceDateAndMessageId) {
  Bench bench;
  bench.settings.trace = true;
  const uint8_t lacking = queue::kContentNoDate | queue::kContentNoMessageId;
  const std::string message = "A: {{index}}\r\n\r\nx\r\n";
  const std::string trace =
      "Received: by mx.news.example (Veredus) id n1-12.5;\r\n\tWed, 01 Jul 2026 09:30:05 +0000\r\n";
  const std::string date = "Date: Wed, 01 Jul 2026 09:30:05 +0000\r\n";
  const std::string first = bench.render(message, kMerge | lacking);
  ASSERT_TRUE(first.starts_with(trace + date + "Message-ID: <n1.12.5.")) << first;
  EXPECT_NE(first.find("@mx.news.example>\r\nA: 5\r\n\r\nx\r\n"), std::string::npos) << first;
  EXPECT_EQ(bench.render(message, kMerge | lacking), first) << "the same at every attempt";
  EXPECT_EQ(bench.render(message, kMerge), trace + "A: 5\r\n\r\nx\r\n");
  bench.settings.trace = false;
  EXPECT_EQ(bench.render(message, kMerge | queue::kContentNoDate), date + "A: 5\r\n\r\nx\r\n");
  bench.settings.trace = true;
  bench.settings.node = "n1.dc\r\nX";  // whatever the name is, it is no header
  EXPECT_TRUE(bench.render(message, kMerge)
                  .starts_with("Received: by mx.news.example (Veredus) id n1-dc--X-12.5;\r\n\t"));
}

// Whatever node and host are called when it is tried again.
TEST(Render, TheMessageIdIsThatOfItsAcceptance) {
  Bench bench;
  bench.batch.origin = message_id_origin(bench.settings);
  const std::string message = "A: b\r\n\r\nx\r\n";
  const std::string first = bench.render(message, queue::kContentNoMessageId);
  bench.settings.hostname = "other.example";
  bench.settings.node = "n2";
  EXPECT_EQ(bench.render(message, queue::kContentNoMessageId), first);
  bench.batch.origin = "of no use";
  EXPECT_NE(bench.render(message, queue::kContentNoMessageId), first);
}

TEST(Render, MessageIdOfSharedContentIsTheBatchs) {
  Bench bench;
  const std::string message = "A: b\r\n\r\nx\r\n";
  const std::string one = bench.render(message, queue::kContentNoMessageId);
  bench.entry.index = 6;
  EXPECT_EQ(bench.render(message, queue::kContentNoMessageId), one);
  bench.entry.message = message;
  bench.entry.content_flags = queue::kContentNoMessageId;
  const std::string own = bench.render(nullptr, false);
  EXPECT_NE(own, one);
  bench.entry.index = 7;
  EXPECT_NE(bench.render(nullptr, false), own);
}

TEST(Render, SharedTransactionHasNoIndexInItsTrace) {
  Bench bench;
  bench.settings.trace = true;
  const std::string message = "A: b\r\n\r\nx\r\n";
  const absl::StatusOr<Template> compiled = Template::compile(message, 0);
  Renderer renderer(bench.settings);
  RenderRequest request;
  request.batch = &bench.batch;
  request.entry = &bench.entry;
  request.index_in_trace = false;
  ASSERT_TRUE(
      renderer.render(&*compiled, request, bench.reverse_path, bench.scratch, bench.out).ok());
  EXPECT_NE(bench.scratch.find("id n1-12;\r\n"), std::string::npos) << bench.scratch;
}

TEST(Render, ReversePath) {
  Bench bench;
  Renderer renderer(bench.settings);
  std::string path;
  ASSERT_TRUE(renderer.reverse_path(bench.batch, bench.entry, path).ok());
  EXPECT_EQ(path, "bounce@news.example");

  queue::Batch verp = bench.batch;
  verp.number = 13;
  verp.verp = true;
  ASSERT_TRUE(renderer.reverse_path(verp, bench.entry, path).ok());
  EXPECT_EQ(path, "bounce+ada=example.org@news.example");

  queue::Batch slots = bench.batch;
  slots.number = 14;
  slots.sender = "b-{{index}}-{{x|y}}@news.example";
  slots.sender_has_slots = true;
  ASSERT_TRUE(renderer.reverse_path(slots, bench.entry, path).ok());
  EXPECT_EQ(path, "b-5-y@news.example");
  slots.verp = true;
  ASSERT_TRUE(renderer.reverse_path(slots, bench.entry, path).ok());
  EXPECT_EQ(path, "b-5-y+ada=example.org@news.example");

  queue::Batch null = verp;
  null.number = 15;
  null.sender = "";
  ASSERT_TRUE(renderer.reverse_path(null, bench.entry, path).ok());
  EXPECT_EQ(path, "");

  bench.entry.has_sender = true;
  bench.entry.sender = "own-{{index}}@x.y";
  ASSERT_TRUE(renderer.reverse_path(bench.batch, bench.entry, path).ok());
  EXPECT_EQ(path, "own-5@x.y");
  bench.entry.sender = "own-{{gone}}@x.y";
  EXPECT_FALSE(renderer.reverse_path(bench.batch, bench.entry, path).ok());
  bench.entry.sender = "own-{{v}}@x.y";
  bench.entry.vars = {{"v", "a\r\nb"}};
  EXPECT_FALSE(renderer.reverse_path(bench.batch, bench.entry, path).ok());
  bench.entry.has_sender = false;
  bench.entry.to = "\"a b\"@x.y";
  EXPECT_FALSE(renderer.reverse_path(verp, bench.entry, path).ok());
}

TEST(Render, ManyBatchesInTurnKeepTheirOwnTexts) {
  Bench bench;
  Renderer renderer(bench.settings);
  std::string path;
  for (int round = 0; round < 3; ++round) {
    for (uint64_t number = 1; number < 200; ++number) {
      queue::Batch batch;
      batch.number = number;
      batch.sender = "b" + std::to_string(number) + "@x.y";
      ASSERT_TRUE(renderer.reverse_path(batch, bench.entry, path).ok());
      ASSERT_EQ(path, batch.sender);
    }
  }
}

// An encoded word cannot stand in an address (RFC 2047 §5).
TEST(Render, TheAddressOfTheRecipientStaysAsItIs) {
  Bench bench;
  const std::string message = "To: {{name|x}} <{{to}}>\r\n\r\n{{to}}\r\n";
  bench.entry.name = "Zo\xC3\xAB";
  EXPECT_EQ(bench.render(message, kMerge),
            "To: =?UTF-8?B?Wm/Dqw==?= <ada@example.org>\r\n\r\nada@example.org\r\n");
  EXPECT_FALSE(bench.out.header_utf8);
  bench.entry.to = "zo\xC3\xAB@example.org";
  EXPECT_EQ(bench.render(message, kMerge),
            "To: =?UTF-8?B?Wm/Dqw==?= <zo\xC3\xAB@example.org>\r\n\r\nzo\xC3\xAB@example.org\r\n");
  EXPECT_TRUE(bench.out.header_utf8);
  EXPECT_TRUE(bench.out.eight_bit);
  bench.render("A: b\r\n\r\n{{to}}\r\n", kMerge);
  EXPECT_FALSE(bench.out.header_utf8);
  EXPECT_TRUE(bench.out.eight_bit);
}

// Nor does what only has its name.
TEST(Render, AVariableNamedToIsNoAddress) {
  Bench bench;
  const std::string message = "Subject: {{to}}\r\n\r\nx\r\n";
  bench.entry.vars = {{"to", "Zo\xC3\xAB"}};
  EXPECT_EQ(bench.render(message, kMerge), "Subject: =?UTF-8?B?Wm/Dqw==?=\r\n\r\nx\r\n");
  EXPECT_FALSE(bench.out.header_utf8);
  EXPECT_FALSE(bench.out.eight_bit);
}

TEST(Render, NonAsciiInTheHeaderBecomesEncodedWords) {
  Bench bench;
  bench.entry.vars = {{"first", "Zo\xC3\xAB"}};
  EXPECT_EQ(bench.render("Subject: Hi {{first}}\r\n\r\n{{first}}\r\n", kMerge),
            "Subject: =?UTF-8?B?SGkgWm/Dqw==?=\r\n\r\nZo\xC3\xAB\r\n");
  EXPECT_TRUE(bench.out.eight_bit);
  EXPECT_EQ(bench.render("Subject: {{first}}\r\n\r\nx\r\n", kMerge),
            "Subject: =?UTF-8?B?Wm/Dqw==?=\r\n\r\nx\r\n");
  EXPECT_FALSE(bench.out.eight_bit);
  std::string longer;
  for (int i = 0; i < 40; ++i) longer += "\xE2\x82\xAC";
  bench.entry.vars = {{"first", longer}};
  const std::string rendered = bench.render("Subject: {{first}}\r\n\r\nx\r\n", kMerge);
  std::string decoded;
  size_t words = 0;
  for (size_t at = 0; (at = rendered.find("=?UTF-8?B?", at)) != std::string::npos; ++words) {
    const size_t end = rendered.find("?=", at);
    EXPECT_LE(end + 2 - at, 75u);
    std::string word;
    size_t fault = 0;
    ASSERT_TRUE(append_base64_decoded(std::string_view(rendered).substr(at + 10, end - at - 10),
                                      word, fault));
    EXPECT_EQ(word.size() % 3, 0u) << "cut between characters";
    decoded += word;
    at = end;
  }
  EXPECT_EQ(decoded, longer);
  EXPECT_EQ(words, 3u);
}

// What rendering does, said slowly: replace, make line ends CRLF, stuff.
std::string naive(std::string text, const std::vector<std::pair<std::string, std::string>>& vars,
                  bool stuffed) {
  for (const auto& [name, value] : vars) {
    const std::string tag = "{{" + name + "}}";
    std::string clean;
    for (size_t i = 0; i < value.size(); ++i) {
      if (value[i] != '\r' && value[i] != '\n') {
        clean += value[i];
      } else {
        clean += "\r\n";
        if (value[i] == '\r' && i + 1 < value.size() && value[i + 1] == '\n') ++i;
      }
    }
    for (size_t at = 0; (at = text.find(tag, at)) != std::string::npos; at += clean.size())
      text.replace(at, tag.size(), clean);
  }
  if (!stuffed) return text;
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && c == '.') out += '.';
    out += c;
    line_start = c == '\n';
  }
  return out;
}

TEST(Render, SameAsTheNaiveReference) {
  std::mt19937_64 random(11);
  const std::vector<std::string> bits = {"\r\n",  ".",     "x",        "{{a}}",     "{{b}}",
                                         "\r\n.", "text ", "\xC3\xBC", "{{\"{{\"}}"};
  const std::vector<std::string> value_bits = {".",    "v",   "\n", "\r",
                                               "\r\n", "\n.", "..", "\xC3\xA4"};
  for (int round = 0; round < 20000; ++round) {
    std::string raw = "A: b\r\n\r\n";
    for (size_t n = random() % 12; n > 0; --n) raw += bits[random() % bits.size()];
    Normalised content;
    ContentError error;
    ASSERT_TRUE(normalise(raw, true, content, error)) << error.reason;
    const std::string clean(content.bytes);
    std::string a, b;
    for (size_t n = random() % 5; n > 0; --n) a += value_bits[random() % value_bits.size()];
    for (size_t n = random() % 3; n > 0; --n) b += value_bits[random() % value_bits.size()];
    Bench bench;
    bench.entry.vars = {{"a", a}, {"b", b}};
    for (const bool stuffed : {false, true}) {
      const std::string wanted = naive(clean, {{"a", a}, {"b", b}, {"\"{{\"", "{{"}}, stuffed);
      ASSERT_EQ(bench.render(clean, content.flags & ~0x18, stuffed), wanted)
          << clean << "|" << a << "|" << b;
      bench.entry.message = clean;
      bench.entry.content_flags = content.flags & ~0x18;
      ASSERT_EQ(bench.render(nullptr, stuffed), wanted) << "own: " << clean << "|" << a << "|" << b;
    }
  }
}

TEST(Render, OwnMessageWithoutMergeIsOnePiece) {
  Bench bench;
  const std::string message = "A: b\r\n\r\n{{x}}\r\n.dot\r\n";
  bench.entry.message = message;
  bench.entry.content_flags = queue::kContentDotLines;
  EXPECT_EQ(bench.render(nullptr, false), message);
  ASSERT_EQ(bench.out.pieces.size(), 1u);
  EXPECT_EQ(bench.out.pieces[0].data, message.data());
  EXPECT_EQ(bench.render(nullptr, true), "A: b\r\n\r\n{{x}}\r\n..dot\r\n");
}

}  // namespace
}  // namespace veredus::mail
