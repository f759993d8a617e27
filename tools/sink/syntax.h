// The little of RFC 5321's command syntax that a server needs.
#pragma once

#include <cstdint>
#include <string_view>

#include "tools/sink/options.h"

namespace veredus::sink {

enum class Verb : uint8_t { ehlo, helo, mail, rcpt, data, bdat, rset, noop, quit, starttls, other };

Verb verb_of(std::string_view line);

// Cuts "MAIL FROM:<path> parameters". `prefix` in lower case. The path comes without brackets and
// source route; blanks before it are forgiven. False: there is none.
bool cut_path(std::string_view line, std::string_view prefix, std::string_view& path,
              std::string_view& parameters);

// False: a parameter that was not offered or is malformed. `size` is that of SIZE= (octets), else
// 0; `utf8` whether SMTPUTF8 is there.
bool mail_parameters(std::string_view parameters, const Offer& offer, uint64_t& size, bool& utf8);
bool rcpt_parameters(std::string_view parameters, const Offer& offer);

// Whether some octet is over 127.
bool has_high(std::string_view text);

// "BDAT octets [LAST]" (RFC 3030 section 2).
bool bdat_arguments(std::string_view line, uint64_t& octets, bool& last);

}  // namespace veredus::sink
