#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/mail/content.h"
#include "engine/mail/template.h"

// A message and a value, the first byte says where one ends and the other begins. What the door
// lets through can be rendered; it holds no bare CR or LF, no NUL, no long line, and, stuffed, no
// end of data; and the header keeps its lines.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus;
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = all.size() * data[0] / 255;
  const std::string_view value = all.substr(0, cut);
  mail::Normalised content;
  mail::ContentError error;
  const std::string raw = "A: {{h|x}}\r\n" + std::string(all.substr(cut));
  if (!mail::normalise(raw, true, content, error)) return 0;
  absl::StatusOr<mail::Template> compiled = mail::Template::compile(content.bytes, content.flags);
  if (!compiled.ok()) return 0;
  queue::Batch batch;
  batch.sender = "a@b.c";
  queue::Entry entry;
  entry.to = "ada@example.org";
  entry.vars = {{"a", value}, {"b", value}, {"h", value}};
  mail::Refusal refusal;
  const bool good = compiled->check(batch, entry, refusal);
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
    }
    if (!good) continue;
    std::string wanted;
    mail::append_dot_stuffed(texts[0], true, wanted);
    if (texts[1] != wanted) abort();
    if (texts[1].find("\n.\r") != std::string::npos) abort();
    size_t line = 0;
    for (size_t i = 0; i < texts[0].size(); ++i) {
      const char c = texts[0][i];
      if (c == '\0' || (c == '\r' && (i + 1 == texts[0].size() || texts[0][i + 1] != '\n')))
        abort();
      if (c == '\n') {
        if (i == 0 || texts[0][i - 1] != '\r' || i - 1 - line > mail::kLineBytesMax) abort();
        line = i + 1;
      }
    }
  }
  return 0;
}
