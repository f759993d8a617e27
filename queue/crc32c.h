#pragma once

#include <cstdint>
#include <string_view>

namespace veredus::queue {

// CRC-32C (Castagnoli; iSCSI, RFC 3720 appendix B.4): of "123456789" it is e3069283. Continue a sum
// by giving the one so far. Uses the processor's instruction where it has one.
uint32_t crc32c(std::string_view bytes, uint32_t so_far = 0);

// The same by table: what crc32c() falls back to; tests compare the two.
uint32_t crc32c_by_table(std::string_view bytes, uint32_t so_far = 0);

}  // namespace veredus::queue
