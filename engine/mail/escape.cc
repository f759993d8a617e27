#include "engine/mail/escape.h"

#include <algorithm>

#include "engine/mail/encoded_word.h"
#include "engine/mail/hex.h"
#include "engine/mail/idn.h"

namespace veredus::mail {
namespace {

bool is_atext(char c) {  // RFC 5322 §3.2.3
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos);
}

// Atoms with single blanks between.
bool is_atoms(std::string_view text) {
  char before = ' ';
  for (const char c : text) {
    if (!is_atext(c) && (c != ' ' || before == ' ')) return false;
    before = c;
  }
  return before != ' ';
}

}  // namespace

void append_html_escaped(std::string_view text, std::string& out) {
  size_t from = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string_view reference;
    switch (text[at]) {
      case '&':
        reference = "&amp;";
        break;
      case '<':
        reference = "&lt;";
        break;
      case '>':
        reference = "&gt;";
        break;
      case '"':
        reference = "&quot;";
        break;
      case '\'':
        reference = "&#39;";
        break;
      default:
        continue;
    }
    out.append(text.substr(from, at - from)).append(reference);
    from = at + 1;
  }
  out.append(text.substr(from));
}

void append_uri_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool never = byte <= 32 || byte >= 127 ||
                       std::string_view("<>\"{}|\\^`,").find(c) != std::string_view::npos;
    never ? append_hex_byte(c, out += '%') : static_cast<void>(out += c);
  }
}

void append_uri_component(std::string_view text, std::string& out) {
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool stays =
        letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    stays ? static_cast<void>(out += c) : append_hex_byte(c, out += '%');
  }
}

bool append_phrase(std::string_view text, size_t& column, std::string& out, bool as_words) {
  const size_t begin = out.size();
  if (as_words) {
    append_encoded_words(text, column, out);
    return true;
  }
  if (has_high(text)) {
    append_encoded_text(text, column, out);
    return true;
  }
  if (is_atoms(text)) {
    out += text;
  } else if (has_encoded_word(text)) {
    append_encoded_text(text, column, out);
    return true;
  } else {
    out += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  column += out.size() - begin;
  return false;
}

void append_with_crlf(std::string_view text, std::string& out) {
  for (size_t at = 0;;) {
    const size_t end = text.find_first_of("\r\n", at);
    if (end == std::string_view::npos) {
      out.append(text.substr(at));
      return;
    }
    out.append(text.substr(at, end - at)) += "\r\n";
    at = end + (text.substr(end).starts_with("\r\n") ? 2 : 1);
  }
}

}  // namespace veredus::mail
