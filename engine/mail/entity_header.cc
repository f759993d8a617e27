#include "engine/mail/entity_header.h"

#include <algorithm>
#include <optional>

#include "engine/mail/content.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/header_field.h"
#include "engine/mail/hex.h"
#include "engine/mail/idn.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string in_small(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

// Reads a structured field's value token by token, comments and folds passed over (RFC 2045 §5.1,
// RFC 5322 §3.2.2). at_ never passes the end.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) {}

  // A word, or what a quoted string says. nullopt: neither is next.
  std::optional<std::string> word() {
    skip();
    if (at_ == text_.size() || is_special(text_[at_])) return std::nullopt;
    if (text_[at_] == '"') return quoted();
    std::string word;
    while (at_ < text_.size() && !is_blank(text_[at_]) && !is_special(text_[at_]) &&
           text_[at_] != '"' && text_[at_] != '(')
      word += text_[at_++];
    return word;
  }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // What a parameter says: a quoted string, or all up to a blank, a comment or ;. Boundaries have =
  // and / in them, with or without quotes (RFC 2046 §5.1.1 wants these).
  std::optional<std::string> parameter_value() {
    skip();
    if (at_ == text_.size() || text_[at_] == ';') return std::nullopt;
    if (text_[at_] == '"') return quoted();
    const size_t begin = at_;
    while (at_ < text_.size() && !is_blank(text_[at_]) && text_[at_] != ';' && text_[at_] != '(')
      ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  // Over whatever is left of a parameter, nonsense too. False: there is no further one.
  bool to_next_parameter() {
    while (!take(';')) {
      if (at_ == text_.size()) return false;
      if (text_[at_] == '"') {
        quoted();
      } else {
        ++at_;
      }
    }
    skip();
    return true;
  }
  size_t at() const { return at_; }

 private:
  static bool is_special(char c) { return c == '/' || c == ';' || c == '=' || c == ')'; }

  std::optional<std::string> quoted() {
    std::string word;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;  // a last one stands for itself
      if (text_[at_] != '\r' && text_[at_] != '\n') word += text_[at_];
    }
    if (at_ == text_.size()) return std::nullopt;
    ++at_;
    return word;
  }
  void skip() {
    unsigned depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '(') {
        ++depth;
      } else if (c == ')' && depth > 0) {
        --depth;
      } else if (c == '\\' && depth > 0) {
        if (at_ + 1 < text_.size()) ++at_;
      } else if (depth == 0 && !is_blank(c)) {
        return;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

struct Field {
  std::string_view name, value;  // value: all behind the colon, with its line end
};

// Takes the next field off the block, folds included; `whole` is all of it. False: it is none.
bool take_field(std::string_view& block, std::string_view& whole, Field& field) {
  size_t end = 0;
  do {
    end = block.find('\n', end);
    end = end == std::string_view::npos ? block.size() : end + 1;
  } while (end < block.size() && (block[end] == ' ' || block[end] == '\t'));
  whole = block.substr(0, end);
  block.remove_prefix(end);
  const size_t length = name_length(whole);
  const size_t colon = whole.find_first_not_of(" \t", length);
  if (length == 0 || colon == std::string_view::npos || whole[colon] != ':') return false;
  field = {whole.substr(0, length), whole.substr(colon + 1)};
  return true;
}

bool read_type(std::string_view value, EntityHeader& header) {
  Tokens tokens(value);
  const auto type = tokens.word();
  const auto subtype = tokens.take('/') ? tokens.word() : std::nullopt;
  header.type = type && subtype ? in_small(*type + "/" + *subtype) : "text/plain";
  if (type && !subtype && (same_name(*type, "multipart") || same_name(*type, "message")))
    return false;
  while (tokens.to_next_parameter()) {
    const auto name = tokens.word();
    if (!name || !tokens.take('=')) continue;
    auto text = tokens.parameter_value();
    if (!text || in_small(*name) != "boundary") continue;
    if (!header.boundary.empty()) return false;
    header.boundary = std::move(*text);
  }
  return true;
}

// RFC 2231 §4, §7.
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
  Field field;
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
    } else if (same_name(field.name, "mime-version")) {
      header.mime_version = true;
    }
    header.signature = header.signature || same_name(field.name, "dkim-signature") ||
                       same_name(field.name, "arc-message-signature") ||
                       same_name(field.name, "arc-seal");
  }
  return true;
}

bool append_ascii_header(std::string_view block, std::string& out) {
  if (!is_utf8(block)) return false;
  const size_t begin = out.size();
  Field field;
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
