#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/mail/address.h"
#include "engine/mail/template.h"

namespace veredus::mail {

// False, with the refusal said: 5.6.0, and words that begin with the name of the variable.
bool refuse_value(Refusal& refusal, std::string_view name, std::string_view what);

// What kinds of bytes a text has, one bit each.
enum TextTraits : uint16_t {
  kHasHigh = 1,        // over 127
  kHasControl = 2,     // under 32 but the tab, or 127
  kHasNul = 4,         // a control, too
  kHasLineEnd = 8,     // CR or LF, controls, too
  kHasMarkup = 16,     // & < > " '
  kLeavesWord = 32,    // cannot stand in an address: blanks, < > , ; " ( )
  kLeavesQuote = 64,   // " or a backslash
  kLeavesAtoms = 128,  // ASCII that is no dot-atom (RFC 5322 §3.2.3)
  kLeavesToken = 256,  // what is in no token (RFC 2045 §5.1)
  kHasWordMark = 512,  // = or ?: may begin an encoded word
};
uint16_t traits_of(std::string_view text);

// Whether a value can stand where its slot does. `traits` is set to those of the value.
// `is_recipient`: it is the address of the recipient, which was checked as such.
bool fits_context(const Slot& slot, std::string_view value, bool is_recipient, uint16_t& traits,
                  Refusal& refusal);

// Whether a value can be the beginning of a URI that people are to follow: https, http, mailto.
bool begins_uri(std::string_view value);

// Appends a mailbox that variables have a part in, in <…> or without, with the blanks and comments
// around it: as it is, but with U-labels of its domain as A-labels. Of nothing but blanks nothing
// is left. False: it is not exactly one mailbox, and `why_not` (static) says why. `local_max`: as
// for check_address().
bool append_one_mailbox(std::string_view text, size_t local_max, std::string& out,
                        std::string_view& why_not);

// How often =? stands in the text, which begins encoded words.
size_t word_marks(std::string_view text);

// Appends what a constant piece of a phrase says: without quotes, without folds, and with what
// stands behind a backslash as itself (RFC 5322 §3.2.4).
void append_unquoted(std::string_view text, std::string& out);

std::string_view without_blanks_around(std::string_view text);

// Takes the CRs and LFs out of the text, which becomes so long: what is folded is one line again.
size_t unfolded_size(std::string& text);

// Appends a folded text less the lines of it that are blank: variables may have left nothing else
// on them, and a blank line is no fold (RFC 5322 §3.2.2). `column` as ever.
void append_without_blank_lines(std::string_view text, size_t& column, std::string& out);

}  // namespace veredus::mail
