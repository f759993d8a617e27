#pragma once

#include <string>

#include "engine/mail/builder.h"

namespace veredus::mail {

// Appends the header fields of a message that do not depend on how its body is made: From to
// Subject, those of the feeder, and those about unsubscribing and feedback. False: `fault` says
// why.
bool append_header_fields(const MessageParts& parts, const BuildSettings& settings,
                          std::string& out, BuildFault& fault);

}  // namespace veredus::mail
