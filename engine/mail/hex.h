#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::mail {

// Capitals: quoted-printable wants these (RFC 2045 §6.7), and xtext, too (RFC 3461 §4).
inline constexpr std::string_view kHexDigits = "0123456789ABCDEF";

inline void append_hex_byte(char c, std::string& out) {
  const auto byte = static_cast<uint8_t>(c);
  out += kHexDigits[byte >> 4];
  out += kHexDigits[byte & 15];
}

}  // namespace veredus::mail
