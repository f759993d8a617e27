#include "engine/control/api_tls_results.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>

#include "engine/mail/date.h"
#include "queue/retry.h"

namespace veredus::control {
namespace {

using queue::kDayNs;

std::string date_of(int64_t day) {
  std::string text;
  mail::append_rfc3339(day * kDayNs, text);
  return text.substr(0, std::string_view("2026-11-30").size());
}

// Each line of a text.
void write_lines(intake::JsonWriter& json, std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    json.value(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
  }
}

// Those of one policy stand together. Of DANE each host has its own.
auto policy_key(const TlsResult& result) {
  const bool by_host = result.policy == TlsResult::Policy::tlsa;
  return std::tuple(std::string_view(result.domain), result.policy,
                    std::string_view(result.records),
                    by_host ? std::string_view(result.mx) : std::string_view());
}

}  // namespace

std::unique_ptr<HttpHandler> TlsResultsHandler::ask(Api& api, const HttpRequest& request,
                                                    HttpCall& call) {
  const int64_t today = api.port_.wall_ns() / kDayNs;
  int64_t wall_ns = today * kDayNs;
  const std::string day(request.param("day"));
  if (!day.empty() && !mail::parse_rfc3339(day + "T00:00:00Z", wall_ns))
    return refuse(call, {400, "bad_parameter", "day is no date like 2026-11-30", ""});
  if (wall_ns / kDayNs > today || wall_ns / kDayNs < today - 1) {
    return refuse(call, {404, "no_such_day", "nothing is known of TLS on " + day,
                         "this day's results and those of the day before are kept; fetch each day "
                         "once it is over"});
  }
  std::unique_ptr<TlsResultsHandler> handler(new TlsResultsHandler(api, call));
  handler->day_ = wall_ns / kDayNs;
  handler->open_ = api.view_.shards();
  TlsResultsQuestion question;
  question.day = handler->day_;
  api.view_.ask_tls_results(question, [self = handler->self_](TlsResultsAnswer answer) {
    if (*self != nullptr) (*self)->told(std::move(answer));
  });
  return handler;
}

void TlsResultsHandler::told(TlsResultsAnswer answer) {
  std::move(answer.rows.begin(), answer.rows.end(), std::back_inserter(rows_));
  for (auto& policy : answer.policies) policies_[policy->domain] = policy;
  left_out_ += answer.left_out;
  if (--open_ == 0) say();
}

void TlsResultsHandler::say() {
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object().field("day", date_of(day_)).field("left_out", left_out_);
  json.key("policies").begin_array();
  // What several shards have counted is one.
  std::sort(rows_.begin(), rows_.end(),
            [](const auto& a, const auto& b) { return a.result.key() < b.result.key(); });
  std::map<decltype(policy_key(TlsResult{})), Rows> by_policy;
  for (const TlsResultsAnswer::Row& row : rows_) {
    Rows& rows = by_policy[policy_key(row.result)];
    if (!rows.empty() && rows.back().result.key() == row.result.key()) {
      rows.back().sessions += row.sessions;
    } else {
      rows.push_back(row);
    }
  }
  for (const auto& [key, rows] : by_policy) {
    json.begin_object();
    write_policy(json, rows.front().result);
    write_results(json, rows);
    json.end_object();
  }
  json.end_array().end_object().newline();
  call_.answer(std::move(out));
}

void TlsResultsHandler::write_policy(intake::JsonWriter& json, const TlsResult& result) const {
  json.key("policy").begin_object().field("policy-type", name_of(result.policy));
  const auto sts = policies_.find(result.domain);
  if (result.policy == TlsResult::Policy::tlsa) {
    json.key("policy-string").begin_array();
    write_lines(json, result.records);
    json.end_array();
  } else if (result.policy == TlsResult::Policy::sts && sts != policies_.end()) {
    json.key("policy-string").begin_array();
    std::string text = tls::sts_policy_text(sts->second->policy);
    for (size_t at = 0; (at = text.find(':', at)) != std::string::npos; at += 2)
      text.insert(at + 1, " ");
    write_lines(json, text);
    json.end_array();
  }
  json.field("policy-domain", result.domain);
  if (result.policy == TlsResult::Policy::tlsa) {
    json.key("mx-host").begin_array();
    json.value(result.mx);
    json.end_array();
  } else if (result.policy == TlsResult::Policy::sts && sts != policies_.end()) {
    json.key("mx-host").begin_array();
    for (const tls::StsPattern& pattern : sts->second->policy.mx)
      json.value((pattern.wildcard ? "*." : "") + pattern.name);
    json.end_array();
  }
  json.end_object();
}

void TlsResultsHandler::write_results(intake::JsonWriter& json, const Rows& rows) {
  uint64_t good = 0, bad = 0;
  for (const auto& [result, sessions] : rows)
    (result.type == TlsResult::Type::success ? good : bad) += sessions;
  json.key("summary").begin_object();
  json.field("total-successful-session-count", good);
  json.field("total-failure-session-count", bad).end_object();
  if (bad == 0) return;
  json.key("failure-details").begin_array();
  for (const auto& [result, sessions] : rows) {
    if (result.type == TlsResult::Type::success) continue;
    json.begin_object().field("result-type", name_of(result.type));
    json.field_if("sending-mta-ip", result.sending);
    json.field_if("receiving-mx-hostname", result.mx).field_if("receiving-ip", result.address);
    json.field("failed-session-count", sessions);
    json.field_if("failure-reason-code", result.reason).end_object();
  }
  json.end_array();
}

}  // namespace veredus::control
