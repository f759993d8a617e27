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

// What a session may take as a whole. A far side that answers each command just within that
// command's time (RFC 5321 §4.5.3.2) could hold a connection for hours: 100 RCPT of five minutes.
struct SessionLimits {
  int64_t connect_ns = 60'000'000'000;
  int64_t setup_ns = 600'000'000'000;  // from dialling until the first transaction may begin
  int64_t transaction_ns = 1'800'000'000'000;  // from MAIL to the last reply, without the content …
  uint32_t content_bytes_per_s = 500;          // … which may take as long as this rate allows
};

}  // namespace veredus::smtp
