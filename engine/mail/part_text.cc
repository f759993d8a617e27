#include "engine/mail/part_text.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/escape.h"
#include "engine/mail/idn.h"
#include "engine/mail/quoted_printable.h"
#include "engine/mail/tag_span.h"

namespace veredus::mail {
namespace {

size_t longest_line(std::string_view text) {
  size_t longest = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  return longest;
}

// Keeps the lines with tags short enough to be stored.
class QuotedWriter {
 public:
  explicit QuotedWriter(std::string& out) : out_(out) {}

  void constant(std::string_view text) {
    const size_t begin = out_.size();
    size_t column = 0;
    append_quoted_printable(text, column, out_);
    const size_t end = out_.find('\r', begin);
    const bool one_line = end == std::string::npos;
    const size_t first = (one_line ? out_.size() : end) - begin;
    if (line_ + first >= kLineBytesMax) {
      out_.insert(begin, kSoftBreak);
      line_ = 0;
    }
    line_ = one_line ? line_ + first : column;
  }
  void tag(std::string_view text) {
    if (line_ + text.size() >= kLineBytesMax) {  // a soft break takes one more
      out_ += kSoftBreak;
      line_ = 0;
    }
    out_ += text;
    line_ += text.size();
  }

 private:
  static_assert(kTagBytesMax < kLineBytesMax);
  static constexpr std::string_view kSoftBreak = "=\r\n";

  std::string& out_;
  size_t line_ = 0;  // bytes of the open line
};

}  // namespace

std::string_view name_of(TextEncoding encoding) {
  switch (encoding) {
    case TextEncoding::seven_bit:
      return "7bit";
    case TextEncoding::eight_bit:
      return "8bit";
    case TextEncoding::quoted_printable:
      return "quoted-printable";
  }
  return {};
}

TextEncoding text_encoding(std::string_view text, bool merge) {
  if (merge && text.find("{{{") != std::string_view::npos) return TextEncoding::quoted_printable;
  const bool tags = merge && text.find("{{") != std::string_view::npos;
  if (longest_line(text) > (tags ? kLineWithTagsMax : kLineBytesMax))
    return TextEncoding::quoted_printable;
  return tags || has_high(text) ? TextEncoding::eight_bit : TextEncoding::seven_bit;
}

size_t text_bytes_least(std::string_view text, bool merge, TextEncoding encoding) {
  size_t bytes = 0;
  std::string_view constant, tag;
  do {
    take_to_tag(text, merge, constant, tag);
    bytes += constant.size() + tag.size();
    for (size_t at = 0; at < constant.size(); ++at) {
      const char c = constant[at];
      if (c == '\r' || c == '\n') {
        const bool both = c == '\r' && at + 1 < constant.size() && constant[at + 1] == '\n';
        both ? ++at : ++bytes;
      } else if (encoding == TextEncoding::quoted_printable) {
        const bool plain = (c >= 32 && c <= 126 && c != '=') || c == '\t';
        bytes += plain ? 0 : 2;
      }
    }
  } while (!tag.empty());
  return bytes;
}

void append_text(std::string_view text, bool merge, TextEncoding encoding, std::string& out) {
  if (encoding != TextEncoding::quoted_printable) return append_with_crlf(text, out);
  QuotedWriter writer(out);
  std::string_view constant, tag;
  do {
    take_to_tag(text, merge, constant, tag);
    if (!constant.empty()) writer.constant(constant);
    if (!tag.empty()) writer.tag(tag);
  } while (!tag.empty());
}

}  // namespace veredus::mail
