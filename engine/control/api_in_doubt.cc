#include "engine/control/api_in_doubt.h"

#include <algorithm>
#include <optional>

#include <simdjson.h>

#include "engine/control/api_events.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

using Action = InDoubtQuestion::Action;

HttpError bad(const std::string& reason, const std::string& hint = "") {
  return {400, "bad_parameter", reason, hint};
}

// What POST /v1/in_doubt says.
struct Decision {
  std::string tenant = "default", batch;
  std::optional<uint32_t> index;
  Action action = Action::list;
};

bool read_action(std::string_view text, Action& action) {
  action = text == "retry"       ? Action::retry
           : text == "delivered" ? Action::delivered
           : text == "failed"    ? Action::failed
                                 : Action::list;
  return action != Action::list;
}

// Empty: it is a decision; else what is wrong with it.
std::string read_decision(const std::string& body, Decision& decision) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS) return "the body is no JSON object";
  for (const auto& [key, value] : object) {
    std::string_view text;
    const bool is_text = value.get(text) == simdjson::SUCCESS;
    uint64_t number = 0;
    if (key == "tenant" && is_text) {
      decision.tenant = text;
    } else if (key == "batch" && is_text) {
      decision.batch = text;
    } else if (key == "action" && is_text && read_action(text, decision.action)) {
    } else if (key == "index" && value.get(number) == simdjson::SUCCESS && number <= UINT32_MAX) {
      decision.index = static_cast<uint32_t>(number);
    } else {
      return "\"" + std::string(key) + "\" is not known, or not what it should be";
    }
  }
  if (decision.batch.empty()) return "\"batch\" is missing";
  if (decision.action == Action::list) return "\"action\" is missing";
  return "";
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// the list

std::unique_ptr<HttpHandler> InDoubtList::make(Api& api, const HttpRequest& request,
                                               HttpCall& call) {
  std::unique_ptr<InDoubtList> handler(new InDoubtList(api, call));
  InDoubtQuestion question;
  std::string batch;
  for (const auto& [name, value] : request.query) {
    if (name == "tenant") {
      handler->tenant_ = value;
    } else if (name == "batch") {
      batch = value;
    } else if (name == "held" && (value == "0" || value == "1")) {
      question.held_only = value == "1";
    } else if (name != "limit" || !parse_number(value, handler->limit_) || handler->limit_ == 0) {
      return refuse(call, bad(name + "=" + value + " is not known, or not what it should be",
                              "known: tenant batch held=0|1 limit"));
    }
  }
  handler->limit_ = std::min(handler->limit_, kListedMax);
  if (!batch.empty()) {
    const std::string tenant = handler->tenant_.empty() ? "default" : handler->tenant_;
    const auto live = api.intake_.find(tenant, batch);
    if (live == nullptr) return refuse(call, api.no_such_batch(tenant, batch));
    question.batch = live->batch.number;
  }
  // A home does not know tenants: all of it is asked for then, and sorted out here.
  question.limit = static_cast<uint32_t>(
      handler->tenant_.empty() || question.batch != 0 ? handler->limit_ : kListedMax);
  call.answer_stream("application/x-ndjson");
  handler->open_ = api.view_.journals();
  api.view_.ask_in_doubt(
      question, handler->alive_.guard(
                    [asked = handler.get()](const InDoubtAnswer& answer) { asked->told(answer); }));
  return handler;
}

void InDoubtList::told(const InDoubtAnswer& answer) {
  items_.insert(items_.end(), answer.items.begin(), answer.items.end());
  if (--open_ > 0) return;
  std::erase_if(items_, [this](const InDoubtItem& item) {
    const auto live = api_.view_.find_batch(item.batch);
    return live == nullptr || (!tenant_.empty() && live->batch.tenant != tenant_);
  });
  std::sort(items_.begin(), items_.end(), [](const InDoubtItem& a, const InDoubtItem& b) {
    return a.batch != b.batch ? a.batch < b.batch : a.index < b.index;
  });
  items_.resize(std::min<size_t>(items_.size(), limit_));
  call_.resume();
}

bool InDoubtList::read(std::string& out, size_t room) {
  if (open_ > 0) return true;
  const size_t end = out.size() + room;
  for (size_t lines = 0; lines < kLinesPerRead && out.size() < end; ++lines) {
    if (next_ == items_.size()) return false;
    append_line(items_[next_++], out);
  }
  return next_ < items_.size();
}

void InDoubtList::append_line(const InDoubtItem& item, std::string& out) {
  const auto live = api_.view_.find_batch(item.batch);
  if (live == nullptr) return;  // settled and forgotten since
  intake::JsonWriter json(out);
  json.begin_object().field("tenant", live->batch.tenant).field("batch", live->batch.name);
  json.field("index", item.index);
  if (const queue::Entry* const entry = entries_.at(item.page, item.entry_offset))
    json.field_if("id", entry->id).field("to", entry->to);
  json.field("attempts", item.attempts).field("held", item.held);
  if (!item.held) json.time_field("next", api_.port_.wall_ns() + item.due_in_ns);
  json.end_object().newline();
}

// -------------------------------------------------------------------------------------------------
// the decision

void InDoubtDecision::decide(const std::string& body) {
  Decision decision;
  const std::string wrong = read_decision(body, decision);
  if (!wrong.empty()) {
    return say(bad(wrong,
                   R"(as in {"tenant":"acme","batch":"spring-7","index":3,"action":"retry"}; )"
                   "actions: retry delivered failed; without index: all of the batch"));
  }
  const auto live = api_.intake_.find(decision.tenant, decision.batch);
  if (live == nullptr) return say(api_.no_such_batch(decision.tenant, decision.batch));
  InDoubtQuestion question;
  question.action = decision.action;
  question.batch = live->batch.number;
  question.index = decision.index;
  open_ = api_.view_.journals();
  api_.view_.ask_in_doubt(question,
                          alive_.guard([this](const InDoubtAnswer& answer) { told(answer); }));
}

void InDoubtDecision::told(const InDoubtAnswer& told) {
  done_ += told.done;
  if (--open_ > 0) return;
  HttpAnswer out;
  out.body = "{\"done\":" + std::to_string(done_) + "}\n";
  answer(std::move(out));
}

}  // namespace veredus::control
