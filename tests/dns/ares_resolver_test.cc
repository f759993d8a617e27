#include "dns/ares_resolver.h"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>

#include "dns/answer.h"
#include "tests/dns/message.h"
#include "tests/dns/poll_host.h"
#include "tests/dns/stub_server.h"

namespace veredus::dns {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Message;
using testing::PollHost;
using ::testing::SizeIs;
using testing::StubServer;

struct Asker final : Query {
  void on_answer(QueryStatus answer_status, std::span<const uint8_t> bytes) override {
    ++calls;
    status = answer_status;
    raw.assign(bytes.begin(), bytes.end());
    if (then) then();
  }
  int calls = 0;
  QueryStatus status{};
  Bytes raw;
  std::function<void()> then;
};

class AresResolverTest : public ::testing::Test {
 protected:
  void make(AresResolver::Settings settings) {
    auto made = AresResolver::create(settings, host);
    ASSERT_TRUE(made.ok()) << made.status();
    resolver = *std::move(made);
  }
  static AresResolver::Settings quick(std::vector<std::string> servers) {
    AresResolver::Settings settings;
    settings.servers = std::move(servers);
    settings.timeout_ms = 100;
    settings.tries = 2;
    return settings;
  }
  void ask(Asker& asker, std::string_view name = "example.org", RecordType type = RecordType::mx) {
    resolver->query(name, type, asker);
    EXPECT_EQ(asker.calls, 0) << "answered from inside query()";
    host.run(*resolver, [&] { return asker.calls > 0; });
    EXPECT_EQ(asker.calls, 1);
  }
  static StubServer::Reply with_code(unsigned code) {
    return [code](const Bytes& query) {
      return std::vector<Bytes>{
          StubServer::to(query, Message("example.org", RecordType::mx, code))};
    };
  }
  static Message one_mx() {
    return Message("example.org", RecordType::mx).mx("example.org", 60, 1, "mx.example.org");
  }
  static std::vector<Bytes> silence(const Bytes&) { return {}; }

  PollHost host;
  std::unique_ptr<AresResolver> resolver;
};

TEST_F(AresResolverTest, ServfailOfTheOnlyServerIsTheAnswerAtOnce) {
  StubServer server(host, with_code(2));
  make(quick({server.name}));
  Asker asker;
  ask(asker);
  ASSERT_EQ(asker.status, QueryStatus::answered);
  EXPECT_EQ(asker.raw[3] & 15, 2);
  EXPECT_THAT(server.queries, SizeIs(1));
}

TEST_F(AresResolverTest, RefusedByTheOnlyServer) {
  StubServer server(host, with_code(5));
  make(quick({server.name}));
  Asker asker;
  ask(asker);
  ASSERT_EQ(asker.status, QueryStatus::answered);
  EXPECT_EQ(asker.raw[3] & 15, 5);
}

TEST_F(AresResolverTest, NextServerWhenOneFails) {
  StubServer bad(host, with_code(2));
  StubServer good(
      host, [](const Bytes& query) { return std::vector<Bytes>{StubServer::to(query, one_mx())}; });
  make(quick({bad.name, good.name}));
  Asker asker;
  ask(asker);
  Answer answer;
  ASSERT_EQ(asker.status, QueryStatus::answered);
  ASSERT_EQ(parse_answer(asker.raw, "example.org", RecordType::mx, answer), ParseStatus::ok);
  EXPECT_THAT(answer.mx, SizeIs(1));
  EXPECT_THAT(bad.queries, SizeIs(1));
}

TEST_F(AresResolverTest, AllServersFail) {
  for (unsigned code : {2u, 4u, 5u}) {
    StubServer one(host, with_code(code)), two(host, with_code(code));
    make(quick({one.name, two.name}));
    Asker asker;
    ask(asker);
    EXPECT_EQ(asker.status, QueryStatus::unreachable);
    EXPECT_EQ(one.queries.size(), 1u);
    EXPECT_EQ(two.queries.size(), 1u);
    resolver.reset();
  }
}

TEST_F(AresResolverTest, SilentServerTimesOut) {
  StubServer server(host, silence);
  make(quick({server.name}));
  Asker asker;
  const int64_t begin = host.mono_ns();
  ask(asker);
  const int64_t milliseconds = (host.mono_ns() - begin) / 1'000'000;
  EXPECT_EQ(asker.status, QueryStatus::timed_out);
  EXPECT_THAT(asker.raw, SizeIs(0));
  EXPECT_THAT(server.queries, SizeIs(2));  // tries
  EXPECT_GE(milliseconds, 150);
  EXPECT_LE(milliseconds, 3000);
  EXPECT_LE(host.timers, 6);  // not by polling
  EXPECT_EQ(resolver->in_flight(), 0u);
}

TEST_F(AresResolverTest, LostPacketIsAskedAgain) {
  int count = 0;
  StubServer server(host, [&](const Bytes& query) {
    return ++count == 1 ? std::vector<Bytes>{}
                        : std::vector<Bytes>{StubServer::to(query, one_mx())};
  });
  make(quick({server.name}));
  Asker asker;
  ask(asker);
  ASSERT_EQ(asker.status, QueryStatus::answered);
}

TEST_F(AresResolverTest, NobodyAtThePort) {
  std::string name;
  {
    StubServer gone(host, silence);
    name = gone.name;
  }
  make(quick({name}));
  Asker asker;
  ask(asker);
  EXPECT_EQ(asker.status, QueryStatus::unreachable);
}

TEST_F(AresResolverTest, WhatAQueryLooksLike) {
  StubServer server(host, with_code(0));
  make(quick({server.name}));
  Asker asker;
  std::set<int> ids;
  for (int i = 0; i < 100; ++i) {
    asker.calls = 0;
    ask(asker);
    const Bytes& query = server.queries.back();
    ids.insert(query[0] << 8 | query[1]);
    Name name;
    uint16_t type = 0;
    ASSERT_TRUE(parse_question(query, name, type));
    EXPECT_EQ(name.view(), "example.org");
    EXPECT_EQ(type, 15);
    EXPECT_EQ(query[2], 0x01);  // recursion desired
    EXPECT_EQ(query[3], 0x20);  // AD: tell us whether it is validated
    ASSERT_GE(query.size(), 40u);
    EXPECT_EQ(query[11], 1);  // one additional record: OPT, 1232 bytes
    const size_t opt = query.size() - 11;
    EXPECT_EQ(query[opt + 2], 41);
    EXPECT_EQ(query[opt + 3] << 8 | query[opt + 4], 1232);
  }
  EXPECT_GT(ids.size(), 90u);  // unforeseeable; a few may meet by chance
}

TEST_F(AresResolverTest, ServerWithoutEdns) {
  StubServer server(host, [](const Bytes& query) {
    const bool edns = query[11] != 0;
    return std::vector<Bytes>{
        StubServer::to(query, edns ? Message("example.org", RecordType::mx, 1) : one_mx())};
  });
  make(quick({server.name}));
  for (int i = 0; i < 3; ++i) {
    Asker asker;
    ask(asker);
    Answer answer;
    ASSERT_EQ(parse_answer(asker.raw, "example.org", RecordType::mx, answer), ParseStatus::ok);
    EXPECT_THAT(answer.mx, SizeIs(1));
  }
}

TEST_F(AresResolverTest, ForgedAnswersAreNotTaken) {
  StubServer server(host, [](const Bytes& query) {
    Bytes wrong_id = StubServer::to(query, Message("example.org", RecordType::mx, 3));
    wrong_id[0] ^= 1;
    const Bytes wrong_question = StubServer::to(query, Message("example.net", RecordType::mx, 3));
    return std::vector<Bytes>{wrong_id, wrong_question, {1, 2, 3}, StubServer::to(query, one_mx())};
  });
  make(quick({server.name}));
  Asker asker;
  ask(asker);
  ASSERT_EQ(asker.status, QueryStatus::answered);
  EXPECT_EQ(asker.raw[3] & 15, 0);
}

TEST_F(AresResolverTest, AuthenticDataOfLoopbackCounts) {
  StubServer server(host, [](const Bytes& query) {
    return std::vector<Bytes>{StubServer::to(query, one_mx().authentic())};
  });
  make(quick({server.name}));
  Asker asker;
  ask(asker);
  ASSERT_EQ(asker.status, QueryStatus::answered);
  EXPECT_EQ(asker.raw[3] & 0x20, 0x20);
}

// An address of this machine that is not 127.x; traffic to it stays on the loopback interface all
// the same.
std::string other_own_address() {
  std::string result;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return result;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text,
              sizeof text);
    if (std::string_view(text).substr(0, 4) != "127.") result = text;
  }
  freeifaddrs(all);
  return result;
}

TEST_F(AresResolverTest, AuthenticDataOfOthersCountsOnlyWhenTrusted) {
  const std::string ip = other_own_address();
  if (ip.empty()) GTEST_SKIP() << "this machine has only loopback addresses";
  StubServer server(
      host,
      [](const Bytes& query) {
        return std::vector<Bytes>{StubServer::to(query, one_mx().authentic())};
      },
      ip);
  for (bool trust : {false, true}) {
    AresResolver::Settings settings = quick({server.name});
    settings.trust_ad = trust;
    make(settings);
    Asker asker;
    ask(asker);
    ASSERT_EQ(asker.status, QueryStatus::answered);
    EXPECT_EQ((asker.raw[3] & 0x20) != 0, trust);
    resolver.reset();
  }
}

TEST_F(AresResolverTest, BoundsWaitingFirstInFirstOut) {
  StubServer server(host, silence);
  AresResolver::Settings settings = quick({server.name});
  settings.timeout_ms = 5000;
  settings.max_in_flight = 3;
  settings.max_waiting = 4;
  make(settings);
  std::vector<Asker> askers(10);
  for (size_t i = 0; i < askers.size(); ++i) {
    resolver->query("n" + std::to_string(i) + ".org", RecordType::mx, askers[i]);
    EXPECT_EQ(askers[i].calls, 0);
  }
  EXPECT_EQ(resolver->in_flight(), 3u);
  EXPECT_EQ(resolver->waiting(), 4u);
  host.run(*resolver, [&] { return askers[9].calls > 0; });
  for (size_t i = 0; i < askers.size(); ++i) {
    EXPECT_EQ(askers[i].calls, i >= 7 ? 1 : 0) << i;
    if (i >= 7) {
      EXPECT_EQ(askers[i].status, QueryStatus::refused);
    }
  }
  for (size_t i = 0; i < 7; ++i) {
    host.run(*resolver, [&] { return server.queries.size() > i; });
    EXPECT_EQ(server.asked(i), "n" + std::to_string(i) + ".org");
    server.send(i, Message(server.asked(i), RecordType::mx, 3));
    host.run(*resolver, [&] { return askers[i].calls > 0; });
    EXPECT_LE(resolver->in_flight(), 3u);
  }
  EXPECT_EQ(resolver->in_flight(), 0u);
  EXPECT_EQ(resolver->waiting(), 0u);
}

// Asking again when refused must not spin inside one turn.
TEST_F(AresResolverTest, AskingAgainFromTheCall) {
  StubServer server(host, silence);
  AresResolver::Settings settings = quick({server.name});
  settings.max_in_flight = 1;
  settings.max_waiting = 0;
  make(settings);
  Asker first, second;
  resolver->query("a.org", RecordType::mx, first);
  second.then = [&] {
    if (second.calls < 5) resolver->query("b.org", RecordType::mx, second);
  };
  resolver->query("b.org", RecordType::mx, second);
  resolver->on_timer();
  EXPECT_EQ(second.calls, 1);
  host.run(*resolver, [&] { return second.calls == 5; });
}

TEST_F(AresResolverTest, CancelledAnywhere) {
  StubServer server(host, silence);
  AresResolver::Settings settings = quick({server.name});
  settings.max_in_flight = 1;
  settings.max_waiting = 2;
  make(settings);
  Asker flying, waiting, refused, kept;
  resolver->query("flying.org", RecordType::mx, flying);
  resolver->query("waiting.org", RecordType::mx, waiting);
  resolver->query("kept.org", RecordType::mx, kept);
  resolver->query("refused.org", RecordType::mx, refused);
  for (Asker* asker : {&flying, &waiting, &refused}) {
    resolver->cancel(*asker);
    resolver->cancel(*asker);
  }
  {
    Asker gone;
    resolver->query("gone.org", RecordType::mx, gone);
  }
  host.run(*resolver, [&] { return server.queries.size() == 1; });
  server.send(0, Message("flying.org", RecordType::mx, 3));
  host.run(*resolver, [&] { return server.queries.size() == 2; });
  EXPECT_EQ(server.asked(1), "kept.org");
  server.send(1, Message("kept.org", RecordType::mx, 3));
  host.run(*resolver, [&] { return kept.calls == 1; });
  EXPECT_EQ(flying.calls + waiting.calls + refused.calls, 0);
  EXPECT_EQ(resolver->in_flight(), 0u);
}

TEST_F(AresResolverTest, DestroyedWithQueriesUnderWay) {
  StubServer server(host, silence);
  AresResolver::Settings settings = quick({server.name});
  settings.max_in_flight = 2;
  make(settings);
  std::vector<Asker> askers(4);
  for (Asker& asker : askers) resolver->query("a.org", RecordType::mx, asker);
  EXPECT_GT(host.watched(), 0u);
  resolver.reset();
  EXPECT_EQ(host.watched(), 0u);
  for (Asker& asker : askers) {
    EXPECT_EQ(asker.calls, 0);
    EXPECT_FALSE(asker.linked());
  }
}

TEST_F(AresResolverTest, SettingsThatCannotBe) {
  struct Row {
    std::function<void(AresResolver::Settings&)> change;
    const char* error;
  };
  const Row rows[] = {
      {[](auto& s) { s.servers = {"localhost"}; }, "dns server localhost: not an address"},
      {[](auto& s) { s.servers = {"127.0.0.1:"}; }, "dns server 127.0.0.1:"},
      {[](auto& s) { s.servers = {"127.0.0.1:0"}; }, "write it like"},
      {[](auto& s) { s.servers = {"127.0.0.1:65536"}; }, "write it like"},
      {[](auto& s) { s.servers = {"127.0.0.1:53x"}; }, "write it like"},
      {[](auto& s) { s.servers = {"[::1"}; }, "write it like"},
      {[](auto& s) { s.servers = {"[::1]53"}; }, "write it like"},
      {[](auto& s) { s.servers = {""}; }, "write it like"},
      {[](auto& s) { s.servers.assign(9, "127.0.0.1"); }, "more than 8"},
      {[](auto& s) { s.timeout_ms = 1; }, "time-out"},
      {[](auto& s) { s.tries = 0; }, "tries"},
      {[](auto& s) { s.max_in_flight = 0; }, "in flight"},
      {[](auto& s) { s.max_in_flight = 257; }, "in flight"},
  };
  for (const Row& row : rows) {
    AresResolver::Settings settings;
    row.change(settings);
    const auto made = AresResolver::create(settings, host);
    ASSERT_FALSE(made.ok()) << row.error;
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(row.error));
  }
  for (const char* server : {"127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353"}) {
    AresResolver::Settings settings;
    settings.servers = {server};
    EXPECT_TRUE(AresResolver::create(settings, host).ok()) << server;
  }
  EXPECT_TRUE(AresResolver::create({}, host).ok());
}

TEST(InFlightShareTest, KeepsTheProcessBelowItsBound) {
  EXPECT_EQ(AresResolver::in_flight_share(1), 128u);
  EXPECT_EQ(AresResolver::in_flight_share(3), 42u);
  EXPECT_EQ(AresResolver::in_flight_share(16), 8u);
  EXPECT_EQ(AresResolver::in_flight_share(64), 8u);
}

}  // namespace
}  // namespace veredus::dns
