#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Whether `name` is `small` (which is in small letters), in any case.
inline bool same_name(std::string_view name, std::string_view small) {
  if (name.size() != small.size()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] + 32) : name[i];
    if (c != small[i]) return false;
  }
  return true;
}

// In small letters, those of ASCII.
inline std::string in_small(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return small;
}

// Length of the field name at the front of a line; RFC 5322 §3.6.8: printable ASCII but the colon.
inline size_t name_length(std::string_view line) {
  size_t length = 0;
  while (length < line.size() && line[length] > 32 && line[length] < 127 && line[length] != ':')
    ++length;
  return length;
}

struct HeaderField {
  std::string_view name, value;  // value: all behind the colon, with its line end
  bool folded = false;           // it has several lines
};

// Takes the next field off the block, folds included; `whole` is all of it. False: it is none.
inline bool take_field(std::string_view& block, std::string_view& whole, HeaderField& field) {
  size_t end = 0, lines = 0;
  do {
    end = block.find('\n', end);
    end = end == std::string_view::npos ? block.size() : end + 1;
    ++lines;
  } while (end < block.size() && (block[end] == ' ' || block[end] == '\t'));
  whole = block.substr(0, end);
  block.remove_prefix(end);
  const size_t length = name_length(whole);
  const size_t colon = whole.find_first_not_of(" \t", length);
  if (length == 0 || colon == std::string_view::npos || whole[colon] != ':') return false;
  field = {whole.substr(0, length), whole.substr(colon + 1), lines > 1};
  return true;
}

}  // namespace veredus::mail
