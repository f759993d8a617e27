#include "engine/control/config_syntax.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "dns/address_policy.h"

namespace veredus::control {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (;;) {
    const size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_host_pattern(std::string_view text) {
  return is_host_name(text.starts_with('.') ? text.substr(1) : text);
}

bool is_address(std::string_view text) {
  return dns::IpAddress::parse(text).has_value();
}

bool is_server(std::string_view text) {
  std::string host;
  uint16_t port = 0;
  if (is_address(text)) return true;
  if (!split_port(text, host, port) || !is_address(host)) return false;
  return text.front() == '[' || host.find(':') == std::string::npos;
}

bool split_port(std::string_view text, std::string& host, uint16_t& port) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view digits = text.substr(colon + 1);
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc{} || at != end || port == 0) return false;
  text = text.substr(0, colon);
  const bool in_brackets = text.size() > 2 && text.front() == '[' && text.back() == ']';
  host = in_brackets ? text.substr(1, text.size() - 2) : text;
  return true;
}

std::optional<NextHop> parse_next_hop(std::string_view text) {
  NextHop hop;
  hop.port = 0;
  const bool in_brackets = text.size() > 2 && text.front() == '[' && text.back() == ']';
  if (is_address(text)) {
    hop.host = text;
  } else if (in_brackets) {
    hop.host = text.substr(1, text.size() - 2);
    if (!is_address(hop.host)) return std::nullopt;
  } else if (!split_port(text, hop.host, hop.port)) {
    hop.port = 0;
    hop.host = text;
  } else if ((text.front() == '[') != (hop.host.find(':') != std::string::npos)) {
    // An IPv6 address of which the end may be the port, or a name in brackets.
    return std::nullopt;
  }
  hop.host = absl::AsciiStrToLower(hop.host);
  const bool number = is_address(hop.host);
  // What only looks like an address is none, and no name either.
  const size_t dot = hop.host.rfind('.');
  const bool digits =
      hop.host.find_first_not_of("0123456789", dot == std::string::npos ? 0 : dot + 1) ==
      std::string::npos;
  if (!number && (digits || !is_host_name(hop.host))) return std::nullopt;
  return hop;
}

}  // namespace veredus::control
