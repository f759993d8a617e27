#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "queue/bytes.h"

// Records of tagged fields: a version byte, then fields, each a varint tag and a string. A number
// is a string that holds a varint, a time one that holds a zigzag varint. FORMAT.md is the page for
// readers.
namespace veredus::queue {

class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}
  void text(uint64_t tag, std::string_view value) {
    put_varint(out_, tag);
    put_bytes(out_, value);
  }
  void number(uint64_t tag, uint64_t value) {
    std::string raw;
    put_varint(raw, value);
    text(tag, raw);
  }
  void time(uint64_t tag, int64_t value) { number(tag, zigzag(value)); }

 private:
  std::string& out_;
};

// One field's value as a number; `sound` turns false when it is none, or above `max`.
inline uint64_t field_number(std::string_view value, bool& sound, uint64_t max = UINT64_MAX) {
  ByteReader in(value);
  const uint64_t number = in.varint(max);
  if (!in.ok() || !in.at_end()) sound = false;
  return number;
}
inline int64_t field_time(std::string_view value, bool& sound) {
  return unzigzag(field_number(value, sound));
}

// Reads a record: `read_field` takes one field into the value, passes over a tag that it does not
// know, and says false when what the field holds makes no sense. `what` names the record in errors:
// FailedPrecondition for another version, else DataLoss.
template <typename Value>
absl::StatusOr<Value> decode_fields(std::string_view bytes, uint8_t version, const char* what,
                                    bool (*read_field)(uint64_t tag, std::string_view, Value&)) {
  ByteReader in(bytes);
  const uint8_t found = in.u8();
  if (in.ok() && found != version) {
    return absl::FailedPreconditionError(std::string(what) + " record of format version " +
                                         std::to_string(found) + ", this program reads version " +
                                         std::to_string(version));
  }
  Value value;
  bool sound = in.ok();
  while (sound && !in.at_end()) {
    const uint64_t tag = in.varint();
    const std::string_view field = in.bytes();
    sound = in.ok() && read_field(tag, field, value);
  }
  if (!sound) return absl::DataLossError(std::string("damaged ") + what + " record");
  return value;
}

}  // namespace veredus::queue
