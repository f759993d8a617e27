#pragma once

#include <cstdint>

#include <emmintrin.h>

namespace veredus::mail {

// 64 bytes at a time: masks with a bit a byte, the first one lowest.
class ByteMasks {
 public:
  explicit ByteMasks(const char* at) {
    for (unsigned i = 0; i < 4; ++i)
      bytes_[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * i));
  }
  // Which are `c`.
  uint64_t of(char c) const {
    return gathered([c](__m128i bytes) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); });
  }
  // Which are over 127.
  uint64_t high() const {
    return gathered([](__m128i bytes) { return bytes; });
  }

 private:
  template <class Test>
  uint64_t gathered(const Test& test) const {
    uint64_t mask = 0;
    for (unsigned i = 0; i < 4; ++i) {
      mask |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(test(bytes_[i]))))
              << (16 * i);
    }
    return mask;
  }

  __m128i bytes_[4];
};

}  // namespace veredus::mail
