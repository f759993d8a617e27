#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "engine/erasure.h"
#include "engine/in_doubt.h"
#include "engine/tls_result.h"
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
  uint64_t token = 0;   // 0: nobody asked
  uint64_t done = 0;    // number of one that has ended at this home by itself; 0: none
  absl::Status status;  // not ok: it may hold at other homes; ask again
};

// What answers to the control thread's questions are, each with the token of its question.
using QuestionAnswer = std::variant<InDoubtAnswer, ErasureAnswer, OrderAnswer, WhyAnswer,
                                    SitesAnswer, TlsResultsAnswer>;

}  // namespace veredus
