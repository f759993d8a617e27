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

__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(std::string_view bytes,
                                                                 uint32_t so_far) {
  uint64_t sum = ~so_far;
  const char* at = bytes.data();
  size_t left = bytes.size();
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
