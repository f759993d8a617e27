#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>
#include <time.h>

#include "dns/ares_resolver.h"

namespace veredus::dns::testing {

// The smallest loop an AresResolver can live in; a test's own sockets are served in it, too.
class PollHost final : public AresResolver::Host {
 public:
  void watch(int fd, bool readable, bool writable) override {
    watched_[fd] = static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    most_watched = std::max(most_watched, watched_.size());
  }
  void unwatch(int fd) override { watched_.erase(fd); }
  void wake_at(int64_t at_mono_ns) override { wake_ = at_mono_ns; }
  int64_t mono_ns() override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

  void serve(int fd, std::function<void()> on_readable) { served_[fd] = std::move(on_readable); }
  void stop_serving(int fd) { served_.erase(fd); }

  // Runs until `done` or ten seconds have passed: then the test fails.
  void run(AresResolver& resolver, const std::function<bool()>& done) {
    const int64_t limit = mono_ns() + 10'000'000'000;
    while (!done()) {
      ASSERT_LT(mono_ns(), limit) << "nothing came";
      turn(resolver, limit);
    }
  }
  void run_for(AresResolver& resolver, int64_t milliseconds) {
    const int64_t limit = mono_ns() + milliseconds * 1'000'000;
    while (mono_ns() < limit) turn(resolver, limit);
  }

  size_t watched() const { return watched_.size(); }
  size_t most_watched = 0;
  int timers = 0;

 private:
  void turn(AresResolver& resolver, int64_t limit) {
    std::vector<pollfd> fds;
    for (const auto& [fd, events] : watched_) fds.push_back({fd, events, 0});
    const size_t own = fds.size();
    for (const auto& [fd, call] : served_) fds.push_back({fd, POLLIN, 0});
    const int64_t until = std::min(wake_, limit);
    const int64_t wait_ns = std::max<int64_t>(until - mono_ns(), 0);
    poll(fds.data(), fds.size(),
         static_cast<int>(wait_ns / 1'000'000 + (wait_ns % 1'000'000 != 0)));
    if (mono_ns() >= wake_) {
      wake_ = INT64_MAX;
      ++timers;
      resolver.on_timer();
    }
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      if (i >= own) {
        served_.at(fds[i].fd)();
      } else if (watched_.contains(fds[i].fd)) {
        const bool broken = (fds[i].revents & (POLLERR | POLLHUP)) != 0;
        resolver.on_ready(fds[i].fd, broken || (fds[i].revents & POLLIN) != 0,
                          (fds[i].revents & POLLOUT) != 0);
      }
    }
  }

  std::map<int, short> watched_;
  std::map<int, std::function<void()>> served_;
  int64_t wake_ = INT64_MAX;
};

}  // namespace veredus::dns::testing
