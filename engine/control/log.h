#pragma once

#include <string_view>

namespace veredus::control {

// The operational log: standard error, with journald's priority marks when it goes there. One line
// a call, any thread. Control bytes are escaped: what a peer said cannot forge a line.
enum class LogLevel : int { error = 3, warning = 4, notice = 5, info = 6 };
void log_line(LogLevel level, std::string_view text);

}  // namespace veredus::control
