#pragma once

#include <array>
#include <cassert>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/smtp/reply.h"
#include "engine/smtp/verdict.h"

// Small helpers that the parts of the dialogue share.

namespace veredus::smtp {

inline bool has_bit(const std::array<uint64_t, 2>& bits, size_t i) {
  return (bits[i / 64] >> (i % 64) & 1) != 0;
}
inline void set_bit(std::array<uint64_t, 2>& bits, size_t i) {
  bits[i / 64] |= uint64_t{1} << (i % 64);
}

inline bool is_refusal(const Reply& reply) {
  return reply.code >= 400;
}
inline Said said_by(const Reply& reply, Phase stage) {
  return {stage, Reason::none, reply.code, reply.enhanced, false, reply.text};
}

inline void append_number(std::string& out, uint64_t value) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  assert(error == std::errc());
  (void)error;
  out.append(digits, end);
}

}  // namespace veredus::smtp
