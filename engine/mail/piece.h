#pragma once

#include <cstddef>

namespace veredus::mail {

// A run of bytes of a message, owned by somebody else.
struct Piece {
  const char* data;
  size_t size;
};

}  // namespace veredus::mail
