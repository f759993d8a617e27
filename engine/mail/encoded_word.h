#pragma once

#include <string>
#include <string_view>

namespace veredus::mail {

// Appends UTF-8 text as encoded words (RFC 2047 §2, B encoding, ≤ 75 bytes each, cut between
// characters), folded where there are several. At most 2 × its size + 96 bytes.
void append_encoded_words(std::string_view text, std::string& out);

}  // namespace veredus::mail
