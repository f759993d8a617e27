#include "tools/sink/mischief.h"

namespace veredus::sink {

std::optional<Stage> stage_of(std::string_view name) {
  constexpr std::array<std::string_view, kStages> kNames = {
      "connect",   "ehlo", "helo", "mail", "rcpt",     "data", "dot",
      "after-dot", "rset", "noop", "quit", "starttls", "tls"};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Stage>(i);
  }
  return std::nullopt;
}

}  // namespace veredus::sink
