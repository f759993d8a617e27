#pragma once

#include <functional>
#include <string_view>

#include "engine/mail/entity_header.h"

namespace veredus::mail {

// A part that holds no others, or a message that is no multipart. The views point into the message.
struct Leaf {
  std::string_view header;  // its block, without the empty line
  std::string_view body;    // without the line end that belongs to the delimiter behind it
  EntityHeader fields;
  bool message = false;  // the header is that of the message itself
  // Somebody signed it or encrypted it (RFC 1847, RFC 8551), or what it stands in: changes would
  // break that.
  bool sealed = false;
};

// Visits the leaves of a message (RFC 2046 §5.1), as normalise() leaves it, in their order;
// messages within it are leaves, too. False: `visit` said so; a header or a multipart is not
// understood; more than kPartsMax parts, or deeper ones than kPartDepthMax (seven_bit.h).
bool walk_leaves(std::string_view clean, const std::function<bool(const Leaf&)>& visit);
// Those of a message whose header is read already: `entire` is all of it, a multipart.
bool walk_parts(const Leaf& entire, const std::function<bool(const Leaf&)>& visit);

}  // namespace veredus::mail
