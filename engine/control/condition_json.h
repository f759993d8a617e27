#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/intake/json_writer.h"
#include "engine/policy.h"
#include "engine/why.h"

namespace veredus::control {

// "conditions":[{"what","text","setting","file","line","order","clears","estimate"}], into an
// object that is open. `setting` … `clears` are left out where there is no such thing; `estimate`
// is there only when it is true. `mono_ns`, `wall_ns`: now.
void write_conditions(intake::JsonWriter& json, const std::vector<Condition>& conditions,
                      int64_t mono_ns, int64_t wall_ns);

// Adds those of `more` that are not among `conditions`; of the same it keeps what clears later.
void merge_conditions(std::vector<Condition> more, std::vector<Condition>& conditions);

// "route": where the static route is configured by which the site's mail goes; nothing, if none.
void write_route(intake::JsonWriter& json, const Policy& policy, std::string_view site_key);

}  // namespace veredus::control
