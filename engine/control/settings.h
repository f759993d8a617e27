#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dns/router.h"
#include "engine/control/config.h"
#include "engine/intake/intake.h"
#include "engine/settings.h"

namespace veredus::control {

// Where signing keys come from, beside their files.
struct KeyOptions {
  // Of files that are what they were, the keys are taken from these.
  const mail::DkimIdentities* known = nullptr;
  // Not null: an identity whose key cannot be used is there without it, and here is why: for
  // whoever only wants to know who would sign.
  std::vector<std::string>* missing = nullptr;
};

// The configuration as the engine and intake want it. Errors name setting and remedy.
absl::StatusOr<EngineSettings> engine_settings(const Config& config, const KeyOptions& keys = {});
// `engine`: what engine_settings() made of it.
intake::IntakeSettings intake_settings(const Config& config, const EngineSettings& engine);

// With all that the rule does not say as it is in [smtp], [retry] and [in_doubt]; without ids and
// groups. `origins` say of each setting where it was set, of its limits what they are called, too.
Provider complete_provider(const Config& config, const Config::ProviderRule& rule);
// The part of engine_settings() about how mail is sent.
void set_sending(const Config& config, EngineSettings& settings);
// Who signs; reads the files in which the keys are.
absl::Status set_dkim(const Config& config, const KeyOptions& keys, EngineSettings& settings);
// Reads again, of the keys that `settings` has of this configuration, those whose files are others
// than those that were read. One that cannot be used stays as it was, and is tried again next time.
struct KeyFault {
  std::string file, mark;  // as file_mark() has it
  std::string what;        // with the setting's place
  bool operator==(const KeyFault&) const = default;
};
struct KeyLook {
  bool changed = false;  // some key is another
  std::vector<KeyFault> faults;
};
KeyLook look_at_keys(const Config& config, EngineSettings& settings);
// … by static routes; reads the files in which passwords are.
absl::Status set_routes(const Config& config, EngineSettings& settings);

// What is wrong with what a setting names, with the setting's place.
absl::Status setting_fault(const Config& config, const std::string& setting,
                           absl::string_view what);

// Where a setting stands. `setting`: as it is called in the file; `told`: as people are told, if
// otherwise.
Origin origin_of(const Config& config, const std::string& setting, const std::string& told = "");

// One per core the process may run on, unless node.shards says.
unsigned shards_of(const Config& config);
// The cores for the shards' threads; empty: not pinned.
std::vector<unsigned> cores_of(const Config& config);

}  // namespace veredus::control
