#pragma once

#include "engine/io/ports.h"

namespace veredus::io {

// CLOCK_MONOTONIC and CLOCK_REALTIME.
class SystemClock final : public Clock {
 public:
  int64_t mono_ns() override;
  int64_t wall_ns() override;
};

}  // namespace veredus::io
