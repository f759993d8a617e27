#include "engine/control/api_why.h"

#include <algorithm>
#include <utility>

#include "engine/control/api_events.h"
#include "engine/control/condition_json.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/idn.h"

namespace veredus::control {
namespace {

HttpError bad(const std::string& reason) {
  return {400, "bad_parameter", reason,
          "ask for batch=… (with tenant=…, index=…), to=ADDRESS, domain=… or site=…; limit=N"};
}

// What the query says, but for the batch's number. Empty: it is understood.
std::string read_query(const HttpRequest& request, WhyQuestion& question, std::string& tenant,
                       std::string& batch) {
  for (const auto& [name, value] : request.query) {
    uint64_t number = 0;
    if (name == "tenant") {
      tenant = value;
    } else if (name == "batch") {
      batch = value;
    } else if (name == "index" && parse_number(value, number) && number <= UINT32_MAX) {
      question.index = static_cast<int64_t>(number);
    } else if (name == "to" && value.find('@') != std::string::npos) {
      question.address = mail::with_a_labels(value);
      question.domain = question.address.substr(question.address.rfind('@') + 1);
    } else if (name == "domain" && !value.empty() && question.address.empty()) {
      question.domain = mail::with_a_labels(value);
    } else if (name == "site" && !value.empty()) {
      question.site = value;
    } else if (name == "limit" && parse_number(value, number) && number > 0) {
      question.limit = static_cast<uint32_t>(std::min<uint64_t>(number, UINT32_MAX));
    } else {
      return name + "=" + value + " is not known, or not what it should be";
    }
  }
  if (batch.empty() && question.domain.empty() && question.site.empty())
    return "nothing is asked for";
  if (question.index >= 0 && batch.empty()) return "index is of a batch, and batch is missing";
  return "";
}

}  // namespace

std::unique_ptr<HttpHandler> WhyHandler::ask(Api& api, const HttpRequest& request, HttpCall& call) {
  WhyQuestion question;
  std::string tenant = "default", batch;
  const std::string wrong = read_query(request, question, tenant, batch);
  if (!wrong.empty()) return refuse(call, bad(wrong));
  question.limit = std::min<uint32_t>(question.limit, kToldMax);
  if (!batch.empty()) {
    const auto live = api.intake_.find(tenant, batch);
    if (live == nullptr) {
      return refuse(call,
                    {404, "no_such_batch", "there is no batch " + batch + " of tenant " + tenant,
                     "GET /v1/batches lists those there are"});
    }
    question.batch = live->batch.number;
    if (question.index >= int64_t{live->accepted} + live->refused) {
      return refuse(call, {404, "no_such_recipient",
                           "batch " + batch + " has no recipient " + std::to_string(question.index),
                           "index counts recipient lines from 0"});
    }
  }
  std::unique_ptr<WhyHandler> handler(new WhyHandler(api, call));
  handler->ask(question);
  return handler;
}

void WhyHandler::ask(const WhyQuestion& question) {
  question_ = question;
  open_ = api_.view_.journals();
  api_.view_.ask_why(question, [self = self_](WhyAnswer answer) {
    if (*self != nullptr) (*self)->told(std::move(answer));
  });
}

void WhyHandler::told(WhyAnswer answer) {
  answer_.recipients += answer.recipients;
  answer_.unread += answer.unread;
  answer_.not_compared += answer.not_compared;
  answer_.waiting.insert(answer_.waiting.end(), std::move_iterator(answer.waiting.begin()),
                         std::move_iterator(answer.waiting.end()));
  if (--open_ > 0) return;
  std::erase_if(answer_.waiting, [this](const Waiting& item) {
    return api_.view_.find_batch(item.batch) == nullptr;  // an upload, or settled since
  });
  put_together();
  say();
}

// Groups of several homes that wait for the same are one; the example is that of the largest.
// Recipients who are named come by batch and index.
void WhyHandler::put_together() {
  std::vector<Waiting>& all = answer_.waiting;
  if (question_.one_by_one()) {
    std::sort(all.begin(), all.end(), [](const Waiting& a, const Waiting& b) {
      return std::tie(a.batch, a.index) < std::tie(b.batch, b.index);
    });
    all.resize(std::min<size_t>(all.size(), question_.limit));
    return;
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Waiting& a, const Waiting& b) { return a.recipients > b.recipients; });
  using Key = std::tuple<std::string_view, std::string, std::string, uint64_t, std::string>;
  std::map<Key, size_t> known;
  std::vector<Waiting> merged;
  for (Waiting& item : all) {
    const Condition first = item.conditions.empty() ? Condition() : item.conditions.front();
    const bool of_site = item.state == "ready" || item.state == "in_flight";
    const auto [found, fresh] = known.try_emplace(
        {item.state, first.what, first.origin.setting, first.order, of_site ? item.site : ""},
        merged.size());
    if (fresh) {
      merged.push_back(std::move(item));
      continue;
    }
    Waiting& group = merged[found->second];
    group.recipients += item.recipients;
    if (item.first_due_mono_ns == 0) continue;
    group.first_due_mono_ns = std::min(group.first_due_mono_ns, item.first_due_mono_ns);
    group.last_due_mono_ns = std::max(group.last_due_mono_ns, item.last_due_mono_ns);
  }
  std::stable_sort(merged.begin(), merged.end(),
                   [](const Waiting& a, const Waiting& b) { return a.recipients > b.recipients; });
  merged.resize(std::min<size_t>(merged.size(), question_.limit));
  all = std::move(merged);
}

// -------------------------------------------------------------------------------------------------
// as JSON

void WhyHandler::say() {
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  const int64_t mono_ns = api_.port_.mono_ns(), wall_ns = api_.port_.wall_ns();
  json.begin_object().field("recipients", answer_.recipients);
  if (answer_.unread > 0) json.field("unread", answer_.unread);
  if (answer_.not_compared > 0) json.field("not_compared", answer_.not_compared);
  if (question_.one_by_one()) {
    json.key("waiting").begin_array();
    for (const Waiting& item : answer_.waiting) write(json, item);
    json.end_array();
  } else {
    json.key("groups").begin_array();
    for (const Waiting& item : answer_.waiting) {
      json.begin_object().field("recipients", item.recipients).field("state", item.state);
      if (!item.conditions.empty()) json.field("what", item.conditions.front().what);
      if (item.first_due_mono_ns != 0) {
        json.time_field("first_due", wall_ns + item.first_due_mono_ns - mono_ns);
        json.time_field("last_due", wall_ns + item.last_due_mono_ns - mono_ns);
      }
      json.key("example");
      write(json, item);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object().newline();
  call_.answer(std::move(out));
}

void WhyHandler::write(intake::JsonWriter& json, const Waiting& item) {
  const auto live = api_.view_.find_batch(item.batch);
  json.begin_object().field("tenant", live->batch.tenant).field("batch", live->batch.name);
  json.field("index", item.index);
  if (const queue::Entry* const entry = entries_.at(item.page, item.entry_offset))
    json.field_if("id", entry->id).field("to", entry->to);
  json.field_if("domain", item.domain).field_if("site", item.site);
  write_route(json, api_.view_.policy(), item.site);
  json.field_if("source", item.source).field("state", item.state);
  json.field("attempts", unsigned{item.attempts});
  write_conditions(json, item.conditions, api_.port_.mono_ns(), api_.port_.wall_ns());
  json.end_object();
}

}  // namespace veredus::control
