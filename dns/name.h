#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veredus::dns {

inline constexpr size_t kMaxName =
    253;  // characters of a name without its last dot (RFC 1035 §2.3.4: 255 bytes on the wire)
inline constexpr size_t kMaxLabel = 63;

// Letters, digits, hyphen and underscore, in lower case; 0 for everything else. A-labels ("xn--…")
// pass, U-labels do not.
constexpr char name_character(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') return c;
  return 0;
}

// A name in normal form, in place: lower case, labels joined by '.', no dot at the end; the root is
// empty.
class Name {
 public:
  std::string_view view() const { return {text_, size_}; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() { size_ = 0; }
  bool append(char c) {
    if (size_ >= kMaxName) return false;
    text_[size_++] = c;
    return true;
  }

 private:
  uint8_t size_ = 0;
  char text_[kMaxName];
};

// Brings a host or domain name as people write it (any case, perhaps a dot at the end) to normal
// form. False, and `out` undefined, for anything that is no name: empty, an empty or too long
// label, too long, a character outside name_character(). Address literals are no names.
bool normalize_name(std::string_view text, Name& out);

}  // namespace veredus::dns
