#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "queue/journal.h"

// The bytes of a segment file, as FORMAT.md describes them: headers, groups and frames in and out
// of memory. No I/O.
namespace veredus::queue {

inline constexpr uint32_t kJournalVersion = 4;
inline constexpr uint32_t kSegmentHeaderBytes = 4096;
inline constexpr uint32_t kGroupAlign = 512;  // no sector holds bytes of two groups
inline constexpr uint32_t kGroupHeaderBytes = 72;
inline constexpr uint32_t kFrameHeaderBytes = 8;
inline constexpr uint32_t kFrameAlign = 8;

constexpr uint64_t align_up(uint64_t bytes, uint64_t to) {
  return (bytes + to - 1) / to * to;
}

// What a new epoch says about the groups of older ones: those with sequence ≥ cut are void. Its own
// begin at `first`; between the two nothing is missing.
struct EpochMark {
  uint32_t epoch = 0;
  uint64_t cut = 1;
  uint64_t first = 1;  // ≥ cut
  bool operator==(const EpochMark&) const = default;
};

struct SegmentHeader {
  uint16_t journal = 0;
  uint32_t segment = 0;
  EpochMark mark;               // of all groups in this segment
  uint64_t first_sequence = 0;  // of the first group here
  uint64_t durable_up_to = 0;   // known when it was written
  uint64_t events_before = 0;   // in all groups before the first one here
  // Complete and durable when it was written: the last one, and the one before it.
  CheckpointPlace checkpoint, checkpoint_before;
};
// Exactly kSegmentHeaderBytes into `out`.
void encode_segment_header(const SegmentHeader& header, std::string& out);
// NotFound: all zero, never written. DataLoss: damaged. FailedPrecondition: a newer format version;
// the message names both versions, the caller adds the file.
absl::Status parse_segment_header(std::string_view bytes, SegmentHeader& header);

struct GroupHeader {
  uint16_t journal = 0;
  uint32_t segment = 0;
  uint32_t offset = 0;  // of the group in the segment
  EpochMark mark;
  uint64_t sequence = 0;
  uint64_t durable_up_to = 0;  // highest sequence known durable when the group was written
  uint32_t length = 0;  // of the payload: frames, without the header and the filling at the end
  uint32_t frames = 0;
  uint32_t events = 0;  // in its frames: outcomes, recipients of commits, and orders
};
// Writes the header into the first kGroupHeaderBytes of `group`, which holds the payload behind it.
void seal_group(const GroupHeader& header, std::string& group);

enum class GroupState : uint8_t {
  valid,
  damaged,  // the header is sound, so the length is; the payload is not what was written
  none,  // no header of this segment and place: never written, torn, damaged, or of an older use of
         // the file
};
// Looks for a group at `offset` of a segment, of which `bytes` holds the part from there on (all of
// the group, or to the end of the file).
GroupState parse_group(std::string_view bytes, uint16_t journal, uint32_t segment, uint32_t offset,
                       GroupHeader& header);
// The header alone: true when `bytes` begins with a sound one of this segment and place.
bool parse_group_header(std::string_view bytes, uint16_t journal, uint32_t segment, uint32_t offset,
                        GroupHeader& header);

// From the beginning of one group to where the next may begin.
constexpr uint64_t group_extent(const GroupHeader& header) {
  return align_up(uint64_t{kGroupHeaderBytes} + header.length, kGroupAlign);
}

struct Frame {
  FrameType type = FrameType::batch;
  uint32_t offset = 0;  // of the payload, from the start of the group
  std::string_view payload;
};
// Appends a frame to a group in memory; gives the payload's offset from the start of the group.
uint32_t put_frame(std::string& group, FrameType type, uint32_t length);
void end_frame(std::string& group);
// The frame at `offset` of a group (begin with kGroupHeaderBytes), and where the next one is. False
// when the bytes are no frame: in a group with a right checksum that is a bug or a forgery.
bool read_frame(std::string_view group, uint32_t offset, Frame& frame, uint32_t& next);

}  // namespace veredus::queue
