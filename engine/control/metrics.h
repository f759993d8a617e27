#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/control/engine_view.h"

namespace veredus::control {

// What the control side itself has to say for /metrics.
struct ControlFigures {
  uint64_t batches = 0;
  uint64_t uploads = 0;
  uint64_t unanswered_bytes = 0;
  uint64_t connections = 0;
  bool accepting = true;
  int64_t started_wall_ns = 0;
  struct Tenant {
    std::string name;
    uint64_t waiting = 0, bytes = 0;
  };
  std::vector<Tenant> tenants;  // those with quotas
};

// Prometheus text exposition, version 0.0.4.
std::string metrics_text(const EngineView& view, const ControlFigures& figures);

}  // namespace veredus::control
