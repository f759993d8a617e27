#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/control/api.h"
#include "engine/control/api_body.h"

namespace veredus::control {

// GET /v1/consumers; POST /v1/consumers/NAME/ack {"cursor":"…"}; DELETE /v1/consumers/NAME. See
// README.md beside this.
class ConsumerHandler final : public BodyHandler {
 public:
  static std::unique_ptr<HttpHandler> list(Api& api, HttpCall& call);
  static std::unique_ptr<HttpHandler> acknowledge(Api& api, const std::string& name,
                                                  HttpCall& call);
  static std::unique_ptr<HttpHandler> remove(Api& api, const std::string& name, HttpCall& call);

  // What is wrong with a consumer that a call names; a status of 0: nothing.
  static HttpError check(Api& api, const std::string& name);

 private:
  static constexpr size_t kBodyMax = 128 * 1024;

  ConsumerHandler(Api& api, HttpCall& call, std::string name)
      : BodyHandler(call, kBodyMax), api_(api), name_(std::move(name)) {}
  void decide(const std::string& body) override;
  void stored(const absl::Status& status);

  Api& api_;
  const std::string name_;
  bool acknowledges_ = false;
};

}  // namespace veredus::control
