#include "engine/smtp/dsn.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/mail/xtext.h"

namespace veredus::smtp {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEF";

// The code point at the front of `text`, which is taken off it. A byte that begins no UTF-8 stands
// for itself: the door has looked.
uint32_t take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  if (length == 1 || length > text.size()) {
    text.remove_prefix(1);
    return first;
  }
  uint32_t point = first & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i)
    point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  text.remove_prefix(length);
  return point;
}

// The seven-bit form of utf-8-addr-xtext (RFC 6533 §3): right whether SMTPUTF8 is offered or not.
void append_utf8_xtext(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const char c = text.front();
    if (mail::is_xchar(c) && c != '\\') {
      out += c;
      text.remove_prefix(1);
      continue;
    }
    const uint32_t point = take_code_point(text);
    out += "\\x{";
    bool begun = false;
    for (int shift = 20; shift >= 0; shift -= 4) {
      const uint32_t digit = point >> shift & 15;
      begun = begun || digit != 0;
      if (begun) out += kDigits[digit];
    }
    out += '}';
  }
}

}  // namespace

void append_mail_dsn(const DsnRequest& request, std::string& out) {
  if (request.ret != 0) out += request.ret == 1 ? " RET=FULL" : " RET=HDRS";
  if (!request.envid.empty()) mail::append_xtext(request.envid, out += " ENVID=");
}

void append_rcpt_dsn(const DsnRequest& request, std::string_view recipient, std::string& out) {
  if (!request.asked()) return;
  static constexpr std::array<std::pair<uint8_t, std::string_view>, 4> kWords = {
      {{1, "NEVER"}, {2, "SUCCESS"}, {4, "FAILURE"}, {8, "DELAY"}}};
  std::string_view before = " NOTIFY=";
  for (const auto& [bit, word] : kWords) {
    if ((request.notify & bit) == 0) continue;
    out.append(before).append(word);
    before = ",";
  }
  const size_t begin = out.size();
  out += " ORCPT=";
  const size_t value = out.size();
  const bool ascii = std::all_of(recipient.begin(), recipient.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 128; });
  out += ascii ? "rfc822;" : "utf-8;";
  ascii ? mail::append_xtext(recipient, out) : append_utf8_xtext(recipient, out);
  if (out.size() - value > kOrcptBytesMax) out.resize(begin);
}

}  // namespace veredus::smtp
