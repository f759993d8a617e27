#include <algorithm>
#include <cstring>

#include <sys/resource.h>

#include "tests/io/loop.h"

// Many sockets, few buffers, a completion queue that is too small, no descriptors left.

namespace veredus::io {
namespace {

using Peers = std::vector<std::unique_ptr<Peer>>;

// `count` open connections; fars[i] is the far end of peers[i].
Peers connect_many(NetworkLoop& loop, Listener& listener, int count, std::vector<int>& fars) {
  Peers peers;
  for (int i = 0; i < count; ++i) {
    peers.push_back(std::make_unique<Peer>(*loop.network));
    EXPECT_TRUE(peers.back()->dial(listener.endpoint()));
    // Which far end belongs to whom is known by its first byte.
    peers.back()->out.assign(4, '\0');
    std::memcpy(peers.back()->out.data(), &i, 4);
  }
  EXPECT_TRUE(loop.until([&] {
    return std::all_of(peers.begin(), peers.end(), [](auto& peer) { return peer->connected == 0; });
  }));
  for (auto& peer : peers) peer->send(std::string(peer->out));
  fars.assign(static_cast<size_t>(count), -1);
  int known = 0;
  std::vector<int> fresh;
  EXPECT_TRUE(loop.until([&] {
    for (int far; (far = listener.accept()) >= 0;) fresh.push_back(far);
    std::erase_if(fresh, [&](int far) {
      int index = 0;
      if (recv(far, &index, 4, MSG_DONTWAIT) != 4) return false;
      fars[static_cast<size_t>(index)] = far;
      ++known;
      return true;
    });
    return known == count;
  }));
  EXPECT_TRUE(loop.until([&] {
    return std::all_of(peers.begin(), peers.end(), [](auto& peer) { return peer->sends == 1; });
  }));
  return peers;
}

void close_all(NetworkLoop& loop, Peers& peers) {
  for (auto& peer : peers) peer->close(true);
  EXPECT_TRUE(loop.until([&] { return loop.network->open_sockets() == 0; }));
  for (auto& peer : peers) EXPECT_EQ(peer->closed, 1);
}

uint64_t received(const Peers& peers) {
  uint64_t sum = 0;
  for (const auto& peer : peers) sum += peer->received;
  return sum;
}

TEST(NetworkLoad, TwoThousandSockets) {
  NetworkLoop loop;
  Listener listener;
  std::vector<int> fars;
  Peers peers = connect_many(loop, listener, 2000, fars);
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < peers.size(); ++i) {
      peers[i]->send("EHLO somebody\r\n");
      const std::string reply = "250 " + std::to_string(i) + "\r\n";
      ASSERT_EQ(write(fars[i], reply.data(), reply.size()), static_cast<ssize_t>(reply.size()));
    }
    ASSERT_TRUE(loop.until([&] {
      return std::all_of(peers.begin(), peers.end(), [&](auto& peer) {
        return peer->sends == round + 2 && peer->in.ends_with("\r\n");
      });
    }));
    for (size_t i = 0; i < peers.size(); ++i) {
      ASSERT_EQ(peers[i]->in, "250 " + std::to_string(i) + "\r\n");
      peers[i]->in.clear();
    }
  }
  close_all(loop, peers);
}

// Four buffers serve five hundred connections, as long as they are silent.
TEST(NetworkLoad, IdleConnectionsHoldNoBuffers) {
  NetworkSettings settings;
  settings.receive_buffers = 4;
  NetworkLoop loop(settings);
  Listener listener;
  std::vector<int> fars;
  Peers peers = connect_many(loop, listener, 500, fars);
  for (size_t i = 0; i < peers.size(); ++i) {
    ASSERT_EQ(write(fars[i], "x", 1), 1);
    ASSERT_TRUE(loop.until([&] { return peers[i]->received == 1; }, 2)) << i;
  }
  EXPECT_EQ(loop.network->counters().buffers_exhausted, 0u);
  close_all(loop, peers);
}

// More arrives at once than there are buffers: nothing is lost, nobody is told.
TEST(NetworkLoad, BuffersRunOut) {
  NetworkSettings settings;
  settings.receive_buffers = 4;
  settings.receive_buffer_bytes = 64;
  NetworkLoop loop(settings);
  Listener listener;
  std::vector<int> fars;
  Peers peers = connect_many(loop, listener, 50, fars);
  for (int round = 1; round <= 3; ++round) {
    for (size_t i = 0; i < peers.size(); ++i) {
      const std::string text(2000, static_cast<char>('a' + i % 26));
      ASSERT_EQ(write(fars[i], text.data(), text.size()), 2000);
    }
    ASSERT_TRUE(loop.until([&] { return received(peers) == 50u * 2000u * round; }));
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    EXPECT_EQ(peers[i]->in, std::string(6000, static_cast<char>('a' + i % 26)));
    EXPECT_EQ(peers[i]->ended, -1);
  }
  EXPECT_GT(loop.network->counters().buffers_exhausted, 0u);
  close_all(loop, peers);
}

// close() while bytes of that socket lie in completed receives that have not been run: the buffers
// come back, whoever they were for, and nobody hears of the bytes.
TEST(NetworkLoad, CloseWithBuffersInFlight) {
  NetworkSettings settings;
  settings.receive_buffers = 8;
  settings.receive_buffer_bytes = 64;
  for (bool abort : {false, true}) {
    NetworkLoop loop(settings);
    Listener listener;
    for (int round = 0; round < 100; ++round) {
      int far = -1;
      auto peer = loop.connected(listener, far);
      const std::string text(400, 'x');
      ASSERT_EQ(write(far, text.data(), text.size()), 400);
      loop.ring->submit_and_wait(1'000'000'000);
      ASSERT_GT(loop.ring->collect(), 0u);
      peer->close(abort);  // Peer::quiet() fails on whatever comes now
      ASSERT_TRUE(loop.until([&] { return peer->closed == 1; }));
      EXPECT_EQ(peer->received, 0u);
      listener.forget(far);
      ::close(far);
    }
    // Had even every thirteenth close lost a buffer, none would be left.
    int far = -1;
    auto peer = loop.connected(listener, far);
    const std::string text(100'000, 'y');
    ASSERT_EQ(write(far, text.data(), text.size()), 100'000);
    ASSERT_TRUE(loop.until([&] { return peer->received == text.size(); }));
    EXPECT_TRUE(loop.closed(*peer));
  }
}

// Sends and receives under way on many sockets when they are closed, half of them by reset.
TEST(NetworkLoad, CloseEverythingUnderFire) {
  NetworkSettings settings;
  settings.receive_buffers = 16;
  settings.send_block_bytes = 4096;
  NetworkLoop loop(settings);
  Listener listener;
  for (int round = 0; round < 5; ++round) {
    std::vector<int> fars;
    Peers peers = connect_many(loop, listener, 100, fars);
    const std::string text(200'000, 's');
    for (size_t i = 0; i < peers.size(); ++i) {
      peers[i]->keep = false;
      peers[i]->send(text);
      ASSERT_GT(send(fars[i], text.data(), text.size(), MSG_DONTWAIT), 0);
    }
    loop.turns(round);
    for (size_t i = 0; i < peers.size(); ++i) peers[i]->close(i % 2 == 0);
    ASSERT_TRUE(loop.until([&] { return loop.network->open_sockets() == 0; }, 5));
    for (auto& peer : peers) EXPECT_EQ(peer->closed, 1);
    for (int far : fars) {
      listener.forget(far);
      ::close(far);
    }
  }
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
}

// A submission queue of 8 and a completion queue of 16 for 300 busy connections.
TEST(NetworkLoad, CompletionQueueOverflowsAndNothingIsLost) {
  RingSettings tiny;
  tiny.entries = 8;
  tiny.completion_entries = 16;
  NetworkLoop loop({}, tiny);
  Listener listener;
  std::vector<int> fars;
  Peers peers = connect_many(loop, listener, 300, fars);
  for (int round = 1; round <= 5; ++round) {
    for (size_t i = 0; i < peers.size(); ++i) {
      peers[i]->send("MAIL FROM:<>\r\n");
      ASSERT_EQ(write(fars[i], "250 ok\r\n", 8), 8);
    }
    ASSERT_TRUE(loop.until([&] {
      return received(peers) == 300u * 8u * round &&
             std::all_of(peers.begin(), peers.end(),
                         [&](auto& peer) { return peer->sends == round + 1; });
    }));
  }
  EXPECT_GT(loop.ring->counters().overflows, 0u);
  close_all(loop, peers);
  EXPECT_EQ(loop.ring->in_kernel(), 0u);
}

// At the limit of descriptors dialling pauses; what is open goes on, and later there is more.
TEST(NetworkLoad, NoDescriptorsLeft) {
  NetworkLoop loop;
  Listener listener;
  int far = -1;
  auto open = loop.connected(listener, far);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Two numbers are free below the limit; they need not be neighbours.
  const int first = dup(0), second = dup(0);
  ASSERT_GE(first, 0);
  ASSERT_GT(second, first);
  close(first);
  close(second);
  const rlimit low{static_cast<rlim_t>(second) + 1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  Peers peers;
  int got = 0;
  for (int i = 0; i < 5; ++i) {
    peers.push_back(std::make_unique<Peer>(*loop.network));
    got += peers.back()->dial(listener.endpoint());
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(got, 2);
  EXPECT_EQ(loop.network->counters().refused_descriptors, 3u);
  EXPECT_EQ(loop.network->open_sockets(), 3u);
  ASSERT_EQ(write(far, "alive", 5), 5);
  EXPECT_TRUE(loop.until([&] { return open->in == "alive"; }));
  EXPECT_TRUE(peers[2]->dial(listener.endpoint()));
  EXPECT_TRUE(loop.until([&] { return peers[2]->connected == 0; }));
  peers.resize(3);
  peers.push_back(std::move(open));
  close_all(loop, peers);
}

}  // namespace
}  // namespace veredus::io
