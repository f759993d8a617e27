#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/content.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/entity_header.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/merge_regions.h"

// Fields, spans and regions: whatever the header block and the parts look like, nothing is passed
// over and nothing is seen twice.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace veredus::mail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  EntityHeader header;
  if (read_entity_header(text, header)) {
    if (header.encoding_begin > header.encoding_end || header.encoding_end > text.size()) abort();
    for (const char c : header.type + header.encoding) {
      if (c >= 'A' && c <= 'Z') abort();
    }
  }
  std::string_view block = text, whole;
  std::vector<FieldSpan> spans;
  for (HeaderField field; !block.empty();) {
    const size_t before = block.size();
    const bool is_field = take_field(block, whole, field);
    if (whole.empty() || before != block.size() + whole.size()) abort();
    if (!is_field) continue;
    for (const FieldKind kind : {field_kind(field.name), FieldKind::address, FieldKind::uri_list}) {
      field_spans(kind, field.value, spans);
      size_t at = 0;
      for (const FieldSpan& span : spans) {
        if (span.begin != at || span.end <= at) abort();
        at = span.end;
      }
      if (at != field.value.size()) abort();
    }
  }
  Normalised out;
  ContentError error;
  const ContentOrigin origin = size % 2 == 0 ? ContentOrigin::fed : ContentOrigin::built;
  if (!normalise(text, true, out, error, origin)) return 0;
  MergeRegions found;
  find_merge_regions(out.bytes, found);
  // Every {{ is in one region.
  size_t region = 0, end = 0;
  for (const MergeRegion& each : found.regions) {
    if (each.begin < end || each.end <= each.begin || each.end > out.bytes.size()) abort();
    end = each.end;
  }
  for (size_t at = 0; (at = out.bytes.find("{{", at)) != std::string_view::npos; at += 2) {
    while (region < found.regions.size() && found.regions[region].end <= at) ++region;
    if (region == found.regions.size() || found.regions[region].begin > at) abort();
  }
  // Encoded text shows no line of more than 76 bytes, unless a word in it was so long.
  std::string made, one_line;
  for (const char c : text) {
    if (c != '\r' && c != '\n') one_line += c;
  }
  size_t column = size % 90;
  append_encoded_text(one_line, column, made);
  for (size_t at = 0; at < made.size();) {
    size_t stop = made.find("\r\n", at);
    if (stop == std::string::npos) stop = made.size();
    if (at > 0 && stop - at > 76) abort();
    at = stop + 2;
  }
  return 0;
}
