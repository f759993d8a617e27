#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/control/api.h"

namespace veredus::control {

// POST /v1/cancel: nobody is sent to under these addresses any more, and the journals forget them.
// See README.md beside this.
class CancelHandler final : public HttpHandler {
 public:
  CancelHandler(Api& api, HttpCall& call) : api_(api), call_(call) {}
  ~CancelHandler() override { *self_ = nullptr; }

  bool on_body(std::string_view bytes) override;
  void on_end() override;

 private:
  static constexpr size_t kBodyMax = 512 * 1024;
  static constexpr size_t kAddressesMax = 1000;

  void told(const ErasureAnswer& answer);
  void say(const HttpError& error);

  Api& api_;
  HttpCall& call_;
  std::string body_;
  bool answered_ = false;
  unsigned open_ = 0;  // homes that have not answered
  ErasureAnswer total_;
  // The homes' answers may come when the connection is gone.
  std::shared_ptr<CancelHandler*> self_ = std::make_shared<CancelHandler*>(this);
};

}  // namespace veredus::control
