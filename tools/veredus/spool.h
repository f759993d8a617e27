#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/veredus/spool_files.h"

namespace veredus::tools {

// All that was read and checked, and what of it is damaged.
struct SpoolCheck {
  uint64_t journals = 0, segments = 0, extents = 0, recipients = 0, marks_files = 0;
  std::vector<SpoolDamage> damage;
};
absl::StatusOr<SpoolCheck> check_spool(Spool& spool);

// Prints outcomes as events have them. The exit status.
int print_outcomes(Spool& spool, const Common& common, const SpoolOptions& options);

// Prints the orders of operators that have not ended, with the journals in which that is so. The
// exit status.
int print_orders(Spool& spool, const Common& common);

}  // namespace veredus::tools
