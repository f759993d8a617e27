#include "engine/mail/merge_values.h"

#include <algorithm>
#include <array>

#include "engine/mail/field_syntax.h"
#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"
#include "engine/mail/structured_field.h"

namespace veredus::mail {
namespace {

constexpr std::array<uint16_t, 256> kTraits = [] {
  std::array<uint16_t, 256> traits{};
  const auto mark = [&](std::string_view bytes, uint16_t trait) {
    for (const char c : bytes) traits[static_cast<unsigned char>(c)] |= trait;
  };
  for (size_t byte = 0; byte < traits.size(); ++byte) {
    if (byte > 127) traits[byte] |= kHasHigh;
    if ((byte < 32 && byte != '\t') || byte == 127) traits[byte] |= kHasControl;
    if (byte <= 32 || byte == 127) traits[byte] |= kLeavesAtoms | kLeavesToken;
    if (byte > 127) traits[byte] |= kLeavesToken;
  }
  traits[0] |= kHasNul;
  mark("\r\n", kHasLineEnd);
  mark("&<>\"'", kHasMarkup);
  mark(" \t<>,;\"()", kLeavesWord);
  mark("\"\\", kLeavesQuote);
  mark("()<>[]:;@\\,\"", kLeavesAtoms);
  mark("()<>@,;:\\\"/[]?=", kLeavesToken);
  mark("=?", kHasWordMark);
  return traits;
}();

}  // namespace

bool refuse_value(Refusal& refusal, std::string_view name, std::string_view what) {
  refusal.status = "5.6.0";
  refusal.reason = "the variable \"";
  ((refusal.reason += name) += "\" ") += what;
  return false;
}

uint16_t traits_of(std::string_view text) {
  uint16_t traits = 0;
  for (const char c : text) traits |= kTraits[static_cast<unsigned char>(c)];
  return traits;
}

bool fits_context(const Slot& slot, std::string_view value, bool is_recipient, uint16_t& traits,
                  Refusal& refusal) {
  traits = traits_of(value);
  if ((traits & kHasNul) != 0) return refuse_value(refusal, slot.name, "has a NUL byte");
  if (is_body(slot.context)) {
    if (slot.charset.empty() || (traits & kHasHigh) == 0) return true;
    return refuse_value(refusal, slot.name,
                        "is not ASCII, and the charset of its text is " + slot.charset +
                            ": give the text charset=utf-8");
  }
  if ((traits & kHasControl) != 0) {
    return refuse_value(refusal, slot.name,
                        slot.context == MergeContext::envelope
                            ? "has CR, LF or another control byte, and stands in an address"
                            : "has CR, LF or another control byte, and stands in the header");
  }
  if (slot.context == MergeContext::address && !is_recipient && (traits & kLeavesWord) != 0) {
    return refuse_value(refusal, slot.name,
                        "stands where an address is, and has a blank or one of < > , ; \" ( )");
  }
  if (slot.context == MergeContext::list_id && (traits & kLeavesAtoms) != 0) {
    return refuse_value(
        refusal, slot.name,
        "stands in List-ID, and has another character than those of atoms and dots");
  }
  if (slot.context == MergeContext::message_id && !without_blanks_around(value).empty() &&
      !is_message_id(value)) {
    return refuse_value(refusal, slot.name, "stands where a Message-ID is, and is no <left@right>");
  }
  if (slot.context == MergeContext::message_id_part && (traits & kLeavesWord) != 0) {
    return refuse_value(refusal, slot.name,
                        "stands in a Message-ID, and has a blank or one of < > , ; \" ( )");
  }
  if (slot.context == MergeContext::quoted_parameter && (traits & kLeavesQuote) != 0) {
    return refuse_value(refusal, slot.name,
                        "stands in a parameter of a Content- field, and has a \" or a \\");
  }
  if (slot.context == MergeContext::parameter && (traits & kLeavesToken) != 0) {
    return refuse_value(refusal, slot.name,
                        "stands in a parameter of a Content- field, and is no token (RFC 2045 "
                        "section 5.1): put {{…}} between quotes");
  }
  return true;
}

bool begins_uri(std::string_view value) {
  for (const std::string_view scheme : {"https://", "http://", "mailto:"}) {
    if (same_name(value.substr(0, scheme.size()), scheme)) return true;
  }
  return false;
}

bool append_one_mailbox(std::string_view text, size_t local_max, std::string& out,
                        std::string_view& why_not) {
  constexpr std::string_view kNone = "it is not one address";
  const auto fail = [&](std::string_view why) {
    why_not = why;
    return false;
  };
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return true;
  size_t begin = behind_cfws(text, 0), end = text.size();
  if (begin >= text.size()) return fail(kNone);
  if (text[begin] == '<') {
    end = text.find('>', ++begin);
    if (end == std::string_view::npos || behind_cfws(text, end + 1) != text.size())
      return fail(kNone);
    while (begin < end && is_blank(text[begin])) ++begin;
    while (begin < end && is_blank(text[end - 1])) --end;
  } else {
    const size_t local = text[begin] == '"' ? behind_quoted(text, begin) : begin;
    end = std::min(text.find_first_of(" \t\r\n(", std::min(local, text.size())), text.size());
    if (behind_cfws(text, end) != text.size()) return fail(kNone);
  }
  const std::string_view mailbox = text.substr(begin, end - begin);
  Address address;
  AddressFault fault = check_address(mailbox, address, local_max);
  std::string made;
  std::string_view taken = mailbox;
  if (fault == AddressFault::domain_utf8)
    fault = take_address(mailbox, made, taken, why_not, local_max);
  if (fault != AddressFault::none) return fail(reason_of(fault));
  ((out += text.substr(0, begin)) += taken) += text.substr(end);
  return true;
}

size_t word_marks(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find("=?", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

void append_unquoted(std::string_view text, std::string& out) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 1 < text.size())
      ++at;
    else if (text[at] == '"')
      continue;
    if (text[at] != '\r' && text[at] != '\n') out += text[at];
  }
}

std::string_view without_blanks_around(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

size_t unfolded_size(std::string& text) {
  const auto end =
      std::remove_if(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; });
  return static_cast<size_t>(end - text.begin());
}

void append_without_blank_lines(std::string_view text, size_t& column, std::string& out) {
  for (bool first = true; first || !text.empty(); first = false) {
    const size_t end = std::min(text.find("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 2, text.size()));
    if (!first && line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (!first) out += "\r\n", column = 0;
    out += line;
    column += line.size();
  }
}

}  // namespace veredus::mail
