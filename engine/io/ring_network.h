#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <netinet/in.h>

#include "absl/status/statusor.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"

namespace veredus::io {

struct NetworkSettings {
  uint32_t max_sockets =
      16384;  // beyond it connect() gives kNoSocket; leave descriptors for spool and feed. ≤ 2^20-1
  uint32_t receive_buffers = 1024;  // of the whole shard, a power of two ≤ 32768
  uint32_t receive_buffer_bytes = 2048;
  uint32_t send_block_bytes = 256 * 1024;  // what the kernel is given at once of one send
};

struct NetworkCounters {
  uint64_t connects = 0;
  uint64_t refused_descriptors = 0;  // connect() gave kNoSocket
  uint64_t sends = 0;                // blocks handed to the kernel
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
  uint64_t send_blocks = 0;        // made: the most connects and sends under way at once
  uint64_t buffers_exhausted = 0;  // receives armed again because all buffers were out
};

// Sockets on a ring. All notices come from Ring::run_collected(), in the order in which the kernel
// completed: bytes can arrive before the on_sent() of what they answer, and on_sent() can come
// after on_ended().
//
// Receiving is one multishot receive per socket on provided buffers of the shard: a silent
// connection holds no buffer. close() is a state: shut down (or cancel, while connecting and for
// `abort`), wait until the kernel has nothing of the socket, close the descriptor, raise the slot's
// generation, on_closed(). What was not yet with the kernel of a send under way is dropped; what
// arrives meanwhile is too.
class RingNetwork final : public Network {
 public:
  // `ring` outlives it.
  static absl::StatusOr<std::unique_ptr<RingNetwork>> create(Ring& ring,
                                                             const NetworkSettings& settings = {});
  // Closes what is left without a notice; abandons the ring when sockets are still open.
  ~RingNetwork() override;

  Socket connect(const Endpoint& peer, const Endpoint& source, SocketEvents& events) override;
  void send(Socket socket, std::span<const iovec> pieces) override;
  // Finished blocks, and of the one under way what the peer has acknowledged (a system call then).
  uint64_t sent_so_far(Socket socket) const override;
  void close(Socket socket, bool abort) override;
  bool has_address(const Endpoint& source) override;
  size_t open_sockets() const override { return open_; }

  const NetworkCounters& counters() const { return counters_; }
  // User space per open socket that is neither connecting nor sending, besides the shared buffers.
  static size_t bytes_per_socket();

 private:
  struct Slot;
  struct ReceivePart;
  struct SendPart;
  struct ClosePart;
  struct SendBlock;
  static constexpr unsigned kIndexBits = 20;
  static constexpr unsigned kChunkBits = 8;

  RingNetwork(Ring& ring, const NetworkSettings& settings);
  absl::Status provide_buffers();
  Slot& at(Socket socket) const;
  Slot* take_slot(SocketEvents& events);
  void release_slot(Slot& slot);
  SendBlock* take_block();
  void release_block(Slot& slot);
  void arm_receive(Slot& slot);
  void send_block(Slot& slot);
  void on_connect_done(Slot& slot, int32_t result);
  void on_send_done(Slot& slot, int32_t result);
  void on_receive_done(Slot& slot, int32_t result, uint32_t flags);
  void on_close_step(Slot& slot, int32_t result);
  void post(Slot& slot, Operation& part, int32_t result);
  void close_when_idle(Slot& slot);
  void give_back(uint16_t buffer);

  Ring& ring_;
  const NetworkSettings settings_;
  size_t open_ = 0;
  std::vector<std::unique_ptr<Slot[]>> chunks_;
  Slot* free_slots_ = nullptr;
  std::vector<std::unique_ptr<SendBlock>> blocks_;
  std::vector<SendBlock*> free_blocks_;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  char* buffers_ = nullptr;
  NetworkCounters counters_;
};

}  // namespace veredus::io
