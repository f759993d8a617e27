#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace veredus {

// Asked of every home: whoever waits under one of these addresses is not sent to any more, and what
// the journal holds of the address and its variables is gone within EngineSettings::erase_within_ns
// and the time for which events are kept.
struct ErasureQuestion {
  uint64_t token = 0;
  std::vector<std::string> addresses;  // as AddressFinder takes them
};

// All that is told here is durable.
struct ErasureAnswer {
  uint64_t token = 0;
  // Not ok: what was asked is not, or not all, done, and can be asked again.
  absl::Status status;
  uint32_t cancelled = 0;  // recipients
  // Being sent to while this was answered: cancelled when they come back, unless their mail was
  // taken by then. Only this process knows of them.
  uint32_t in_flight = 0;
};

}  // namespace veredus
