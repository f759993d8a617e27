#pragma once

#include <cstdint>
#include <string>

namespace veredus {

// Where a setting stands: what somebody is told who asks why mail waits.
struct Origin {
  std::string setting;  // "providers.gmail.connections"
  std::string file;     // empty: a default of ours
  uint32_t line = 0;    // from 1; 0: a default of ours
};

}  // namespace veredus
