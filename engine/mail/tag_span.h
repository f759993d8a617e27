#pragma once

#include <cstddef>
#include <string_view>

namespace veredus::mail {

// Bytes of the tag of merge ({{…}} or {{{…}}}) that begins at `at`, where "{{" stands. npos: it is
// not closed on its line.
inline size_t tag_length(std::string_view text, size_t at) {
  const std::string_view closing = text.substr(at).starts_with("{{{") ? "}}}" : "}}";
  const size_t start = at + closing.size();
  const size_t end = text.find(closing, start);
  if (end == std::string_view::npos) return end;
  const bool line_ends = text.substr(start, end - start).find_first_of("\r\n") != text.npos;
  return line_ends ? std::string_view::npos : end + closing.size() - at;
}

// What stands in front of the next tag, and the tag, both taken off `text`. The tag is empty: there
// is none, or one that is not closed. `merge`: whether there are tags at all.
inline void take_to_tag(std::string_view& text, bool merge, std::string_view& constant,
                        std::string_view& tag) {
  const size_t at = merge ? text.find("{{") : std::string_view::npos;
  const size_t length = at == std::string_view::npos ? at : tag_length(text, at);
  if (length == std::string_view::npos) {
    constant = text;
    tag = text = {};
    return;
  }
  constant = text.substr(0, at);
  tag = text.substr(at, length);
  text.remove_prefix(at + length);
}

}  // namespace veredus::mail
