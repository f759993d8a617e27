#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace veredus::queue {

// How numbers and strings are written in the journal: fixed numbers little-endian, varints as in
// protobuf (seven bits a byte, low ones first, at most ten bytes), strings as varint length and
// bytes. FORMAT.md is the page for readers.
static_assert(std::endian::native == std::endian::little,
              "the journal is little-endian and copied as it is");

template <typename Number>
inline void store_number(char* at, Number value) {
  std::memcpy(at, &value, sizeof value);
}
template <typename Number>
inline Number load_number(const char* at) {
  Number value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename Number>
inline void put_number(std::string& out, Number value) {
  char raw[sizeof value];
  store_number(raw, value);
  out.append(raw, sizeof raw);
}

inline constexpr size_t kVarintMax = 10;  // bytes

// Where at least kVarintMax bytes can be written. Returns the end of what was.
inline char* store_varint(char* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

inline void put_varint(std::string& out, uint64_t value) {
  char raw[kVarintMax];
  const auto length = static_cast<size_t>(store_varint(raw, value) - raw);
  if (length > sizeof raw) __builtin_unreachable();  // g++ 12 would warn
  out.append(raw, length);                           // by iterators it is slower
}

inline void put_bytes(std::string& out, std::string_view bytes) {
  put_varint(out, bytes.size());
  out.append(bytes);
}

// Small negative numbers stay small: 0, -1, 1, -2 … become 0, 1, 2, 3 …
constexpr uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
}

// Reads what the functions above wrote. Past the end, or at a varint of more than 64 bits, it fails
// for good: every further call gives 0 or nothing, and ok() stays false. So a decoder reads all
// fields and asks once.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  template <typename Number>
  Number number() {
    if (rest_.size() < sizeof(Number)) return fail(), Number{0};
    const Number value = load_number<Number>(rest_.data());
    rest_.remove_prefix(sizeof value);
    return value;
  }
  uint8_t u8() { return number<uint8_t>(); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }
  int64_t i64() { return number<int64_t>(); }

  uint64_t varint() {
    uint64_t value = 0;
    for (size_t at = 0; at < rest_.size() && at < 10; ++at) {
      const uint64_t byte = static_cast<uint8_t>(rest_[at]);
      if (at == 9 && byte > 1) break;
      value |= (byte & 0x7f) << (7 * at);
      if (byte < 0x80) {
        rest_.remove_prefix(at + 1);
        return value;
      }
    }
    fail();
    return 0;
  }
  // A varint that must not be above `max`.
  uint64_t varint(uint64_t max) {
    const uint64_t value = varint();
    if (value > max) return fail(), 0;
    return value;
  }
  std::string_view bytes() { return take(varint()); }
  std::string_view take(uint64_t length) {
    if (length > rest_.size()) return fail(), std::string_view();
    const std::string_view bytes = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return bytes;
  }
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace veredus::queue
