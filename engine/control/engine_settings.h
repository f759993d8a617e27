#pragma once

#include "absl/status/statusor.h"
#include "engine/control/config.h"
#include "engine/engine.h"
#include "engine/settings.h"

namespace veredus::control {

// What the configuration means for the engine. Errors name the setting, its value and what to write
// instead; among them those that only this machine can tell (a source's address that it does not
// have is not one: sources come and go).
absl::StatusOr<EngineSettings> engine_settings(const Config& config);
absl::StatusOr<EngineOptions> engine_options(const Config& config);

}  // namespace veredus::control
