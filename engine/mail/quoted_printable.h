#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

inline constexpr size_t kEncodedLineMax =
    76;  // bytes, of quoted-printable and base64 (RFC 2045 §6.7, §6.8)

// Appends `text` as quoted-printable (RFC 2045 §6.7). Line ends stay, as CRLF: bare CR and bare LF
// count as such. Longer lines are cut by soft breaks. `column`: bytes that stand in front of the
// text on its line; kept up, so that a text may be given in pieces. A blank at the end of a piece
// is encoded, for a line end may follow; so is the first of two hyphens that begin a line, for they
// would part the entities around, if a soft break made the line.
void append_quoted_printable(std::string_view text, size_t& column, std::string& out);

// About the bytes that it takes: soft breaks are guessed.
size_t quoted_printable_bytes(std::string_view text);

}  // namespace veredus::mail
