#include "engine/mail/merge_regions.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/seven_bit.h"

namespace veredus::mail {
namespace {

bool has_tag(std::string_view text) {
  return text.find("{{") != std::string_view::npos;
}

// HTML, and all that is written with the same five characters.
bool is_markup(std::string_view type) {
  const std::string_view subtype = type.substr(std::min(type.find('/'), type.size()));
  return subtype.find("html") != std::string_view::npos ||
         subtype.find("xml") != std::string_view::npos;
}

bool is_identity(std::string_view encoding) {
  return encoding.empty() || encoding == "7bit" || encoding == "8bit" || encoding == "binary";
}

// Whether a value says nothing but by its variables: without {{…}}, and what sections hold, only
// blanks are left, and commas.
bool is_of_variables(std::string_view value) {
  size_t depth = 0;
  MergeTag tag;
  std::string_view why_not;
  for (size_t at = 0; at < value.size();) {
    if (value.substr(at).starts_with("{{") && read_merge_tag(value, at, tag, why_not)) {
      if (tag.kind == MergeTag::Kind::literal) return false;
      depth += tag.kind == MergeTag::Kind::open || tag.kind == MergeTag::Kind::inverted ? 1 : 0;
      depth -= tag.kind == MergeTag::Kind::close && depth > 0 ? 1 : 0;
      at = tag.end;
    } else if (depth == 0 &&
               std::string_view(" \t\r\n,").find(value[at]) == std::string_view::npos) {
      return false;
    } else {
      ++at;
    }
  }
  return true;
}

MergeContext context_of(FieldKind field, FieldSpan::Kind span) {
  switch (span) {
    case FieldSpan::Kind::text:
      return MergeContext::text;
    case FieldSpan::Kind::phrase:
      return MergeContext::phrase;
    case FieldSpan::Kind::address:
      return field == FieldKind::list_id ? MergeContext::list_id : MergeContext::address;
    case FieldSpan::Kind::bracket:
      return field == FieldKind::uri_list ? MergeContext::uri : MergeContext::message_id_part;
    case FieldSpan::Kind::quoted:
      return MergeContext::quoted_parameter;
    case FieldSpan::Kind::verbatim:
      break;
  }
  if (field == FieldKind::message_id) return MergeContext::message_id;
  return field == FieldKind::parameters ? MergeContext::parameter : MergeContext::verbatim;
}

class Reader {
 public:
  Reader(std::string_view clean, MergeRegions& out) : clean_(clean), out_(out) {}

  // Header, empty line, body, from `begin` to `end`. `of_digest`: what does not say what it is is a
  // message (RFC 2046 §5.1.5).
  void entity(size_t begin, size_t end, unsigned depth, bool of_digest) {
    const std::string_view text = clean_.substr(begin, end - begin);
    const size_t block = header_end(text);
    if (depth == 0) out_.header_bytes = block;
    if (!has_tag(text)) return;
    const std::string_view head = text.substr(0, block);
    EntityHeader header;
    const bool understood = read_entity_header(head, header);
    if (has_tag(head)) fields(begin, head, header, depth == 0);
    const size_t body = begin + block + (text.substr(block).starts_with("\r\n") ? 2 : 0);
    if (!has_tag(clean_.substr(body, end - body))) return;
    if (!understood) return fault(body, end, "a header that is not understood stands in front");
    if (depth > kPartDepthMax) return fault(body, end, "parts are nested too deep");
    if (depth > 0 && ++parts_ > kPartsMax)
      return fault(body, end, "the message has too many parts");
    if (header.type.empty() && of_digest) header.type = "message/rfc822";
    if (header.type.starts_with("multipart/") || header.type == "message/rfc822") {
      if (!is_identity(header.encoding))
        return fault(body, end, "a part that has parts cannot be encoded");
      if (header.type == "message/rfc822") return entity(body, end, depth + 1, false);
      if (header.type == "multipart/signed" || header.type == "multipart/encrypted")
        return fault(body, end, "what is signed or encrypted cannot be changed");
      return multipart(body, end, header, depth);
    }
    leaf(body, end, header);
  }

 private:
  void add(size_t begin, size_t end, MergeContext context, bool of_message = false,
           std::string_view why = {}) {
    if (has_tag(clean_.substr(begin, end - begin)))
      out_.regions.push_back({begin, end, context, of_message, why});
  }
  void fault(size_t begin, size_t end, std::string_view why) {
    add(begin, end, MergeContext::body, false, why);
  }

  void leaf(size_t begin, size_t end, const EntityHeader& header) {
    const bool markup = is_markup(header.type);
    if (header.encoding == "quoted-printable") {
      add(begin, end, markup ? MergeContext::html_quoted : MergeContext::body_quoted);
    } else if (is_identity(header.encoding)) {
      add(begin, end, markup ? MergeContext::html : MergeContext::body);
    } else {
      fault(begin, end, "the part is encoded, and not in quoted-printable");
    }
  }

  // RFC 2046 §5.1.1: the line end in front of a delimiter belongs to it.
  void multipart(size_t begin, size_t end, const EntityHeader& header, unsigned depth) {
    if (header.boundary.empty()) return fault(begin, end, "a multipart has no boundary");
    const std::string delimiter = "--" + header.boundary;
    if (std::find(out_.delimiters.begin(), out_.delimiters.end(), delimiter) ==
        out_.delimiters.end())
      out_.delimiters.push_back(delimiter);
    const bool digest = header.type == "multipart/digest";
    size_t part = std::string_view::npos;  // where the open one begins
    for (size_t at = begin; at < end;) {
      const size_t newline = clean_.find('\n', at);
      const size_t next = std::min(newline == std::string_view::npos ? end : newline + 1, end);
      std::string_view line = clean_.substr(at, next - at);
      if (line.starts_with(delimiter)) {
        line = line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
        const bool closes = line.size() == delimiter.size() + 2 && line.ends_with("--");
        if (closes || line.size() == delimiter.size()) {
          if (part == std::string_view::npos) {
            add(begin, at, MergeContext::body);
          } else if (at > part) {
            entity(part, at - 2, depth + 1, digest);
          }
          if (closes) return add(next, end, MergeContext::body);
          part = next;
        }
      }
      at = next;
    }
    if (part == std::string_view::npos) return add(begin, end, MergeContext::body);
    entity(part, end, depth + 1, digest);
  }

  void fields(size_t begin, std::string_view block, const EntityHeader& header, bool of_message) {
    const size_t size = block.size();
    HeaderField field;
    for (std::string_view whole; !block.empty();) {
      const size_t at = begin + size - block.size();
      const bool is_field = take_field(block, whole, field);
      if (!has_tag(whole)) continue;
      if (!is_field || has_tag(field.name)) {
        add(at, at + whole.size(), MergeContext::verbatim, of_message,
            "the name of a header field cannot be a variable");
        continue;
      }
      value(at + whole.size() - field.value.size(), field, header, of_message);
    }
  }

  void value(size_t at, const HeaderField& field, const EntityHeader& header, bool of_message) {
    const FieldKind kind = field_kind(field.name);
    if (kind == FieldKind::parameters && shapes(field, header)) {
      return add(at, at + field.value.size(), MergeContext::verbatim, of_message,
                 "what type, encoding and parts a part has cannot be a variable");
    }
    field_spans(kind, field.value, spans_);
    const size_t first = out_.regions.size();
    for (const FieldSpan& span : spans_)
      add(at + span.begin, at + span.end, context_of(kind, span.kind), of_message);
    if (kind == FieldKind::unstructured || !is_of_variables(field.value)) return;
    for (size_t i = first; i < out_.regions.size(); ++i) {
      out_.regions[i].name = static_cast<size_t>(field.name.data() - clean_.data());
      out_.regions[i].name_size = field.name.size();
    }
  }

  // Whether a {{…}} in this field would decide how the body is read.
  static bool shapes(const HeaderField& field, const EntityHeader& header) {
    if (same_name(field.name, "content-transfer-encoding")) return true;
    if (!same_name(field.name, "content-type")) return false;
    return !header.boundary.empty() || header.type.starts_with("multipart/") ||
           field.value.find("{{") < field.value.find(';');
  }

  std::string_view clean_;
  MergeRegions& out_;
  std::vector<FieldSpan> spans_;
  unsigned parts_ = 0;
};

}  // namespace

void find_merge_regions(std::string_view clean, MergeRegions& out) {
  out.regions.clear();
  out.delimiters.clear();
  out.header_bytes = 0;
  Reader(clean, out).entity(0, clean.size(), 0, false);
}

}  // namespace veredus::mail
