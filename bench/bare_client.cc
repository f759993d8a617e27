#include "bench/bare_client.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace veredus::bench {
namespace {

constexpr std::string_view kEhlo = "EHLO client.bench.test\r\n";
constexpr std::string_view kStartTls = "STARTTLS\r\n";
constexpr std::string_view kQuit = "QUIT\r\n";

double mono_seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double microseconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

}  // namespace

BareClient::BareClient(const BareOptions& options) : options_(options) {}

BareClient::~BareClient() {
  if (have_ring_) io_uring_queue_exit(&ring_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, buffer_ring_size_);
  for (Connection& c : connections_) {
    if (c.fd >= 0) close(c.fd);
  }
}

std::string BareClient::set_up() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (int error = io_uring_queue_init_params(kEntries, &ring_, &params); error < 0) {
    return std::string("io_uring was refused: ") + strerror(-error);
  }
  have_ring_ = true;
  buffer_ring_size_ = kBuffers * sizeof(io_uring_buf);
  void* memory =
      mmap(nullptr, buffer_ring_size_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) return "no memory";
  buffer_ring_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registration.ring_entries = kBuffers;
  if (int error = io_uring_register_buf_ring(&ring_, &registration, 0); error < 0) {
    return std::string("no provided buffers: ") + strerror(-error);
  }
  buffers_ = std::make_unique<char[]>(static_cast<size_t>(kBuffers) * kBufferSize);
  io_uring_buf_ring_init(buffer_ring_);
  for (unsigned i = 0; i < kBuffers; ++i) {
    io_uring_buf_ring_add(buffer_ring_, buffers_.get() + static_cast<size_t>(i) * kBufferSize,
                          kBufferSize, static_cast<uint16_t>(i), io_uring_buf_ring_mask(kBuffers),
                          static_cast<int>(i));
  }
  io_uring_buf_ring_advance(buffer_ring_, kBuffers);

  if (std::string wrong = set_up_contents(); !wrong.empty()) return wrong;
  if (distinct_.empty()) {
    message_ = place_slots(options_.text, options_.domains);
    if (message_.text.empty())
      return "the template must end with CR LF and have no line with a dot first";
    content_size_ = message_.text.size();
    size_t cut = content_size_ > kSplitAt ? message_.end_of_slots() : content_size_;
    tail_ = message_.text.substr(cut);
    message_.text.resize(cut);
    if (!options_.chunking) (tail_.empty() ? message_.text : tail_) += ".\r\n";
  }
  std::string size = std::to_string(content_size_);
  envelope_ =
      place_slots("MAIL FROM:<bounce@bench.test> SIZE=" + size + "\r\nRCPT TO:<{{to}}>\r\n" +
                      (options_.chunking ? "BDAT " + size + " LAST\r\n" : "DATA\r\n"),
                  options_.domains);
  return "";
}

// distinct_, where the messages are so.
std::string BareClient::set_up_contents() {
  const bool signs = !options_.sign_key_file.empty();
  if (signs && !signature_.read_key(options_.sign_key_file)) {
    return "no private RSA key can be read from " + options_.sign_key_file;
  }
  if (!options_.contents_file.empty()) {
    std::ifstream file(options_.contents_file, std::ios::binary);
    distinct_.assign(std::istreambuf_iterator<char>(file), {});
  } else if (options_.text.empty()) {
    distinct_ = make_distinct(options_.messages, options_.domains, options_.size);
  } else {
    return signs ? "only distinct messages are signed" : "";
  }
  constexpr std::string_view kEnd = "\r\n.\r\n";
  const size_t each = distinct_.size() / std::max(options_.messages, 1u);
  bool good = each > kEnd.size() && each * options_.messages == distinct_.size();
  for (size_t end = each; good && end <= distinct_.size(); end += each) {
    good = distinct_.compare(end - kEnd.size(), kEnd.size(), kEnd) == 0;
  }
  content_size_ = each - 3;
  if (good) return "";
  return "these are not " + std::to_string(options_.messages) + " messages of one size";
}

// What a connection sends of its own: the envelope and the part of the content that has slots. For
// BDAT they lie behind each other, because they leave in one send.
void BareClient::prepare(Connection& c) {
  c.envelope = envelope_.text;
  (options_.chunking ? c.envelope : c.head) += message_.text;
  c.header.msg_iov = c.pieces;
}

BareResult BareClient::run() {
  result_.error = set_up();
  if (!result_.error.empty()) return result_;
  uint32_t count = std::min(options_.connections, shared() ? options_.messages : options_.domains);
  connections_.resize(count);
  for (Connection& c : connections_) prepare(c);
  rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  double start = mono_seconds();
  for (uint32_t slot = 0; slot < count; ++slot) {
    if (!shared() && !next_domain(slot)) continue;
    ++busy_;
    dial(slot);
  }
  while (busy_ > 0 && result_.error.empty()) {
    int error = io_uring_submit_and_wait(&ring_, 1);
    if (error < 0 && error != -EINTR) result_.error = strerror(-error);
    io_uring_cqe* cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      on_event(*cqe);
      ++seen;
    }
    io_uring_cq_advance(&ring_, seen);
  }
  result_.seconds = mono_seconds() - start;
  getrusage(RUSAGE_SELF, &after);
  result_.user_us = microseconds(after.ru_utime) - microseconds(before.ru_utime);
  result_.system_us = microseconds(after.ru_stime) - microseconds(before.ru_stime);
  if (result_.error.empty() && result_.delivered != options_.messages) {
    result_.error = "not all messages were sent";
  }
  return result_;
}

// Gives the slot the next domain that has messages.
bool BareClient::next_domain(uint32_t slot) {
  Connection& c = connections_[slot];
  if (next_domain_ >= options_.domains || next_domain_ >= options_.messages) return false;
  c.domain = next_domain_++;
  c.left = (options_.messages - c.domain - 1) / options_.domains + 1;
  c.id = c.domain - options_.domains;  // modulo 2^32; the first message adds it again
  return true;
}

void BareClient::dial(uint32_t slot) {
  Connection& c = connections_[slot];
  c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c.fd < 0) return fail(slot, strerror(errno));
  int on = 1;
  setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c.peer.sin_family = AF_INET;
  c.peer.sin_port = htons(options_.port);
  c.peer.sin_addr.s_addr = htonl(options_.connect != 0 ? options_.connect : address_of(c.domain));
  c.phase = Phase::greeting;
  c.replies_due = 1;
  c.begun = 0;
  c.partial.clear();
  c.tls.reset();
  io_uring_sqe* entry = sqe(Op::connect, slot);
  uint64_t data = entry->user_data;
  io_uring_prep_connect(entry, c.fd, reinterpret_cast<sockaddr*>(&c.peer), sizeof c.peer);
  entry->user_data = data;
}

io_uring_sqe* BareClient::sqe(Op op, uint32_t slot) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {
    io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  entry->user_data = static_cast<uint64_t>(op) << 32 | slot;
  return entry;
}

void BareClient::start_tls(uint32_t slot) {
  Connection& c = connections_[slot];
  c.phase = Phase::handshake;
  c.tls = std::make_unique<BareTls>(tls_, c.ticket);
  send_wire(slot);
}

void BareClient::take_ciphertext(uint32_t slot, const char* data, size_t size) {
  Connection& c = connections_[slot];
  std::string plaintext;
  if (!c.tls->receive({data, size}, plaintext)) return fail(slot, "TLS failed");
  if (c.phase == Phase::handshake) {
    if (!c.tls->established()) return;
    ++result_.handshakes;
    if (c.tls->resumed()) ++result_.resumed;
    c.phase = Phase::ehlo;
    c.replies_due = 1;
    return send_bytes(slot, kEhlo.data(), kEhlo.size());  // with the end of the handshake
  }
  on_input(slot, plaintext.data(), plaintext.size());
}

// What TLS made. A peer answers only when it has all of it, so `wire` is free each time.
void BareClient::send_wire(uint32_t slot) {
  Connection& c = connections_[slot];
  c.tls->take(c.wire);
  result_.sent_octets += c.wire.size();
  io_uring_sqe* entry = sqe(Op::send, slot);
  uint64_t user_data = entry->user_data;
  io_uring_prep_send(entry, c.fd, c.wire.data(), c.wire.size(), MSG_NOSIGNAL | MSG_WAITALL);
  entry->user_data = user_data;
}

void BareClient::send_bytes(uint32_t slot, const char* data, size_t size) {
  Connection& c = connections_[slot];
  if (c.tls) {
    c.tls->write(data, size);
    return send_wire(slot);
  }
  result_.sent_octets += size;
  io_uring_sqe* entry = sqe(Op::send, slot);
  uint64_t user_data = entry->user_data;
  io_uring_prep_send(entry, c.fd, data, size, MSG_NOSIGNAL | MSG_WAITALL);
  entry->user_data = user_data;
}

void BareClient::send_pieces(uint32_t slot, unsigned count) {
  Connection& c = connections_[slot];
  if (c.tls) {
    for (unsigned i = 0; i < count; ++i) {
      c.tls->write(static_cast<const char*>(c.pieces[i].iov_base), c.pieces[i].iov_len);
    }
    return send_wire(slot);
  }
  for (unsigned i = 0; i < count; ++i) result_.sent_octets += c.pieces[i].iov_len;
  c.header.msg_iovlen = count;
  io_uring_sqe* entry = sqe(Op::send, slot);
  uint64_t user_data = entry->user_data;
  io_uring_prep_sendmsg(entry, c.fd, &c.header, MSG_NOSIGNAL | MSG_WAITALL);
  entry->user_data = user_data;
}

// Begins the next transaction, or ends the connection.
void BareClient::next_message(uint32_t slot) {
  Connection& c = connections_[slot];
  const bool full = options_.per_connection != 0 && c.begun == options_.per_connection;
  if (full || (shared() ? next_id_ >= options_.messages : c.left == 0)) {
    if (shared() && !full) {
      c.phase = Phase::idle;
      --busy_;
      return;
    }
    c.phase = Phase::quit;
    c.replies_due = 1;
    return send_bytes(slot, kQuit.data(), kQuit.size());
  }
  ++c.begun;
  if (shared()) {
    c.id = next_id_++;
  } else {
    --c.left;
    c.id += options_.domains;
  }
  uint32_t domain = c.id % options_.domains;
  const size_t digits = envelope_.digits_of_domain;
  for (size_t at : envelope_.ids) put_digits(c.envelope.data() + at, kIdDigits, c.id);
  for (size_t at : envelope_.domains) put_digits(c.envelope.data() + at, digits, domain);
  char* content = options_.chunking ? c.envelope.data() + envelope_.text.size() : c.head.data();
  for (size_t at : message_.ids) put_digits(content + at, kIdDigits, c.id);
  for (size_t at : message_.domains) put_digits(content + at, digits, domain);
  if (!options_.sign_key_file.empty() &&
      !signature_.sign(distinct_content(c.id), options_.one_body && result_.delivered > 0)) {
    return fail(slot, "OpenSSL did not sign");
  }
  c.phase = Phase::envelope;
  c.replies_due = 3;
  if (!options_.chunking || (distinct_.empty() && tail_.empty())) {
    return send_bytes(slot, c.envelope.data(), c.envelope.size());
  }
  c.pieces[0] = {c.envelope.data(), c.envelope.size()};
  if (distinct_.empty()) {
    c.pieces[1] = {tail_.data(), tail_.size()};
  } else {
    const std::string_view whole = distinct_content(c.id);
    c.pieces[1] = {const_cast<char*>(whole.data()), whole.size()};
  }
  send_pieces(slot, 2);
}

void BareClient::send_content(uint32_t slot) {
  Connection& c = connections_[slot];
  c.phase = Phase::content;
  c.replies_due = 1;
  if (!distinct_.empty()) {
    return send_bytes(slot, distinct_content(c.id).data(), content_size_ + 3);
  }
  if (tail_.empty()) return send_bytes(slot, c.head.data(), c.head.size());
  c.pieces[0] = {c.head.data(), c.head.size()};
  c.pieces[1] = {tail_.data(), tail_.size()};
  send_pieces(slot, 2);
}

void BareClient::on_event(const io_uring_cqe& cqe) {
  uint32_t slot = static_cast<uint32_t>(cqe.user_data);
  Connection& c = connections_[slot];
  switch (static_cast<Op>(cqe.user_data >> 32)) {
    case Op::connect: {
      if (cqe.res < 0) return fail(slot, strerror(-cqe.res));
      io_uring_sqe* entry = sqe(Op::receive, slot);
      uint64_t data = entry->user_data;
      io_uring_prep_recv_multishot(entry, c.fd, nullptr, 0, 0);
      entry->flags |= IOSQE_BUFFER_SELECT;
      entry->user_data = data;
      return;
    }
    case Op::send:
      if (cqe.res < 0) fail(slot, strerror(-cqe.res));
      return;
    case Op::receive:
      return on_receive(slot, cqe);
  }
}

void BareClient::on_receive(uint32_t slot, const io_uring_cqe& cqe) {
  Connection& c = connections_[slot];
  if (cqe.flags & IORING_CQE_F_BUFFER) {
    uint16_t id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    char* buffer = buffers_.get() + static_cast<size_t>(id) * kBufferSize;
    const size_t size = static_cast<size_t>(std::max(cqe.res, 0));
    if (size > 0) c.tls ? take_ciphertext(slot, buffer, size) : on_input(slot, buffer, size);
    io_uring_buf_ring_add(buffer_ring_, buffer, kBufferSize, id, io_uring_buf_ring_mask(kBuffers),
                          0);
    io_uring_buf_ring_advance(buffer_ring_, 1);
  }
  if (cqe.res > 0 && (cqe.flags & IORING_CQE_F_MORE)) return;
  if (cqe.res == 0 && c.phase == Phase::quit && c.replies_due == 0) {
    close(c.fd);
    c.fd = -1;
    if (shared() ? next_id_ < options_.messages : c.left > 0 || next_domain(slot)) {
      return dial(slot);
    }
    --busy_;
    return;
  }
  if (cqe.res > 0 || cqe.res == -ENOBUFS) {
    io_uring_sqe* entry = sqe(Op::receive, slot);
    uint64_t data = entry->user_data;
    io_uring_prep_recv_multishot(entry, c.fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->user_data = data;
    return;
  }
  if (c.phase == Phase::idle) return;
  fail(slot, cqe.res == 0 ? "the server closed" : strerror(-cqe.res));
}

void BareClient::on_input(uint32_t slot, const char* data, size_t size) {
  Connection& c = connections_[slot];
  while (size > 0) {
    const char* newline = static_cast<const char*>(memchr(data, '\n', size));
    if (newline == nullptr) {
      c.partial.append(data, size);
      return;
    }
    size_t length = static_cast<size_t>(newline - data) + 1;
    if (c.partial.empty()) {
      on_reply(slot, data, length);
    } else {
      c.partial.append(data, length);
      std::string line;
      line.swap(c.partial);
      on_reply(slot, line.data(), line.size());
    }
    data += length;
    size -= length;
  }
}

// One reply line with its line end.
void BareClient::on_reply(uint32_t slot, const char* line, size_t size) {
  Connection& c = connections_[slot];
  if (size >= 4 && line[3] == '-') return;
  if (size < 5 || (line[0] != '2' && line[0] != '3') || c.replies_due == 0) {
    return fail(slot, "the server said " + std::string(line, size < 2 ? 0 : size - 2));
  }
  if (--c.replies_due > 0) return;
  switch (c.phase) {
    case Phase::greeting:
      c.phase = Phase::ehlo;
      c.replies_due = 1;
      return send_bytes(slot, kEhlo.data(), kEhlo.size());
    case Phase::envelope:
      if (!options_.chunking) return send_content(slot);
      ++result_.delivered;
      return next_message(slot);
    case Phase::content:
      ++result_.delivered;
      return next_message(slot);
    case Phase::ehlo:
      if (!options_.tls || c.tls) return next_message(slot);
      c.phase = Phase::starttls;
      c.replies_due = 1;
      return send_bytes(slot, kStartTls.data(), kStartTls.size());
    case Phase::starttls:
      return start_tls(slot);
    case Phase::handshake:
    case Phase::idle:
    case Phase::quit:
      return;
  }
}

void BareClient::fail(uint32_t slot, const std::string& why) {
  if (!result_.error.empty()) return;
  char address[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &connections_[slot].peer.sin_addr, address, sizeof address);
  result_.error = std::string(address) + " port " + std::to_string(options_.port) + ": " + why;
}

}  // namespace veredus::bench
