#include "engine/smtp/reply.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace veredus::smtp {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The code at `p` (three bytes); 0: not one. RFC 5321 §4.2 allows 2–5, 0–5, 0–9; the middle digit
// is not held to that, for 57x is common.
uint16_t code_of(const char* p) {
  if (p[0] < '2' || p[0] > '5' || !is_digit(p[1]) || !is_digit(p[2])) return 0;
  return static_cast<uint16_t>((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

// One to three digits off the front of `text`.
bool take_number(std::string_view& text, uint16_t& value) {
  size_t digits = 0;
  value = 0;
  while (digits < text.size() && is_digit(text[digits])) {
    if (digits == 3) return false;
    value = static_cast<uint16_t>(value * 10 + (text[digits] - '0'));
    ++digits;
  }
  text.remove_prefix(digits);
  return digits != 0;
}

bool take_dot(std::string_view& text) {
  if (text.empty() || text[0] != '.') return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string_view words(ReplyError error) {
  switch (error) {
    case ReplyError::none:
      return "no error";
    case ReplyError::bad_code:
      return "a line without a valid reply code";
    case ReplyError::mixed_codes:
      return "different codes in one reply";
    case ReplyError::line_too_long:
      return "a reply line of more than 2048 bytes";
    case ReplyError::too_many_lines:
      return "a reply of more than 128 lines";
    case ReplyError::too_many_bytes:
      return "a reply of more than 65536 bytes";
    case ReplyError::unrequested:
      return "a reply that nothing had asked for";
  }
  return "";
}

EnhancedStatus take_enhanced(uint16_t code, std::string_view& text) {
  const int first = code / 100;
  if (text.size() < 5 || text[0] != '0' + first || first == 3) return {};
  EnhancedStatus status;
  status.status_class = static_cast<uint16_t>(first);
  std::string_view rest = text.substr(1);
  if (!take_dot(rest) || !take_number(rest, status.subject)) return {};
  if (!take_dot(rest) || !take_number(rest, status.detail)) return {};
  if (!rest.empty() && rest[0] != ' ' && rest[0] != '\n') return {};
  if (!rest.empty() && rest[0] == ' ') rest.remove_prefix(1);
  text = rest;
  return status;
}

void ReplyParser::release() {
  assert(empty());
  std::string().swap(text_);  // an assignment would keep the memory
  complete_ = false;
}

ReplyParser::Result ReplyParser::fail(ReplyError error) {
  error_ = error;
  return Result::error;
}

// The common case: a whole one-line reply lies in the chunk. Leaves everything else, errors too, to
// the slow path.
bool ReplyParser::feed_whole_line(std::string_view& bytes, Reply& reply) {
  const size_t end = bytes.substr(0, kReplyLineMax).find('\n');
  if (end == std::string_view::npos) return false;
  std::string_view line = bytes.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() < 3 || (line.size() > 3 && line[3] != ' ')) return false;
  reply.code = code_of(line.data());
  if (reply.code == 0) return false;
  line.remove_prefix(std::min<size_t>(line.size(), 4));
  reply.enhanced = take_enhanced(reply.code, line);
  reply.text = line;
  reply.lines = 1;
  bytes.remove_prefix(end + 1);
  return true;
}

ReplyParser::Result ReplyParser::feed(std::string_view& bytes, Reply& reply) {
  if (error_ != ReplyError::none) return Result::error;
  if (complete_) release();
  if (total_ == 0 && feed_whole_line(bytes, reply)) return Result::reply;
  while (!bytes.empty()) {
    const std::string_view window = bytes.substr(0, kReplyLineMax - line_bytes_);
    const size_t end = window.find('\n');
    take(window.substr(0, end));
    bytes.remove_prefix(std::min(end, window.size()));
    if (end == std::string_view::npos) {
      if (total_ > kReplyBytesMax) return fail(ReplyError::too_many_bytes);
      if (line_bytes_ >= kReplyLineMax) return fail(ReplyError::line_too_long);
      continue;
    }
    bytes.remove_prefix(1);
    ++line_bytes_;
    ++total_;
    if (total_ > kReplyBytesMax) return fail(ReplyError::too_many_bytes);
    if (end_of_line(reply)) return Result::reply;
    if (error_ != ReplyError::none) return Result::error;
  }
  return Result::more;
}

// Takes in a part of a line, without its LF.
void ReplyParser::take(std::string_view piece) {
  if (piece.empty()) return;
  total_ += static_cast<uint32_t>(piece.size());
  last_cr_ = piece.back() == '\r';
  cr_kept_ = false;
  size_t at = line_bytes_;
  line_bytes_ = static_cast<uint16_t>(line_bytes_ + piece.size());
  while (at < head_.size() && !piece.empty()) {
    head_[at++] = piece.front();
    piece.remove_prefix(1);
  }
  const std::string_view kept = piece.substr(0, kReplyTextMax - text_.size());
  text_.append(kept);
  cr_kept_ = last_cr_ && !kept.empty() && kept.size() == piece.size();
}

// True: the reply is complete. False: more lines follow, or error_ is set.
bool ReplyParser::end_of_line(Reply& reply) {
  const size_t length = size_t{line_bytes_} - 1 - (last_cr_ ? 1 : 0);
  if (cr_kept_) text_.pop_back();
  const uint16_t code = length < 3 ? uint16_t{0} : code_of(head_.data());
  const char separator = length == 3 ? ' ' : head_[3];
  if (code == 0 || (separator != ' ' && separator != '-')) {
    error_ = ReplyError::bad_code;
    return false;
  }
  if (lines_ != 0 && code != code_) {
    error_ = ReplyError::mixed_codes;
    return false;
  }
  code_ = code;
  std::string_view line = std::string_view(text_).substr(line_start_);
  const size_t before = line.size();
  const EnhancedStatus enhanced = take_enhanced(code, line);
  if (lines_ == 0) enhanced_ = enhanced;
  if (enhanced == enhanced_) text_.erase(line_start_, before - line.size());
  ++lines_;
  line_bytes_ = 0;
  last_cr_ = cr_kept_ = false;
  if (separator == '-') {
    if (lines_ >= kReplyLinesMax) {
      error_ = ReplyError::too_many_lines;
      return false;
    }
    if (text_.size() < kReplyTextMax) text_.push_back('\n');
    line_start_ = static_cast<uint16_t>(text_.size());
    return false;
  }
  reply.code = code_;
  reply.lines = lines_;
  reply.enhanced = enhanced_;
  reply.text = text_;
  total_ = 0;
  lines_ = 0;
  line_start_ = 0;
  complete_ = true;
  return true;
}

}  // namespace veredus::smtp
