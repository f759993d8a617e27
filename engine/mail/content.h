#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "queue/batch.h"

namespace veredus::mail {

// Text lines have at most 998 bytes before their CRLF (RFC 5321 §4.5.3.1.6).
inline constexpr size_t kLineBytesMax = 998;

// Whose work the MIME structure of a message is: the feeder's, or that of build_message().
enum class ContentOrigin : uint8_t { fed, built };

// What is wrong with a message, and where in the bytes that were given.
struct ContentError {
  uint64_t line = 0;                  // from 1
  uint64_t offset = 0;                // from 0
  std::string_view status = "5.6.0";  // static
  std::string reason;                 // names the line
};

struct Normalised {
  std::string_view bytes;  // clean: the input itself if it was, else `scratch`
  std::string scratch;
  uint8_t flags = 0;          // queue::ContentFlags
  uint32_t header_bytes = 0;  // of the header block, the empty line not included
};

// Makes a message fit to be stored and sent: every line ends with CRLF, the last one too; bare CR
// and bare LF become CRLF (so that no server sees an end of data where there is none); NUL, lines
// over 998 bytes, a bare CR in the header, bytes over 127 in the header that are no UTF-8 (RFC 6532
// §3) and a header block that is none are refused (5.6.0). Clean input costs one pass and no copy.
// With `merge`, {{…}} is to be replaced later: refused (5.6.0) for messages that carry a DKIM
// signature, and, unless they were built here, for base64 or quoted-printable parts: where lines
// may be cut, a tag may be, too. UTF-8 that merging encodes (in the text of a field with {{…}}, see
// header_groups.h) does not count as UTF-8 in the header.
// False: `error` says why.
bool normalise(std::string_view raw, bool merge, Normalised& out, ContentError& error,
               ContentOrigin origin = ContentOrigin::fed);

// Whether no CR in the header of bytes as they were given lacks its LF. One is no line end to most
// readers, and one to some: made CRLF, what stands behind it would become a field of its own. The
// header ends at the first empty line; LF ends lines, with a CR in front of it or without. False:
// `error` names the line.
bool check_header_line_ends(std::string_view raw, ContentError& error);

// Makes line ends CRLF, the last one too, and nothing else of it. `out` is overwritten.
void make_clean(std::string_view raw, std::string& out);

// Offset of the end of the header block in clean bytes: of the empty line that ends it, or their
// size.
size_t header_end(std::string_view clean);

// Puts a '.' in front of every line that starts with one (RFC 5321 §4.5.2). `line_start`: whether
// the text begins a line.
void append_dot_stuffed(std::string_view clean, bool line_start, std::string& out);

// Appends what `text` encodes. Strict (RFC 4648 §3): the standard alphabet, padding, no white
// space, no stray bits. False: `fault` is the offset of what is wrong; `out` may hold a part.
bool append_base64_decoded(std::string_view text, std::string& out, size_t& fault);
void append_base64(std::string_view bytes, std::string& out);

}  // namespace veredus::mail
