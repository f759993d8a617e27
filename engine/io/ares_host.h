#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dns/ares_resolver.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"
#include "engine/io/timer_wheel.h"

namespace veredus::io {

// The loop that the resolver lives in: its descriptors polled on the ring, its time-outs on the
// timer wheel.
// Answers come from Ring::run_collected() and TimerWheel::advance().
class AresHost final : private dns::AresResolver::Host, private Timer {
 public:
  // `ring`, `timers` and `clock` outlive it. Errors as of dns::AresResolver::create().
  static absl::StatusOr<std::unique_ptr<AresHost>> create(
      Ring& ring, TimerWheel& timers, Clock& clock, const dns::AresResolver::Settings& settings);
  // Abandons the ring when polls are still in the kernel.
  ~AresHost() override;

  dns::Lookups& lookups() { return *resolver_; }
  dns::AresResolver& resolver() { return *resolver_; }
  size_t watched() const { return watches_.size(); }
  size_t in_kernel() const { return in_kernel_; }

 private:
  // One poll in the kernel. It outlives the wish: after unwatch() it is only waited for, and its
  // answer, which may be about another socket of the same number, means nothing.
  struct Poll final : Operation {
    void on_complete(int32_t result, uint32_t flags) override;
    AresHost* host = nullptr;
    int fd = -1;
    bool readable = false;
    bool writable = false;
    bool wanted = false;
    bool in_kernel = false;
  };
  AresHost(Ring& ring, TimerWheel& timers, Clock& clock)
      : ring_(ring), timers_(timers), clock_(clock) {}
  void watch(int fd, bool readable, bool writable) override;
  void unwatch(int fd) override;
  void wake_at(int64_t mono_ns) override;
  int64_t mono_ns() override;
  Poll* find(int fd);
  Poll& take_poll();
  void arm(Poll& poll);
  void drop(Poll& poll);
  void on_poll(Poll& poll, int32_t result);
  void on_timer() override;

  Ring& ring_;
  TimerWheel& timers_;
  Clock& clock_;
  std::vector<Poll*>
      watches_;  // wanted ones: at most a UDP and a TCP socket for each of ≤ 8 servers
  std::deque<Poll> polls_;
  std::vector<Poll*> free_;
  size_t in_kernel_ = 0;
  std::unique_ptr<dns::AresResolver> resolver_;
};

}  // namespace veredus::io
