#include "engine/mail/admission_fix.h"

#include <algorithm>
#include <vector>

#include "engine/mail/content.h"
#include "engine/mail/entity_walk.h"
#include "engine/mail/field_syntax.h"
#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"
#include "engine/mail/quoted_printable.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

// What stands in place of text[begin, end).
struct Edit {
  size_t begin = 0, end = 0;
  std::string text;
};

// Edits in the order of their places, and apart.
void append_edited(std::string_view text, const std::vector<Edit>& edits, std::string& out) {
  size_t from = 0;
  for (const Edit& edit : edits) {
    (out += text.substr(from, edit.begin - from)) += edit.text;
    from = edit.end;
  }
  out += text.substr(from);
}

// Where a field of a header block ends in front of its line end; npos: there is no such field.
// `value` is set.
size_t end_of_field(std::string_view block, std::string_view small, std::string_view& value) {
  const size_t size = block.size();
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    if (!take_field(block, whole, field) || !same_name(field.name, small)) continue;
    value = field.value;
    const size_t end = size - block.size();
    return end - (whole.ends_with("\r\n") ? 2 : 0);
  }
  return std::string_view::npos;
}

bool is_text(const Leaf& leaf) {
  return leaf.fields.type.empty() || leaf.fields.type.starts_with("text/");
}
bool is_identity(std::string_view encoding) {
  return encoding.empty() || encoding == "7bit" || encoding == "8bit";
}

// Names utf-8 as the charset of a text that is UTF-8 and has none. In a leaf that has no
// Content-Type one is put at the end of its header.
void name_charset(const Leaf& leaf, size_t at, std::string& for_header_end,
                  std::vector<Edit>& edits) {
  if (leaf.sealed || !is_text(leaf) || leaf.fields.charset || !is_identity(leaf.fields.encoding))
    return;
  if (!has_high(leaf.body) || !is_utf8(leaf.body)) return;
  std::string_view value;
  const size_t end = end_of_field(leaf.header, "content-type", value);
  if (end == std::string_view::npos) {
    for_header_end += "Content-Type: text/plain; charset=utf-8\r\n";
  } else {
    const bool ends_parameters = without_blanks(value).ends_with(';');
    edits.push_back({at + end, at + end, ends_parameters ? " charset=utf-8" : "; charset=utf-8"});
  }
}

// The fields that a message lacks.
void add_fields(std::string_view block, Findings found, const FixSettings& settings,
                std::string& out) {
  std::string_view value;
  if (found.has(Finding::mime_version_missing)) out += "MIME-Version: 1.0\r\n";
  if (found.has(Finding::unsubscribe_one_click) &&
      end_of_field(block, "list-unsubscribe-post", value) == std::string_view::npos &&
      end_of_field(block, "list-unsubscribe", value) != std::string_view::npos &&
      read_unsubscribe(value).https)
    out += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
  if (found.has(Finding::feedback_id_missing) && !settings.feedback_id.empty())
    ((out += "Feedback-ID: ") += settings.feedback_id) += "\r\n";
}

bool is_signed(std::string_view clean) {
  EntityHeader header;
  return !read_entity_header(clean.substr(0, header_end(clean)), header) || header.signature;
}

bool has_long_line(std::string_view body) {
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    if (end - at > kLineBytesMax + 1) return true;  // its CR is counted
    at = end + 1;
  }
  return false;
}

void append_base64_lines(std::string_view digits, std::string& out) {
  for (; digits.size() > kEncodedLineMax; digits.remove_prefix(kEncodedLineMax))
    (out += digits.substr(0, kEncodedLineMax)) += "\r\n";
  out += digits;
}

// The body of a leaf without long lines; `encoding` is what it has then. False: it cannot be.
bool short_body(const Leaf& leaf, std::string_view& encoding, std::string& out) {
  std::string digits;
  // The last line end stays where it is: behind it the part, or the message, goes on.
  const std::string_view end = leaf.body.ends_with("\r\n") ? "\r\n" : "";
  if (leaf.fields.encoding == "base64") {
    encoding = "base64";
    for (const char c : leaf.body) {
      if (c != '\r' && c != '\n' && c != ' ' && c != '\t') digits += c;
    }
  } else if (!is_identity(leaf.fields.encoding) || leaf.fields.type.starts_with("message/")) {
    return false;
  } else if (is_text(leaf)) {
    encoding = "quoted-printable";
    size_t column = 0;
    append_quoted_printable(leaf.body, column, out);
    return true;
  } else {
    encoding = "base64";
    append_base64(leaf.body, digits);
  }
  append_base64_lines(digits, out);
  out += end;
  return true;
}

}  // namespace

bool fix_message(std::string_view clean, Findings found, const FixSettings& settings,
                 std::string& out) {
  if (is_signed(clean)) return false;
  const size_t end = header_end(clean);
  std::string for_header_end;
  std::vector<Edit> edits;
  add_fields(clean.substr(0, end), found, settings, for_header_end);
  if (found.has(Finding::charset_missing)) {
    const bool walked = walk_leaves(clean, [&](const Leaf& leaf) {
      const auto at = static_cast<size_t>(leaf.header.data() - clean.data());
      std::string fields;
      name_charset(leaf, at, leaf.message ? for_header_end : fields, edits);
      const size_t header_ends = at + leaf.header.size();
      if (!fields.empty()) edits.push_back({header_ends, header_ends, std::move(fields)});
      return true;
    });
    if (!walked) edits.clear();
  }
  if (!for_header_end.empty()) {
    // Behind all edits in the header of the message, in front of those in parts.
    const auto behind = std::find_if(edits.begin(), edits.end(),
                                     [&](const Edit& edit) { return edit.begin > end; });
    edits.insert(behind, {end, end, std::move(for_header_end)});
  }
  if (edits.empty()) return false;
  append_edited(clean, edits, out);
  return true;
}

bool shorten_lines(std::string_view clean, bool name_charsets, std::string& out, Findings& mended) {
  mended = {};
  if (is_signed(clean)) return false;
  std::vector<Edit> edits;
  bool named = false;
  const bool walked = walk_leaves(clean, [&](const Leaf& leaf) {
    if (!has_long_line(leaf.body)) return true;
    std::string_view encoding;
    std::string body;
    if (leaf.sealed || !short_body(leaf, encoding, body)) return false;
    const auto at = static_cast<size_t>(leaf.header.data() - clean.data());
    const size_t header_ends = at + leaf.header.size();
    const EntityHeader& fields = leaf.fields;
    std::string for_header_end;
    if (name_charsets) {
      const size_t before = edits.size();
      name_charset(leaf, at, for_header_end, edits);
      named = named || edits.size() > before || !for_header_end.empty();
    }
    std::string field = "Content-Transfer-Encoding: " + std::string(encoding) + "\r\n";
    if (leaf.message && !fields.mime_version) field += "MIME-Version: 1.0\r\n";
    if (fields.encoding_end != 0) {
      edits.push_back({at + fields.encoding_begin, at + fields.encoding_end, std::move(field)});
    } else {
      for_header_end += field;
    }
    if (!for_header_end.empty())
      edits.push_back({header_ends, header_ends, std::move(for_header_end)});
    const auto begin = static_cast<size_t>(leaf.body.data() - clean.data());
    edits.push_back({begin, begin + leaf.body.size(), std::move(body)});
    return true;
  });
  if (!walked || edits.empty()) return false;
  // Of two fields of one header the later one may have been edited first.
  std::sort(edits.begin(), edits.end(),
            [](const Edit& a, const Edit& b) { return a.begin < b.begin; });
  append_edited(clean, edits, out);
  mended = {Finding::line_length};
  if (named) mended.add(Finding::charset_missing);
  return true;
}

}  // namespace veredus::mail
