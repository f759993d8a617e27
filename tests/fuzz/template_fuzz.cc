#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/content.h"
#include "engine/mail/idn.h"
#include "engine/mail/mailbox_list.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/template.h"

namespace {

using namespace veredus;

constexpr unsigned kShapes = 10;
constexpr unsigned kSubject = 6, kFrom = 8;

// By chance alone hardly any input has parts: the second byte says where in a fixed message the
// rest of the input stands.
std::string message_of(uint8_t shape, std::string_view text) {
  const std::string given(text);
  const std::string parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
  switch (shape % kShapes) {
    case 0:
      return "A: {{h|x}}\r\n" + given;
    case 1:
      return "Content-Type: text/html\r\n\r\n" + given;
    case 2:
      return parts + "Content-Type: text/html\r\n\r\n" + given + "\r\n--b--\r\n";
    case 3:
      return parts + given + "\r\n--b--\r\n";
    case 4:
      return parts + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + given +
             "\r\n--b--\r\n";
    case 5:
      return "To: " + given + "\r\n\r\nx\r\n";
    case 6:
      return "Subject: " + given + "\r\n\r\nx\r\n";
    case 8:
      return "From: " + given + "\r\n\r\nx\r\n";
    case 9:
      return "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + given;
    default:
      return "List-Help: <" + given + ">\r\n\r\nx\r\n";
  }
}

// Names of the header fields, in their order.
std::vector<std::string> fields_of(std::string_view text) {
  std::vector<std::string> names;
  const std::string_view block = text.substr(0, mail::header_end(text));
  for (size_t at = 0; at < block.size(); at = block.find('\n', at) + 1) {
    if (block[at] == ' ' || block[at] == '\t') continue;
    names.emplace_back(block.substr(at, block.find(':', at) - at));
  }
  return names;
}

// The author's domain where no value has a part in it; empty: it is not known, or a section may
// leave it out.
std::string constant_author(std::string_view text) {
  std::string masked(text.substr(0, mail::header_end(text)));
  if (masked.find("{{#") != std::string::npos || masked.find("{{^") != std::string::npos) return {};
  for (size_t at = 0; (at = masked.find("{{", at)) != std::string::npos;) {
    const size_t end = mail::behind_merge_tag(text, at);
    std::fill(masked.begin() + static_cast<ptrdiff_t>(at),
              masked.begin() + static_cast<ptrdiff_t>(end), 'x');
    at = end;
  }
  const std::string_view domain = mail::author_domain(masked);
  if (domain.empty() || mail::has_high(domain)) return {};
  const auto at = static_cast<size_t>(domain.data() - masked.data());
  return text.substr(at, domain.size()) == domain ? std::string(domain) : std::string();
}

size_t delimiters_of(std::string_view text) {
  size_t count = text.starts_with("--b");
  for (size_t at = 0; (at = text.find("\n--b", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

void check_lines(std::string_view text) {
  const size_t header_bytes = mail::header_end(text);
  size_t line = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\0' || (c == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'))) abort();
    if (c != '\n') continue;
    if (i == 0 || text[i - 1] != '\r' || i - 1 - line > mail::kLineBytesMax) abort();
    line = i + 1;
  }
  if (line != text.size() || header_bytes == 0) abort();
}

}  // namespace

// A message and a value, the first byte says where one ends and the other begins. What the door
// lets through can be rendered; it holds no bare CR or LF, no NUL, no long line, and, stuffed, no
// end of data; it has the header fields and the parts of its template, and bytes over 127 are where
// they are said to be.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t cut = all.size() * data[0] / 255;
  const std::string_view value = all.substr(0, cut);
  mail::Normalised content;
  mail::ContentError error;
  const unsigned shape = data[1] % kShapes;
  const std::string raw = message_of(data[1], all.substr(cut));
  if (!mail::normalise(raw, true, content, error, mail::ContentOrigin::built)) return 0;
  absl::StatusOr<mail::Template> compiled = mail::Template::compile(content.bytes, content.flags);
  absl::StatusOr<mail::Template> door =
      mail::Template::compile_for_check(content.bytes, content.flags);
  if (compiled.ok() != door.ok()) abort();
  if (!compiled.ok()) return 0;
  queue::Batch batch;
  batch.sender = "a@b.c";
  queue::Entry entry;
  entry.to = "ada@example.org";
  entry.vars = {{"a", value}, {"b", "x"}, {"h", value}};
  mail::Refusal refusal, again;
  const bool good = compiled->check(batch, entry, refusal);
  if (door->check(batch, entry, again) != good || again.reason != refusal.reason) abort();
  if (!good && (refusal.reason.empty() || refusal.status.empty())) abort();
  mail::RenderSettings settings;
  settings.trace = false;
  mail::Renderer renderer(settings);
  mail::RenderRequest request;
  request.batch = &batch;
  request.entry = &entry;
  std::string path, scratch;
  mail::Rendered out;
  for (const bool own : {false, true}) {
    entry.message = content.bytes;
    entry.content_flags = content.flags & ~(queue::kContentNoDate | queue::kContentNoMessageId);
    std::string texts[2];
    for (const bool stuffed : {false, true}) {
      request.dot_stuffed = stuffed;
      const bool made =
          renderer.render(own ? nullptr : &*compiled, request, path, scratch, out).ok();
      if (!good) continue;
      if (!made) abort();
      for (const mail::Piece& piece : out.pieces) texts[stuffed].append(piece.data, piece.size);
      if (out.size != texts[stuffed].size()) abort();
      if (!stuffed && out.stuffing != 0) abort();
    }
    if (!good) continue;
    const std::string_view made = texts[0];
    std::string wanted;
    mail::append_dot_stuffed(texts[0], true, wanted);
    if (texts[1] != wanted || out.stuffing != wanted.size() - texts[0].size()) abort();
    if (texts[1].find("\n.\r") != std::string::npos || texts[1].starts_with(".\r")) abort();
    check_lines(texts[0]);
    std::vector<std::string> fields = fields_of(made);
    const std::vector<std::string> given = fields_of(content.bytes);
    // The renderer's own stand in front.
    const size_t more = fields.size() - given.size();
    if (fields.size() < given.size() || more > (own ? 0 : 2)) abort();
    fields.erase(fields.begin(), fields.begin() + static_cast<ptrdiff_t>(more));
    if (fields != given) abort();
    // A value moves nobody's domain, and says no encoded word.
    const std::string author = shape == kFrom ? constant_author(content.bytes) : "";
    const std::string_view domain = mail::author_domain(made);
    if (!author.empty() && !domain.empty() && domain != author) abort();
    if (shape == kSubject && value.size() > 8 && value.starts_with("=?") &&
        !value.starts_with("=?UTF-8?B?") && value.ends_with("?=") &&
        raw.find_first_of("=?") == std::string::npos &&
        made.substr(0, mail::header_end(made)).find(value) != std::string_view::npos)
      abort();
    // A section may leave out no more than the template has.
    if (shape >= 2 && shape <= 4 && compiled->has_slots() &&
        delimiters_of(made) > delimiters_of(content.bytes))
      abort();
    const bool high_said = out.eight_bit || (content.flags & queue::kContentEightBit) != 0;
    if (mail::has_high(texts[0]) && !high_said) abort();
    const bool utf8_said = out.header_utf8 || (content.flags & queue::kContentHeaderUtf8) != 0;
    if (mail::has_high(std::string_view(texts[0]).substr(0, mail::header_end(texts[0]))) &&
        !utf8_said)
      abort();
  }
  return 0;
}
