// Who signs what is sent (RFC 6376), and how often.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/mail/dkim_identity.h"
#include "engine/mail/dkim_verify.h"
#include "tests/engine/small_engine.h"
#include "tests/mail/dkim_test_keys.h"

namespace veredus::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kSecond = SmallEngine::kSecond;

std::shared_ptr<const mail::DkimKey> key() {
  static const std::shared_ptr<const mail::DkimKey> made = mail::testing::ed25519_key();
  return made;
}

// Identities called as their domains; `a.sim/2`: another one of a.sim.
std::shared_ptr<const mail::DkimIdentities> identities(const std::vector<std::string>& names) {
  std::vector<mail::DkimIdentity> made;
  for (const std::string& name : names) {
    mail::DkimIdentity& one = made.emplace_back();
    one.name = name;
    one.domain = name.substr(0, name.find('/'));
    one.selector = "s" + std::to_string(made.size());
    one.key = key();
  }
  return std::make_shared<const mail::DkimIdentities>(*mail::DkimIdentities::make(std::move(made)));
}

SmallEngine::Change signs(const std::vector<std::string>& names) {
  return [names](EngineSettings& settings, Faults& faults) {
    settings.dkim = identities(names);
    faults = Faults{};
    faults.dns_failure = 0;
  };
}

std::string json_of(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\r') out += "\\r";
    if (c == '\n') out += "\\n";
    if (c == '"') out += "\\\"";
    if (c != '\r' && c != '\n' && c != '"') out += c;
  }
  return out;
}

class Signing {
 public:
  explicit Signing(const SmallEngine::Change& change, unsigned shards = 1)
      : engine(change, shards) {
    engine.internet.keeps_content = true;
  }
  // What the recipients got, in the order of `to`, each once.
  std::vector<std::string> send(const std::string& name, std::string_view raw,
                                const std::vector<std::string>& to, const std::string& more = "",
                                const std::string& lines_more = "") {
    std::string body = "{\"batch\":\"" + name + "\",\"tenant\":\"t\",\"sender\":\"b@b.sim\"" +
                       more + ",\"message\":{\"raw\":\"" + json_of(raw) + "\"}}\n";
    for (const std::string& address : to)
      body += "{\"to\":\"" + address + "\"" + lines_more + "}\n";
    engine.feed_body(body);
    EXPECT_TRUE(engine.run_until(
        [&] {
          return std::all_of(to.begin(), to.end(),
                             [&](const std::string& one) { return engine.taken(one); });
        },
        3600 * kSecond));
    std::vector<std::string> got;
    for (const std::string& address : to)
      got.push_back(engine.internet.ledger[address].back().content);
    return got;
  }
  uint64_t signatures() { return engine.core().counters(0).signatures.load(); }

  SmallEngine engine;
};

// The domains of a message's signatures, in order.
std::vector<std::string> domains_of(const std::string& message) {
  std::vector<std::string> out;
  const std::string header = message.substr(0, message.find("\r\n\r\n"));
  for (size_t at = 0; (at = header.find("DKIM-Signature:", at)) != std::string::npos; ++at) {
    const size_t from = header.find(" d=", at) + 3;
    out.push_back(header.substr(from, header.find(';', from) - from));
  }
  return out;
}

// "pass", or why its only signature is worth nothing.
std::string verified(const std::string& message, int64_t wall_ns) {
  const auto lookup = [](const std::string&) {
    return mail::DkimKeyAnswer{mail::DkimKeyAnswer::Status::found, {key()->public_record()}, ""};
  };
  const std::vector<mail::DkimVerdict> verdicts = mail::verify_dkim(message, wall_ns, lookup);
  if (verdicts.size() != 1) return std::to_string(verdicts.size()) + " signatures";
  return verdicts[0].result == mail::DkimVerdict::Result::pass ? "pass" : verdicts[0].reason;
}

constexpr std::string_view kMessage = "From: Us <us@a.sim>\r\nSubject: x\r\n\r\nHello\r\n";

TEST(Signing, ByTheDomainOfFrom) {
  Signing test(signs({"a.sim", "sub.b.sim", "b.sim", "b.sim/2"}));
  const std::vector<std::string> to = {"r@d0.sim"};
  const auto signers = [&](const std::string& from) {
    static int n = 0;
    const std::string name = "b" + std::to_string(n++);
    const std::string recipient = name + "@d0.sim";
    return domains_of(
        test.send(name, "From: " + from + "\r\nSubject: x\r\n\r\nHello\r\n", {recipient})[0]);
  };
  EXPECT_THAT(signers("us@a.sim"), ElementsAre("a.sim"));
  EXPECT_THAT(signers("Us (a@c.sim) <us@News.A.sim>"), ElementsAre("a.sim"));
  EXPECT_THAT(signers("us@b.sim"), ElementsAre("b.sim", "b.sim"));
  EXPECT_THAT(signers("us@x.sub.b.sim"), ElementsAre("sub.b.sim"));
  EXPECT_THAT(signers("us@c.sim"), IsEmpty());
  EXPECT_THAT(signers("us@aa.sim"), IsEmpty());
}

TEST(Signing, AsTheBatchSays) {
  Signing test(signs({"a.sim", "b.sim", "c.sim"}));
  EXPECT_THAT(
      domains_of(test.send("1", kMessage, {"1@d0.sim"}, ",\"dkim\":[\"c.sim\",\"b.sim\"]")[0]),
      ElementsAre("c.sim", "b.sim"));
  EXPECT_THAT(domains_of(test.send("2", kMessage, {"2@d0.sim"}, ",\"dkim\":[]")[0]), IsEmpty());
}

TEST(Signing, WhatTheFeederHasSignedIsSignedAgainOnlyIfHeSays) {
  Signing test(signs({"a.sim"}));
  const std::string mine = "DKIM-Signature: v=1; d=other.sim; b=x\r\n" + std::string(kMessage);
  EXPECT_THAT(domains_of(test.send("1", mine, {"1@d0.sim"})[0]), ElementsAre("other.sim"));
  EXPECT_THAT(domains_of(test.send("2", mine, {"2@d0.sim"}, ",\"dkim\":[\"a.sim\"]")[0]),
              ElementsAre("a.sim", "other.sim"));
}

TEST(Signing, ByEachAuthorWhereFromHasAVariable) {
  Signing test(signs({"a.sim", "b.sim"}));
  const std::string raw = "From: <us@{{of}}>\r\nSubject: x\r\n\r\nHello\r\n";
  const auto signers = [&](const std::string& of, const std::string& to) {
    return domains_of(test.send(to, raw, {to + "@d0.sim"}, ",\"merge\":true",
                                ",\"vars\":{\"of\":\"" + of + "\"}")[0]);
  };
  EXPECT_THAT(signers("a.sim", "1"), ElementsAre("a.sim"));
  EXPECT_THAT(signers("x.b.sim", "2"), ElementsAre("b.sim"));
  EXPECT_THAT(signers("c.sim", "3"), IsEmpty());
}

// Whatever the way to the host makes of the message: what arrives is what was signed.
TEST(Signing, WhatArrivesVerifies) {
  const std::vector<std::string> kBodies = {
      "Hello\r\n",
      ".\r\n..x\r\n.\r\n",
      "{{v}}.x {{v}}\r\n{{v}}\r\n",
      "Gr\xc3\xbc\xc3\x9f"
      "e {{v}}  \r\n\r\n\r\n",
      "",
  };
  unsigned n = 0;
  for (const bool chunking : {true, false}) {
    for (const bool eight_bit : {true, false}) {
      Signing test(signs({"a.sim"}));
      test.engine.internet.chunking = chunking;
      test.engine.internet.eight_bit_mime = eight_bit;
      for (const std::string& body : kBodies) {
        const std::string to = "r" + std::to_string(n++) + "@d0.sim";
        const std::string got =
            test.send(to.substr(0, to.find('@')), "From: us@a.sim\r\nTo: {{to}}\r\n\r\n" + body,
                      {to}, ",\"merge\":true", ",\"vars\":{\"v\":\".\\n.a\\n\"}")[0];
        EXPECT_EQ(verified(got, test.engine.clock.wall_ns()), "pass") << got;
      }
      const std::string constant = "r" + std::to_string(n++) + "@d0.sim";
      EXPECT_EQ(verified(test.send("c", kMessage, {constant})[0], test.engine.clock.wall_ns()),
                "pass");
    }
  }
}

// Where all of the message is the same for all, one signature serves for a minute.
TEST(Signing, OnceWhereAllHaveTheSameMessage) {
  Signing test(signs({"a.sim"}));
  const std::vector<std::string> to = SmallEngine::recipients(20);
  for (const std::string& got : test.send("1", kMessage, to))
    EXPECT_THAT(domains_of(got), ElementsAre("a.sim"));
  EXPECT_EQ(test.signatures(), 1u);
  // Other identities are in force: none of the signatures before is used.
  EngineSettings settings = test.engine.settings;
  settings.dkim = identities({"other.sim", "a.sim"});
  test.engine.core().reload(settings);
  const std::string after = test.send("1b", kMessage, {"after@d0.sim"}, ",\"dkim\":[\"a.sim\"]")[0];
  EXPECT_THAT(after, HasSubstr(" s=s2;"));
  const std::vector<std::string> others = SmallEngine::recipients(20, 1);
  test.send("2", "From: us@a.sim\r\nTo: {{to}}\r\n\r\nHello\r\n", others, ",\"merge\":true");
  EXPECT_EQ(test.signatures(), 22u);
}

// What a batch's message was signed by, and when, holds no longer than it may.
TEST(Signing, WhatIsKeptOfOneBatchIsUsedWhileItHolds) {
  Signing test(signs({"a.sim"}));
  test.engine.internet.faults.latency_max_ns = 1'000'000;
  std::string body =
      "{\"batch\":\"1\",\"tenant\":\"t\",\"sender\":\"b@b.sim\",\"message\":{\"raw\":\"" +
      json_of(kMessage) + "\"}}\n";
  const auto add = [&](const std::string& name, const std::string& when) {
    body += "{\"to\":\"" + name + "@d0.sim\",\"not_before\":\"" + when + "\"}\n";
  };
  add("first", "1s");
  add("kept", "30s");
  add("anew", "90s");
  add("other", "120s");
  add("nobody", "150s");
  test.engine.feed_body(body);
  const int64_t begin = test.engine.clock.mono;
  const auto signature = [&](const std::string& name) {
    EXPECT_TRUE(
        test.engine.run_until([&] { return test.engine.taken(name + "@d0.sim"); }, 600 * kSecond));
    const std::string& got = test.engine.internet.ledger[name + "@d0.sim"].back().content;
    const size_t at = got.find("DKIM-Signature:");
    return at == std::string::npos ? "" : got.substr(at, got.find("\r\nReceived", at) - at);
  };
  const auto reload = [&](const std::vector<std::string>& names) {
    EngineSettings settings = test.engine.settings;
    settings.dkim = identities(names);
    test.engine.core().reload(settings);
  };
  const std::string first = signature("first");
  EXPECT_THAT(first, HasSubstr(" s=s1;"));
  EXPECT_EQ(signature("kept"), first);
  const std::string anew = signature("anew");
  EXPECT_NE(anew, first);
  EXPECT_THAT(anew, HasSubstr(" s=s1;"));
  EXPECT_EQ(test.signatures(), 2u);
  reload({"other.sim", "a.sim"});
  EXPECT_THAT(signature("other"), HasSubstr(" s=s2;"));
  reload({"other.sim"});
  EXPECT_EQ(signature("nobody"), "");
  EXPECT_GT(test.engine.clock.mono - begin, 149 * kSecond);
}

TEST(Signing, AnIdentityThatIsGoneIsWaitedFor) {
  Signing test(signs({"a.sim"}));
  test.engine.internet.faults.connect_refused = 1;
  EngineSettings settings = test.engine.settings;
  test.engine.feed_body(
      "{\"batch\":\"1\",\"tenant\":\"t\",\"sender\":\"b@b.sim\",\"dkim\":[\"a.sim\"],\"message\":{"
      "\"raw\":\"" +
      json_of(kMessage) + "\"}}\n{\"to\":\"1@d0.sim\"}\n");
  settings.dkim = nullptr;
  test.engine.core().reload(settings);
  test.engine.internet.faults.connect_refused = 0;
  EXPECT_FALSE(
      test.engine.run_until([&] { return test.engine.taken("1@d0.sim"); }, 1800 * kSecond));
  const queue::Tally& tally = test.engine.batch("1").tally;
  EXPECT_EQ(tally.failed, 0u);
  EXPECT_EQ(tally.deferred_now, 1u);
  settings.dkim = identities({"a.sim"});
  test.engine.core().reload(settings);
  EXPECT_TRUE(
      test.engine.run_until([&] { return test.engine.taken("1@d0.sim"); }, 86400 * kSecond));
  EXPECT_THAT(domains_of(test.engine.internet.ledger["1@d0.sim"].back().content),
              ElementsAre("a.sim"));
}

// A turn makes a few signatures and no more, whatever stands ready.
TEST(Signing, ATurnMakesFew) {
  Signing test([](EngineSettings& settings, Faults& faults) {
    signs({"a.sim"})(settings, faults);
    faults.latency_min_ns = 1'000'000;  // all at the same time
    faults.latency_max_ns = 1;
  });
  std::vector<std::string> to;
  for (unsigned domain = 0; domain < 40; ++domain) {
    for (const std::string& one : SmallEngine::recipients(20, domain)) to.push_back(one);
  }
  uint64_t before = 0, most = 0;
  std::string body =
      "{\"batch\":\"1\",\"tenant\":\"t\",\"sender\":\"b@b.sim\",\"merge\":true,\"message\":{"
      "\"raw\":\"" +
      json_of("From: us@a.sim\r\nTo: {{to}}\r\n\r\nHello\r\n") + "\"}}\n";
  for (const std::string& address : to) body += "{\"to\":\"" + address + "\"}\n";
  test.engine.feed_body(body);
  EXPECT_TRUE(test.engine.run_until(
      [&] {
        most = std::max(most, test.signatures() - before);
        before = test.signatures();
        return std::all_of(to.begin(), to.end(),
                           [&](const std::string& one) { return test.engine.taken(one); });
      },
      3600 * kSecond));
  EXPECT_EQ(before, to.size());
  EXPECT_GE(most, 10u) << "the world is too slow to show it";
  EXPECT_LE(most, 2000u / 60 + 1);
}

// Sessions whose lanes wait for a turn to sign in are not idle, and others are not held up.
TEST(Signing, WhoWaitsForHisSignatureKeepsHisSession) {
  Signing test([](EngineSettings& settings, Faults& faults) {
    signs({"a.sim"})(settings, faults);
    faults.latency_min_ns = 1'000'000;  // all at the same time
    faults.latency_max_ns = 1;
    settings.idle_close_ns = 1;
  });
  std::vector<std::string> to;
  for (unsigned domain = 0; domain < 200; ++domain)
    to.push_back("r@d" + std::to_string(domain) + ".sim");
  test.send("1", "From: us@a.sim\r\nTo: {{to}}\r\n\r\nHello\r\n", to, ",\"merge\":true");
  EXPECT_EQ(test.engine.internet.connections, to.size());
}

}  // namespace
}  // namespace veredus::sim
