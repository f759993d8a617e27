#include "engine/control/api_body.h"

namespace veredus::control {

bool BodyHandler::on_body(std::string_view bytes) {
  if (answered_) return true;
  body_ += bytes;
  if (body_.size() > bytes_max_) {
    say({413, "too_large", "the body is more than " + std::to_string(bytes_max_) + " bytes",
         hint_});
  }
  return true;
}

void BodyHandler::on_end() {
  if (!answered_) decide(body_);
}

void BodyHandler::answer(HttpAnswer answer) {
  if (answered_) return;
  answered_ = true;
  call_.answer(std::move(answer));
}

}  // namespace veredus::control
