#include "engine/mail/entity_walk.h"

#include <cstring>
#include <string>

#include "engine/mail/content.h"
#include "engine/mail/seven_bit.h"

namespace veredus::mail {
namespace {

// Types that somebody else's signature or encryption goes over all of (RFC 1847 §2, RFC 8551 §3.2).
bool seals(std::string_view type) {
  return type == "multipart/signed" || type == "multipart/encrypted" ||
         type == "application/pkcs7-mime" || type == "application/x-pkcs7-mime";
}

// As text.find(), but in steps of what is looked for: boundaries are long, and so are bodies.
size_t find_in(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* const found =
      memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

class Walk {
 public:
  explicit Walk(const std::function<bool(const Leaf&)>& visit) : visit_(visit) {}

  bool entity(std::string_view text, unsigned depth, bool of_digest, bool sealed) {
    if (depth > kPartDepthMax || (depth > 0 && ++parts_ > kPartsMax)) return false;
    Leaf leaf;
    const size_t end = header_end(text);
    leaf.header = text.substr(0, end);
    leaf.body = text.substr(end);
    if (leaf.body.starts_with("\r\n")) leaf.body.remove_prefix(2);
    leaf.message = depth == 0;
    if (!read_entity_header(leaf.header, leaf.fields)) return false;
    if (leaf.fields.type.empty() && of_digest) leaf.fields.type = "message/rfc822";
    leaf.sealed = sealed || seals(leaf.fields.type);
    return leaf.fields.type.starts_with("multipart/") ? multipart(leaf, depth) : visit_(leaf);
  }

  // RFC 2046 §5.1.1: the line end in front of a delimiter belongs to it. One that does not close
  // ends with what it stands in (§5.1.2): `body` goes so far and no further.
  bool multipart(const Leaf& entire, unsigned depth) {
    const std::string_view body = entire.body;
    const std::string delimiter = "--" + entire.fields.boundary;
    const bool digest = entire.fields.type == "multipart/digest";
    if (entire.fields.boundary.empty()) return false;
    size_t part = std::string_view::npos;  // where the open one begins
    for (size_t at = 0; (at = find_in(body, delimiter, at)) != std::string_view::npos;) {
      size_t end = body.find('\n', at);
      end = end == std::string_view::npos ? body.size() : end + 1;
      std::string_view line = body.substr(at, end - at);
      line = line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
      const bool closes = line.size() == delimiter.size() + 2 && line.ends_with("--");
      if ((at == 0 || body[at - 1] == '\n') && (closes || line.size() == delimiter.size())) {
        if (part != std::string_view::npos && at != part &&
            !entity(body.substr(part, at - 2 - part), depth + 1, digest, entire.sealed))
          return false;
        if (closes) return part != std::string_view::npos;
        part = end;
      }
      at = end;
    }
    return part != std::string_view::npos &&
           entity(body.substr(part), depth + 1, digest, entire.sealed);
  }

 private:
  const std::function<bool(const Leaf&)>& visit_;
  unsigned parts_ = 0;
};

}  // namespace

bool walk_leaves(std::string_view clean, const std::function<bool(const Leaf&)>& visit) {
  return Walk(visit).entity(clean, 0, false, false);
}

bool walk_parts(const Leaf& entire, const std::function<bool(const Leaf&)>& visit) {
  return Walk(visit).multipart(entire, 0);
}

}  // namespace veredus::mail
