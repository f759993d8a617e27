#include "engine/control/api.h"

#include <algorithm>
#include <charconv>
#include <deque>

#include "engine/control/api_consumers.h"
#include "engine/control/api_events.h"
#include "engine/control/api_in_doubt.h"
#include "engine/control/api_reload.h"
#include "engine/control/api_sites.h"
#include "engine/control/api_tls_results.h"
#include "engine/control/api_trace.h"
#include "engine/control/api_why.h"
#include "engine/control/config_table.h"
#include "engine/control/consumers.h"
#include "engine/control/metrics.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

constexpr std::string_view kLines = "application/x-ndjson";
constexpr uint64_t kBatchesListedMax = 10'000;
constexpr size_t kBatchesComparedMax = 1000;  // with a name that is wrong

std::unique_ptr<HttpHandler> say(HttpCall& call, std::string body,
                                 std::string type = "application/json") {
  HttpAnswer answer;
  answer.content_type = std::move(type);
  answer.body = std::move(body);
  return reply(call, std::move(answer));
}

HttpAnswer stopping_answer() {
  HttpAnswer answer = error_answer({503, "stopping", "the engine is being stopped",
                                    "send the same batch again when it is back"});
  answer.headers.emplace_back("Retry-After", "5");
  return answer;
}

// GET …/refused: what was written of it, frame by frame.
class RefusedHandler final : public HttpHandler {
 public:
  RefusedHandler(EngineView& view, const std::vector<queue::Location>& frames, HttpCall& call)
      : view_(view), frames_(frames.begin(), frames.end()) {
    call.answer_stream(std::string(kLines));
  }
  bool read(std::string& out, size_t) override {
    if (frames_.empty()) return false;
    const queue::Location at = frames_.front();
    frames_.pop_front();
    queue::JournalReader reader(view_.disk(), at.journal, view_.journal_directory(at.journal));
    std::string bytes;
    constexpr size_t kNumberBytes = 8;  // of the batch, in front
    if (const absl::Status status = reader.read(at, bytes); !status.ok()) {
      out += "{\"error\":{\"code\":\"unreadable\",\"reason\":";
      intake::append_json_string(std::string(status.message()), out);
      out += "}}\n";
    } else if (bytes.size() > kNumberBytes) {
      out.append(bytes, kNumberBytes);
    }
    return !frames_.empty();
  }

 private:
  EngineView& view_;
  std::deque<queue::Location> frames_;
};

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  }
  return parts;
}

}  // namespace

// POST /v1/batches: the body goes to intake as it comes.
class UploadHandler final : public HttpHandler, private intake::UploadListener {
 public:
  UploadHandler(Api& api, HttpCall& call)
      : api_(api), call_(call), upload_(api.intake_.begin_upload(*this)) {
    api_.uploads_.push_back(this);
  }
  ~UploadHandler() override { std::erase(api_.uploads_, this); }

  bool on_body(std::string_view bytes) override {
    if (answered_) return true;
    upload_->feed(bytes);
    return answered_ || !upload_->wants_pause();
  }
  void on_end() override {
    ended_ = true;
    if (!answered_) upload_->finish();
  }
  // A batch whose body is complete may still become durable and gets its answer; any other is let
  // go.
  void stop() {
    if (answered_ || ended_) return;
    answered_ = true;
    upload_->abandon();
    call_.answer(stopping_answer());
  }

 private:
  void on_answer(const intake::Answer& answer) override {
    answered_ = true;
    HttpAnswer out;
    out.status = static_cast<unsigned>(answer.status);
    out.body = answer.body;
    if (answer.retry_after_s != 0) {
      out.headers.emplace_back("Retry-After", std::to_string(answer.retry_after_s));
    }
    call_.answer(std::move(out));
  }
  void on_resume() override { call_.resume(); }

  Api& api_;
  HttpCall& call_;
  bool answered_ = false, ended_ = false;
  std::shared_ptr<intake::Upload> upload_;  // last: intake may answer while it is made
};

bool parse_number(std::string_view text, uint64_t& number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && at == end && !text.empty();
}

Api::Api(EngineView& view, intake::Intake& intake, const intake::ShardPort& port, Reload& reload,
         std::string node, int64_t started_wall_ns)
    : view_(view),
      intake_(intake),
      port_(port),
      reload_(reload),
      node_(std::move(node)),
      started_wall_ns_(started_wall_ns),
      consumers_(std::make_unique<Consumers>(view)) {}

Api::~Api() = default;

bool Api::is_open(const HttpRequest& request) {
  return request.path == "/metrics" || request.path == "/healthz";
}

std::unique_ptr<HttpHandler> Api::route(const HttpRequest& request, HttpCall& call) {
  const std::vector<std::string> parts = parts_of(request.path);
  const bool v1 = parts.size() >= 2 && parts[0] == "v1";
  const bool get = request.method == "GET";
  if (v1 && parts[1] == "batches" && parts.size() == 2 && request.method == "POST") {
    return upload(call);
  }
  if (v1 && parts[1] == "in_doubt" && parts.size() == 2) return in_doubt(request, call);
  if (v1 && parts[1] == "reload" && parts.size() == 2) {
    if (request.method == "POST") return std::make_unique<ReloadHandler>(*this, call);
    return refuse(call, {405, "wrong_method", request.method + " is not for " + request.path,
                         "use POST; GET /v1/limits shows what holds for feeders"});
  }
  if (v1 && parts[1] == "consumers") return consumers(parts, request, call);
  if (std::unique_ptr<HttpHandler> steering = steer(parts, request, call)) return steering;
  const bool known = request.path == "/metrics" || request.path == "/healthz" ||
                     (v1 && parts.size() == 2 &&
                      (parts[1] == "batches" || parts[1] == "events" || parts[1] == "limits" ||
                       parts[1] == "trace" || parts[1] == "why")) ||
                     (v1 && parts[1] == "sites" && parts.size() <= 3) ||
                     (v1 && parts[1] == "tls_results" && parts.size() == 2) ||
                     (v1 && parts[1] == "batches" && parts.size() == 4) ||
                     (v1 && parts[1] == "batches" && parts.size() == 5 && parts[4] == "refused");
  if (!known) {
    return refuse(
        call,
        {404, "no_such_call", "there is no " + request.path,
         "calls: GET /v1/batches, /v1/batches/TENANT/BATCH[/refused], /v1/events, /v1/in_doubt, "
         "/v1/suspend, /v1/why, /v1/sites[/SITE], /v1/trace, /v1/tls_results, /v1/limits, "
         "/v1/consumers, /metrics, /healthz; "
         "POST /v1/batches, /v1/suspend, /v1/cancel, /v1/retry, /v1/expire, /v1/in_doubt, "
         "/v1/reload, /v1/batches/TENANT/BATCH/pause|resume|cancel, /v1/consumers/NAME/ack; DELETE "
         "/v1/suspend/N, /v1/consumers/NAME"});
  }
  if (!get) {
    return refuse(call, {405, "wrong_method", request.method + " is not for " + request.path,
                         "use GET; batches are fed by POST /v1/batches"});
  }
  if (request.path == "/metrics") return metrics(call);
  if (request.path == "/healthz") return health(call);
  if (parts[1] == "trace") return TraceHandler::make(*this, request, call);
  if (parts[1] == "why") return WhyHandler::ask(*this, request, call);
  if (parts[1] == "sites")
    return parts.size() == 3 ? SitesHandler::one(*this, parts[2], call)
                             : SitesHandler::list(*this, request, call);
  if (parts[1] == "tls_results") return TlsResultsHandler::ask(*this, request, call);
  if (parts.size() == 4) return batch(parts[2], parts[3], call);
  if (parts.size() == 5) return refused(parts[2], parts[3], call);
  if (parts[1] == "events") return events(request, call);
  if (parts[1] == "limits") return say(call, intake_.limits_json());
  return batches(request, call);
}

std::unique_ptr<HttpHandler> Api::upload(HttpCall& call) {
  if (stopping_) return reply(call, stopping_answer());
  return std::make_unique<UploadHandler>(*this, call);
}

std::unique_ptr<HttpHandler> Api::batches(const HttpRequest& request, HttpCall& call) {
  uint64_t limit = 100;
  const std::string_view wanted = request.param("limit");
  if (!wanted.empty() && (!parse_number(wanted, limit) || limit == 0)) {
    return refuse(call, {400, "bad_parameter", "limit is no number above 0", ""});
  }
  limit = std::min(limit, kBatchesListedMax);
  const std::string_view tenant = request.param("tenant");
  // The last ones, in the order in which they came.
  std::deque<std::shared_ptr<const queue::LiveBatch>> last;
  uint64_t total = 0;
  intake_.for_each([&](const std::shared_ptr<const queue::LiveBatch>& live) {
    if (!tenant.empty() && live->batch.tenant != tenant) return;
    ++total;
    last.push_back(live);
    if (last.size() > limit) last.pop_front();
  });
  std::string body = "{\"total\":" + std::to_string(total) + ",\"batches\":[";
  const int64_t now = port_.wall_ns();
  for (const auto& live : last) {
    if (body.back() != '[') body += ',';
    intake::append_batch_json(*live, now, body);
  }
  body += "]}\n";
  return say(call, std::move(body));
}

std::unique_ptr<HttpHandler> Api::batch(const std::string& tenant, const std::string& name,
                                        HttpCall& call) {
  const auto live = intake_.find(tenant, name);
  if (live == nullptr) return refuse(call, no_such_batch(tenant, name));
  std::string body;
  intake::append_batch_json(*live, port_.wall_ns(), body);
  return say(call, body + "\n");
}

std::unique_ptr<HttpHandler> Api::refused(const std::string& tenant, const std::string& name,
                                          HttpCall& call) {
  const auto live = intake_.find(tenant, name);
  if (live == nullptr) return refuse(call, no_such_batch(tenant, name));
  const queue::LiveBatch::Locations frames = live->refusals;
  if (frames == nullptr) return say(call, "", std::string(kLines));
  return std::make_unique<RefusedHandler>(view_, *frames, call);
}

std::unique_ptr<HttpHandler> Api::events(const HttpRequest& request, HttpCall& call) {
  if (followers_.size() >= kFollowersMax) {
    return refuse(
        call, {503, "too_many_readers", "too many readers of events", "close some, or share one"});
  }
  auto made = EventsHandler::make(*this, request, call);
  if (made.handler != nullptr) return std::move(made.handler);
  return refuse(call, made.error);
}

std::unique_ptr<HttpHandler> Api::in_doubt(const HttpRequest& request, HttpCall& call) {
  if (request.method == "GET") return InDoubtList::make(*this, request, call);
  if (request.method == "POST") return std::make_unique<InDoubtDecision>(*this, call);
  return refuse(call, {405, "wrong_method", request.method + " is not for " + request.path,
                       "use GET to list, POST to decide"});
}

std::unique_ptr<HttpHandler> Api::consumers(const std::vector<std::string>& parts,
                                            const HttpRequest& request, HttpCall& call) {
  const std::string& method = request.method;
  if (parts.size() == 2 && method == "GET") return ConsumerHandler::list(*this, call);
  if (parts.size() == 3 && method == "DELETE")
    return ConsumerHandler::remove(*this, parts[2], call);
  if (parts.size() == 4 && parts[3] == "ack" && method == "POST")
    return ConsumerHandler::acknowledge(*this, parts[2], call);
  return refuse(call, {405, "wrong_method", method + " is not for " + request.path,
                       "GET /v1/consumers lists, POST /v1/consumers/NAME/ack acknowledges, DELETE "
                       "/v1/consumers/NAME removes"});
}

std::unique_ptr<HttpHandler> Api::metrics(HttpCall& call) {
  ControlFigures figures;
  figures.batches = intake_.batches();
  figures.uploads = intake_.uploads();
  figures.unanswered_bytes = intake_.unanswered_bytes();
  figures.connections = connections_;
  std::string reason;
  figures.accepting = !stopping_ && port_.accepting(reason);
  figures.started_wall_ns = started_wall_ns_;
  intake_.for_each_tenant([&](intake::Tenant& tenant) {
    const intake::Tenant::Use use = tenant.count();
    figures.tenants.push_back({tenant.name(), use.waiting, use.bytes});
  });
  return say(call, metrics_text(view_, figures), "text/plain; version=0.0.4");
}

std::unique_ptr<HttpHandler> Api::health(HttpCall& call) {
  std::string reason;
  HttpAnswer answer;
  const bool accepting = !stopping_ && port_.accepting(reason);
  if (stopping_) reason = "the engine is being stopped";
  answer.status = stopping_ ? 503 : 200;
  intake::JsonWriter json(answer.body);
  json.begin_object().field("status", stopping_ ? "stopping" : "ok").field("accepting", accepting);
  json.field_if("reason", reason);
  json.key("damage").begin_array();
  for (const std::string& place : view_.damage()) json.value(place);
  json.end_array().end_object().newline();
  return reply(call, std::move(answer));
}

HttpError Api::no_such_batch(const std::string& tenant, const std::string& name) const {
  HttpError error{404, "no_such_batch", "there is no batch " + name + " of tenant " + tenant,
                  "GET /v1/batches lists those there are; one exists once it is acknowledged"};
  if (intake_.batches() > kBatchesComparedMax) return error;
  std::vector<std::string> of_tenant;
  std::string elsewhere;
  intake_.for_each([&](const std::shared_ptr<const queue::LiveBatch>& live) {
    if (live->batch.tenant == tenant) of_tenant.push_back(live->batch.name);
    if (live->batch.name == name) elsewhere = live->batch.tenant;
  });
  const std::string near = nearest_name(name, of_tenant);
  if (!elsewhere.empty()) {
    error.hint = "tenant " + elsewhere + " has one of that name";
  } else if (!near.empty()) {
    error.hint = "did you mean " + near + "? " + error.hint;
  }
  return error;
}

std::vector<queue::Location> Api::durable_ends() const {
  std::vector<queue::Location> ends;
  for (unsigned journal = 0; journal < view_.journals(); ++journal) {
    ends.push_back(view_.durable_end(journal));
  }
  return ends;
}

void Api::tick() {
  if (!stopping_) intake_.tick();
  if (followers_.empty() && traces_.empty()) return;
  const int64_t now = port_.wall_ns();
  const bool heartbeat = now >= next_heartbeat_ns_ || now < next_heartbeat_ns_ - kHeartbeatNs;
  if (heartbeat) next_heartbeat_ns_ = now + kHeartbeatNs;
  for (TraceHandler* const trace : traces_) trace->look_again(heartbeat);
  if (followers_.empty()) return;
  std::vector<queue::Location> ends = durable_ends();
  if (!heartbeat && ends == last_ends_ && !stopping_) return;
  last_ends_ = std::move(ends);
  for (EventsHandler* follower : followers_) follower->look_again(heartbeat);
}

void Api::begin_shutdown() {
  stopping_ = true;
}

}  // namespace veredus::control
