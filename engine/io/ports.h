#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <sys/uio.h>

namespace veredus::io {

// The ports through which time, the network and wake-ups reach a shard. The product implements them
// on io_uring (ring_network.h …), the simulated world from a seed (tests/sim). Disk and DNS ports
// are queue::Disk and dns::Lookups.

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t mono_ns() = 0;  // never goes back; its zero means nothing
  virtual int64_t wall_ns() = 0;  // Unix time; may jump
};

// Wakes a shard's loop (or the control thread) from any thread; cheap when it is awake anyway.
class Wake {
 public:
  virtual ~Wake() = default;
  virtual void wake() = 0;
};

// A numeric address and a port.
struct Endpoint {
  std::array<uint8_t, 16> address{};  // network order; IPv4 uses the first four
  uint16_t port = 0;                  // host order
  uint8_t family = 0;                 // 4, 6; 0: none
  bool operator==(const Endpoint&) const = default;
};
std::string to_text(const Endpoint& endpoint);  // "192.0.2.1" / "2001:db8::1", without the port
bool parse_address(std::string_view text, Endpoint& endpoint);  // port stays as it was

// What the owner of a socket hears, one call at a time, never from inside a call that it makes on
// the network.
class SocketEvents {
 public:
  virtual ~SocketEvents() = default;
  virtual void on_connected(
      int error) = 0;  // 0, or an errno; after an error only close() is left to do
  // Bytes from the peer, valid during the call only.
  virtual void on_received(std::string_view bytes) = 0;
  // The peer closed (error 0) or the connection failed. No more on_received.
  virtual void on_ended(int error) = 0;
  // The whole vector given to send() has been handed to the kernel; or it failed with an errno.
  virtual void on_sent(int error) = 0;
  // After close(): nothing of this socket is in the kernel any more, the owner may go.
  virtual void on_closed() = 0;
};

using Socket = uint32_t;
inline constexpr Socket kNoSocket = 0xffffffff;

// Outbound TCP. Receiving is armed from the connect on and takes no buffer while the connection is
// silent.
class Network {
 public:
  virtual ~Network() = default;
  // Begins to connect, from `source` if its family is not 0 (IP_BIND_ADDRESS_NO_PORT). kNoSocket
  // when no socket can be had now (descriptor limit): dialling pauses, nothing else.
  virtual Socket connect(const Endpoint& peer, const Endpoint& source, SocketEvents& events) = 0;
  // One send at a time per socket. The iovecs and the bytes live until on_sent or on_closed.
  virtual void send(Socket socket, std::span<const iovec> pieces) = 0;
  // Bytes of the send under way that the kernel has taken so far: lets the owner see that a slow
  // peer still reads.
  virtual uint64_t sent_so_far(Socket socket) const = 0;
  // Shuts down, waits for the kernel's operations, closes; on_closed follows, nothing else does.
  // `abort` resets.
  virtual void close(Socket socket, bool abort) = 0;
  virtual size_t open_sockets() const = 0;
  // Whether it can be sent from: it is an address of this host.
  virtual bool has_address(const Endpoint& source) = 0;
};

// Pseudo-random numbers of one shard, from one seed (xoshiro256**).
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  uint64_t below(uint64_t n) { return n ? next() % n : 0; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace veredus::io
