#pragma once

#include <cstdint>
#include <limits>

#include "queue/retry.h"

namespace veredus::queue {

// When a site (or a host) that could not be reached, or said "later" to the connection itself, is
// tried again. Apart from the recipients' clocks: while it is not open, those who wait for the site
// are left alone, and none of them is charged with an attempt. Plain values, pure; times are
// monotonic.
class SiteClock {
 public:
  // The wait doubles from site_initial to site_cap, with jitter. `hint_ns`: what the reply asked
  // for, 0: nothing (hinted_delay_ns()). While it waits already, that is the same failure again, of
  // a connection begun before: a longer hint counts, the wait does not double. `random`: 64 fresh
  // random bits.
  void failed(const RetryPolicy& policy, int64_t now_ns, uint64_t random, int64_t hint_ns);
  // It took a connection: all is forgotten.
  void succeeded() { *this = SiteClock(); }

  bool open(int64_t now_ns) const { return now_ns >= until_ns_; }
  // Not to be tried before; the lowest value: it never failed.
  int64_t until_ns() const { return until_ns_; }
  // On end, since the last success.
  uint32_t failures() const { return failures_; }

 private:
  int64_t until_ns_ = std::numeric_limits<int64_t>::min();
  uint32_t failures_ = 0;
};
static_assert(sizeof(SiteClock) <= 24);

}  // namespace veredus::queue
