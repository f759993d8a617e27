#pragma once

#include <cstddef>
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

// Length of the field name at the front of a line; RFC 5322 §3.6.8: printable ASCII but the colon.
inline size_t name_length(std::string_view line) {
  size_t length = 0;
  while (length < line.size() && line[length] > 32 && line[length] < 127 && line[length] != ':')
    ++length;
  return length;
}

}  // namespace veredus::mail
