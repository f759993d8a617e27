#include "engine/mail/seven_bit.h"

#include <algorithm>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

// What is made of it, or "cannot: …".
std::string made_of(const std::string& message) {
  std::string out = "kept ";
  std::string_view why_not;
  if (!append_seven_bit(message, out, why_not)) return "cannot: " + std::string(why_not);
  return out.substr(5);
}

const std::string kHead = "Subject: x\r\nMIME-Version: 1.0\r\n";

TEST(SevenBit, TextBecomesQuotedPrintable) {
  EXPECT_EQ(made_of(kHead + "Content-Type: text/plain; charset=utf-8\r\n"
                            "Content-Transfer-Encoding: 8bit\r\n"
                            "X-Last: y\r\n\r\n"
                            "Gr\xc3\xbc\xc3\x9f"
                            "e, this is a line of some length = with a blank \r\n"
                            "\r\n.dot\r\n\ttab\t\r\n--x\r\n"),
            kHead +
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n"
                "X-Last: y\r\n\r\n"
                "Gr=C3=BC=C3=9Fe, this is a line of some length =3D with a blank=20\r\n"
                "\r\n.dot\r\n\ttab=09\r\n=2D-x\r\n");
}

TEST(SevenBit, OrBase64WhereThatIsShorterOrItIsNoText) {
  EXPECT_EQ(made_of(kHead + "Content-Type: text/plain; charset=utf-8\r\n\r\n"
                            "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\r\n"),
            kHead +
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n5pel5pys6KqeDQo=\r\n");
  EXPECT_EQ(made_of(kHead + "Content-Type: image/png\r\n\r\nnearly all ASCII \xff\r\n"),
            kHead +
                "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                "bmVhcmx5IGFsbCBBU0NJSSD/DQo=\r\n");
}

TEST(SevenBit, LinesAreAtMost76Bytes) {
  const std::string long_line = std::string(600, 'x') + "\xc3\xbc" + std::string(300, '-');
  for (const char* const type : {"text/plain", "application/x"}) {
    const std::string made =
        made_of(kHead + "Content-Type: " + type + "\r\n\r\n" + long_line + "\r\n");
    size_t longest = 0;
    for (size_t at = made.find("\r\n\r\n") + 4, end; at < made.size(); at = end + 2) {
      end = made.find("\r\n", at);
      longest = std::max(longest, end - at);
      EXPECT_NE(made.substr(at, 2), "--") << "a soft break made a delimiter";
    }
    EXPECT_EQ(longest, 76u) << type;
  }
}

// A line of 76 bytes needs no soft break, one of 77 does; a coded byte is not cut.
TEST(SevenBit, SoftBreaksAtTheEdge) {
  const auto body_of = [](const std::string& line) {
    const std::string made = made_of(kHead + "\r\n" + line + "\r\n\xc3\xbc\r\n");
    return made.substr(made.find("\r\n\r\n") + 4);
  };
  const std::string x74(74, 'x'), x73(73, 'x');
  EXPECT_TRUE(body_of(x74 + "yz").starts_with(x74 + "yz\r\n"));
  EXPECT_TRUE(body_of(x74 + "yzw").starts_with(x74 + "y=\r\nzw\r\n"));
  EXPECT_TRUE(body_of(x73 + "\xe4").starts_with(x73 + "=E4\r\n"));
  EXPECT_TRUE(body_of(x74 + "\xe4").starts_with(x74 + "=\r\n=E4\r\n"));
  EXPECT_TRUE(body_of(x73 + "\xe4z").starts_with(x73 + "=\r\n=E4z\r\n"));
}

TEST(SevenBit, WhatSaysNothingIsNamed) {
  EXPECT_EQ(made_of("Subject: x\r\n\r\nall plain but \xc3\xbc\r\n"),
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n\r\nall plain but =C3=BC\r\n");
  EXPECT_NE(made_of("Subject: x\r\n\r\nall plain but \xe4.\r\n").find("charset=unknown-8bit"),
            std::string::npos);
}

TEST(SevenBit, PartsOfPartsAndMessages) {
  const std::string before =
      kHead +
      "Content-type: MULTIPART/Mixed (a \"(b)\" \\) c);\r\n\tboundary=\"a=b\"\r\n"
      "Content-Transfer-Encoding: 8BIT\r\n\r\n"
      "preamble\r\n"
      "--a=b \r\n\r\nplain\r\n"
      "--a=b\r\nContent-Type: multipart/digest; boundary=--\r\n\r\n"
      "----\r\n\r\nSubject: inner\r\n\r\n\xc3\xbc is one letter of these\r\n"
      "------\r\n"
      "--a=b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
      "DKIM-Signature: of another\r\n\r\n\xc3\xbc is one letter of these\r\n"
      "--a=b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"
      "--a=b\r\n"
      "--a=b--\r\nepilogue\r\n";
  const std::string after =
      kHead +
      "Content-type: MULTIPART/Mixed (a \"(b)\" \\) c);\r\n\tboundary=\"a=b\"\r\n"
      "Content-Transfer-Encoding: 7bit\r\n\r\n"
      "preamble\r\n"
      "--a=b \r\n\r\nplain\r\n"
      "--a=b\r\nContent-Type: multipart/digest; boundary=--\r\n\r\n"
      "----\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n"
      "Content-Transfer-Encoding: quoted-printable\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n\r\n=C3=BC is one letter of these\r\n"
      "------\r\n"
      "--a=b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
      "DKIM-Signature: of another\r\nMIME-Version: 1.0\r\n"
      "Content-Transfer-Encoding: quoted-printable\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n\r\n=C3=BC is one letter of these\r\n"
      "--a=b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\nplain\r\n"
      "--a=b\r\n"
      "--a=b--\r\nepilogue\r\n";
  EXPECT_EQ(made_of(before), after);
}

TEST(SevenBit, BoundariesAreReadAsTheyAreWritten) {
  for (const char* const spelled :
       {"boundary=b", "BOUNDARY=\"b\"", "charset=x; boundary=b;", "boundary=\"\\b\"",
        "name=\"; boundary=c\"; boundary=b", "(boundary=c) boundary=b", "boundary=b; rubbish",
        "boundary=b; boundary", "boundary=b(c)", "charset=us-ascii x; boundary=b",
        "x=\"\" \"; boundary=c\"; boundary=b", ";; =;x/y=z; /; boundary=b",
        "boundary; boundary=b"}) {
    const std::string made = made_of(kHead + "Content-Type: multipart/mixed; " + spelled +
                                     "\r\n\r\n--b\r\n\r\n\xff\r\n--bc\r\n--b--\r\n");
    EXPECT_NE(made.find("\r\n\r\n=FF\r\n"), std::string::npos) << spelled << ": " << made;
    EXPECT_TRUE(made.ends_with("\r\n--b--\r\n")) << made;
  }
}

TEST(SevenBit, CannotBeDone) {
  const std::string u = "\xc3\xbc\r\n";
  const std::string mixed = kHead + "Content-Type: multipart/mixed; boundary=b\r\n";
  const std::pair<std::string, const char*> rows[] = {
      {"DKIM-Signature: v=1\r\n" + kHead + "\r\n" + u, "DKIM"},
      {"ARC-Message-Signature: i=1\r\n" + kHead + "\r\n" + u, "DKIM"},
      {"Arc-Seal: i=1\r\n" + kHead + "\r\n" + u, "DKIM"},
      {kHead + "Content-Transfer-Encoding: binary\r\n\r\n" + u, "binary"},
      {kHead + "Content-Transfer-Encoding: base64\r\n\r\n" + u, "under an encoding without"},
      {kHead + "Content-Transfer-Encoding: x-uue\r\n\r\n" + u, "under an encoding without"},
      {kHead + "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + u,
       "not understood"},
      {kHead + "Content-Type: multipart\r\n\r\n" + u, "not understood"},
      {kHead + "Content-Type: Message;\r\n\r\n" + u, "not understood"},
      {kHead + "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n" + u, "not understood"},
      {kHead + "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n" + u,
       "not understood"},
      {kHead + "X: " + u + "\r\n" + u, "a header has"},
      {kHead + "Content-Type: multipart/mixed\r\n\r\n" + u, "no boundary"},
      {kHead + "Content-Type: multipart/mixed; boundary=\"b\r\n\r\n" + u, "no boundary"},
      {mixed + "\r\nx\r\n--b--\r\n" + u, "no parts"},
      {mixed + "\r\n" + u + "--b\r\n\r\nx\r\n--b--\r\n", "outside of all parts"},
      {mixed + "\r\n--b\r\n\r\nx\r\n--b--\r\n" + u, "outside of all parts"},
      {mixed + "\r\n--bb\r\n\r\n" + u + "--bb--\r\n", "no parts"},
      {kHead + "Content-Type: multipart/mixed; boundary*0=b\r\n\r\n--b\r\n\r\n" + u + "--b--\r\n",
       "no boundary"},
      {mixed + "\r\n--b\r\nno header\r\n\r\n" + u + "--b--\r\n", "not understood"},
      {mixed + "\r\n--b\r\nX: " + u + "\r\n--b--\r\n", "a header has"},
      {mixed + "Content-Transfer-Encoding: quoted-printable\r\n\r\n--b\r\n\r\n" + u + "--b--\r\n",
       "under an encoding without"},
      {kHead + "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + u + "--b--\r\n",
       "signed"},
      {kHead + "Content-Type: message/partial\r\n\r\n" + u, "message/"},
  };
  for (const auto& [message, why] : rows) {
    const std::string made = made_of(message);
    EXPECT_TRUE(made.starts_with("cannot: ") && made.find(why) != std::string::npos)
        << message << "\n"
        << made;
  }
}

// What every reader understands, right or not.
TEST(SevenBit, FieldsOfOtherWriters) {
  const std::string body = "\r\n\r\nall plain but \xc3\xbc\r\n";
  for (const char* const field :
       {"Content-Transfer-Encoding: 8bit;", "Content-Transfer-Encoding: (x) 8BIT 7bit",
        "Content-Transfer-Encoding:", "Content-Type: text", "Content-Type:", "Content-Type: text/",
        "Content-Type: text; charset=utf-8"}) {
    const std::string made = made_of(kHead + field + body);
    EXPECT_TRUE(made.ends_with("\r\n\r\nall plain but =C3=BC\r\n")) << field << ": " << made;
  }
  for (const char* const type : {"message/global", "Message/global-headers; charset=utf-8"}) {
    const std::string part = std::string("--b\r\nContent-Type: ") + type + "\r\n";
    const std::string made = made_of(kHead + "Content-Type: multipart/report; boundary=b\r\n\r\n" +
                                     part + "\r\nTo: \xc3\xbc\r\n--b--\r\n");
    EXPECT_NE(made.find(part + "Content-Transfer-Encoding: base64\r\n\r\nVG86IMO8\r\n--b--"),
              std::string::npos)
        << made;
  }
}

// RFC 2046 §5.1.2: the delimiter of what is around, or the end, closes what is not closed.
TEST(SevenBit, WhatDoesNotClose) {
  const std::string inner = "Content-Type: multipart/mixed; boundary=i\r\n\r\n";
  const std::string outer = kHead + "Content-Type: multipart/mixed; boundary=o\r\n\r\n";
  const std::string text = "Content-Type: text/plain\r\n";
  const auto message = [&](const std::string& encoding, const std::string& letter) {
    return outer + "--o\r\n" + inner + "--i\r\n" + text + encoding + "\r\none letter is " + letter +
           "\r\n--o\r\n" + inner + "--i\r\n--o\r\n" + text + encoding + "\r\none letter is " +
           letter + "\r\n";
  };
  EXPECT_EQ(made_of(message("", "\xc3\xbc")),
            message("Content-Transfer-Encoding: quoted-printable\r\n", "=C3=BC"));
  EXPECT_EQ(made_of(outer + "--o\r\n" + text + "\r\n\xc3\xbc\r\n--o\r\n"),
            outer + "--o\r\n" + text + "Content-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--o\r\n");
}

// What most writers make of names of files that are not ASCII, and what is right (RFC 2231).
TEST(SevenBit, Utf8InTheHeaderOfAPart) {
  const std::pair<std::string, std::string> rows[] = {
      {"Content-Disposition: attachment; filename=\"Gr\u00fc\u00dfe.pdf\"",
       "Content-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf"},
      {"Content-Type: application/pdf; x=y;\r\n\tname=\"\u00fc (\\\"a\\\").pdf\" ; z=\";\u00fc\"; "
       "q=\"q\"",
       "Content-Type: application/pdf; x=y;\r\n\tname*=utf-8''%C3%BC%20%28%22a%22%29.pdf ; "
       "z*=utf-8''%3B%C3%BC; q=\"q\""},
      {"content-type: text/plain; name=\u00fc", "content-type: text/plain; name*=utf-8''%C3%BC"},
      {"Content-Description: \u00fc\r\n \u00fc", "Content-Description: =?UTF-8?B?w7wgw7w=?="},
      {"X-Other: y\r\nContent-Description: \u00fc",
       "X-Other: y\r\nContent-Description: =?UTF-8?B?w7w=?="},
      {"X-Other: \u00fc", ""},
      {"Content-Disposition: \u00fc; filename=\u00fc", ""},
      {"Content-Disposition: x; \u00fc=y", ""},
      {"Content-Disposition: x; filename=\u00fc; \u00fc", ""},
      {"Content-Disposition: x; filename*=\u00fc", ""},
      {"Content-Disposition: x; filename=\"\xfc\"", ""},
      {"Content-Disposition: x; filename=\"\u00fc", ""},
      {"Content-Disposition: x; filename=" + std::string(400, '\xc3'), ""},
  };
  for (const auto& [field, made_field] : rows) {
    const auto message = [](const std::string& in_part) {
      return kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + in_part +
             "\r\n\r\nplain\r\n--b--\r\n";
    };
    const std::string made = made_of(message(field));
    EXPECT_EQ(made,
              made_field.empty() ? "cannot: a header has bytes over 127" : message(made_field));
  }
  // At the edge: with a line end, and without (it belongs to the delimiter then).
  const std::string front = "--b\r\nContent-Disposition: x; filename=";
  const std::string made_front = "Content-Disposition: x; filename*=utf-8''%C3%BC";
  for (const std::string end : {"\r\n\r\nx", ""}) {
    for (const size_t size : {998u, 999u}) {
      const std::string made =
          made_of(kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + front + "\u00fc" +
                  std::string(size - made_front.size(), 'x') + end + "\r\n--b--\r\n");
      EXPECT_EQ(made.starts_with("cannot: "), size > 998) << size << end;
    }
  }
  std::string longest = front;
  for (int i = 0; i < 170; ++i) longest += "\u00fc";
  EXPECT_TRUE(made_of(kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + longest +
                      "\r\n\r\nx\r\n--b--\r\n")
                  .starts_with("cannot: "))
      << "a line over 998 bytes";
}

// The encoding of each costs a hundred bytes, however few it has.
TEST(SevenBit, TooManyParts) {
  const auto message = [](unsigned parts) {
    std::string text = kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for (unsigned i = 0; i < parts; ++i) text += "--b\r\n\r\n\xff\r\n";
    return text + "--b--\r\n";
  };
  const std::string most = message(kPartsMax);
  const std::string made = made_of(most);
  EXPECT_TRUE(made.starts_with(kHead));
  EXPECT_LT(made.size(), 3 * most.size() + 256 * 1024);
  EXPECT_EQ(made_of(message(kPartsMax + 1)), "cannot: it has too many parts");
}

TEST(SevenBit, NestedTooDeep) {
  const auto nested = [](unsigned depth) {
    std::string message = kHead;
    for (unsigned i = 0; i < depth; ++i) message += "Content-Type: message/rfc822\r\n\r\n";
    return message + "\r\n\xff\r\n";
  };
  EXPECT_FALSE(made_of(nested(kPartDepthMax)).starts_with("cannot"));
  EXPECT_NE(made_of(nested(kPartDepthMax + 1)).find("too deep"), std::string::npos);
}

// Its line end belongs to the delimiter: a part that is nothing but this.
TEST(SevenBit, AHeaderWithoutALineEnd) {
  const std::string part = "--b\r\nContent-Transfer-Encoding: 8bit\r\n";
  const std::string made = made_of(kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
                                   part + "--b\r\n\r\n\xff\r\n--b--\r\n");
  EXPECT_NE(made.find(part + "--b\r\n"), std::string::npos) << made;
}

// Cut off in the middle of what is quoted, as only such a part can be, and at every other place.
TEST(SevenBit, AHeaderThatEndsAnywhere) {
  const std::string field = "Content-Type: text/plain; \"a\\\\\\\"\\b\"=c; (c\\)\\\\) \"\\";
  for (size_t length = 0; length <= field.size(); ++length) {
    const std::string part = "--b\r\n" + field.substr(0, length) + "\r\n";
    const std::string made = made_of(kHead + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
                                     part + "--b\r\n\r\n\xff\r\n--b--\r\n");
    EXPECT_NE(made.find(part + "--b\r\n"), std::string::npos) << made;
  }
}

TEST(SevenBit, SevenBitStaysAsItIs) {
  for (const std::string& message : {kHead + "\r\nx\r\n", kHead, kHead + "\r\n"})
    EXPECT_EQ(made_of(message), message);
}

}  // namespace
}  // namespace veredus::mail
