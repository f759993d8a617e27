#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace veredus::mail {

inline constexpr size_t kMailboxesMax = 1000;  // of one field

// One mailbox of an address field. The views point into the field's value.
struct Mailbox {
  std::string_view display_name;  // as it stands, with quotes and escapes; empty: there is none
  std::string_view local;         // dot-atom, or a quoted string with its quotes
  std::string_view domain;        // dot-atom, or a literal with its brackets
  size_t begin = 0, end = 0;      // of all of it in the value, comments around it not included
};

// The mailboxes of From, Sender, Reply-To, To, Cc, Bcc (RFC 5322 §3.4), of what stands behind the
// colon of the field, with folds or without. Taken, too: UTF-8 (RFC 6532 §3.2), groups, comments
// and white space between all tokens, dots in display names and empty members of lists (§4.4).
// Not taken: source routes, and white space or comments within a local part or a domain (`a . b`):
// readers take these for different addresses. `out` is emptied first; a list of empty groups has
// no mailboxes. False: `why_not` (static) says why; `out` holds those in front of the fault.
bool parse_mailbox_list(std::string_view value, std::vector<Mailbox>& out,
                        std::string_view& why_not);

// Domain of the first mailbox of the first From field of a header block; empty: there is none, or
// the field is no list of mailboxes: readers would disagree on whose it is. It is as it stands:
// letter case, U-labels. Allocates nothing.
std::string_view author_domain(std::string_view header_block);

}  // namespace veredus::mail
