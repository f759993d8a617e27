// The resolver and the router over it, against a real name server.

#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dns/answer.h"
#include "dns/ares_resolver.h"
#include "dns/router.h"
#include "tests/dns/poll_host.h"

namespace veredus::dns {
namespace {

using ::testing::ElementsAre;
using testing::PollHost;
using ::testing::SizeIs;

constexpr int kManyMx = 200;

// A port that is free for UDP and for TCP just now.
int free_port() {
  for (int attempt = 0; attempt < 50; ++attempt) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = bind(udp, generic, size) == 0 && getsockname(udp, generic, &size) == 0;
    good = good && bind(tcp, generic, size) == 0;
    close(udp);
    close(tcp);
    if (good) return ntohs(address.sin_port);
  }
  return 0;
}

std::string many_host(int i) {
  return "a-rather-long-name-of-a-mail-host-" + std::to_string(i) + ".many.test";
}

std::vector<std::string> zone() {
  std::vector<std::string> arguments = {
      "--local=/test/",
      "--mx-host=mail.test,mx2.mail.test,20",
      "--mx-host=mail.test,mx1.mail.test,10",
      "--host-record=mx1.mail.test,192.0.2.1,2001:db8::1",
      "--host-record=mx2.mail.test,192.0.2.2",
      "--host-record=plain.test,192.0.2.3",
      "--cname=alias.test,plain.test",
      "--txt-record=text.test,hello there",
      "--dns-rr=_25._tcp.mx1.mail.test,52,030101abcdef",
      "--dns-rr=null.test,15,000000",
      "--txt-record=empty.test,x",
  };
  for (int i = 0; i < kManyMx; ++i) {
    arguments.push_back("--mx-host=many.test," + many_host(i) + ',' + std::to_string(i));
  }
  return arguments;
}

struct Asker final : Query {
  void on_answer(QueryStatus answer_status, std::span<const uint8_t> bytes) override {
    ++calls;
    status = answer_status;
    raw.assign(bytes.begin(), bytes.end());
  }
  int calls = 0;
  QueryStatus status{};
  std::vector<uint8_t> raw;
};

struct RouteWaiter final : RouteHandler {
  void on_route(const Route& route) override {
    ++calls;
    last = route;
  }
  int calls = 0;
  Route last;
};

class DnsmasqTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    signal(SIGPIPE, SIG_IGN);
    for (int attempt = 0; attempt < 5 && pid == 0; ++attempt) start();
    ASSERT_NE(pid, 0) << "dnsmasq (package dnsmasq-base) does not start";
  }
  static void TearDownTestSuite() {
    if (pid == 0) return;
    kill(pid, SIGTERM);
    waitpid(pid, nullptr, 0);
    pid = 0;
  }

  // Starts dnsmasq and waits until it answers; leaves pid 0 if it ends instead.
  static void start() {
    server = "127.0.0.1:" + std::to_string(free_port());
    std::vector<std::string> arguments = {"/usr/sbin/dnsmasq",
                                          "--keep-in-foreground",
                                          "--conf-file=/dev/null",
                                          "--no-resolv",
                                          "--no-hosts",
                                          "--pid-file=",
                                          "--bind-interfaces",
                                          "--listen-address=127.0.0.1",
                                          "--local-ttl=120",
                                          "--log-facility=-",
                                          "--port=" + server.substr(server.find(':') + 1)};
    if (getuid() == 0) arguments.push_back("--user=root");
    for (std::string& argument : zone()) arguments.push_back(std::move(argument));
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int null = open("/dev/null", O_RDWR);
      dup2(null, 1);
      dup2(null, 2);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    for (int i = 0; i < 200; ++i) {
      if (waitpid(pid, nullptr, WNOHANG) == pid) {
        pid = 0;
        return;
      }
      PollHost probe_host;
      AresResolver::Settings settings;
      settings.servers = {server};
      settings.timeout_ms = 200;
      settings.tries = 1;
      auto probe = AresResolver::create(settings, probe_host);
      Asker asker;
      (*probe)->query("plain.test", RecordType::a, asker);
      probe_host.run(**probe, [&] { return asker.calls > 0; });
      if (asker.status == QueryStatus::answered) return;
      usleep(20'000);
    }
  }

  void SetUp() override {
    ASSERT_NE(pid, 0);
    AresResolver::Settings settings;
    settings.servers = {server};
    auto made = AresResolver::create(settings, host);
    ASSERT_TRUE(made.ok()) << made.status();
    resolver = *std::move(made);
    router =
        std::make_unique<Router>(*resolver, RouterSettings{}, [this] { return host.mono_ns(); });
  }

  Answer ask(std::string_view name, RecordType type) {
    Asker asker;
    resolver->query(name, type, asker);
    host.run(*resolver, [&] { return asker.calls > 0; });
    EXPECT_EQ(asker.status, QueryStatus::answered) << name;
    raw_size = asker.raw.size();
    Answer answer;
    EXPECT_EQ(parse_answer(asker.raw, name, type, answer), ParseStatus::ok) << name;
    return answer;
  }
  Route route(std::string_view domain) {
    RouteWaiter waiter;
    const Route* known = router->resolve(domain, waiter);
    if (known != nullptr) return *known;
    host.run(*resolver, [&] { return waiter.calls > 0; });
    return waiter.last;
  }

  static inline pid_t pid = 0;
  static inline std::string server;
  PollHost host;
  std::unique_ptr<AresResolver> resolver;
  std::unique_ptr<Router> router;
  size_t raw_size = 0;
};

TEST_F(DnsmasqTest, RecordsOfEveryType) {
  EXPECT_THAT(ask("mail.test", RecordType::mx).mx, SizeIs(2));
  const Answer four = ask("mx1.mail.test", RecordType::a);
  ASSERT_THAT(four.addresses, SizeIs(1));
  EXPECT_EQ(four.addresses[0].to_string(), "192.0.2.1");
  EXPECT_EQ(four.ttl_s, 120u);
  const Answer six = ask("mx1.mail.test", RecordType::aaaa);
  ASSERT_THAT(six.addresses, SizeIs(1));
  EXPECT_EQ(six.addresses[0].to_string(), "2001:db8::1");
  EXPECT_THAT(ask("text.test", RecordType::txt).txt, ElementsAre("hello there"));
  const Answer tlsa = ask("_25._tcp.mx1.mail.test", RecordType::tlsa);
  ASSERT_THAT(tlsa.tlsa, SizeIs(1));
  EXPECT_THAT(tlsa.tlsa[0].data, ElementsAre(0xAB, 0xCD, 0xEF));
  const Answer alias = ask("alias.test", RecordType::a);
  EXPECT_EQ(alias.canonical, "plain.test");
  EXPECT_THAT(alias.addresses, SizeIs(1));
  EXPECT_EQ(ask("alias.test", RecordType::cname).cname, "plain.test");
}

TEST_F(DnsmasqTest, NegativeAndRefused) {
  EXPECT_EQ(ask("nobody.test", RecordType::mx).rcode, kRcodeNameError);
  const Answer nothing = ask("empty.test", RecordType::mx);
  EXPECT_EQ(nothing.rcode, kRcodeNoError);
  EXPECT_FALSE(nothing.has_records());
  EXPECT_EQ(ask("example.org", RecordType::mx).rcode, kRcodeRefused);  // it has no upstream server
}

TEST_F(DnsmasqTest, WhatDoesNotFitIsAskedOverTcp) {
  const Answer answer = ask("many.test", RecordType::mx);
  EXPECT_FALSE(answer.truncated);
  EXPECT_THAT(answer.mx, SizeIs(kManyMx));
  EXPECT_GT(raw_size, 4096u);
}

TEST_F(DnsmasqTest, Routes) {
  const Route mail = route("mail.test");
  EXPECT_EQ(mail.status, RouteStatus::ok);
  EXPECT_THAT(mail.hosts, ElementsAre(MxHost{"mx1.mail.test", 10}, MxHost{"mx2.mail.test", 20}));
  const Route many = route("many.test");
  ASSERT_THAT(many.hosts, SizeIs(20));
  EXPECT_EQ(many.hosts[19].name, many_host(19));
  const Route plain = route("plain.test");
  EXPECT_TRUE(plain.implicit);
  EXPECT_THAT(plain.hosts, ElementsAre(MxHost{"plain.test", 0}));
  const Route alias = route("alias.test");
  EXPECT_TRUE(alias.implicit);
  EXPECT_THAT(alias.hosts, ElementsAre(MxHost{"plain.test", 0}));
  EXPECT_EQ(route("null.test").status, RouteStatus::null_mx);
  EXPECT_EQ(route("nobody.test").status, RouteStatus::no_such_domain);
  EXPECT_EQ(route("empty.test").status, RouteStatus::no_such_domain);
  EXPECT_EQ(route("example.org").status, RouteStatus::temporary);
}

// Many at once through few slots: none is lost, none answered twice or with another's answer.
TEST_F(DnsmasqTest, ThousandsAtOnce) {
  std::vector<Asker> askers(3000);
  for (size_t i = 0; i < askers.size(); ++i) {
    resolver->query("n" + std::to_string(i) + ".test", RecordType::a, askers[i]);
  }
  EXPECT_EQ(resolver->in_flight(), 128u);
  EXPECT_EQ(resolver->waiting(), askers.size() - 128);
  host.run(*resolver, [&] { return resolver->in_flight() == 0 && resolver->waiting() == 0; });
  for (size_t i = 0; i < askers.size(); ++i) {
    ASSERT_EQ(askers[i].calls, 1) << i;
    ASSERT_EQ(askers[i].status, QueryStatus::answered) << i;
    Answer answer;
    ASSERT_EQ(parse_answer(askers[i].raw, "n" + std::to_string(i) + ".test", RecordType::a, answer),
              ParseStatus::ok);
    ASSERT_EQ(answer.rcode, kRcodeNameError);
  }
}

}  // namespace
}  // namespace veredus::dns
