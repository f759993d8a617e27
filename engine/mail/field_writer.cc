#include "engine/mail/field_writer.h"

#include <algorithm>
#include <vector>

#include "engine/mail/address.h"
#include "engine/mail/content.h"
#include "engine/mail/encoded_word.h"
#include "engine/mail/escape.h"
#include "engine/mail/header_field.h"
#include "engine/mail/header_groups.h"
#include "engine/mail/idn.h"
#include "engine/mail/mailbox_list.h"
#include "engine/mail/tag_span.h"
#include "engine/mail/utf8.h"

namespace veredus::mail {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

bool has_tag(std::string_view text, bool merge) {
  return merge && text.find("{{") != std::string_view::npos;
}

bool has_high_constant(std::string_view text, bool merge) {
  std::string_view constant, tag;
  do {
    take_to_tag(text, merge, constant, tag);
    if (has_high(constant)) return true;
  } while (!tag.empty());
  return false;
}

// Lines with encoded words are shorter (RFC 2047 §2), and a comma may follow what is on one.
constexpr size_t kWordLineMax = 76;
constexpr size_t kAddressLineMax = kWordLineMax - 1;

// A text's next word: all up to a blank, tags whole.
struct Word {
  size_t bytes = 0;
  bool stays = false;  // something of it is there whatever is merged
};

// Reads words and knows in how many sections it stands.
class Words {
 public:
  explicit Words(bool merge) : merge_(merge) {}

  Word next(std::string_view text) {
    Word word;
    while (word.bytes < text.size() && text[word.bytes] != ' ' && text[word.bytes] != '\t') {
      if (merge_ && text.substr(word.bytes).starts_with("{{")) {
        const size_t length = tag_length(text, word.bytes);
        if (length != std::string_view::npos) {
          const char kind = text[word.bytes + 2];
          if (kind == '#' || kind == '^') ++depth_;
          if (kind == '/' && depth_ > 0) --depth_;
          word.bytes += length;
          continue;
        }
      }
      word.stays = word.stays || depth_ == 0;
      ++word.bytes;
    }
    return word;
  }

 private:
  const bool merge_;
  unsigned depth_ = 0;
};

// Whether something of a text is there whatever is merged.
bool stays(std::string_view text, bool merge) {
  Words words(merge);
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    if (text.empty()) return false;
    const Word word = words.next(text);
    if (word.stays) return true;
    text.remove_prefix(word.bytes);
  }
}

// What an address field is made of, one after the other.
class AddressWriter {
 public:
  AddressWriter(std::string_view value, bool merge, size_t column, std::string& out)
      : value_(value), merge_(merge), column_(column), out_(out) {}
  std::string why_not;

  bool run() {
    std::string_view reason;
    // Tags are read as words of the same length, so that places hold.
    const std::string stand_ins = with_stand_ins();
    if (!parse_mailbox_list(stand_ins, mailboxes_, reason))
      return fail("is no list of addresses: " + std::string(reason));
    size_t from = 0;
    for (const Mailbox& mailbox : mailboxes_) {
      if (!between(value_.substr(from, mailbox.begin - from), from == 0)) return false;
      if (!put(mailbox, stand_ins)) return false;
      from = mailbox.end;
    }
    return between(value_.substr(from), mailboxes_.empty());
  }

 private:
  bool fail(std::string reason) {
    why_not = std::move(reason);
    return false;
  }

  std::string with_stand_ins() const {
    std::string text(value_);
    if (!has_tag(value_, merge_)) return text;
    std::vector<FieldSpan> spans;
    field_spans(FieldKind::address, value_, spans);
    for (const FieldSpan& span : spans) {
      const std::string_view whole = value_.substr(span.begin, span.end - span.begin);
      std::string_view rest = whole, constant, tag;
      bool wants_at = span.kind == FieldSpan::Kind::address;
      do {
        take_to_tag(rest, true, constant, tag);
        wants_at = wants_at && constant.find('@') == std::string_view::npos;
      } while (!tag.empty());
      for (rest = whole; take_to_tag(rest, true, constant, tag), !tag.empty();) {
        const auto at = static_cast<size_t>(tag.data() - value_.data());
        text.replace(at, tag.size(), tag.size(), 'x');
        // A tag alone stands for a whole address.
        if (wants_at) text[at + 1] = '@';
        wants_at = false;
      }
    }
    return text;
  }

  // Commas; comments and groups are left as they are.
  bool between(std::string_view text, bool first) {
    if (has_high(text)) return fail("has a comment, or the name of a group, that is not ASCII");
    if (text.find_first_not_of(" \t,") == std::string_view::npos) {
      comma_ = !first && !text.empty();
      return true;
    }
    const std::string_view plain = trimmed(text);
    put_piece(plain.front() == ',' || plain.front() == ';' || first ? "" : " ", plain);
    comma_ = false;
    blank_ = true;
    return true;
  }

  bool put(const Mailbox& mailbox, std::string_view stand_ins) {
    const std::string_view piece = value_.substr(mailbox.begin, mailbox.end - mailbox.begin);
    const std::string_view read = stand_ins.substr(mailbox.begin, piece.size());
    const auto place = [&](std::string_view of) {
      return static_cast<size_t>(of.data() - stand_ins.data());
    };
    const std::string_view domain = value_.substr(place(mailbox.domain), mailbox.domain.size());
    const std::string_view local = value_.substr(place(mailbox.local), mailbox.local.size());
    std::string_view phrase;
    if (!mailbox.display_name.empty())
      phrase = value_.substr(place(mailbox.display_name), mailbox.display_name.size());
    const std::string name = spoken(phrase);
    const bool as_given = has_comment(read) || (!has_high(name) && has_encoded_word(name));
    if (as_given && has_high_constant(piece, merge_))
      return fail("has a comment, or an encoded word, beside what is not ASCII");
    std::string made;
    // Only the first mailbox cannot go onto a line of its own.
    size_t column = comma_ || blank_ ? 1 : column_;
    if (has_tag(piece, merge_)) {
      const size_t domain_at = place(mailbox.domain) - mailbox.begin;
      if (!with_tags(piece, domain, domain_at, made)) return false;
      // The renderer encodes a name with tags, and leaves one without as it is.
      if (!as_given && !name.empty() && !has_tag(phrase, merge_)) {
        const std::string address = made.substr(made.find('<', phrase.size()) + 1);
        made.clear();
        append_mailbox(name, std::string_view(address).substr(0, address.size() - 1), column, made);
      }
      return add(made);
    }
    std::string address;
    if (!address_of(local, domain, address)) return false;
    if (as_given) {
      made = piece;
    } else if (name.empty()) {
      made = piece.starts_with('<') ? "<" + address + ">" : address;
    } else {
      append_mailbox(name, address, column, made);
    }
    return add(made);
  }

  // Stays as it is, but for a domain that is all there.
  bool with_tags(std::string_view piece, std::string_view domain, size_t at, std::string& made) {
    if (!has_high_constant(domain, merge_)) {
      made = piece;
      return true;
    }
    std::string_view reason = "it has a variable in it";
    made = piece.substr(0, at);
    if (has_tag(domain, merge_) || !append_a_labels(domain, made, reason))
      return fail("has a domain that is not ASCII, and no domain name: " + std::string(reason));
    made += piece.substr(at + domain.size());
    return true;
  }

  bool address_of(std::string_view local, std::string_view domain, std::string& made) {
    std::string address(local);
    (address += '@') += domain;
    if (domain.starts_with('[')) {
      made = std::move(address);
      return true;
    }
    std::string scratch;
    std::string_view taken, reason;
    const AddressFault fault = take_address(address, scratch, taken, reason);
    if (fault != AddressFault::none) {
      std::string why(reason_of(fault));
      if (!reason.empty()) (why += ": ") += reason;
      return fail("has an address that is none: " + why);
    }
    // As it was written, but for U-labels.
    made = has_high(domain) ? std::string(taken) : address;
    return true;
  }

  // What a display name says: quotes and escapes taken away, blanks collapsed.
  static std::string spoken(std::string_view phrase) {
    std::string text;
    bool quoted = false;
    for (size_t at = 0; at < phrase.size(); ++at) {
      char c = phrase[at];
      if (c == '"') {
        quoted = !quoted;
        continue;
      }
      if (quoted && c == '\\' && at + 1 < phrase.size()) c = phrase[++at];
      if (c == '\t') c = ' ';
      if (c == ' ' && (text.empty() || (!quoted && text.back() == ' '))) continue;
      text += c;
    }
    while (text.ends_with(' ')) text.pop_back();
    return text;
  }

  static bool has_comment(std::string_view text) {
    bool quoted = false;
    for (size_t at = 0; at < text.size(); ++at) {
      if (text[at] == '"') quoted = !quoted;
      if (text[at] == '\\') ++at;
      if (!quoted && at < text.size() && text[at] == '(') return true;
    }
    return false;
  }

  bool add(std::string_view made) {
    put_piece(comma_ ? ", " : blank_ ? " " : "", made);
    comma_ = false;
    blank_ = true;
    return true;
  }

  // `separator` ends with the blank at which the line may be folded; empty: nowhere.
  void put_piece(std::string_view separator, std::string_view piece) {
    const size_t first_line = std::min(piece.find('\r'), piece.size());
    const bool fits = column_ + separator.size() + first_line <= kAddressLineMax;
    if (separator.ends_with(' ') && !fits && stays(piece, merge_)) {
      out_ += separator.substr(0, separator.size() - 1);
      out_ += "\r\n ";
      column_ = 1;
    } else {
      out_ += separator;
      column_ += separator.size();
    }
    out_ += piece;
    const size_t line = piece.rfind('\n');
    column_ = line == std::string_view::npos ? column_ + piece.size() : piece.size() - line - 1;
  }

  const std::string_view value_;
  const bool merge_;
  size_t column_;
  std::string& out_;
  std::vector<Mailbox> mailboxes_;
  bool comma_ = false, blank_ = false;
};

// RFC 2919: a phrase, and an identifier in brackets.
void append_list_id(std::string_view value, size_t& column, std::string& out) {
  const size_t bracket = std::min(value.rfind('<'), value.size());
  const std::string_view name = trimmed(value.substr(0, bracket));
  append_phrase(name, column, out);
  if (!name.empty() && bracket < value.size())
    out += column + 1 + value.size() - bracket > kWordLineMax ? "\r\n " : " ";
  out += value.substr(bracket);
}

// Values go into each part of a field in its own way: sections do not reach out of one.
bool sections_cross(FieldKind kind, std::string_view value) {
  std::vector<FieldSpan> spans;
  field_spans(kind, value, spans);
  return std::any_of(spans.begin(), spans.end(), [&](const FieldSpan& span) {
    return !tag_fault(value.substr(span.begin, span.end - span.begin)).empty();
  });
}

bool lines_fit(std::string_view field) {
  for (size_t at = 0; at < field.size();) {
    const size_t end = std::min(field.find('\r', at), field.size());
    if (end - at > kLineBytesMax) return false;
    at = end + 2;
  }
  return true;
}

}  // namespace

bool is_field_name(std::string_view name) {
  return !name.empty() && name_length(name) == name.size();
}

std::string text_fault(std::string_view value, bool merge) {
  for (const char c : value) {
    if (c == '\r' || c == '\n') return "has a line end";
    if (c == '\0') return "has a NUL";
    if ((c >= 0 && c < 32 && c != '\t') || c == 127) return "has a control character";
  }
  if (!is_utf8(value)) return "is not UTF-8";
  return merge ? tag_fault(value) : "";
}

void append_folded(std::string_view text, bool merge, size_t& column, std::string& out) {
  Words words(merge);
  const size_t most = has_encoded_word(text) ? kWordLineMax : kFoldedLineMax;
  bool line_stays = true;  // what is on the open line; the field's name is on the first
  while (!text.empty()) {
    const size_t blanks = std::min(text.find_first_not_of(" \t"), text.size());
    const Word word = words.next(text.substr(blanks));
    if (blanks > 0 && column + blanks + word.bytes > most && line_stays && word.stays) {
      out += "\r\n";
      column = 0;
      line_stays = false;
    }
    out += text.substr(0, blanks + word.bytes);
    column += blanks + word.bytes;
    line_stays = line_stays || word.stays;
    text.remove_prefix(blanks + word.bytes);
  }
}

void append_mailbox(std::string_view display_name, std::string_view address, size_t& column,
                    std::string& out) {
  if (!display_name.empty()) append_phrase(display_name, column, out);
  const size_t bytes = address.size() + 3;
  if (column + bytes > kAddressLineMax && !display_name.empty()) {
    out += "\r\n";
    column = 0;
  }
  out += display_name.empty() ? "<" : " <";
  (out += address) += '>';
  column += bytes;
}

bool append_field(std::string_view name, std::string_view value, bool merge, std::string& out,
                  std::string& why_not) {
  value = trimmed(value);
  if (value.size() > kFieldBytesMax) {
    why_not = "is longer than 65536 bytes";
    return false;
  }
  why_not = text_fault(value, merge);
  if (!why_not.empty()) return false;
  const size_t begin = out.size();
  (out += name) += value.empty() ? ":" : ": ";
  size_t column = out.size() - begin;
  const bool tags = has_tag(value, merge);
  const bool high = has_high_constant(value, merge);
  const FieldKind kind = field_kind(name);
  if (tags && sections_cross(kind, value)) {
    why_not = "has a section that reaches over several of its addresses or URIs";
    return false;
  }
  const bool list_id = same_name(name, "list-id");
  const size_t bracket = std::min(value.rfind('<'), value.size());
  if (list_id && high && has_high_constant(value.substr(bracket), merge)) {
    why_not = "is not ASCII between < and >: write domains in A-labels (xn--…)";
    return false;
  }
  if (list_id && high && !has_tag(value.substr(0, bracket), merge)) {
    append_list_id(value, column, out);
  } else if (kind == FieldKind::address && !list_id) {
    AddressWriter writer(value, merge, column, out);
    if (!writer.run()) {
      why_not = std::move(writer.why_not);
      return false;
    }
  } else if (kind == FieldKind::unstructured && high && !tags) {
    append_encoded_text(value, column, out);
  } else if (high && kind != FieldKind::unstructured && !list_id) {
    why_not = kind == FieldKind::uri_list
                  ? "is not ASCII: percent-encode it, and write domains in A-labels (xn--…)"
                  : "is not ASCII, and text stands elsewhere than in this field";
    return false;
  } else {
    append_folded(value, merge, column, out);
  }
  if (!lines_fit(std::string_view(out).substr(begin))) {
    why_not = "has more than 998 bytes without a blank to fold them at";
    return false;
  }
  out += "\r\n";
  return true;
}

}  // namespace veredus::mail
