#include "engine/mail/admission_findings.h"

#include <algorithm>
#include <array>

#include "engine/mail/hex.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

// In the order of the enumeration.
constexpr std::array<FindingText, kFindings> kTexts = {{
    {"from-missing", "the message has no From",
     "give it one: receivers refuse mail without (RFC 5322 section 3.6)", true},
    {"from-multiple", "there are several authors, or several From fields",
     "one From with one mailbox is what receivers take; several mailboxes want a Sender (RFC 5322 "
     "section 3.6.2) and one domain (RFC 7489 section 6.6.1)",
     true},
    {"from-syntax", "From is no mailbox at a full domain name",
     "write it as Name <local@domain.example> (RFC 5322 section 3.4)", true},
    {"address-syntax", "an address field is no list of mailboxes",
     "write mailboxes as Name <local@domain.example>, with commas between them (RFC 5322 section "
     "3.4)",
     true},
    {"dkim-missing", "no DKIM signature will be on it",
     "configure a signing identity for the domain of From, or sign before feeding (RFC 6376)",
     false},
    {"dkim-alignment", "it is signed, but by no domain that is aligned with that of From",
     "sign with the organizational domain of From, or a domain under it (RFC 7489 section 3.1.1)",
     false},
    {"signature-breaks",
     "the engine adds what the message lacks, and the signature that it has covers as lacking",
     "give it Date and Message-ID before it is signed, or leave out of h= what it lacks (RFC 6376 "
     "section 5.4.2)",
     false},
    {"unsubscribe-missing", "there is no List-Unsubscribe",
     "give bulk mail List-Unsubscribe and List-Unsubscribe-Post (RFC 8058); for other mail put the "
     "name into admission_ignore",
     false},
    {"unsubscribe-one-click", "one cannot unsubscribe with one click",
     "give List-Unsubscribe an https URI, and List-Unsubscribe-Post: List-Unsubscribe=One-Click "
     "(RFC 8058 section 3.1)",
     false},
    {"unsubscribe-unsigned", "no signature covers List-Unsubscribe and List-Unsubscribe-Post",
     "sign both fields (RFC 8058 section 4)", false},
    {"feedback-id-missing", "there is no Feedback-ID",
     "give it one, so that Gmail tells complaints apart: campaign:customer:kind:sender", false},
    {"feedback-id-syntax",
     "Feedback-ID is not one to four fields with colons between, the last not empty",
     "write it as campaign:customer:kind:sender, without blanks", false},
    {"date-missing", "there is no Date",
     "give it one, or leave it to the engine, which adds it (RFC 5322 section 3.6.1)", true},
    {"date-syntax", "Date is no date",
     "write it as Tue, 24 Nov 2026 00:28:29 +0000 (RFC 5322 section 3.3)", true},
    {"message-id-missing", "there is no Message-ID",
     "give it one, or leave it to the engine, which adds it (RFC 5322 section 3.6.4)", true},
    {"message-id-syntax", "Message-ID is no <left@right>",
     "write it as <unique@domain.example> (RFC 5322 section 3.6.4)", true},
    {"header-syntax", "the header is not as RFC 5322 wants it",
     "let each field stand once (section 3.6), its colon right behind its name, and no line of "
     "blanks within it",
     true},
    {"return-path", "it has a Return-Path, which the last host adds",
     "leave it out: the reverse-path is the batch's sender (RFC 5321 section 4.4)", true},
    {"header-eight-bit",
     "the header has UTF-8 that is not encoded: it goes to hosts with SMTPUTF8 only",
     "encode it (RFC 2047)", false},
    {"mime-version-missing",
     "there are MIME fields, bytes over 127, or variables that may bring them, but no MIME-Version",
     "add MIME-Version: 1.0 (RFC 2045 section 4)", true},
    {"mime-syntax", "its MIME structure is not as RFC 2045 and 2046 want it",
     "give a multipart a boundary that its parts stand between, and every part an encoding that "
     "there is",
     true},
    {"charset-missing",
     "a text has bytes over 127, or variables that may bring them, and names no charset for them",
     "name it: Content-Type: text/plain; charset=utf-8 (RFC 2046 section 4.1.2)", true},
    {"eight-bit-encoding", "a part has bytes over 127 that its encoding does not have",
     "say Content-Transfer-Encoding: 8bit, or encode them (RFC 2045 section 6.2)", true},
    {"line-length", "a line has more than 998 bytes",
     "give the part quoted-printable or base64 (RFC 5321 section 4.5.3.1.6)", true},
    {"bare-cr", "there are line ends of CR alone", "end lines with CRLF (RFC 5321 section 2.3.8)",
     true},
    {"bare-lf", "there are line ends of LF alone", "end lines with CRLF (RFC 5321 section 2.3.8)",
     true},
}};

// One that may be shown: no control, C1's among them.
bool is_shown(std::string_view text, size_t length) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (length == 1) return first >= 32 && first < 127;
  return first != 0xC2 || static_cast<unsigned char>(text[1]) >= 0xA0;
}

}  // namespace

std::string detail_of(std::string_view text) {
  std::string detail;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(utf8_length(text.substr(0, 4)), 1);
    const bool shown = is_shown(text, length);
    if (detail.size() + (shown ? length : 4 * length) > kDetailBytesMax) return detail += "…";
    for (const char c : text.substr(0, length)) {
      if (shown) {
        detail += c;
      } else {
        append_hex_byte(c, detail += "\\x");
      }
    }
    text.remove_prefix(length);
  }
  return detail;
}

const FindingText& text_of(Finding finding) {
  return kTexts[static_cast<size_t>(finding)];
}

std::optional<Finding> finding_named(std::string_view name) {
  for (size_t i = 0; i < kFindings; ++i) {
    if (kTexts[i].name == name) return static_cast<Finding>(i);
  }
  return std::nullopt;
}

}  // namespace veredus::mail
