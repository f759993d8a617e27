#include <array>

#include "engine/mail/content.h"

namespace veredus::mail {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> table{};
  table.fill(kNone);
  for (uint8_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(kAlphabet[i])] = i;
  return table;
}();

uint8_t value_of(char c) {
  return kValues[static_cast<unsigned char>(c)];
}

}  // namespace

bool append_base64_decoded(std::string_view text, std::string& out, size_t& fault) {
  size_t padding = 0;
  if (!text.empty() && text.back() == '=')
    padding = text.size() > 1 && text[text.size() - 2] == '=' ? 2 : 1;
  const size_t digits = text.size() - padding;
  const size_t start = out.size();
  out.resize(start + digits / 4 * 3 + 3);
  char* to = out.data() + start;
  size_t at = 0;
  for (; at + 4 <= digits; at += 4) {
    const uint8_t a = value_of(text[at]), b = value_of(text[at + 1]), c = value_of(text[at + 2]),
                  d = value_of(text[at + 3]);
    if (((a | b | c | d) & 0x80) != 0) break;
    *to++ = static_cast<char>(a << 2 | b >> 4);
    *to++ = static_cast<char>(b << 4 | c >> 2);
    *to++ = static_cast<char>(c << 6 | d);
  }
  out.resize(static_cast<size_t>(to - out.data()));
  for (fault = at; fault < digits; ++fault) {
    if (value_of(text[fault]) == kNone) return false;
  }
  const size_t rest = digits - at;
  fault = text.size();
  // One digit alone carries no byte, and padding fills up to four.
  if (rest == 1 || (rest + padding) % 4 != 0) return false;
  if (rest == 0) return padding == 0;
  const uint8_t a = value_of(text[at]), b = value_of(text[at + 1]),
                c = rest == 3 ? value_of(text[at + 2]) : 0;
  fault = at + rest - 1;
  if (rest == 2 ? (b & 15) != 0 : (c & 3) != 0)
    return false;  // stray bits: two texts for the same bytes
  out += static_cast<char>(a << 2 | b >> 4);
  if (rest == 3) out += static_cast<char>(b << 4 | c >> 2);
  return true;
}

void append_base64(std::string_view bytes, std::string& out) {
  size_t at = 0;
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[i]));
  };
  for (; at + 3 <= bytes.size(); at += 3) {
    const uint32_t three = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
    out += kAlphabet[three >> 18];
    out += kAlphabet[three >> 12 & 63];
    out += kAlphabet[three >> 6 & 63];
    out += kAlphabet[three & 63];
  }
  const size_t rest = bytes.size() - at;
  if (rest == 0) return;
  const uint32_t three = byte(at) << 16 | (rest == 2 ? byte(at + 1) << 8 : 0);
  out += kAlphabet[three >> 18];
  out += kAlphabet[three >> 12 & 63];
  out += rest == 2 ? kAlphabet[three >> 6 & 63] : '=';
  out += '=';
}

}  // namespace veredus::mail
