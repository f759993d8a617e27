#include "engine/control/api_consumers.h"

#include <simdjson.h>

#include "engine/control/consumers.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

void append_consumer(const std::string& name, const Consumers::Known& known, EngineView& view,
                     intake::JsonWriter& json) {
  json.begin_object().field("consumer", name).time_field("acked", known.acked_wall_ns);
  uint64_t lag = 0;
  const auto behind = [&](unsigned journal) {
    const auto& streams = known.cursor.streams;
    const uint64_t seq = journal < streams.size() ? streams[journal].seq : 0;
    const uint64_t events = view.durable_events(journal);
    return events > seq ? events - seq : 0;
  };
  for (unsigned journal = 0; journal < view.journals(); ++journal) lag += behind(journal);
  json.field("lag", lag).key("streams").begin_array();
  for (unsigned journal = 0; journal < view.journals(); ++journal) {
    json.begin_object().field("stream", journal).field("lag", behind(journal)).end_object();
  }
  json.end_array().field("cursor", known.cursor_text).end_object();
}

}  // namespace

std::unique_ptr<HttpHandler> ConsumerHandler::list(Api& api, HttpCall& call) {
  HttpAnswer answer;
  intake::JsonWriter json(answer.body);
  json.begin_object().key("consumers").begin_array();
  for (const auto& [name, known] : api.consumers_->all())
    append_consumer(name, known, api.view_, json);
  json.end_array().end_object().newline();
  return reply(call, std::move(answer));
}

HttpError ConsumerHandler::check(Api& api, const std::string& name) {
  HttpError error;
  error.status = 0;
  if (!Consumers::is_name(name)) {
    return {400, "bad_parameter", "the consumer's name is not 1–128 of A–Z a–z 0–9 . _ : @ -",
            "choose one for each program that reads events"};
  }
  if (api.consumers_->find(name) == nullptr && !api.consumers_->has_room()) {
    return {503, "too_many_consumers",
            "there are " + std::to_string(Consumers::kConsumersMax) + " consumers already",
            "GET /v1/consumers lists them, DELETE /v1/consumers/NAME removes one that is gone"};
  }
  return error;
}

std::unique_ptr<HttpHandler> ConsumerHandler::acknowledge(Api& api, const std::string& name,
                                                          HttpCall& call) {
  if (const HttpError error = check(api, name); error.status != 0) return refuse(call, error);
  std::unique_ptr<ConsumerHandler> handler(new ConsumerHandler(api, call, name));
  handler->acknowledges_ = true;
  return handler;
}

std::unique_ptr<HttpHandler> ConsumerHandler::remove(Api& api, const std::string& name,
                                                     HttpCall& call) {
  if (api.consumers_->find(name) == nullptr) {
    return refuse(call, {404, "no_such_consumer", "there is no consumer " + name,
                         "GET /v1/consumers lists those there are"});
  }
  std::unique_ptr<ConsumerHandler> handler(new ConsumerHandler(api, call, name));
  api.consumers_->remove(name, api.port_.wall_ns(),
                         handler->alive_.guard([asked = handler.get()](const absl::Status& status) {
                           asked->stored(status);
                         }));
  return handler;
}

void ConsumerHandler::decide(const std::string& body) {
  if (!acknowledges_) return;
  simdjson::dom::parser parser;
  simdjson::dom::element said;
  std::string_view text;
  const bool fine = parser.parse(body).get(said) == simdjson::SUCCESS &&
                    said["cursor"].get(text) == simdjson::SUCCESS &&
                    text.size() <= Consumers::kCursorBytesMax;
  if (!fine) {
    return say({400, "bad_parameter", "the body does not say up to which cursor",
                R"(as in {"cursor":"…"}, with the cursor of the last `cursor` line that is done)"});
  }
  absl::StatusOr<EventCursor> cursor = decode_cursor(text);
  if (!cursor.ok()) return say({400, "bad_cursor", std::string(cursor.status().message()), ""});
  if (cursor->streams.size() > api_.view_.journals()) {
    return say({400, "bad_cursor", "this cursor is of another spool", "begin without one"});
  }
  if (const HttpError error = check(api_, name_); error.status != 0) return say(error);
  api_.consumers_->acknowledge(
      name_, std::string(text), *std::move(cursor), api_.port_.wall_ns(),
      alive_.guard([this](const absl::Status& status) { stored(status); }));
}

void ConsumerHandler::stored(const absl::Status& status) {
  if (!status.ok())
    return say({503, "not_stored", std::string(status.message()), "say it again later"});
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  json.begin_object().field("consumer", name_).end_object().newline();
  answer(std::move(out));
}

}  // namespace veredus::control
