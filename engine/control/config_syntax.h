#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/next_hops.h"

namespace veredus::control {

// What names and addresses in the configuration look like.

bool is_host_name(std::string_view text);
// A host name, or one with a dot in front, for all below it.
bool is_host_pattern(std::string_view text);
inline constexpr const char* kHostPattern = "a host name, or \".example.org\" for all below it";
bool is_address(std::string_view text);
// An address with or without a port: "192.0.2.1", "192.0.2.1:5300", "2001:db8::1",
// "[2001:db8::1]:5300".
bool is_server(std::string_view text);
// "host:port", "[host]:port"; the host is not looked at. False: there is no port from 1 to 65535.
bool split_port(std::string_view text, std::string& host, uint16_t& port);
// A host name, in lower case then, or a numeric address, with or without port; port 0: there is
// none.
std::optional<NextHop> parse_next_hop(std::string_view text);

}  // namespace veredus::control
