#include "engine/control/api_cancel.h"

#include <algorithm>

#include <simdjson.h>

#include "engine/control/order_request.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/address.h"
#include "queue/address_finder.h"

namespace veredus::control {
namespace {

constexpr const char* kHint =
    R"(as in {"recipient":"ada@example.org"}, or {"recipient":["ada@example.org","bob@example.net"]}; )"
    R"(by other filters as in {"tenant":"acme","campaign":"spring"})";

// Empty: it was added; else what is wrong with it.
std::string add_address(std::string_view text, ErasureQuestion& question) {
  std::string scratch;
  std::string_view taken, why_not;
  const mail::AddressFault fault = mail::take_address(text, scratch, taken, why_not);
  if (fault != mail::AddressFault::none) {
    return "\"" + std::string(text.substr(0, mail::kAddressBytesMax)) +
           "\" is no address: " + std::string(mail::reason_of(fault));
  }
  if (!queue::AddressFinder().add(taken))
    return "\"" + std::string(text) +
           "\" is no address that mail goes to: its domain has one letter";
  question.addresses.emplace_back(taken);
  return "";
}

// Empty: it is a question; else what is wrong with it.
std::string read_question(const std::string& body, ErasureQuestion& question) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS) return "the body is no JSON object";
  for (const auto& [key, value] : object) {
    std::string_view text;
    simdjson::dom::array list;
    std::string wrong;
    if (value.get(text) == simdjson::SUCCESS) {
      wrong = add_address(text, question);
    } else if (value.get(list) == simdjson::SUCCESS) {
      for (const auto& item : list) {
        if (item.get(text) != simdjson::SUCCESS) return "\"recipient\" holds what is no text";
        if (wrong = add_address(text, question); !wrong.empty()) break;
      }
    } else {
      return "\"recipient\" is no text and no list of texts";
    }
    if (!wrong.empty()) return wrong;
  }
  return question.addresses.empty() ? "\"recipient\" is missing, or empty" : "";
}

}  // namespace

void CancelHandler::decide(const std::string& body) {
  if (asks_more_than_recipients(body)) return OrderHandler::decide(body);
  ErasureQuestion question;
  const std::string wrong = read_question(body, question);
  if (!wrong.empty()) return say({400, "bad_parameter", wrong, kHint});
  if (question.addresses.size() > kAddressesMax) {
    return say({413, "too_many", "more than " + std::to_string(kAddressesMax) + " addresses",
                "send them in several calls"});
  }
  if (api_.stopping_)
    return say({503, "stopping", "the engine is being stopped", "ask again when it is back"});
  open_ = api_.view_.journals();
  api_.view_.ask_erasure(question,
                         alive_.guard([this](const ErasureAnswer& answer) { told(answer); }));
}

void CancelHandler::told(const ErasureAnswer& told) {
  total_.cancelled += told.cancelled;
  total_.in_flight += told.in_flight;
  if (!told.status.ok()) total_.status = told.status;
  if (--open_ > 0) return;
  if (!total_.status.ok()) {
    HttpAnswer out = error_answer({503, "not_done", std::string(total_.status.message()),
                                   "ask again: what was done already stays so"});
    out.headers.emplace_back("Retry-After", "30");
    return answer(std::move(out));
  }
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object().field("cancelled", total_.cancelled).field("in_flight", total_.in_flight);
  json.time_field("erased_by", api_.port_.wall_ns() + api_.view_.erased_after_ns());
  json.end_object().newline();
  answer(std::move(out));
}

}  // namespace veredus::control
