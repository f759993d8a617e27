#include "queue/site_clock.h"

#include <algorithm>

namespace veredus::queue {
namespace {

// initial × 2^(failures − 1), at most the cap.
int64_t backoff_ns(const RetryPolicy& policy, uint32_t failures) {
  int64_t delay = policy.site_initial_ns;
  for (uint32_t i = 1; i < failures && delay < policy.site_cap_ns; ++i) delay *= 2;
  return std::min(delay, policy.site_cap_ns);
}

}  // namespace

void SiteClock::failed(const RetryPolicy& policy, int64_t now_ns, uint64_t random,
                       int64_t hint_ns) {
  if (!open(now_ns)) {
    const int64_t hinted = hinted_delay_ns(policy, 0, hint_ns, failures_, random);
    until_ns_ = std::max(until_ns_, now_ns + hinted);
    return;
  }
  if (failures_ < std::numeric_limits<uint32_t>::max()) ++failures_;
  const int64_t usual = spread_ns(policy, backoff_ns(policy, failures_), random);
  until_ns_ = now_ns + hinted_delay_ns(policy, usual, hint_ns, failures_, random);
}

}  // namespace veredus::queue
