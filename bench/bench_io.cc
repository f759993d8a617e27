#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/io/clock.h"
#include "engine/io/ring.h"
#include "engine/io/ring_network.h"
#include "engine/io/timer_wheel.h"
#include "engine/io/wakeup.h"

// What a message costs below SMTP: a send and the receive of a short answer, through RingNetwork
// against plain epoll and send/recv, over loopback to a peer on another thread. The CPU column is
// this thread's alone; the peer's is not in it (but the kernel charges us some of its TCP work).

namespace veredus::io {
namespace {

int listen_on_loopback(Endpoint& endpoint) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 4096) != 0) {
    std::abort();
  }
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  parse_address("127.0.0.1", endpoint);
  endpoint.port = ntohs(address.sin_port);
  return fd;
}

// Takes messages of a fixed size on any number of connections and answers each with 8 bytes.
class Answerer {
 public:
  explicit Answerer(size_t message_bytes) : message_bytes_(message_bytes) {
    listener_ = listen_on_loopback(endpoint);
    thread_ = std::thread([this] { run(); });
  }
  ~Answerer() {
    ending_ = true;
    thread_.join();
    close(listener_);
  }
  Endpoint endpoint;

 private:
  void run() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener_, &event);
    std::vector<size_t> have;
    std::vector<char> bytes(1 << 20);
    epoll_event ready[256];
    while (!ending_) {
      const int count = epoll_wait(epoll, ready, 256, 20);
      for (int i = 0; i < count; ++i) {
        const int fd = ready[i].data.fd;
        if (fd == listener_) {
          const int got = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (got < 0) continue;
          const int on = 1;
          setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          have.resize(std::max<size_t>(have.size(), static_cast<size_t>(got) + 1));
          have[static_cast<size_t>(got)] = 0;
          event.data.fd = got;
          epoll_ctl(epoll, EPOLL_CTL_ADD, got, &event);
          continue;
        }
        const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
          close(fd);
          continue;
        }
        size_t& sum = have[static_cast<size_t>(fd)];
        sum += static_cast<size_t>(std::max<ssize_t>(got, 0));
        for (; sum >= message_bytes_; sum -= message_bytes_) {
          if (send(fd, "250 ok\r\n", 8, MSG_NOSIGNAL) != 8) break;
        }
      }
    }
    close(epoll);
  }

  const size_t message_bytes_;
  int listener_ = -1;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

struct Client final : SocketEvents {
  void start() { network->send(socket, pieces); }
  void on_connected(int error) override {
    if (error != 0) std::abort();
    start();
  }
  void on_received(std::string_view bytes) override {
    answered += bytes.size();
    if (answered < 8) return;
    answered -= 8;
    ++*done;
    start();  // the answer can only come after the whole message has gone
  }
  void on_ended(int) override {}
  void on_sent(int) override {}
  void on_closed() override {}
  RingNetwork* network = nullptr;
  Socket socket = kNoSocket;
  std::vector<iovec> pieces;
  size_t answered = 0;
  uint64_t* done = nullptr;
};

// Arguments: connections, bytes of a message, pieces of its vector.
void through_the_ring(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(1));
  const auto pieces = static_cast<size_t>(state.range(2));
  Answerer answerer(bytes);
  auto ring = Ring::create();
  auto network = RingNetwork::create(**ring);
  const std::string message(bytes, 'm');
  uint64_t done = 0;
  std::vector<Client> clients(static_cast<size_t>(state.range(0)));
  for (Client& client : clients) {
    client.network = network->get();
    client.done = &done;
    for (size_t i = 0; i < pieces; ++i) {
      char* begin = const_cast<char*>(message.data()) + bytes * i / pieces;
      client.pieces.push_back({begin, bytes * (i + 1) / pieces - bytes * i / pieces});
    }
    client.socket = (*network)->connect(answerer.endpoint, {}, client);
  }
  const auto turn = [&] {
    (*ring)->submit_and_wait(1'000'000'000);
    (*ring)->collect();
    (*ring)->run_collected();
  };
  while (done < clients.size() * 10) turn();
  const uint64_t before = done;
  const uint64_t enters = (*ring)->counters().enters;
  uint64_t target = done;
  for (auto _ : state) {
    ++target;
    while (done < target) turn();
  }
  state.SetItemsProcessed(static_cast<int64_t>(done - before));
  state.counters["enters/msg"] =
      static_cast<double>((*ring)->counters().enters - enters) / static_cast<double>(done - before);
}
BENCHMARK(through_the_ring)
    ->ArgNames({"connections", "bytes", "pieces"})
    ->Args({1, 2048, 1})
    ->Args({100, 2048, 1})
    ->Args({100, 2048, 5})
    ->Args({1000, 2048, 1})
    ->Args({100, 102400, 1})
    ->UseRealTime();

void through_epoll(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(1));
  Answerer answerer(bytes);
  const std::string message(bytes, 'm');
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> sockets;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(answerer.endpoint.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int64_t i = 0; i < state.range(0); ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    sockets.push_back(fd);
    if (send(fd, message.data(), bytes, MSG_NOSIGNAL) < 0) std::abort();
  }
  uint64_t done = 0;
  const auto turn = [&] {
    epoll_event ready[256];
    const int count = epoll_wait(epoll, ready, 256, 1000);
    for (int i = 0; i < count; ++i) {
      char answer[64];
      if (recv(ready[i].data.fd, answer, sizeof answer, 0) < 8) continue;
      ++done;
      if (send(ready[i].data.fd, message.data(), bytes, MSG_NOSIGNAL) < 0) std::abort();
    }
  };
  while (done < sockets.size() * 10) turn();
  const uint64_t before = done;
  uint64_t target = done;
  for (auto _ : state) {
    ++target;
    while (done < target) turn();
  }
  state.SetItemsProcessed(static_cast<int64_t>(done - before));
  for (int fd : sockets) close(fd);
  close(epoll);
}
BENCHMARK(through_epoll)
    ->ArgNames({"connections", "bytes"})
    ->Args({1, 2048})
    ->Args({100, 2048})
    ->Args({1000, 2048})
    ->Args({100, 102400})
    ->UseRealTime();

// An awake shard is told of work: what every producer pays for each notice.
void wake_the_awake(benchmark::State& state) {
  auto ring = Ring::create();
  EventWake wake;
  if (!wake.arm(**ring).ok()) std::abort();
  for (auto _ : state) wake.wake();
}
BENCHMARK(wake_the_awake);

struct Alarm final : Timer {
  void on_timer() override {}
};

// A session's time-out is moved with every reply and hardly ever fires.
void arm_again(benchmark::State& state) {
  TimerWheel wheel(0);
  std::vector<Alarm> alarms(static_cast<size_t>(state.range(0)));
  int64_t now = 0;
  size_t at = 0;
  for (auto _ : state) {
    wheel.arm(alarms[at], now + int64_t{300} * 1'000'000'000);
    if (++at == alarms.size()) at = 0;
    if ((++now & 255) == 0) wheel.advance(now += 1'000'000, 1000);
  }
}
BENCHMARK(arm_again)->Arg(100)->Arg(10000);

}  // namespace
}  // namespace veredus::io

BENCHMARK_MAIN();
