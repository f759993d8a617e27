#include "queue/extent.h"

#include <cassert>
#include <string>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

constexpr uint8_t kExtentVersion = 1;
constexpr char kExtentCarried = 1;  // flag

// What an entry has besides index and address, in the order in which it follows. A reader refuses a
// bit it does not know: pages are read alone, without the extent's version.
enum EntryFields : uint64_t {
  kHasId = 1,
  kHasName = 2,
  kHasMeta = 4,
  kHasVars = 8,
  kHasSender = 16,
  kHasPool = 32,
  kHasNotBefore = 64,
  kHasExpires = 128,
  kHasPriority = 256,
  kHasMessage = 512,
  kAllFields = 1023,
};

uint64_t fields_of(const Entry& entry) {
  uint64_t fields = 0;
  if (!entry.id.empty()) fields |= kHasId;
  if (!entry.name.empty()) fields |= kHasName;
  if (!entry.meta_json.empty()) fields |= kHasMeta;
  if (!entry.vars.empty()) fields |= kHasVars;
  if (entry.has_sender) fields |= kHasSender;
  if (!entry.pool.empty()) fields |= kHasPool;
  if (entry.not_before_wall_ns != 0) fields |= kHasNotBefore;
  if (entry.expires_wall_ns != 0) fields |= kHasExpires;
  if (entry.priority >= 0) fields |= kHasPriority;
  if (entry.has_message) fields |= kHasMessage;
  return fields;
}

// All but the message's bytes.
void put_fields(std::string& out, const Entry& entry, uint64_t fields) {
  if (fields & kHasId) put_bytes(out, entry.id);
  if (fields & kHasName) put_bytes(out, entry.name);
  if (fields & kHasMeta) put_bytes(out, entry.meta_json);
  if (fields & kHasVars) {
    put_varint(out, entry.vars.size());
    for (const auto& [name, value] : entry.vars) {
      put_bytes(out, name);
      put_bytes(out, value);
    }
  }
  if (fields & kHasSender) put_bytes(out, entry.sender);
  if (fields & kHasPool) put_bytes(out, entry.pool);
  if (fields & kHasNotBefore) put_varint(out, zigzag(entry.not_before_wall_ns));
  if (fields & kHasExpires) put_varint(out, zigzag(entry.expires_wall_ns));
  if (fields & kHasPriority) put_number(out, static_cast<uint8_t>(entry.priority));
  if (fields & kHasMessage) {
    put_number(out, entry.content_flags);
    put_varint(out, entry.message.size());  // the message itself ends the entry
  }
}

void read_fields(ByteReader& in, Entry& entry, uint64_t fields) {
  if (fields & kHasId) entry.id = in.bytes();
  if (fields & kHasName) entry.name = in.bytes();
  if (fields & kHasMeta) entry.meta_json = in.bytes();
  if (fields & kHasVars) {
    // Each takes two bytes at least, so a false count cannot reserve more than the page holds.
    const uint64_t count = in.varint(in.rest().size() / 2);
    entry.vars.reserve(count);
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      const std::string_view name = in.bytes();
      entry.vars.emplace_back(name, in.bytes());
    }
  }
  if (fields & kHasSender) entry.sender = in.bytes();
  entry.has_sender = fields & kHasSender;
  if (fields & kHasPool) entry.pool = in.bytes();
  if (fields & kHasNotBefore) entry.not_before_wall_ns = unzigzag(in.varint());
  if (fields & kHasExpires) entry.expires_wall_ns = unzigzag(in.varint());
  if (fields & kHasPriority) entry.priority = in.u8();
  if (fields & kHasMessage) {
    entry.content_flags = in.u8();
    entry.message = in.bytes();
  }
  entry.has_message = fields & kHasMessage;
}

void clear(Entry& entry) {
  // Keeps the memory of `vars`: the same Entry is used for millions.
  auto vars = std::move(entry.vars);
  vars.clear();
  entry = Entry();
  entry.vars = std::move(vars);
}

absl::Status damaged(const char* what, uint64_t offset) {
  return absl::DataLossError(std::string(what) + " at offset " + std::to_string(offset));
}

absl::Status read_head(std::string_view page, uint32_t offset, Entry& entry, uint32_t& next_offset,
                       uint64_t& fields, std::string_view& rest) {
  clear(entry);
  next_offset = 0;
  if (offset < kPageHeaderBytes || offset >= page.size()) {
    return damaged("no entry begins in this page", offset);
  }
  ByteReader frame(page.substr(offset));
  const std::string_view body = frame.bytes();
  ByteReader in(body);
  fields = in.varint(kAllFields);
  const uint64_t ordinal = in.varint(kExtentRecipientsMax - 1);
  entry.to = in.bytes();
  if (!frame.ok() || !in.ok()) return damaged("damaged recipient entry", offset);
  entry.index = load_number<uint32_t>(page.data() + 8) + static_cast<uint32_t>(ordinal);
  if (!frame.at_end()) next_offset = static_cast<uint32_t>(page.size() - frame.rest().size());
  rest = in.rest();
  return absl::OkStatus();
}

}  // namespace

ExtentWriter::ExtentWriter(uint64_t batch, uint32_t first_index, size_t bytes_expected)
    : first_index_(first_index) {
  bytes_.reserve(bytes_expected);
  put_number(bytes_, kExtentVersion);
  bytes_.append(7, '\0');
  put_number(bytes_, batch);
  put_number(bytes_, first_index);
  put_number(bytes_, uint32_t{0});  // count: finish() knows it
  assert(bytes_.size() == kExtentHeaderBytes);
}

bool ExtentWriter::add(const Entry& entry) {
  assert(count_ == 0 || entry.index > last_index_);
  if (entry.index < first_index_ || entry.index - first_index_ >= kExtentRecipientsMax) {
    return false;
  }
  const uint64_t fields = fields_of(entry);
  // The ordinal within the page is not known before the page is; both attempts are needed only at a
  // page's end.
  for (bool fresh_page = page_count_ == 0;; fresh_page = true) {
    if (fresh_page) page_first_ = entry.index;
    entry_.clear();
    put_varint(entry_, fields);
    put_varint(entry_, entry.index - page_first_);
    put_bytes(entry_, entry.to);
    put_fields(entry_, entry, fields);
    if (fresh_page) break;
    const size_t page_bytes = bytes_.size() - page_at_;
    if (page_bytes + entry_.size() + entry.message.size() + 5 <= kPageBytesTarget) break;
    close_page();
  }
  if (page_count_ == 0) {
    page_at_ = bytes_.size();
    bytes_.append(kPageHeaderBytes, '\0');
  }
  put_varint(bytes_, entry_.size() + entry.message.size());
  bytes_ += entry_;
  bytes_ += entry.message;
  ++page_count_;
  ++count_;
  last_index_ = entry.index;
  return true;
}

void ExtentWriter::close_page() {
  if (page_count_ == 0) return;
  char* const page = bytes_.data() + page_at_;
  const size_t length = bytes_.size() - page_at_;
  store_number(page + 4, static_cast<uint32_t>(length));
  store_number(page + 8, page_first_);
  store_number(page + 12, page_count_);
  store_number(page, crc32c(std::string_view(page, length).substr(4)));
  page_count_ = 0;
}

std::string ExtentWriter::finish(bool carried) {
  close_page();
  if (carried) bytes_[1] = kExtentCarried;
  store_number(bytes_.data() + 20, count_);
  return std::move(bytes_);
}

absl::StatusOr<ExtentHeader> read_extent_header(std::string_view extent) {
  if (extent.size() < kExtentHeaderBytes) return damaged("extent shorter than its header", 0);
  const uint8_t version = static_cast<uint8_t>(extent[0]);
  if (version != kExtentVersion) {
    return absl::FailedPreconditionError("extent of format version " + std::to_string(version) +
                                         ", this program reads version " +
                                         std::to_string(kExtentVersion));
  }
  ExtentHeader header;
  header.batch = load_number<uint64_t>(extent.data() + 8);
  header.first_index = load_number<uint32_t>(extent.data() + 16);
  header.count = load_number<uint32_t>(extent.data() + 20);
  header.carried = (extent[1] & kExtentCarried) != 0;
  if (header.count > kExtentRecipientsMax) return damaged("extent with an impossible count", 20);
  return header;
}

absl::StatusOr<uint32_t> page_length(std::string_view extent, uint32_t offset) {
  if (offset < kExtentHeaderBytes || offset > extent.size() ||
      extent.size() - offset < kPageHeaderBytes) {
    return damaged("extent ends within a page", offset);
  }
  const uint32_t length = load_number<uint32_t>(extent.data() + offset + 4);
  if (length < kPageHeaderBytes || length > extent.size() - offset) {
    return damaged("page with an impossible length", offset);
  }
  return length;
}

absl::StatusOr<PageView> read_page(std::string_view extent, uint32_t offset) {
  const absl::StatusOr<uint32_t> length = page_length(extent, offset);
  if (!length.ok()) return length.status();
  PageView page;
  page.bytes = extent.substr(offset, *length);
  if (!check_page(page.bytes).ok()) return damaged("page fails its checksum", offset);
  page.offset = offset;
  page.first_index = load_number<uint32_t>(page.bytes.data() + 8);
  page.count = load_number<uint32_t>(page.bytes.data() + 12);
  return page;
}

absl::Status check_page(std::string_view page) {
  if (page.size() < kPageHeaderBytes) return damaged("page shorter than its header", 0);
  if (load_number<uint32_t>(page.data() + 4) != page.size()) {
    return damaged("page with a wrong length", 4);
  }
  if (load_number<uint32_t>(page.data()) != crc32c(page.substr(4))) {
    return damaged("page fails its checksum", 0);
  }
  return absl::OkStatus();
}

absl::Status read_entry_head(std::string_view page, uint32_t offset, Entry& entry,
                             uint32_t& next_offset) {
  uint64_t fields = 0;
  std::string_view rest;
  return read_head(page, offset, entry, next_offset, fields, rest);
}

absl::Status read_entry(std::string_view page, uint32_t offset, Entry& entry,
                        uint32_t& next_offset) {
  uint64_t fields = 0;
  std::string_view rest;
  absl::Status head = read_head(page, offset, entry, next_offset, fields, rest);
  if (!head.ok()) return head;
  ByteReader in(rest);
  read_fields(in, entry, fields);
  if (!in.ok() || !in.at_end()) {
    next_offset = 0;
    return damaged("damaged recipient entry", offset);
  }
  return absl::OkStatus();
}

}  // namespace veredus::queue
