#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace veredus::mail {

// Appends `text` with & < > " ' as character references, for HTML and XML, in an element or in a
// quoted attribute.
void append_html_escaped(std::string_view text, std::string& out);

// Appends `text` with all that can never stand in a URI percent-encoded (RFC 3986 §2): controls,
// blanks, bytes over 127, and <>"{}|\^`; commas, too, which part the URIs of a List- field (RFC
// 2369 §2). What is percent-encoded already stays so.
void append_uri_escaped(std::string_view text, std::string& out);

// Appends `text` as one component of a URI, a value in its query, say: all but the unreserved
// characters (RFC 3986 §2.3) is percent-encoded, & and % too.
void append_uri_component(std::string_view text, std::string& out);

// Appends a display name as a phrase (RFC 5322 §3.2.5): atoms as they are, else a quoted string;
// encoded words (RFC 2047) where bytes are over 127, or where encoded words stand among what would
// have to be quoted. `column`: bytes in front of it on its line; kept up. `as_words`: all of it is
// encoded, encoded words in it too. False: no words were encoded, the phrase is on one line.
bool append_phrase(std::string_view text, size_t& column, std::string& out, bool as_words = false);

// Appends a text with every line end (CRLF, CR, LF) as CRLF.
void append_with_crlf(std::string_view text, std::string& out);

}  // namespace veredus::mail
