#include "engine/smtp/capabilities.h"

#include <array>
#include <charconv>

namespace veredus::smtp {
namespace {

struct Keyword {
  std::string_view name;
  Capability capability;
};
constexpr std::array<Keyword, 10> kKeywords = {{
    {"PIPELINING", Capability::pipelining},
    {"CHUNKING", Capability::chunking},
    {"SIZE", Capability::size},
    {"8BITMIME", Capability::eight_bit_mime},
    {"ENHANCEDSTATUSCODES", Capability::enhanced_status_codes},
    {"STARTTLS", Capability::starttls},
    {"SMTPUTF8", Capability::smtputf8},
    {"DSN", Capability::dsn},
    {"AUTH", Capability::auth},
    {"LIMITS", Capability::limits},
}};

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

bool same(std::string_view word, std::string_view upper_word) {
  if (word.size() != upper_word.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (upper(word[i]) != upper_word[i]) return false;
  }
  return true;
}

// The next word of `line`, words being parted by spaces or tabs; empty at the end.
std::string_view take_word(std::string_view& line) {
  const size_t start = line.find_first_not_of(" \t");
  if (start == std::string_view::npos) return {};
  line.remove_prefix(start);
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

template <typename Number>
Number number_or_zero(std::string_view word) {
  Number value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() ? value : Number{0};
}

// RFC 9422: "LIMITS MAILMAX=100 RCPTMAX=50"
void parse_limits(std::string_view line, Capabilities& capabilities) {
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const uint16_t value = number_or_zero<uint16_t>(word.substr(equals + 1));
    if (same(word.substr(0, equals), "MAILMAX")) capabilities.mail_max = value;
    if (same(word.substr(0, equals), "RCPTMAX")) capabilities.rcpt_max = value;
  }
}

// RFC 4954: "AUTH PLAIN LOGIN"
void parse_mechanisms(std::string_view line, Capabilities& capabilities) {
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    if (same(word, "PLAIN")) capabilities.bits |= static_cast<uint16_t>(Capability::auth_plain);
    if (same(word, "LOGIN")) capabilities.bits |= static_cast<uint16_t>(Capability::auth_login);
  }
}

void parse_line(std::string_view line, Capabilities& capabilities) {
  const std::string_view whole = line;
  std::string_view word = take_word(line);
  // Old servers write "AUTH=LOGIN PLAIN" beside, or instead of, "AUTH LOGIN PLAIN".
  if (same(word.substr(0, 5), "AUTH=")) {
    line = whole.substr(whole.find('=') + 1);
    word = word.substr(0, 4);
  }
  for (const Keyword& keyword : kKeywords) {
    if (!same(word, keyword.name)) continue;
    capabilities.bits |= static_cast<uint16_t>(keyword.capability);
    if (keyword.capability == Capability::size) {
      capabilities.size_limit = number_or_zero<uint64_t>(take_word(line));
    }
    if (keyword.capability == Capability::limits) parse_limits(line, capabilities);
    if (keyword.capability == Capability::auth) parse_mechanisms(line, capabilities);
    return;
  }
}

}  // namespace

Capabilities parse_capabilities(std::string_view ehlo_text) {
  Capabilities capabilities;
  size_t at = ehlo_text.find('\n');
  while (at != std::string_view::npos) {
    ehlo_text.remove_prefix(at + 1);
    at = ehlo_text.find('\n');
    parse_line(ehlo_text.substr(0, at), capabilities);
  }
  return capabilities;
}

}  // namespace veredus::smtp
