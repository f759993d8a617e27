#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace veredus::mail {

// White space of a header field's value, folds among it.
inline bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Where the comments, blanks and folds at `at` end (CFWS, RFC 5322 §3.2.2), comments within
// comments among them. npos: a comment is not closed.
inline size_t behind_cfws(std::string_view text, size_t at) {
  size_t depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '(') {
      ++depth;
    } else if (c == ')' && depth > 0) {
      --depth;
    } else if (c == '\\' && depth > 0) {
      if (at + 1 < text.size()) ++at;
    } else if (depth == 0 && !is_blank(c)) {
      return at;
    }
  }
  return depth == 0 ? at : std::string_view::npos;
}

// Where the quoted string that begins at `at` ends (RFC 5322 §3.2.4). npos: it is not closed.
inline size_t behind_quoted(std::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  return std::string_view::npos;
}

// Reads a structured field's value of MIME token by token (RFC 2045 §5.1), comments and folds
// passed over. at_ never passes the end.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) {}

  // A word, or what a quoted string says. nullopt: neither is next.
  std::optional<std::string> word() {
    skip();
    if (at_ == text_.size() || is_special(text_[at_])) return std::nullopt;
    if (text_[at_] == '"') return quoted();
    const size_t begin = at_;
    while (at_ < text_.size() && !is_blank(text_[at_]) && !is_special(text_[at_]) &&
           text_[at_] != '"' && text_[at_] != '(')
      ++at_;
    return std::string(text_.substr(begin, at_ - begin));
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
  void skip() { at_ = std::min(behind_cfws(text_, at_), text_.size()); }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace veredus::mail
