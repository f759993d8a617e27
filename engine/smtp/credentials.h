#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::smtp {

// How a session says who it is, at a next hop that the configuration names (RFC 4954). Belongs to
// that next hop: given to sessions that are dialled there, and to no others.
struct Credentials {
  // `any`: PLAIN where it is offered, else LOGIN.
  enum class Mechanism : uint8_t { any, plain, login };
  std::string user, password;  // UTF-8, without NUL; not empty
  Mechanism mechanism = Mechanism::any;
  bool allow_in_clear = false;  // else under TLS or not at all
  bool operator==(const Credentials&) const = default;
};

// What AUTH PLAIN answers with (RFC 4616), and a text as AUTH LOGIN does: in base64.
std::string plain_response(const Credentials& credentials);
std::string base64(std::string_view text);

// What a host said, without what it repeats of them, in clear or in base64, whole or in part:
// "(credentials)" stands there instead.
std::string without_credentials(std::string_view text, const Credentials& credentials);

}  // namespace veredus::smtp
