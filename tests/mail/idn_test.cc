#include "engine/mail/idn.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "engine/mail/address.h"

namespace veredus::mail {
namespace {

// The A-labels, or "no: …".
std::string labels_of(std::string_view domain) {
  std::string made = "ada@";
  std::string_view reason;
  if (append_a_labels(domain, made, reason)) return made.substr(4);
  EXPECT_EQ(made, "ada@") << domain;
  return "no: " + std::string(reason);
}

TEST(Idn, ULabelsBecomeALabels) {
  const std::pair<const char*, const char*> rows[] = {
      {"b\u00fccher.example", "xn--bcher-kva.example"},
      {"B\u00dcCHER.EXAMPLE", "xn--bcher-kva.example"},
      {"bu\u0308cher.example", "xn--bcher-kva.example"},  // not in NFC
      {"fa\u00df.de", "xn--fa-hia.de"},                   // not transitional: no ss
      {"\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"},
      {"b\u00fccher\u3002example", "xn--bcher-kva.example"},  // an ideographic full stop
      {"\uff45\uff58ample.com", "example.com"},               // full-width letters
      {"xn--bcher-kva.b\u00fccher.example", "xn--bcher-kva.xn--bcher-kva.example"},
  };
  for (const auto& [domain, labels] : rows) EXPECT_EQ(labels_of(domain), labels) << domain;
}

// Two rows of which libidn2 makes another domain when it keeps STD3 rules itself.
TEST(Idn, WhatIsNoIdnIsRefused) {
  for (const std::string& domain : {
           std::string("\u00fc_x.example"),
           std::string("\u2100.com"),  // a/c
           std::string("-\u00fc.example"),
           std::string("\u00fc-.example"),
           std::string("ab--\u00fc.example"),
           std::string("a\u200db.example"),    // a joiner without its context
           std::string("\u0301a.example"),     // begins with a combining mark
           std::string("\u05d0a.example"),     // both directions
           std::string("\U0001f600.example"),  // a symbol
           std::string("xn--zzzzzz.\u00fc.example"),
           std::string("x@\u00fc.example"),
           std::string("\u00fc b.example"),
           std::string("\u00fc\r\nRCPT.example"),
           std::string("\xff.example"),
           std::string("\u00fc\0.example", 11),
           std::string(40, '\xc3') + ".example",
           std::string(2000, 'x') + "\u00fc.example",
       }) {
    const std::string made = labels_of(domain);
    EXPECT_TRUE(made.starts_with("no: ") && made.size() > 12) << domain << ": " << made;
  }
  std::string label;
  for (int i = 0; i < 70; ++i) label += "\u00fc";
  EXPECT_TRUE(labels_of(label + ".example").starts_with("no: "));
}

std::string taken_of(std::string_view text) {
  std::string scratch;
  std::string_view taken, why_not;
  const AddressFault fault = take_address(text, scratch, taken, why_not);
  if (fault == AddressFault::none) return std::string(taken);
  EXPECT_EQ(fault == AddressFault::domain_idn, !why_not.empty());
  return std::string(status_of(fault)) + " " + std::string(reason_of(fault));
}

TEST(Idn, AddressesAreTakenInALabels) {
  EXPECT_EQ(taken_of("Ada@B\u00fccher.example"), "Ada@xn--bcher-kva.example");
  EXPECT_EQ(taken_of("j\u00f6rg@B\u00fccher.example"), "j\u00f6rg@xn--bcher-kva.example");
  EXPECT_EQ(taken_of("J\u00f6rg@Example.ORG"), "J\u00f6rg@example.org");
  EXPECT_EQ(taken_of("\"j\u00f6 rg\"@example.org"), "\"j\u00f6 rg\"@example.org");
  EXPECT_EQ(taken_of("ada@Example.ORG"), "ada@example.org");
}

TEST(Idn, AddressesAreRefusedWithAReason) {
  EXPECT_TRUE(taken_of("ada@\u00fc_x.example").starts_with("5.1.2 the domain is no internat"));
  EXPECT_EQ(status_of(AddressFault::domain_idn, true), "5.1.7");
  // What comes of it must be a domain, too.
  EXPECT_TRUE(taken_of("ada@\u00fc..example").starts_with("5.1.3 the domain is no host name"));
  EXPECT_TRUE(taken_of("ada@\u00fc.").starts_with("5.1.3 the domain is no host name"));
  EXPECT_TRUE(taken_of("ada@\u00fc.192").starts_with("5.1.3 the domain is no host name"));
  EXPECT_TRUE(taken_of("a b@\u00fc.example").starts_with("5.1.3 the part in front"));
  EXPECT_TRUE(taken_of("j\xf6rg@example.org").starts_with("5.1.3 the part in front"));
  EXPECT_TRUE(taken_of("\"j\\\u00f6\"@example.org").starts_with("5.1.3 the part in front"));
  EXPECT_TRUE(taken_of("ada\uff20example.org").starts_with("5.1.3 the address has no @"));
  // The A-labels have to fit.
  std::string domain;
  for (int i = 0; i < 12; ++i) domain += "b\u00fccherbank-\u00e4\u00f6\u00fc.";
  EXPECT_TRUE(taken_of("ada@" + domain + "example").starts_with("5.1.2 "));
}

TEST(Idn, QuestionsAreAskedInTheFormOfTheSpool) {
  EXPECT_EQ(with_a_labels("b\u00fccher.example"), "xn--bcher-kva.example");
  EXPECT_EQ(with_a_labels("j\u00f6rg@b\u00fccher.example"), "j\u00f6rg@xn--bcher-kva.example");
  EXPECT_EQ(with_a_labels("j\u00f6rg@Example.org"), "j\u00f6rg@Example.org");
  EXPECT_EQ(with_a_labels("\u00fc_x"), "\u00fc_x");
  EXPECT_EQ(with_a_labels(""), "");
}

}  // namespace
}  // namespace veredus::mail
