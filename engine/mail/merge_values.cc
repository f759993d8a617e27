#include "engine/mail/merge_values.h"

#include <algorithm>

namespace veredus::mail {

bool refuse_value(Refusal& refusal, std::string_view name, std::string_view what) {
  refusal.status = "5.6.0";
  refusal.reason = "the variable \"";
  ((refusal.reason += name) += "\" ") += what;
  return false;
}

bool fits_context(const Slot& slot, std::string_view value, bool is_recipient, bool& high,
                  Refusal& refusal) {
  bool over_127 = false, control = false, nul = false;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    over_127 |= byte > 127;
    control |= (byte < 32 && byte != '\t') || byte == 127;
    nul |= byte == 0;
  }
  high = over_127;
  if (nul) return refuse_value(refusal, slot.name, "has a NUL byte");
  if (is_body(slot.context)) return true;
  if (control) {
    return refuse_value(refusal, slot.name,
                        slot.context == MergeContext::envelope
                            ? "has CR, LF or another control byte, and stands in an address"
                            : "has CR, LF or another control byte, and stands in the header");
  }
  if (slot.context == MergeContext::address && !is_recipient &&
      value.find_first_of(" \t<>,;\"()") != std::string_view::npos) {
    return refuse_value(refusal, slot.name,
                        "stands where an address is, and has a blank or one of < > , ; \" ( )");
  }
  if (slot.context == MergeContext::parameter &&
      value.find_first_of("\"\\") != std::string_view::npos) {
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
