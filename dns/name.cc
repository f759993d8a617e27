#include "dns/name.h"

namespace veredus::dns {

bool normalize_name(std::string_view text, Name& out) {
  out.clear();
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty() || text.size() > kMaxName) return false;
  size_t label = 0;
  for (char c : text) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      out.append('.');
      continue;
    }
    const char low = name_character(c);
    if (low == 0 || ++label > kMaxLabel) return false;
    out.append(low);
  }
  return label != 0;
}

}  // namespace veredus::dns
