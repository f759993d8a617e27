#include "engine/mail/builder.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mail/content.h"
#include "tests/mail/parts.h"

namespace veredus::mail {
namespace {

using testing::HasSubstr;
using testing::Not;

// The message with each boundary as its letter alone.
std::string plain(std::string text) {
  for (size_t at; (at = text.find("=_")) != std::string::npos;) text.erase(at, 27);
  return text;
}

TEST(Builder, TextAlone) {
  EXPECT_EQ(built(parts_of("Hello\n.\nyou")),
            "From: News <news@news.example>\r\n"
            "To: undisclosed-recipients:;\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 7bit\r\n"
            "\r\n"
            "Hello\r\n.\r\nyou\r\n");
  MessageParts empty = parts_of("");
  empty.has_text = true;
  EXPECT_THAT(built(empty), testing::EndsWith("7bit\r\n\r\n"));
}

TEST(Builder, AllOfIt) {
  MessageParts parts = parts_of("T\u00e4xt", "<p>H <img src=\"cid:logo\">\r\n");
  parts.to = "ada@example.org";
  parts.reply_to = "help@news.example";
  parts.subject = "Hi";
  parts.has_to = parts.has_reply_to = parts.has_subject = true;
  parts.headers = {{"X-One", "1"}, {"Message-ID", "<a@b.c>"}};
  parts.has_unsubscribe = true;
  parts.unsubscribe_url = "https://news.example/u?a=1";
  parts.unsubscribe_mailto = "u@news.example";
  parts.attachments = {{"a \"b\".pdf", "application/pdf", "AAEC", ""},
                       {"", "image/png", "", "logo"},
                       {"\u00e4.txt", "", "QQ==", ""}};
  BuildSettings settings = unmerged();
  settings.feedback_sender = "news1";
  settings.campaign = "sp:ring";
  settings.tenant = "acme";
  settings.batch = "b1";
  EXPECT_EQ(plain(built(parts, settings)),
            "From: News <news@news.example>\r\n"
            "Reply-To: help@news.example\r\n"
            "To: ada@example.org\r\n"
            "Subject: Hi\r\n"
            "X-One: 1\r\n"
            "Message-ID: <a@b.c>\r\n"
            "List-Unsubscribe: <https://news.example/u?a=1>,\r\n <mailto:u@news.example>\r\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            "Feedback-ID: sp-ring:acme:b1:news1\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: multipart/mixed;\r\n boundary=\"m\"\r\n"
            "Content-Transfer-Encoding: 8bit\r\n"
            "\r\n"
            "--m\r\n"
            "Content-Type: multipart/alternative;\r\n boundary=\"a\"\r\n"
            "Content-Transfer-Encoding: 8bit\r\n"
            "\r\n"
            "--a\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n"
            "\r\n"
            "T\u00e4xt\r\n"
            "--a\r\n"
            "Content-Type: multipart/related; type=\"text/html\";\r\n boundary=\"r\"\r\n"
            "\r\n"
            "--r\r\n"
            "Content-Type: text/html; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 7bit\r\n"
            "\r\n"
            "<p>H <img src=\"cid:logo\">\r\n\r\n"
            "--r\r\n"
            "Content-Type: image/png\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            "Content-Disposition: inline\r\n"
            "Content-ID: <logo>\r\n"
            "\r\n"
            "\r\n"
            "--r--\r\n"
            "--a--\r\n"
            "--m\r\n"
            "Content-Type: application/pdf\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment;\r\n filename=\"a \\\"b\\\".pdf\"\r\n"
            "\r\n"
            "AAEC\r\n"
            "--m\r\n"
            "Content-Type: application/octet-stream\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            "Content-Disposition: attachment;\r\n filename*=utf-8''%C3%A4.txt\r\n"
            "\r\n"
            "QQ==\r\n"
            "--m--\r\n");
}

// What each message is made of, as its lines that say so.
std::string shape_of(const std::string& message) {
  std::string shape;
  for (size_t at = 0; (at = message.find("Content-Type: ", at)) != std::string::npos;) {
    const size_t begin = at += 14;
    at = message.find_first_of(";\r", at);
    shape += (shape.empty() ? "" : " ") + message.substr(begin, at - begin);
  }
  return shape;
}

TEST(Builder, OnlyTheMultipartsThatAreNeeded) {
  const Attachment file = {"a", "a/b", "", ""}, image = {"", "image/png", "", "x"};
  struct Row {
    std::string_view text, html;
    std::vector<Attachment> attachments;
    std::string_view shape;
  };
  const Row rows[] = {
      {"t", "", {}, "text/plain"},
      {"t", "h", {}, "multipart/alternative text/plain text/html"},
      {"", "h", {}, "multipart/alternative text/plain text/html"},
      {"", "<img src=x>", {}, "text/html"},
      {"t", "", {file}, "multipart/mixed text/plain a/b"},
      {"t", "", {image}, "multipart/mixed text/plain image/png"},
      {"t", "h", {image}, "multipart/mixed multipart/alternative text/plain text/html image/png"},
      {"", "", {file}, "multipart/mixed a/b"},
      {"", "<img src=cid:x>", {image}, "multipart/related text/html image/png"},
      {"t",
       "<img src=cid:x>",
       {image},
       "multipart/alternative text/plain multipart/related text/html image/png"},
      {"t",
       "<img src=cid:x>",
       {file, image, file},
       "multipart/mixed multipart/alternative text/plain multipart/related text/html image/png "
       "a/b a/b"},
  };
  for (const Row& row : rows) {
    MessageParts parts = parts_of(row.text, row.html);
    parts.attachments = row.attachments;
    EXPECT_EQ(shape_of(built(parts)), row.shape);
  }
  // A text that is given as empty is not wanted.
  MessageParts no_text = parts_of("", "h");
  no_text.has_text = true;
  EXPECT_EQ(shape_of(built(no_text)), "text/html");
  // One of whose tags no text can be made must say what is wanted.
  const std::string crossed = "<style>{{#a}}</style>x{{/a}}";
  EXPECT_THAT(built(parts_of("", crossed), BuildSettings()),
              testing::StartsWith("fault: \"html\" has a section that begins in what a text"));
  no_text.html = crossed;
  EXPECT_EQ(shape_of(built(no_text, BuildSettings())), "text/html");
  const std::string large = "<p>" + std::string(kDerivedFromMax - 3, 'x');
  EXPECT_EQ(shape_of(built(parts_of("", large))), "multipart/alternative text/plain text/html");
  EXPECT_EQ(shape_of(built(parts_of("", large + "x"))), "text/html");
}

TEST(Builder, TextIsDerivedFromHtml) {
  EXPECT_THAT(built(parts_of("", "<p>a&auml;<p>b"), unmerged()),
              HasSubstr("8bit\r\n\r\na\u00e4\r\n\r\nb\r\n\r\n--"));
  EXPECT_THAT(built(parts_of("", "<p>Dear {{{x}}}"), BuildSettings()),
              HasSubstr("Dear=20{{{x}}}\r\n"));
}

TEST(Builder, ToOfMessagesThatSayNone) {
  MessageParts parts = parts_of("t");
  EXPECT_THAT(built(parts, BuildSettings()), HasSubstr("\r\nTo: {{name}} <{{to}}>\r\n"));
  BuildSettings settings = unmerged();
  EXPECT_THAT(built(parts, settings), HasSubstr("\r\nTo: undisclosed-recipients:;\r\n"));
  settings.recipient = "ada@example.org";
  EXPECT_THAT(built(parts, settings), HasSubstr("\r\nTo: <ada@example.org>\r\n"));
  settings.recipient_name = "Ada, L.";
  EXPECT_THAT(built(parts, settings), HasSubstr("\r\nTo: \"Ada, L.\" <ada@example.org>\r\n"));
  settings.recipient_name = "Ada\r\nBcc: x@y.z";
  EXPECT_EQ(built(parts, settings), "fault: the recipient's \"name\" has a line end");
}

TEST(Builder, UnsubscribeAndFeedback) {
  MessageParts parts = parts_of("t");
  parts.has_unsubscribe = true;
  const std::string post = "List-Unsubscribe-Post";
  parts.unsubscribe_url = "http://x.example/";
  EXPECT_THAT(built(parts), testing::AllOf(HasSubstr("List-Unsubscribe: <http://x.example/>\r\n"),
                                           Not(HasSubstr(post))));
  parts.unsubscribe_url = "HTTPS://x.example/{{id}}";
  EXPECT_THAT(built(parts, BuildSettings()), HasSubstr(post));
  EXPECT_THAT(built(parts), HasSubstr("fault: \"unsubscribe\": \"url\" has what stands in no URI"));
  parts.unsubscribe_url = "{{url}}";
  EXPECT_THAT(built(parts, BuildSettings()), HasSubstr("<{{url}}>\r\n" + post));
  parts.unsubscribe_url = "";
  parts.unsubscribe_mailto = "mailto:u@x.example?subject=off";
  EXPECT_THAT(built(parts),
              testing::AllOf(HasSubstr("Unsubscribe: <mailto:u@x.example?subject=off>\r\n"),
                             Not(HasSubstr(post))));
  parts.has_unsubscribe_url = true;
  EXPECT_EQ(built(parts), "fault: \"unsubscribe\": \"url\" is empty");
  parts.has_unsubscribe_url = false;
  parts.unsubscribe_mailto = "";
  EXPECT_EQ(built(parts), "fault: \"unsubscribe\" wants \"url\", \"mailto\" or both");
  parts.unsubscribe_url = "https://x.example/";
  parts.has_unsubscribe_mailto = true;
  EXPECT_EQ(built(parts), "fault: \"unsubscribe\": \"mailto\" is empty");
  parts.has_unsubscribe_mailto = false;
  parts.unsubscribe_url = "http://{{x}}/";
  EXPECT_THAT(built(parts, BuildSettings()), Not(HasSubstr(post)));
  parts.unsubscribe_url = "{{{x}}}/";
  EXPECT_THAT(built(parts, BuildSettings()), HasSubstr(post));
  // What may be left out, and a {{ that is text, begin no URI.
  for (const std::string_view url : {"{{#x}}https://x.example/{{/x}}", "{{\"{{\"}}x"}) {
    parts.unsubscribe_url = url;
    EXPECT_THAT(built(parts, BuildSettings()), HasSubstr("\"url\" begins with neither"));
  }

  BuildSettings settings = unmerged();
  settings.feedback_sender = "acme1";
  settings.tenant = "default";
  settings.batch = "b@1";
  parts = parts_of("t");
  EXPECT_THAT(built(parts, settings), HasSubstr("Feedback-ID: default:b@1:acme1\r\n"));
  parts.headers = {{"feedback-id", "own"}};
  EXPECT_THAT(built(parts, settings),
              testing::AllOf(HasSubstr("feedback-id: own\r\n"), Not(HasSubstr("Feedback-ID"))));
}

TEST(Builder, TheSamePartsMakeTheSameMessage) {
  const MessageParts parts = parts_of("t", "h");
  EXPECT_EQ(built(parts), built(parts));
  const auto boundary = [](const std::string& message) {
    return message.substr(message.find("boundary="), 40);
  };
  EXPECT_NE(boundary(built(parts)), boundary(built(parts_of("T", "h"))));
  EXPECT_NE(boundary(built(parts)), boundary(built(parts_of("th", "h"))));
}

TEST(Builder, EncodingsOfText) {
  const std::string long_line(999, 'x');
  const std::string tags = "{{a}} " + std::string(500, 'x');
  struct Row {
    std::string text;
    bool merge;
    std::string_view encoding, body;
  };
  const Row rows[] = {
      {"a\rb\n\r\nc", false, "7bit", "a\r\nb\r\n\r\nc\r\n"},
      {std::string(998, 'x'), false, "7bit", ""},
      {long_line, false, "quoted-printable", "x=\r\nx"},
      {"\u00e4", false, "8bit", "\u00e4\r\n"},
      {"{{a}}", false, "7bit", "{{a}}\r\n"},
      {"{{a}}", true, "8bit", "{{a}}\r\n"},
      {tags, true, "quoted-printable", "{{a}} xxx"},
      // A value that goes in as it is may have lines of any length.
      {"a = {{{b}}}\n", true, "quoted-printable", "a =3D=20{{{b}}}\r\n"},
      {"a = {{{b}}}\n", false, "7bit", "a = {{{b}}}\r\n"},
      {tags, false, "7bit", ""},
      {"a=b {{a}} {{b}}\n --" + long_line, true, "quoted-printable",
       "a=3Db=20{{a}}=20{{b}}\r\n --xx"},
      {long_line + "{{a}}--", true, "quoted-printable", "{{a}}=2D-\r\n"},
  };
  for (const Row& row : rows) {
    BuildSettings settings;
    settings.merge = row.merge;
    const std::string message = built(parts_of(row.text), settings);
    EXPECT_THAT(message, HasSubstr("Encoding: " + std::string(row.encoding) + "\r\n"));
    EXPECT_THAT(message, HasSubstr(std::string(row.body)));
  }
  // Tags of a line that is too long are stored on several.
  std::string many;
  for (int i = 0; i < 400; ++i) many += "{{v|" + std::string(60, 'x') + "}}";
  const std::string message = built(parts_of(many), BuildSettings());
  size_t at = 0, longest = 0;
  for (size_t end; (end = message.find('\n', at)) != std::string::npos; at = end + 1)
    longest = std::max(longest, end - 1 - at);
  EXPECT_LE(longest, kLineBytesMax);
  EXPECT_THAT(message, HasSubstr("}}=\r\n{{v|"));
}

TEST(Builder, Faults) {
  const std::string attachment = "fault: attachment 1: ";
  struct Row {
    void (*change)(MessageParts&);
    std::string reason;
    MessagePart part;
  };
  const Row rows[] = {
      {[](MessageParts& p) { p.from = ""; }, "no \"from\"", MessagePart::from},
      {[](MessageParts& p) { p.from = "News"; }, "\"from\" is no list of addresses",
       MessagePart::from},
      {[](MessageParts& p) { p.from = "a@b.c\r\nBcc: d@e.f"; }, "\"from\" has a line end",
       MessagePart::from},
      {[](MessageParts& p) { p.has_to = true; }, "\"to\" is no list of addresses: it is empty",
       MessagePart::to},
      {[](MessageParts& p) { p.reply_to = "a@-b.c", p.has_reply_to = true; },
       "\"reply_to\" has an address that is none", MessagePart::reply_to},
      {[](MessageParts& p) { p.subject = "a\nb", p.has_subject = true; },
       "\"subject\" has a line end", MessagePart::subject},
      {[](MessageParts& p) {
         p.subject = {"a\0b", 3}, p.has_subject = true;
       },
       "\"subject\" has a NUL", MessagePart::subject},
      {[](MessageParts& p) { p.subject = "a\x1b[b", p.has_subject = true; },
       "\"subject\" has a control character", MessagePart::subject},
      {[](MessageParts& p) {
         p.text = {"a\0b", 3};
       },
       "\"text\" has a NUL", MessagePart::text},
      {[](MessageParts& p) { p.html = "a {{b"; },
       "\"html\" has, at byte 3, a tag that is not understood: {{ is not closed",
       MessagePart::html},
      {[](MessageParts& p) { p.text = "{{#a}}"; }, "\"text\" has a section that does not end in it",
       MessagePart::text},
      {[](MessageParts& p) { p.subject = "{{a b}}", p.has_subject = true; },
       "\"subject\" has, at byte 1, a tag", MessagePart::subject},
      {[](MessageParts& p) { p.text = "", p.has_text = false; }, "neither \"text\" nor \"html\"",
       MessagePart::whole},
      {[](MessageParts& p) {
         p.headers = {{"X-A", "b\r\nc: d"}};
       },
       "\"headers\": X-A has a line end", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"X A", "b"}};
       },
       "a name is none of a header field", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"X-A\r\nB", "b"}};
       },
       "a name is none of a header field", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"X:", "b"}};
       },
       "a name is none of a header field", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"", "b"}};
       },
       "a name is none of a header field", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"{{x}}", "b"}};
       },
       "a name is none of a header field", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"FROM", "b@c.d"}};
       },
       "FROM has a key of its own", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Bcc", "b@c.d"}};
       },
       "Bcc is made", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Content-Foo", "b"}};
       },
       "Content-Foo is made", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"ARC-Seal", "b"}};
       },
       "ARC-Seal is made by the engine, or by nobody", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Authentication-Results", "b"}};
       },
       "Authentication-Results is made", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Date", "a"}, {"DATE", "b"}};
       },
       "DATE is there twice", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"List-Unsubscribe", "<a:b>"}};
         p.has_unsubscribe = true;
       },
       "List-Unsubscribe is there twice", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Message-ID", "<\u00e4@b>"}};
       },
       "Message-ID is not ASCII", MessagePart::headers},
      {[](MessageParts& p) {
         p.headers = {{"Message-ID", ""}};
       },
       "Message-ID is empty", MessagePart::headers},
      {[](MessageParts& p) {
         p.has_unsubscribe = true;
         p.unsubscribe_url = "ftp://x";
       },
       "begins with neither https://, http:// nor a variable", MessagePart::unsubscribe},
      {[](MessageParts& p) {
         p.has_unsubscribe = true;
         p.unsubscribe_url = "https://x/\r\nX: y";
       },
       "\"url\" has a line end", MessagePart::unsubscribe},
      {[](MessageParts& p) {
         p.has_unsubscribe = true;
         p.unsubscribe_mailto = "nobody";
       },
       "\"mailto\" has no @", MessagePart::unsubscribe},
      {[](MessageParts& p) {
         p.attachments = {{"a\r\nb", "", "", ""}};
       },
       "attachment 1: the name has a line end", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"{{a}}", "", "", ""}};
       },
       "attachment 1: the name has a {{", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "png", "", ""}};
       },
       "attachment 1: the type is not as in image/png", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "a/b; c", "", ""}};
       },
       "attachment 1: the type has a parameter", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "a/b; boundary=c", "", ""}};
       },
       "attachment 1: the type has a parameter \"boundary\"", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "a/b; name*0=c", "", ""}};
       },
       "attachment 1: the type has a parameter \"name*0\"", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "message/rfc822", "", ""}};
       },
       "attachment 1: the type is multipart/… or message/…", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "", "", "<a@b>"}};
       },
       "attachment 1: the cid", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "", "", "a"}, {"", "", "", "a"}};
       },
       "attachment 2: the cid is that of another", MessagePart::attachments},
      {[](MessageParts& p) {
         p.attachments = {{"", "", "QUJD\r\n", ""}};
       },
       "attachment 1: \"base64\" is no base64", MessagePart::attachments},
  };
  for (const Row& row : rows) {
    MessageParts parts = parts_of("t", "h");
    row.change(parts);
    if (row.part == MessagePart::whole) parts.html = "";
    std::string out;
    BuildFault fault;
    EXPECT_FALSE(build_message(parts, BuildSettings(), out, fault)) << row.reason;
    EXPECT_THAT(fault.reason, HasSubstr(row.reason));
    EXPECT_EQ(fault.part, row.part) << row.reason;
  }
  MessageParts parts = parts_of("t");
  parts.attachments = {{"", "", "QUJD", ""}, {"", "", "QUJ!", ""}};
  std::string out;
  BuildFault fault;
  EXPECT_FALSE(build_message(parts, BuildSettings(), out, fault));
  EXPECT_EQ(fault.index, 1u);
  EXPECT_EQ(fault.offset, 3u);
}

// Whoever knows how boundaries are made could write one into a text.
TEST(Builder, ABoundaryIsInNoText) {
  MessageParts parts = parts_of("t", "h");
  const std::string first = built(parts);
  const size_t at = first.find("=_");
  const std::string boundary = first.substr(at, 27);
  EXPECT_EQ(boundary.size(), 27u);
  EXPECT_THAT(boundary, testing::MatchesRegex("=_[0-9A-F]{24}_"));
}

}  // namespace
}  // namespace veredus::mail
