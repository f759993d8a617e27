#pragma once

#include <string_view>

namespace veredus::mail {

// Whether values of header fields are what their definitions want. Each takes what stands behind
// the colon, folds and line end with it.

// Date (RFC 5322 §3.3), comments and the zones of §4.3 among it: all numbers are looked at, so that
// there is such a day; whether the day of the week is the right one is not.
bool is_date_time(std::string_view value);

// Message-ID (RFC 5322 §3.6.4): one `<left@right>` of printable characters without blanks; more of
// its syntax nobody asks for.
bool is_message_id(std::string_view value);

// Feedback-ID: one to four fields with colons between, without blanks; the last, which names the
// sender, is not empty.
bool is_feedback_id(std::string_view value);

// List-Unsubscribe (RFC 2369 §2, §3.2). What comments say is no URI.
struct Unsubscribe {
  bool uri = false;  // some URI stands between < and >
  // One is of https and names a host, as one-click wants (RFC 8058 §3.1), or comes of a variable.
  bool https = false;
};
Unsubscribe read_unsubscribe(std::string_view value);

// List-Unsubscribe-Post is `List-Unsubscribe=One-Click` (RFC 8058 §3.1) and nothing else.
bool is_one_click(std::string_view value);

// A name in the DNS, of at most 253 bytes: labels of letters, digits, - and _ with dots between.
// d= and s= of a signature are such names (RFC 6376 §3.1).
bool is_dns_name(std::string_view name);

// What a DKIM-Signature says of itself (RFC 6376 §3.5); views into it.
struct SignatureTags {
  std::string_view domain;   // d=, as it stands
  std::string_view headers;  // h=, as it stands, folds within it
};
SignatureTags read_signature(std::string_view value);
// Whether `headers` of it has a field; `small`: in small letters.
bool covers(std::string_view headers, std::string_view small);

// Without white space and folds around it.
std::string_view without_blanks(std::string_view value);

}  // namespace veredus::mail
