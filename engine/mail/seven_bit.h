#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Parts within parts that are looked into.
inline constexpr unsigned kPartDepthMax = 20;
// Parts of one message, messages within it among them: each takes some header lines of its own, and
// with no bound to them what is made would be many times as large as what was given.
inline constexpr unsigned kPartsMax = 1000;

// Makes of a message with bytes over 127 in its body an equivalent one without, for hosts that do
// not offer 8BITMIME (RFC 6152 §3). `clean`: as normalise() leaves it. Appends to `out`.
//
// Parts with such bytes become quoted-printable, or base64 where that is shorter and where they are
// no text (RFC 2045 §6); their Content-Transfer-Encoding is changed or added, MIME-Version where it
// lacks, and a part that does not say what it is is called text/plain in UTF-8 or, if it is none,
// in unknown-8bit (RFC 1428). Parts of multiparts and of message/rfc822 are looked into. UTF-8 in
// parameters and descriptions in the header of a part is encoded, too (see append_ascii_header()).
// All else stays as it is, byte for byte; what is decoded is what was encoded. At most 3 × the
// size of `clean` + 256 KiB.
//
// False, and `why_not` (static) says why: a signature would break (DKIM-Signature, ARC,
// multipart/signed); `binary`; other bytes over 127 in a header, or outside of all parts; structure
// that is not understood; more than kPartsMax parts. `out` may hold a part then.
bool append_seven_bit(std::string_view clean, std::string& out, std::string_view& why_not);

}  // namespace veredus::mail
