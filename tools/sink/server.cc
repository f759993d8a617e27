#include "tools/sink/server.h"

#include <algorithm>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace veredus::sink {
namespace {

int64_t mono_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Operation and slot travel in user_data: a connection lives until all its operations have ended,
// so that no generation is needed there.
uint64_t tag(uint8_t op, uint32_t slot) {
  return static_cast<uint64_t>(op) << 32 | slot;
}

}  // namespace

Server::Server(World& world, std::vector<int> listeners, const std::atomic<bool>& stop)
    : world_(world),
      listeners_(std::move(listeners)),
      stop_(stop),
      wake_fd_(eventfd(0, EFD_CLOEXEC)) {}

Server::~Server() {
  if (have_ring_) io_uring_queue_exit(&ring_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, buffer_ring_size_);
  for (auto& connection : connections_) {
    if (connection && connection->fd >= 0) close(connection->fd);
  }
  if (wake_fd_ >= 0) close(wake_fd_);
}

int Server::start() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  params.cq_entries = kEntries * 4;
  int error = io_uring_queue_init_params(kEntries, &ring_, &params);
  if (error < 0) return error;
  have_ring_ = true;
  buffer_ring_size_ = kBuffers * sizeof(io_uring_buf);
  void* memory =
      mmap(nullptr, buffer_ring_size_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) return -ENOMEM;
  buffer_ring_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registration.ring_entries = kBuffers;
  error = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (error < 0) return error;
  buffers_ = std::make_unique<char[]>(static_cast<size_t>(kBuffers) * kBufferSize);
  io_uring_buf_ring_init(buffer_ring_);
  for (unsigned i = 0; i < kBuffers; ++i) {
    io_uring_buf_ring_add(buffer_ring_, buffers_.get() + static_cast<size_t>(i) * kBufferSize,
                          kBufferSize, static_cast<uint16_t>(i), io_uring_buf_ring_mask(kBuffers),
                          static_cast<int>(i));
  }
  io_uring_buf_ring_advance(buffer_ring_, kBuffers);
  return 0;
}

void Server::wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof one);
}

void Server::run() {
  for (uint32_t i = 0; i < listeners_.size(); ++i) arm_accept(i);
  arm_wake();
  now_ns_ = mono_ns();
  while (!stop_.load(std::memory_order_acquire)) {
    wait();
    now_ns_ = mono_ns();
    uint64_t messages = world_.counters.messages.get();
    io_uring_cqe* cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      on_event(*cqe);
      ++seen;
    }
    io_uring_cq_advance(&ring_, seen);
    run_timers();
    if (messages != world_.counters.messages.get()) {
      world_.counters.last_ns.set(static_cast<uint64_t>(now_ns_));
    }
    send_dirty();
    if (!world_.ledger.empty() && now_ns_ >= flush_due_ns_) {
      world_.ledger.flush();
      flush_due_ns_ = now_ns_ + kFlushNs;
    }
  }
  last_words();
}

void Server::wait() {
  int64_t due = now_ns_ + 60'000'000'000;
  if (!world_.ledger.empty()) due = std::min(due, std::max(flush_due_ns_, now_ns_));
  if (!timers_.empty()) due = std::min(due, timers_.top().due_ns);
  if (!accept_later_.empty()) due = std::min(due, accept_due_ns_);
  int64_t left = std::max<int64_t>(due - mono_ns(), 0);
  __kernel_timespec limit{left / 1'000'000'000, left % 1'000'000'000};
  io_uring_cqe* cqe;
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr);
}

io_uring_sqe* Server::sqe(Op op, uint32_t slot) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {
    io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  memset(entry, 0, sizeof *entry);
  entry->user_data = tag(static_cast<uint8_t>(op), slot);
  return entry;
}

void Server::arm_accept(uint32_t listener) {
  io_uring_sqe* entry = sqe(Op::accept, listener);
  uint64_t data = entry->user_data;
  io_uring_prep_multishot_accept(entry, listeners_[listener], nullptr, nullptr, SOCK_CLOEXEC);
  entry->user_data = data;
}

void Server::arm_receive(uint32_t slot) {
  Connection& c = *connections_[slot];
  io_uring_sqe* entry = sqe(Op::receive, slot);
  uint64_t data = entry->user_data;
  io_uring_prep_recv_multishot(entry, c.fd, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = 0;
  entry->user_data = data;
  c.receiving = true;
}

void Server::arm_wake() {
  io_uring_sqe* entry = sqe(Op::wake, 0);
  uint64_t data = entry->user_data;
  io_uring_prep_read(entry, wake_fd_, &wake_value_, sizeof wake_value_, 0);
  entry->user_data = data;
}

void Server::on_event(const io_uring_cqe& cqe) {
  uint32_t slot = static_cast<uint32_t>(cqe.user_data);
  switch (static_cast<Op>(cqe.user_data >> 32)) {
    case Op::accept:
      return on_accept(slot, cqe);
    case Op::receive:
      return on_receive(slot, cqe);
    case Op::send:
      return on_send(slot, cqe.res);
    case Op::cancel:
      connections_[slot]->cancelling = false;
      return close_if_quiet(slot);
    case Op::wake:
      return arm_wake();
  }
}

void Server::on_accept(uint32_t listener, const io_uring_cqe& cqe) {
  if (!(cqe.flags & IORING_CQE_F_MORE)) {
    if (cqe.res < 0) {
      accept_due_ns_ = now_ns_ + kFlushNs;
      accept_later_.push_back(listener);  // most likely out of descriptors: a little later, then
    } else {
      arm_accept(listener);
    }
  }
  if (cqe.res < 0) return;
  world_.counters.connections.add();
  uint64_t number = accepted_++;
  if (free_slots_.empty()) {
    if (connections_.size() >= world_.options.max_connections) {
      constexpr char kFull[] = "421 too many connections\r\n";
      send(cqe.res, kFull, sizeof kFull - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
      close(cqe.res);
      world_.counters.refused.add();
      return;
    }
    free_slots_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.emplace_back();
    generations_.push_back(0);
  }
  uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  connections_[slot] = std::make_unique<Connection>(world_, number);
  Connection& c = *connections_[slot];
  c.fd = cqe.res;
  if (world_.options.byte_delay.ns > 0) {
    c.byte_wise = Dice(world_.options.seed + 1, number).hit(world_.options.byte_delay.probability);
  }
  world_.counters.open.add();
  arm_receive(slot);
  apply(slot, c.session.open(c.out));
}

void Server::on_receive(uint32_t slot, const io_uring_cqe& cqe) {
  Connection& c = *connections_[slot];  // stays, whatever happens below, while `receiving` is set
  if (cqe.flags & IORING_CQE_F_BUFFER) {
    uint16_t id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    char* buffer = buffers_.get() + static_cast<size_t>(id) * kBufferSize;
    if (cqe.res > 0 && c.life == Life::open) {
      take_input(slot, std::string_view(buffer, static_cast<size_t>(cqe.res)));
    }
    io_uring_buf_ring_add(buffer_ring_, buffer, kBufferSize, id, io_uring_buf_ring_mask(kBuffers),
                          0);
    io_uring_buf_ring_advance(buffer_ring_, 1);
  }
  if (!(cqe.flags & IORING_CQE_F_MORE)) c.receiving = false;
  if (c.life == Life::closing) return close_if_quiet(slot);
  bool again = cqe.res > 0 || cqe.res == -ENOBUFS || cqe.res == -EINTR || cqe.res == -EAGAIN;
  if (again) {
    if (!c.receiving) arm_receive(slot);
    return;
  }
  // The peer is gone, or at least done with sending.
  if (c.session.in_transaction() && c.life == Life::open) world_.counters.lost.add();
  if (c.tls && !c.tls->established() && c.life == Life::open) world_.counters.tls_broken.add();
  bool nothing_left = c.out.empty() && c.wire.empty() && !c.sending && c.sent == c.in_send.size();
  if (cqe.res < 0 || c.shut || c.paused || nothing_left) return begin_close(slot);
  c.life = Life::draining;
}

void Server::take_input(uint32_t slot, std::string_view in) {
  Connection& c = *connections_[slot];
  if (c.paused) {
    if (c.pending.size() + in.size() > kMaxPending) return begin_close(slot);
    c.pending.append(in);
    return;
  }
  if (c.tls) return take_ciphertext(slot, in);
  hear(slot, in);
}

void Server::take_ciphertext(uint32_t slot, std::string_view in) {
  Connection& c = *connections_[slot];
  const bool was_established = c.tls->established();
  std::string plaintext;
  plaintext.swap(c.heard);
  const TlsChannel::State state = c.tls->receive(in, plaintext, c.wire);
  if (!was_established && c.tls->established()) {
    world_.counters.tls.add();
    if (c.tls->resumed()) world_.counters.tls_resumed.add();
    c.session.on_tls();
  }
  if (!c.wire.empty()) mark(slot);
  if (state == TlsChannel::State::broken) {
    world_.counters.tls_broken.add();
    c.life = Life::draining;  // the alert goes
    return mark(slot);
  }
  if (!plaintext.empty()) hear(slot, plaintext);
}

// What a peer says, wherever it came from.
void Server::hear(uint32_t slot, std::string_view in) {
  Connection& c = *connections_[slot];
  size_t used = 0;
  Step step = c.session.feed(in, used, c.out);
  if (step == Step::paused) (c.tls ? c.heard : c.pending).assign(in.substr(used));
  apply(slot, step);
}

// Does what the session asked for.
void Server::apply(uint32_t slot, Step step) {
  Connection& c = *connections_[slot];
  switch (step) {
    case Step::ready:
      break;
    case Step::paused:
      c.paused = true;
      add_timer(slot, c.session.pause_ns(), TimerKind::resume);
      break;
    case Step::finish:
      c.life = Life::draining;
      break;
    case Step::reset: {
      linger hard{1, 0};
      setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      return begin_close(slot);
    }
    case Step::tls:
      c.wire.append(c.out);
      c.out.clear();
      mark(slot);
      c.tls = std::make_unique<TlsChannel>(*world_.tls);
      return apply(slot, c.session.begin_tls());
  }
  if (c.out.size() + c.wire.size() > kMaxOut) return begin_close(slot);
  if (!c.out.empty() || c.life == Life::draining) mark(slot);
}

void Server::mark(uint32_t slot) {
  Connection& c = *connections_[slot];
  if (c.dirty) return;
  c.dirty = true;
  dirty_.push_back(slot);
}

// One send for all replies that a connection has by now.
void Server::send_dirty() {
  if (world_.ledger.on() && world_.ledger.syncs() && !dirty_.empty()) {
    for (uint32_t slot : dirty_) {
      if (!connections_[slot]) continue;
      std::string& stored = connections_[slot]->session.answered();
      world_.ledger.append(stored, "ack");
      stored.clear();
    }
    world_.ledger.flush();
  }
  for (uint32_t slot : dirty_) {
    if (!connections_[slot]) continue;
    Connection& c = *connections_[slot];
    c.dirty = false;
    if (c.life != Life::closing && !c.sending && !c.byte_wait) send_next(slot);
  }
  dirty_.clear();
}

void Server::send_next(uint32_t slot) {
  Connection& c = *connections_[slot];
  if (c.sent == c.in_send.size()) {
    if (c.tls) {
      if (!c.out.empty()) c.tls->send(c.out, c.wire);
      if (c.life == Life::draining) c.tls->end(c.wire);
      c.out.clear();
    }
    c.in_send.clear();
    c.in_send.swap(c.tls ? c.wire : c.out);
    c.stored_in_send.swap(c.session.answered());
    c.sent = 0;
    if (c.in_send.empty()) {
      if (c.life == Life::draining) say_goodbye(slot);
      return;
    }
  }
  size_t length = c.byte_wise ? 1 : c.in_send.size() - c.sent;
  io_uring_sqe* entry = sqe(Op::send, slot);
  uint64_t data = entry->user_data;
  io_uring_prep_send(entry, c.fd, c.in_send.data() + c.sent, length, MSG_NOSIGNAL | MSG_WAITALL);
  entry->user_data = data;
  c.sending = true;
}

void Server::on_send(uint32_t slot, int result) {
  Connection& c = *connections_[slot];
  c.sending = false;
  if (result > 0) c.sent += static_cast<size_t>(result);
  if (result > 0 && c.sent == c.in_send.size() && !c.stored_in_send.empty()) {
    world_.ledger.append(c.stored_in_send, "ack");
    c.stored_in_send.clear();
  }
  if (c.life == Life::closing) return close_if_quiet(slot);
  if (result <= 0) return begin_close(slot);
  if (c.byte_wise) {
    c.byte_wait = true;
    return add_timer(slot, world_.options.byte_delay.ns, TimerKind::next_octet);
  }
  if (c.sent < c.in_send.size() || !c.out.empty() || !c.wire.empty() || c.life == Life::draining) {
    mark(slot);
  }
}

// Everything is said: FIN, then the peer's; input that still comes is thrown away, because a close
// over unread input would be a RST that may overtake our last reply.
void Server::say_goodbye(uint32_t slot) {
  Connection& c = *connections_[slot];
  if (c.shut) return;
  c.shut = true;
  shutdown(c.fd, SHUT_WR);
  if (!c.receiving) return begin_close(slot);
  add_timer(slot, kGoodbyeNs, TimerKind::give_up);
}

// A pending receive holds the socket open, so it is cancelled first; close() follows its end.
void Server::begin_close(uint32_t slot) {
  Connection& c = *connections_[slot];
  if (c.life == Life::closing) return;
  c.life = Life::closing;
  if (c.receiving || c.sending) {
    io_uring_sqe* entry = sqe(Op::cancel, slot);
    uint64_t data = entry->user_data;
    io_uring_prep_cancel_fd(entry, c.fd, IORING_ASYNC_CANCEL_ALL);
    entry->user_data = data;
    c.cancelling = true;
  }
  close_if_quiet(slot);
}

void Server::close_if_quiet(uint32_t slot) {
  Connection& c = *connections_[slot];
  if (c.life != Life::closing || c.receiving || c.sending || c.cancelling) return;
  close(c.fd);
  // What was stored and not answered, wherever its reply got stuck.
  for (std::string* lines : {&c.stored_in_send, &c.session.answered(), &c.session.unanswered()}) {
    world_.counters.noreply.add(
        static_cast<uint64_t>(std::count(lines->begin(), lines->end(), '\n')));
    world_.ledger.append(*lines, "noreply");
  }
  world_.counters.open.sub();
  connections_[slot].reset();
  ++generations_[slot];
  free_slots_.push_back(slot);
}

void Server::add_timer(uint32_t slot, int64_t delay_ns, TimerKind kind) {
  timers_.push({now_ns_ + delay_ns, slot, generations_[slot], kind});
}

void Server::run_timers() {
  while (!timers_.empty() && timers_.top().due_ns <= now_ns_) {
    Timer timer = timers_.top();
    timers_.pop();
    if (generations_[timer.slot] == timer.generation && connections_[timer.slot]) on_timer(timer);
  }
  if (!accept_later_.empty() && now_ns_ >= accept_due_ns_) {
    for (uint32_t listener : accept_later_) arm_accept(listener);
    accept_later_.clear();
  }
}

void Server::on_timer(const Timer& timer) {
  uint32_t slot = timer.slot;
  Connection& c = *connections_[slot];
  if (c.life == Life::closing) return;
  switch (timer.kind) {
    case TimerKind::next_octet:
      c.byte_wait = false;
      return mark(slot);
    case TimerKind::give_up:
      return begin_close(slot);
    case TimerKind::resume:
      break;
  }
  c.paused = false;
  Step step = c.session.resume(c.out);
  apply(slot, step);
  if (!connections_[slot] || step != Step::ready || c.life != Life::open) return;
  if (c.pending.empty() && c.heard.empty()) return;
  std::string pending;
  pending.swap(c.pending);
  take_input(slot, pending);
}

// At the end: what the kernel has taken is acknowledged, the rest was not.
void Server::last_words() {
  io_uring_submit_and_get_events(&ring_);
  io_uring_cqe* cqe;
  unsigned head, seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (static_cast<Op>(cqe->user_data >> 32) == Op::send) {
      on_send(static_cast<uint32_t>(cqe->user_data), cqe->res);
    }
    ++seen;
  }
  io_uring_cq_advance(&ring_, seen);
  for (auto& connection : connections_) {
    if (!connection) continue;
    for (std::string* lines : {&connection->stored_in_send, &connection->session.answered(),
                               &connection->session.unanswered()}) {
      world_.counters.noreply.add(
          static_cast<uint64_t>(std::count(lines->begin(), lines->end(), '\n')));
      world_.ledger.append(*lines, "noreply");
      lines->clear();
    }
  }
  world_.ledger.flush();
}

}  // namespace veredus::sink
