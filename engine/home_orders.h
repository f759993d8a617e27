#pragma once

#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "queue/due_wheel.h"
#include "queue/order.h"
#include "queue/record_table.h"

namespace veredus {

// What a home keeps of operators' orders: home_orders.cc.
struct HomeOrders {
  // An operator's order, and who is suspended by it and due.
  struct Given {
    queue::Order order;
    queue::SlotFifo parked;
    bool unwritten = false;  // found in another journal at the start
  };
  struct OrderAsked {
    uint64_t sequence = 0;  // with it the order is durable
    uint64_t token = 0;
  };
  // Who is to be cancelled, given up or tried again is looked for.
  struct Sweep {
    enum class Stage : uint8_t { none, records, addresses, routes, wheel, sites, ending };
    Stage stage = Stage::none;
    uint32_t slot = 0;
    unsigned lost = 0;  // addresses that could not be read: perhaps they lie elsewhere by now
    unsigned again = 0;
    absl::flat_hash_set<uint32_t> retried;  // by recipient: in the wheel
    bool routed = false;                    // sites that were not known have been asked for
    queue::DueWheel::Sifted place;
    size_t lane = 0;  // the next one of lanes_in_order_, whose site is to be tried
  };
};

}  // namespace veredus
