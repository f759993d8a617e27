#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>

#include "queue/order.h"

// Orders as operators give them, and at random.
namespace veredus::queue {

// Cancels what was accepted up to batch 99.
inline Order order_of(uint64_t number, Order::Kind kind, Filter filter) {
  Order order;
  order.number = number;
  order.kind = kind;
  order.filter = std::move(filter);
  order.given_wall_ns = 1'700'000'000'000'000'000;
  order.last_batch = kind == Order::Kind::suspend ? kEveryBatch : 99;
  return order;
}

// Any that can be given, in any state.
inline Order random_order(std::mt19937_64& random, uint64_t number) {
  const auto one_in = [&random](uint64_t n) { return random() % n == 0; };
  const auto name = [&random] { return "n" + std::to_string(random() % 1000); };
  Order order = order_of(number, static_cast<Order::Kind>(1 + random() % 4), {});
  Filter& filter = order.filter;
  if (one_in(2)) filter.tenant = name();
  if (one_in(3)) filter.campaign = name();
  if (one_in(3) && !filter.tenant.empty()) filter.batch = name();
  if (one_in(4)) filter.provider = name();
  if (one_in(4)) filter.site = "mx1." + name() + ".example,mx2.example";
  if (one_in(4)) filter.source = name();
  const std::string domain = name() + ".example";
  if (one_in(4)) filter.recipient = "Ada.\"" + name() + "@" + domain;
  if (one_in(4) || filter.empty()) filter.domain = one_in(2) ? domain : ".example";
  order.given_wall_ns = static_cast<int64_t>(random() >> (1 + random() % 60));
  if (order.kind == Order::Kind::suspend) {
    if (one_in(2))
      order.until_wall_ns = order.given_wall_ns + 1 + static_cast<int64_t>(random() >> 40);
  } else {
    order.last_batch = random() >> (1 + random() % 60);
  }
  if (one_in(2)) {
    order.state =
        order.kind == Order::Kind::suspend && one_in(2) ? Order::State::lifted : Order::State::done;
    order.ended_wall_ns = order.given_wall_ns + 1;
  }
  if (one_in(2)) order.reason = "l\xc3\xa4uft " + name();
  return order;
}

}  // namespace veredus::queue
