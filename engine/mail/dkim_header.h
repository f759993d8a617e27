#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mail/piece.h"

namespace veredus::mail {

// The header of a message that comes in pieces, as DKIM looks at it: fields with their folds, found
// from the bottom up (RFC 6376 §5.4.2). It is copied, and memory is kept for the next message, but
// for that of a header of more than kKeptMax bytes.
class DkimHeader {
 public:
  static constexpr size_t kNone = SIZE_MAX;
  static constexpr size_t kKeptMax = 64 * 1024;

  // Reads up to the empty line that ends the header, or to the end of the message. Lines end with
  // CRLF.
  void read(std::span<const Piece> message);

  size_t size() const { return fields_.size(); }  // fields
  // With its folds and its last CRLF.
  std::string_view field(size_t index) const {
    return std::string_view(block_).substr(fields_[index].begin,
                                           fields_[index].end - fields_[index].begin);
  }
  // As it is written, without the white space that may stand behind it; empty: it is no field.
  std::string_view name(size_t index) const {
    return std::string_view(block_).substr(fields_[index].begin, fields_[index].name_size);
  }
  // The lowest field called `name` (in small letters) above the field `below`, which may be size();
  // kNone when there is none.
  size_t find_up(std::string_view name, size_t below) const;

  // Where the body begins: a piece of the message and a byte in it. The number of pieces and 0 when
  // there is no body.
  size_t body_piece() const { return body_piece_; }
  size_t body_offset() const { return body_offset_; }

  size_t memory() const { return block_.capacity() + fields_.capacity() * sizeof(Field); }  // bytes

 private:
  struct Field {
    size_t begin, end;  // in block_
    uint32_t name_size;
    uint32_t key;  // of most names only one has it
  };
  void copy_block(std::span<const Piece> message);
  void cut();

  std::string block_;
  std::vector<Field> fields_;
  size_t body_piece_ = 0, body_offset_ = 0;
};

}  // namespace veredus::mail
