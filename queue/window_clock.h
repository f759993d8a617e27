#pragma once

#include <cstdint>
#include <limits>

namespace veredus::queue {

struct DeliveryWindows;

// Remembers up to when an answer holds, so that asking again costs a comparison. Small and mutable;
// one for each owner. For windows that were replaced: a new one.
class WindowClock {
 public:
  bool open(const DeliveryWindows& windows, int64_t wall_ns);
  // After open(): when it has to be asked again. If it said no: when it opens.
  int64_t until_wall_ns() const { return until_wall_ns_; }

 private:
  int64_t from_wall_ns_ = std::numeric_limits<int64_t>::max();  // holds for from ≤ t < until
  int64_t until_wall_ns_ = std::numeric_limits<int64_t>::min();
  bool open_ = false;
};

}  // namespace veredus::queue
