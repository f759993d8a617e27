#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace veredus::mail {

// How the text of a header field is to be read, and so how a value goes into it.
enum class FieldKind : uint8_t {
  unstructured,  // Subject, Comments, and all that is not known: text (RFC 5322 §2.2.1)
  address,       // From, To …: mailboxes (RFC 5322 §3.4)
  list_id,       // List-ID, which has the same form (RFC 2919)
  uri_list,      // List-Unsubscribe and its like: URIs in <…> (RFC 2369)
  parameters,    // Content-Type, Content-Disposition: tokens and parameters (RFC 2045 §5.1)
  message_id,    // Message-ID, Content-ID: one identifier in <…> (RFC 5322 §3.6.4)
  structured,    // Date, Received, References …: taken as it is
};
FieldKind field_kind(std::string_view name);

// A run of a field's value in which all text is of one kind.
struct FieldSpan {
  enum class Kind : uint8_t {
    text,      // of an unstructured field: encoded as a whole where it is not ASCII (RFC 2047)
    phrase,    // the display name in front of <…>, with the blanks behind it (RFC 5322 §3.4)
    address,   // <…>, or an address without these, with the blanks around it
    bracket,   // <…> of a uri_list or a message_id
    quoted,    // a quoted string of parameters
    verbatim,  // all else
  };
  Kind kind = Kind::verbatim;
  size_t begin = 0, end = 0;  // in the value
};

// Cuts the value of a field (what stands behind its colon) that has {{…}} in it into spans, in
// their order, without gaps. The blank in front of a text belongs to none of it: it is verbatim.
// {{…}} is never cut; nor do quotes, brackets or commas within it count.
void field_spans(FieldKind kind, std::string_view value, std::vector<FieldSpan>& spans);

// Whether bytes over 127 stand in the value, outside of {{…}}, that merging leaves as they are: in
// neither a text nor a phrase. `value` has {{…}} in it.
bool keeps_high(FieldKind kind, std::string_view value, std::vector<FieldSpan>& scratch);

}  // namespace veredus::mail
