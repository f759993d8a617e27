#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/control/api.h"

namespace veredus::control {

// GET /v1/consumers; POST /v1/consumers/NAME/ack {"cursor":"…"}; DELETE /v1/consumers/NAME. See
// README.md beside this.
class ConsumerHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> list(Api& api, HttpCall& call);
  static std::unique_ptr<HttpHandler> acknowledge(Api& api, const std::string& name,
                                                  HttpCall& call);
  static std::unique_ptr<HttpHandler> remove(Api& api, const std::string& name, HttpCall& call);
  ~ConsumerHandler() override { *self_ = nullptr; }

  bool on_body(std::string_view bytes) override;
  void on_end() override;

  // What is wrong with a consumer that a call names; a status of 0: nothing.
  static HttpError check(Api& api, const std::string& name);

 private:
  static constexpr size_t kBodyMax = 128 * 1024;

  ConsumerHandler(Api& api, HttpCall& call, std::string name)
      : api_(api), call_(call), name_(std::move(name)) {}
  void stored(const absl::Status& status);
  void say(const HttpError& error);

  Api& api_;
  HttpCall& call_;
  const std::string name_;
  std::string body_;
  bool acknowledges_ = false;
  bool answered_ = false;
  // The answer of the engine may come when the connection is gone.
  std::shared_ptr<ConsumerHandler*> self_ = std::make_shared<ConsumerHandler*>(this);
};

}  // namespace veredus::control
