#include "queue/journal_format.h"

#include <cassert>
#include <cstring>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

constexpr char kSegmentMagic[8] = {'V', 'R', 'J', 'S', 'E', 'G', '\r', '\n'};
constexpr uint32_t kGroupMagic = 0x47524a56;  // "VJRG"

// Where the checksums of a group's header begin: the first covers the header behind itself, the
// second header and payload behind itself.
constexpr uint32_t kHeaderSumAt = 4, kGroupSumAt = 8, kGroupSummedFrom = 12;

bool sound(const EpochMark& mark) {
  return mark.epoch > 0 && mark.cut > 0 && mark.first >= mark.cut;
}

void store_place(char* at, const CheckpointPlace& place) {
  store_number(at, place.segment);
  store_number(at + 4, place.offset);
  store_number(at + 8, place.sequence);
  store_number(at + 16, place.events_before);
}

CheckpointPlace load_place(const char* at) {
  return {load_number<uint32_t>(at), load_number<uint32_t>(at + 4), load_number<uint64_t>(at + 8),
          load_number<uint64_t>(at + 16)};
}

}  // namespace

void encode_segment_header(const SegmentHeader& header, std::string& out) {
  out.assign(kSegmentHeaderBytes, '\0');
  char* at = out.data();
  std::memcpy(at, kSegmentMagic, sizeof kSegmentMagic);
  store_number(at + 8, kJournalVersion);
  store_number(at + 16, header.journal);
  store_number(at + 20, header.segment);
  store_number(at + 24, header.mark.epoch);
  store_number(at + 32, header.mark.cut);
  store_number(at + 40, header.mark.first);
  store_number(at + 48, header.first_sequence);
  store_number(at + 56, header.durable_up_to);
  store_number(at + 64, header.events_before);
  store_place(at + 72, header.checkpoint);
  store_place(at + 96, header.checkpoint_before);
  store_number(at + 12, crc32c(out));  // its own four bytes are zero so far
}

absl::Status parse_segment_header(std::string_view bytes, SegmentHeader& header) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return absl::DataLossError("the file ends within the segment header");
  }
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  if (bytes.find_first_not_of('\0') == bytes.npos) {
    return absl::NotFoundError("the segment header was never written");
  }
  const char* at = bytes.data();
  static constexpr char kNoSum[4] = {};
  uint32_t sum = crc32c(bytes.substr(0, 12));
  sum = crc32c(std::string_view(kNoSum, 4), sum);
  sum = crc32c(bytes.substr(16), sum);
  if (std::memcmp(at, kSegmentMagic, sizeof kSegmentMagic) != 0 ||
      load_number<uint32_t>(at + 12) != sum) {
    return absl::DataLossError("the segment header is damaged");
  }
  const uint32_t version = load_number<uint32_t>(at + 8);
  if (version != kJournalVersion) {
    return absl::FailedPreconditionError("is of journal format version " + std::to_string(version) +
                                         ", this program knows version " +
                                         std::to_string(kJournalVersion));
  }
  header.journal = load_number<uint16_t>(at + 16);
  header.segment = load_number<uint32_t>(at + 20);
  header.mark.epoch = load_number<uint32_t>(at + 24);
  header.mark.cut = load_number<uint64_t>(at + 32);
  header.mark.first = load_number<uint64_t>(at + 40);
  header.first_sequence = load_number<uint64_t>(at + 48);
  header.durable_up_to = load_number<uint64_t>(at + 56);
  header.events_before = load_number<uint64_t>(at + 64);
  header.checkpoint = load_place(at + 72);
  header.checkpoint_before = load_place(at + 96);
  if (!sound(header.mark)) return absl::DataLossError("the segment header makes no sense");
  return absl::OkStatus();
}

void seal_group(const GroupHeader& header, std::string& group) {
  assert(group.size() == kGroupHeaderBytes + header.length);
  char* at = group.data();
  std::memset(at, 0, kGroupHeaderBytes);
  store_number(at, kGroupMagic);
  store_number(at + 12, header.journal);
  store_number(at + 16, header.segment);
  store_number(at + 20, header.offset);
  store_number(at + 24, header.mark.epoch);
  store_number(at + 28, header.frames);
  store_number(at + 32, header.sequence);
  store_number(at + 40, header.durable_up_to);
  store_number(at + 48, header.mark.cut);
  store_number(at + 56, header.mark.first);
  store_number(at + 64, header.length);
  store_number(at + 68, header.events);
  const std::string_view all(group);
  store_number(at + kGroupSumAt, crc32c(all.substr(kGroupSummedFrom)));
  store_number(at + kHeaderSumAt, crc32c(all.substr(kGroupSumAt, kGroupHeaderBytes - kGroupSumAt)));
}

bool parse_group_header(std::string_view bytes, uint16_t journal, uint32_t segment, uint32_t offset,
                        GroupHeader& header) {
  if (bytes.size() < kGroupHeaderBytes) return false;
  const char* at = bytes.data();
  if (load_number<uint32_t>(at) != kGroupMagic) return false;
  const std::string_view summed = bytes.substr(kGroupSumAt, kGroupHeaderBytes - kGroupSumAt);
  if (load_number<uint32_t>(at + kHeaderSumAt) != crc32c(summed)) return false;
  header.journal = load_number<uint16_t>(at + 12);
  header.segment = load_number<uint32_t>(at + 16);
  header.offset = load_number<uint32_t>(at + 20);
  header.mark.epoch = load_number<uint32_t>(at + 24);
  header.frames = load_number<uint32_t>(at + 28);
  header.sequence = load_number<uint64_t>(at + 32);
  header.durable_up_to = load_number<uint64_t>(at + 40);
  header.mark.cut = load_number<uint64_t>(at + 48);
  header.mark.first = load_number<uint64_t>(at + 56);
  header.length = load_number<uint32_t>(at + 64);
  header.events = load_number<uint32_t>(at + 68);
  // A file that was used before under another number holds sound groups that are not of this
  // segment.
  return header.journal == journal && header.segment == segment && header.offset == offset &&
         sound(header.mark) && header.sequence >= header.mark.first &&
         header.durable_up_to < header.sequence;
}

GroupState parse_group(std::string_view bytes, uint16_t journal, uint32_t segment, uint32_t offset,
                       GroupHeader& header) {
  if (!parse_group_header(bytes, journal, segment, offset, header)) return GroupState::none;
  if (header.length > bytes.size() - kGroupHeaderBytes) return GroupState::damaged;
  const std::string_view summed =
      bytes.substr(kGroupSummedFrom, kGroupHeaderBytes - kGroupSummedFrom + header.length);
  const bool right = load_number<uint32_t>(bytes.data() + kGroupSumAt) == crc32c(summed);
  return right ? GroupState::valid : GroupState::damaged;
}

uint32_t put_frame(std::string& group, FrameType type, uint32_t length) {
  char raw[kFrameHeaderBytes] = {};
  store_number(raw, static_cast<uint8_t>(type));
  store_number(raw + 4, length);
  group.append(raw, sizeof raw);
  return static_cast<uint32_t>(group.size());
}

void end_frame(std::string& group) {
  group.append(align_up(group.size(), kFrameAlign) - group.size(), '\0');
}

bool read_frame(std::string_view group, uint32_t offset, Frame& frame, uint32_t& next) {
  if (offset > group.size() || group.size() - offset < kFrameHeaderBytes) return false;
  const uint64_t length = load_number<uint32_t>(group.data() + offset + 4);
  const uint64_t begin = uint64_t{offset} + kFrameHeaderBytes;
  const uint64_t end = align_up(begin + length, kFrameAlign);
  if (end > group.size()) return false;
  frame.type = static_cast<FrameType>(group[offset]);
  frame.offset = static_cast<uint32_t>(begin);
  frame.payload = group.substr(begin, length);
  next = static_cast<uint32_t>(end);
  return true;
}

}  // namespace veredus::queue
