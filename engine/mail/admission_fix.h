#pragma once

#include <string>
#include <string_view>

#include "engine/mail/admission_findings.h"

namespace veredus::mail {

struct FixSettings {
  std::string_view feedback_id = {};  // value of a Feedback-ID where one lacks; empty: none is made
  bool merge = false;                 // {{…}} is replaced later, by values in UTF-8
};

// Mends what can be mended of a message (as normalise() leaves it) for which `found` was found:
// adds MIME-Version and Feedback-ID; names utf-8 as the charset of texts that are UTF-8, and 8bit
// as the encoding of parts with bytes over 127. That one can unsubscribe with one click only the
// feeder knows: List-Unsubscribe-Post is not added. Appends to `out`. False: nothing of it
// can be, and `out` is as it was; so, too, of a message that is signed already (DKIM, ARC), which
// changes would break. Parts that are signed or encrypted by themselves (multipart/signed,
// multipart/encrypted, application/pkcs7-mime) stay as they are. What was mended shows when the
// result is checked again.
bool fix_message(std::string_view clean, Findings found, const FixSettings& settings,
                 std::string& out);

// Gives parts with lines of more than 998 bytes an encoding that has none: texts quoted-printable,
// others base64; base64 that was not cut into lines is. `clean`: as normalise() would leave it, but
// for the length of its lines. With `name_charsets` utf-8 is named as the charset of such texts
// that are UTF-8, for once they are encoded no check sees that none is named. Appends to `out`;
// `mended` has line_length then, and charset_missing where one was named. False: signed; a part
// that is quoted-printable, binary, a message, signed or encrypted has such lines; structure that
// is not understood. Long lines outside of parts' bodies stay.
bool shorten_lines(std::string_view clean, bool name_charsets, std::string& out, Findings& mended);

}  // namespace veredus::mail
