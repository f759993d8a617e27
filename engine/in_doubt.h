#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/policy.h"
#include "queue/batch.h"
#include "queue/names.h"

namespace veredus {

struct InDoubtChoice {
  InDoubtPolicy policy = InDoubtPolicy::retry;
  int64_t delay_ns = 0;  // with retry: at least so long
};

// The first rule that fits; nullptr: none does, [in_doubt] or the provider holds. Names as below.
const InDoubtRule* in_doubt_rule(const Policy& policy, std::string_view mx_name,
                                 std::string_view domain);

// What to do with a recipient in doubt: as the first rule says that fits, else as `provider`, his
// domain's, does, else as for all. `mx_name`: the host that was spoken to; empty when it is not
// known (after a crash): then no rule by host fits. Names are compared without case.
InDoubtChoice in_doubt_choice(const Policy& policy, const Provider& provider,
                              std::string_view mx_name, std::string_view domain);

// What an operator asks every home about recipients in doubt: which they are, or (of those that are
// held) what is to become of them.
struct InDoubtQuestion {
  enum class Action : uint8_t { list, retry, delivered, failed };
  uint64_t token = 0;
  Action action = Action::list;
  uint64_t batch = 0;             // number; 0: all (list only)
  std::optional<uint32_t> index;  // this one only
  bool held_only = false;         // list: without those that will be tried again
  uint32_t limit = 1000;          // listed at most, by each home
};
struct InDoubtItem {
  uint64_t batch = 0;
  uint32_t index = 0;
  uint8_t attempts = 0;
  bool held = false;
  int64_t due_in_ns = 0;  // not of those that are held
  queue::Location page;   // where its entry lies
  uint32_t entry_offset = 0;
};
struct InDoubtAnswer {
  uint64_t token = 0;
  std::vector<InDoubtItem> items;
  uint32_t done = 0;  // how many were held and are no more
};

using queue::fits_name;

}  // namespace veredus
