#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace veredus::dns {

// A numeric address. IPv4 uses the first four bytes, the others are zero.
struct IpAddress {
  enum class Family : uint8_t { v4, v6 };

  Family family = Family::v4;
  std::array<uint8_t, 16> bytes{};

  static IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return {Family::v4, {a, b, c, d}};
  }
  static IpAddress v6(const std::array<uint8_t, 16>& bytes) { return {Family::v6, bytes}; }
  // Dotted quad or RFC 4291 text, without brackets, zone or port.
  static std::optional<IpAddress> parse(std::string_view text);

  size_t size() const { return family == Family::v4 ? 4 : 16; }
  std::string to_string() const;
  auto operator<=>(const IpAddress&) const = default;
};

}  // namespace veredus::dns
