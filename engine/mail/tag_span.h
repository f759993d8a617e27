#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Tags of merge in text that is not stored yet: its lines may be of any length, so nothing here
// looks for the end of one. What stands in a tag is read by merge_tag.h.

inline constexpr size_t kTagBytesMax = 900;  // so that it has room on a line

// Bytes of the tag ({{…}} or {{{…}}}) that begins at `at`, where "{{" stands. npos: it is not
// closed on its line.
size_t tag_length(std::string_view text, size_t at);

// What stands in front of the next tag, and the tag, both taken off `text`. The tag is empty: there
// is none, or one that is not closed. `merge`: whether there are tags at all.
void take_to_tag(std::string_view& text, bool merge, std::string_view& constant,
                 std::string_view& tag);

// What is wrong with the tags of a text that sections do not reach out of: "has, at byte 7, a tag
// …". Empty: nothing is.
std::string tag_fault(std::string_view text);

}  // namespace veredus::mail
