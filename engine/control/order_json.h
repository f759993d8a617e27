#pragma once

#include "engine/intake/json_writer.h"
#include "queue/order.h"

namespace veredus::control {

// What JSON says of an operator's order, in its event and wherever orders are listed; into an
// object that is open: `order` (its number), `kind`, `filter` (the parts that are set), `until` of
// a suspension that ends by itself, `reason` if there is one, `state`.
void write_order(intake::JsonWriter& json, const queue::Order& order);

}  // namespace veredus::control
