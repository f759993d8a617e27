#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace veredus::queue {

// A reader of events that says how far it has come, so that its events are kept until then. Where
// it is, only its owner understands. They lie in the first journal of a spool.
struct Consumer {
  std::string name;
  std::string cursor;  // empty: it is gone
  int64_t acked_wall_ns = 0;
  bool operator==(const Consumer&) const = default;
};
inline constexpr uint16_t kConsumersJournal = 0;

// Payload of a `consumer` frame, and what the checkpoint's part of it holds.
void encode_consumer(const Consumer& consumer, std::string& out);  // replaces what `out` held
absl::StatusOr<Consumer> decode_consumer(std::string_view bytes);

}  // namespace veredus::queue
