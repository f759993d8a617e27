#include "engine/mail/mailbox_list.h"

#include <array>

#include "engine/mail/header_field.h"
#include "engine/mail/structured_field.h"

namespace veredus::mail {
namespace {

constexpr size_t kNone = std::string_view::npos;

// RFC 5322 §3.2.3, RFC 6532 §3.2.
constexpr std::array<bool, 256> kAtext = [] {
  std::array<bool, 256> table{};
  for (size_t c = 33; c < 256; ++c) table[c] = c != 127;
  for (const char c : std::string_view("()<>[]:;@\\,.\""))
    table[static_cast<unsigned char>(c)] = false;
  return table;
}();

bool is_atext(char c) {
  return kAtext[static_cast<unsigned char>(c)];
}

// at_ stands at a token, or at the end, wherever a function begins.
class ListParser {
 public:
  explicit ListParser(std::string_view text) : text_(text) {}
  std::string_view why_not;

  // The next mailbox. False: there is none, or why_not says what is wrong.
  bool next(Mailbox& mailbox) {
    if (!skip()) return false;
    for (;; separated_ = true) {
      if (at_end()) return in_group_ ? fail("a group is not closed by ;") : false;
      if (here(',')) {
        if (!step()) return false;
      } else if (here(';')) {
        if (!in_group_) return fail("there is a ; where no group is");
        in_group_ = false;
        if (!step()) return false;
        if (!at_end() && !here(',')) return fail("something follows a group without a comma");
      } else if (!separated_) {
        return fail("something follows an address without a comma");
      } else {
        bool group = false;
        if (!member(mailbox, group)) return false;
        if (!group) return true;
      }
    }
  }
  // Whether anything but white space and comments has been found.
  bool empty() const { return at_end() && first_; }

 private:
  bool fail(std::string_view why) {
    why_not = why;
    return false;
  }
  bool at_end() const { return at_ == text_.size(); }
  bool here(char c) const { return !at_end() && text_[at_] == c; }
  bool skip() {
    const size_t behind = behind_cfws(text_, at_);
    if (behind == kNone) return fail("a comment is not closed");
    at_ = behind;
    return true;
  }
  // Over one character, and to the next token.
  bool step() {
    first_ = false;
    ++at_;
    return skip();
  }

  // A mailbox, or `name:`, which opens a group.
  bool member(Mailbox& mailbox, bool& group) {
    first_ = false;
    const size_t begin = at_;
    size_t end = at_;  // of the last word
    while (!at_end() && (is_atext(text_[at_]) || here('.') || here('"'))) {
      if (here('"')) {
        at_ = behind_quoted(text_, at_);
        if (at_ == kNone) return at_ = begin, fail("a quoted string is not closed");
      } else {
        ++at_;
      }
      end = at_;
      if (!skip()) return false;
    }
    if (here(':')) {
      if (end == begin) return fail("a group has no name");
      if (in_group_) return fail("there is a group within a group");
      group = in_group_ = true;
      return step();
    }
    mailbox = {};
    mailbox.begin = begin;
    if (here('<')) {
      mailbox.display_name = text_.substr(begin, end - begin);
      if (!step()) return false;
      if (here('@')) return fail("there is a source route");
      if (!addr_spec(mailbox) || !skip()) return false;
      if (!here('>')) return fail("an address is not closed by >");
      mailbox.end = ++at_;
    } else {
      at_ = begin;
      if (!addr_spec(mailbox)) return false;
      mailbox.end = at_;
    }
    separated_ = false;
    return true;
  }

  // at_ is left behind the domain.
  bool addr_spec(Mailbox& mailbox) {
    size_t begin = at_;
    if (here('"')) {
      at_ = behind_quoted(text_, at_);
      if (at_ == kNone) return at_ = begin, fail("a quoted string is not closed");
    } else if (!dot_atom()) {
      return fail("an address has no local part of atoms with dots between");
    }
    mailbox.local = text_.substr(begin, at_ - begin);
    if (mailbox.local.find_first_of("\r\n") != kNone) return fail("a local part is folded");
    if (!skip()) return false;
    if (here('.') || here('"') || (!at_end() && is_atext(text_[at_])))
      return fail("an address has several words in front of its @, or none");
    if (!here('@')) return fail("an address has no @");
    if (!step()) return false;
    begin = at_;
    if (here('[')) {
      at_ = text_.find_first_of("]\\\r\n", at_);
      if (at_ == kNone || text_[at_] != ']') {
        at_ = begin;
        return fail("an address literal is not closed by ]");
      }
      ++at_;
    } else if (!dot_atom()) {
      return fail("an address has no domain of atoms with dots between");
    }
    mailbox.domain = text_.substr(begin, at_ - begin);
    return true;
  }

  bool dot_atom() {
    for (;; ++at_) {
      const size_t begin = at_;
      while (!at_end() && is_atext(text_[at_])) ++at_;
      if (at_ == begin) return false;
      if (!here('.')) return true;
    }
  }

  const std::string_view text_;
  size_t at_ = 0;
  bool in_group_ = false;
  bool separated_ =
      true;            // nothing stands between at_ and the beginning, a comma or a group's name
  bool first_ = true;  // only white space and comments so far
};

}  // namespace

bool parse_mailbox_list(std::string_view value, std::vector<Mailbox>& out,
                        std::string_view& why_not) {
  out.clear();
  ListParser parser(value);
  for (Mailbox mailbox; parser.next(mailbox);) {
    if (out.size() == kMailboxesMax) {
      why_not = "there are more than 1000 mailboxes";
      return false;
    }
    out.push_back(mailbox);
  }
  why_not = parser.why_not;
  if (why_not.empty() && parser.empty()) why_not = "it is empty";
  return why_not.empty();
}

std::string_view author_domain(std::string_view header_block) {
  HeaderField field;
  for (std::string_view whole; !header_block.empty();) {
    if (!take_field(header_block, whole, field) || !same_name(field.name, "from")) continue;
    ListParser parser(field.value);
    std::string_view domain;
    for (Mailbox mailbox; parser.next(mailbox);) {
      if (domain.empty()) domain = mailbox.domain;
    }
    return parser.why_not.empty() ? domain : std::string_view();
  }
  return {};
}

}  // namespace veredus::mail
