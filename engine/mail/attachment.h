#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

inline constexpr size_t kAttachmentNameMax = 255;  // bytes; also of types and cids

// A file in a message that is made from parts. All is UTF-8; nothing in it is merged.
struct Attachment {
  std::string_view name;    // of the file; empty: it has none
  std::string_view type;    // "image/png", with parameters or without; empty: octet-stream
  std::string_view base64;  // what is in it (RFC 4648 §4, padded, no line ends)
  std::string_view cid;     // by which HTML shows it as <img src="cid:…">, without <>
};

// What is wrong with it, but for its content: "the name has a line end". Empty: nothing. With
// `merge`, {{ is refused: it would be a tag.
std::string attachment_fault(const Attachment& attachment, bool merge);

// Appends the part: header, empty line, content in lines of 76 bytes, without a line end behind the
// last. Without attachment_fault(). `shown`: within the message, not beside it (RFC 2183 §2.1).
// False: it is no base64 from byte `fault` on, from 0; `out` holds a part then.
bool append_attachment(const Attachment& attachment, bool shown, std::string& out, size_t& fault);

}  // namespace veredus::mail
