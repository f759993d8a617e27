#pragma once

#include <cstdint>

#include "engine/in_doubt.h"

namespace veredus {

// What an operator asks about recipients in doubt, or decides of them, at a home:
// home_in_doubt.cc.
struct HomeInDoubt {
  struct InDoubtWalk {
    InDoubtQuestion question;
    InDoubtAnswer answer;
    uint32_t next_slot = 0;
  };
  struct Decided {
    uint64_t sequence = 0;  // of the last group that says what was decided
    InDoubtAnswer answer;
  };
};

}  // namespace veredus
