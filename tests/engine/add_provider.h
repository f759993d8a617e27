#pragma once

#include "engine/settings.h"

namespace veredus::sim {

// Provider p, to whom the mail of d0.sim belongs in a SmallEngine; one recipient per transaction,
// the rest as for all.
inline Provider& add_provider(EngineSettings& settings) {
  Provider& made = settings.providers.emplace_back();
  made.name = "p";
  made.mx = {"mx0.sim"};
  made.recipients_per_transaction = 1;
  made.session_limits = settings.session_limits;
  made.dialogue = settings.dialogue;
  return made;
}

}  // namespace veredus::sim
