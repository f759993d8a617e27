#include "queue/loop.h"

#include <array>
#include <random>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

using Kind = LoopFinding::Kind;
constexpr std::array<std::string_view, 2> kOwn = {"out1.example.net", "Out2.Example.Net"};

std::string hops(int count, std::string_view line_end = "\r\n") {
  std::string header = "From: a@example.org";
  header += line_end;
  for (int i = 0; i < count; ++i) {
    header += "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000";
    header += line_end;
  }
  header += "Subject: hello";
  header += line_end;
  return header;
}

TEST(Loop, FiftyHopsPassAndOneMoreDoesNot) {
  EXPECT_EQ(find_loop(hops(0), kOwn).kind, Kind::none);
  EXPECT_EQ(find_loop(hops(50), kOwn).kind, Kind::none);
  EXPECT_EQ(find_loop(hops(50), kOwn).received, 50u);
  const LoopFinding finding = find_loop(hops(51), kOwn);
  EXPECT_TRUE(finding.loop());
  EXPECT_EQ(finding.kind, Kind::too_many_hops);
  EXPECT_EQ(finding.received, 51u);
  EXPECT_EQ(finding.reason, "5.4.6 routing loop: 51 Received fields, limit 50");
  EXPECT_EQ(find_loop(hops(51, "\n"), kOwn).received, 51u);
  EXPECT_EQ(find_loop(hops(1000), kOwn).reason,
            "5.4.6 routing loop: 1000 Received fields, limit 50");
}

TEST(Loop, CountsReceivedFieldsAndNothingElse) {
  const struct {
    const char* what;
    std::string_view header;
    uint32_t received;
  } rows[] = {
      {"nothing", "", 0},
      {"any case", "RECEIVED: by a; b\r\nreceived: by a; b\r\n", 2},
      {"space before the colon", "Received : by a; b\r\nReceived\t:by a; b\r\n", 2},
      {"no colon", "Received\r\nReceived by a\r\n", 0},
      {"longer and shorter names", "X-Received: by a\r\nReceived-SPF: pass\r\nReceive: x\r\n", 0},
      {"folded: one field", "Received: from a\r\n by b;\r\n\tReceived: c\r\n", 1},
      {"in a folded line of another", "Subject: x\r\n Received: by a\r\n", 0},
      {"in the body", "Subject: x\r\n\r\nReceived: by a\r\nReceived: by b\r\n", 0},
      {"in the body, LF", "Received: by a\n\nReceived: by b\n", 1},
      {"no line end at the end", "Subject: x\r\nReceived: by a", 1},
      {"a fold before any field", " Received: by a\r\nReceived: by b\r\n", 1},
  };
  for (const auto& row : rows) {
    const LoopFinding finding = find_loop(row.header, kOwn);
    EXPECT_EQ(finding.received, row.received) << row.what;
    EXPECT_FALSE(finding.loop()) << row.what;
  }
}

TEST(Loop, KnowsItsOwnTrace) {
  const struct {
    const char* what;
    std::string_view field;
    bool ours;
  } rows[] = {
      {"as we write it", "by out1.example.net (Veredus) id 3-17.5; Mon, 1 Jan 2024 00:00:00 +0000",
       true},
      {"the other name, other case", "by OUT2.example.NET (veredus) id 1-1.1; x", true},
      {"trailing dot", "by out1.example.net. (Veredus) id 1-1.1; x", true},
      {"folded", "\r\n\tby\r\n out1.example.net\r\n\t(Veredus)\r\n id 1-1.1;\r\n x", true},
      {"from clause in front",
       "from feeder (feeder [127.0.0.1])\r\n by out1.example.net (Veredus) id 1; x", true},
      {"BY in capitals", "from x BY out1.example.net (VEREDUS 1.0) id 1; x", true},
      {"no white space", "by out1.example.net(Veredus)id 1;x", true},
      {"comment between", "by (really) out1.example.net (Veredus) id 1; x", true},
      {"among other words", "by out1.example.net (the Veredus, a courier horse) id 1; x", true},
      {"nested comment", "by out1.example.net (an (old (Veredus)) one) id 1; x", true},
      {"comment further on", "by out1.example.net with ESMTP (Veredus) id 1; x", true},
      {"no date", "by out1.example.net (Veredus) id 1", true},
      {"comment not closed", "by out1.example.net (Veredus", true},
      {"client called by", "from by by out1.example.net (Veredus); x", true},

      {"another server's on our host", "by out1.example.net (Postfix) id 1; x", false},
      {"another host's Veredus", "by out3.example.net (Veredus) id 1; x", false},
      {"longer host", "by out1.example.net.evil.example (Veredus); x", false},
      {"shorter host", "by out1.example (Veredus); x", false},
      {"another's by, from us", "from out1.example.net (Veredus) by mx.example.org (Postfix); x",
       false},
      {"our by within a comment", "from x (by out1.example.net (Veredus)) by mx.example.org; x",
       false},
      {"our by behind a comment in a comment",
       "from x (a (b) by out1.example.net (Veredus)) by c; x", false},
      {"our by within a quoted string",
       "from \"x by out1.example.net (Veredus)\" by mx.example.org; x", false},
      {"word not in a comment", "by out1.example.net with Veredus id 1; x", false},
      {"word before the by", "from x (Veredus) by out1.example.net; x", false},
      {"word after the date", "by out1.example.net; x (Veredus)", false},
      {"part of a word", "by out1.example.net (Veredusian) id 1; x", false},
      {"part of a word, dash", "by out1.example.net (not-Veredus) id 1; x", false},
      {"escaped bracket keeps the comment open",
       "from x (\\) by out1.example.net (Veredus)) by b; x", false},
      {"named by as a client", "from by out1.example.net (Veredus) by b; x", false},
      {"two by clauses, the last is another's", "by out1.example.net by other (Veredus); x", false},
      {"nothing", "", false},
      {"by and nothing", "by", false},
      {"a dot", "by . (Veredus)", false},
  };
  for (const auto& row : rows) {
    std::string header = "Subject: x\r\nReceived: ";
    header += row.field;
    header += "\r\nTo: b\r\n\r\nbody";
    const LoopFinding finding = find_loop(header, kOwn);
    EXPECT_EQ(finding.kind, row.ours ? Kind::own_trace : Kind::none) << row.what;
    EXPECT_EQ(finding.received, 1u) << row.what;
    std::string elsewhere = "X-Trace: ";
    elsewhere += row.field;
    elsewhere += "\r\n";
    EXPECT_FALSE(find_loop(elsewhere, kOwn).loop()) << row.what;
  }
}

TEST(Loop, SaysWhereItHasBeen) {
  EXPECT_EQ(find_loop("Received: by out1.example.net (Veredus) id 1; x\r\n", kOwn).reason,
            "5.4.6 routing loop: has been here before, Received by out1.example.net (Veredus)");
  EXPECT_FALSE(find_loop("Received: by out1.example.net (Veredus) id 1; x\r\n", {}).loop());
}

// Hostile headers: no crash, no endless loop, and work linear in the length (a quadratic scan would
// take hours here).
TEST(Loop, HostileHeadersCostLinearWork) {
  const std::string big = "Received: by " + std::string(8 << 20, '(') + "\r\n";
  EXPECT_FALSE(find_loop(big, kOwn).loop());
  std::string folds = "Received: by x";
  for (int i = 0; i < 1'000'000; ++i) folds += "\r\n by";
  EXPECT_FALSE(find_loop(folds, kOwn).loop());
  std::string quotes = "Received: \"" + std::string(4 << 20, '\\');
  EXPECT_FALSE(find_loop(quotes, kOwn).loop());
  EXPECT_EQ(find_loop(hops(200'000), kOwn).received, 200'000u);
}

TEST(Loop, AnyBytesAreTaken) {
  std::mt19937 random(1);
  constexpr std::string_view kPieces[] = {"Received",
                                          ":",
                                          " ",
                                          "\t",
                                          "\r\n",
                                          "\n",
                                          "\r",
                                          "by",
                                          "from",
                                          "(",
                                          ")",
                                          "\"",
                                          "\\",
                                          ";",
                                          "Veredus",
                                          "out1.example.net",
                                          std::string_view("\0", 1),
                                          "\xff"};
  for (int i = 0; i < 50'000; ++i) {
    std::string header;
    for (uint32_t n = random() % 40; n > 0; --n) header += kPieces[random() % std::size(kPieces)];
    const LoopFinding finding = find_loop(header, kOwn);
    ASSERT_LE(finding.received, 40u);
    ASSERT_EQ(finding.loop(), !finding.reason.empty());
    // What comes after the header changes nothing.
    header += "\r\n\r\nReceived: by out1.example.net (Veredus); x\r\n";
    const LoopFinding again = find_loop(header, kOwn);
    ASSERT_EQ(again.received, finding.received);
  }
}

}  // namespace
}  // namespace veredus::queue
