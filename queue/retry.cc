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
int64_t base_delay_ns(const RetryPolicy& policy, uint32_t attempts) {
  assert(attempts >= 1);
  const double cap = static_cast<double>(policy.cap_ns);
  double delay = static_cast<double>(policy.initial_ns);
  if (policy.factor > 1.0) {
    // Whatever the factor, 4,096 steps are enough to tell growth from none.
    const uint32_t steps = std::min<uint32_t>(attempts - 1, 4096);
    for (uint32_t step = 0; step < steps && delay < cap; ++step) delay *= policy.factor;
  }
  return static_cast<int64_t>(std::min(delay, cap));
}

}  // namespace

absl::Status validate(const RetryPolicy& policy) {
  const auto wrong = [](const char* what) {
    return absl::InvalidArgumentError(std::string("retry: ") + what);
  };
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
  return absl::OkStatus();
}

int64_t next_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random) {
  const int64_t base = base_delay_ns(policy, attempts);
  // After the cap, so that those at the cap are spread, too.
  const double swing = policy.jitter * (2.0 * unit(random) - 1.0);
  return base + static_cast<int64_t>(static_cast<double>(base) * swing);
}

int64_t in_doubt_delay_ns(const RetryPolicy& policy, uint32_t attempts, uint64_t random) {
  return std::max(next_delay_ns(policy, attempts, random), policy.in_doubt_ns);
}

int64_t longest_delay_ns(const RetryPolicy& policy, uint32_t attempts) {
  const int64_t base = base_delay_ns(policy, attempts);
  return base + static_cast<int64_t>(static_cast<double>(base) * policy.jitter);
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
    const int64_t longest = longest_delay_ns(policy, attempts);
    return std::min(left, in_doubt ? std::max(longest, policy.in_doubt_ns) : longest);
  }
  if (in_doubt) return std::min(policy.in_doubt_ns, kOverdueInDoubtNs);
  return static_cast<int64_t>(static_cast<double>(policy.initial_ns) * unit(random));
}

int64_t first_delay_on_load_ns(int64_t accepted_wall_ns, int64_t not_before_wall_ns,
                               int64_t now_wall_ns) {
  if (not_before_wall_ns == 0) return 0;
  const int64_t at_acceptance = std::max<int64_t>(0, not_before_wall_ns - accepted_wall_ns);
  return std::clamp<int64_t>(not_before_wall_ns - now_wall_ns, 0, at_acceptance);
}

}  // namespace veredus::queue
