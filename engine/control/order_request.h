#pragma once

#include <optional>
#include <string>

#include "engine/control/http_server.h"
#include "queue/order.h"

namespace veredus::control {

// What somebody orders, from the body of his call: JSON with the parts of the filter, `reason`, and
// `until` (RFC 3339, or a duration from `order.given_wall_ns` on) where it suspends. Pure.
//
// `order` comes with its kind, its last batch, when it is given, and what the call's path says of
// its filter (then the body says nothing of that, and may be missing). It leaves as it is to be
// given, but without number. nullopt: it is one; else what is wrong with it, and what would be
// right.
std::optional<HttpError> read_order(const std::string& body, queue::Order& order);

// Whether the body says anything but the addresses in `recipient`.
bool asks_more_than_recipients(const std::string& body);

}  // namespace veredus::control
