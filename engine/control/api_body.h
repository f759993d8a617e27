#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "engine/control/http_server.h"

namespace veredus::control {

// What the engine tells may come when the connection, and whoever asked, is gone. One thread.
class Alive {
 public:
  // Calls `then` as long as this lives; does nothing afterwards.
  template <class Then>
  auto guard(Then then) const {
    return [mark = std::weak_ptr<char>(mark_), then = std::move(then)](auto&& told) {
      if (!mark.expired()) then(std::forward<decltype(told)>(told));
    };
  }

 private:
  std::shared_ptr<char> mark_ = std::make_shared<char>();
};

// A call that is decided about when its body is complete, and answered then, or later when the
// engine has told what came of it.
class BodyHandler : public HttpHandler {
 public:
  bool on_body(std::string_view bytes) final;
  void on_end() final;

 protected:
  // A body of more bytes is refused, with that hint.
  BodyHandler(HttpCall& call, size_t bytes_max, std::string hint = "")
      : call_(call), bytes_max_(bytes_max), hint_(std::move(hint)) {}

  virtual void decide(const std::string& body) = 0;
  // One of these; the first that is said holds.
  void answer(HttpAnswer answer);
  void say(const HttpError& error) { answer(error_answer(error)); }

  const Alive alive_;

 private:
  HttpCall& call_;
  const size_t bytes_max_;
  const std::string hint_;
  std::string body_;
  bool answered_ = false;
};

}  // namespace veredus::control
