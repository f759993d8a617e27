#include "queue/crc32c.h"

#include <array>

#include <nmmintrin.h>

#include "queue/bytes.h"

namespace veredus::queue {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
    table[byte] = sum;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

// The instruction gives a result every three cycles and can begin one in each: long texts go in
// three streams of this many bytes, whose sums are put together.
constexpr size_t kStreamBytes = 512;

// What a sum becomes when a stream's length of zeros follows. That is linear (a sum is a
// polynomial over GF(2), a zero byte multiplies it by x^8), so the four bytes of a sum can be
// looked up one by one.
using Shift = std::array<std::array<uint32_t, 256>, 4>;
constexpr Shift make_shift() {
  std::array<uint32_t, 32> of_bit{};
  for (int bit = 0; bit < 32; ++bit) {
    uint32_t sum = 1u << bit;
    for (size_t i = 0; i < kStreamBytes; ++i) sum = sum >> 8 ^ kTable[sum & 0xff];
    of_bit[bit] = sum;
  }
  Shift shift{};
  for (int byte = 0; byte < 4; ++byte) {
    for (uint32_t value = 0; value < 256; ++value) {
      for (int bit = 0; bit < 8; ++bit) {
        if (value >> bit & 1) shift[byte][value] ^= of_bit[byte * 8 + bit];
      }
    }
  }
  return shift;
}
constexpr Shift kShift = make_shift();

uint32_t shifted(uint32_t sum) {
  return kShift[0][sum & 0xff] ^ kShift[1][sum >> 8 & 0xff] ^ kShift[2][sum >> 16 & 0xff] ^
         kShift[3][sum >> 24];
}

__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(std::string_view bytes,
                                                                 uint32_t so_far) {
  uint64_t sum = ~so_far;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 3 * kStreamBytes; at += 3 * kStreamBytes, left -= 3 * kStreamBytes) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStreamBytes; i += 8) {
      sum = _mm_crc32_u64(sum, load_number<uint64_t>(at + i));
      second = _mm_crc32_u64(second, load_number<uint64_t>(at + kStreamBytes + i));
      third = _mm_crc32_u64(third, load_number<uint64_t>(at + 2 * kStreamBytes + i));
    }
    sum = shifted(static_cast<uint32_t>(sum)) ^ static_cast<uint32_t>(second);
    sum = shifted(static_cast<uint32_t>(sum)) ^ static_cast<uint32_t>(third);
  }
  for (; left >= 8; at += 8, left -= 8) sum = _mm_crc32_u64(sum, load_number<uint64_t>(at));
  uint32_t narrow = static_cast<uint32_t>(sum);
  for (; left > 0; ++at, --left) narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*at));
  return ~narrow;
}

}  // namespace

uint32_t crc32c_by_table(std::string_view bytes, uint32_t so_far) {
  uint32_t sum = ~so_far;
  for (const char byte : bytes) {
    sum = sum >> 8 ^ kTable[(sum ^ static_cast<uint8_t>(byte)) & 0xff];
  }
  return ~sum;
}

uint32_t crc32c(std::string_view bytes, uint32_t so_far) {
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  return has_instruction ? crc32c_by_instruction(bytes, so_far) : crc32c_by_table(bytes, so_far);
}

}  // namespace veredus::queue
