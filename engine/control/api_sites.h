#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/control/api.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {

// GET /v1/sites: what waits, flows and fails at each site, those with most that waits first, or by
// provider; and GET /v1/sites/KEY: one of them, with the limits that hold. See README.md beside
// this.
class SitesHandler final : public HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> list(Api& api, const HttpRequest& request, HttpCall& call);
  static std::unique_ptr<HttpHandler> one(Api& api, const std::string& site, HttpCall& call);
  ~SitesHandler() override { *self_ = nullptr; }

 private:
  static constexpr uint64_t kListedMax = 10'000;

  SitesHandler(Api& api, HttpCall& call) : api_(api), call_(call) {}
  void ask(const SitesQuestion& question);
  void told(SitesAnswer answer);
  void say();
  void write(intake::JsonWriter& json, const SiteState& state) const;
  void write_provider(intake::JsonWriter& json, const SiteState& state) const;
  void write_limits(intake::JsonWriter& json, const SiteState& state) const;

  Api& api_;
  HttpCall& call_;
  std::string site_;  // asked for; empty: all
  uint64_t limit_ = 0;
  bool by_provider_ = false;
  std::vector<SiteState> sites_;
  uint64_t total_ = 0;
  unsigned open_ = 0;  // shards that have not answered
  // Their answers may come when the connection is gone.
  std::shared_ptr<SitesHandler*> self_ = std::make_shared<SitesHandler*>(this);
};

}  // namespace veredus::control
