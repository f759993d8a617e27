#pragma once

#include <atomic>
#include <cstdint>

#include "queue/batch.h"
#include "queue/retry.h"

namespace veredus::queue {

// What has become of a batch's recipients so far. Each home shard adds its own; anybody may read.
//   accepted = delivered + failed + expired + cancelled + suppressed + in_doubt (held) + waiting
// so `waiting` is never counted, it is what is left.
struct Tally {
  std::atomic<uint32_t> delivered{0};
  std::atomic<uint32_t> failed{0};
  std::atomic<uint32_t> expired{0};
  std::atomic<uint32_t> cancelled{0};
  std::atomic<uint32_t> suppressed{0};
  std::atomic<uint32_t> in_doubt_held{0};
  // Not part of the identity: of those waiting, how many have been tried before, and how many of
  // these are in doubt.
  std::atomic<uint32_t> deferred_now{0};
  std::atomic<uint32_t> in_doubt_waiting{0};
  std::atomic<uint64_t> attempts{0};
  std::atomic<int64_t> last_outcome_wall_ns{0};

  uint32_t settled() const {
    return delivered.load(std::memory_order_relaxed) + failed.load(std::memory_order_relaxed) +
           expired.load(std::memory_order_relaxed) + cancelled.load(std::memory_order_relaxed) +
           suppressed.load(std::memory_order_relaxed) +
           in_doubt_held.load(std::memory_order_relaxed);
  }
};

// A batch that exists: committed, durable. Shared by every shard and by the control side; only
// `tally` changes.
struct LiveBatch {
  Batch batch;
  uint32_t accepted = 0;
  uint32_t refused = 0;
  // When this process took it up: the wall clock was looked at this once. Set by the engine before
  // any shard sees the batch; nobody writes it afterwards.
  struct TakenUp {
    int64_t mono_ns = 0;
    int64_t wall_ns = 0;       // then; of one just accepted, when it was accepted: its age is 0
    int64_t last_wall_ns = 0;  // as age_on_load_ns() has it
  };
  mutable TakenUp taken_up;
  mutable Tally tally;

  // The one rule for when a recipient's time ends, on the process' monotonic clock: a wall clock
  // that jumps expires nothing. Its own `expires` (0: none) wins over the batch's, longer or
  // shorter; without either the policy's maximum age holds.
  int64_t expires_mono_ns(const RetryPolicy& policy, int64_t own_expires_wall_ns) const {
    const int64_t lifetime =
        lifetime_ns(policy, batch.accepted_wall_ns,
                    own_expires_wall_ns != 0 ? own_expires_wall_ns : batch.expires_wall_ns);
    return taken_up.mono_ns + lifetime -
           age_on_load_ns(policy, lifetime, batch.accepted_wall_ns, taken_up.last_wall_ns,
                          taken_up.wall_ns);
  }
};

}  // namespace veredus::queue
