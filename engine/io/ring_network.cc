#include "engine/io/ring_network.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <string>

#include <linux/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace veredus::io {
namespace {

constexpr int kBufferGroup = 0;      // one network per ring
constexpr size_t kBlockPieces = 8;   // copied ones, of a send that does not fit one block
constexpr size_t kVectorMax = 1024;  // UIO_MAXIOV
// Up to this size, pieces are put together here: the kernel takes longer over a vector of a dozen
// than copying them costs. A peer that reads nothing holds that much memory.
constexpr size_t kFlatBytes = 4096;
constexpr int kSendFlags = MSG_WAITALL | MSG_NOSIGNAL;

socklen_t to_kernel(const Endpoint& endpoint, sockaddr_in6& storage) {
  std::memset(&storage, 0, sizeof storage);
  if (endpoint.family == 6) {
    storage.sin6_family = AF_INET6;
    storage.sin6_port = htons(endpoint.port);
    std::memcpy(&storage.sin6_addr, endpoint.address.data(), 16);
    return sizeof(sockaddr_in6);
  }
  auto& four = reinterpret_cast<sockaddr_in&>(storage);
  four.sin_family = AF_INET;
  four.sin_port = htons(endpoint.port);
  std::memcpy(&four.sin_addr, endpoint.address.data(), 4);
  return sizeof(sockaddr_in);
}

// 0, or an errno. The port is left to connect(), which takes one that is free for this peer: bind()
// alone would need one that is free for all.
int bind_to(int descriptor, const Endpoint& source) {
  if (source.family == 0) return 0;
  const int on = 1;
  if (setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) {
    return errno;
  }
  sockaddr_in6 storage;
  const socklen_t size = to_kernel(source, storage);
  return bind(descriptor, reinterpret_cast<const sockaddr*>(&storage), size) == 0 ? 0 : errno;
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void* map_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

size_t ring_bytes(const NetworkSettings& settings) {
  return settings.receive_buffers * sizeof(io_uring_buf);
}

size_t buffer_bytes(const NetworkSettings& settings) {
  return size_t{settings.receive_buffers} * settings.receive_buffer_bytes;
}

}  // namespace

// What the kernel reads while it takes a connect or a send; only those under way have one.
struct RingNetwork::SendBlock {
  union {
    sockaddr_in6 address;
    struct {
      msghdr message;
      iovec pieces[kBlockPieces];
    };
    char flat[kFlatBytes];
  };
};

struct RingNetwork::ReceivePart : Operation {
  void on_complete(int32_t result, uint32_t flags) final;

 protected:
  ~ReceivePart() = default;
};
struct RingNetwork::SendPart : Operation {  // of the connect, too
  void on_complete(int32_t result, uint32_t flags) final;

 protected:
  ~SendPart() = default;
};
struct RingNetwork::ClosePart : Operation {
  void on_complete(int32_t result, uint32_t flags) final;

 protected:
  ~ClosePart() = default;
};

struct RingNetwork::Slot final : ReceivePart, SendPart, ClosePart {
  enum class State : uint8_t { free, connecting, failed, open, closing };

  RingNetwork* network = nullptr;
  SocketEvents* events = nullptr;
  const iovec* pieces = nullptr;  // of the send under way
  uint32_t piece_count = 0;
  uint32_t piece = 0;         // the first that is not wholly sent
  uint64_t piece_offset = 0;  // bytes of it that are
  uint64_t total = 0;         // of the send under way
  uint64_t sent = 0;
  uint64_t sent_before = 0;  // by the sends before this one
  SendBlock* block = nullptr;
  Slot* next_free = nullptr;
  int fd = -1;
  uint32_t index = 0;
  uint16_t generation = 0;
  uint16_t in_kernel = 0;  // operations that will still complete, posted ones included
  State state = State::free;
  bool sending = false;
  bool reset = false;

  Socket handle() const { return (uint32_t{generation} << kIndexBits) | index; }
};

void RingNetwork::ReceivePart::on_complete(int32_t result, uint32_t flags) {
  auto& slot = static_cast<Slot&>(*this);
  slot.network->on_receive_done(slot, result, flags);
}

void RingNetwork::SendPart::on_complete(int32_t result, uint32_t /*flags*/) {
  auto& slot = static_cast<Slot&>(*this);
  --slot.in_kernel;
  if (slot.block != nullptr) slot.network->release_block(slot);
  if (slot.state == Slot::State::closing) return slot.network->close_when_idle(slot);
  if (slot.state == Slot::State::connecting) return slot.network->on_connect_done(slot, result);
  slot.network->on_send_done(slot, result);
}

void RingNetwork::ClosePart::on_complete(int32_t result, uint32_t /*flags*/) {
  auto& slot = static_cast<Slot&>(*this);
  slot.network->on_close_step(slot, result);
}

RingNetwork::RingNetwork(Ring& ring, const NetworkSettings& settings)
    : ring_(ring), settings_(settings) {
  static_assert(sizeof(Slot) <= 200);
}

size_t RingNetwork::bytes_per_socket() {
  return sizeof(Slot);
}

absl::StatusOr<std::unique_ptr<RingNetwork>> RingNetwork::create(Ring& ring,
                                                                 const NetworkSettings& settings) {
  if (!std::has_single_bit(settings.receive_buffers) || settings.receive_buffers > 32768 ||
      settings.receive_buffer_bytes == 0 || settings.send_block_bytes == 0 ||
      settings.max_sockets >= (1u << kIndexBits)) {
    return absl::InvalidArgumentError("network settings out of range");
  }
  std::unique_ptr<RingNetwork> network(new RingNetwork(ring, settings));
  if (absl::Status provided = network->provide_buffers(); !provided.ok()) return provided;
  return network;
}

absl::Status RingNetwork::provide_buffers() {
  buffer_ring_ = static_cast<io_uring_buf_ring*>(map_memory(ring_bytes(settings_)));
  buffers_ = static_cast<char*>(map_memory(buffer_bytes(settings_)));
  if (buffer_ring_ == nullptr || buffers_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for the receive buffers of a shard (" +
                                        std::to_string(buffer_bytes(settings_)) + " bytes)");
  }
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(buffer_ring_);
  registration.ring_entries = settings_.receive_buffers;
  registration.bgid = kBufferGroup;
  const int result = io_uring_register_buf_ring(&ring_.raw(), &registration, 0);
  if (result != 0) return Ring::refusal(-result);
  io_uring_buf_ring_init(buffer_ring_);
  for (uint32_t i = 0; i < settings_.receive_buffers; ++i) give_back(static_cast<uint16_t>(i));
  return absl::OkStatus();
}

RingNetwork::~RingNetwork() {
  if (open_ > 0) {
    ring_.abandon();
    for (const auto& chunk : chunks_) {
      for (uint32_t i = 0; i < (1u << kChunkBits); ++i) {
        if (chunk[i].fd >= 0) ::close(chunk[i].fd);
      }
    }
  } else if (!ring_.abandoned()) {
    io_uring_unregister_buf_ring(&ring_.raw(), kBufferGroup);
  }
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, ring_bytes(settings_));
  if (buffers_ != nullptr) munmap(buffers_, buffer_bytes(settings_));
}

void RingNetwork::give_back(uint16_t buffer) {
  io_uring_buf_ring_add(buffer_ring_, buffers_ + size_t{buffer} * settings_.receive_buffer_bytes,
                        settings_.receive_buffer_bytes, buffer,
                        io_uring_buf_ring_mask(settings_.receive_buffers), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

// ------------------------------------------------------------------------------------------ slots

RingNetwork::Slot& RingNetwork::at(Socket socket) const {
  const uint32_t index = socket & ((1u << kIndexBits) - 1);
  assert((index >> kChunkBits) < chunks_.size());
  Slot& slot = chunks_[index >> kChunkBits][index & ((1u << kChunkBits) - 1)];
  assert(slot.handle() == socket && slot.state != Slot::State::free);
  return slot;
}

RingNetwork::Slot* RingNetwork::take_slot(SocketEvents& events) {
  if (free_slots_ == nullptr) {
    const auto first = static_cast<uint32_t>(chunks_.size()) << kChunkBits;
    chunks_.push_back(std::make_unique<Slot[]>(1u << kChunkBits));
    for (uint32_t i = 1u << kChunkBits; i-- > 0;) {
      Slot& slot = chunks_.back()[i];
      slot.network = this;
      slot.index = first + i;
      slot.next_free = free_slots_;
      free_slots_ = &slot;
    }
  }
  Slot& slot = *free_slots_;
  free_slots_ = slot.next_free;
  slot.events = &events;
  slot.state = Slot::State::connecting;
  slot.sending = slot.reset = false;
  slot.sent_before = slot.sent = slot.total = 0;
  ++open_;
  return &slot;
}

void RingNetwork::release_slot(Slot& slot) {
  assert(slot.in_kernel == 0 && slot.block == nullptr);
  slot.state = Slot::State::free;
  slot.generation = (slot.generation + 1) & ((1u << (32 - kIndexBits)) - 1);
  slot.next_free = free_slots_;
  free_slots_ = &slot;
  --open_;
}

RingNetwork::SendBlock* RingNetwork::take_block() {
  if (free_blocks_.empty()) {
    blocks_.push_back(std::make_unique<SendBlock>());
    ++counters_.send_blocks;
    free_blocks_.push_back(blocks_.back().get());
  }
  SendBlock* block = free_blocks_.back();
  free_blocks_.pop_back();
  return block;
}

void RingNetwork::release_block(Slot& slot) {
  free_blocks_.push_back(slot.block);
  slot.block = nullptr;
}

void RingNetwork::post(Slot& slot, Operation& part, int32_t result) {
  ++slot.in_kernel;
  ring_.post(part, result);
}

// ---------------------------------------------------------------------------------------- connect

Socket RingNetwork::connect(const Endpoint& peer, const Endpoint& source, SocketEvents& events) {
  assert(peer.family == 4 || peer.family == 6);
  int error = 0;
  int descriptor = -1;
  if (open_ < settings_.max_sockets) {
    descriptor = socket(peer.family == 6 ? AF_INET6 : AF_INET,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) error = errno;
  }
  if (open_ >= settings_.max_sockets || is_shortage(error)) {
    ++counters_.refused_descriptors;
    return kNoSocket;
  }
  ++counters_.connects;
  Slot& slot = *take_slot(events);
  slot.fd = descriptor;
  if (descriptor >= 0) {
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    error = bind_to(descriptor, source);
  }
  if (error != 0) {
    post(slot, static_cast<SendPart&>(slot), -error);
    return slot.handle();
  }
  slot.block = take_block();
  const socklen_t size = to_kernel(peer, slot.block->address);
  ++slot.in_kernel;
  io_uring_prep_connect(ring_.sqe(static_cast<SendPart*>(&slot)), descriptor,
                        reinterpret_cast<const sockaddr*>(&slot.block->address), size);
  return slot.handle();
}

// A shortage of descriptors says nothing of the address.
bool RingNetwork::has_address(const Endpoint& source) {
  const int descriptor =
      socket(source.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return true;
  const int error = bind_to(descriptor, source);
  ::close(descriptor);
  return error != EADDRNOTAVAIL;
}

void RingNetwork::on_connect_done(Slot& slot, int32_t result) {
  if (result < 0) {
    slot.state = Slot::State::failed;
  } else {
    slot.state = Slot::State::open;
    arm_receive(slot);
  }
  slot.events->on_connected(result < 0 ? -result : 0);
}

// ---------------------------------------------------------------------------------------- receive

void RingNetwork::arm_receive(Slot& slot) {
  ++slot.in_kernel;
  io_uring_sqe* entry = ring_.sqe(static_cast<ReceivePart*>(&slot));
  io_uring_prep_recv_multishot(entry, slot.fd, nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = kBufferGroup;
}

// The buffer goes back whatever became of the socket: also after close(), also beside an error.
void RingNetwork::on_receive_done(Slot& slot, int32_t result, uint32_t flags) {
  const bool more = flags & IORING_CQE_F_MORE;
  if (!more) --slot.in_kernel;
  const auto buffer = static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  if (result > 0 && slot.state == Slot::State::open) {
    counters_.received_bytes += static_cast<uint64_t>(result);
    slot.events->on_received(
        {buffers_ + size_t{buffer} * settings_.receive_buffer_bytes, static_cast<size_t>(result)});
  }
  if (flags & IORING_CQE_F_BUFFER) give_back(buffer);
  if (more) return;
  if (slot.state == Slot::State::closing) return close_when_idle(slot);
  // A multishot receive also ends when buffers run out or the completion queue is full. By the time
  // that it is submitted again, all that has been collected is run and its buffers are back.
  if (result == -ENOBUFS) ++counters_.buffers_exhausted;
  if (result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN) {
    return arm_receive(slot);
  }
  slot.events->on_ended(-result);
}

// ------------------------------------------------------------------------------------------- send

void RingNetwork::send(Socket socket, std::span<const iovec> pieces) {
  Slot& slot = at(socket);
  assert(slot.state == Slot::State::open && !slot.sending);
  slot.sending = true;
  slot.pieces = pieces.data();
  slot.piece_count = static_cast<uint32_t>(pieces.size());
  slot.piece = 0;
  slot.piece_offset = 0;
  slot.sent_before += slot.sent;
  slot.sent = slot.total = 0;
  for (const iovec& piece : pieces) slot.total += piece.iov_len;
  if (slot.total == 0) return post(slot, static_cast<SendPart&>(slot), 0);
  send_block(slot);
}

// Hands over the next ≤ send_block_bytes: a plain send when they lie in one piece or are few, else
// a vector: the owner's own when all that is left fits, else a copy of the next few pieces.
void RingNetwork::send_block(Slot& slot) {
  while (slot.pieces[slot.piece].iov_len == slot.piece_offset) {
    ++slot.piece;
    slot.piece_offset = 0;
  }
  ++counters_.sends;
  ++slot.in_kernel;
  io_uring_sqe* entry = ring_.sqe(static_cast<SendPart*>(&slot));
  const iovec& first = slot.pieces[slot.piece];
  char* begin = static_cast<char*>(first.iov_base) + slot.piece_offset;
  const uint64_t left = slot.total - slot.sent;
  uint64_t room = settings_.send_block_bytes;
  const uint64_t in_first = std::min<uint64_t>(first.iov_len - slot.piece_offset, room);
  if (in_first == left || in_first == room) {
    return io_uring_prep_send(entry, slot.fd, begin, in_first, kSendFlags);
  }
  slot.block = take_block();
  if (left <= std::min<uint64_t>(kFlatBytes, room)) {
    char* end = std::copy_n(begin, in_first, slot.block->flat);
    for (uint32_t i = slot.piece + 1; i < slot.piece_count; ++i) {
      end = std::copy_n(static_cast<const char*>(slot.pieces[i].iov_base), slot.pieces[i].iov_len,
                        end);
    }
    return io_uring_prep_send(entry, slot.fd, slot.block->flat, left, kSendFlags);
  }
  msghdr& message = slot.block->message;
  message = {};
  const uint32_t pieces_left = slot.piece_count - slot.piece;
  if (slot.piece_offset == 0 && left <= room && pieces_left <= kVectorMax) {
    message.msg_iov = const_cast<iovec*>(slot.pieces + slot.piece);
    message.msg_iovlen = pieces_left;
  } else {
    message.msg_iov = slot.block->pieces;
    slot.block->pieces[0] = {begin, in_first};
    message.msg_iovlen = 1;
    room -= in_first;
    for (uint32_t i = slot.piece + 1; i < slot.piece_count && room > 0; ++i) {
      if (message.msg_iovlen == kBlockPieces) break;
      const uint64_t bytes = std::min<uint64_t>(slot.pieces[i].iov_len, room);
      if (bytes == 0) continue;
      slot.block->pieces[message.msg_iovlen++] = {slot.pieces[i].iov_base, bytes};
      room -= bytes;
    }
  }
  io_uring_prep_sendmsg(entry, slot.fd, &message, kSendFlags);
}

void RingNetwork::on_send_done(Slot& slot, int32_t result) {
  assert(slot.state == Slot::State::open);
  if (result == -EINTR || result == -EAGAIN) return send_block(slot);
  if (result > 0) {
    counters_.sent_bytes += static_cast<uint64_t>(result);
    slot.sent += static_cast<uint64_t>(result);
    slot.piece_offset += static_cast<uint64_t>(result);
    while (slot.piece < slot.piece_count && slot.piece_offset >= slot.pieces[slot.piece].iov_len) {
      slot.piece_offset -= slot.pieces[slot.piece++].iov_len;
    }
    if (slot.sent < slot.total) return send_block(slot);
  }
  slot.sending = false;
  const bool whole = slot.sent == slot.total;
  slot.events->on_sent(whole ? 0 : result < 0 ? -result : EPIPE);
}

// A block is done only when all of it is with the kernel, which takes long at a slow peer. What the
// peer has acknowledged shows that it still reads.
uint64_t RingNetwork::sent_so_far(Socket socket) const {
  const Slot& slot = at(socket);
  if (!slot.sending || slot.fd < 0) return slot.sent;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(slot.fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked) {
    return slot.sent;
  }
  const uint64_t before = slot.sent_before + 1;  // our SYN counts as one
  const uint64_t acknowledged = info.tcpi_bytes_acked > before ? info.tcpi_bytes_acked - before : 0;
  return std::min(std::max(slot.sent, acknowledged), slot.total);
}

// ------------------------------------------------------------------------------------------ close

void RingNetwork::close(Socket socket, bool abort) {
  Slot& slot = at(socket);
  assert(slot.state != Slot::State::closing);
  const bool connecting = slot.state == Slot::State::connecting;
  slot.state = Slot::State::closing;
  slot.reset = abort;
  if (slot.in_kernel == 0) return post(slot, static_cast<ClosePart&>(slot), 0);
  if (slot.fd < 0) return;  // a posted failure is on its way
  if (!abort && !connecting && shutdown(slot.fd, SHUT_RDWR) == 0) return;
  ++slot.in_kernel;
  io_uring_prep_cancel_fd(ring_.sqe(static_cast<ClosePart*>(&slot)), slot.fd,
                          IORING_ASYNC_CANCEL_ALL);
}

void RingNetwork::on_close_step(Slot& slot, int32_t result) {
  --slot.in_kernel;
  // Caught in the middle of its work, the kernel may not cancel; a shutdown ends it all the same.
  if (result == -EALREADY && slot.in_kernel > 0) shutdown(slot.fd, SHUT_RDWR);
  close_when_idle(slot);
}

void RingNetwork::close_when_idle(Slot& slot) {
  if (slot.in_kernel > 0) return;
  if (slot.fd >= 0) {
    if (slot.reset) {
      const linger now{1, 0};
      setsockopt(slot.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    ::close(slot.fd);
    slot.fd = -1;
  }
  SocketEvents& events = *slot.events;
  release_slot(slot);
  events.on_closed();  // may take the slot again
}

}  // namespace veredus::io
