#include "tools/sink/syntax.h"

#include <charconv>

#include <string.h>

namespace veredus::sink {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// Whether `text` begins with `prefix` (lower case), in any case.
bool starts(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (size_t i = 0; i < prefix.size(); ++i) {
    if (lower(text[i]) != prefix[i]) return false;
  }
  return true;
}

bool same(std::string_view text, std::string_view word) {
  return text.size() == word.size() && starts(text, word);
}

// The next parameter, or an empty one at the end.
std::string_view next_word(std::string_view& rest) {
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  size_t end = rest.find(' ');
  std::string_view word = rest.substr(0, end);
  rest.remove_prefix(word.size());
  return word;
}

bool number(std::string_view text, uint64_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

constexpr uint32_t four(const char* text) {
  return static_cast<uint32_t>(text[0]) | static_cast<uint32_t>(text[1]) << 8 |
         static_cast<uint32_t>(text[2]) << 16 | static_cast<uint32_t>(text[3]) << 24;
}

}  // namespace

Verb verb_of(std::string_view line) {
  if (line.size() == 8 && same(line, "starttls")) return Verb::starttls;
  if (line.size() < 4 || (line.size() > 4 && line[4] != ' ')) return Verb::other;
  uint32_t verb;
  memcpy(&verb, line.data(), 4);
  switch (verb | 0x20202020u) {
    case four("ehlo"):
      return Verb::ehlo;
    case four("helo"):
      return Verb::helo;
    case four("mail"):
      return Verb::mail;
    case four("rcpt"):
      return Verb::rcpt;
    case four("data"):
      return Verb::data;
    case four("bdat"):
      return Verb::bdat;
    case four("rset"):
      return Verb::rset;
    case four("noop"):
      return Verb::noop;
    case four("quit"):
      return Verb::quit;
    default:
      return Verb::other;
  }
}

bool cut_path(std::string_view line, std::string_view prefix, std::string_view& path,
              std::string_view& parameters) {
  if (!starts(line, prefix)) return false;
  line.remove_prefix(prefix.size());
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (line.empty() || line.front() != '<') return false;
  bool quoted = false;
  size_t end = 1;
  for (; end < line.size(); ++end) {
    char c = line[end];
    if (c == '\\' && quoted) {
      ++end;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == '>' && !quoted) {
      break;
    }
  }
  if (end >= line.size()) return false;
  path = line.substr(1, end - 1);
  parameters = line.substr(end + 1);
  if (!path.empty() && path.front() == '@') {
    size_t colon = path.find(':');
    if (colon == std::string_view::npos) return false;
    path.remove_prefix(colon + 1);
  }
  return parameters.empty() || parameters.front() == ' ';
}

bool mail_parameters(std::string_view parameters, const Offer& offer, uint64_t& size) {
  while (true) {
    std::string_view word = next_word(parameters);
    if (word.empty()) return true;
    if (starts(word, "size=")) {
      if (!offer.size || !number(word.substr(5), size)) return false;
    } else if (starts(word, "body=")) {
      std::string_view body = word.substr(5);
      if (!offer.eight_bit || (!same(body, "8bitmime") && !same(body, "7bit"))) return false;
    } else if (same(word, "smtputf8")) {
      if (!offer.smtputf8) return false;
    } else if (starts(word, "ret=") || starts(word, "envid=")) {
      if (!offer.dsn) return false;
    } else {
      return false;
    }
  }
}

bool rcpt_parameters(std::string_view parameters, const Offer& offer) {
  while (true) {
    std::string_view word = next_word(parameters);
    if (word.empty()) return true;
    if (!offer.dsn || (!starts(word, "notify=") && !starts(word, "orcpt="))) return false;
  }
}

bool bdat_arguments(std::string_view line, uint64_t& octets, bool& last) {
  line.remove_prefix(4);
  if (!number(next_word(line), octets)) return false;
  std::string_view word = next_word(line);
  last = same(word, "last");
  return (word.empty() || last) && next_word(line).empty();
}

}  // namespace veredus::sink
