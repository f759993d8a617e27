#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::smtp {

// What a host is asked to tell the sender about delivery (RFC 3461). The numbers are those of
// queue::DsnNotify and queue::DsnReturn.
struct DsnRequest {
  uint8_t notify = 0;      // 1 never, 2 success, 4 failure, 8 delay; 0: not said
  uint8_t ret = 0;         // 1 full, 2 hdrs; 0: not said
  std::string_view envid;  // not xtext yet; at most mail::kEnvidBytesMax as such; empty: none
  bool asked() const { return notify != 0 || ret != 0 || !envid.empty(); }
};

// An ORCPT as it stands in the command (RFC 3461 §4.2).
inline constexpr size_t kOrcptBytesMax = 500;

// The parameters of MAIL, each with a blank in front.
void append_mail_dsn(const DsnRequest& request, std::string& out);
// Those of RCPT. ORCPT is left out when it would be too long: it says nothing that is not in RCPT.
void append_rcpt_dsn(const DsnRequest& request, std::string_view recipient, std::string& out);

}  // namespace veredus::smtp
