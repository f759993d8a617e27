#include "engine/mail/tag_span.h"

#include <algorithm>
#include <vector>

#include "engine/mail/merge_tag.h"

namespace veredus::mail {
namespace {

constexpr size_t kDepthMax = 64;  // more than a template may have

}  // namespace

size_t tag_length(std::string_view text, size_t at) {
  const std::string_view closing = text.substr(at).starts_with("{{{") ? "}}}" : "}}";
  const size_t start = at + closing.size();
  const size_t end = text.find(closing, start);
  if (end == std::string_view::npos) return end;
  const bool line_ends =
      text.substr(start, end - start).find_first_of("\r\n") != std::string_view::npos;
  return line_ends ? std::string_view::npos : end + closing.size() - at;
}

void take_to_tag(std::string_view& text, bool merge, std::string_view& constant,
                 std::string_view& tag) {
  const size_t at = merge ? text.find("{{") : std::string_view::npos;
  const size_t length = at == std::string_view::npos ? at : tag_length(text, at);
  if (length == std::string_view::npos) {
    constant = text;
    tag = text = {};
    return;
  }
  constant = text.substr(0, at);
  tag = text.substr(at, length);
  text.remove_prefix(at + length);
}

std::string tag_fault(std::string_view text) {
  std::vector<std::string_view> open;
  size_t from = 0;
  for (size_t at; (at = text.find("{{", from)) != std::string_view::npos;) {
    const auto fault = [&](std::string_view what) {
      return "has, at byte " + std::to_string(at + 1) +
             ", a tag that is not understood: " + std::string(what);
    };
    const size_t length = tag_length(text, at);
    if (length == std::string_view::npos) return fault("{{ is not closed by }} on its line");
    if (length > kTagBytesMax) return fault("it is longer than 900 bytes");
    MergeTag tag;
    std::string_view why_not;
    if (!read_merge_tag(text.substr(at, length), 0, tag, why_not)) return fault(why_not);
    if (tag.kind == MergeTag::Kind::open || tag.kind == MergeTag::Kind::inverted) {
      if (open.size() == kDepthMax) return fault("sections are nested too deep");
      open.push_back(tag.name);
    } else if (tag.kind == MergeTag::Kind::close) {
      if (open.empty() || open.back() != tag.name)
        return fault("it ends a section that is not the open one");
      open.pop_back();
    }
    from = at + length;
  }
  if (open.empty()) return "";
  return "has a section that does not end in it: {{#" + std::string(open.back()) + "}}";
}

}  // namespace veredus::mail
