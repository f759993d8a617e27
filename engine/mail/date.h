#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::mail {

// Unix times in nanoseconds; all text is UTC. Years 1970 to 9999.

// "Tue, 24 Nov 2026 00:28:29 +0000" (RFC 5322 §3.3).
void append_rfc5322_date(int64_t wall_ns, std::string& out);

// "2026-11-24T00:28:29.125Z".
void append_rfc3339(int64_t wall_ns, std::string& out);

// RFC 3339 date-time with `Z` or a numeric offset, fractions of any length (cut at nanoseconds). A
// leap second counts as the second after :59. False when it is none, or before 1970, or beyond what
// fits (year 2262).
bool parse_rfc3339(std::string_view text, int64_t& wall_ns);

// A whole number and a unit: "30s", "90m", "12h", "5d", "2w"; also several in descending order
// ("1h30m"). False when it is none, or over 10 years.
bool parse_duration(std::string_view text, int64_t& ns);

}  // namespace veredus::mail
