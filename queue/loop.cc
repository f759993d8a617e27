#include "queue/loop.h"

namespace veredus::queue {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool is_word(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// Takes one line off the front of `rest`, without its end.
std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// Takes one field with its folded lines off the front of `rest`; line ends within stay. Empty: the
// header has ended.
std::string_view take_field(std::string_view& rest) {
  const std::string_view from = rest;
  const std::string_view line = take_line(rest);
  if (line.empty()) return {};
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) take_line(rest);
  return from.substr(0, from.size() - rest.size());
}

// The body of `field` if it is a Received field; RFC 5322 §4.5 lets white space stand before the
// colon.
bool received_body(std::string_view field, std::string_view& body) {
  constexpr std::string_view kName = "received";
  if (field.size() <= kName.size() || !same(field.substr(0, kName.size()), kName)) return false;
  size_t at = kName.size();
  while (at < field.size() && (field[at] == ' ' || field[at] == '\t')) ++at;
  if (at == field.size() || field[at] != ':') return false;
  body = field.substr(at + 1);
  return true;
}

bool contains_word(std::string_view text, std::string_view word) {
  for (size_t at = 0; at < text.size();) {
    if (!is_word(text[at])) {
      ++at;
      continue;
    }
    const size_t from = at;
    while (at < text.size() && is_word(text[at])) ++at;
    if (same(text.substr(from, at - from), word)) return true;
  }
  return false;
}

// Splits a field body into comments, words and ';'. Words are what stands between white space,
// comments and ';'; a quoted string is (part of) one word.
class Tokens {
 public:
  enum class Type { word, comment, semicolon, end };
  explicit Tokens(std::string_view text) : text_(text) {}

  Type next(std::string_view& token) {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    if (at_ == text_.size()) return Type::end;
    const size_t from = at_;
    if (text_[at_] == ';') {
      ++at_;
      return Type::semicolon;
    }
    if (text_[at_] == '(') {
      skip_comment();
      token = text_.substr(from, at_ - from);
      return Type::comment;
    }
    while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != ';' && text_[at_] != '(') {
      if (text_[at_] == '"') {
        skip_quoted();
      } else {
        ++at_;
      }
    }
    token = text_.substr(from, at_ - from);
    return Type::word;
  }

 private:
  void skip_comment() {
    size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        ++at_;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && --depth == 0) {
        return;
      }
    }
  }
  void skip_quoted() {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        ++at_;
      } else if (c == '"') {
        return;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool is_own(std::string_view host, std::span<const std::string_view> own_names) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty()) return false;
  for (std::string_view name : own_names) {
    if (same(host, name)) return true;
  }
  return false;
}

bool is_own_trace(std::string_view body, std::span<const std::string_view> own_names,
                  std::string_view& host) {
  Tokens tokens(body);
  std::string_view token, before;
  bool by_us = false;
  for (;;) {
    switch (tokens.next(token)) {
      case Tokens::Type::end:
      case Tokens::Type::semicolon:
        return false;
      case Tokens::Type::comment:
        if (by_us && contains_word(token, kTraceWord)) return true;
        break;
      case Tokens::Type::word:
        // `from by` is a client that calls itself so.
        if (same(before, "by")) {
          by_us = is_own(token, own_names);
          host = token;
          before = {};
        } else if (same(before, "from")) {
          before = {};
        } else {
          before = token;
        }
        break;
    }
  }
}

}  // namespace

LoopFinding find_loop(std::string_view header, std::span<const std::string_view> own_names) {
  LoopFinding finding;
  std::string_view own_host;
  for (std::string_view rest = header; !rest.empty();) {
    const std::string_view field = take_field(rest);
    if (field.empty()) break;
    std::string_view body, host;
    if (!received_body(field, body)) continue;
    ++finding.received;
    if (own_host.empty() && is_own_trace(body, own_names, host)) own_host = host;
  }
  const std::string status(kLoopStatus);
  if (finding.received > kReceivedLimit) {
    finding.kind = LoopFinding::Kind::too_many_hops;
    finding.reason = status + " routing loop: " + std::to_string(finding.received) +
                     " Received fields, limit " + std::to_string(kReceivedLimit);
  } else if (!own_host.empty()) {
    finding.kind = LoopFinding::Kind::own_trace;
    finding.reason = status + " routing loop: has been here before, Received by " +
                     std::string(own_host) + " (" + std::string(kTraceWord) + ")";
  }
  return finding;
}

}  // namespace veredus::queue
