#pragma once

#include <string>
#include <string_view>

#include "engine/mail/builder.h"

// What tests of the builder begin with.

namespace veredus::mail {

inline MessageParts parts_of(std::string_view text, std::string_view html = {}) {
  MessageParts parts;
  parts.from = "News <news@news.example>";
  parts.text = text;
  parts.has_text = !text.empty();
  parts.html = html;
  return parts;
}

inline BuildSettings unmerged() {
  BuildSettings settings;
  settings.merge = false;
  return settings;
}

inline std::string built(const MessageParts& parts, const BuildSettings& settings = unmerged()) {
  std::string out;
  BuildFault fault;
  if (!build_message(parts, settings, out, fault)) return "fault: " + fault.reason;
  return out;
}

}  // namespace veredus::mail
