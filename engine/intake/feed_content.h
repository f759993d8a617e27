#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/intake/feed_message.h"
#include "engine/intake/feed_parser.h"
#include "engine/mail/content.h"

namespace veredus::intake {

// What is wrong with a message that was fed.
struct ContentFault {
  std::string_view code = "bad_message";  // as in FeedError; static
  std::string_view status = "5.6.0";      // of a recipient whose own it is; static
  size_t offset = 0;                      // in its line, from 0
  std::string reason, hint;
};

// The stored form of a message that was fed, whole or in parts: clean bytes.
class FedContent {
 public:
  // `own_names`: see queue/loop.h. `gate` checks it, and mends it; what is found does not refuse it
  // here. False: `fault` says why. The code is "malformed" if what should
  // be the base64 of a whole message is none.
  bool make(const FedMessage& fed, const mail::BuildSettings& settings, const FeedLimits& limits,
            std::span<const std::string_view> own_names, AdmissionGate& gate, ContentFault& fault);

  // Valid until make() is called again, and as long as the line is.
  std::string_view bytes() const { return clean_.bytes; }
  uint8_t flags() const { return clean_.flags; }  // queue::ContentFlags
  // What a fault's line and byte are of: "the message", or the one that was made of parts.
  std::string_view what() const { return what_; }
  // The bytes to keep; what bytes() gave points into them, if they were made here.
  std::string take();

 private:
  std::string made_;  // decoded, or built
  mail::Normalised clean_;
  std::string_view what_;
};

}  // namespace veredus::intake
