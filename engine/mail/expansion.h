#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/mail/address.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/escape.h"
#include "engine/mail/idn.h"
#include "engine/mail/merge_values.h"
#include "engine/mail/quoted_printable.h"
#include "engine/mail/template.h"

namespace veredus::mail {

// Goes through a template for one recipient: what is made is the same whether it is sent
// (PieceSink), only looked at (CheckSink), or a short text (TextSink). A sink has
//   void constant(size_t op): the constant bytes of this op come next;
//   void dynamic(size_t from): `scratch` from there on comes next, with CRLF, not dot-stuffed;
//   void tag(MergeContext): a tag stands here, whatever comes of it.
template <typename Sink>
class Expansion {
 public:
  // `text` is room for what is on its way; all must outlive the expansion.
  Expansion(const Template& from, const queue::Batch& batch, const queue::Entry& entry,
            std::string& scratch, std::string& text, Sink& sink)
      : from_(from), batch_(batch), entry_(entry), scratch_(scratch), text_(text), sink_(sink) {}

  bool eight_bit = false;    // some value put bytes over 127 there
  bool header_utf8 = false;  // … into the message's own header

  // False: `refusal` says why this recipient's message cannot be made.
  bool run(Refusal& refusal) {
    refusal_ = &refusal;
    for (size_t at = 0; at < from_.ops_.size();) {
      const Op& op = from_.ops_[at];
      switch (op.kind) {
        case Op::Kind::constant:
          constant(at++);
          break;
        case Op::Kind::value:
          if (!value(slot_of(op))) return false;
          ++at;
          break;
        case Op::Kind::section:
          sink_.tag(op.context);
          at = next_of_section(at);
          break;
        case Op::Kind::section_end:
          sink_.tag(op.context);
          ++at;
          break;
        case Op::Kind::group:
          if (!group(at, at)) return false;
          break;
        case Op::Kind::group_end:
          ++at;
          break;
      }
    }
    return true;
  }

 private:
  using Op = Template::Op;

  const Slot& slot_of(const Op& op) const { return from_.slots_[op.slot]; }
  std::string_view bytes_of(const Op& op) const {
    return from_.bytes_.substr(op.offset, op.length);
  }

  bool find(const Slot& slot, std::string_view& value) {
    return find_value(slot, batch_, entry_, digits_, value);
  }

  // A section is in when its variable is there and not empty, an inverted one when not.
  size_t next_of_section(size_t at) {
    const Op& op = from_.ops_[at];
    std::string_view value;
    const bool there = find(slot_of(op), value) && !value.empty();
    return there != op.inverted ? at + 1 : op.end;
  }

  // The value, once it is known that it can stand there.
  bool find_fitting(const Slot& slot, std::string_view& value, uint8_t& traits) {
    if (!find(slot, value))
      return refuse_value(*refusal_, slot.name, "is not defined and has no default");
    return fits_context(slot, value, value.data() == entry_.to.data(), traits, *refusal_);
  }

  void constant(size_t at) {
    const Op& op = from_.ops_[at];
    if (op.soft && column_ > 0 && op.head > 0 &&
        column_ + op.head > kEncodedLineMax - (op.newline ? 0 : 1)) {
      const size_t begin = scratch_.size();
      scratch_ += "=\r\n";
      sink_.dynamic(begin);
      column_ = 0;
    }
    column_ = op.newline ? op.tail : column_ + op.length;
    sink_.constant(at);
  }

  bool value(const Slot& slot) {
    std::string_view value;
    uint8_t traits = 0;
    if (!find_fitting(slot, value, traits)) return false;
    sink_.tag(slot.context);
    const size_t begin = scratch_.size();
    append_value(slot, value, traits);
    if (!is_body(slot.context)) column_ += scratch_.size() - begin;
    if (scratch_.size() > begin) sink_.dynamic(begin);
    return true;
  }

  void append_value(const Slot& slot, std::string_view value, uint8_t traits) {
    const bool high = (traits & kHasHigh) != 0;
    if (is_html(slot.context) && !slot.raw && (traits & kHasMarkup) != 0) value = in_html(value);
    switch (slot.context) {
      case MergeContext::uri:
        append_uri_escaped(value, scratch_);
        return;
      case MergeContext::html:
      case MergeContext::body:
        eight_bit = eight_bit || high;
        (traits & kHasLineEnd) != 0 ? append_with_crlf(value, scratch_)
                                    : static_cast<void>(scratch_ += value);
        return;
      case MergeContext::html_quoted:
      case MergeContext::body_quoted:
        append_quoted_printable(value, column_, scratch_);
        return;
      case MergeContext::envelope:
      case MergeContext::text:
      case MergeContext::phrase:
      case MergeContext::address:
      case MergeContext::parameter:
      case MergeContext::verbatim:
        eight_bit = eight_bit || high;
        header_utf8 = header_utf8 || (high && slot.of_message);
        scratch_ += value;
    }
  }

  std::string_view in_html(std::string_view value) {
    text_.clear();
    append_html_escaped(value, text_);
    return text_;
  }

  // The text of a header field, or a display name. `next` is where it goes on: in the group, if all
  // of it can stay as it is.
  bool group(size_t at, size_t& next) {
    const Op& op = from_.ops_[at];
    bool high = false;
    if (op.context == MergeContext::text && !op.folded) {
      if (!look(at, high)) return false;
      if (!high) return next = at + 1, true;
    }
    if (!gather(at, high)) return false;
    sink_.tag(op.context);
    const size_t begin = scratch_.size();
    if (op.context == MergeContext::phrase) {
      put_phrase(op);
    } else if (high) {
      text_.resize(unfolded_size(text_));
      append_encoded_text(text_, column_, scratch_);
    } else {
      append_without_blank_lines(text_, column_, scratch_);
    }
    if (scratch_.size() > begin) sink_.dynamic(begin);
    next = op.end;
    return true;
  }

  // Whether bytes over 127 are in the group of this recipient.
  bool look(size_t group, bool& high) {
    for (size_t at = group + 1; at < from_.ops_[group].end;) {
      const Op& op = from_.ops_[at];
      high = high || op.high;
      uint8_t traits = 0;
      std::string_view value;
      if (op.kind == Op::Kind::value && !find_fitting(slot_of(op), value, traits)) return false;
      high = high || (traits & kHasHigh) != 0;
      at = op.kind == Op::Kind::section ? next_of_section(at) : at + 1;
    }
    return true;
  }

  // The group's text, in text_. Of a phrase, quotes are taken off what is constant: they are put on
  // again where they are needed.
  bool gather(size_t group, bool& high) {
    const bool phrase = from_.ops_[group].context == MergeContext::phrase;
    text_.clear();
    for (size_t at = group + 1; at < from_.ops_[group].end;) {
      const Op& op = from_.ops_[at];
      if (op.kind == Op::Kind::constant) {
        high = high || op.high;
        phrase ? append_unquoted(bytes_of(op), text_) : static_cast<void>(text_ += bytes_of(op));
      } else if (op.kind == Op::Kind::value) {
        std::string_view value;
        uint8_t traits = 0;
        if (!find_fitting(slot_of(op), value, traits)) return false;
        high = high || (traits & kHasHigh) != 0;
        text_ += value;
      }
      at = op.kind == Op::Kind::section ? next_of_section(at) : at + 1;
    }
    return true;
  }

  void put_phrase(const Op& group) {
    const std::string_view name = without_blanks_around(text_);
    if (name.empty()) return;
    const bool in_words = append_phrase(name, column_, scratch_);
    // A line with an encoded word has 76 bytes at most (RFC 2047 §2): the address may not fit.
    const bool fold = in_words && column_ + 1 + rest_of_line(group.end) > kEncodedLineMax;
    scratch_ += fold ? "\r\n " : " ";
    column_ = fold ? 1 : column_ + 1;
  }

  // About the bytes up to the next line end.
  size_t rest_of_line(size_t at) {
    size_t bytes = 0;
    while (at < from_.ops_.size()) {
      const Op& op = from_.ops_[at];
      if (op.kind == Op::Kind::group) return bytes;  // what follows it is its own affair
      if (op.kind == Op::Kind::constant) bytes += op.head;
      if (op.newline) return bytes;
      std::string_view value;
      if (op.kind == Op::Kind::value && find(slot_of(op), value)) bytes += value.size();
      at = op.kind == Op::Kind::section ? next_of_section(at) : at + 1;
    }
    return bytes;
  }

  const Template& from_;
  const queue::Batch& batch_;
  const queue::Entry& entry_;
  std::string& scratch_;
  std::string& text_;
  Sink& sink_;
  Refusal* refusal_ = nullptr;
  size_t column_ = 0;  // bytes on the line so far, in the header and in quoted-printable parts
  std::array<char, 16> digits_{};
};

}  // namespace veredus::mail
