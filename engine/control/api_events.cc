#include "engine/control/api_events.h"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/control/api_consumers.h"
#include "engine/control/consumers.h"
#include "engine/control/event_line.h"
#include "engine/control/log.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

constexpr std::array<std::string_view, 9> kTypes = {"accepted", "delivered",  "deferred",
                                                    "failed",   "expired",    "cancelled",
                                                    "in_doubt", "suppressed", "order"};

// "a,b,c"; false: one of them is no type there is.
bool parse_types(std::string_view text, std::vector<std::string>& types) {
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view type = text.substr(0, comma);
    if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) return false;
    types.emplace_back(type);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return true;
}

}  // namespace

EventsHandler::Made EventsHandler::make(Api& api, const HttpRequest& request, HttpCall& call) {
  Made made;
  made.error = {400, "bad_parameter", "", ""};
  for (const auto& [name, value] : request.query) {
    if (name == "after" || name == "follow" || name == "limit" || name == "type" ||
        name == "tenant" || name == "batch" || name == "campaign" || name == "consumer") {
      continue;
    }
    made.error.reason = "there is no parameter " + name;
    made.error.hint = "known: after consumer follow limit type tenant batch campaign";
    return made;
  }
  EventFilter filter;
  filter.tenant = request.param("tenant");
  filter.batch = request.param("batch");
  filter.campaign = request.param("campaign");
  if (!parse_types(request.param("type"), filter.types)) {
    made.error.reason = "type names an event that there is not";
    made.error.hint = "accepted delivered deferred failed expired cancelled in_doubt suppressed";
    return made;
  }
  const std::string_view follow = request.param("follow");
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  const std::string_view wanted = request.param("limit");
  if ((!wanted.empty() && (!parse_number(wanted, limit) || limit == 0)) ||
      (!follow.empty() && follow != "0" && follow != "1")) {
    made.error.reason = "limit is a number above 0, follow is 0 or 1";
    return made;
  }
  const std::string consumer(request.param("consumer"));
  if (!consumer.empty()) {
    HttpError wrong = ConsumerHandler::check(api, consumer);
    if (wrong.status != 0) {
      made.error = std::move(wrong);
      return made;
    }
  }
  auto reader = std::make_unique<EventReader>(api.view_, api.node_, std::move(filter));
  absl::StatusOr<EventCursor> cursor = EventCursor{};
  const std::string_view after = request.param("after");
  if (!after.empty()) cursor = decode_cursor(after);
  if (!consumer.empty() && cursor.ok()) {
    const Consumers::Known* known = api.consumers_->find(consumer);
    if (known == nullptr && cursor->streams.size() <= api.view_.journals()) {
      known =
          &api.consumers_->begin(consumer, after.empty() ? nullptr : &*cursor, api.port_.wall_ns());
    }
    if (after.empty()) cursor = known->cursor;
  }
  if (!after.empty() || !consumer.empty()) {
    const absl::Status status = cursor.ok() ? reader->seek(*cursor) : cursor.status();
    if (!status.ok()) {
      made.error.code = "bad_cursor";
      made.error.reason = std::string(status.message());
      return made;
    }
  }
  made.handler.reset(new EventsHandler(api, call, std::move(reader), follow == "1", limit));
  return made;
}

EventsHandler::EventsHandler(Api& api, HttpCall& call, std::unique_ptr<EventReader> reader,
                             bool follow, uint64_t limit)
    : api_(api), call_(call), reader_(std::move(reader)), follow_(follow), left_(limit) {
  api_.followers_.push_back(this);
  call_.answer_stream("application/x-ndjson");
}

EventsHandler::~EventsHandler() {
  std::erase(api_.followers_, this);
}

void EventsHandler::look_again(bool heartbeat) {
  heartbeat_ = heartbeat_ || heartbeat;
  call_.resume();
}

bool EventsHandler::read(std::string& out, size_t room) {
  const size_t begin = out.size();
  uint64_t events = 0;
  const absl::StatusOr<EventReader::Result> got =
      reader_->read(out, begin + std::min(room, kPieceBytes), left_, events);
  left_ -= events;
  if (!got.ok()) {
    log_line(LogLevel::error, "events: " + std::string(got.status().message()));
    append_cursor_line(encode_cursor(reader_->cursor()), out);
    out += "{\"v\":1,\"type\":\"error\",\"reason\":";
    intake::append_json_string(std::string(got.status().message()), out);
    out += "}\n";
    return false;
  }
  const bool end = *got == EventReader::Result::end;
  const bool last = left_ == 0 || (end && (!follow_ || api_.stopping_));
  // Without events: only to say how far a search has come, or that we live.
  if (events != 0 || last || !end || heartbeat_) {
    append_cursor_line(encode_cursor(reader_->cursor()), out);
  }
  heartbeat_ = false;
  return !last;
}

}  // namespace veredus::control
