#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "dns/ares_resolver.h"
#include "engine/io/ports.h"
#include "engine/io/ring.h"
#include "engine/io/timer_wheel.h"

namespace veredus::io {

// The loop that the resolver lives in: its descriptors polled on the ring, its time-outs on the
// timer wheel.
//
//   AresHost host(ring, timers, clock);
//   auto resolver = dns::AresResolver::create(settings, host);
//   host.set_resolver(resolver->get());
class AresHost final : public dns::AresResolver::Host, private Timer {
 public:
  // All outlive it; it outlives the resolver. Before it goes, the ring is abandoned or nothing is
  // in_kernel().
  AresHost(Ring& ring, TimerWheel& timers, Clock& clock)
      : ring_(ring), timers_(timers), clock_(clock) {}
  ~AresHost() override;

  void set_resolver(dns::AresResolver* resolver) { resolver_ = resolver; }

  void watch(int fd, bool readable, bool writable) override;
  void unwatch(int fd) override;
  void wake_at(int64_t mono_ns) override;
  int64_t mono_ns() override;

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
  Poll* find(int fd);
  Poll& take_poll();
  void arm(Poll& poll);
  void drop(Poll& poll);
  void on_poll(Poll& poll, int32_t result);
  void on_timer() override;

  Ring& ring_;
  TimerWheel& timers_;
  Clock& clock_;
  dns::AresResolver* resolver_ = nullptr;
  std::vector<Poll*>
      watches_;  // wanted ones: at most a UDP and a TCP socket for each of ≤ 8 servers
  std::deque<Poll> polls_;
  std::vector<Poll*> free_;
  size_t in_kernel_ = 0;
};

}  // namespace veredus::io
