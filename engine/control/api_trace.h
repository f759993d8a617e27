#pragma once

#include <deque>
#include <memory>
#include <string>

#include "engine/control/api.h"
#include "engine/trace.h"

namespace veredus::control {

// GET /v1/trace?site=…&domain=…&host=…&source=…&provider=…&credentials=1&content=1
//
// What sessions that fit say and hear from now on, a JSON object a line, until the client goes.
class TraceHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> make(Api& api, const HttpRequest& request, HttpCall& call);
  ~TraceHandler() override;

  bool read(std::string& out, size_t room) override;
  // Each tick; `heartbeat`: also when there is nothing, so that a client that has gone is noticed.
  void look_again(bool heartbeat);

 private:
  TraceHandler(Api& api, HttpCall& call, TraceFilter filter);

  Api& api_;
  HttpCall& call_;
  std::shared_ptr<Trace> trace_;
  std::deque<TraceLine> lines_;  // taken, not yet told
  uint64_t left_out_ = 0;        // behind these
  bool heartbeat_ = true;        // the first one says that it has begun
};

// One line. Bytes that are no UTF-8, and control bytes, as append_json_string() has them.
void append_trace_line(const TraceLine& line, std::string& out);

}  // namespace veredus::control
