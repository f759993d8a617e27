#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace veredus::mail {

// Where in a message a {{…}} stands, and so how a value goes in there.
enum class MergeContext : uint8_t {
  envelope,          // in a reverse-path: as it is
  text,              // the text of an unstructured header field
  phrase,            // a display name in front of <…>
  address,           // a mailbox in <…>, the brackets included, or a bare one
  list_id,           // the identifier of List-ID
  message_id,        // a Message-ID, brackets and all
  message_id_part,   // within <…> of a Message-ID
  uri,               // within <…> of a List- field
  parameter,         // Content-Type and Content-Disposition, outside of quotes
  quoted_parameter,  // … within them
  verbatim,          // elsewhere in the header
  body,              // a part that is no HTML, or between parts
  html,              // a part that is HTML or another kind of XML
  body_quoted,       // the same two under quoted-printable
  html_quoted,
};
inline bool is_body(MergeContext context) {
  return context >= MergeContext::body;
}
inline bool is_quoted(MergeContext context) {
  return context >= MergeContext::body_quoted;
}
inline bool is_html(MergeContext context) {
  return context == MergeContext::html || context == MergeContext::html_quoted;
}

// A run of a message in which all {{…}} are of one context. Sections do not reach out of it.
struct MergeRegion {
  size_t begin = 0, end = 0;
  MergeContext context = MergeContext::body;
  bool of_message = false;  // in the message's own header, not in that of a part
  std::string_view fault;   // not empty: no {{…}} can stand here, and why (static)
  // Of a header field that must say something, and has nothing but variables to say it: where its
  // name stands. Regions of one field have one.
  size_t name = 0, name_size = 0;
  std::string charset;  // of a body that says another one than UTF-8, in small letters
};

struct MergeRegions {
  std::vector<MergeRegion> regions;     // ascending; those that have {{ in them, no others
  std::vector<std::string> delimiters;  // "--" and a boundary of a multipart, each once
  size_t header_bytes = 0;              // of the message's own header
};

// Whether some part of a message is encoded, in base64 or quoted-printable; what is not understood
// is none. `at`: where the field stands that says so, of the first.
bool find_encoded_part(std::string_view clean, size_t& at);

// Walks the header block and the parts (RFC 2045, RFC 2046) of clean bytes, as normalise() leaves
// them. Every {{ in them is in one of the regions. Parts are looked into up to kPartDepthMax deep,
// kPartsMax of them (seven_bit.h): beyond, and where a structure is not understood, the region says
// so.
void find_merge_regions(std::string_view clean, MergeRegions& out);

}  // namespace veredus::mail
