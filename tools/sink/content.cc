#include "tools/sink/content.h"

#include <emmintrin.h>
#include <string.h>

namespace veredus::sink {

const char* find_newline_dot(const char* from, const char* end) {
  const __m128i newline = _mm_set1_epi8('\n');
  const __m128i dot = _mm_set1_epi8('.');
  auto hits = [&](const char* p) {
    __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1));
    return _mm_and_si128(_mm_cmpeq_epi8(here, newline), _mm_cmpeq_epi8(next, dot));
  };
  const char* p = from;
  while (end - p >= 65) {
    __m128i a = hits(p), b = hits(p + 16), c = hits(p + 32), d = hits(p + 48);
    if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) != 0) break;
    p += 64;
  }
  while (end - p >= 17) {
    int mask = _mm_movemask_epi8(hits(p));
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
    p += 16;
  }
  for (; end - p >= 2; ++p) {
    if (p[0] == '\n' && p[1] == '.') return p;
  }
  return nullptr;
}

void HeaderScan::begin(std::string_view name) {
  name_ = name;
  rest_.clear();
  value_.clear();
  seen_ = 0;
  done_ = false;
  in_field_ = false;
}

void HeaderScan::scan(std::string_view piece) {
  if (seen_ + piece.size() > kMaxOctets) piece = piece.substr(0, kMaxOctets - seen_);
  seen_ += piece.size();
  if (rest_.empty()) {
    rest_.assign(piece.substr(take_lines(piece)));
  } else {
    rest_.append(piece);
    rest_.erase(0, take_lines(rest_));
  }
  if (seen_ >= kMaxOctets) done_ = true;
}

size_t HeaderScan::take_lines(std::string_view text) {
  size_t taken = 0;
  while (!done_) {
    const void* newline = memchr(text.data() + taken, '\n', text.size() - taken);
    if (newline == nullptr) return taken;
    size_t end = static_cast<size_t>(static_cast<const char*>(newline) - text.data());
    std::string_view line = text.substr(taken, end - taken);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    take_line(line);
    taken = end + 1;
  }
  return text.size();
}

void HeaderScan::take_line(std::string_view line) {
  if (in_field_) {
    if (!line.empty() && (line[0] == ' ' || line[0] == '\t')) {
      value_.append(line);
    } else {
      done_ = true;
    }
    return;
  }
  if (line.empty()) {
    done_ = true;
    return;
  }
  if (line.size() <= name_.size() || line[name_.size()] != ':') return;
  for (size_t i = 0; i < name_.size(); ++i) {
    char c = line[i];
    if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != name_[i]) return;
  }
  value_.assign(line.substr(name_.size() + 1));
  in_field_ = true;
}

std::string_view HeaderScan::finish() {
  if (!done_ && !rest_.empty()) {
    if (rest_.back() == '\r') rest_.pop_back();
    take_line(rest_);
  }
  done_ = true;
  for (char& c : value_) {
    if (c == '\t') c = ' ';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  std::string_view value = value_;
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  return value.empty() ? "-" : value;
}

}  // namespace veredus::sink
