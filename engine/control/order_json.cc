#include "engine/control/order_json.h"

namespace veredus::control {

void write_order(intake::JsonWriter& json, const queue::Order& order) {
  json.field("order", order.number).field("kind", name_of(order.kind));
  json.key("filter").begin_object();
  for (const queue::FilterPart& part : queue::kFilterParts)
    json.field_if(part.name, order.filter.*part.text);
  json.end_object();
  if (order.until_wall_ns != 0) json.time_field("until", order.until_wall_ns);
  json.field_if("reason", order.reason).field("state", name_of(order.state));
}

}  // namespace veredus::control
