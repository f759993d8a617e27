#pragma once

#include <cstdint>
#include <string_view>

#include "engine/settings.h"

namespace veredus {

struct InDoubtChoice {
  InDoubtPolicy policy = InDoubtPolicy::retry;
  int64_t delay_ns = 0;  // with retry: at least so long
};

// What to do with a recipient in doubt: as the first rule says that fits, else as for all.
// `mx_name`: the host that was spoken to; empty when it is not known (after a crash): then no rule
// by host fits. Names are compared without case.
InDoubtChoice in_doubt_choice(const EngineSettings& settings, std::string_view mx_name,
                              std::string_view domain);

// ".example.net" fits every name below example.net, "example.net" that name only.
bool fits_name(std::string_view pattern, std::string_view name);

}  // namespace veredus
