#include "engine/mail/merge_tag.h"

#include <algorithm>

namespace veredus::mail {
namespace {

constexpr std::string_view kLiteral = "{{\"{{\"}}";

bool is_name(std::string_view name) {
  if (name.empty() || name.size() > kVariableNameMax) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

bool read_merge_tag(std::string_view text, size_t at, MergeTag& tag, std::string_view& why_not) {
  tag = {};
  tag.begin = at;
  if (text.substr(at).starts_with(kLiteral)) {
    tag.kind = MergeTag::Kind::literal;
    tag.end = at + kLiteral.size();
    return true;
  }
  const bool triple = text.substr(at).starts_with("{{{");
  const std::string_view closing = triple ? "}}}" : "}}";
  const size_t start = at + closing.size();
  const size_t line_end = std::min(text.find_first_of("\r\n", start), text.size());
  const size_t end = text.substr(0, line_end).find(closing, start);
  if (end == std::string_view::npos) {
    why_not =
        triple ? "{{{ is not closed by }}} on its line" : "{{ is not closed by }} on its line";
    return false;
  }
  tag.end = end + closing.size();
  std::string_view inside = text.substr(start, end - start);
  tag.kind = triple ? MergeTag::Kind::raw : MergeTag::Kind::value;
  const char sign = triple || inside.empty() ? '\0' : inside.front();
  if (sign == '#' || sign == '^' || sign == '/') {
    tag.kind = sign == '#'   ? MergeTag::Kind::open
               : sign == '^' ? MergeTag::Kind::inverted
                             : MergeTag::Kind::close;
    inside.remove_prefix(1);
  } else if (const size_t bar = inside.find('|'); bar != std::string_view::npos) {
    tag.fallback = inside.substr(bar + 1);
    tag.has_fallback = true;
    inside = inside.substr(0, bar);
  }
  tag.name = trimmed(inside);
  if (is_name(tag.name)) return true;
  why_not =
      "{{…}} wants a name of 1 to 64 letters, digits, '_', '.' or '-' (write {{\"{{\"}} for a "
      "literal {{): found none";
  return false;
}

size_t behind_merge_tag(std::string_view text, size_t at) {
  MergeTag tag;
  std::string_view why_not;
  return read_merge_tag(text, at, tag, why_not) ? tag.end : at + 2;
}

}  // namespace veredus::mail
