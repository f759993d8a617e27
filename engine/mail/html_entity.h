#pragma once

#include <cstdint>
#include <string_view>

namespace veredus::mail {

// The character reference at the front of `text`, where an & stands, is taken off it: those named
// in HTML 4 and &apos;, decimal and hexadecimal ones (as HTML reads them: 128 to 159 are those of
// Windows-1252; what is no character is U+FFFD). All end with a semicolon. False: it is none, and
// nothing is taken.
bool take_entity(std::string_view& text, uint32_t& point);

}  // namespace veredus::mail
