#include "engine/control/log.h"

#include <cstdlib>
#include <string>

#include <unistd.h>

namespace veredus::control {

void log_line(LogLevel level, std::string_view text) {
  static const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;
  std::string line;
  if (to_journal) {
    line = "<" + std::to_string(static_cast<int>(level)) + ">";
  } else {
    line = "veredus: ";
    if (level == LogLevel::error) line += "error: ";
    if (level == LogLevel::warning) line += "warning: ";
  }
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127) {
      line += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      line += c;
    }
  }
  line += '\n';
  // One write, so that lines of several threads do not mix. A log that cannot be written is no
  // reason to stop.
  const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  (void)written;
}

}  // namespace veredus::control
