#pragma once

#include <memory>
#include <string>

#include "engine/control/api.h"
#include "engine/control/event_reader.h"

namespace veredus::control {

bool parse_number(std::string_view text, uint64_t& number);

// GET /v1/events?after=CURSOR&follow=1&limit=N&type=a,b&tenant=…&batch=…&campaign=…
//
// Lines of events, in pieces; behind each piece a line with the cursor to go on from. A reader that
// keeps the last cursor it saw misses nothing and sees some events twice at most, which `stream`
// and `seq` tell.
class EventsHandler final : public HttpHandler {
 public:
  struct Made {
    std::unique_ptr<EventsHandler> handler;  // null: the error says why
    HttpError error;
  };
  static Made make(Api& api, const HttpRequest& request, HttpCall& call);
  ~EventsHandler() override;

  bool read(std::string& out, size_t room) override;
  // Something may have become durable; or it is time for a sign of life.
  void look_again(bool heartbeat);

 private:
  static constexpr size_t kPieceBytes = 48 * 1024;

  EventsHandler(Api& api, HttpCall& call, std::unique_ptr<EventReader> reader, bool follow,
                uint64_t limit);

  Api& api_;
  HttpCall& call_;
  std::unique_ptr<EventReader> reader_;
  const bool follow_;
  uint64_t left_;
  bool heartbeat_ = false;
};

}  // namespace veredus::control
