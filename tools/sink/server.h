// One thread of the sink: a ring, its connections and their sessions.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include <liburing.h>

#include "tools/sink/session.h"

namespace veredus::sink {

class Server {
 public:
  // `listeners` are listening sockets; they and everything referred to outlive the server.
  Server(World& world, std::vector<int> listeners, const std::atomic<bool>& stop);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Sets up the ring, for the thread that calls it. 0, or the negative errno of a refused io_uring.
  int start();
  // Serves, in the same thread, until `stop` is set and wake() was called.
  void run();
  // From any thread.
  void wake();

 private:
  enum class Op : uint8_t { accept, receive, send, cancel, wake };
  enum class Life : uint8_t {
    open,
    draining,  // sends what is left, then FIN, then waits for the peer's
    closing,   // waits for the kernel's operations to end, then closes
  };
  struct Connection {
    Connection(World& world, uint64_t number) : session(world, number) {}
    Session session;
    int fd = -1;
    Life life = Life::open;
    bool receiving = false;
    bool sending = false;
    bool cancelling = false;
    bool paused = false;
    bool dirty = false;      // is in dirty_
    bool shut = false;       // FIN was sent
    bool byte_wise = false;  // replies go octet by octet
    bool byte_wait = false;  // the next octet's time has not come
    size_t sent = 0;
    std::string out;      // replies that wait, not encrypted yet
    std::string wire;     // what goes before them as it is: of TLS, and the 220 to STARTTLS
    std::string in_send;  // replies that the kernel reads
    std::string stored_in_send;
    std::string pending;  // input that came during a pause, as it came
    std::string heard;    // decrypted, and not read because of a pause
    std::unique_ptr<TlsChannel> tls;
  };
  enum class TimerKind : uint8_t { resume, next_octet, give_up };
  struct Timer {
    int64_t due_ns;
    uint32_t slot;
    uint32_t generation;
    TimerKind kind;
    bool operator>(const Timer& other) const { return due_ns > other.due_ns; }
  };

  static constexpr unsigned kEntries = 4096;
  static constexpr unsigned kBuffers = 512;           // a power of two
  static constexpr unsigned kBufferSize = 32 * 1024;  // octets
  static constexpr size_t kMaxPending = 64u << 20;    // octets kept during a pause
  static constexpr size_t kMaxOut = 4u << 20;         // octets of replies that nobody reads
  static constexpr int64_t kFlushNs = 100'000'000;
  static constexpr int64_t kGoodbyeNs = 5'000'000'000;

  io_uring_sqe* sqe(Op op, uint32_t slot);
  void wait();
  void on_event(const io_uring_cqe& cqe);
  void on_accept(uint32_t listener, const io_uring_cqe& cqe);
  void on_receive(uint32_t slot, const io_uring_cqe& cqe);
  void on_send(uint32_t slot, int result);
  void arm_accept(uint32_t listener);
  void arm_receive(uint32_t slot);
  void arm_wake();
  void take_input(uint32_t slot, std::string_view in);
  void take_ciphertext(uint32_t slot, std::string_view in);
  void hear(uint32_t slot, std::string_view in);
  void apply(uint32_t slot, Step step);
  void run_timers();
  void on_timer(const Timer& timer);
  void add_timer(uint32_t slot, int64_t delay_ns, TimerKind kind);
  void mark(uint32_t slot);
  void send_dirty();
  void send_next(uint32_t slot);
  void say_goodbye(uint32_t slot);
  void begin_close(uint32_t slot);
  void close_if_quiet(uint32_t slot);
  void last_words();

  World& world_;
  std::vector<int> listeners_;
  const std::atomic<bool>& stop_;
  int wake_fd_;
  io_uring ring_{};
  bool have_ring_ = false;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  size_t buffer_ring_size_ = 0;
  std::unique_ptr<char[]> buffers_;
  uint64_t wake_value_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;  // by slot
  std::vector<uint32_t> generations_;                     // by slot
  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> dirty_;
  std::vector<uint32_t> accept_later_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<Timer>> timers_;
  uint64_t accepted_ = 0;
  int64_t now_ns_ = 0;
  int64_t flush_due_ns_ = 0;
  int64_t accept_due_ns_ = 0;
};

}  // namespace veredus::sink
