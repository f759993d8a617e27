#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"

namespace veredus::io {

// Wakes a shard that sleeps in its ring. While the shard is awake, wake() costs one atomic exchange
// and no system call.
//
// The shard, before it sleeps:               Any other thread:
//   wake.prepare_sleep();                     put something into an inbox of the shard
//   if (any inbox has something) timeout = 0;  wake.wake();
//   ring.submit_and_wait(timeout);
//   wake.awake();
//
// No wake-up is lost: all three are read-modify-writes (acquire and release) of one flag, so they
// have one order. If wake() comes before prepare_sleep() in it, the latter reads what the former
// wrote (or a later link of the same chain), so the inbox was filled before the shard looks into
// it. If it comes after, it finds the flag set and writes to the eventfd, whose read is armed on
// the ring.
class EventWake final : public Wake, private Operation {
 public:
  EventWake() = default;
  // Abandons the ring, unless that has been done: the read is always in the kernel.
  ~EventWake() override;

  // On the shard's thread, before its first prepare_sleep(). wake() may be called before. `ring`
  // outlives this. Fails at the descriptor limit.
  absl::Status arm(Ring& ring);

  void wake() override;

  void prepare_sleep() { sleeping_.exchange(true, std::memory_order_acq_rel); }
  void awake() { sleeping_.exchange(false, std::memory_order_acq_rel); }

  uint64_t signals() const {
    return signals_.load(std::memory_order_relaxed);
  }  // system calls made by wake()

 private:
  void arm_read();
  void on_complete(int32_t result, uint32_t flags) override;

  Ring* ring_ = nullptr;
  int descriptor_ = -1;
  uint64_t counter_ = 0;  // the kernel reads into it
  std::atomic<uint64_t> signals_{0};
  alignas(64) std::atomic<bool> sleeping_{false};
};

}  // namespace veredus::io
