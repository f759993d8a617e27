#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::mail {

// How a text part is written (RFC 2045 §6).
enum class TextEncoding : uint8_t {
  seven_bit,
  eight_bit,         // not all is ASCII, or values of variables, which may be anything, come in
  quoted_printable,  // a line is longer than may be sent, or would leave values no room; or values
                     // come in as they are, which may be whole blocks with lines of any length
};
std::string_view name_of(TextEncoding encoding);  // as in Content-Transfer-Encoding

// Longest line that stays as it is in a text with tags of merge, in bytes: values get the rest.
inline constexpr size_t kLineWithTagsMax = 500;

// `merge`: whether {{…}} are tags.
TextEncoding text_encoding(std::string_view text, bool merge);

// Bytes that append_text() appends at least: only soft breaks are not counted.
size_t text_bytes_least(std::string_view text, bool merge, TextEncoding encoding);

// Appends a text whose lines end with CRLF, CR or LF, with CRLF: as it is, or as quoted-printable.
// Tags stand in quoted-printable as they are, never cut, and what is between them is encoded as if
// it began a line, for only rendering knows what stands in front of it; so, too, a line with
// several may have more than 76 bytes, but 998 at most. Tags are closed, and have kTagBytesMax at
// most.
void append_text(std::string_view text, bool merge, TextEncoding encoding, std::string& out);

}  // namespace veredus::mail
