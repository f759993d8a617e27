// Addresses with U-labels and with UTF-8 in front of the @, as feeders write them.

#include <string>

#include <gtest/gtest.h>

#include "engine/intake/feed_parser.h"

namespace veredus::intake {
namespace {

// What became of each line.
struct Told : FeedHandler {
  Key on_key(std::string_view, std::string_view, FeedError&) override { return Key::proceed; }
  int64_t wall_ns() override { return 1782898205'000'000'000; }
  bool on_batch(const queue::Batch& batch, std::string, FeedError&) override {
    log += "sender " + batch.sender + "\n";
    flags = batch.content_flags;
    return true;
  }
  bool on_recipient(const queue::Entry& entry, FeedError&) override {
    log += "to " + std::string(entry.to);
    if (entry.has_sender) log += " sender " + std::string(entry.sender);
    log += "\n";
    return true;
  }
  void on_refused(uint64_t, std::string_view to, std::string_view status,
                  std::string_view reason) override {
    log +=
        "refused " + std::string(to) + " " + std::string(status) + " " + std::string(reason) + "\n";
  }
  std::string log;
  uint8_t flags = 0;
};

std::string feed(const std::string& sender, const std::string& fields, const std::string& lines,
                 Told* told = nullptr) {
  Told own;
  Told& taker = told == nullptr ? own : *told;
  const FeedSettings settings;
  FeedParser parser(settings, taker);
  const std::string raw = "From: \u00e4@x.example\\n\\nx";
  if (parser.feed("{\"batch\":\"b1\",\"sender\":\"" + sender + "\"," + fields +
                  "\"message\":{\"raw\":\"" + raw + "\"}}\n" + lines) &&
      parser.finish())
    return taker.log;
  return taker.log + "error " + parser.error().reason;
}

TEST(FeedIdn, DomainsAreKeptInALabels) {
  EXPECT_EQ(feed("bounce@n\u00e4ws.example", "",
                 "{\"to\":\"Ada@B\u00dccher.example\"}\n"
                 "{\"to\":\"j\u00f6rg@b\u00fccher.example\"}\n"
                 "{\"to\":\"ada@x.example\",\"sender\":\"b@b\u00fccher.example\"}\n"
                 "{\"to\":\"ada@x.example\",\"sender\":\"{{id}}@b\u00fccher.example\"}\n"),
            "sender bounce@xn--nws-qla.example\n"
            "to Ada@xn--bcher-kva.example\n"
            "to j\u00f6rg@xn--bcher-kva.example\n"
            "to ada@x.example sender b@xn--bcher-kva.example\n"
            "refused ada@x.example 5.1.7 the sender: there is nothing in front of the @\n");
  EXPECT_EQ(feed("b+{{index}}@n\u00e4ws.example", "", "{\"to\":\"ada@x.example\"}\n"),
            "sender b+{{index}}@xn--nws-qla.example\nto ada@x.example\n");
  EXPECT_EQ(feed("b@n\u00e4ws.example", "\"verp\":true,", "{\"to\":\"j\u00f6@b\u00fc.example\"}\n"),
            "sender b@xn--nws-qla.example\nto j\u00f6@xn--b-eha.example\n");
}

// The same mailbox, however it is written.
TEST(FeedIdn, UniqueKnowsBothForms) {
  const std::string told = feed("", "\"unique\":true,",
                                "{\"to\":\"ada@xn--bcher-kva.example\"}\n"
                                "{\"to\":\"ada@B\u00fccher.example\"}\n");
  EXPECT_NE(told.find("refused ada@xn--bcher-kva.example 5.1.0"), std::string::npos) << told;
}

// So that he is found among those refused, too, when he is to be forgotten.
TEST(FeedIdn, WhoIsRefusedIsNamedInALabels) {
  for (const std::string cause : {"\"expires\":\"2001-01-01T00:00:00Z\"",
                                  "\"message\":{\"raw\":\"\"}", "\"sender\":\"nobody\""}) {
    const std::string told = feed("", "", "{\"to\":\"ada@b\u00fccher.example\"," + cause + "}\n");
    EXPECT_NE(told.find("refused ada@xn--bcher-kva.example 5."), std::string::npos) << told;
  }
}

// Wherever the domain comes from.
TEST(FeedIdn, SendersMadeOfVariables) {
  const std::string path = "{\"to\":\"ada@x.example\",\"vars\":{\"d\":\"";
  EXPECT_EQ(feed("b@{{d}}", "", path + "b\u00fccher.example\"}}\n"),
            "sender b@{{d}}\nto ada@x.example\n");
  const std::string told = feed("b@{{d}}", "", path + "-\u00fc.example\"}}\n");
  EXPECT_NE(told.find("5.1.7 the sender: the domain is no internationalized"), std::string::npos)
      << told;
}

TEST(FeedIdn, WhatIsNoIdnIsRefused) {
  EXPECT_EQ(
      feed("", "",
           "{\"to\":\"ada@\u00fc_x.example\"}\n"
           "{\"to\":\"ada@\u00fc..example\"}\n"
           "{\"to\":\"ada@x.example\",\"sender\":\"b@-\u00fc.example\"}\n"),
      "sender \n"
      "refused ada@\u00fc_x.example 5.1.2 the domain is no internationalized domain name "
      "(RFC 5891): the domain has, or stands for, what is no letter, digit or hyphen\n"
      "refused ada@\u00fc..example 5.1.3 the domain is no host name (labels of letters, "
      "digits and hyphens)\n"
      "refused ada@x.example 5.1.7 the sender: the domain is no internationalized domain name "
      "(RFC 5891): string start/ends with forbidden hyphen\n");
  EXPECT_NE(feed("b@-\u00fc.example", "", "{\"to\":\"ada@x.example\"}\n").find("RFC 5891"),
            std::string::npos);
}

TEST(FeedIdn, TheHeaderMayHaveUtf8) {
  Told told;
  feed("", "", "{\"to\":\"ada@x.example\"}\n", &told);
  EXPECT_NE(told.flags & queue::kContentHeaderUtf8, 0);
}

}  // namespace
}  // namespace veredus::intake
