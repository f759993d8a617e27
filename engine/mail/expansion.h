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
        case Op::Kind::field:
          filled_ = false;
          ++at;
          break;
        case Op::Kind::field_end:
          if (!filled_) return refuse_blank(bytes_of(op));
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

  bool refuse_blank(std::string_view field) {
    refusal_->status = "5.6.0";
    refusal_->reason = "the header field ";
    (refusal_->reason += field) += " becomes blank by its variables";
    return false;
  }

  // The value, once it is known that it can stand there.
  bool find_fitting(const Slot& slot, std::string_view& value, uint16_t& traits) {
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
    filled_ = filled_ || !op.blank;
    in_uri_ = !op.opens_uri;
    sink_.constant(at);
  }

  bool value(const Slot& slot) {
    std::string_view value;
    uint16_t traits = 0;
    if (!find_fitting(slot, value, traits)) return false;
    if (slot.context == MergeContext::uri && !in_uri_ && !value.empty() && !begins_uri(value)) {
      return refuse_value(*refusal_, slot.name,
                          "begins a URI, but neither with https:// nor http:// nor mailto:");
    }
    sink_.tag(slot.context);
    filled_ = filled_ || !without_blanks_around(value).empty();
    const size_t begin = scratch_.size();
    append_value(slot, value, traits);
    if (!is_body(slot.context)) column_ += scratch_.size() - begin;
    if (scratch_.size() > begin) sink_.dynamic(begin);
    return true;
  }

  void append_value(const Slot& slot, std::string_view value, uint16_t traits) {
    const bool high = (traits & kHasHigh) != 0;
    if (is_html(slot.context) && !slot.raw && (traits & kHasMarkup) != 0) value = in_html(value);
    switch (slot.context) {
      case MergeContext::uri:
        in_uri_ ? append_uri_component(value, scratch_) : append_uri_escaped(value, scratch_);
        in_uri_ = in_uri_ || !value.empty();
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
      case MergeContext::list_id:
      case MergeContext::message_id:
      case MergeContext::message_id_part:
      case MergeContext::parameter:
      case MergeContext::quoted_parameter:
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
    if (op.context == MergeContext::text && !op.folded) {
      bool plain = true;
      if (!look(at, plain)) return false;
      if (plain) return next = at + 1, true;
    }
    Gathered gathered;
    if (!gather(at, gathered)) return false;
    sink_.tag(op.context);
    const size_t begin = scratch_.size();
    if (op.context == MergeContext::address) {
      if (!put_address(gathered)) return false;
      if (std::string_view(scratch_).substr(begin) == text_) {
        // It goes as it stands, what is constant without a copy.
        scratch_.resize(begin);
        return next = at + 1, true;
      }
    } else if (op.context == MergeContext::phrase) {
      put_phrase(op, gathered.value_words);
    } else if (gathered.high || gathered.value_words) {
      text_.resize(unfolded_size(text_));
      gathered.value_words ? append_encoded_words(text_, column_, scratch_)
                           : append_encoded_text(text_, column_, scratch_);
    } else {
      append_without_blank_lines(text_, column_, scratch_);
    }
    if (scratch_.size() > begin) sink_.dynamic(begin);
    next = op.end;
    return true;
  }

  // Whether the group can go as it stands: no bytes over 127, nothing of an encoded word.
  bool look(size_t group, bool& plain) {
    for (size_t at = group + 1; at < from_.ops_[group].end;) {
      const Op& op = from_.ops_[at];
      uint16_t traits = 0;
      std::string_view value;
      if (op.kind == Op::Kind::value && !find_fitting(slot_of(op), value, traits)) return false;
      plain = plain && !op.high && !op.word && (traits & (kHasHigh | kHasWordMark)) == 0;
      at = op.kind == Op::Kind::section ? next_of_section(at) : at + 1;
    }
    return true;
  }

  struct Gathered {
    bool high = false;         // some byte is over 127
    bool value_words = false;  // a value has =?, or is a part of what would be an encoded word
    bool at_sign = false;      // a constant has the @ of an address
    const Slot* first = nullptr;
    const Slot* no_atoms = nullptr;  // the first whose value is no dot-atom
  };
  // The group's text, in text_. Of a phrase, quotes are taken off what is constant: they are put on
  // again where they are needed.
  bool gather(size_t group, Gathered& found) {
    const bool phrase = from_.ops_[group].context == MergeContext::phrase;
    size_t marks = 0;  // =? in what is constant
    text_.clear();
    for (size_t at = group + 1; at < from_.ops_[group].end;) {
      const Op& op = from_.ops_[at];
      const size_t begin = text_.size();
      if (op.kind == Op::Kind::constant) {
        found.high = found.high || op.high;
        phrase ? append_unquoted(bytes_of(op), text_) : static_cast<void>(text_ += bytes_of(op));
        const std::string_view added = std::string_view(text_).substr(begin);
        marks += word_marks(added);
        found.at_sign = found.at_sign || added.find('@') != std::string_view::npos;
      } else if (op.kind == Op::Kind::value) {
        const Slot& slot = slot_of(op);
        std::string_view value;
        uint16_t traits = 0;
        if (!find_fitting(slot, value, traits)) return false;
        found.high = found.high || (traits & kHasHigh) != 0;
        found.value_words = found.value_words || (marks > 0 && goes_into_word(value));
        if (found.no_atoms == nullptr && (traits & kLeavesAtoms) != 0) found.no_atoms = &slot;
        text_ += value;
      }
      if (found.first == nullptr && (op.kind == Op::Kind::value || op.kind == Op::Kind::section))
        found.first = &slot_of(op);
      at = op.kind == Op::Kind::section ? next_of_section(at) : at + 1;
    }
    found.value_words = found.value_words || word_marks(text_) != marks;
    return true;
  }

  // Whether the value goes on with what may be an encoded word in text_.
  bool goes_into_word(std::string_view value) const {
    if (value.empty() || value.front() == ' ' || value.front() == '\t') return false;
    const size_t begin = text_.find_last_of(" \t\n") + 1;
    return text_.find("=?", begin) != std::string::npos;
  }

  bool put_address(const Gathered& gathered) {
    if (gathered.at_sign && gathered.no_atoms != nullptr) {
      return refuse_value(*refusal_, gathered.no_atoms->name,
                          "stands beside the @ of an address, and has another character than those "
                          "of atoms and dots (RFC 5322 section 3.2.3)");
    }
    const size_t begin = scratch_.size();
    std::string_view why_not;
    if (gathered.first == nullptr) {
      scratch_ += text_;  // {{"{{"}} alone
    } else if (!append_one_mailbox(text_, gathered.at_sign ? kVerpLocalPartMax : kLocalPartBytesMax,
                                   scratch_, why_not)) {
      refuse_value(*refusal_, gathered.first->name, "makes no address: ");
      refusal_->reason += why_not;
      return false;
    }
    const std::string_view made = std::string_view(scratch_).substr(begin);
    const bool high = has_high(made);
    eight_bit = eight_bit || high;
    header_utf8 = header_utf8 || (high && gathered.first != nullptr && gathered.first->of_message);
    filled_ = filled_ || !made.empty();
    if (made == text_) return true;  // it is put piece by piece
    const size_t newline = made.rfind('\n');
    column_ = newline == std::string_view::npos ? column_ + made.size() : made.size() - newline - 1;
    return true;
  }

  void put_phrase(const Op& group, bool as_words) {
    const std::string_view name = without_blanks_around(text_);
    if (name.empty()) return;
    const bool in_words = append_phrase(name, column_, scratch_, as_words);
    // A line with an encoded word has 76 bytes at most (RFC 2047 §2): the address may not fit.
    const bool fold = in_words && column_ + 1 + rest_of_line(group.end) > kEncodedLineMax;
    scratch_ += fold ? "\r\n " : " ";
    column_ = fold ? 1 : column_ + 1;
  }

  static bool has_u_labels(std::string_view address) {
    return has_high(address.substr(address.rfind('@') + 1));
  }

  // About the bytes up to the next line end.
  size_t rest_of_line(size_t at) {
    size_t bytes = 0;
    while (at < from_.ops_.size()) {
      const Op& op = from_.ops_[at];
      // What follows a name or a text is its own affair.
      if (op.kind == Op::Kind::group && op.context != MergeContext::address) return bytes;
      if (op.kind == Op::Kind::constant) bytes += op.head;
      if (op.newline) return bytes;
      std::string_view value;
      if (op.kind == Op::Kind::value && find(slot_of(op), value))
        bytes += has_u_labels(value) ? kEncodedLineMax : value.size();  // A-labels may be longer
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
  bool filled_ = true;  // the field that variables have to fill has something in it
  bool in_uri_ = true;  // something of the URI is there already
  size_t column_ = 0;   // bytes on the line so far, in the header and in quoted-printable parts
  std::array<char, 16> digits_{};
};

}  // namespace veredus::mail
