#pragma once

#include <cstddef>
#include <cstdint>

namespace veredus::smtp {

// What the far side may stretch, and how far. At a limit the session is closed and its recipients
// go later.

// One reply line, its line end included. RFC 5321 §4.5.3.1.5 allows 512; four times that is taken.
inline constexpr size_t kReplyLineMax = 2048;
// One reply: all its lines, with line ends.
inline constexpr size_t kReplyBytesMax = 64 * 1024;
inline constexpr unsigned kReplyLinesMax = 128;
// Text kept of one reply; what is beyond is read and dropped. Capabilities beyond it are not seen.
inline constexpr size_t kReplyTextMax = 2048;

// Recipients of one transaction. RFC 5321 §4.5.3.1.8: every server takes 100.
inline constexpr size_t kRecipientsMax = 100;
// An address without its angle brackets (RFC 5321 §4.5.3.1.3: 256 with them).
inline constexpr size_t kAddressMax = 254;

}  // namespace veredus::smtp
