#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

  // Settled for good: never less than it was, so that equal to accepted means finished, whatever
  // is being counted meanwhile.
  uint32_t finals() const {
    return delivered.load(std::memory_order_relaxed) + failed.load(std::memory_order_relaxed) +
           expired.load(std::memory_order_relaxed) + cancelled.load(std::memory_order_relaxed) +
           suppressed.load(std::memory_order_relaxed);
  }
  uint32_t settled() const { return finals() + in_doubt_held.load(std::memory_order_relaxed); }
};

// A batch that exists: committed, durable. Shared by every shard and by the control side. What is
// not mutable here is set before anybody else sees it, and never afterwards.
struct LiveBatch {
  using Locations = std::shared_ptr<const std::vector<Location>>;

  Batch batch;
  uint32_t accepted = 0;
  uint32_t refused = 0;
  uint32_t extents = 0;                   // over all journals
  uint64_t extent_bytes = 0;              // of their payloads
  uint16_t coordinator = 0;               // the journal that holds its commit
  std::array<uint8_t, 32> body_sha256{};  // of the request that brought it

  // Where its message lies now: reclaim carries it forward within its journal. A reader that fails
  // at one place asks again.
  Location content_at() const {
    Location at = batch.content;
    const uint64_t place = content_place.load(std::memory_order_acquire);
    if (place == 0) return at;
    at.segment = static_cast<uint32_t>(place >> 32);
    at.offset = static_cast<uint32_t>(place);
    return at;
  }
  void content_moved(uint32_t segment, uint32_t offset) const {
    content_place.store(uint64_t{segment} << 32 | offset, std::memory_order_release);
  }
  mutable std::atomic<uint64_t> content_place{0};  // segment << 32 | offset; 0: as `batch` has it

  // Where its refusals frames (batch number u64, then JSON lines) lie now; in the order in which
  // they were written. Null: there are none.
  mutable std::atomic<Locations> refusals;

  // As it was given, with "replayed":false. What somebody asked to have erased is masked in it: as
  // long as before. Null: none.
  using Text = std::shared_ptr<const std::string>;
  mutable std::atomic<Text> answer_json;
  size_t answer_bytes() const {
    const Text answer = answer_json.load();
    return answer == nullptr ? 0 : answer->size();
  }

  // What it takes up in the journals while somebody of it waits: message and recipients.
  uint64_t stored_bytes() const { return batch.content.length + extent_bytes; }

  // When this process took it up: the wall clock was looked at this once. Set by the engine before
  // any shard sees the batch; nobody writes it afterwards.
  struct TakenUp {
    int64_t mono_ns = 0;
    int64_t wall_ns = 0;       // then; of one just accepted, when it was accepted: its age is 0
    int64_t last_wall_ns = 0;  // as age_on_load_ns() has it
    // Of operators' orders given up to this number only suspensions hold for it: it was not
    // accepted then, though its number, which it got when its upload began, may be lower than that
    // of others.
    uint64_t last_order = 0;
  };
  mutable TakenUp taken_up;
  // Number of its tenant in this process; likewise.
  mutable uint32_t tenant = 0;
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
  // No recipient's time without an `expires` of its own ends sooner, by whatever policy whose
  // maximum age is not below that one's.
  int64_t expires_after_mono_ns(const RetryPolicy& strictest) const {
    const int64_t lifetime = lifetime_ns(strictest, batch.accepted_wall_ns, batch.expires_wall_ns);
    const int64_t by_clock = taken_up.wall_ns - batch.accepted_wall_ns;
    return taken_up.mono_ns + lifetime - std::clamp<int64_t>(by_clock, 0, lifetime);
  }
};

}  // namespace veredus::queue
