#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/control/engine_view.h"
#include "engine/control/http_server.h"
#include "engine/intake/intake.h"
#include "engine/intake/port.h"

namespace veredus::control {

class Consumers;
class EventsHandler;
class Reload;
class TraceHandler;
class UploadHandler;

// The calls of feed.md: feeding, watching, metrics. Lives on the server's thread.
class Api {
 public:
  // All outlive the api; handlers made by route() are gone before it.
  Api(EngineView& view, intake::Intake& intake, const intake::ShardPort& port, Reload& reload,
      std::string node, int64_t started_wall_ns);
  ~Api();

  std::unique_ptr<HttpHandler> route(const HttpRequest& request, HttpCall& call);
  // What TCP callers may see without a token.
  static bool is_open(const HttpRequest& request);

  // Lets those that follow the events see what has become durable. Every kTickNs.
  static constexpr int64_t kTickNs = 50'000'000;
  void tick();
  // The engine is being stopped: uploads are told 503, also those whose body is still coming;
  // following ends.
  void begin_shutdown();
  void set_connections(size_t open) { connections_ = open; }

 private:
  friend class CancelHandler;
  friend class ConsumerHandler;
  friend class EventsHandler;
  friend class InDoubtDecision;
  friend class InDoubtList;
  friend class LiftHandler;
  friend class OrderHandler;
  friend class ReloadHandler;
  friend class SitesHandler;
  friend class TlsResultsHandler;
  friend class TraceHandler;
  friend class UploadHandler;
  friend class WhyHandler;
  friend std::unique_ptr<HttpHandler> list_orders(Api& api, HttpCall& call);
  static constexpr int64_t kHeartbeatNs = 15'000'000'000;
  static constexpr size_t kFollowersMax = 256;
  static constexpr size_t kTracesMax = 16;

  std::unique_ptr<HttpHandler> upload(HttpCall& call);
  std::unique_ptr<HttpHandler> batches(const HttpRequest& request, HttpCall& call);
  std::unique_ptr<HttpHandler> batch(const std::string& tenant, const std::string& name,
                                     HttpCall& call);
  std::unique_ptr<HttpHandler> refused(const std::string& tenant, const std::string& name,
                                       HttpCall& call);
  std::unique_ptr<HttpHandler> events(const HttpRequest& request, HttpCall& call);
  std::unique_ptr<HttpHandler> metrics(HttpCall& call);
  std::unique_ptr<HttpHandler> health(HttpCall& call);
  std::unique_ptr<HttpHandler> consumers(const std::vector<std::string>& parts,
                                         const HttpRequest& request, HttpCall& call);
  std::unique_ptr<HttpHandler> in_doubt(const HttpRequest& request, HttpCall& call);
  // Orders of operators (api_orders.cc). Null: it is none of these calls.
  std::unique_ptr<HttpHandler> steer(const std::vector<std::string>& parts,
                                     const HttpRequest& request, HttpCall& call);
  // Names the batch that was probably meant, if that is cheap.
  HttpError no_such_batch(const std::string& tenant, const std::string& name) const;
  std::vector<queue::Location> durable_ends() const;

  EngineView& view_;
  intake::Intake& intake_;
  const intake::ShardPort& port_;
  Reload& reload_;
  const std::string node_;
  const int64_t started_wall_ns_;
  const std::unique_ptr<Consumers> consumers_;
  size_t connections_ = 0;
  bool stopping_ = false;
  std::vector<EventsHandler*> followers_;
  std::vector<TraceHandler*> traces_;
  std::vector<UploadHandler*> uploads_;
  std::vector<queue::Location> last_ends_;
  int64_t next_heartbeat_ns_ = 0;
};

}  // namespace veredus::control
