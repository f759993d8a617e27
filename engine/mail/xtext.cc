#include "engine/mail/xtext.h"

#include <algorithm>

namespace veredus::mail {

bool is_xchar(char c) {
  return c > 32 && c < 127 && c != '+' && c != '=';
}

void append_xtext(std::string_view text, std::string& out) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    if (is_xchar(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '+';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
}

size_t xtext_bytes(std::string_view text) {
  const auto plain = std::count_if(text.begin(), text.end(), is_xchar);
  return text.size() * 3 - 2 * static_cast<size_t>(plain);
}

}  // namespace veredus::mail
