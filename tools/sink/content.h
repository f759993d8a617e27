// Reading a message's content as it streams past: where it ends, and which id it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace veredus::sink {

// Finds one header field in content that comes in pieces. Reads no further than the field, the end
// of the header block, or 8 KiB.
class HeaderScan {
 public:
  // `name` in lower case; must outlive the scan.
  void begin(std::string_view name);
  void feed(std::string_view piece) {
    if (!done_) scan(piece);
  }
  // The content is over. The value, trimmed and unfolded; control octets become '?'; "-" if absent.
  std::string_view finish();

 private:
  void scan(std::string_view piece);
  // Takes every whole line of `text`; returns the octets taken.
  size_t take_lines(std::string_view text);
  void take_line(std::string_view line);

  static constexpr size_t kMaxOctets = 8192;

  std::string_view name_;
  std::string rest_;  // an unfinished line
  std::string value_;
  size_t seen_ = 0;
  bool done_ = true;
  bool in_field_ = false;
};

// The end of DATA content (RFC 5321 section 4.1.1.4), however the octets are cut into reads. Only
// CR LF ends a line.
class DotReader {
 public:
  void begin() { state_ = State::line_start; }

  // Reads `in` up to and with the end of data. Calls take(piece) for the content without
  // transparency dots. Returns the octets read and sets `done` at the end of data.
  template <typename Take>
  size_t feed(std::string_view in, bool& done, Take&& take);

 private:
  enum class State : uint8_t { text, cr, line_start, dot, dot_cr };

  State state_ = State::line_start;
};

// The first '\n' in [from, end) with a '.' right behind it (also within), or null.
const char* find_newline_dot(const char* from, const char* end);

template <typename Take>
size_t DotReader::feed(std::string_view in, bool& done, Take&& take) {
  const char* const begin = in.data();
  const char* const end = begin + in.size();
  const char* p = begin;
  const char* piece = begin;  // what lies between piece and p is content not yet taken
  auto flush = [&](const char* to) {
    if (to > piece) take(std::string_view(piece, static_cast<size_t>(to - piece)));
  };
  while (p < end) {
    switch (state_) {
      case State::text: {
        const char* newline = find_newline_dot(p, end);
        if (newline == nullptr) {
          if (end[-1] == '\r') state_ = State::cr;
          if (end - p >= 2 && end[-2] == '\r' && end[-1] == '\n') state_ = State::line_start;
          p = end;
        } else {
          if (newline > p && newline[-1] == '\r') state_ = State::line_start;
          p = newline + 1;
        }
        break;
      }
      case State::cr:
        state_ = *p == '\n' ? State::line_start : *p == '\r' ? State::cr : State::text;
        ++p;
        break;
      case State::line_start:
        if (*p != '.') {
          state_ = State::text;
          break;
        }
        flush(p);
        piece = ++p;
        state_ = State::dot;
        break;
      case State::dot:
        if (*p != '\r') {
          state_ = State::text;
          break;
        }
        piece = ++p;
        state_ = State::dot_cr;
        break;
      case State::dot_cr:
        if (*p == '\n') {
          done = true;
          return static_cast<size_t>(p + 1 - begin);
        }
        take(std::string_view("\r", 1));
        piece = p;
        state_ = State::cr;
        break;
    }
  }
  flush(end);
  return in.size();
}

}  // namespace veredus::sink
