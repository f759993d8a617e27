#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::mail {

// Why something was refused at the door: enhanced status code (RFC 3463) and words for the feeder.
struct Refusal {
  std::string_view status;  // static text, "5.1.3"
  std::string reason;
};

// Longest path between < and > is 254 bytes, so that the path is 256 (RFC 5321 §4.5.3.1.3).
inline constexpr size_t kAddressBytesMax = 254;
inline constexpr size_t kLocalPartBytesMax = 64;
inline constexpr size_t kDomainBytesMax = 253;
inline constexpr size_t kLabelBytesMax = 63;

// A mailbox, checked by RFC 5321 §4.1.2: local part of atoms or a quoted string, which may hold
// UTF-8 (RFC 6531 §3.3: it goes to hosts with SMTPUTF8 only), domain of letters, digits and
// hyphens: A-labels, which take_address() makes of U-labels. The views point into the checked text.
struct Address {
  std::string_view local;
  std::string_view domain;
  bool upper_domain = false;  // the domain has capital letters: see canonical()
};

enum class AddressFault : uint8_t {
  none,
  empty,
  no_at,
  too_long,
  control,  // CR, LF, NUL or another control character, Unicode's (U+0080 to U+009F, U+202E …)
            // among them
  local_empty,
  local_long,
  local_syntax,
  domain_empty,
  domain_long,
  domain_syntax,
  domain_utf8,  // U-labels, and they are not turned into A-labels here
  domain_idn,   // U-labels, and no valid IDN
  literal,      // [192.0.2.1]
  brackets,     // <a@b> or Name <a@b>
};

// Typical cost: 50 ns. `local_max`: a VERP reverse-path may have a longer local part than others.
AddressFault check_address(std::string_view text, Address& address,
                           size_t local_max = kLocalPartBytesMax);
// The same for an address as people write it: U-labels are turned into A-labels (RFC 5890). `taken`
// is what is kept and sent: the text itself where its domain is in small A-labels already, else
// made in `scratch`. With domain_idn `why_not` (static) says more.
AddressFault take_address(std::string_view text, std::string& scratch, std::string_view& taken,
                          std::string_view& why_not, size_t local_max = kLocalPartBytesMax);
// Enhanced status code and reason of a fault, as for a recipient; a reverse-path has 5.1.7 in place
// of 5.1.3.
std::string_view status_of(AddressFault fault, bool reverse_path = false);
std::string_view reason_of(AddressFault fault);

// The checked address with its domain in small letters: `text` itself when that is so already, else
// made in `scratch`.
std::string_view canonical(std::string_view text, const Address& address, std::string& scratch);

}  // namespace veredus::mail
