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
    std::string made;
    size_t column = 0;
    append_quoted_printable(text, column, made);
    const size_t first = std::min(made.find('\r'), made.size());
    make_room(first);
    out_ += made;
    const size_t last = made.rfind('\n');
    line_ = last == std::string::npos ? line_ + made.size() : made.size() - last - 1;
  }
  void tag(std::string_view text) {
    make_room(text.size());
    out_ += text;
    line_ += text.size();
  }

 private:
  static_assert(kTagBytesMax < kLineBytesMax);

  void make_room(size_t bytes) {
    if (line_ + bytes < kLineBytesMax) return;  // a soft break takes one more
    out_ += "=\r\n";
    line_ = 0;
  }

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
  const bool tags = merge && text.find("{{") != std::string_view::npos;
  if (longest_line(text) > (tags ? kLineWithTagsMax : kLineBytesMax))
    return TextEncoding::quoted_printable;
  return tags || has_high(text) ? TextEncoding::eight_bit : TextEncoding::seven_bit;
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
