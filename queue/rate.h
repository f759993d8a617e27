#pragma once

#include <cstdint>

namespace veredus::queue {

// So many of something within each span of time: in no span of that length more than that.
// Connections, messages (recipients count) or bytes.
struct Rate {
  uint64_t count = 0;  // 0: no limit
  int64_t per_ns = 1'000'000'000;
  bool limited() const { return count != 0; }
  bool operator==(const Rate&) const = default;
};

}  // namespace veredus::queue
