#include "engine/mail/dkim_header.h"

#include <algorithm>
#include <cstring>

#include "engine/mail/header_field.h"

namespace veredus::mail {
namespace {

uint32_t small(char c) {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

// Compared first: length, first and last letter.
uint32_t key_of(std::string_view name) {
  if (name.empty()) return 0;
  return static_cast<uint32_t>(name.size()) << 16 | small(name.front()) << 8 | small(name.back());
}

// Finds the empty line in bytes that come in pieces.
class EmptyLine {
 public:
  // The offset behind it; kNone: it is not in this piece.
  size_t find(std::string_view piece) {
    for (size_t at = 0; at < piece.size(); ++at) {
      switch (state_) {
        case State::in_line: {
          const void* const end = std::memchr(piece.data() + at, '\n', piece.size() - at);
          if (end == nullptr) {
            last_ = piece.back();
            return DkimHeader::kNone;
          }
          const size_t found = static_cast<size_t>(static_cast<const char*>(end) - piece.data());
          const char before = found > 0 ? piece[found - 1] : last_;
          if (before == '\r') state_ = State::line_start;
          at = found;
          break;
        }
        case State::line_start:
          state_ = piece[at] == '\r' ? State::after_cr : State::in_line;
          break;
        case State::after_cr:
          if (piece[at] == '\n') return at + 1;
          state_ = State::in_line;
          break;
      }
    }
    if (!piece.empty()) last_ = piece.back();
    return DkimHeader::kNone;
  }

 private:
  enum class State : uint8_t { in_line, line_start, after_cr };
  State state_ = State::line_start;
  char last_ = '\0';  // of the piece before
};

}  // namespace

void DkimHeader::read(std::span<const Piece> message) {
  copy_block(message);
  cut();
}

void DkimHeader::copy_block(std::span<const Piece> message) {
  block_.clear();
  if (block_.capacity() > kKeptMax) block_.shrink_to_fit();
  EmptyLine empty_line;
  for (size_t i = 0; i < message.size(); ++i) {
    const std::string_view piece(message[i].data, message[i].size);
    const size_t behind = empty_line.find(piece);
    block_.append(piece.substr(0, behind));
    if (behind == kNone) continue;
    block_.resize(block_.size() - 2);
    body_piece_ = i;
    body_offset_ = behind;
    return;
  }
  body_piece_ = message.size();
  body_offset_ = 0;
}

void DkimHeader::cut() {
  fields_.clear();
  if (fields_.capacity() * sizeof(Field) > kKeptMax) fields_.shrink_to_fit();
  const std::string_view block = block_;
  for (size_t at = 0; at < block.size();) {
    size_t end = block.find('\n', at);
    while (end != std::string_view::npos && (end == at || block[end - 1] != '\r'))
      end = block.find('\n', end + 1);
    end = end == std::string_view::npos ? block.size() : end + 1;
    const bool continuation = block[at] == ' ' || block[at] == '\t';
    if (continuation && !fields_.empty()) {
      fields_.back().end = end;
    } else {
      const std::string_view line = block.substr(at, end - at);
      const size_t length = name_length(line);
      const size_t colon = line.find_first_not_of(" \t", length);
      const bool named = colon != std::string_view::npos && line[colon] == ':';
      const std::string_view name = line.substr(0, named ? length : 0);
      fields_.push_back({at, end, static_cast<uint32_t>(name.size()), key_of(name)});
    }
    at = end;
  }
}

size_t DkimHeader::find_up(std::string_view wanted, size_t below) const {
  const uint32_t key = key_of(wanted);
  for (size_t i = std::min(below, fields_.size()); i-- > 0;) {
    if (fields_[i].key == key && same_name(name(i), wanted)) return i;
  }
  return kNone;
}

}  // namespace veredus::mail
