#pragma once

#include <atomic>
#include <cstdint>

#include "queue/batch.h"

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
  // When its time ends, on the process' monotonic clock: a wall clock that jumps expires nothing.
  // Set by the engine before any shard sees the batch; nobody writes it afterwards.
  mutable int64_t expires_mono_ns = 0;
  mutable Tally tally;
};

}  // namespace veredus::queue
