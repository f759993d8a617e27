#include "engine/control/condition_json.h"

#include <algorithm>
#include <utility>

namespace veredus::control {

void write_conditions(intake::JsonWriter& json, const std::vector<Condition>& conditions,
                      int64_t mono_ns, int64_t wall_ns) {
  json.key("conditions").begin_array();
  for (const Condition& condition : conditions) {
    json.begin_object().field("what", condition.what).field("text", condition.text);
    json.field_if("setting", condition.origin.setting).field_if("file", condition.origin.file);
    if (condition.origin.line != 0) json.field("line", condition.origin.line);
    if (condition.order != 0) json.field("order", condition.order);
    if (condition.clears_mono_ns != 0) {
      json.time_field("clears", wall_ns + condition.clears_mono_ns - mono_ns);
      if (condition.is_estimate) json.field("estimate", true);
    }
    json.end_object();
  }
  json.end_array();
}

void merge_conditions(std::vector<Condition> more, std::vector<Condition>& conditions) {
  for (Condition& one : more) {
    const auto known =
        std::find_if(conditions.begin(), conditions.end(), [&](const Condition& other) {
          return other.what == one.what && other.order == one.order && other.text == one.text;
        });
    if (known == conditions.end()) {
      conditions.push_back(std::move(one));
    } else if (one.clears_mono_ns > known->clears_mono_ns) {
      *known = std::move(one);
    }
  }
}

void write_route(intake::JsonWriter& json, const Policy& policy, std::string_view site_key) {
  const StaticRoute* const route = policy.route_of_key(site_key);
  if (route == nullptr) return;
  const Origin& origin = route->origin;
  json.key("route").begin_object().field("name", route->name);
  json.field_if("setting", origin.setting).field_if("file", origin.file);
  if (origin.line != 0) json.field("line", origin.line);
  json.end_object();
}

}  // namespace veredus::control
