#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

// Delays that can be listed, of each kind.
inline constexpr size_t kDelaysMax = 30;
// A server may ask us to come back sooner than the policy would have; not sooner than this.
inline constexpr int64_t kHintMinNs = 10 * kSecondNs;
// … and only so many times in a row: one that says "in a minute" for ever is asked at the policy's
// pace from then on.
inline constexpr uint32_t kShortHints = 5;

// When to try again, and when to give up (RFC 5321 §4.5.4.1). Everything here is pure: time and
// randomness are passed in.
struct RetryPolicy {
  int64_t initial_ns = 10 * kMinuteNs;  // before the second attempt; 1 s … cap
  double factor = 2.0;                  // growth an attempt; 1 … 10
  // Instead of initial and factor: the delay after the first attempt, the second, …; the last one
  // stays. At most kDelaysMax, each 1 s … cap. Empty: initial and factor.
  std::vector<int64_t> intervals_ns;
  int64_t cap_ns = 4 * kHourNs;  // longest delay, before jitter, hints included; ≤ 7 days
  double jitter = 0.2;           // each delay is spread evenly over ± this share of it; 0 … 0.9
  // The same for a recipient who is greylisted, as far as the list goes: attempts 1, 6, 16, 36 and
  // 66 minutes after the first. Most who greylist ask for 5 minutes (postgrey, SQLgrey, rspamd,
  // ASSP), some for 10 (cPanel), 25 (spamd), 30 (milter-greylist) or 60, and forget whom they saw
  // after some 4 hours. At most kDelaysMax, each 1 s … 7 days; empty: as everybody else.
  std::vector<int64_t> greylist_ns = {kMinuteNs, 5 * kMinuteNs, 10 * kMinuteNs, 20 * kMinuteNs,
                                      30 * kMinuteNs};
  // "Try again in …" of a reply is respected up to this; 10 s … 7 days, 0: not at all.
  int64_t hint_max_ns = kHourNs;
  int64_t max_age_ns = 5 * kDayNs;  // from acceptance, unless the feeder says; 1 min … 30 days
  int64_t in_doubt_ns = kInDoubtDelayNs;
  // A site that cannot be reached (SiteClock): 1 s … site_cap, 1 s … 1 day. It doubles.
  int64_t site_initial_ns = kMinuteNs;
  int64_t site_cap_ns = 30 * kMinuteNs;
};

// Names the first setting out of its range.
absl::Status validate(const RetryPolicy& policy);

// Delay after the `attempts`th attempt (≥ 1) ended in "later". `random`: 64 fresh random bits.
// `hint_ns`: what the reply asked for, 0: nothing; never earlier than that, as far as hint_max and
// cap allow. `greylisted`: the reply was that of a greylister; never earlier than listed.
int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random,
                      int64_t hint_ns, bool greylisted);
// The same where no reply asked for anything.
int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random);
// The same after an attempt in doubt: at least in_doubt_ns.
int64_t in_doubt_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random);
// The longest that next_delay_ns can give for this number of attempts, whatever the reply was.
int64_t longest_delay_ns(const RetryPolicy& policy, uint32_t attempts);

// What becomes of `usual_ns`, the delay after the `times`th failure (≥ 1) on end, when the reply
// asked for `hint_ns` (0: for nothing).
int64_t hinted_delay_ns(const RetryPolicy& policy, int64_t usual_ns, int64_t hint_ns,
                        uint32_t times, uint64_t random);
// `base_ns`, spread by the policy's jitter.
int64_t spread_ns(const RetryPolicy& policy, int64_t base_ns, uint64_t random);

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
// is overdue is spread over the policy's first delay, so that neither a clock put forward nor a
// long stop floods the sites that said "later". In doubt and overdue:
// kOverdueInDoubtNs, or in_doubt_ns if that is shorter.
int64_t delay_on_load_ns(const RetryPolicy& policy, uint32_t attempts, bool in_doubt,
                         int64_t next_due_wall_ns, int64_t now_wall_ns, uint64_t random);

// Remaining delay of one that was never tried: `not_before_wall_ns` as given by the feeder (0:
// none, due at once), never longer than it was at acceptance.
int64_t first_delay_on_load_ns(int64_t accepted_wall_ns, int64_t not_before_wall_ns,
                               int64_t now_wall_ns);

}  // namespace veredus::queue
