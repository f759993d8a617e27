// The least that delivers mail: a ring, connections, and one transaction after the other. No queue,
// no DNS, no retry; whatever a mail engine does costs more than this.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bench/bare_message.h"
#include "bench/bare_signature.h"
#include "bench/bare_tls.h"

namespace veredus::bench {

struct BareOptions {
  uint32_t messages = 100'000;
  uint32_t domains = 1;
  uint32_t connections = 100;
  uint16_t port = 2525;
  uint32_t connect = 0;  // host byte order; all mail goes there; 0: to each domain's own address
  uint32_t per_connection = 0;  // messages, then QUIT and another connection; 0: any number
  bool chunking = false;
  bool tls = false;  // by STARTTLS
  std::string text;  // with {{id}} and {{to}}; empty: distinct messages of `size` octets
  size_t size = 2048;
  // All messages, of one size, one behind the other with ".\r\n" behind each; instead of `text`.
  std::string contents_file;
  std::string sign_key_file;  // PEM; only for distinct messages
  bool one_body = false;      // all have: it is hashed once
};

struct BareResult {
  double seconds = 0;
  double user_us = 0;
  double system_us = 0;
  uint64_t sent_octets = 0;
  uint32_t delivered = 0;
  uint32_t handshakes = 0;
  uint32_t resumed = 0;  // of them
  std::string error;     // empty: all were delivered
};

// With one domain, or with `connect`, `connections` connections share all messages. Else each
// domain has one connection, at most `connections` at once. Transactions follow each other on
// a connection, without limit but `per_connection`; the next MAIL goes out after the reply to the
// content. Under TLS each of the connections that are open at once resumes what its predecessor
// had.
class BareClient {
 public:
  explicit BareClient(const BareOptions& options);
  ~BareClient();
  BareClient(const BareClient&) = delete;
  BareClient& operator=(const BareClient&) = delete;

  BareResult run();

 private:
  enum class Op : uint8_t { connect, send, receive };
  enum class Phase : uint8_t { idle, greeting, ehlo, starttls, handshake, envelope, content, quit };
  struct Connection {
    int fd = -1;
    Phase phase = Phase::idle;
    uint8_t replies_due = 0;
    uint32_t domain = 0;
    uint32_t left = 0;  // messages of its own domain that it has yet to begin
    uint32_t id = 0;
    uint32_t begun = 0;  // messages on this connection
    sockaddr_in peer{};
    msghdr header{};
    iovec pieces[2];
    std::string envelope;  // with BDAT, `head` follows in it
    std::string head;      // the content up to its last slot, or the whole of it
    std::string partial;   // a reply line that is not complete
    BareTlsSession ticket{nullptr, SSL_SESSION_free};
    std::unique_ptr<BareTls> tls;
    std::string wire;  // what the kernel reads of it
  };

  static constexpr unsigned kEntries = 4096;
  static constexpr unsigned kBuffers = 1024;
  static constexpr unsigned kBufferSize = 2048;
  static constexpr size_t kSplitAt = 16 * 1024;  // larger content is sent from one shared copy

  std::string set_up();
  std::string set_up_contents();
  std::string_view distinct_content(uint32_t id) const {
    return std::string_view(distinct_).substr((content_size_ + 3) * id, content_size_);
  }
  void prepare(Connection& c);
  bool next_domain(uint32_t slot);
  void dial(uint32_t slot);
  void next_message(uint32_t slot);
  void send_content(uint32_t slot);
  void start_tls(uint32_t slot);
  void take_ciphertext(uint32_t slot, const char* data, size_t size);
  void send_wire(uint32_t slot);
  void send_bytes(uint32_t slot, const char* data, size_t size);
  void send_pieces(uint32_t slot, unsigned count);
  io_uring_sqe* sqe(Op op, uint32_t slot);
  void on_event(const io_uring_cqe& cqe);
  void on_receive(uint32_t slot, const io_uring_cqe& cqe);
  void on_input(uint32_t slot, const char* data, size_t size);
  void on_reply(uint32_t slot, const char* line, size_t size);
  void fail(uint32_t slot, const std::string& why);
  bool shared() const { return options_.domains == 1 || options_.connect != 0; }

  const BareOptions options_;
  BareTlsContext tls_;
  BareSignature signature_;
  BareResult result_;
  Slotted message_;
  Slotted envelope_;
  std::string tail_;      // what all messages share
  std::string distinct_;  // all messages, where they are distinct
  size_t content_size_ = 0;
  uint32_t next_id_ = 0;      // shared(): the next message
  uint32_t next_domain_ = 0;  // else: the next domain
  uint32_t busy_ = 0;         // connections at work
  io_uring ring_{};
  bool have_ring_ = false;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  size_t buffer_ring_size_ = 0;
  std::unique_ptr<char[]> buffers_;
  std::vector<Connection> connections_;
};

}  // namespace veredus::bench
