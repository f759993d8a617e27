#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "dns/router.h"
#include "engine/control/config.h"
#include "engine/intake/intake.h"
#include "engine/settings.h"

namespace veredus::control {

// The configuration as the engine and intake want it. Errors name setting and remedy.
absl::StatusOr<EngineSettings> engine_settings(const Config& config);
intake::IntakeSettings intake_settings(const Config& config);

// One per core the process may run on, unless node.shards says.
unsigned shards_of(const Config& config);
// The cores for the shards' threads; empty: not pinned.
std::vector<unsigned> cores_of(const Config& config);

}  // namespace veredus::control
