#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace veredus::queue {

// An extent is a run of a batch's recipients in one journal: an extent header, then pages. A page
// is the unit of reading: it carries its own CRC-32C, so that one recipient can be read back
// without its neighbours.
//
//   extent  = version u8, flags u8, 6 reserved, batch number u64, first index u32, count u32, pages
//   … page    = crc32c u32 (of all that follows), length u32 (whole page), first index u32, count
//   u32, entries … entry   = see encode in extent.cc and FORMAT.md
inline constexpr uint32_t kExtentHeaderBytes = 24;
inline constexpr uint32_t kPageHeaderBytes = 16;
inline constexpr uint32_t kExtentRecipientsMax =
    65536;  // span of indexes, so that an ordinal fits 16 bits
inline constexpr uint32_t kPageBytesTarget =
    16384;  // a page is closed at this size; one entry may exceed it

// One recipient, as fed. The views point into the page (reading) or the feeder's line (writing).
struct Entry {
  uint32_t index = 0;
  std::string_view to;
  std::string_view id;  // empty: none
  std::string_view name;
  std::string_view meta_json;
  std::vector<std::pair<std::string_view, std::string_view>> vars;
  // Overrides of the batch line; absent as said.
  std::string_view sender;         // with has_sender
  std::string_view pool;           // empty: none
  int64_t not_before_wall_ns = 0;  // 0: none
  int64_t expires_wall_ns = 0;     // 0: none
  int16_t priority = -1;           // -1: none
  bool has_sender = false;
  bool has_message = false;   // carries its own message instead of the batch's
  uint8_t content_flags = 0;  // of that message
  std::string_view message;   // CRLF-clean, not dot-stuffed
};

// Builds the payload of one extent frame. Entries come in ascending index.
class ExtentWriter {
 public:
  // `bytes_expected`: how much memory to take at once; 0: as it grows.
  ExtentWriter(uint64_t batch, uint32_t first_index, size_t bytes_expected = 0);

  // False when the entry's index is out of this extent's span: finish() and begin a new extent.
  bool add(const Entry& entry);
  uint32_t count() const { return count_; }
  size_t bytes() const { return bytes_.size(); }
  // The finished payload. The writer is spent. `carried`: its recipients lie elsewhere in the
  // journal already, and are moved here.
  std::string finish(bool carried = false);

 private:
  void close_page();
  std::string bytes_;
  std::string entry_;   // scratch
  size_t page_at_ = 0;  // where the open page begins, if page_count_ is not 0
  uint32_t first_index_, last_index_ = 0, count_ = 0, page_first_ = 0, page_count_ = 0;
};

struct ExtentHeader {
  uint64_t batch = 0;
  uint32_t first_index = 0;
  uint32_t count = 0;
  bool carried = false;
};
absl::StatusOr<ExtentHeader> read_extent_header(std::string_view extent);

// Walks the pages of an extent's payload: each call gives the page at `offset` (bytes from the
// start of the extent; begin with kExtentHeaderBytes) with its CRC checked, or an error that names
// the offset.
struct PageView {
  uint32_t offset = 0;  // from the start of the extent
  uint32_t first_index = 0;
  uint32_t count = 0;
  std::string_view bytes;  // whole page
};
absl::StatusOr<PageView> read_page(std::string_view extent, uint32_t offset);
// The length that the page at `offset` states, if it can be: to pass over one that is damaged.
absl::StatusOr<uint32_t> page_length(std::string_view extent, uint32_t offset);
// Checks a page that was read alone (length and CRC).
absl::Status check_page(std::string_view page);

// Decodes the entry at `offset` of a checked page, and where the next one begins (0: it was the
// last).
absl::Status read_entry(std::string_view page, uint32_t offset, Entry& entry,
                        uint32_t& next_offset);
// The same, but only index and address: what the home shard needs when it loads an extent.
absl::Status read_entry_head(std::string_view page, uint32_t offset, Entry& entry,
                             uint32_t& next_offset);

}  // namespace veredus::queue
