#include "queue/retry.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace veredus::queue {
namespace {

// Uniform over 0 ≤ x < 1, from the upper 53 bits.
double unit(uint64_t random) {
  return static_cast<double>(random >> 11) * 0x1.0p-53;
}

// initial × factor^(attempts − 1), at most the cap. By multiplication, not pow(): the same on every
// libm.
int64_t grown_ns(const RetryPolicy& policy, uint32_t attempts) {
  const double cap = static_cast<double>(policy.cap_ns);
  double delay = static_cast<double>(policy.initial_ns);
  if (policy.factor > 1.0) {
    // Whatever the factor, 4,096 steps are enough to tell growth from none.
    const uint32_t steps = std::min<uint32_t>(attempts - 1, 4096);
    for (uint32_t step = 0; step < steps && delay < cap; ++step) delay *= policy.factor;
  }
  return static_cast<int64_t>(std::min(delay, cap));
}

// Before jitter.
int64_t curve_ns(const RetryPolicy& policy, uint32_t attempts) {
  assert(attempts >= 1);
  if (policy.intervals_ns.empty()) return grown_ns(policy, attempts);
  const size_t place = std::min<size_t>(attempts, policy.intervals_ns.size()) - 1;
  return std::min(policy.intervals_ns[place], policy.cap_ns);
}

// Before jitter. 0: the list does not go as far.
int64_t greylist_ns(const RetryPolicy& policy, uint32_t attempts) {
  if (attempts > policy.greylist_ns.size()) return 0;
  return std::min(policy.greylist_ns[attempts - 1], policy.cap_ns);
}

// The longest hint that is respected as it is; 0: none is.
int64_t longest_hint_ns(const RetryPolicy& policy) {
  return std::min(policy.hint_max_ns, policy.cap_ns);
}

int64_t share_of(int64_t base_ns, double share) {
  return static_cast<int64_t>(static_cast<double>(base_ns) * share);
}

// Never earlier: somebody counts the seconds, and who comes too early has come in vain.
int64_t spread_upwards_ns(const RetryPolicy& policy, int64_t base_ns, uint64_t random) {
  return base_ns + share_of(base_ns, policy.jitter * unit(random));
}

int64_t with_full_jitter(const RetryPolicy& policy, int64_t base_ns) {
  return base_ns + share_of(base_ns, policy.jitter);
}

absl::Status wrong(const char* what) {
  return absl::InvalidArgumentError(std::string("retry: ") + what);
}

bool all_within(const std::vector<int64_t>& delays, int64_t most) {
  return delays.size() <= kDelaysMax && std::all_of(delays.begin(), delays.end(), [&](int64_t it) {
           return it >= kSecondNs && it <= most;
         });
}

}  // namespace

absl::Status validate(const RetryPolicy& policy) {
  if (policy.cap_ns < kSecondNs || policy.cap_ns > 7 * kDayNs) return wrong("cap: 1 s … 7 days");
  if (policy.initial_ns < kSecondNs || policy.initial_ns > policy.cap_ns) {
    return wrong("initial: 1 s … cap");
  }
  // Written so that NaN is out of range, too.
  if (!(policy.factor >= 1.0 && policy.factor <= 10.0)) return wrong("factor: 1 … 10");
  if (!(policy.jitter >= 0.0 && policy.jitter <= 0.9)) return wrong("jitter: 0 … 0.9");
  if (policy.max_age_ns < kMinuteNs || policy.max_age_ns > 30 * kDayNs) {
    return wrong("max_age: 1 min … 30 days");
  }
  if (!all_within(policy.intervals_ns, policy.cap_ns)) {
    return wrong("intervals: at most 30, each 1 s … cap");
  }
  if (!all_within(policy.greylist_ns, 7 * kDayNs)) {
    return wrong("greylist: at most 30, each 1 s … 7 days");
  }
  if (policy.hint_max_ns != 0 &&
      (policy.hint_max_ns < kHintMinNs || policy.hint_max_ns > 7 * kDayNs)) {
    return wrong("hint_max: 10 s … 7 days, or 0");
  }
  if (policy.site_cap_ns < kSecondNs || policy.site_cap_ns > kDayNs) {
    return wrong("site_cap: 1 s … 1 day");
  }
  if (policy.site_initial_ns < kSecondNs || policy.site_initial_ns > policy.site_cap_ns) {
    return wrong("site_initial: 1 s … site_cap");
  }
  return absl::OkStatus();
}

int64_t spread_ns(const RetryPolicy& policy, int64_t base_ns, uint64_t random) {
  return base_ns + share_of(base_ns, policy.jitter * (2.0 * unit(random) - 1.0));
}

int64_t hinted_delay_ns(const RetryPolicy& policy, int64_t usual_ns, int64_t hint_ns,
                        uint32_t times, uint64_t random) {
  if (hint_ns <= 0) return usual_ns;
  const int64_t longest = longest_hint_ns(policy);
  const int64_t kept = std::min(std::max(hint_ns, kHintMinNs), longest);
  const int64_t hinted = spread_upwards_ns(policy, kept, random);
  // One who asks for more than we give him does not want to be asked earlier than usual.
  const bool may_shorten = times <= kShortHints && hint_ns <= longest;
  return may_shorten ? hinted : std::max(hinted, usual_ns);
}

int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random,
                      int64_t hint_ns, bool greylisted) {
  const int64_t listed = greylisted ? greylist_ns(policy, attempts) : 0;
  // After the cap, so that those at the cap are spread, too.
  const int64_t usual = listed != 0 ? spread_upwards_ns(policy, listed, random)
                                    : spread_ns(policy, curve_ns(policy, attempts), random);
  return hinted_delay_ns(policy, usual, hint_ns, attempts, random);
}

int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random) {
  return next_delay_ns(policy, attempts, random, 0, false);
}

int64_t in_doubt_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random) {
  return std::max(next_delay_ns(policy, attempts, random), policy.in_doubt_ns);
}

int64_t longest_delay_ns(const RetryPolicy& policy, uint32_t attempts) {
  return with_full_jitter(policy,
                          std::max({curve_ns(policy, attempts), greylist_ns(policy, attempts),
                                    longest_hint_ns(policy)}));
}

int64_t lifetime_ns(const RetryPolicy& policy, int64_t accepted_wall_ns, int64_t expires_wall_ns) {
  if (expires_wall_ns == 0) return policy.max_age_ns;
  return std::max<int64_t>(0, expires_wall_ns - accepted_wall_ns);
}

bool expired(int64_t lifetime_ns, int64_t accepted_mono_ns, int64_t now_mono_ns) {
  return now_mono_ns - accepted_mono_ns >= lifetime_ns;
}

int64_t age_on_load_ns(const RetryPolicy& policy, int64_t lifetime_ns, int64_t accepted_wall_ns,
                       int64_t last_wall_ns, int64_t now_wall_ns) {
  const int64_t by_clock = now_wall_ns - accepted_wall_ns;
  const int64_t by_journal = std::max<int64_t>(0, last_wall_ns - accepted_wall_ns) + policy.cap_ns;
  const int64_t oldest = std::max<int64_t>(0, lifetime_ns - policy.cap_ns);
  return std::clamp<int64_t>(std::min(by_clock, by_journal), 0, oldest);
}

int64_t delay_on_load_ns(const RetryPolicy& policy, uint32_t attempts, bool in_doubt,
                         int64_t next_due_wall_ns, int64_t now_wall_ns, uint64_t random) {
  const int64_t left = next_due_wall_ns - now_wall_ns;
  if (left > 0) {
    if (!in_doubt) return std::min(left, longest_delay_ns(policy, attempts));
    // No reply, hence none that asked for anything.
    const int64_t longest = with_full_jitter(policy, curve_ns(policy, attempts));
    return std::min(left, std::max(longest, policy.in_doubt_ns));
  }
  if (in_doubt) return std::min(policy.in_doubt_ns, kOverdueInDoubtNs);
  return share_of(curve_ns(policy, 1), unit(random));
}

int64_t first_delay_on_load_ns(int64_t accepted_wall_ns, int64_t not_before_wall_ns,
                               int64_t now_wall_ns) {
  if (not_before_wall_ns == 0) return 0;
  const int64_t at_acceptance = std::max<int64_t>(0, not_before_wall_ns - accepted_wall_ns);
  return std::clamp<int64_t>(not_before_wall_ns - now_wall_ns, 0, at_acceptance);
}

}  // namespace veredus::queue
