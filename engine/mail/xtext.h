#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// xtext, in which DSN parameters stand (RFC 3461 §4): printable ASCII but + and = is itself, any
// other byte is +XX.
void append_xtext(std::string_view text, std::string& out);
size_t xtext_bytes(std::string_view text);  // that append_xtext() appends
bool is_xchar(char c);                      // whether it stands for itself

// An ENVID as it stands in the command (RFC 3461 §4.4).
inline constexpr size_t kEnvidBytesMax = 100;

}  // namespace veredus::mail
