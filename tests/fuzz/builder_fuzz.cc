#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/builder.h"
#include "engine/mail/content.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/html_text.h"
#include "engine/mail/idn.h"
#include "engine/mail/tag_span.h"
#include "engine/mail/template.h"
#include "engine/mail/utf8.h"
#include "tests/fuzz/quoted_decoded.h"

namespace {

using namespace veredus;
using namespace veredus::mail;

// With tags in it, which stand as they are.
std::string merged_decoded(std::string_view text) {
  std::string out;
  std::string_view constant, tag;
  do {
    take_to_tag(text, true, constant, tag);
    (out += quoted_decoded(constant)) += tag;
  } while (!tag.empty());
  return out;
}

std::string base64_decoded(std::string_view text) {
  std::string digits, out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find("\r\n", at), text.size());
    if (end - at > 76) abort();
    digits += text.substr(at, end - at);
    at = end + 2;
  }
  size_t fault = 0;
  if (!append_base64_decoded(digits, out, fault)) abort();
  return out;
}

std::string with_crlf(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' && text[i] != '\n') {
      out += text[i];
      continue;
    }
    out += "\r\n";
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  return out;
}

// The leaves of a message: type, encoding, and body, decoded where nothing is merged into it.
struct Leaf {
  std::string type, encoding, body;
};

void read_leaves(std::string_view entity, bool merge, bool whole, std::vector<Leaf>& leaves) {
  size_t end = header_end(entity);
  std::string_view block = entity.substr(0, end), body = entity.substr(end);
  if (!body.starts_with("\r\n")) abort();
  body.remove_prefix(2);
  // Fields about the content, which are ASCII, are the last of the header.
  const std::string_view type = "\r\nContent-Type: ";
  const size_t before = block.find(type);
  const size_t content = block.starts_with(type.substr(2)) ? 0 : before + 2;
  if (content != 0 && before == std::string_view::npos) abort();
  EntityHeader header;
  if (!read_entity_header(block.substr(content), header)) abort();
  if (!header.type.starts_with("multipart/")) {
    Leaf leaf = {header.type, header.encoding, std::string(body)};
    if (whole && leaf.body.ends_with("\r\n") && header.encoding != "base64")
      leaf.body.resize(leaf.body.size() - 2);
    if (header.encoding == "base64") leaf.body = base64_decoded(leaf.body);
    if (header.encoding == "quoted-printable")
      leaf.body = merge ? merged_decoded(leaf.body) : quoted_decoded(leaf.body);
    leaves.push_back(std::move(leaf));
    return;
  }
  const std::string delimiter = "--" + header.boundary;
  if (!body.starts_with(delimiter + "\r\n")) abort();
  body.remove_prefix(delimiter.size() + 2);
  for (size_t next; (next = body.find("\r\n" + delimiter)) != std::string_view::npos;) {
    read_leaves(body.substr(0, next), merge, false, leaves);
    body.remove_prefix(next + 2 + delimiter.size());
    if (body == "--" || body == "--\r\n") return;
    if (!body.starts_with("\r\n")) abort();
    body.remove_prefix(2);
  }
  abort();
}

// Names of the fields of a header, in their order.
std::string names_of(std::string_view block) {
  std::string names;
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    if (!take_field(block, whole, field)) abort();
    (names += field.name) += ' ';
  }
  return names;
}

// What is not ASCII is encoded: all but texts and names that rendering encodes as a whole, for they
// have tags, and the local parts of addresses. `given`: a value may have encoded words of its own,
// or comments, which stay.
void check_header(std::string_view block, bool merge, bool given) {
  HeaderField field;
  std::vector<FieldSpan> spans;
  for (std::string_view whole; !block.empty();) {
    if (!take_field(block, whole, field)) abort();
    const bool tags = merge && whole.find("{{") != std::string_view::npos;
    const FieldKind kind = field_kind(field.name);
    if (has_high(whole) && kind != FieldKind::address && !tags) abort();
    if (kind == FieldKind::address) {
      field_spans(kind, field.value, spans);
      for (const FieldSpan& span : spans) {
        const std::string_view text = field.value.substr(span.begin, span.end - span.begin);
        if (span.kind == FieldSpan::Kind::verbatim && has_high(text)) abort();
        if (span.kind == FieldSpan::Kind::phrase && !tags) abort();
      }
    }
    while (!whole.empty() && !given && !tags) {
      const std::string_view line = whole.substr(0, whole.find('\r'));
      if (line.size() > 76 && line.find("=?UTF-8?B?") != std::string_view::npos) abort();
      whole.remove_prefix(std::min(line.size() + 2, whole.size()));
    }
  }
}

// Chance alone makes hardly anything that is UTF-8 and has tags: what is none becomes letters, and
// controls become words.
std::string worded(std::string_view input) {
  static const std::string kLong(600, 'x');
  static const std::string_view kWords[] = {
      "{{x}}", "{{#x}}",  "{{/x}}",   "{{^x}}", "{{{x}}}",    "{{x|",       "}}",
      "{{",    "<p>",     "</p>",     "&lt;",   "<a href=\"", "&#123;",     "<li>",
      "<",     "<style>", "\r\n",     "\n",     " ",          "{{\"{{\"}}", "{{to}}",
      "@",     "=",       "\xc3\xa4", "<pre>",  "https://"};
  std::string out;
  while (!input.empty()) {
    const size_t length = utf8_length(input);
    const auto byte = static_cast<unsigned char>(input.front());
    if (length == 0 || byte == 127) {
      out += static_cast<char>('a' + byte % 26);
    } else if (byte == 31) {
      out += kLong;
    } else if (byte < 32 && byte != 1) {
      out += kWords[byte % std::size(kWords)];
    } else {
      out += input.substr(0, length);
    }
    input.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace

// The first byte says what there is; a byte 1 parts the fields. What is made of parts is clean, has
// the fields that were asked for and no others, and in its leaves what was given.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const unsigned shape = data[0];
  std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((shape & 0x80) == 0) input = worded(input);
  std::array<std::string_view, 8> pieces;
  size_t piece = 0, from = 0;
  for (size_t at = 0; at <= input.size(); ++at) {
    if (at < input.size() && (input[at] != 1 || piece + 1 == pieces.size())) continue;
    pieces[piece++] = std::string_view(input).substr(from, at - from);
    from = at + 1;
    if (piece == pieces.size()) break;
  }
  // Seldom is all good by chance: what stands in the first piece is tried at one place.
  MessageParts parts;
  BuildSettings settings;
  settings.merge = (shape & 1) != 0;
  parts.from = "News <n@x.example>";
  parts.text = pieces[1];
  parts.has_text = (shape & 2) != 0;
  parts.html = pieces[2];
  std::string wanted = "From ", content;
  std::string_view name = "X-A";
  const unsigned place = shape >> 2 & 7;
  const std::string_view subject = pieces[0];
  if (place == 1) parts.from = pieces[0];
  if (place == 2) parts.has_reply_to = true, parts.reply_to = pieces[0], wanted += "Reply-To ";
  if (place == 3) parts.has_to = true, parts.to = pieces[0];
  wanted += "To ";
  if (place == 0) parts.has_subject = true, parts.subject = subject, wanted += "Subject ";
  if (place == 4) {
    parts.headers.push_back({name, pieces[0]});
    wanted += "X-A ";
  } else if (place == 5) {
    parts.headers.push_back({pieces[0], "x@y.example"});
    wanted += std::string(pieces[0]) + ' ';
  } else if (place == 6) {
    parts.has_unsubscribe = true;
    parts.unsubscribe_url = pieces[0];
  } else if (place == 7) {
    parts.has_unsubscribe = true;
    parts.unsubscribe_mailto = pieces[0];
  }
  if (place >= 6) wanted += "List-Unsubscribe ";
  if ((shape & 0x20) != 0) {
    append_base64(pieces[3], content);
    parts.attachments.push_back({pieces[4], pieces[5], content, pieces[6]});
    if ((shape & 0x40) != 0) parts.attachments.push_back({"", "", "", "other"});
  }
  std::string made, again;
  BuildFault fault;
  if (!build_message(parts, settings, made, fault)) {
    if (fault.reason.empty()) abort();
    return 0;
  }
  if (!build_message(parts, settings, again, fault) || again != made) abort();
  Normalised clean;
  ContentError error;
  if (!normalise(made, settings.merge, clean, error, ContentOrigin::built)) abort();
  if (clean.bytes.data() != made.data()) abort();

  std::string names = names_of(made.substr(0, header_end(made)));
  const size_t mime = names.find("MIME-Version Content-Type ");
  if (mime == std::string::npos) abort();
  std::string own = names.substr(0, mime);
  const std::string post = "List-Unsubscribe-Post ";
  if (place == 6 && own.ends_with(post)) own.resize(own.size() - post.size());
  if (own != wanted) abort();
  check_header(std::string_view(made).substr(0, header_end(made)), settings.merge,
               pieces[0].find_first_of("?(;") != std::string_view::npos);

  std::vector<Leaf> leaves;
  read_leaves(made, settings.merge, true, leaves);
  size_t at = 0;
  const auto is_text = [&](std::string_view type) {
    return at < leaves.size() && leaves[at].type == type;
  };
  const auto check = [&](std::string_view text) {
    std::string crlf = with_crlf(text);
    const bool alone = leaves.size() == 1;  // its last line end is the message's
    if (alone && crlf.ends_with("\r\n")) crlf.resize(crlf.size() - 2);
    if (leaves[at].body != crlf) abort();
    ++at;
  };
  if (is_text("text/plain") && (parts.has_text || parts.html.empty())) {
    if (parts.has_text) check(parts.text);
  } else if (is_text("text/plain") && !parts.html.empty()) {
    std::string derived;
    if (!append_html_text(parts.html, settings.merge, derived)) abort();
    check(derived);
  }
  if (!parts.html.empty()) {
    if (!is_text("text/html")) abort();
    check(parts.html);
  }
  if (leaves.size() - at != parts.attachments.size()) abort();
  for (; at < leaves.size(); ++at) {
    if (leaves[at].body != "" && leaves[at].body != pieces[3]) abort();
  }

  if (!settings.merge) return 0;
  const absl::StatusOr<Template> compiled = Template::compile(clean.bytes, clean.flags);
  if (!compiled.ok() && compiled.status().message().find("nested") == std::string_view::npos &&
      compiled.status().message().find("4096") == std::string_view::npos)
    abort();
  return 0;
}
