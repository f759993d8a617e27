#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Plain text of an HTML part, as somebody would read it who is shown no HTML: a line or a paragraph
// for each block, "* " or a number in front of the items of lists, links as "text (address)", the
// `alt` of images, entities decoded, white space collapsed but in <pre>. What is not shown (head,
// style, script, comments) is left out. Lines are broken at blanks to 76 characters where there are
// blanks, and end with LF. What is no HTML is passed over as readers do; never fails for it.
//
// `merge`: {{…}} and {{{…}}} are tags of merge and stay as they are, in text and in addresses. Text
// does not become a tag, whatever entities stand in it.
//
// Linear time. Appends to `out`, some times the size of `html` at most. False: tags are not
// understood, or a section begins where text is left out and ends elsewhere; `out` may hold a part
// then.
bool append_html_text(std::string_view html, bool merge, std::string& out);

}  // namespace veredus::mail
