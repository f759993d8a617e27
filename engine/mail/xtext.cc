#include "engine/mail/xtext.h"

#include <algorithm>

#include "engine/mail/hex.h"

namespace veredus::mail {

bool is_xchar(char c) {
  return c > 32 && c < 127 && c != '+' && c != '=';
}

void append_xtext(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (is_xchar(c)) {
      out += c;
    } else {
      append_hex_byte(c, out += '+');
    }
  }
}

size_t xtext_bytes(std::string_view text) {
  const auto plain = std::count_if(text.begin(), text.end(), is_xchar);
  return text.size() * 3 - 2 * static_cast<size_t>(plain);
}

}  // namespace veredus::mail
