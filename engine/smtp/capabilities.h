#pragma once

#include <cstdint>
#include <string_view>

namespace veredus::smtp {

enum class Capability : uint16_t {
  pipelining = 1 << 0,             // RFC 2920
  chunking = 1 << 1,               // RFC 3030
  size = 1 << 2,                   // RFC 1870
  eight_bit_mime = 1 << 3,         // RFC 6152
  enhanced_status_codes = 1 << 4,  // RFC 2034
  starttls = 1 << 5,               // RFC 3207
  smtputf8 = 1 << 6,               // RFC 6531
  dsn = 1 << 7,                    // RFC 3461
  auth = 1 << 8,                   // RFC 4954
  limits = 1 << 9,                 // RFC 9422
  auth_plain = 1 << 10,            // with auth: RFC 4616
  auth_login = 1 << 11,            // with auth: what is older, and has no RFC
};

// What a server offered in its reply to EHLO. After HELO: nothing.
struct Capabilities {
  uint64_t size_limit = 0;  // bytes; 0: none stated
  uint16_t bits = 0;
  uint16_t mail_max = 0;  // LIMITS MAILMAX: transactions a session; 0: none stated, or above 65,535
  uint16_t rcpt_max = 0;  // LIMITS RCPTMAX: recipients a transaction; likewise

  constexpr bool has(Capability capability) const {
    return (bits & static_cast<uint16_t>(capability)) != 0;
  }
  bool operator==(const Capabilities&) const = default;
};
static_assert(sizeof(Capabilities) <= 16);

// Reads Reply::text of the reply to EHLO: the first line is a greeting, every further one a keyword
// with parameters (RFC 5321 §4.1.1.1). Unknown keywords and bad numbers are passed over.
Capabilities parse_capabilities(std::string_view ehlo_text);

}  // namespace veredus::smtp
