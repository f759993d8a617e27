#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/control/api.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {

// GET /v1/tls_results?day=YYYY-MM-DD: what became of TLS that day (UTC; today, or the day before),
// by policy domain, as a report of RFC 8460 §4.4 has it under "policies".
class TlsResultsHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> ask(Api& api, const HttpRequest& request, HttpCall& call);
  ~TlsResultsHandler() override { *self_ = nullptr; }

 private:
  using Rows = std::vector<TlsResultsAnswer::Row>;

  TlsResultsHandler(Api& api, HttpCall& call) : api_(api), call_(call) {}
  void told(TlsResultsAnswer answer);
  void say();
  void write_policy(intake::JsonWriter& json, const TlsResult& result) const;
  static void write_results(intake::JsonWriter& json, const Rows& rows);

  Api& api_;
  HttpCall& call_;
  int64_t day_ = 0;
  Rows rows_;
  uint64_t left_out_ = 0;
  std::map<std::string, std::shared_ptr<const tls::CachedSts>, std::less<>> policies_;
  unsigned open_ = 0;  // shards that have not answered
  // Their answers may come when the connection is gone.
  std::shared_ptr<TlsResultsHandler*> self_ = std::make_shared<TlsResultsHandler*>(this);
};

}  // namespace veredus::control
