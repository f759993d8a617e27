#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "engine/control/api.h"
#include "engine/control/spool_entry.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {

// GET /v1/why: what a recipient, a batch, a domain's or a site's mail waits for. See README.md
// beside this.
//
// Every home is asked; its answer comes by the lanes that know more. What they say is put together
// here, and addresses are read back from the journals.
class WhyHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> ask(Api& api, const HttpRequest& request, HttpCall& call);
  ~WhyHandler() override { *self_ = nullptr; }

 private:
  static constexpr uint64_t kToldMax = 1000;

  WhyHandler(Api& api, HttpCall& call) : api_(api), call_(call), entries_(api.view_) {}
  void ask(const WhyQuestion& question);
  void told(WhyAnswer answer);
  void put_together();
  void say();
  void write(intake::JsonWriter& json, const Waiting& item);

  Api& api_;
  HttpCall& call_;
  WhyQuestion question_;
  WhyAnswer answer_;   // of all homes so far
  unsigned open_ = 0;  // homes that have not answered
  SpoolEntries entries_;
  // The homes' answers may come when the connection is gone.
  std::shared_ptr<WhyHandler*> self_ = std::make_shared<WhyHandler*>(this);
};

}  // namespace veredus::control
