#include "engine/io/ares_host.h"

#include <atomic>
#include <cstring>
#include <thread>

#include <poll.h>

#include "tests/io/loop.h"

namespace veredus::io {
namespace {

using Bytes = std::vector<uint8_t>;

// A name server of few words, on a thread: the question comes back as an answer without records.
// Names that begin with "tc" are answered truncated over UDP, whole over TCP; "mute" not at all.
class EchoServer {
 public:
  EchoServer() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    // A port that is free for both.
    for (int tries = 0; tries < 100; ++tries) {
      address.sin_port = 0;
      udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      tcp_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      EXPECT_EQ(bind(udp_, reinterpret_cast<sockaddr*>(&address), size), 0);
      getsockname(udp_, reinterpret_cast<sockaddr*>(&address), &size);
      if (bind(tcp_, reinterpret_cast<sockaddr*>(&address), size) == 0) break;
      close(udp_);
      close(tcp_);
    }
    EXPECT_EQ(listen(tcp_, 64), 0);
    name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { run(); });
  }
  ~EchoServer() {
    ending_ = true;
    thread_.join();
    close(udp_);
    close(tcp_);
    for (int each : streams_) close(each);
  }
  std::string name;
  std::atomic<int> over_tcp{0};

 private:
  static bool answer(Bytes& message, bool stream) {
    if (message.size() < 18) return false;
    if (std::memcmp(message.data() + 13, "mute", 4) == 0) return false;
    message[2] |= 0x80;
    message[3] |= 0x80;
    if (!stream && std::memcmp(message.data() + 13, "tc", 2) == 0) message[2] |= 0x02;
    return true;
  }
  void run() {
    while (!ending_) {
      std::vector<pollfd> waiting{{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}};
      for (int each : streams_) waiting.push_back({each, POLLIN, 0});
      poll(waiting.data(), waiting.size(), 20);
      if (waiting[0].revents) datagram();
      if (waiting[1].revents) streams_.push_back(accept4(tcp_, nullptr, nullptr, SOCK_CLOEXEC));
      for (size_t i = 2; i < waiting.size(); ++i) {
        if (waiting[i].revents) stream(waiting[i].fd);
      }
    }
  }
  void datagram() {
    Bytes message(1500);
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got = recvfrom(udp_, message.data(), message.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    message.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (!answer(message, false)) return;
    sendto(udp_, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
  void stream(int fd) {
    uint8_t length[2];
    if (recv(fd, length, 2, MSG_WAITALL) != 2) {
      std::erase(streams_, fd);
      close(fd);
      return;
    }
    Bytes message(static_cast<size_t>(length[0] * 256 + length[1]));
    if (recv(fd, message.data(), message.size(), MSG_WAITALL) < 0) return;
    ++over_tcp;
    if (!answer(message, true)) return;
    message.insert(message.begin(), length, length + 2);
    // In two parts, so that one readiness does not bring it all.
    send(fd, message.data(), 5, MSG_NOSIGNAL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    send(fd, message.data() + 5, message.size() - 5, MSG_NOSIGNAL);
  }

  int udp_ = -1, tcp_ = -1;
  std::vector<int> streams_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

struct Asker final : dns::Query {
  void on_answer(dns::QueryStatus how, std::span<const uint8_t> raw) override {
    ++calls;
    status = how;
    size = raw.size();
  }
  int calls = 0;
  dns::QueryStatus status{};
  size_t size = 0;
};

struct DnsLoop : NetworkLoop {
  explicit DnsLoop(const std::string& server) {
    dns::AresResolver::Settings settings;
    settings.servers = {server};
    settings.timeout_ms = 200;
    settings.tries = 2;
    auto made = AresHost::create(*ring, timers, clock, settings);
    EXPECT_TRUE(made.ok()) << made.status();
    host = *std::move(made);
  }
  bool run_until(const std::function<bool()>& done) {
    return until([&] {
      timers.advance(clock.mono_ns(), 1000);
      return done();
    });
  }
  SystemClock clock;
  TimerWheel timers;
  std::unique_ptr<AresHost> host;
};

TEST(AresHost, AnswersOverUdpAndTcp) {
  EchoServer server;
  DnsLoop loop(server.name);
  std::vector<Asker> askers(400);
  for (size_t i = 0; i < askers.size(); ++i) {
    const std::string name = (i % 8 == 0 ? "tc" : "ud") + std::to_string(1000 + i) + ".example";
    loop.host->lookups().query(name, dns::RecordType::mx, askers[i]);
    EXPECT_EQ(askers[i].calls, 0);
  }
  ASSERT_TRUE(loop.run_until([&] {
    return std::all_of(askers.begin(), askers.end(), [](auto& each) { return each.calls == 1; });
  }));
  for (const Asker& asker : askers) {
    EXPECT_EQ(asker.status, dns::QueryStatus::answered);
    EXPECT_GT(asker.size, 20u);
  }
  EXPECT_EQ(server.over_tcp, 50);
}

TEST(AresHost, SilenceTimesOut) {
  EchoServer server;
  DnsLoop loop(server.name);
  Asker asker;
  const int64_t begin = loop.clock.mono_ns();
  loop.host->lookups().query("mute.example", dns::RecordType::a, asker);
  ASSERT_TRUE(loop.run_until([&] { return asker.calls == 1; }));
  EXPECT_EQ(asker.status, dns::QueryStatus::timed_out);
  EXPECT_GE(loop.clock.mono_ns() - begin, 400'000'000);
}

// c-ares closes its sockets between questions, and their numbers come back at once as sockets of
// the network, and the other way round: no readiness may reach the wrong one, no descriptor may be
// kept open by a poll that is left behind.
TEST(AresHost, DescriptorNumbersThatComeBack) {
  EchoServer server;
  DnsLoop loop(server.name);
  Listener listener;
  const size_t before = open_descriptors();
  for (int round = 0; round < 200; ++round) {
    Asker asker, mute;
    loop.host->lookups().query("ud123.example", dns::RecordType::a, asker);
    if (round % 3 == 0) loop.host->lookups().query("tc123.example", dns::RecordType::a, mute);
    ASSERT_TRUE(loop.run_until([&] { return asker.calls == 1 && (round % 3 || mute.calls == 1); }));
    ASSERT_EQ(asker.status, dns::QueryStatus::answered);
    Peer peer(*loop.network);
    ASSERT_TRUE(peer.dial(listener.endpoint()));
    const int far = listener.accept_from(loop);
    ASSERT_EQ(write(far, "220\r\n", 5), 5);
    ASSERT_TRUE(loop.run_until([&] { return peer.in == "220\r\n"; }));
    ASSERT_TRUE(loop.closed(peer, true));
    listener.forget(far);
    close(far);
  }
  ASSERT_TRUE(loop.run_until([&] { return loop.host->in_kernel() == loop.host->watched(); }));
  EXPECT_LE(open_descriptors(), before + loop.host->watched() + 1);
}

TEST(AresHost, GoesWithQuestionsOpen) {
  EchoServer server;
  DnsLoop loop(server.name);
  Asker asker;
  loop.host->lookups().query("mute.example", dns::RecordType::a, asker);
  loop.turns(3);
  ASSERT_GT(loop.host->in_kernel(), 0u);
  loop.host.reset();
  EXPECT_TRUE(loop.ring->abandoned());
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
  EXPECT_EQ(asker.calls, 0);
}

}  // namespace
}  // namespace veredus::io
