#include "engine/mail/seven_bit.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/idn.h"
#include "engine/mail/quoted_printable.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

// Without a line end behind the last line.
void append_base64_lines(std::string_view bytes, std::string& out) {
  constexpr size_t kBytesOfLine = kEncodedLineMax / 4 * 3;
  for (bool first = true; !bytes.empty(); first = false) {
    if (!first) out += "\r\n";
    append_base64(bytes.substr(0, kBytesOfLine), out);
    bytes.remove_prefix(std::min(kBytesOfLine, bytes.size()));
  }
}

size_t base64_bytes(std::string_view bytes) {
  const size_t digits = (bytes.size() + 2) / 3 * 4;
  return digits + digits / kEncodedLineMax * 2;
}

class Recoder {
 public:
  explicit Recoder(std::string& out) : out_(out) {}
  std::string_view why_not;

  // Header, empty line, body. `of_digest`: what does not say what it is is a message.
  bool entity(std::string_view text, unsigned depth, bool message, bool of_digest) {
    if (depth > 0 && ++parts_ > kPartsMax) return fail("it has too many parts");
    const size_t end = header_end(text);
    std::string_view block = text.substr(0, end);
    const std::string_view rest = text.substr(end);
    std::string made;
    if (has_high(block)) {
      if (message || !append_ascii_header(block, made)) return fail("a header has bytes over 127");
      block = made;
    }
    EntityHeader header;
    const bool understood = read_entity_header(block, header);
    if (!has_high(rest)) {
      // Under a 7bit multipart nothing may be called more (RFC 2045 §6.4).
      const bool whole = block.ends_with("\r\n");  // else it is all of a part without a body
      const bool overstated = understood && whole && wants_eight_bits(header.encoding);
      put_header(block, header, overstated ? "7bit" : "", false);
      out_ += rest;
      return true;
    }
    if (!understood) return fail("a header is not understood");
    if (depth == 0 && header.signature) return fail("its DKIM signature would break");
    if (depth > kPartDepthMax) return fail("parts are nested too deep");
    if (header.encoding == "binary") return fail("a part is called binary");
    if (!header.encoding.empty() && header.encoding != "7bit" && header.encoding != "8bit")
      return fail("a part has bytes over 127 under an encoding without");
    const std::string_view body = rest.substr(rest.starts_with("\r\n") ? 2 : 0);
    if (header.type.empty() && of_digest) header.type = "message/rfc822";
    const std::string_view type = header.type;
    if (type.starts_with("multipart/") || type == "message/rfc822") {
      put_header(block, header, header.encoding == "8bit" ? "7bit" : "", message);
      out_ += "\r\n";
      if (type == "message/rfc822") return entity(body, depth + 1, true, false);
      if (type == "multipart/signed") return fail("a part is signed");
      return multipart(body, header, depth);
    }
    // These may be encoded (RFC 6532 §3.7, RFC 6533 §4 to §6), all others not (RFC 2046 §5.2).
    if (type.starts_with("message/") && !type.starts_with("message/global"))
      return fail("a part of type message/… cannot be encoded");
    return leaf(block, header, body, message);
  }

 private:
  static bool wants_eight_bits(std::string_view encoding) {
    return encoding == "8bit" || encoding == "binary";
  }
  bool fail(std::string_view why) {
    why_not = why;
    return false;
  }

  // With another encoding, unless that is empty.
  void put_header(std::string_view block, const EntityHeader& header, std::string_view encoding,
                  bool message) {
    const auto put_encoding = [&] {
      ((out_ += "Content-Transfer-Encoding: ") += encoding) += "\r\n";
    };
    if (encoding.empty()) {
      out_ += block;
    } else {
      out_ += block.substr(0, header.encoding_begin);
      if (header.encoding_end != 0) put_encoding();
      out_ += block.substr(header.encoding_end);
    }
    if (message && !header.mime_version) out_ += "MIME-Version: 1.0\r\n";
    if (!encoding.empty() && header.encoding_end == 0) put_encoding();
  }

  bool leaf(std::string_view block, const EntityHeader& header, std::string_view body,
            bool message) {
    const bool text = header.type.empty() || header.type.starts_with("text/");
    const bool quoted = text && quoted_printable_bytes(body) <= base64_bytes(body);
    put_header(block, header, quoted ? "quoted-printable" : "base64", message);
    if (header.type.empty()) {
      out_ += "Content-Type: text/plain; charset=";
      out_ += is_utf8(body) ? "utf-8\r\n" : "unknown-8bit\r\n";
    }
    out_ += "\r\n";
    size_t column = 0;
    quoted ? append_quoted_printable(body, column, out_) : append_base64_lines(body, out_);
    return true;
  }

  // RFC 2046 §5.1.1: the line end in front of a delimiter belongs to it. One that does not close
  // ends with what it stands in (§5.1.2): `body` goes so far and no further.
  bool multipart(std::string_view body, const EntityHeader& header, unsigned depth) {
    if (header.boundary.empty()) return fail("a multipart has no boundary");
    const std::string delimiter = "--" + header.boundary;
    const bool digest = header.type == "multipart/digest";
    size_t part = std::string_view::npos;  // where the open one begins
    for (size_t at = 0; at < body.size();) {
      size_t end = body.find('\n', at);
      end = end == std::string_view::npos ? body.size() : end + 1;
      std::string_view line = body.substr(at, end - at);
      line = line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
      const bool closes = line.size() == delimiter.size() + 2 && line.ends_with("--");
      if (line.starts_with(delimiter) && (line.size() == delimiter.size() || closes)) {
        if (part == std::string_view::npos) {
          if (!verbatim(body.substr(0, at))) return false;
        } else if (at != part) {
          if (!entity(body.substr(part, at - 2 - part), depth + 1, false, digest)) return false;
          out_ += "\r\n";
        }
        out_ += body.substr(at, end - at);
        if (closes)
          return part == std::string_view::npos ? fail("a multipart has no parts")
                                                : verbatim(body.substr(end));
        part = end;
      }
      at = end;
    }
    if (part == std::string_view::npos) return fail("a multipart has no parts");
    return entity(body.substr(part), depth + 1, false, digest);
  }

  bool verbatim(std::string_view text) {
    out_ += text;
    return !has_high(text) || fail("there are bytes over 127 outside of all parts");
  }

  std::string& out_;
  unsigned parts_ = 0;
};

}  // namespace

bool append_seven_bit(std::string_view clean, std::string& out, std::string_view& why_not) {
  const size_t begin = out.size();
  Recoder recoder(out);
  const bool made = recoder.entity(clean, 0, true, false);
  why_not = recoder.why_not;
  if (made && out.size() != begin && !out.ends_with("\r\n")) out += "\r\n";
  return made;
}

}  // namespace veredus::mail
