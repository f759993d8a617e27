#pragma once

#include "engine/control/api.h"

namespace veredus::control {

// POST /v1/reload: the configuration file is read again. See README.md beside this.
class ReloadHandler final : public HttpHandler {
 public:
  ReloadHandler(Api& api, HttpCall& call) : api_(api), call_(call) {}
  void on_end() override;

 private:
  Api& api_;
  HttpCall& call_;
};

}  // namespace veredus::control
