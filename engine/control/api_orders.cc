#include "engine/control/api_orders.h"

#include <algorithm>
#include <utility>

#include "engine/control/api_cancel.h"
#include "engine/control/api_events.h"
#include "engine/control/config_table.h"
#include "engine/control/order_json.h"
#include "engine/control/order_request.h"
#include "engine/intake/json_writer.h"
#include "queue/orders.h"

namespace veredus::control {
namespace {

using queue::Filter;
using queue::Order;

HttpError stopping() {
  return {503, "stopping", "the engine is being stopped", "say it again when it is back"};
}

HttpError not_stored(const absl::Status& why, std::string hint) {
  return {503, "not_stored", "not durable in every journal: " + std::string(why.message()),
          std::move(hint)};
}

HttpError unknown(std::string_view what, const std::string& name,
                  const std::vector<std::string>& known) {
  return {404, "no_such_" + std::string(what),
          "there is no " + std::string(what) + " " + name + known_text(name, known),
          "veredus check-config shows what is configured"};
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// given

OrderHandler::OrderHandler(Api& api, HttpCall& call, Order::Kind kind, Filter of_path)
    : BodyHandler(call, kBodyMax), api_(api) {
  order_.kind = kind;
  order_.filter = std::move(of_path);
}

void OrderHandler::decide(const std::string& body) {
  if (api_.stopping_) return say(stopping());
  order_.given_wall_ns = api_.port_.wall_ns();
  order_.last_batch =
      order_.kind == Order::Kind::suspend ? queue::kEveryBatch : api_.intake_.highest_number();
  if (const auto wrong = read_order(body, order_)) return say(*wrong);
  if (const auto wrong = check(order_.filter)) return say(*wrong);
  if (api_.view_.orders().size() >= queue::kOrdersMax)
    return say({409, "too_many_orders",
                std::to_string(queue::kOrdersMax) + " orders are in force already",
                "GET /v1/suspend lists them, DELETE /v1/suspend/N lifts one; those that cancel, "
                "expire and retry end by themselves"});
  order_.number = api_.view_.next_order();
  open_ = api_.view_.journals();
  api_.view_.ask_order(order_, alive_.guard([this](const OrderAnswer& answer) { told(answer); }));
}

// Names that are surely wrong. A tenant or a campaign may come later, and sites are many.
std::optional<HttpError> OrderHandler::check(const Filter& filter) const {
  if (!filter.batch.empty() && api_.intake_.find(filter.tenant, filter.batch) == nullptr)
    return api_.no_such_batch(filter.tenant, filter.batch);
  const Policy& policy = api_.view_.policy();
  std::vector<std::string> providers, sources;
  for (const Provider& provider : policy.providers) {
    if (!provider.removed && !provider.name.empty()) providers.push_back(provider.name);
  }
  for (const SourceSettings& source : policy.sources) {
    if (!source.removed) sources.push_back(source.name);
  }
  const auto is_unknown = [](const std::string& name, const std::vector<std::string>& known) {
    return !name.empty() && std::find(known.begin(), known.end(), name) == known.end();
  };
  if (is_unknown(filter.provider, providers))
    return unknown("provider", filter.provider, providers);
  if (is_unknown(filter.source, sources)) return unknown("source", filter.source, sources);
  return std::nullopt;
}

void OrderHandler::told(const OrderAnswer& told) {
  if (!told.status.ok()) status_ = told.status;
  if (--open_ > 0) return;
  if (!status_.ok()) {
    const std::string number = std::to_string(order_.number);
    return say(not_stored(
        status_,
        "order " + number + " holds now, but perhaps not after a restart: " +
            (order_.kind == Order::Kind::suspend ? "lift it, and say it again" : "say it again")));
  }
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object().field("order", order_.number).field("state", name_of(order_.state));
  json.end_object().newline();
  answer(std::move(out));
}

// -------------------------------------------------------------------------------------------------
// lifted

LiftHandler::LiftHandler(Api& api, HttpCall& call, uint64_t number)
    : BodyHandler(call, kBodyMax), api_(api), number_(number) {}

LiftHandler::LiftHandler(Api& api, HttpCall& call, const std::string& tenant,
                         const std::string& batch)
    : BodyHandler(call, kBodyMax),
      api_(api),
      number_(0),
      filter_({.tenant = tenant, .batch = batch}) {}

// Of a batch those only that are for it and nobody else.
std::vector<Order> LiftHandler::meant() const {
  std::vector<Order> meant;
  for (const auto& [number, order] : api_.view_.orders()) {
    if (order.kind != Order::Kind::suspend) continue;
    if (number_ != 0 ? number == number_ : order.filter == filter_) meant.push_back(order);
  }
  return meant;
}

HttpError LiftHandler::none() const {
  if (number_ == 0) {
    if (api_.intake_.find(filter_.tenant, filter_.batch) == nullptr)
      return api_.no_such_batch(filter_.tenant, filter_.batch);
    return {
        404, "no_such_order",
        "batch " + filter_.batch + " of tenant " + filter_.tenant + " is not suspended by itself",
        "GET /v1/suspend lists what is: its tenant, or where it goes, may be"};
  }
  const auto found = api_.view_.orders().find(number_);
  const std::string number = std::to_string(number_);
  if (found == api_.view_.orders().end())
    return {404, "no_such_order", "there is no suspension " + number,
            "GET /v1/suspend lists those there are; one that was lifted, or whose time is over, is "
            "not there any more"};
  return {
      404, "no_such_order",
      "order " + number + " is no suspension: it is to " + std::string(name_of(found->second.kind)),
      "what is cancelled or expired stays so"};
}

void LiftHandler::decide(const std::string&) {
  if (api_.stopping_) return say(stopping());
  std::vector<Order> orders = meant();
  if (orders.empty()) return say(none());
  open_ = api_.view_.journals() * static_cast<unsigned>(orders.size());
  for (Order& order : orders) {
    lifted_.push_back(order.number);
    order.state = Order::State::lifted;
    order.ended_wall_ns = api_.port_.wall_ns();
    api_.view_.ask_order(order, alive_.guard([this](const OrderAnswer& answer) { told(answer); }));
  }
}

void LiftHandler::told(const OrderAnswer& told) {
  if (!told.status.ok()) status_ = told.status;
  if (--open_ > 0) return;
  if (!status_.ok())
    return say(not_stored(status_,
                          "it holds no more, but perhaps does after a restart: look at GET "
                          "/v1/suspend then"));
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object();
  if (number_ != 0) {
    json.field("order", number_);
  } else {
    json.key("orders").begin_array();
    for (const uint64_t number : lifted_) json.value(number);
    json.end_array();
  }
  json.field("state", name_of(Order::State::lifted)).end_object().newline();
  answer(std::move(out));
}

// -------------------------------------------------------------------------------------------------
// listed

std::unique_ptr<HttpHandler> list_orders(Api& api, HttpCall& call) {
  HttpAnswer answer;
  intake::JsonWriter json(answer.body);
  json.begin_object().key("orders").begin_array();
  const int64_t now = api.port_.wall_ns();
  for (const auto& [number, order] : api.view_.orders()) {
    if (!order.in_force(now)) continue;
    json.begin_object();
    write_order(json, order);
    json.time_field("given", order.given_wall_ns).end_object();
  }
  json.end_array().end_object().newline();
  return reply(call, std::move(answer));
}

// -------------------------------------------------------------------------------------------------
// which call it is

std::unique_ptr<HttpHandler> Api::steer(const std::vector<std::string>& parts,
                                        const HttpRequest& request, HttpCall& call) {
  const bool get = request.method == "GET", post = request.method == "POST";
  const auto wrong_method = [&](const std::string& hint) {
    return refuse(call,
                  {405, "wrong_method", request.method + " is not for " + request.path, hint});
  };
  if (parts.size() < 2 || parts[0] != "v1") return nullptr;
  const std::string& what = parts[1];
  if (what == "batches" && parts.size() == 5) {
    const std::string& verb = parts[4];
    if (verb != "pause" && verb != "resume" && verb != "cancel") return nullptr;
    if (!post) return wrong_method("use POST");
    if (verb == "resume") return std::make_unique<LiftHandler>(*this, call, parts[2], parts[3]);
    return std::make_unique<OrderHandler>(
        *this, call, verb == "pause" ? Order::Kind::suspend : Order::Kind::cancel,
        Filter{.tenant = parts[2], .batch = parts[3]});
  }
  if (what == "suspend" && parts.size() == 3) {
    uint64_t number = 0;
    if (request.method != "DELETE") return wrong_method("use DELETE to lift a suspension");
    if (!parse_number(parts[2], number) || number == 0)
      return refuse(call, {404, "no_such_order", parts[2] + " is no number of an order",
                           "GET /v1/suspend lists those there are"});
    return std::make_unique<LiftHandler>(*this, call, number);
  }
  if (parts.size() != 2) return nullptr;
  if (what == "suspend" && get) return list_orders(*this, call);
  if (what == "cancel" && post) return std::make_unique<CancelHandler>(*this, call);
  const std::optional<Order::Kind> kind = queue::order_kind(what);
  if (!kind) return nullptr;
  if (!post)
    return wrong_method(what == "suspend"
                            ? "use POST to suspend, GET to list, DELETE /v1/suspend/N to lift"
                            : "use POST with the filter in the body");
  return std::make_unique<OrderHandler>(*this, call, *kind);
}

}  // namespace veredus::control
