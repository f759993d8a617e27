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

// Names utf-8 as the charset of a text that is UTF-8, or will be by variables, and has none, or
// us-ascii. In a leaf that has no Content-Type one is put at the end of its header.
void name_charset(const Leaf& leaf, size_t at, bool merge, std::string& for_header_end,
                  std::vector<Edit>& edits) {
  const EntityHeader& fields = leaf.fields;
  if (!is_text(leaf) || (fields.charset && !fields.us_ascii()) || !is_identity(fields.encoding))
    return;
  const bool slots = merge && leaf.body.find("{{") != std::string_view::npos;
  if (!is_utf8(leaf.body) || !(slots || has_high(leaf.body))) return;
  std::string_view value;
  const size_t end = end_of_field(leaf.header, "content-type", value);
  if (end == std::string_view::npos) {
    for_header_end += "Content-Type: text/plain; charset=utf-8\r\n";
    return;
  }
  Edit edit{end, end, without_blanks(value).ends_with(';') ? " charset=utf-8" : "; charset=utf-8"};
  if (fields.charset_end != 0) edit = {fields.charset_begin, fields.charset_end, "utf-8"};
  // An open comment or quote would swallow it.
  std::string header;
  EntityHeader then;
  append_edited(leaf.header, {edit}, header);
  if (!read_entity_header(header, then) || !then.charset || then.us_ascii()) return;
  edits.push_back({at + edit.begin, at + edit.end, std::move(edit.text)});
}

// Says 8bit of a part with bytes over 127 that says 7bit, or nothing, which is that, too.
void name_eight_bit(const Leaf& leaf, size_t at, std::string& for_header_end,
                    std::vector<Edit>& edits) {
  const EntityHeader& fields = leaf.fields;
  if (!fields.encoding.empty() && fields.encoding != "7bit") return;
  if (!has_high(leaf.body)) return;
  std::string field = "Content-Transfer-Encoding: 8bit\r\n";
  if (fields.encoding_end == 0) {
    for_header_end += field;
  } else {
    edits.push_back({at + fields.encoding_begin, at + fields.encoding_end, std::move(field)});
  }
}

// The fields that a message lacks.
void add_fields(Findings found, const FixSettings& settings, std::string& out) {
  if (found.has(Finding::mime_version_missing)) out += "MIME-Version: 1.0\r\n";
  if (found.has(Finding::feedback_id_missing) && !settings.feedback_id.empty())
    ((out += "Feedback-ID: ") += settings.feedback_id) += "\r\n";
}

// What parts say of their content. `for_header_end`: of the message.
void fix_parts(std::string_view clean, Findings found, const FixSettings& settings,
               std::string& for_header_end, std::vector<Edit>& edits) {
  std::string added;
  const bool walked = walk_leaves(clean, [&](const Leaf& leaf) {
    if (leaf.sealed) return true;
    const auto at = static_cast<size_t>(leaf.header.data() - clean.data());
    std::string fields;
    std::string& where = leaf.message ? added : fields;
    if (found.has(Finding::charset_missing)) name_charset(leaf, at, settings.merge, where, edits);
    if (found.has(Finding::eight_bit_encoding)) name_eight_bit(leaf, at, where, edits);
    const size_t header_ends = at + leaf.header.size();
    if (!fields.empty()) edits.push_back({header_ends, header_ends, std::move(fields)});
    return true;
  });
  if (!walked) return edits.clear();
  for_header_end += added;
  // Fields of one header come in any order.
  std::stable_sort(edits.begin(), edits.end(),
                   [](const Edit& a, const Edit& b) { return a.begin < b.begin; });
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
  add_fields(found, settings, for_header_end);
  if (found.has(Finding::charset_missing) || found.has(Finding::eight_bit_encoding))
    fix_parts(clean, found, settings, for_header_end, edits);
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
      name_charset(leaf, at, false, for_header_end, edits);
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
