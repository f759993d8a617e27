#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/mail/attachment.h"

namespace veredus::mail {

inline constexpr size_t kFieldNameMax = 255;           // bytes, of a field among `headers`
inline constexpr size_t kHeaderBytesMax = 256u << 10;  // of all fields but those about the content
inline constexpr size_t kDerivedFromMax = 1u << 20;    // HTML beyond that gets no text

// A message as its parts, all in UTF-8: lines of text end with CRLF, LF or CR, all else has none.
struct MessageParts {
  std::string_view from;          // needed: mailboxes (RFC 5322 §3.4)
  std::string_view to, reply_to;  // likewise, if they are there
  std::string_view subject, text, html;
  bool has_to = false, has_reply_to = false, has_subject = false;
  bool has_text = false;  // even if it is empty: then HTML goes without a text
  // Further fields, name and value. Those that are made here are refused, and doubles of those that
  // may be there once (RFC 5322 §3.6).
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::vector<Attachment> attachments;
  // Where somebody unsubscribes (RFC 2369, RFC 8058): a URI of http or https, and one of mailto, or
  // an address.
  bool has_unsubscribe = false;
  bool has_unsubscribe_url = false, has_unsubscribe_mailto = false;  // even if they are empty
  std::string_view unsubscribe_url, unsubscribe_mailto;
};

enum class MessagePart : uint8_t {
  whole,
  from,
  to,
  reply_to,
  subject,
  text,
  html,
  headers,
  attachments,
  unsubscribe,
};

struct BuildSettings {
  bool merge = true;  // {{…}} in fields and texts are tags
  // Of Feedback-ID: who sends (empty: no such field), and what (campaign and tenant may be empty).
  std::string_view feedback_sender, campaign, tenant, batch;
  // Who the message is for, if it is made for one: the To of a message that says none and is not
  // merged. His name may be empty, or any UTF-8.
  std::string_view recipient, recipient_name;
  size_t bytes_max = std::numeric_limits<size_t>::max();  // of the message
};

// What is wrong with the parts, and where.
struct BuildFault {
  MessagePart part = MessagePart::whole;
  size_t index = 0;        // of headers and attachments
  bool in_base64 = false;  // of an attachment
  size_t offset = 0;       // in it, from 0
  bool too_large = false;  // the message would have more than settings.bytes_max
  std::string reason;      // names the part
  std::string_view hint;   // what to do; static; may be empty
};

// The value of a Feedback-ID as Google has it: up to four identifiers, the last of them the
// sender's own. What is empty is left out, and what would part identifiers becomes '-'.
std::string feedback_id(std::string_view campaign, std::string_view tenant, std::string_view batch,
                        std::string_view sender);

// Makes a message of its parts, as normalise() leaves one (RFC 5322, RFC 2045, RFC 2046): CRLF, no
// line over 998 bytes. What is the same every time makes the same message.
//
// - text and HTML are multipart/alternative; without a text one is derived from HTML
//   (html_text.h), unless that has more than kDerivedFromMax bytes. Attachments that the HTML shows
//   by their cid are multipart/related with it (RFC 2387); all others are multipart/mixed with all
//   that. Nothing is wrapped in a multipart that needs none.
// - Without `to` a merged message goes `To: {{name}} <{{to}}>`, any other to settings.recipient, or
//   to undisclosed recipients.
// - No Date and no Message-ID but those among `headers`: the renderer adds them.
// - Boundaries are made of a digest of the parts, and are in none of them.
//
// Appends to `out`, which is empty, settings.bytes_max at most, or little more where it fails:
// what is too large is refused before texts are encoded. False: `fault` says why, and `out` may
// hold a part.
bool build_message(const MessageParts& parts, const BuildSettings& settings, std::string& out,
                   BuildFault& fault);

}  // namespace veredus::mail
