#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// What intake remembers of finished batches, so that a feeder who asks again gets the same answer.
//
// A batch is remembered for `limits.remember` after its last outcome (after acceptance, if it has
// no recipients). Only time in which the engine runs counts, and it is measured by the monotonic
// clock from when intake saw that all of the batch was settled: a wall clock that jumps forgets
// nothing. The wall clock is looked at once, at a start, and is not believed further than that:
// time in which the engine did not run does not count (no feeder could ask then), and whatever the
// clock says, everything found is remembered for kRememberedAfterStartNs more (or for all of
// `remember`, if that is shorter). So a clock that is years ahead at a start costs days of
// remembering at most, and never all of it at once.

namespace veredus::intake {

inline constexpr int64_t kRememberedAfterStartNs = 6 * 3600 * int64_t{1'000'000'000};

// How long ago a batch found in the spool was finished, in time that counts. `finished_wall_ns`:
// its last outcome; `last_wall_ns`: the latest time found in the journals, when we last ran.
// 0 … remember − kRememberedAfterStartNs.
int64_t finished_age_on_load_ns(int64_t remember_ns, int64_t finished_wall_ns, int64_t last_wall_ns,
                                int64_t now_wall_ns);

// The idempotency key.
inline std::string key_of(std::string_view tenant, std::string_view name) {
  std::string key(tenant);
  key += '\0';
  key.append(name);
  return key;
}

// A batch number as it stands in frames.
inline void append_number(uint64_t number, std::string& out) {
  for (unsigned i = 0; i < 8; ++i) out += static_cast<char>(number >> (8 * i));
}

}  // namespace veredus::intake
