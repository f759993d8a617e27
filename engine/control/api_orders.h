#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/control/api.h"
#include "engine/control/api_body.h"
#include "queue/order.h"

// What operators order to become of mail that waits: README.md beside this.
namespace veredus::control {

// POST /v1/suspend, /v1/cancel, /v1/retry, /v1/expire, and of a batch …/pause and …/cancel.
class OrderHandler : public BodyHandler {
 public:
  // `of_path`: what the call's path says of the filter; empty: nothing.
  OrderHandler(Api& api, HttpCall& call, queue::Order::Kind kind, queue::Filter of_path = {});

 protected:
  void decide(const std::string& body) override;

  Api& api_;

 private:
  static constexpr size_t kBodyMax = 512 * 1024;  // of addresses to cancel: api_cancel.h

  std::optional<HttpError> check(const queue::Filter& filter) const;
  void told(const OrderAnswer& answer);

  queue::Order order_;
  unsigned open_ = 0;  // homes that have not answered
  absl::Status status_;
};

// DELETE /v1/suspend/N, and POST of a batch's …/resume: suspensions end.
class LiftHandler final : public BodyHandler {
 public:
  LiftHandler(Api& api, HttpCall& call, uint64_t number);
  LiftHandler(Api& api, HttpCall& call, const std::string& tenant, const std::string& batch);

 private:
  static constexpr size_t kBodyMax = 4096;  // nobody reads it

  void decide(const std::string& body) override;
  std::vector<queue::Order> meant() const;
  HttpError none() const;
  void told(const OrderAnswer& answer);

  Api& api_;
  const uint64_t number_;       // 0: those of the batch
  const queue::Filter filter_;  // of the batch
  std::vector<uint64_t> lifted_;
  unsigned open_ = 0;  // answers that are to come
  absl::Status status_;
};

// GET /v1/suspend: all orders in force.
std::unique_ptr<HttpHandler> list_orders(Api& api, HttpCall& call);

}  // namespace veredus::control
