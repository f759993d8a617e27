#include "engine/control/order_request.h"

#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "engine/control/config_table.h"
#include "engine/mail/date.h"
#include "engine/mail/idn.h"

namespace veredus::control {
namespace {

using queue::Filter;
using queue::Order;
using Fault = std::optional<HttpError>;

Fault bad_parameter(std::string reason, std::string hint) {
  return HttpError{400, "bad_parameter", std::move(reason), std::move(hint)};
}

Fault bad_filter(std::string reason, std::string hint) {
  return HttpError{400, "bad_filter", std::move(reason), std::move(hint)};
}

std::string example(Order::Kind kind) {
  if (kind == Order::Kind::suspend)
    return R"(as in {"tenant":"acme","domain":"example.org","until":"2h","reason":"complaints"})";
  return R"(as in {"tenant":"acme","campaign":"spring","reason":"wrong link"})";
}

std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

const queue::FilterPart* part_named(std::string_view name) {
  for (const queue::FilterPart& part : queue::kFilterParts) {
    if (part.name == name) return &part;
  }
  return nullptr;
}

Fault unknown_key(std::string_view key, Order::Kind kind) {
  std::vector<std::string> known = {"until", "reason"};
  for (const queue::FilterPart& part : queue::kFilterParts) known.emplace_back(part.name);
  const std::string near = nearest_name(key, known);
  return bad_parameter(in_quotes(key.substr(0, 100)) + " is not known" +
                           (near.empty() ? "" : ": did you mean " + in_quotes(near) + "?"),
                       example(kind));
}

Fault read_until(std::string_view text, Order& order) {
  int64_t ns = 0;
  if (mail::parse_duration(text, ns)) {
    order.until_wall_ns = order.given_wall_ns + ns;
  } else if (!mail::parse_rfc3339(text, order.until_wall_ns)) {
    return bad_parameter("\"until\" is " + in_quotes(text.substr(0, 100)) + ", no time",
                         R"(say one as in "2026-07-01T12:00:00Z", or how long: "90m", "2h", "1d")");
  }
  return std::nullopt;
}

Fault read_key(std::string_view key, std::string_view text, bool named_by_path, Order& order) {
  if (key == "until") return read_until(text, order);
  if (key == "reason") {
    order.reason = text;
    return std::nullopt;
  }
  const queue::FilterPart* const part = part_named(key);
  if (part == nullptr) return unknown_key(key, order.kind);
  if (named_by_path)
    return bad_filter(
        in_quotes(key) + " has no place here: the call names the batch",
        R"(say nothing, or "reason"; for other mail there are /v1/suspend and /v1/cancel)");
  const bool named = key == "recipient" || key == "domain";
  order.filter.*part->text = named ? mail::with_a_labels(text) : std::string(text);
  return std::nullopt;
}

Fault read_body(const std::string& body, Order& order) {
  const bool named_by_path = !order.filter.empty();
  if (body.empty() && named_by_path) return std::nullopt;
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS)
    return bad_parameter("the body is no JSON object", example(order.kind));
  for (const auto& [key, value] : object) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
      if (part_named(key) == nullptr && key != "until" && key != "reason")
        return unknown_key(key, order.kind);
      return bad_parameter(in_quotes(key) + " is no text", example(order.kind));
    }
    // What a script could not fill in must not mean everybody.
    if (text.empty())
      return bad_parameter(in_quotes(key) + " is empty", "leave it out, or say which");
    if (Fault fault = read_key(key, text, named_by_path, order)) return fault;
  }
  return std::nullopt;
}

// A source is chosen for a whole line of mail when it is due, of which no more is known than this;
// who waits is bound to none. So it can be suspended, and the sites that could not be reached from
// it be tried again.
Fault check_source(const Order& order) {
  if (order.filter.source.empty()) return std::nullopt;
  const bool suspends = order.kind == Order::Kind::suspend;
  if (!suspends && order.kind != Order::Kind::retry)
    return bad_filter("POST /v1/" + std::string(name_of(order.kind)) +
                          " does not go by \"source\": who waits is bound to none, it is chosen "
                          "when he is sent to",
                      "say which mail, as by tenant, batch or domain; POST /v1/suspend stops a "
                      "source, and its mail leaves by the others of its pool");
  for (const queue::FilterPart& part : queue::kFilterParts) {
    const bool fits = part.name == "source" || part.name == "provider" || part.name == "site" ||
                      (part.name == "tenant" && suspends);
    if (fits || (order.filter.*part.text).empty()) continue;
    return bad_filter(
        (suspends ? "a source is suspended for all of its mail, or for that of a tenant, a "
                    "provider or a site: "
                  : "a source tries all sites again that it could not reach, or those of a "
                    "provider, or one: ") +
            in_quotes(part.name) + " does not go with it",
        "leave one of the two out");
  }
  return std::nullopt;
}

// Who asks for it with a reason would keep the address in the order.
Fault check_erasure(const Order& order) {
  if (order.kind != Order::Kind::cancel || order.filter.recipient.empty()) return std::nullopt;
  Filter others = order.filter;
  others.recipient.clear();
  if (!others.empty()) return std::nullopt;
  return bad_filter(
      "\"reason\" does not go with \"recipient\" alone: who is cancelled so is forgotten, and no "
      "order keeps his address",
      "leave the reason out; or say a tenant or a batch, too: then it is an order, and forgets "
      "nobody");
}

}  // namespace

std::optional<HttpError> read_order(const std::string& body, Order& order) {
  if (Fault fault = read_body(body, order)) return fault;
  absl::StatusOr<Filter> filter = queue::checked_filter(order.filter);
  if (!filter.ok()) return bad_filter(std::string(filter.status().message()), example(order.kind));
  order.filter = *std::move(filter);
  if (Fault fault = check_source(order)) return fault;
  if (Fault fault = check_erasure(order)) return fault;
  Order numbered = order;
  numbered.number = 1;  // any is right
  if (const absl::Status sound = queue::check_order(numbered); !sound.ok())
    return bad_parameter(std::string(sound.message()), "");
  return std::nullopt;
}

bool asks_more_than_recipients(const std::string& body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS) return false;
  for (const auto& field : object) {
    if (field.key != "recipient") return true;
  }
  return false;
}

}  // namespace veredus::control
