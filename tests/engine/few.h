#pragma once

#include "tests/sim/world.h"

namespace veredus::sim {

// A world of one kind of weather: what goes wrong in it, a test says.
inline WorldOptions few() {
  WorldOptions options;
  options.shards = 2;
  options.recipients = 60;
  options.batches = 2;
  options.domains = 6;
  options.sites = 3;
  options.crashes_max = 0;
  options.faults = options.disk_faults = false;
  options.turns_max = 300'000;
  return options;
}

}  // namespace veredus::sim
