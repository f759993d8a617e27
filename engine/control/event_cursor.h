#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace veredus::control {

// A frame's place in a journal. {0, 0, 0}: before the oldest.
struct FramePlace {
  uint32_t segment = 0;
  uint32_t offset = 0;  // of the group
  uint32_t frame = 0;   // number in the group
  auto operator<=>(const FramePlace&) const = default;
};

// How far a reader of events has come in one stream (a journal).
struct StreamCursor {
  FramePlace next;      // the frame to look at next
  uint32_t within = 0;  // events of that frame that were given already
  uint64_t seq =
      0;  // of the last event given: the number of events from the journal's beginning to here
  // Where the recipients of batches lie whose commit has not been given yet: the oldest such frame
  // before `next`; equal to `next` when there is none. Looked through again when the reader goes
  // on.
  FramePlace back;
  bool operator==(const StreamCursor&) const = default;
};

// All streams, and the numbers (ascending) of the batches that `back` is about.
struct EventCursor {
  std::vector<StreamCursor> streams;
  std::vector<uint64_t> pending;
  bool operator==(const EventCursor&) const = default;
};

inline constexpr size_t kCursorStreamsMax = 4096;
inline constexpr size_t kCursorPendingMax = 4096;

// Opaque to everybody else: base64url without padding, of a versioned binary with a check sum.
std::string encode_cursor(const EventCursor& cursor);
absl::StatusOr<EventCursor> decode_cursor(std::string_view text);

}  // namespace veredus::control
