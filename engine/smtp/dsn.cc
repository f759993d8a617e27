#include "engine/smtp/dsn.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/mail/hex.h"
#include "engine/mail/utf8.h"
#include "engine/mail/xtext.h"

namespace veredus::smtp {
namespace {

// The seven-bit form of utf-8-addr-xtext (RFC 6533 §3): right whether SMTPUTF8 is offered or not.
void append_utf8_xtext(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const char c = text.front();
    if (mail::is_xchar(c) && c != '\\') {
      out += c;
      text.remove_prefix(1);
      continue;
    }
    const uint32_t point = mail::take_code_point(text);
    out += "\\x{";
    bool begun = false;
    for (int shift = 20; shift >= 0; shift -= 4) {
      const uint32_t digit = point >> shift & 15;
      begun = begun || digit != 0;
      if (begun) out += mail::kHexDigits[digit];
    }
    out += '}';
  }
}

}  // namespace

void append_mail_dsn(const DsnRequest& request, std::string& out) {
  if (request.ret != 0) out += request.ret == kRetFull ? " RET=FULL" : " RET=HDRS";
  if (!request.envid.empty()) mail::append_xtext(request.envid, out += " ENVID=");
}

void append_rcpt_dsn(const DsnRequest& request, std::string_view recipient, std::string& out) {
  if (!request.asked()) return;
  static constexpr std::array<std::pair<uint8_t, std::string_view>, 4> kWords = {
      {{kNotifyNever, "NEVER"},
       {kNotifySuccess, "SUCCESS"},
       {kNotifyFailure, "FAILURE"},
       {kNotifyDelay, "DELAY"}}};
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
