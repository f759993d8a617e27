#include "engine/control/api_trace.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/idn.h"

namespace veredus::control {
namespace {

// By TraceLine::What.
constexpr std::array<std::string_view, 7> kWhat = {"dialled", "connected", "tls",   "client",
                                                   "server",  "content",   "closed"};

struct Parameter {
  std::string_view name;
  std::string TraceFilter::*text;
  bool lower;
};
constexpr std::array<Parameter, 5> kTexts = {{{"site", &TraceFilter::site, false},
                                              {"domain", &TraceFilter::domain, true},
                                              {"host", &TraceFilter::host, true},
                                              {"source", &TraceFilter::source, false},
                                              {"provider", &TraceFilter::provider, false}}};
constexpr std::array<std::pair<std::string_view, bool TraceFilter::*>, 2> kFlags = {
    {{"credentials", &TraceFilter::credentials}, {"content", &TraceFilter::content}}};

// What is wrong with it; empty: nothing.
std::string read_parameter(const std::string& name, const std::string& value, TraceFilter& filter) {
  for (const Parameter& parameter : kTexts) {
    if (parameter.name != name) continue;
    filter.*parameter.text =
        parameter.lower ? absl::AsciiStrToLower(mail::with_a_labels(value)) : value;
    return value.empty() ? name + " is empty" : "";
  }
  for (const auto& [flag, member] : kFlags) {
    if (flag != name) continue;
    filter.*member = value == "1";
    return value == "0" || value == "1" ? "" : name + " is 0 or 1";
  }
  return "there is no parameter " + name;
}

}  // namespace

void append_trace_line(const TraceLine& line, std::string& out) {
  intake::JsonWriter json(out);
  json.begin_object().time_field("time", line.wall_ns);
  json.field("what", kWhat[static_cast<size_t>(line.what)]);
  json.field("shard", unsigned{line.shard}).field("session", line.session);
  json.field("site", line.site).field("host", line.host).field("address", line.address);
  json.field("source", line.source);
  const bool spoken = line.what == TraceLine::What::client ||
                      line.what == TraceLine::What::server || line.what == TraceLine::What::content;
  if (spoken) {
    json.field("text", line.text);
  } else {
    json.field_if("text", line.text);
  }
  json.end_object().newline();
}

std::unique_ptr<HttpHandler> TraceHandler::make(Api& api, const HttpRequest& request,
                                                HttpCall& call) {
  TraceFilter filter;
  for (const auto& [name, value] : request.query) {
    std::string wrong = read_parameter(name, value, filter);
    if (wrong.empty()) continue;
    return refuse(call, {400, "bad_parameter", std::move(wrong),
                         "known: site domain host source provider credentials content"});
  }
  if (api.traces_.size() >= Api::kTracesMax) {
    return refuse(call, {503, "too_many_readers", "too many look on already", "close some"});
  }
  return std::unique_ptr<HttpHandler>(new TraceHandler(api, call, std::move(filter)));
}

TraceHandler::TraceHandler(Api& api, HttpCall& call, TraceFilter filter)
    : api_(api), call_(call), trace_(std::make_shared<Trace>(std::move(filter))) {
  api_.traces_.push_back(this);
  api_.view_.begin_trace(trace_);
  call_.answer_stream("application/x-ndjson");
}

TraceHandler::~TraceHandler() {
  trace_->end();
  std::erase(api_.traces_, this);
}

void TraceHandler::look_again(bool heartbeat) {
  heartbeat_ = heartbeat_ || heartbeat;
  // What he does not take stays with the trace, which has a bound.
  if (lines_.empty() && left_out_ == 0) {
    std::vector<TraceLine> taken = trace_->take(left_out_);
    lines_.assign(std::move_iterator(taken.begin()), std::move_iterator(taken.end()));
  }
  if (!lines_.empty() || left_out_ > 0 || heartbeat_ || api_.stopping_) call_.resume();
}

bool TraceHandler::read(std::string& out, size_t room) {
  const size_t begin = out.size();
  while (!lines_.empty() && out.size() - begin < room) {
    append_trace_line(lines_.front(), out);
    lines_.pop_front();
  }
  const int64_t now = api_.port_.wall_ns();
  if (lines_.empty() && left_out_ > 0) {
    intake::JsonWriter json(out);
    json.begin_object().time_field("time", now).field("what", "left_out");
    json.field("lines", std::exchange(left_out_, 0)).end_object().newline();
  }
  if (std::exchange(heartbeat_, false)) {
    intake::JsonWriter json(out);
    json.begin_object().time_field("time", now).field("what", "alive").end_object().newline();
  }
  return !api_.stopping_ || !lines_.empty();
}

}  // namespace veredus::control
