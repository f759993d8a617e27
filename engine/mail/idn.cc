#include "engine/mail/idn.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <idn2.h>

namespace veredus::mail {
namespace {

// More would be no domain in any form, and conversion is slower than linear.
constexpr size_t kInputMax = 1024;

}  // namespace

bool append_a_labels(std::string_view domain, std::string& out, std::string_view& reason) {
  reason = "the domain is too long";
  if (domain.size() > kInputMax) return false;
  reason = "the domain has a NUL";
  if (domain.find('\0') != std::string_view::npos) return false;
  char* made = nullptr;
  // Without IDN2_USE_STD3_ASCII_RULES: with it 2.3.3 drops what these rules forbid, and makes
  // another domain of it, without a word ("ü_x" becomes that of "üx", "℀" nothing). So they are
  // kept below.
  const int result =
      idn2_to_ascii_8z(std::string(domain).c_str(), &made, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
  if (result != IDN2_OK) {
    reason = idn2_strerror(result);
    return false;
  }
  const std::string_view labels = made;
  const bool fits = std::all_of(labels.begin(), labels.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  reason = "the domain has, or stands for, what is no letter, digit or hyphen";
  if (fits) {
    out += labels;
    reason = {};
  }
  idn2_free(made);
  return fits;
}

std::string with_a_labels(std::string_view text) {
  // What is in front of the last @ may be anything; behind it there is none in a domain.
  const size_t domain = text.rfind('@') + 1;
  std::string made(text.substr(0, domain));
  std::string_view reason;
  if (!has_high(text.substr(domain)) || !append_a_labels(text.substr(domain), made, reason))
    return std::string(text);
  return made;
}

bool has_high(std::string_view text) {
  // A word of each eight bytes, and one branch for eight of these: bodies are long.
  std::array<uint64_t, 8> words;
  for (; text.size() >= sizeof words; text.remove_prefix(sizeof words)) {
    std::memcpy(words.data(), text.data(), sizeof words);
    uint64_t all = 0;
    for (const uint64_t word : words) all |= word;
    if ((all & 0x8080808080808080u) != 0) return true;
  }
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) > 127; });
}

}  // namespace veredus::mail
