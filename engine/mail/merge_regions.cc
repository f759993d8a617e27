#include "engine/mail/merge_regions.h"

#include <algorithm>

#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/seven_bit.h"
#include "engine/mail/structured_field.h"

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

// A tag outside of what the parameters of a Content-Type say, in a charset or a boundary, or a
// section that takes a parameter in or out.
bool shapes_type(std::string_view value) {
  std::string masked(value);
  for (size_t at = 0; (at = value.find("{{", at)) != std::string_view::npos;) {
    const size_t end = behind_merge_tag(value, at);
    std::fill(masked.begin() + static_cast<ptrdiff_t>(at),
              masked.begin() + static_cast<ptrdiff_t>(end), 'x');
    at = end;
  }
  Tokens tokens(masked);
  size_t from = 0;  // behind the parameter before
  while (tokens.to_next_parameter()) {
    const auto name = tokens.word();
    if (!name || !tokens.take('=')) continue;
    const size_t begin = tokens.at();
    if (!tokens.parameter_value()) continue;
    const std::string_view said = value.substr(begin, tokens.at() - begin);
    if (has_tag(value.substr(from, begin - from))) return true;
    from = tokens.at();
    if (!has_tag(said)) continue;
    const std::string_view base = std::string_view(*name).substr(0, name->find('*'));
    if (same_name(base, "charset") || same_name(base, "boundary")) return true;
    long open = 0;
    for (size_t at = 0; (at = said.find("{{", at)) != std::string_view::npos; at += 2) {
      const char sign = at + 2 < said.size() ? said[at + 2] : ' ';
      open += sign == '#' || sign == '^' ? 1 : sign == '/' ? -1 : 0;
    }
    if (open != 0) return true;
  }
  return has_tag(value.substr(from));
}

bool is_message(std::string_view type) {
  return type == "message/rfc822" || type == "message/global";
}

class Reader {
 public:
  // `all`: parts without {{…}} are looked into, too.
  Reader(std::string_view clean, MergeRegions& out, bool all = false)
      : clean_(clean), out_(out), all_(all) {}
  size_t encoded = std::string_view::npos;  // where the first part says that it is

  // Header, empty line, body, from `begin` to `end`. `of_digest`: what does not say what it is is a
  // message (RFC 2046 §5.1.5).
  void entity(size_t begin, size_t end, unsigned depth, bool of_digest) {
    const std::string_view text = clean_.substr(begin, end - begin);
    const size_t block = header_end(text);
    if (depth == 0) out_.header_bytes = block;
    if (!all_ && !has_tag(text)) return;
    const std::string_view head = text.substr(0, block);
    EntityHeader header;
    const bool understood = read_entity_header(head, header);
    if (has_tag(head)) fields(begin, head, header, depth == 0);
    const size_t body = begin + block + (text.substr(block).starts_with("\r\n") ? 2 : 0);
    if (header.encoding == "base64" || header.encoding == "quoted-printable")
      encoded = std::min(encoded, begin + header.encoding_begin);
    if (!all_ && !has_tag(clean_.substr(body, end - body))) return;
    if (!understood) return fault(body, end, "a header that is not understood stands in front");
    if (depth > kPartDepthMax) return fault(body, end, "parts are nested too deep");
    if (depth > 0 && ++parts_ > kPartsMax)
      return fault(body, end, "the message has too many parts");
    if (header.type.empty() && of_digest) header.type = "message/rfc822";
    if (header.type.starts_with("multipart/") || is_message(header.type)) {
      if (!is_identity(header.encoding))
        return fault(body, end, "a part that has parts cannot be encoded");
      if (is_message(header.type)) return entity(body, end, depth + 1, false);
      if (header.type == "multipart/signed" || header.type == "multipart/encrypted")
        return fault(body, end, "what is signed or encrypted cannot be changed");
      return multipart(body, end, header, depth);
    }
    leaf(body, end, header);
  }

 private:
  void add(size_t begin, size_t end, MergeContext context, bool of_message = false,
           std::string_view why = {}, std::string_view charset = {}) {
    if (!has_tag(clean_.substr(begin, end - begin))) return;
    MergeRegion& region = out_.regions.emplace_back();
    region.begin = begin;
    region.end = end;
    region.context = context;
    region.of_message = of_message;
    region.fault = why;
    region.charset = charset;
  }
  void fault(size_t begin, size_t end, std::string_view why) {
    add(begin, end, MergeContext::body, false, why);
  }

  void leaf(size_t begin, size_t end, const EntityHeader& header) {
    const bool markup = is_markup(header.type);
    const bool utf8 = header.charset_name == "utf-8" || header.charset_name == "utf8";
    const std::string_view charset = utf8 ? std::string_view() : header.charset_name;
    if (header.encoding == "quoted-printable") {
      add(begin, end, markup ? MergeContext::html_quoted : MergeContext::body_quoted, false, {},
          charset);
    } else if (is_identity(header.encoding)) {
      add(begin, end, markup ? MergeContext::html : MergeContext::body, false, {}, charset);
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
    if (part == std::string_view::npos)
      return fault(begin, end, "no line has the boundary of the multipart");
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
                 "what type, charset, encoding and parts a part has cannot be a variable");
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
           shapes_type(field.value);
  }

  std::string_view clean_;
  MergeRegions& out_;
  bool all_;
  std::vector<FieldSpan> spans_;
  unsigned parts_ = 0;
};

}  // namespace

bool find_encoded_part(std::string_view clean, size_t& at) {
  MergeRegions regions;
  Reader reader(clean, regions, true);
  reader.entity(0, clean.size(), 0, false);
  at = reader.encoded;
  return at != std::string_view::npos;
}

void find_merge_regions(std::string_view clean, MergeRegions& out) {
  out.regions.clear();
  out.delimiters.clear();
  out.header_bytes = 0;
  Reader(clean, out).entity(0, clean.size(), 0, false);
}

}  // namespace veredus::mail
