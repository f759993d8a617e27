#include <cstring>
#include <numeric>

#include <sys/ioctl.h>

#include "tests/io/loop.h"

namespace veredus::io {
namespace {

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 131 + (i >> 8)) & 0xff);
  return text;
}

// Reads what is there; false at the end of the stream.
bool drain(int fd, std::string& into) {
  char bytes[65536];
  while (true) {
    const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) into.append(bytes, static_cast<size_t>(got));
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN;
  }
}

TEST(Network, SocketsAreSmall) {
  EXPECT_LE(RingNetwork::bytes_per_socket(), 200u);
}

TEST(Network, ConnectsSendsReceivesAndCloses) {
  NetworkLoop loop;
  Listener listener;
  const size_t before = open_descriptors();
  int far = -1;
  auto peer = loop.connected(listener, far);
  peer->send("EHLO a\r\n");
  ASSERT_TRUE(loop.until([&] { return peer->sends == 1; }));
  EXPECT_EQ(peer->sent, 0);
  EXPECT_EQ(loop.network->sent_so_far(peer->socket), 8u);
  std::string heard;
  ASSERT_TRUE(loop.until([&] { return drain(far, heard), heard.size() == 8; }));
  EXPECT_EQ(heard, "EHLO a\r\n");
  ASSERT_EQ(write(far, "250 b\r\n", 7), 7);
  ASSERT_TRUE(loop.until([&] { return peer->in == "250 b\r\n"; }));
  ASSERT_TRUE(loop.closed(*peer));
  EXPECT_EQ(loop.network->open_sockets(), 0u);
  EXPECT_FALSE(drain(far, heard));  // an orderly end, not a reset
  listener.forget(far);
  ::close(far);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Network, NoDelayAndSourceAddress) {
  NetworkLoop loop;
  Listener listener;
  Endpoint source;
  ASSERT_TRUE(parse_address("127.0.0.9", source));
  Peer peer(*loop.network);
  ASSERT_TRUE(peer.dial(listener.endpoint(), source));
  const int far = listener.accept_from(loop);
  ASSERT_TRUE(loop.until([&] { return peer.connected == 0; }));
  sockaddr_in from{};
  socklen_t size = sizeof from;
  ASSERT_EQ(getpeername(far, reinterpret_cast<sockaddr*>(&from), &size), 0);
  EXPECT_EQ(ntohl(from.sin_addr.s_addr), 0x7f000009u);
  EXPECT_TRUE(loop.closed(peer));
}

TEST(Network, SourceThatIsNotOursIsAFailedConnect) {
  NetworkLoop loop;
  Listener listener;
  Endpoint source;
  ASSERT_TRUE(parse_address("192.0.2.1", source));
  Peer peer(*loop.network);
  ASSERT_TRUE(peer.dial(listener.endpoint(), source));
  EXPECT_EQ(peer.connected, -1);
  ASSERT_TRUE(loop.until([&] { return peer.connected >= 0; }));
  EXPECT_EQ(peer.connected, EADDRNOTAVAIL);
  EXPECT_TRUE(loop.closed(peer));
}

TEST(Network, RefusedConnect) {
  NetworkLoop loop;
  Listener listener;
  listener.stop();
  Peer peer(*loop.network);
  ASSERT_TRUE(peer.dial(listener.endpoint()));
  ASSERT_TRUE(loop.until([&] { return peer.connected >= 0; }));
  EXPECT_EQ(peer.connected, ECONNREFUSED);
  EXPECT_TRUE(loop.closed(peer));
}

TEST(Network, Ipv6) {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) GTEST_SKIP() << "this host has no IPv6";
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 1) != 0) {
    close(fd);
    GTEST_SKIP() << "this host has no ::1";
  }
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  Endpoint endpoint;
  ASSERT_TRUE(parse_address("::1", endpoint));
  endpoint.port = ntohs(address.sin6_port);
  NetworkLoop loop;
  Peer peer(*loop.network);
  ASSERT_TRUE(peer.dial(endpoint, endpoint.family == 6 ? Endpoint{} : endpoint));
  EXPECT_TRUE(loop.until([&] { return peer.connected == 0; }));
  EXPECT_TRUE(loop.closed(peer));
  close(fd);
}

// A listener whose queue is full answers no SYN: the connect hangs, as at a dead host.
TEST(Network, CloseWhileConnecting) {
  for (bool abort : {false, true}) {
    NetworkLoop loop;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(fd, 0), 0);
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    Endpoint endpoint;
    parse_address("127.0.0.1", endpoint);
    endpoint.port = ntohs(address.sin_port);
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 4; ++i) {
      peers.push_back(std::make_unique<Peer>(*loop.network));
      ASSERT_TRUE(peers.back()->dial(endpoint));
    }
    loop.turns(30);
    EXPECT_EQ(peers.back()->connected, -1);  // it hangs
    const size_t before = open_descriptors();
    for (auto& peer : peers) peer->close(abort);
    EXPECT_TRUE(loop.until([&] { return loop.network->open_sockets() == 0; }, 2));
    for (auto& peer : peers) EXPECT_EQ(peer->closed, 1);
    EXPECT_EQ(open_descriptors(), before - 4);
    close(fd);
  }
}

// Before the kernel has seen anything of it.
TEST(Network, CloseRightAfterConnect) {
  for (bool abort : {false, true}) {
    NetworkLoop loop;
    Listener listener;
    Peer peer(*loop.network);
    ASSERT_TRUE(peer.dial(listener.endpoint()));
    EXPECT_TRUE(loop.closed(peer, abort));
    EXPECT_EQ(peer.connected, -1);
  }
}

TEST(Network, CloseFromInsideEveryNotice) {
  for (bool abort : {false, true}) {
    for (int which = 0; which < 4; ++which) {  // connected, received, ended, sent
      NetworkLoop loop;
      Listener listener;
      Peer peer(*loop.network);
      peer.action = [&] {
        const bool now = which == 0   ? peer.connected == 0
                         : which == 1 ? !peer.in.empty()
                         : which == 2 ? peer.ended == 0
                                      : peer.sends == 1;
        if (now) peer.close(abort);
      };
      ASSERT_TRUE(peer.dial(listener.endpoint()));
      const int far = listener.accept_from(loop);
      loop.turns(3);
      if (which == 1) {
        ASSERT_EQ(write(far, "x", 1), 1);
      }
      if (which == 2) shutdown(far, SHUT_WR);
      if (which == 3) peer.send("x");
      EXPECT_TRUE(loop.until([&] { return peer.closed == 1; })) << which;
    }
  }
}

TEST(Network, AbortResets) {
  NetworkLoop loop;
  Listener listener;
  int far = -1;
  auto peer = loop.connected(listener, far);
  ASSERT_TRUE(loop.closed(*peer, true));
  char byte;
  EXPECT_EQ(recv(far, &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST(Network, PeerClosesAndPeerResets) {
  NetworkLoop loop;
  Listener listener;
  int far = -1;
  auto first = loop.connected(listener, far);
  ASSERT_EQ(write(far, "221 bye\r\n", 9), 9);
  shutdown(far, SHUT_WR);
  ASSERT_TRUE(loop.until([&] { return first->ended >= 0; }));
  EXPECT_EQ(first->ended, 0);
  EXPECT_EQ(first->in, "221 bye\r\n");
  first->send("still writable");  // only their half is closed
  ASSERT_TRUE(loop.until([&] { return first->sends == 1; }));
  EXPECT_EQ(first->sent, 0);
  EXPECT_TRUE(loop.closed(*first));  // nothing is in the kernel: still not from inside the call

  auto second = loop.connected(listener, far);
  const linger now{1, 0};
  setsockopt(far, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  listener.forget(far);
  ::close(far);
  ASSERT_TRUE(loop.until([&] { return second->ended >= 0; }));
  EXPECT_EQ(second->ended, ECONNRESET);
  EXPECT_TRUE(loop.closed(*second));
}

TEST(Network, EmptySend) {
  NetworkLoop loop;
  Listener listener;
  int far = -1;
  auto peer = loop.connected(listener, far);
  peer->send(std::vector<iovec>{});
  EXPECT_EQ(peer->sends, 0);
  ASSERT_TRUE(loop.until([&] { return peer->sends == 1; }));
  EXPECT_EQ(peer->sent, 0);
  EXPECT_TRUE(loop.closed(*peer));
}

// Vectors of all shapes, over blocks of odd sizes: every byte once and in order.
TEST(Network, VectorsOfAllShapes) {
  for (uint32_t block : {1u, 7u, 1000u, 65536u, 262144u}) {
    NetworkSettings settings;
    settings.send_block_bytes = block;
    NetworkLoop loop(settings);
    Listener listener;
    int far = -1;
    auto peer = loop.connected(listener, far);
    const std::string text = pattern(block < 1000 ? 3000 : 700'000);
    Random random(block);
    std::vector<iovec> pieces;
    for (size_t at = 0; at < text.size();) {
      if (random.below(5) == 0) pieces.push_back({nullptr, 0});
      const size_t most = random.below(20) == 0 ? 100'000 : 400;
      const size_t bytes = std::min(text.size() - at, 1 + random.below(most));
      pieces.push_back({const_cast<char*>(text.data()) + at, bytes});
      at += bytes;
    }
    pieces.push_back({nullptr, 0});
    peer->send(pieces);
    std::string heard;
    ASSERT_TRUE(loop.until([&] { return drain(far, heard), heard.size() >= text.size(); }));
    EXPECT_TRUE(heard == text) << block;
    ASSERT_TRUE(loop.until([&] { return peer->sends == 1; }));
    EXPECT_EQ(peer->sent, 0);
    EXPECT_EQ(loop.network->sent_so_far(peer->socket), text.size());
    EXPECT_TRUE(loop.closed(*peer));
  }
}

// Progress can be seen while one block is under way, and never more of it than was sent.
TEST(Network, BigSendAgainstASlowReader) {
  NetworkLoop loop;
  Listener listener(4096);
  int far = -1;
  auto peer = loop.connected(listener, far);
  const std::string text = pattern(3 << 20);
  for (int round = 0; round < 2; ++round) {
    peer->send(std::vector<iovec>{{const_cast<char*>(text.data()), text.size()}});
    std::string heard;
    uint64_t last = 0;
    int steps = 0;
    std::string bytes(128 * 1024, '\0');
    while (heard.size() < text.size()) {
      loop.turns(1);
      const ssize_t got = recv(far, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0) heard.append(bytes.data(), static_cast<size_t>(got));
      const uint64_t now = loop.network->sent_so_far(peer->socket);
      ASSERT_GE(now, last);
      ASSERT_LE(now, text.size());
      steps += now > last;
      last = now;
      ASSERT_TRUE(got > 0 || errno == EAGAIN);
    }
    EXPECT_GT(steps, 8);
    EXPECT_TRUE(heard == text);
    ASSERT_TRUE(loop.until([&] { return peer->sends == round + 1; }));
    EXPECT_EQ(peer->sent, 0);
  }
  EXPECT_TRUE(loop.closed(*peer));
}

// While a peer reads nothing at all, sent_so_far() stands still; when it reads a little, it moves,
// though the block under way does not end.
TEST(Network, ProgressWithinABlockIsSeen) {
  NetworkSettings settings;
  settings.send_block_bytes = 64 << 20;
  NetworkLoop loop(settings);
  Listener listener(4096);
  int far = -1;
  auto peer = loop.connected(listener, far);
  const std::string text = pattern(16 << 20);
  peer->send(std::vector<iovec>{{const_cast<char*>(text.data()), text.size()}});
  loop.turns(50);
  const uint64_t stuck = loop.network->sent_so_far(peer->socket);
  loop.turns(50);
  EXPECT_EQ(loop.network->sent_so_far(peer->socket), stuck);
  EXPECT_LT(stuck, text.size() / 2);
  std::string bytes(64 * 1024, '\0');
  for (int i = 0; i < 20; ++i) {
    loop.turns(5);
    ASSERT_TRUE(recv(far, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0 || errno == EAGAIN);
  }
  loop.turns(20);
  EXPECT_GT(loop.network->sent_so_far(peer->socket), stuck);
  EXPECT_EQ(peer->sends, 0);
  EXPECT_TRUE(loop.closed(*peer));  // with the send in the kernel
  EXPECT_EQ(peer->sends, 0);
}

TEST(Network, PeerResetsInTheMiddleOfASend) {
  NetworkLoop loop;
  Listener listener(4096);
  int far = -1;
  auto peer = loop.connected(listener, far);
  const std::string text = pattern(16 << 20);
  peer->send(std::vector<iovec>{{const_cast<char*>(text.data()), text.size()}});
  loop.turns(20);
  ASSERT_EQ(peer->sends, 0);
  const linger now{1, 0};
  setsockopt(far, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  listener.forget(far);
  ::close(far);
  ASSERT_TRUE(loop.until([&] { return peer->sends == 1 && peer->ended >= 0; }));
  EXPECT_TRUE(peer->sent == ECONNRESET || peer->sent == EPIPE) << peer->sent;
  EXPECT_TRUE(loop.closed(*peer));
}

TEST(Network, CloseInTheMiddleOfASend) {
  for (bool abort : {false, true}) {
    NetworkLoop loop;
    Listener listener(4096);
    int far = -1;
    auto peer = loop.connected(listener, far);
    auto text = std::make_unique<std::string>(pattern(16 << 20));
    peer->when_closed = [&] { text.reset(); };  // the kernel has let go of it by now
    peer->send(std::vector<iovec>{{text->data(), text->size()}});
    loop.turns(10);
    EXPECT_TRUE(loop.closed(*peer, abort));
    EXPECT_EQ(text, nullptr);
    loop.turns(5);
  }
}

// The slot of a closed socket is used again, under another name.
TEST(Network, HandlesDoNotRepeatAtOnce) {
  NetworkLoop loop;
  Listener listener;
  std::vector<Socket> seen;
  for (int i = 0; i < 50; ++i) {
    int far = -1;
    auto peer = loop.connected(listener, far);
    seen.push_back(peer->socket);
    ASSERT_TRUE(loop.closed(*peer, true));
  }
  EXPECT_EQ(loop.network->counters().send_blocks, 1u);  // used again, too
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST(Network, TheNextConnectionBeginsInsideOnClosed) {
  NetworkLoop loop;
  Listener listener;
  int far = -1;
  auto first = loop.connected(listener, far);
  Peer second(*loop.network);
  first->when_closed = [&] { ASSERT_TRUE(second.dial(listener.endpoint())); };
  first->close();
  ASSERT_TRUE(loop.until([&] { return second.connected == 0; }));
  EXPECT_EQ(loop.network->open_sockets(), 1u);
  EXPECT_TRUE(loop.closed(second));
}

TEST(Network, TheOwnLimitOfSockets) {
  NetworkSettings settings;
  settings.max_sockets = 3;
  NetworkLoop loop(settings);
  Listener listener;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(std::make_unique<Peer>(*loop.network));
    EXPECT_EQ(peers.back()->dial(listener.endpoint()), i < 3);
  }
  EXPECT_EQ(loop.network->counters().refused_descriptors, 1u);
  EXPECT_TRUE(loop.closed(*peers[0]));
  EXPECT_TRUE(peers[3]->dial(listener.endpoint()));
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(loop.closed(*peers[i]));
}

// A network that goes with sockets open takes them out of the kernel first.
TEST(Network, GoesWithSocketsOpen) {
  Loop loop;
  Listener listener;
  auto made = RingNetwork::create(*loop.ring);
  ASSERT_TRUE(made.ok());
  std::unique_ptr<RingNetwork> network = *std::move(made);
  Peer peer(*network);
  ASSERT_TRUE(peer.dial(listener.endpoint()));
  const int far = listener.accept_from(loop);
  loop.turns(3);
  ASSERT_EQ(write(far, "unread", 6), 6);
  const size_t before = open_descriptors();
  network.reset();
  EXPECT_EQ(open_descriptors(), before - 1);
  EXPECT_TRUE(loop.ring->abandoned());
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
  EXPECT_EQ(peer.closed, 0);
}

}  // namespace
}  // namespace veredus::io
