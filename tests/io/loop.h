#pragma once

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/io/clock.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"
#include "engine/io/ring_network.h"

namespace veredus::io {

// Turns of a ring, on the test's thread.
struct Loop {
  explicit Loop(const RingSettings& settings = {}) {
    auto made = Ring::create(settings);
    EXPECT_TRUE(made.ok()) << made.status();
    ring = *std::move(made);
  }
  void turn(int64_t timeout_ns = 0) {
    ring->collect();
    ring->run_collected();
    ring->submit_and_wait(timeout_ns);
  }
  // Until `done`, or false after `seconds`.
  bool until(const std::function<bool()>& done, double seconds = 10) {
    SystemClock clock;
    const int64_t end = clock.mono_ns() + static_cast<int64_t>(seconds * 1e9);
    while (!done()) {
      if (clock.mono_ns() > end) return false;
      turn(1'000'000);
    }
    return true;
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn(1'000'000);
  }

  std::unique_ptr<Ring> ring;
};

// A listening socket on 127.0.0.1 and what it accepted; non-blocking, driven by the test.
class Listener {
 public:
  explicit Listener(int receive_buffer = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd_, 4096), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    parse_address("127.0.0.1", endpoint_);
    endpoint_.port = ntohs(address.sin_port);
  }
  ~Listener() {
    for (int each : accepted_) close(each);
    if (fd_ >= 0) close(fd_);
  }
  const Endpoint& endpoint() const { return endpoint_; }
  // The next connection, or -1. Stays this object's to close.
  int accept() {
    const int got = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (got >= 0) accepted_.push_back(got);
    return got;
  }
  int accept_from(Loop& loop) {
    int got = -1;
    EXPECT_TRUE(loop.until([&] { return (got = accept()) >= 0; }));
    return got;
  }
  void forget(int fd) { std::erase(accepted_, fd); }
  void stop() {
    close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
  Endpoint endpoint_;
  std::vector<int> accepted_;
};

// A connection that remembers what it hears, and checks the rules of SocketEvents.
struct Peer final : SocketEvents {
  explicit Peer(RingNetwork& the_network) : network(the_network) {}
  bool dial(const Endpoint& endpoint, const Endpoint& source = {}) {
    calling = true;
    socket = network.connect(endpoint, source, *this);
    calling = false;
    return socket != kNoSocket;
  }
  void send(std::vector<iovec> what) {
    pieces = std::move(what);
    calling = true;
    network.send(socket, pieces);
    calling = false;
  }
  void send(const std::string& text) {
    out = text;
    send(std::vector<iovec>{{out.data(), out.size()}});
  }
  void close(bool abort = false) {
    calling = closing = true;
    network.close(socket, abort);
    calling = false;
  }

  void on_connected(int error) override {
    quiet();
    EXPECT_EQ(connected, -1);
    connected = error;
    if (action) action();
  }
  void on_received(std::string_view bytes) override {
    quiet();
    EXPECT_EQ(connected, 0);
    EXPECT_EQ(ended, -1);
    EXPECT_FALSE(bytes.empty());
    if (keep) in.append(bytes);
    received += bytes.size();
    if (action) action();
  }
  void on_ended(int error) override {
    quiet();
    EXPECT_EQ(ended, -1);
    ended = error;
    if (action) action();
  }
  void on_sent(int error) override {
    quiet();
    sent = error;
    ++sends;
    if (action) action();
  }
  void on_closed() override {
    EXPECT_TRUE(closing);
    EXPECT_FALSE(calling);
    ++closed;
    if (when_closed) when_closed();
  }
  // Nothing is heard from inside a call, or after close().
  void quiet() {
    EXPECT_FALSE(calling);
    EXPECT_FALSE(closing);
  }

  RingNetwork& network;
  Socket socket = kNoSocket;
  std::function<void()> action, when_closed;
  std::vector<iovec> pieces;
  std::string out, in;
  bool keep = true;
  bool calling = false, closing = false;
  int connected = -1, ended = -1, sent = -1;
  int sends = 0, closed = 0;
  uint64_t received = 0;
};

struct NetworkLoop : Loop {
  explicit NetworkLoop(const NetworkSettings& settings = {}, const RingSettings& sizes = {})
      : Loop(sizes) {
    auto made = RingNetwork::create(*ring, settings);
    EXPECT_TRUE(made.ok()) << made.status();
    network = *std::move(made);
  }
  ~NetworkLoop() { EXPECT_EQ(network->open_sockets(), 0u); }
  // A connection that is open at both ends; `other` is the far one.
  std::unique_ptr<Peer> connected(Listener& listener, int& other) {
    auto peer = std::make_unique<Peer>(*network);
    EXPECT_TRUE(peer->dial(listener.endpoint()));
    EXPECT_TRUE(until([&] { return peer->connected >= 0; }));
    EXPECT_EQ(peer->connected, 0);
    other = listener.accept_from(*this);
    return peer;
  }
  bool closed(Peer& peer, bool abort = false) {
    peer.close(abort);
    return until([&] { return peer.closed == 1; });
  }

  std::unique_ptr<RingNetwork> network;
};

inline size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 4096; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace veredus::io
