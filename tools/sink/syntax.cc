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

// RFC 3461 section 4: printable, + only in front of two hexadecimal digits in capitals, no =.
bool xtext(std::string_view text) {
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < 33 || text[i] > 126 || text[i] == '=') return false;
    if (text[i] != '+') continue;
    if (i + 2 >= text.size() || !digit(text[i + 1]) || !digit(text[i + 2])) return false;
    i += 2;
  }
  return !text.empty();
}

// "NEVER", or a list without it.
bool notify_list(std::string_view list) {
  if (same(list, "never")) return true;
  for (bool more = true; more;) {
    const size_t comma = list.find(',');
    const std::string_view word = list.substr(0, comma);
    if (!same(word, "success") && !same(word, "failure") && !same(word, "delay")) return false;
    more = comma != std::string_view::npos;
    if (more) list.remove_prefix(comma + 1);
  }
  return true;
}

// "rfc822;xtext", or "utf-8;" and what RFC 6533 allows there, which is looked at less closely.
bool original_recipient(std::string_view text) {
  if (text.size() > 500) return false;
  if (starts(text, "rfc822;")) return xtext(text.substr(7));
  return starts(text, "utf-8;") && text.size() > 6 && text.find_first_of("+=") == text.npos;
}

}  // namespace

bool has_high(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) > 127) return true;
  }
  return false;
}

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

bool mail_parameters(std::string_view parameters, const Offer& offer, uint64_t& size, bool& utf8) {
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
      utf8 = true;
    } else if (starts(word, "ret=")) {
      const std::string_view what = word.substr(4);
      if (!offer.dsn || (!same(what, "full") && !same(what, "hdrs"))) return false;
    } else if (starts(word, "envid=")) {
      if (!offer.dsn || word.size() > 106 || !xtext(word.substr(6))) return false;
    } else {
      return false;
    }
  }
}

bool rcpt_parameters(std::string_view parameters, const Offer& offer) {
  while (true) {
    std::string_view word = next_word(parameters);
    if (word.empty()) return true;
    const bool good = (starts(word, "notify=") && notify_list(word.substr(7))) ||
                      (starts(word, "orcpt=") && original_recipient(word.substr(6)));
    if (!offer.dsn || !good) return false;
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
