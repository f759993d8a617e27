#include "engine/mail/entity_header.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/header_field.h"
#include "engine/mail/hex.h"
#include "engine/mail/idn.h"
#include "engine/mail/structured_field.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

bool read_type(std::string_view value, EntityHeader& header) {
  Tokens tokens(value);
  auto type = tokens.word();
  auto subtype = tokens.take('/') ? tokens.word() : std::nullopt;
  if (type && !subtype) {
    // "text/html" in quotes is one word, and readers take it for what it says.
    const size_t slash = type->find('/');
    if (slash != std::string::npos) {
      subtype = type->substr(slash + 1);
      type->resize(slash);
    }
  }
  header.type = type && subtype ? in_small(*type + "/" + *subtype) : "text/plain";
  if (type && !subtype && (same_name(*type, "multipart") || same_name(*type, "message")))
    return false;
  while (tokens.to_next_parameter()) {
    const auto name = tokens.word();
    if (!name || !tokens.take('=')) continue;
    const size_t begin = tokens.at();
    auto text = tokens.parameter_value();
    if (same_name(*name, "charset") && header.charset_end == 0) {
      size_t end = tokens.at();  // an open quote goes on to the line end
      while (end > begin && is_blank(value[end - 1])) --end;
      header.charset = text && !text->empty();
      if (header.charset) header.charset_name = in_small(*text);
      header.charset_begin = begin;
      header.charset_end = end;
    }
    if (!text || !same_name(*name, "boundary")) continue;
    if (!header.boundary.empty()) return false;
    text->resize(text->find_last_not_of(" \t") + 1);
    header.boundary = std::move(*text);
  }
  return true;
}

// False: bytes over 127 stand elsewhere than in what parameters say.
bool append_ascii_parameters(std::string_view value, std::string& out) {
  Tokens tokens(value);
  size_t from = 0;
  while (tokens.to_next_parameter()) {
    const size_t begin = tokens.at();
    const auto name = tokens.word();
    if (!name || has_high(*name) || !tokens.take('=')) continue;
    const auto text = tokens.parameter_value();
    if (!text || !has_high(*text)) continue;
    const std::string_view before = value.substr(from, begin - from);
    if (has_high(before) || name->ends_with('*')) return false;
    (out += before) += *name;
    append_extended_value(*text, out);
    from = tokens.at();
  }
  out += value.substr(from);
  return !has_high(value.substr(from));
}

void append_ascii_text(std::string_view value, std::string& out) {
  std::string text;
  for (const char c : value) {
    if (c != '\r' && c != '\n') text += c;
  }
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  append_encoded_words(std::string_view(text).substr(begin), out += ' ');
  out += "\r\n";
}

}  // namespace

bool read_entity_header(std::string_view block, EntityHeader& header) {
  const size_t size = block.size();
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    const size_t at = size - block.size();
    if (!take_field(block, whole, field)) return false;
    if (same_name(field.name, "content-transfer-encoding")) {
      if (header.encoding_end != 0) return false;
      // What stands behind the first word says nothing.
      header.encoding = in_small(Tokens(field.value).word().value_or(""));
      header.encoding_begin = at;
      header.encoding_end = at + whole.size();
    } else if (same_name(field.name, "content-type")) {
      if (!header.type.empty() || !read_type(field.value, header)) return false;
      if (header.charset_end != 0) {
        const size_t value_at = at + whole.size() - field.value.size();
        header.charset_begin += value_at;
        header.charset_end += value_at;
      }
    } else if (same_name(field.name, "mime-version")) {
      header.mime_version = true;
    }
    header.signature = header.signature || same_name(field.name, "dkim-signature") ||
                       same_name(field.name, "arc-message-signature") ||
                       same_name(field.name, "arc-seal");
  }
  return true;
}

void append_extended_value(std::string_view text, std::string& out) {
  out += "*=utf-8''";
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9', small = c >= 'a' && c <= 'z';
    if (digit || small || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_') {
      out += c;
    } else {
      append_hex_byte(c, out += '%');
    }
  }
}

bool append_ascii_header(std::string_view block, std::string& out) {
  if (!is_utf8(block)) return false;
  const size_t begin = out.size();
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    const bool is_field = take_field(block, whole, field);
    if (!has_high(whole)) {
      out += whole;
      continue;
    }
    if (!is_field) return false;
    out += whole.substr(0, whole.size() - field.value.size());
    if (same_name(field.name, "content-type") || same_name(field.name, "content-disposition")) {
      if (!append_ascii_parameters(field.value, out)) return false;
    } else if (same_name(field.name, "content-description") && whole.ends_with("\r\n")) {
      append_ascii_text(field.value, out);
    } else {
      return false;
    }
  }
  for (size_t at = begin, end; at < out.size(); at = end + 1) {
    end = std::min(out.find('\n', at), out.size());
    const bool cr = end > at && out[end - 1] == '\r';  // the last line may have no end
    if (end - at - (cr ? 1 : 0) > kLineBytesMax) return false;
  }
  return true;
}

}  // namespace veredus::mail
