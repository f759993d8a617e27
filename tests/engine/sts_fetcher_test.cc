// What becomes of policies that cannot be had: each ends, in time, and says why. Those that can are
// fetched in tests/e2e/mta_sts_test.py.

#include "engine/sts_fetcher.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/io/tls_server.h"

namespace veredus {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Listens on loopback; one connection at a time, each handed to `serve`, until it goes.
class Listener {
 public:
  template <class Serve>
  explicit Listener(Serve serve) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 16), 0);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, serve] {
      for (int peer; (peer = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; close(peer))
        serve(peer);
    });
  }
  ~Listener() {
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  uint16_t port() const { return port_; }

 private:
  int socket_;
  uint16_t port_ = 0;
  std::thread thread_;
};

void send_all(int peer, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

// Until the client has gone.
void read_all(int peer) {
  char some[4096];
  while (recv(peer, some, sizeof some, 0) > 0) {
  }
}

class StsFetcherTest : public testing::Test {
 protected:
  StsFetcherTest() : authority_("authority") {
    directory_ = testing::TempDir() + "fetcher-" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directory(directory_);
    authority_.write(directory_ + "/authorities.pem");
    authority_.issue(server_, {"mta-sts.a.org"});
  }
  ~StsFetcherTest() override {
    fetcher_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start(uint16_t port, int64_t limit_ms = 60'000) {
    StsFetcher::Settings settings;
    settings.file = directory_ + "/mta-sts";
    settings.authorities = directory_ + "/authorities.pem";
    settings.port = port;
    settings.limit_ms = limit_ms;
    StsFetcher::Events events;
    events.report = [this](std::string what) { reports_.push_back(std::move(what)); };
    events.fetched = [this](uint16_t, tls::StsFetched fetched) {
      const std::lock_guard lock(mutex_);
      fetched_.push_back(std::move(fetched));
      came_.notify_all();
    };
    fetcher_ = StsFetcher::start(std::move(settings), std::move(events));
    ASSERT_NE(fetcher_, nullptr);
  }
  tls::StsFetched fetch(const std::string& domain = "a.org") {
    fetcher_->fetch(0, {domain, {dns::IpAddress::parse("127.0.0.1").value()}});
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        came_.wait_for(lock, std::chrono::seconds(50), [this] { return !fetched_.empty(); }));
    if (fetched_.empty()) return {};
    tls::StsFetched one = std::move(fetched_.front());
    fetched_.erase(fetched_.begin());
    return one;
  }
  // An HTTPS server that says this to whatever it is asked; then holds the line until the client
  // has gone, or ends it.
  auto says(std::string answer, bool holds) {
    return [this, answer = std::move(answer), holds](int peer) {
      test::TlsServer tls(server_);
      char some[4096];
      bool said = false;
      for (ssize_t got; (got = recv(peer, some, sizeof some, 0)) > 0;) {
        tls.receive({some, static_cast<size_t>(got)});
        if (!said && tls.heard().find("\r\n\r\n") != std::string::npos) {
          said = true;
          tls.say(answer);
          if (!holds) tls.say_goodbye();
        }
        send_all(peer, tls.take());
        if (said && !holds) return;
      }
    };
  }
  static std::string http(const std::string& status, const std::string& body,
                          const std::string& more = "Content-Type: text/plain\r\n") {
    return "HTTP/1.1 " + status + "\r\n" + more + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  static std::string policy(const std::string& more = "") {
    return "version: STSv1\nmode: enforce\nmx: mx.a.org\nmax_age: 86400\n" + more;
  }

  std::string directory_;
  test::TlsServerContext server_;
  test::TlsAuthority authority_;
  std::vector<std::string> reports_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<tls::StsFetched> fetched_;
  std::unique_ptr<StsFetcher> fetcher_;
};

TEST_F(StsFetcherTest, APolicy) {
  Listener listener(says(http("200 OK", policy()), false));
  start(listener.port());
  const tls::StsFetched found = fetch();
  EXPECT_EQ(found.fault, tls::StsFault::none) << found.why;
  EXPECT_EQ(found.domain, "a.org");
  EXPECT_EQ(found.policy.mode, tls::StsMode::enforce);
}

// Whoever says nothing, or not enough, has so long and no longer.
TEST_F(StsFetcherTest, WhoeverIsSlowIsGivenUp) {
  struct Case {
    const char* what;
    std::function<void(int)> serve;
  };
  const Case cases[] = {
      {"says nothing", read_all},
      {"stops in the handshake", [](int peer) { send_all(peer, "\x16\x03\x03"), read_all(peer); }},
      {"does not answer", says("", true)},
      {"stops in the answer", says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nversion", true)},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    Listener listener(each.serve);
    start(listener.port(), 300);
    const tls::StsFetched found = fetch();
    EXPECT_EQ(found.fault, tls::StsFault::fetch_error);
    EXPECT_THAT(found.why, HasSubstr("the MTA-STS policy of a.org: "));
    fetcher_.reset();
  }
}

TEST_F(StsFetcherTest, WhatIsNoPolicy) {
  struct Case {
    const char* what;
    std::string answer;
    tls::StsFault fault;
  };
  const Case cases[] = {
      {"just not too large", http("200 OK", policy(std::string((64 << 10) - policy().size(), ' '))),
       tls::StsFault::none},
      {"too large", http("200 OK", policy(std::string((64 << 10) - policy().size() + 1, ' '))),
       tls::StsFault::fetch_error},
      {"elsewhere", http("302 Found", policy(), "Location: https://127.0.0.1/\r\n"),
       tls::StsFault::fetch_error},
      {"not there", http("404 Not Found", policy()), tls::StsFault::fetch_error},
      {"not for everybody", http("203 Other", policy()), tls::StsFault::fetch_error},
      {"a page", http("200 OK", policy(), "Content-Type: text/html\r\n"),
       tls::StsFault::fetch_error},
      {"of no type", http("200 OK", policy(), ""), tls::StsFault::none},
      {"another version", http("200 OK", "version: STSv2\n"), tls::StsFault::policy_invalid},
      {"nothing", http("200 OK", ""), tls::StsFault::policy_invalid},
      {"no HTTP", "220 mx.a.org ESMTP\r\n", tls::StsFault::fetch_error},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    Listener listener(says(each.answer, false));
    start(listener.port());
    const tls::StsFetched found = fetch();
    EXPECT_EQ(found.fault, each.fault) << found.why;
    fetcher_.reset();
  }
}

TEST_F(StsFetcherTest, WhoeverDoesNotShowThatHeIsTheOne) {
  Listener listener(says(http("200 OK", policy()), false));
  start(listener.port());
  EXPECT_EQ(fetch("b.org").fault, tls::StsFault::webpki_invalid) << "a certificate of another name";
  authority_.issue(server_, {"mta-sts.a.org"}, -60, -30);
  EXPECT_EQ(fetch().fault, tls::StsFault::webpki_invalid) << "one that is over";
  test::TlsAuthority nobody("nobody");
  nobody.issue(server_, {"mta-sts.a.org"});
  EXPECT_EQ(fetch().fault, tls::StsFault::webpki_invalid) << "by nobody";
}

TEST_F(StsFetcherTest, NobodyThere) {
  uint16_t port;
  {
    port = Listener([](int) {}).port();
  }
  start(port);
  EXPECT_EQ(fetch().fault, tls::StsFault::fetch_error);
}

// It can end in the midst of it, and what was to be kept is kept.
TEST_F(StsFetcherTest, EndsWhileItFetches) {
  Listener listener(read_all);
  start(listener.port());
  for (size_t i = 0; i < StsFetcher::kAtOnce + 10; ++i)
    fetcher_->fetch(0, {"a.org", {dns::IpAddress::parse("127.0.0.1").value()}});
  fetcher_->keep({"a.org", "1", 1'700'000'000, {tls::StsMode::enforce, 31'557'600, {{true, "b"}}}});
  fetcher_.reset();
  EXPECT_THAT(reports_, IsEmpty());
  EXPECT_GT(std::filesystem::file_size(directory_ + "/mta-sts"), 1u);
}

}  // namespace
}  // namespace veredus
