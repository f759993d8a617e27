#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/smtp/limits.h"

namespace veredus::smtp {

// Enhanced status code (RFC 3463), as in "5.1.1". All zero: none.
struct EnhancedStatus {
  uint16_t status_class = 0;  // 2, 4 or 5
  uint16_t subject = 0;       // 0–999
  uint16_t detail = 0;        // 0–999
  constexpr bool present() const { return status_class != 0; }
  constexpr bool operator==(const EnhancedStatus&) const = default;
};

// One complete reply.
struct Reply {
  uint16_t code = 0;   // 200–599
  uint16_t lines = 0;  // 1–kReplyLinesMax
  EnhancedStatus
      enhanced;  // of the first line; only where its class is that of the code (RFC 2034 §4)
  // The lines joined by '\n', without code and enhanced status, at most kReplyTextMax bytes. Raw
  // bytes of the far side: escape before showing. Lives until the parser's next call and as long as
  // the fed bytes.
  std::string_view text;
};

// What was wrong with the far side's bytes. The session cannot go on after any of them.
enum class ReplyError : uint8_t {
  none,
  bad_code,        // `22 x`, `850 x`, `220_x`: not a reply line of RFC 5321 §4.2
  mixed_codes,     // 250- followed by 251
  line_too_long,   // kReplyLineMax bytes and no LF
  too_many_lines,  // kReplyLinesMax
  too_many_bytes,  // kReplyBytesMax
  unrequested,     // the beginning of a reply while none was owed (Dialogue::on_bad_reply; never by
                   // the parser)
};
std::string_view words(ReplyError error);

// Cuts the byte stream of a server into replies. Pure; takes chunks cut anywhere. A reply that is
// one line within one chunk is not copied. Holds no memory between replies but what the last long
// one needed, until the next call. Bare LF ends a line, too.
class ReplyParser {
 public:
  enum class Result : uint8_t { more, reply, error };

  // Takes bytes off the front of `bytes`: up to the end of one reply (`reply` is set), all of them
  // (more), or to where the error is (error(); every later call says error again).
  Result feed(std::string_view& bytes, Reply& reply);

  ReplyError error() const { return error_; }
  // No part of a reply has been taken in since the last one was complete.
  bool empty() const { return total_ == 0; }
  // Frees the text of the last reply now (a session that goes idle). Only when empty().
  void release();

 private:
  bool feed_whole_line(std::string_view& bytes, Reply& reply);
  void take(std::string_view piece);
  bool end_of_line(Reply& reply);
  Result fail(ReplyError error);

  std::string text_;
  uint32_t total_ = 0;       // bytes of this reply so far
  uint16_t line_bytes_ = 0;  // of this line so far, line end included
  uint16_t line_start_ = 0;  // where this line's text starts in text_
  uint16_t code_ = 0;        // of the first line
  uint16_t lines_ = 0;       // complete ones
  EnhancedStatus enhanced_;
  std::array<char, 4> head_{};  // code and separator of this line
  bool complete_ = false;       // text_ belongs to a reply already given
  bool last_cr_ = false;        // the last byte of this line so far is CR
  bool cr_kept_ = false;        // … and is the last byte of text_
  ReplyError error_ = ReplyError::none;
};
static_assert(sizeof(ReplyParser) <= 64);

// "5.1.1" at the front of `text`, followed by space or its end, with the class of `code`: taken off
// with the space. None otherwise, and `text` untouched.
EnhancedStatus take_enhanced(uint16_t code, std::string_view& text);

}  // namespace veredus::smtp
