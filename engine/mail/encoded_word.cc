#include "engine/mail/encoded_word.h"

#include "engine/mail/content.h"

namespace veredus::mail {

void append_encoded_words(std::string_view text, std::string& out) {
  constexpr size_t kBytesOfWord = 45;  // 60 digits and 12 bytes around them
  bool first = true;
  while (!text.empty()) {
    size_t length = text.size() < kBytesOfWord ? text.size() : kBytesOfWord;
    // Not between the bytes of one character (RFC 2047 §5); what is no UTF-8 at all is cut
    // anywhere.
    size_t cut = length;
    while (cut < text.size() && cut + 3 > length &&
           (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80)
      --cut;
    if (cut >= text.size() || (static_cast<unsigned char>(text[cut]) & 0xC0) != 0x80) length = cut;
    out += first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?";
    append_base64(text.substr(0, length), out);
    out += "?=";
    text.remove_prefix(length);
    first = false;
  }
}

}  // namespace veredus::mail
