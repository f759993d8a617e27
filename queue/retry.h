#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace veredus::queue {

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr int64_t kMinuteNs = 60 * kSecondNs;
inline constexpr int64_t kHourNs = 60 * kMinuteNs;
inline constexpr int64_t kDayNs = 24 * kHourNs;

// After an attempt in doubt (RFC 1047) the far side may still be at work on the message: not sooner
// than this, unless the operator knows better.
inline constexpr int64_t kInDoubtDelayNs = 10 * kMinuteNs;
// What is left of it when its time passed while we did not run: the clock may be wrong a little,
// but an engine that is started again and again must come to send, and an operator's decision to
// count.
inline constexpr int64_t kOverdueInDoubtNs = kMinuteNs;

// When to try again, and when to give up (RFC 5321 §4.5.4.1). Everything here is pure: time and
// randomness are passed in.
struct RetryPolicy {
  int64_t initial_ns = 10 * kMinuteNs;  // before the second attempt; 1 s … cap
  double factor = 2.0;                  // growth an attempt; 1 … 10
  int64_t cap_ns = 4 * kHourNs;         // longest delay, before jitter; ≤ 7 days
  double jitter = 0.2;  // each delay is spread evenly over ± this share of it; 0 … 0.9
  int64_t max_age_ns = 5 * kDayNs;  // from acceptance, unless the feeder says; 1 min … 30 days
  int64_t in_doubt_ns = kInDoubtDelayNs;
};

// Names the first setting out of its range.
absl::Status validate(const RetryPolicy& policy);

// Delay after the `attempts`th attempt (≥ 1) ended in "later". `random`: 64 fresh random bits.
int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random);
// The same after an attempt in doubt: at least in_doubt_ns.
int64_t in_doubt_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random);
// The longest that next_delay_ns can give for this number of attempts.
int64_t longest_delay_ns(const RetryPolicy& policy, uint32_t attempts);

// --- Giving up
// -------------------------------------------------------------------------------------------------
// A recipient has a lifetime (a difference of two stamps that the feeder's request got at one
// moment) and an age that runs on the monotonic clock. The wall clock is looked at once, when a
// journal is loaded: a clock that jumps while we run expires nothing.

// From acceptance to expiry. `expires_wall_ns` as given by the feeder for batch or recipient, 0:
// not given. ≥ 0.
int64_t lifetime_ns(const RetryPolicy& policy, int64_t accepted_wall_ns, int64_t expires_wall_ns);

// To be asked after an attempt that ended in "later", and before one. `accepted_mono_ns`: when it
// was accepted, in terms of this process' monotonic clock; for what was loaded, now −
// age_on_load_ns (which may be negative).
bool expired(int64_t lifetime_ns, int64_t accepted_mono_ns, int64_t now_mono_ns);

// --- On load
// -------------------------------------------------------------------------------------------------
// Only wall times were stored, and the clock may have been wrong then or be wrong now.

// Age to go on with. `last_wall_ns`: the latest time found in the journals, i.e. when we last ran.
// Time in which we did not run counts as one `cap` at most, and one `cap` (or the whole lifetime,
// if shorter) is always left: whatever the clock says, what we hold is tried again before it can
// expire. 0 … lifetime.
int64_t age_on_load_ns(const RetryPolicy& policy, int64_t lifetime_ns, int64_t accepted_wall_ns,
                       int64_t last_wall_ns, int64_t now_wall_ns);

// Remaining delay of a recipient whose next attempt was set for `next_due_wall_ns`, `attempts` ≥ 1
// made. Never longer than the policy would have given, so a clock put back holds nothing up. What
// is overdue is spread over the policy's initial delay, so that neither a clock put forward nor a
// long stop floods the sites that said "later". In doubt and overdue:
// kOverdueInDoubtNs, or in_doubt_ns if that is shorter.
int64_t delay_on_load_ns(const RetryPolicy& policy, uint32_t attempts, bool in_doubt,
                         int64_t next_due_wall_ns, int64_t now_wall_ns, uint64_t random);

// Remaining delay of one that was never tried: `not_before_wall_ns` as given by the feeder (0:
// none, due at once), never longer than it was at acceptance.
int64_t first_delay_on_load_ns(int64_t accepted_wall_ns, int64_t not_before_wall_ns,
                               int64_t now_wall_ns);

}  // namespace veredus::queue
