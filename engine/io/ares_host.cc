#include "engine/io/ares_host.h"

#include <algorithm>
#include <utility>

#include <poll.h>

namespace veredus::io {

absl::StatusOr<std::unique_ptr<AresHost>> AresHost::create(
    Ring& ring, TimerWheel& timers, Clock& clock, const dns::AresResolver::Settings& settings) {
  std::unique_ptr<AresHost> host(new AresHost(ring, timers, clock));
  absl::StatusOr<std::unique_ptr<dns::AresResolver>> resolver =
      dns::AresResolver::create(settings, *host);
  if (!resolver.ok()) return resolver.status();
  host->resolver_ = *std::move(resolver);
  return host;
}

AresHost::~AresHost() {
  if (in_kernel_ > 0) ring_.abandon();
  resolver_.reset();  // unwatches what it has
}

AresHost::Poll* AresHost::find(int fd) {
  for (Poll* poll : watches_) {
    if (poll->fd == fd) return poll;
  }
  return nullptr;
}

AresHost::Poll& AresHost::take_poll() {
  if (free_.empty()) {
    free_.push_back(&polls_.emplace_back());
    free_.back()->host = this;
  }
  Poll& poll = *free_.back();
  free_.pop_back();
  return poll;
}

void AresHost::watch(int fd, bool readable, bool writable) {
  Poll* poll = find(fd);
  if (poll != nullptr && poll->readable == readable && poll->writable == writable) return;
  // A poll in the kernel asks what it was made to ask: another takes its place. One that is being
  // answered just now is armed again afterwards, with the new wish.
  const bool replace = poll != nullptr && poll->in_kernel;
  if (replace) drop(*poll);
  if (poll == nullptr || replace) {
    poll = &take_poll();
    poll->fd = fd;
    poll->wanted = true;
    watches_.push_back(poll);
    poll->readable = readable;
    poll->writable = writable;
    return arm(*poll);
  }
  poll->readable = readable;
  poll->writable = writable;
}

void AresHost::unwatch(int fd) {
  if (Poll* poll = find(fd); poll != nullptr) drop(*poll);
}

// Forgets the wish. An entry that has not been submitted yet is followed in the queue by its
// cancel: should the number be another socket's by then, it is polled for a moment and means
// nothing.
void AresHost::drop(Poll& poll) {
  std::erase(watches_, &poll);
  poll.wanted = false;
  if (poll.in_kernel) ring_.cancel(poll);
}

void AresHost::arm(Poll& poll) {
  unsigned mask = 0;
  if (poll.readable) mask |= POLLIN;
  if (poll.writable) mask |= POLLOUT;
  poll.in_kernel = true;
  ++in_kernel_;
  io_uring_prep_poll_add(ring_.sqe(&poll), poll.fd, mask);
}

void AresHost::Poll::on_complete(int32_t result, uint32_t /*flags*/) {
  host->on_poll(*this, result);
}

// One answer for one poll, armed again after it: so what was left unread is seen again.
void AresHost::on_poll(Poll& poll, int32_t result) {
  poll.in_kernel = false;
  --in_kernel_;
  if (poll.wanted) {
    const auto events = static_cast<unsigned>(result < 0 ? POLLERR : result);
    constexpr unsigned kEnded = POLLERR | POLLHUP;
    const bool readable = poll.readable && (events & (POLLIN | kEnded));
    const bool writable = poll.writable && (events & (POLLOUT | kEnded));
    resolver_->on_ready(poll.fd, readable, writable);
  }
  // Both wishes may have changed meanwhile.
  if (poll.wanted) return arm(poll);
  free_.push_back(&poll);
}

void AresHost::wake_at(int64_t mono_ns) {
  timers_.arm(*this, mono_ns);
}

int64_t AresHost::mono_ns() {
  return clock_.mono_ns();
}

void AresHost::on_timer() {
  resolver_->on_timer();
}

}  // namespace veredus::io
