#pragma once

#include <string>

#include "engine/control/api_orders.h"

namespace veredus::control {

// POST /v1/cancel. By recipients alone: nobody is sent to under these addresses any more, and the
// journals forget them. By any other filter it is an order. See README.md beside this.
class CancelHandler final : public OrderHandler {
 public:
  CancelHandler(Api& api, HttpCall& call) : OrderHandler(api, call, queue::Order::Kind::cancel) {}

 private:
  static constexpr size_t kAddressesMax = 1000;

  void decide(const std::string& body) override;
  void told(const ErasureAnswer& answer);

  unsigned open_ = 0;  // homes that have not answered
  ErasureAnswer total_;
};

}  // namespace veredus::control
