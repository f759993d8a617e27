#include "engine/io/ring.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace veredus::io {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kAbandonNs = 5 * kSecondNs;

int64_t mono_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

// Errors of io_uring_enter() that mean "not now": interrupted, nothing completed in time, short of
// memory, or the completion queue has to be emptied first.
bool is_transient(int error) {
  return error == EINTR || error == ETIME || error == EAGAIN || error == EBUSY || error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ring>> Ring::create(const RingSettings& settings) {
  std::unique_ptr<Ring> ring(new Ring());
  io_uring_params params{};
  params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  params.cq_entries = settings.completion_entries;
  int error = -io_uring_queue_init_params(settings.entries, &ring->ring_, &params);
  if (error == EINVAL) {
    params = {};
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED;
    params.cq_entries = settings.completion_entries;
    error = -io_uring_queue_init_params(settings.entries, &ring->ring_, &params);
  }
  if (error != 0) {
    ring->ring_.ring_fd = -1;
    ring->abandoned_ = true;
    return refusal(error);
  }
  ring->collected_.reserve(settings.completion_entries);
  ring->running_.reserve(settings.completion_entries);
  return ring;
}

Ring::~Ring() {
  abandon();
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

io_uring_sqe* Ring::sqe(Operation* operation) {
  if (abandoned_) return &unused_;
  ++in_kernel_;
  io_uring_sqe* entry = nullptr;
  if (!backlog_.empty()) move_backlog();
  if (backlog_.empty()) {
    entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      submit();
      entry = io_uring_get_sqe(&ring_);
    }
  }
  if (entry == nullptr) {  // behind those that wait already: the order of entries has a meaning
    ++counters_.delayed;
    entry = &backlog_.emplace_back();
  }
  io_uring_sqe_set_data(entry, operation);
  return entry;
}

void Ring::move_backlog() {
  while (!backlog_.empty()) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return;
    *entry = backlog_.front();
    backlog_.pop_front();
  }
}

void Ring::cancel(Operation& operation) {
  io_uring_prep_cancel(sqe(nullptr), &operation, 0);
}

void Ring::post(Operation& operation, int32_t result) {
  collected_.push_back({&operation, result, 0});
}

void Ring::post_remote(RemoteCompletion& completion) {
  RemoteCompletion* head = remote_.load(std::memory_order_relaxed);
  do {
    completion.next = head;
  } while (!remote_.compare_exchange_weak(head, &completion, std::memory_order_release,
                                          std::memory_order_relaxed));
}

size_t Ring::collect() {
  const size_t before = collected_.size();
  if (remote_.load(std::memory_order_relaxed) != nullptr) {
    RemoteCompletion* newest = remote_.exchange(nullptr, std::memory_order_acquire);
    for (; newest != nullptr; newest = newest->next) {
      collected_.push_back({newest->operation, newest->result, 0});
    }
    std::reverse(collected_.begin() + static_cast<ptrdiff_t>(before), collected_.end());
  }
  if (abandoned_) return collected_.size() - before;
  if (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) ++counters_.overflows;
  io_uring_cqe* entries[256];
  while (collected_.size() < kCollectedMax) {
    // When the queue is empty but has overflowed, this asks the kernel for the rest.
    const unsigned count = io_uring_peek_batch_cqe(&ring_, entries, 256);
    if (count == 0) break;
    for (unsigned i = 0; i < count; ++i) {
      const io_uring_cqe& entry = *entries[i];
      if (!(entry.flags & IORING_CQE_F_MORE)) --in_kernel_;
      auto* operation = static_cast<Operation*>(io_uring_cqe_get_data(&entry));
      if (operation != nullptr) collected_.push_back({operation, entry.res, entry.flags});
    }
    io_uring_cq_advance(&ring_, count);
  }
  if (*ring_.cq.koverflow != 0) check(-EBADR, "the completion queue");
  return collected_.size() - before;
}

size_t Ring::run_collected() {
  assert(!running_now_);
  running_now_ = true;
  running_.swap(collected_);
  for (const Completion& completion : running_) {
    if (abandoned_) break;
    completion.operation->on_complete(completion.result, completion.flags);
  }
  const size_t count = running_.size();
  counters_.completions += count;
  running_.clear();
  running_now_ = false;
  return count;
}

bool Ring::anything_collected() const {
  return !collected_.empty() || remote_.load(std::memory_order_acquire) != nullptr;
}

void Ring::enable() {
  if (enabled_) return;
  // io_uring_enable_rings() is declared by liburing 2.3 but missing in its shared library.
  const long result =
      syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  check(result < 0 ? -errno : 0, "io_uring_register(ENABLE_RINGS)");
  enabled_ = true;
}

void Ring::submit() {
  if (abandoned_) return;
  enable();
  do {
    move_backlog();
    const unsigned queued = io_uring_sq_ready(&ring_);
    const int result = io_uring_submit_and_get_events(&ring_);
    ++counters_.enters;
    counters_.submitted += queued - io_uring_sq_ready(&ring_);
    check(result, "io_uring_enter");
    if (io_uring_sq_space_left(&ring_) == 0) return;  // the kernel takes nothing now: next turn
  } while (!backlog_.empty());
}

void Ring::submit_and_wait(int64_t timeout_ns) {
  if (abandoned_) return;
  if (timeout_ns <= 0 || anything_collected() || !backlog_.empty()) return submit();
  enable();
  const unsigned queued = io_uring_sq_ready(&ring_);
  __kernel_timespec timeout{timeout_ns / kSecondNs, timeout_ns % kSecondNs};
  io_uring_cqe* first = nullptr;
  // With IORING_FEAT_EXT_ARG, which probe() insists on, the time travels in the call; without it
  // liburing would take a submission entry for it.
  const int result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
  ++counters_.enters;
  counters_.submitted += queued - io_uring_sq_ready(&ring_);
  check(result, "io_uring_enter");
}

// What is neither success nor "not now" has lost completions or is a bug: nobody could go on from
// there. Stopping at once is safe, as after SIGKILL: what was acknowledged is in the journal.
void Ring::check(int result, const char* call) {
  if (result >= 0 || is_transient(-result)) return;
  std::fprintf(stderr, "veredus: %s failed: %s; stopping, the journal has everything\n", call,
               std::strerror(-result));
  std::abort();
}

bool Ring::abandon() {
  if (abandoned_) return in_kernel_ == 0;
  abandoned_ = true;
  if (!enabled_) {
    in_kernel_ = 0;
    return true;
  }
  const int64_t end_ns = mono_ns() + kAbandonNs;
  while (in_kernel_ != 0 && mono_ns() < end_ns) {
    move_backlog();
    if (io_uring_sqe* entry = io_uring_get_sqe(&ring_); entry != nullptr) {
      ++in_kernel_;
      io_uring_prep_cancel(entry, nullptr, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
      io_uring_sqe_set_data(entry, nullptr);
    }
    __kernel_timespec timeout{0, 10'000'000};
    io_uring_cqe* first = nullptr;
    if (io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr) == -EEXIST) {
      in_kernel_ = 0;  // the thread that owned the ring has ended, and its operations with it
      return true;
    }
    io_uring_cqe* entries[64];
    while (const unsigned count = io_uring_peek_batch_cqe(&ring_, entries, 64)) {
      for (unsigned i = 0; i < count; ++i) {
        if (!(entries[i]->flags & IORING_CQE_F_MORE)) --in_kernel_;
      }
      io_uring_cq_advance(&ring_, count);
    }
  }
  return in_kernel_ == 0;
}

}  // namespace veredus::io
