#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::intake {

struct JsonFault {
  size_t offset = 0;   // from 0
  std::string reason;  // empty: there is none
};

// A second, slow and strict look at JSON text (RFC 8259), for saying where exactly it is wrong, and
// for what a lazy parser skips: one value and nothing behind it, UTF-8 without surrogates (also
// when escaped), no control byte in a string, no key twice in one object, no deeper than
// `nesting_max`, numbers that fit 64 bits or a double.
JsonFault find_json_fault(std::string_view text, unsigned nesting_max);

// Takes the white space between tokens out of well-formed JSON: `text` itself if there is none,
// else made in `scratch`.
std::string_view compact_json(std::string_view text, std::string& scratch);

}  // namespace veredus::intake
