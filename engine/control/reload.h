#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/control/config.h"
#include "engine/control/engine_view.h"
#include "engine/control/settings.h"
#include "engine/intake/intake.h"
#include "engine/settings.h"

namespace veredus::control {

// What another configuration changes while the engine runs.
struct ReloadPlan {
  Config config;  // in force afterwards: the new one, but for what needs a restart
  // Settings by name, as in "providers.gmail.connections"; what came or went as a whole by its
  // heading, as in "pools.news".
  std::vector<std::string> applied, needs_restart;
};
// Pure. The error: what would be in force does not fit together, for something needs a restart.
absl::StatusOr<ReloadPlan> plan_reload(const Config& running, const Config& fresh);

// Reads the configuration again and puts it in force, all of it or nothing. Lives on the control
// thread.
class Reload {
 public:
  // `read` as at start, with what the command line says. All outlive this.
  using Read = std::function<absl::StatusOr<Config>()>;
  // `settings`: what engine_settings() made of `running`.
  Reload(Config running, EngineSettings settings, Read read, EngineView& view,
         intake::Intake& intake);

  // Logs what came of it. The error names file, line and column; all stays as it was.
  absl::StatusOr<ReloadPlan> run();

  // Now and then: reads signing keys again whose files are others than before. One that cannot be
  // used is told once, stays as it was, and is tried again next time.
  void look_at_keys();

 private:
  absl::StatusOr<ReloadPlan> put_in_force();

  Config running_;
  EngineSettings settings_;           // of running_
  std::vector<KeyFault> key_faults_;  // told already
  const Read read_;
  EngineView& view_;
  intake::Intake& intake_;
};

}  // namespace veredus::control
