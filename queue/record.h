#pragma once

#include <cstdint>
#include <type_traits>

namespace veredus::queue {

// No record: the end of a list, or a full table.
inline constexpr uint32_t kNoSlot = 0xffffffff;

// Records keep time in ticks of the monotonic clock since process start, modulo 2^32 (795 days).
inline constexpr int64_t kTickNs = 16'000'000;
// The furthest due time ahead that the wheel takes (about 390 days); what is due later is looked at
// again then.
inline constexpr uint32_t kTicksAheadMax = 0x7d000000;

// The tick of a moment: the last one that has begun. `since_start_ns` ≥ 0.
constexpr uint32_t tick_at(int64_t since_start_ns) {
  return static_cast<uint32_t>(static_cast<uint64_t>(since_start_ns) / kTickNs);
}
// The tick at which a delay from `since_start_ns` has surely passed: never early, except that it is
// at most kTicksAheadMax ahead. A delay ≤ 0 is due now.
constexpr uint32_t tick_after(int64_t since_start_ns, int64_t delay_ns) {
  if (delay_ns <= 0) return tick_at(since_start_ns);
  if (delay_ns / kTickNs >= kTicksAheadMax) return tick_at(since_start_ns) + kTicksAheadMax;
  return tick_at(since_start_ns + delay_ns + kTickNs - 1);
}
// How far tick `a` lies before `b` (negative: after it). Right while they are within 2^31 ticks.
constexpr int32_t ticks_until(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(b - a);
}

// Where a waiting recipient is. Exactly one owner of `next` at a time: the free list, the due
// wheel, a FIFO, or none.
enum class RecordState : uint8_t {
  free = 0,      // not in use
  dormant = 1,   // loaded, but its batch is not committed (or paused): in no list
  waiting = 2,   // in the due wheel
  ready = 3,     // due, in a FIFO, waiting for the lane's credit
  ticketed = 4,  // out with a lane: the ticket must come back
  parked = 5,    // due, but suspended: in the FIFO of an operator's order
};

enum RecordFlags : uint8_t {
  kRecordInDoubt = 1,  // its last attempt was lost after the final dot (RFC 1047)
};

// One waiting recipient, at home. Ten million of them are normal: everything that can be read again
// from the journal is left there. Written by the home shard only.
struct Record {
  uint32_t extent = 0;      // number of the extent at home
  uint32_t offset = 0;      // bytes from the start of the extent to the recipient's entry
  uint32_t domain = 0;      // number of the domain at home
  uint32_t next = kNoSlot;  // link of the list that the state names
  uint32_t due = 0;         // tick
  uint16_t ordinal = 0;     // index in the batch − the extent's first index
  uint16_t generation = 0;  // of the slot; set by the table, +1 at each release
  uint8_t attempts = 0;     // made so far; stops at kAttemptsMax
  uint8_t priority = 0;     // 0–100, higher first
  RecordState state = RecordState::free;
  uint8_t flags = 0;  // RecordFlags
};
static_assert(sizeof(Record) == 28);
static_assert(sizeof(Record) <= 32, "the budget of a waiting recipient");
static_assert(std::is_trivially_copyable_v<Record>);

inline constexpr uint8_t kAttemptsMax = 255;
constexpr uint8_t attempts_plus_one(uint8_t attempts) {
  return attempts == kAttemptsMax ? kAttemptsMax : static_cast<uint8_t>(attempts + 1);
}

}  // namespace veredus::queue
