#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Appends UTF-8 text as encoded words (RFC 2047 §2, B encoding, ≤ 75 bytes each, cut between
// characters), folded where there are several. At most 2 × its size + 96 bytes.
void append_encoded_words(std::string_view text, std::string& out);
// The same with `column` bytes in front of it on its line, which ends with the text at 76 bytes at
// most; kept up. A fold may come first.
void append_encoded_words(std::string_view text, size_t& column, std::string& out);

// Whether an encoded word stands in the text, with blanks or nothing around it.
bool has_encoded_word(std::string_view text);

// Appends the text of a field, or a phrase, so that it shows as it is: all as encoded words, but
// for the encoded words in it, which stay. Blanks between two words do not show (RFC 2047 §6.2):
// those beside one that stays are encoded, too. No CR or LF is in it.
void append_encoded_text(std::string_view text, size_t& column, std::string& out);

}  // namespace veredus::mail
