#pragma once

#include <string>
#include <string_view>

namespace veredus::mail {

// The A-label form (RFC 5890, 5891) of a domain that has U-labels, mapped as UTS #46 says, not
// transitionally, under STD3 rules: what the DNS is asked for, and what goes on the wire. So
// BÜCHER.example is xn--bcher-kva.example, and faß.example keeps its ß. Labels that are ASCII
// already are made small, no more. False: `domain` is no valid IDN, and `reason` (static) says why.
// Some microseconds: only for what is not ASCII.
bool append_a_labels(std::string_view domain, std::string& out, std::string_view& reason);

// A domain, or an address, as the spool has it: its domain in A-labels where it has U-labels. What
// has none, or is no valid IDN, comes back as it is.
std::string with_a_labels(std::string_view text);

// Whether some byte is over 127.
bool has_high(std::string_view text);

}  // namespace veredus::mail
