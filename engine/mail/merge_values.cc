#include "engine/mail/merge_values.h"

#include <algorithm>
#include <array>

namespace veredus::mail {
namespace {

constexpr std::array<uint8_t, 256> kTraits = [] {
  std::array<uint8_t, 256> traits{};
  const auto mark = [&](std::string_view bytes, uint8_t trait) {
    for (const char c : bytes) traits[static_cast<unsigned char>(c)] |= trait;
  };
  for (size_t byte = 0; byte < traits.size(); ++byte) {
    if (byte > 127) traits[byte] |= kHasHigh;
    if ((byte < 32 && byte != '\t') || byte == 127) traits[byte] |= kHasControl;
  }
  traits[0] |= kHasNul;
  mark("\r\n", kHasLineEnd);
  mark("&<>\"'", kHasMarkup);
  mark(" \t<>,;\"()", kLeavesWord);
  mark("\"\\", kLeavesQuote);
  return traits;
}();

}  // namespace

bool refuse_value(Refusal& refusal, std::string_view name, std::string_view what) {
  refusal.status = "5.6.0";
  refusal.reason = "the variable \"";
  ((refusal.reason += name) += "\" ") += what;
  return false;
}

uint8_t traits_of(std::string_view text) {
  uint8_t traits = 0;
  for (const char c : text) traits |= kTraits[static_cast<unsigned char>(c)];
  return traits;
}

bool fits_context(const Slot& slot, std::string_view value, bool is_recipient, uint8_t& traits,
                  Refusal& refusal) {
  traits = traits_of(value);
  if ((traits & kHasNul) != 0) return refuse_value(refusal, slot.name, "has a NUL byte");
  if (is_body(slot.context)) return true;
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
  if (slot.context == MergeContext::parameter && (traits & kLeavesQuote) != 0) {
    return refuse_value(refusal, slot.name,
                        "stands in a parameter of a Content- field, and has a \" or a \\");
  }
  return true;
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
