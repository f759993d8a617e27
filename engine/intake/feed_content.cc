#include "engine/intake/feed_content.h"

#include "queue/loop.h"

namespace veredus::intake {

bool FedContent::make(const FedMessage& fed, const mail::BuildSettings& settings,
                      const FeedLimits& limits, std::span<const std::string_view> own_names,
                      AdmissionGate& gate, ContentFault& fault) {
  const auto fail = [&](size_t offset, std::string reason) {
    fault.offset = offset;
    fault.reason = std::move(reason);
    return false;
  };
  fault = {};
  made_.clear();
  what_ = "the message";
  std::string_view raw = fed.raw;
  auto origin = mail::ContentOrigin::fed;
  if (fed.form == FedMessage::Form::raw_base64) {
    size_t wrong = 0;
    if (!mail::append_base64_decoded(fed.raw, made_, wrong)) {
      fault.code = "malformed";
      return fail(fed.at + 1 + wrong,
                  "\"raw_base64\" is no base64 (RFC 4648, padded, no line ends)");
    }
    raw = made_;
  } else if (fed.form == FedMessage::Form::parts) {
    what_ = "the message made from the parts";
    mail::BuildFault wrong;
    mail::BuildSettings bounded = settings;
    bounded.bytes_max = limits.message_bytes;
    if (!mail::build_message(fed.parts, bounded, made_, wrong)) {
      made_ = std::string();  // may be as large as a message
      if (wrong.too_large) {
        fault.code = "too_large";
        fault.status = "5.3.4";
      }
      fault.hint = wrong.hint;
      return fail(fed.place_of(wrong), std::move(wrong.reason));
    }
    raw = made_;
    origin = mail::ContentOrigin::built;
  }
  mail::ContentError error;
  if (!gate.normalise(raw, settings.merge, origin, clean_, error)) {
    fault.status = error.status;
    if (origin == mail::ContentOrigin::built) error.reason.insert(0, std::string(what_) + ": ");
    return fail(fed.at, std::move(error.reason));
  }
  if (clean_.bytes.size() > limits.message_bytes) {
    fault.code = "too_large";
    fault.status = "5.3.4";
    return fail(fed.at,
                "the message is larger than " + std::to_string(limits.message_bytes) + " bytes");
  }
  queue::LoopFinding loop =
      queue::find_loop(clean_.bytes.substr(0, clean_.header_bytes), own_names);
  if (!loop.loop()) return true;
  fault.code = "loop";
  fault.status = queue::kLoopStatus;
  return fail(fed.at, std::move(loop.reason));
}

std::string FedContent::take() {
  if (clean_.bytes.data() == clean_.scratch.data()) return std::move(clean_.scratch);
  if (clean_.bytes.data() == made_.data()) return std::move(made_);
  return std::string(clean_.bytes);
}

}  // namespace veredus::intake
