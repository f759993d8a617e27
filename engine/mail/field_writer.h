#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Lines of a header that we write have at most 78 bytes where there is a blank to fold them at (RFC
// 5322 §2.1.1).
inline constexpr size_t kFoldedLineMax = 78;

// The longest value of a field, in bytes, as it is given.
inline constexpr size_t kFieldBytesMax = 64u << 10;

// Whether `name` may be the name of a header field (RFC 5322 §3.6.8).
bool is_field_name(std::string_view name);

// Why a text cannot stand in a header field: a line end, another control byte, no UTF-8; with
// `merge`, a {{…}} that is not understood, or a section that does not end in it. Empty: it can.
std::string text_fault(std::string_view value, bool merge);

// Appends a header field made of a value as people write it: one line of UTF-8, without the blanks
// around it. `name`: see is_field_name().
//
// By the kind of the field (header_groups.h): text that is not ASCII becomes encoded words (RFC
// 2047), those in it stay. Display names of mailboxes become atoms, quoted strings or encoded
// words, their domains A-labels; a local part that is not ASCII stays so (RFC 6532). Other fields
// are ASCII. Folded at blanks, to lines of 78 bytes where that can be, of 76 with encoded words.
//
// With `merge`, {{…}} are tags: never cut, and texts and display names with tags in them stay as
// they are, UTF-8 among it, for what they become is encoded when they are rendered. Folds are where
// merging leaves no line empty.
//
// False: `why_not` says what is wrong with the value ("has a line end"); `out` may hold a part.
bool append_field(std::string_view name, std::string_view value, bool merge, std::string& out,
                  std::string& why_not);

// The mailbox as it stands in an address field: name may be empty, or any text without controls.
void append_mailbox(std::string_view display_name, std::string_view address, size_t& column,
                    std::string& out);

// Appends `text`, which has no line ends, folded as above. `column`: bytes in front of it on its
// line; kept up.
void append_folded(std::string_view text, bool merge, size_t& column, std::string& out);

}  // namespace veredus::mail
