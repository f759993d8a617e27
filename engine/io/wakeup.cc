#include "engine/io/wakeup.h"

#include <cassert>
#include <cerrno>
#include <cstring>
#include <string>

#include <sys/eventfd.h>
#include <unistd.h>

namespace veredus::io {

EventWake::~EventWake() {
  if (ring_ != nullptr) ring_->abandon();
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status EventWake::arm(Ring& ring) {
  assert(ring_ == nullptr);
  // Blocking on purpose: io_uring answers a read of a non-blocking eventfd with EAGAIN at once. A
  // write blocks only at 2^64 - 2 unread signals.
  descriptor_ = eventfd(0, EFD_CLOEXEC);
  if (descriptor_ < 0) {
    return absl::ResourceExhaustedError(std::string("no eventfd for a shard: ") +
                                        std::strerror(errno) +
                                        "; raise the limit of descriptors (LimitNOFILE=)");
  }
  ring_ = &ring;
  arm_read();
  return absl::OkStatus();
}

void EventWake::wake() {
  if (!sleeping_.exchange(false, std::memory_order_acq_rel)) return;
  // descriptor_ was set before the prepare_sleep() whose value has just been read.
  const uint64_t one = 1;
  while (write(descriptor_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  signals_.fetch_add(1, std::memory_order_relaxed);
}

void EventWake::arm_read() {
  io_uring_prep_read(ring_->sqe(this), descriptor_, &counter_, sizeof counter_, 0);
}

void EventWake::on_complete(int32_t /*result*/, uint32_t /*flags*/) {
  arm_read();  // that the sleep has ended is all there is to it
}

}  // namespace veredus::io
