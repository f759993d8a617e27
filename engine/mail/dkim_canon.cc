#include "engine/mail/dkim_canon.h"

#include <cstring>

#include "engine/mail/byte_masks.h"

namespace veredus::mail {
namespace {

constexpr std::string_view kCrlf = "\r\n";

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool is_line_end(char c) {
  return c == '\r' || c == '\n';
}

// Where white space begins that `relaxed` changes, or may change: a tab, or a space with a blank or
// CR behind it. From `at` on; the size of the text when there is none. The text's last byte is no
// white space.
size_t next_changed(std::string_view text, size_t at) {
  for (; at + 64 < text.size(); at += 64) {
    const ByteMasks bytes(text.data() + at);
    const uint64_t spaces = bytes.of(' '), tabs = bytes.of('\t');
    const char behind = text[at + 64];
    uint64_t followers = spaces | tabs | bytes.of('\r');
    followers = followers >> 1 | static_cast<uint64_t>(is_blank(behind) || behind == '\r') << 63;
    const uint64_t changed = tabs | (spaces & followers);
    if (changed != 0) return at + static_cast<size_t>(__builtin_ctzll(changed));
  }
  for (; at < text.size(); ++at) {
    if (text[at] == '\t') return at;
    if (text[at] == ' ' && (is_blank(text[at + 1]) || text[at + 1] == '\r')) return at;
  }
  return at;
}

}  // namespace

std::string_view dkim_canon_name(DkimCanon canon) {
  return canon == DkimCanon::relaxed ? "relaxed" : "simple";
}

void DkimBodyCanon::update(std::string_view piece) {
  if (canon_ == DkimCanon::relaxed) {
    update_relaxed(piece);
  } else {
    update_simple(piece);
  }
}

// Line ends at the end of the piece are held back; all else is as it is.
void DkimBodyCanon::update_simple(std::string_view piece) {
  size_t at = 0;
  while (at < piece.size() && is_line_end(piece[at])) hold(piece[at++]);
  if (at == piece.size()) return;
  release();
  size_t end = piece.size();
  while (is_line_end(piece[end - 1])) --end;
  put(piece.data() + at, end - at);
  while (end < piece.size()) hold(piece[end++]);
}

void DkimBodyCanon::update_relaxed(std::string_view piece) {
  const auto held = [](char c) { return is_line_end(c) || is_blank(c); };
  size_t at = 0;
  while (at < piece.size() && held(piece[at])) hold(piece[at++]);
  if (at == piece.size()) return;
  release();
  size_t end = piece.size();
  while (held(piece[end - 1])) --end;
  put_relaxed(piece.substr(at, end - at));
  while (end < piece.size()) hold(piece[end++]);
}

// Text that begins and ends with neither white space nor a line end.
void DkimBodyCanon::put_relaxed(std::string_view text) {
  size_t from = 0;
  while (from < text.size()) {
    const size_t changed = next_changed(text, from);
    if (changed == text.size()) return put(text.data() + from, changed - from);
    size_t behind = changed;
    while (is_blank(text[behind])) ++behind;
    const bool ends_line = text.substr(behind).starts_with(kCrlf);
    if (!ends_line && text[changed] == ' ') {
      put(text.data() + from, changed + 1 - from);
    } else {
      put(text.data() + from, changed - from);
      if (!ends_line) put(" ", 1);
    }
    from = behind;
  }
}

// A byte that does not count if nothing else follows it.
void DkimBodyCanon::hold(char c) {
  if (c == '\n' && cr_) {
    ++line_ends_;
    cr_ = blank_ = false;
  } else if (c == '\r') {
    if (cr_) release();  // that one was bare
    cr_ = true;
  } else if (c == '\n') {
    release();
    put(&c, 1);
  } else {
    if (cr_) release();
    blank_ = true;
  }
}

// Something follows: what was held back counts.
void DkimBodyCanon::release() {
  for (; line_ends_ > 0; --line_ends_) put(kCrlf.data(), kCrlf.size());
  if (blank_) put(" ", 1);
  if (cr_) put("\r", 1);
  blank_ = cr_ = false;
}

void DkimBodyCanon::put(const char* data, size_t size) {
  any_ = any_ || size > 0;
  if (size >= kDirect) {
    flush();
    sink_.take(data, size);
    return;
  }
  if (size > gathered_.size() - used_) flush();
  std::memcpy(gathered_.data() + used_, data, size);
  used_ += size;
}

void DkimBodyCanon::flush() {
  if (used_ > 0) sink_.take(gathered_.data(), used_);
  used_ = 0;
}

void DkimBodyCanon::finish() {
  if (cr_) release();
  line_ends_ = 0;
  blank_ = false;
  if (any_ || canon_ == DkimCanon::simple) put(kCrlf.data(), kCrlf.size());
  flush();
}

void append_canonical_field(DkimCanon canon, std::string_view field, std::string& out) {
  if (canon == DkimCanon::simple) {
    out += field;
    return;
  }
  const bool has_end = field.ends_with(kCrlf);
  if (has_end) field.remove_suffix(kCrlf.size());
  // Nothing becomes longer: room for all is made at once, and what is not needed given back.
  const size_t before = out.size();
  out.resize(before + field.size() + 3);
  char* const begin = out.data() + before;
  char* to = begin;
  size_t at = 0;
  for (; at < field.size() && field[at] != ':'; ++at) {
    const char c = field[at];
    *to++ = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  while (to > begin && is_blank(to[-1])) --to;
  *to++ = ':';
  char* const value = to;
  bool blank = false;
  for (++at; at < field.size(); ++at) {
    const char c = field[at];
    if (is_blank(c)) {
      blank = true;
    } else if (c == '\r' && at + 1 < field.size() && field[at + 1] == '\n') {
      ++at;
    } else {
      if (blank && to > value) *to++ = ' ';
      blank = false;
      *to++ = c;
    }
  }
  if (has_end) {
    *to++ = '\r';
    *to++ = '\n';
  }
  out.resize(before + static_cast<size_t>(to - begin));
}

}  // namespace veredus::mail
