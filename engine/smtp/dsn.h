#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::smtp {

// The numbers are those of queue::DsnNotify and queue::DsnReturn (lane_send.cc looks that they
// are).
inline constexpr uint8_t kNotifyNever = 1, kNotifySuccess = 2, kNotifyFailure = 4, kNotifyDelay = 8;
inline constexpr uint8_t kRetFull = 1, kRetHdrs = 2;

// What a host is asked to tell the sender about delivery (RFC 3461).
struct DsnRequest {
  uint8_t notify = 0;      // of kNotify…, or'ed; 0: not said
  uint8_t ret = 0;         // of kRet…; 0: not said
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
