#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "engine/why.h"
#include "queue/order.h"

namespace veredus {

// Asked of every home: an operator's order is given, or (state `lifted`) taken back.
struct OrderQuestion {
  uint64_t token = 0;
  queue::Order order;
};
// What is told here is durable.
struct OrderAnswer {
  uint64_t token = 0;
  absl::Status status;  // not ok: it may hold at other homes; ask again
};

// What homes and lanes are asked by the control thread, apart from those in doubt and forgotten.
using QuestionAnswer = std::variant<OrderAnswer, WhyAnswer, SitesAnswer>;

}  // namespace veredus
