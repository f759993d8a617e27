#include "engine/mail/quoted_printable.h"

#include <algorithm>

#include "engine/mail/hex.h"

namespace veredus::mail {

void append_quoted_printable(std::string_view text, size_t& column, std::string& out) {
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\r' || c == '\n') {
      out += "\r\n";
      column = 0;
      if (c == '\r' && at + 1 < text.size() && text[at + 1] == '\n') ++at;
      continue;
    }
    const bool last = at + 1 == text.size() || text[at + 1] == '\r' || text[at + 1] == '\n';
    bool plain = (c >= 33 && c <= 126 && c != '=') || ((c == ' ' || c == '\t') && !last);
    // A soft break has to fit, unless the line ends here.
    const bool ends = last && at + 1 < text.size();
    if (column + (plain ? 1 : 3) > kEncodedLineMax - (ends ? 0 : 1)) {
      out += "=\r\n";
      column = 0;
    }
    if (column == 0 && c == '-' && text.substr(at).starts_with("--")) plain = false;
    if (plain) {
      out += c;
      ++column;
    } else {
      append_hex_byte(c, out += '=');
      column += 3;
    }
  }
}

size_t quoted_printable_bytes(std::string_view text) {
  const auto coded = std::count_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 126 || c == '=';
  });
  const size_t bytes = text.size() + 2 * static_cast<size_t>(coded);
  return bytes + bytes / kEncodedLineMax * 3;
}

}  // namespace veredus::mail
