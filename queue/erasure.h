#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace veredus::queue {

// What is left to do of requests to forget an address: the segments of a journal that hold it, of
// recipients who are settled by now, and that must be gone by then. The address itself is not
// written anywhere again.
struct Erasure {
  int64_t due_wall_ns = 0;
  std::vector<uint32_t> segments;  // ascending
  bool operator==(const Erasure&) const = default;
};

// Payload of an `erasure` frame, and what the checkpoint's part of it holds.
void encode_erasure(const Erasure& erasure, std::string& out);  // replaces what `out` held
absl::StatusOr<Erasure> decode_erasure(std::string_view bytes);

}  // namespace veredus::queue
