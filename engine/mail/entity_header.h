#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// What the header block of a message, or of a part of one, says of its content (RFC 2045).
struct EntityHeader {
  // "text/plain", in small letters; empty: there is no Content-Type. One without a subtype is
  // text/plain, as RFC 2045 §5.2 would have it read.
  std::string type;
  // Of a multipart, without blanks at its end (RFC 2046 §5.1.1); empty: not said.
  std::string boundary;
  std::string encoding;                         // in small letters; empty: not said
  size_t encoding_begin = 0, encoding_end = 0;  // of its field; end is 0: there is none
  bool mime_version = false;
  bool charset = false;      // Content-Type names one: its first charset= counts
  std::string charset_name;  // … this, in small letters
  bool us_ascii() const {
    return charset_name == "us-ascii";
  }  // has no bytes over 127 (RFC 2046 §4.1.2)
  // Of what stands behind the first charset=, quotes included; end is 0: there is none.
  size_t charset_begin = 0, charset_end = 0;
  bool signature = false;  // DKIM-Signature, or those of ARC: the content must stay as it is
};

// Reads a header block without bytes over 127, or a part of one: what is given may end anywhere.
// Forgiving where readers agree on what is meant. False: it is no header, or says something twice.
bool read_entity_header(std::string_view block, EntityHeader& header);

// Appends the header block of a part with its UTF-8 encoded: parameters of Content-Type and
// Content-Disposition by RFC 2231 §4, Content-Description as encoded words (RFC 2047). Other fields
// stay as they are. False: bytes over 127 are left, or are no UTF-8, or a line would become too
// long; `out` may hold a part then.
bool append_ascii_header(std::string_view block, std::string& out);

// Appends what stands behind the name of a parameter whose UTF-8 value is encoded, *= among it (RFC
// 2231 §4, §7).
void append_extended_value(std::string_view text, std::string& out);

}  // namespace veredus::mail
