#include "engine/mail/html_text.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "engine/mail/html_entity.h"

namespace veredus::mail {
namespace {

std::string text_of(std::string_view html, bool merge = false) {
  std::string out;
  return append_html_text(html, merge, out) ? out : "refused: " + out;
}

struct Row {
  std::string_view html, text;
};

TEST(HtmlText, BlocksLinesAndBlanks) {
  const Row rows[] = {
      {"", ""},
      {" \n ", ""},
      {"Hello", "Hello\n"},
      {"  a \r\n\t b  ", "a b\n"},
      {"a<br>b<br/>c<BR >d", "a\nb\nc\nd\n"},
      {"a<br><br><br><br>b", "a\n\nb\n"},
      {"<p>a</p><p>b</p>", "a\n\nb\n"},
      {"<p> a </p> <p> b </p> ", "a\n\nb\n"},
      {"<div>a</div><div><div>b</div></div>c", "a\nb\nc\n"},
      {"<h1>A</h1>b<blockquote>c</blockquote>d", "A\n\nb\n\nc\n\nd\n"},
      {"a<b>b</b><i> c</i> <u>d</u>", "ab c d\n"},
      {"<table><tr><td>a</td><td>b</td></tr><tr><th>c<td>d</table>e", "a b\nc d\ne\n"},
      {"a<hr>b", "a\n----------\nb\n"},
      {"<pre>a  b\n  c</pre>d  e", "a  b\n  c\n\nd e\n"},
      {"&nbsp;a&nbsp;&nbsp;b", "a b\n"},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html), row.text) << row.html;
}

TEST(HtmlText, Lists) {
  const Row rows[] = {
      {"<ul><li>a</li><li>b</li></ul>", "* a\n* b\n"},
      {"x<ul><li>a<li>b</ul>y", "x\n\n* a\n* b\n\ny\n"},
      {"<ol><li>a</li><li>b</li></ol>", "1. a\n2. b\n"},
      {"<ul>\n<li><p>a</p></li>\n<li><p>b</p></li>\n</ul>", "* a\n* b\n"},
      {"<ol><li>a<ul><li>b</li><li>c</li></ul></li><li>d</li></ol>", "1. a\n  * b\n  * c\n2. d\n"},
      {"<li>a</li>", "* a\n"},
      {"<ul><li></li><li>a</li></ul>", "* a\n"},
      {"</ul></ol>a", "a\n"},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html), row.text) << row.html;
}

TEST(HtmlText, LinksAndImages) {
  const Row rows[] = {
      {"<a href=\"https://x.example/?a=1&amp;b=2\">Go</a>.", "Go (https://x.example/?a=1&b=2).\n"},
      {"<a href='https://x.example/'>https://x.example/</a>", "https://x.example/\n"},
      {"<a href=https://x.example/>x.example</a>", "x.example\n"},
      {"<a href=https://x.example/><img src=a.png></a>", "https://x.example/\n"},
      {"<a href=https://x.example/><img src=a.png alt=\"The  logo\"></a>",
       "The logo (https://x.example/)\n"},
      {"<a href=mailto:a@b.c>a@b.c</a>, <a href=\"MAILTO:a@b.c\">we</a>", "a@b.c, we (a@b.c)\n"},
      {"<a href=\"#top\">Up</a><a name=x>y</a><a href=\"javascript:x()\">z</a>", "Upyz\n"},
      {"<a href=1>a<a href=2>b", "a (1)b (2)\n"},
      {"<a href = \" https://x.example/ \" class=b>a</a>", "a (https://x.example/)\n"},
      {"<img alt=a>", "a\n"},
      {"<img alt=''>", ""},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html), row.text) << row.html;
}

TEST(HtmlText, WhatIsNotShown) {
  const Row rows[] = {
      {"<!DOCTYPE html><html><head><title>T</title><meta x></head><body>a</body></html>", "a\n"},
      {"<head><style>b{}</style><p>a", "a\n"},
      {"<head>x<body>a", "a\n"},
      {"a<style>p > b {}</style >b<script>if (a<b) '</p>'</script>c", "abc\n"},
      {"a<!-- <p>b --> c<!--[if mso]><p>d</p><![endif]-->e<![if !mso]>f<![endif]>", "a cef\n"},
      {"a<!-->b", "ab\n"},
      {"a<script>b", "a\n"},
      {"a<!-- b", "a\n"},
      {"a<b c=\"d>e", "a\n"},
      {"a\xC2\xAD"
       "b&shy;c&#8203;d\xEF\xBB\xBF",
       "abcd\n"},
      {"a&zwnj;&nbsp;&zwnj;&nbsp;&zwnj;", "a\xE2\x80\x8C\n"},
      {"1 < 2 <3> <- 4>3 &c & d; &#; &bogus; &amp", "1 < 2 <3> <- 4>3 &c & d; &#; &bogus; &amp\n"},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html), row.text) << row.html;
}

TEST(HtmlText, Entities) {
  const Row rows[] = {
      {"&lt;&gt;&amp;&quot;&apos;&euro;&Auml;&auml;&hellip;", "<>&\"'\u20ac\u00c4\u00e4\u2026\n"},
      {"&#65;&#x42;&#X6a;&#128;&#x1F600;", "ABj\u20ac\U0001F600\n"},
      {"&#0;&#xD800;&#x110000;&#99999999999999;", "\uFFFD\uFFFD\uFFFD\uFFFD\n"},
      {"a&#13;&#10;b&#7;c", "a b c\n"},
      {"&amp;lt;", "&lt;\n"},
      {"&thetasym;&thetasymx;", "\u03d1&thetasymx;\n"},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html), row.text) << row.html;
  std::string_view text = "&sum; x";
  uint32_t point = 0;
  EXPECT_TRUE(take_entity(text, point));
  EXPECT_EQ(point, 8721u);
  EXPECT_EQ(text, " x");
}

TEST(HtmlText, TagsOfMergeStay) {
  const Row rows[] = {
      {"<p>Dear {{name|<friend>}},</p>{{{x}}}", "Dear {{name|<friend>}},\n\n{{{x}}}\n"},
      // Of what is not raw this would be the end.
      {"{{{x|a}}b}}}", "{{{x|a}}b}}}\n"},
      {"{<b>{{{x}}}</b>", "{ {{{x}}}\n"},
      {"<pre>{ {</pre>x", "{ {\n\nx\n"},
      {"<pre>{\t{{{x}}}</pre>", "{ {{{x}}}\n"},
      {"<a href=\"{{url|\"a>b\"}}?x={{id}}&amp;y\">Go</a>", "Go ({{url|\"a>b\"}}?x={{id}}&y)\n"},
      {"<a href={{url}}>{{url}}</a>", "{{url}}\n"},
      {"<img alt=\"{{what}} here\">", "{{what}} here\n"},
      // A blank or break goes with the section that it stands in front of.
      {"<p>a</p>{{#x}}<p>b</p>{{/x}}<p>c</p>", "a{{#x}}\n\nb{{/x}}\n\nc\n"},
      {"a {{#x}}{{x}} {{/x}}b", "a{{#x}} {{x}}{{/x}} b\n"},
      {"<ul>{{#x}}<li>a</li>{{/x}}<li>b</li></ul>", "{{#x}}* a{{/x}}\n* b\n"},
      {"<td style=\"{{#x}}a{{/x}}\">b", "b\n"},
      {"<style>{{#x}}a{{/x}}</style>b", "b\n"},
      {"{{\"{{\"}}", "{{\"{{\"}}\n"},
      // What becomes text must not become a tag.
      {"&#123;&#123;x}}", "{{\"{{\"}}x}}\n"},
      {"{<b>{</b>x}}", "{{\"{{\"}}x}}\n"},
      {"{<b>{{x}}</b>}", "{ {{x}}}\n"},
      {"{<b>{{#x}}</b>a{{/x}}", "{ {{#x}}a{{/x}}\n"},
      {"{ {", "{ {\n"},
      {"<img alt=\"&#123;{\">", "{{\"{{\"}}\n"},
      {"<a href=\"x&#123;&#x7b;\">a</a>", "a (x{{\"{{\"}})\n"},
  };
  for (const Row& row : rows) EXPECT_EQ(text_of(row.html, true), row.text) << row.html;
  for (const std::string_view html :
       {"a {{b", "{{#x}}<style>{{/x}}</style>", "<style>{{#x}}</style>a{{/x}}", "{{#x}}a{{/y}}",
        "a{{/x}}", "{{#x}}{{#y}}{{/x}}{{/y}}"})
    EXPECT_TRUE(text_of(html, true).starts_with("refused")) << html;
  EXPECT_EQ(text_of("a {{b"), "a {{b\n");
  EXPECT_EQ(text_of("{{{x}}}"), "{{{x}}}\n");
}

TEST(HtmlText, LinesAreBrokenAtBlanks) {
  std::string html, word(9, 'x');
  for (int i = 0; i < 40; ++i) html += (i == 0 ? "" : " ") + word;
  const std::string text = text_of(html);
  std::string unbroken = text.substr(0, text.size() - 1);
  size_t last = 0;
  for (size_t i = 0; i < unbroken.size(); ++i) {
    if (unbroken[i] != '\n') continue;
    EXPECT_LE(i - last, 76u);
    EXPECT_GT(i - last, 60u);
    last = i + 1;
    unbroken[i] = ' ';
  }
  EXPECT_EQ(unbroken, html);
  // Characters are counted, not bytes; what has no blank stays whole, and so does a tag.
  std::string wide;
  for (int i = 0; i < 76; ++i) wide += "\u00e4";
  EXPECT_EQ(text_of(wide + " b"), wide + "\nb\n");
  EXPECT_EQ(text_of("b " + wide), "b\n" + wide + "\n");
  const std::string tag = "{{a|" + std::string(50, 'b') + " c " + std::string(50, 'd') + "}}";
  EXPECT_EQ(text_of("x " + tag + " y", true), "x\n" + tag + "\ny\n");
}

// What takes long where something is looked for again and again.
TEST(HtmlText, LinearTime) {
  const std::string_view pieces[] = {
      "<",           "<a ",        "<!--",         "<style></",  "</style",     "&#1",    "<ul>",
      "<li>",        "<a href=\"", "{{",           "<a href=x>", "{{x}}",       "{{#x}}", "<p>",
      "<a b={{x}} ", "&a;",        "<a href=\"{{", "<a b={{>",   "{{#x}}{{/x}}"};
  for (const std::string_view piece : pieces) {
    std::string html;
    while (html.size() < 500'000) html += piece;
    std::string out;
    const auto begin = std::chrono::steady_clock::now();
    append_html_text(html, true, out);
    append_html_text(html, false, out);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << piece;
    EXPECT_LT(out.size(), 20 * html.size()) << piece;
  }
}

}  // namespace
}  // namespace veredus::mail
