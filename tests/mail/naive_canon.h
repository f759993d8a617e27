#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace veredus::mail::testing {

// Canonical bodies as RFC 6376 §3.4.3 and §3.4.4 say it, line by line, with no thought for speed:
// what the real one is compared with.
inline std::string naive_canonical_body(std::string_view body, bool relaxed) {
  std::vector<std::string> lines;
  while (!body.empty()) {
    const size_t end = body.find("\r\n");
    lines.emplace_back(body.substr(0, end));
    body = end == std::string_view::npos ? std::string_view() : body.substr(end + 2);
  }
  for (std::string& line : lines) {
    if (!relaxed) break;
    std::string made;
    for (const char c : line) {
      const bool blank = c == ' ' || c == '\t';
      if (!blank || made.empty() || made.back() != ' ') made += blank ? ' ' : c;
    }
    if (!made.empty() && made.back() == ' ') made.pop_back();
    line = made;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string out;
  for (const std::string& line : lines) out += line + "\r\n";
  return out.empty() && !relaxed ? "\r\n" : out;
}

}  // namespace veredus::mail::testing
