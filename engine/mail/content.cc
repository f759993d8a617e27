#include "engine/mail/content.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "engine/mail/byte_masks.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/idn.h"
#include "engine/mail/merge_regions.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

// What one pass over the bytes finds.
struct Survey {
  bool clean_ends = true;  // every CR is followed by LF, every LF preceded by CR
  bool nul = false;
  bool eight_bit = false;
  bool dot_lines = false;
  bool long_line = false;  // counted as lines end at LF: exact when clean_ends
};

Survey survey(std::string_view text) {
  Survey found;
  uint64_t after_cr = 0, line_start = 1;  // carried from block to block: bit 0
  size_t last_start = 0;
  char tail[64];
  for (size_t at = 0; at < text.size(); at += 64) {
    const char* block = text.data() + at;
    if (text.size() - at < 64) {
      std::memset(tail, ' ', sizeof tail);
      std::memcpy(tail, block, text.size() - at);
      block = tail;
    }
    const ByteMasks bytes(block);
    const uint64_t cr = bytes.of('\r'), lf = bytes.of('\n');
    if ((cr << 1 | after_cr) != lf) found.clean_ends = false;
    found.nul = found.nul || bytes.of('\0') != 0;
    found.eight_bit = found.eight_bit || bytes.high() != 0;
    found.dot_lines = found.dot_lines || (bytes.of('.') & (lf << 1 | line_start)) != 0;
    for (uint64_t ends = lf; ends != 0; ends &= ends - 1) {
      const size_t end = at + static_cast<size_t>(__builtin_ctzll(ends));
      if (end - last_start > kLineBytesMax + 1) found.long_line = true;  // its CR is counted
      last_start = end + 1;
    }
    after_cr = cr >> 63;
    line_start = lf >> 63;
  }
  if (text.size() - last_start > kLineBytesMax) found.long_line = true;
  if (text.empty() || text.back() != '\n') found.clean_ends = false;
  return found;
}

bool refuse(ContentError& error, uint64_t line, uint64_t offset, std::string reason) {
  error.line = line;
  error.offset = offset;
  error.status = "5.6.0";
  error.reason = "line " + std::to_string(line) + " of the message " + std::move(reason);
  return false;
}

// Lines as any of CRLF, CR, LF ends them; finds the first that is too long, or has a NUL.
bool refuse_bad_line(std::string_view raw, ContentError& error) {
  uint64_t line = 1;
  size_t start = 0;
  for (size_t at = 0; at <= raw.size(); ++at) {
    const bool end = at == raw.size() || raw[at] == '\r' || raw[at] == '\n';
    if (!end && raw[at] == '\0') return refuse(error, line, at, "has a NUL byte");
    if (!end) continue;
    if (at - start > kLineBytesMax) {
      return refuse(error, line, start,
                    "has " + std::to_string(at - start) +
                        " bytes, 998 are allowed (RFC 5321 section 4.5.3.1.6)");
    }
    if (at < raw.size() && raw[at] == '\r' && at + 1 < raw.size() && raw[at + 1] == '\n') ++at;
    start = at + 1;
    ++line;
  }
  return true;
}

struct Header {
  bool date = false, message_id = false, signature = false, utf8 = false;
};

// Whether bytes over 127 stand in a header block that stay there when it is merged. What is within
// {{…}} is a value, and those are looked at for each recipient.
bool block_keeps_high(std::string_view block) {
  std::vector<FieldSpan> spans;
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    const bool is_field = take_field(block, whole, field);
    if (!has_high(whole)) continue;
    if (!is_field || field.value.find("{{") == std::string_view::npos) return true;
    if (keeps_high(field_kind(field.name), field.value, spans)) return true;
  }
  return false;
}

// Checks that every line of the header block is `name: value` or a fold. `high`: whether some byte
// of the message is over 127.
bool check_header(std::string_view clean, size_t end, bool high, Header& header,
                  ContentError& error) {
  uint64_t line_number = 1;
  for (size_t at = 0; at < end; ++line_number) {
    const size_t line_end = clean.find('\n', at);
    const std::string_view line = clean.substr(at, line_end - 1 - at);
    if (high && has_high(line)) {
      size_t good = 0;
      while (const size_t length = utf8_length(line.substr(good, 4))) good += length;
      if (good < line.size()) {
        return refuse(error, line_number, at + good,
                      "has a byte over 127 in the header that is no UTF-8: encode it (RFC 2047)");
      }
      header.utf8 = true;
    }
    if (line.front() == ' ' || line.front() == '\t') {
      if (line_number == 1)
        return refuse(error, 1, 0, "is a continuation, where the first header field is expected");
    } else {
      const size_t length = name_length(line);
      // White space between name and colon is obsolete, but to be read (RFC 5322 §4.5).
      const size_t colon = line.find_first_not_of(" \t", length);
      if (length == 0 || colon == std::string_view::npos || line[colon] != ':') {
        return refuse(
            error, line_number, at,
            "is no header field (name: value), and no empty line has ended the header yet");
      }
      const std::string_view name = line.substr(0, length);
      header.date = header.date || same_name(name, "date");
      header.message_id = header.message_id || same_name(name, "message-id");
      header.signature = header.signature || same_name(name, "dkim-signature");
    }
    at = line_end + 1;
  }
  return true;
}

// Where lines may have been cut, a tag may be, too: no part of a fed message is encoded.
bool check_mergeable(std::string_view clean, const Header& header, ContentOrigin origin,
                     ContentError& error) {
  if (header.signature)
    return refuse(error, 1, 0,
                  "and on: a message with a DKIM-Signature cannot be merged, it would break");
  size_t at = 0;
  if (origin == ContentOrigin::built || !find_encoded_part(clean, at)) return true;
  const auto lines = std::count(clean.begin(), clean.begin() + static_cast<ptrdiff_t>(at), '\n');
  return refuse(error, 1 + static_cast<uint64_t>(lines), at,
                "says base64 or quoted-printable: such parts cannot be merged");
}

}  // namespace

bool check_header_line_ends(std::string_view raw, ContentError& error) {
  uint64_t line = 1;
  for (size_t at = 0, start = 0; at < raw.size(); ++at) {
    if (raw[at] == '\n') {
      const size_t size = at - start - (at > start && raw[at - 1] == '\r' ? 1 : 0);
      if (size == 0) return true;
      start = at + 1;
      ++line;
    } else if (raw[at] == '\r' && !raw.substr(at + 1).starts_with('\n')) {
      return refuse(
          error, line, at,
          "has a CR without LF in its header: end lines with CRLF (RFC 5322 section 2.2)");
    }
  }
  return true;
}

void make_clean(std::string_view raw, std::string& out) {
  out.clear();
  out.reserve(raw.size() + raw.size() / 32 + 2);
  size_t from = 0;
  for (size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] != '\r' && raw[at] != '\n') continue;
    out.append(raw.substr(from, at - from));
    out += "\r\n";
    if (raw[at] == '\r' && at + 1 < raw.size() && raw[at + 1] == '\n') ++at;
    from = at + 1;
  }
  out.append(raw.substr(from));
  if (from < raw.size()) out += "\r\n";
}

size_t header_end(std::string_view clean) {
  if (clean.starts_with("\r\n")) return 0;
  const size_t found = clean.find("\r\n\r\n");
  return found == std::string_view::npos ? clean.size() : found + 2;
}

bool normalise(std::string_view raw, bool merge, Normalised& out, ContentError& error,
               ContentOrigin origin) {
  out.flags = 0;
  const Survey found = survey(raw);
  if (!found.clean_ends && !check_header_line_ends(raw, error)) return false;
  if (found.nul || found.long_line || !found.clean_ends) {
    if (!refuse_bad_line(raw, error)) return false;
  }
  out.bytes = raw;
  bool dot_lines = found.dot_lines;
  if (!found.clean_ends) {
    make_clean(raw, out.scratch);
    out.bytes = out.scratch;
    dot_lines = survey(out.bytes).dot_lines;
  }
  const std::string_view clean = out.bytes;
  const size_t end = header_end(clean);
  if (end == 0)
    return refuse(
        error, 1, 0,
        clean.empty() ? "is missing: the message is empty" : "is empty: there is no header");
  Header header;
  if (!check_header(clean, end, found.eight_bit, header, error)) return false;
  if (merge && !check_mergeable(clean, header, origin, error)) return false;
  out.header_bytes = static_cast<uint32_t>(end);
  bool eight_bit = found.eight_bit;
  if (header.utf8 && merge && !block_keeps_high(clean.substr(0, end))) {
    header.utf8 = false;
    eight_bit = has_high(clean.substr(end));
  }
  if (eight_bit) out.flags |= queue::kContentEightBit;
  if (dot_lines) out.flags |= queue::kContentDotLines;
  if (merge) out.flags |= queue::kContentMerge;
  if (!header.date) out.flags |= queue::kContentNoDate;
  if (!header.message_id) out.flags |= queue::kContentNoMessageId;
  if (header.utf8) out.flags |= queue::kContentHeaderUtf8;
  return true;
}

void append_dot_stuffed(std::string_view clean, bool line_start, std::string& out) {
  if (line_start && !clean.empty() && clean.front() == '.') out += '.';
  size_t from = 0;
  for (size_t at = 0; (at = clean.find("\n.", at)) != std::string_view::npos; ++at) {
    out.append(clean.substr(from, at + 1 - from));
    out += '.';
    from = at + 1;
  }
  out.append(clean.substr(from));
}

}  // namespace veredus::mail
