#include "engine/mail/admission_findings.h"

#include <array>

namespace veredus::mail {
namespace {

// In the order of the enumeration.
constexpr std::array<FindingText, kFindings> kTexts = {{
    {"from-missing", "the message has no From",
     "give it one: receivers refuse mail without (RFC 5322 section 3.6)", true},
    {"from-multiple", "there are several authors, or several From fields",
     "one From with one mailbox is what receivers take; several mailboxes want a Sender (RFC 5322 "
     "section 3.6.2)",
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
    {"header-eight-bit",
     "the header has UTF-8 that is not encoded: it goes to hosts with SMTPUTF8 only",
     "encode it (RFC 2047)", false},
    {"mime-version-missing", "there are MIME fields, or bytes over 127, but no MIME-Version",
     "add MIME-Version: 1.0 (RFC 2045 section 4)", true},
    {"mime-syntax", "its MIME structure is not as RFC 2045 and 2046 want it",
     "give a multipart a boundary that its parts stand between, and every part an encoding that "
     "there is",
     true},
    {"charset-missing", "a text has bytes over 127, and no charset is named",
     "name it: Content-Type: text/plain; charset=utf-8 (RFC 2046 section 4.1.2)", true},
    {"line-length", "a line has more than 998 bytes",
     "give the part quoted-printable or base64 (RFC 5321 section 4.5.3.1.6)", true},
    {"bare-cr", "there are line ends of CR alone", "end lines with CRLF (RFC 5321 section 2.3.8)",
     true},
    {"bare-lf", "there are line ends of LF alone", "end lines with CRLF (RFC 5321 section 2.3.8)",
     true},
}};

}  // namespace

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
