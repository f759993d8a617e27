#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include <liburing.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace veredus::io {

// Something that is, or may be, in the kernel. A member (or base) of its owner, which lives until
// the last completion, even after a cancel (Ring::abandon() is the one exception).
class Operation {
 public:
  // `result` is the kernel's (≥ 0, or -errno), `flags` are IORING_CQE_F_*. Without F_MORE it was
  // the last one of this submission. Called from Ring::run_collected() only.
  virtual void on_complete(int32_t result, uint32_t flags) = 0;

 protected:
  ~Operation() = default;
};

// A completion from another thread: see Ring::post_remote(). Lives until its operation has run.
struct RemoteCompletion {
  RemoteCompletion* next = nullptr;
  Operation* operation = nullptr;
  int32_t result = 0;
};

struct RingSettings {
  unsigned entries = 4096;              // of the submission queue, a power of two
  unsigned completion_entries = 16384;  // ≥ entries, a power of two
};

struct RingCounters {
  uint64_t enters = 0;       // system calls made to submit or to wait
  uint64_t submitted = 0;    // operations handed to the kernel
  uint64_t completions = 0;  // run
  uint64_t overflows =
      0;  // times that the completion queue was full; the kernel kept the rest, nothing was lost
  uint64_t delayed =
      0;  // operations kept back because the kernel would not take more at that moment
};

// One io_uring, of one shard. A turn of the loop:
//
//   ring.collect();          // moves what the kernel has completed into a list of our own
//   ring.run_collected();    // runs it: no recursion; what it queues is submitted together
//   …
//   ring.submit_and_wait(ns);
//
// It may be made on any thread; the thread that submits first owns it from then on
// (IORING_SETUP_SINGLE_ISSUER). Only post_remote() may be called from other threads.
class Ring {
 public:
  // What one collect() takes at most; the rest stays with the kernel until the next.
  static constexpr size_t kCollectedMax = 32768;

  // Refused: a status whose message says cause and remedy, see probe().
  static absl::StatusOr<std::unique_ptr<Ring>> create(const RingSettings& settings = {});
  // Tries on real rings, before anything is started, that this host lets us have io_uring and that
  // its kernel has what we use (Linux 6.1). Not OK: the message says cause and remedy; the process
  // should exit with status 78 (EX_CONFIG).
  static absl::Status probe();
  // The refusal of io_uring_setup() in words; `error` is a positive errno.
  static absl::Status refusal(int error);

  ~Ring();  // abandon()s
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // A submission entry for `operation`, to be prepared at once (io_uring_prep_*). Never null: when
  // the queue is full it is submitted, and when the kernel takes nothing the entry waits in memory
  // (bounded by the operations that their owners have). Null operation: nobody wants to hear of the
  // completion.
  io_uring_sqe* sqe(Operation* operation);
  // Asks the kernel to end what `operation` has in it. The operation still gets its completion
  // (-ECANCELED if this came in time). An entry for the same operation made later is not touched.
  void cancel(Operation& operation);

  // A completion of our own for the next run_collected(), as if the kernel had made it.
  void post(Operation& operation, int32_t result);
  // The same from any thread; whoever calls it wakes the shard afterwards (EventWake::wake()).
  void post_remote(RemoteCompletion& completion);

  // Both return how many. run_collected() runs what was there when it was called; what operations
  // post meanwhile is for the next one.
  size_t collect();
  size_t run_collected();
  bool anything_collected() const;

  // Hands queued entries to the kernel and lets it complete what it can.
  void submit();
  // The same, then sleeps until a completion, a post_remote() with its wake, or `timeout_ns`; ≤ 0:
  // only looks. Does not sleep while posted completions wait to be run.
  void submit_and_wait(int64_t timeout_ns);

  // The end: cancels everything, waits until nothing is in the kernel any more and delivers
  // nothing. Then the owners of operations may go; those of engine/io call it themselves when they
  // go with something in the kernel. The ring is of no use afterwards. On the thread that owns the
  // ring, or after that thread has ended (whose end does the same). False: something (a sync on a
  // dead disk) did not end within 5 s.
  bool abandon();
  bool abandoned() const { return abandoned_; }

  size_t in_kernel() const { return in_kernel_; }  // operations queued or with the kernel
  const RingCounters& counters() const { return counters_; }
  io_uring& raw() { return ring_; }  // for registrations (provided buffers)

 private:
  struct Completion {
    Operation* operation;
    int32_t result;
    uint32_t flags;
  };

  Ring() = default;
  void enable();
  void move_backlog();
  void check(int result, const char* call);

  io_uring ring_{};
  bool enabled_ = false;
  bool abandoned_ = false;
  io_uring_sqe unused_{};  // what sqe() gives once abandoned
  bool running_now_ = false;
  size_t in_kernel_ = 0;
  std::vector<Completion> collected_;
  std::vector<Completion> running_;
  std::deque<io_uring_sqe> backlog_;
  std::atomic<RemoteCompletion*> remote_{nullptr};
  RingCounters counters_;
};

}  // namespace veredus::io
