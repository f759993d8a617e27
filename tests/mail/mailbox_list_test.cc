#include "engine/mail/mailbox_list.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

// Each mailbox as name|local|domain, or what is wrong.
std::vector<std::string> parsed(std::string_view value) {
  std::vector<Mailbox> mailboxes;
  std::string_view why_not;
  if (!parse_mailbox_list(value, mailboxes, why_not)) return {"! " + std::string(why_not)};
  std::vector<std::string> out;
  for (const Mailbox& mailbox : mailboxes) {
    out.push_back(std::string(mailbox.display_name) + "|" + std::string(mailbox.local) + "|" +
                  std::string(mailbox.domain));
  }
  return out;
}

TEST(MailboxList, Taken) {
  const std::pair<std::string_view, std::vector<std::string>> rows[] = {
      {" ada@example.org\r\n", {"|ada|example.org"}},
      {"<ada@example.org>", {"|ada|example.org"}},
      {"Ada Lovelace <ada@example.org>", {"Ada Lovelace|ada|example.org"}},
      {"Ada\r\n Lovelace\r\n\t<ada@example.org>", {"Ada\r\n Lovelace|ada|example.org"}},
      {"\"Lovelace, Ada\" <ada@example.org>", {"\"Lovelace, Ada\"|ada|example.org"}},
      {"\"a \\\"b\\\" <x@y.example>\" <ada@example.org>",
       {"\"a \\\"b\\\" <x@y.example>\"|ada|example.org"}},
      {"Ada B. Lovelace <ada@example.org>", {"Ada B. Lovelace|ada|example.org"}},
      {"=?utf-8?q?=C3=84da?= <ada@example.org>", {"=?utf-8?q?=C3=84da?=|ada|example.org"}},
      {"\xc3\x84\x64\x61 <\xc3\xa4@b\xc3\xbc.example>",
       {"\xc3\x84\x64\x61|\xc3\xa4|b\xc3\xbc.example"}},
      {"a@x.example, B <b@y.example>,\r\n c@z.example",
       {"|a|x.example", "B|b|y.example", "|c|z.example"}},
      {",a@x.example, ,b@y.example,", {"|a|x.example", "|b|y.example"}},
      {"(one) a (two) @ (three) x.example (four)", {"|a|x.example"}},
      {"A (x (y) \\) z) <(in)a@x.example(out)> (behind)", {"A|a|x.example"}},
      {"undisclosed-recipients:;", {}},
      {"Friends: a@x.example, B <b@y.example>;, c@z.example",
       {"|a|x.example", "B|b|y.example", "|c|z.example"}},
      {"\"a b\"@x.example", {"|\"a b\"|x.example"}},
      {"a@[192.0.2.1]", {"|a|[192.0.2.1]"}},
      {"a@[IPv6:2001:db8::1]", {"|a|[IPv6:2001:db8::1]"}},
  };
  for (const auto& [value, expected] : rows) EXPECT_EQ(parsed(value), expected) << value;
}

TEST(MailboxList, RefusedByReason) {
  const std::pair<std::string_view, std::string> rows[] = {
      {"", "it is empty"},
      {" \r\n (nobody)\r\n", "it is empty"},
      {"ada", "an address has no @"},
      {"Ada Lovelace", "an address has several words in front of its @, or none"},
      {"<>", "an address has no local part of atoms with dots between"},
      {"ada@", "an address has no domain of atoms with dots between"},
      {"@example.org", "an address has no local part of atoms with dots between"},
      {"ada..b@example.org", "an address has no local part of atoms with dots between"},
      {".ada@example.org", "an address has no local part of atoms with dots between"},
      {"ada@example..org", "an address has no domain of atoms with dots between"},
      {"ada@example.org.", "an address has no domain of atoms with dots between"},
      {"a . b@example.org", "an address has several words in front of its @, or none"},
      {"ada@example . org", "something follows an address without a comma"},
      {"a@x.example b@y.example", "something follows an address without a comma"},
      {"a@x.example <b@y.example>", "something follows an address without a comma"},
      {"<a@x.example> b", "something follows an address without a comma"},
      {"a@x.example@y.example", "something follows an address without a comma"},
      {"<a@x.example", "an address is not closed by >"},
      {"A <a@x.example, b@y.example>", "an address is not closed by >"},
      {"<@x.example,@y.example:a@z.example>", "there is a source route"},
      {"\"Ada <ada@example.org>", "a quoted string is not closed"},
      {"Ada (x <ada@example.org>", "a comment is not closed"},
      {"g: a@x.example", "a group is not closed by ;"},
      {"g: h: a@x.example;;", "there is a group within a group"},
      {": a@x.example;", "a group has no name"},
      {"a@x.example;", "there is a ; where no group is"},
      {"g:; a@x.example", "something follows a group without a comma"},
      {"\"a\r\n b\"@x.example", "a local part is folded"},
      {"a@[192.0.2.1", "an address literal is not closed by ]"},
      {"a\x01@x.example", "an address has no @"},
  };
  for (const auto& [value, reason] : rows)
    EXPECT_THAT(parsed(value), testing::ElementsAre("! " + reason)) << value;
}

TEST(MailboxList, PlacesAreThoseOfTheMailboxAlone) {
  const std::string_view value = " (x) A <a@x.example> (y), b@y.example (z)";
  std::vector<Mailbox> mailboxes;
  std::string_view why_not;
  ASSERT_TRUE(parse_mailbox_list(value, mailboxes, why_not));
  ASSERT_EQ(mailboxes.size(), 2u);
  EXPECT_EQ(value.substr(mailboxes[0].begin, mailboxes[0].end - mailboxes[0].begin),
            "A <a@x.example>");
  EXPECT_EQ(value.substr(mailboxes[1].begin, mailboxes[1].end - mailboxes[1].begin), "b@y.example");
}

TEST(MailboxList, AThousandMailboxesAreTakenAndNoMore) {
  std::string value = "a@x.example";
  for (size_t i = 1; i < kMailboxesMax; ++i) value += ",a@x.example";
  EXPECT_EQ(parsed(value).size(), kMailboxesMax);
  EXPECT_THAT(parsed(value + ",a@x.example"),
              testing::ElementsAre("! there are more than 1000 mailboxes"));
}

TEST(MailboxList, TheAuthorsDomainIsThatOfTheFirstMailboxOfTheFirstFrom) {
  EXPECT_EQ(author_domain("Subject: x\r\nFROM: A\r\n <a@News.Example>, b@y.example\r\n"
                          "From: c@z.example\r\n"),
            "News.Example");
  EXPECT_EQ(author_domain("From : a@x.example, <b@x.example>,\r\n"), "x.example");
  for (const char* broken :
       {"a@x.example, <broken", "a@x.example@y.example", "a@x.example (", "a@x.example b@y.example",
        "x: a@x.example", "<@y.example:a@x.example>"})
    EXPECT_EQ(author_domain(std::string("From: ") + broken + "\r\n"), "") << broken;
  EXPECT_EQ(author_domain("From: broken\r\nFrom: a@x.example\r\n"), "");
  EXPECT_EQ(author_domain("X-From: a@x.example\r\nTo: b@y.example\r\n"), "");
  EXPECT_EQ(author_domain(""), "");
}

}  // namespace
}  // namespace veredus::mail
