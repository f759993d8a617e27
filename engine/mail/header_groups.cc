#include "engine/mail/header_groups.h"

#include <algorithm>
#include <iterator>

#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/structured_field.h"

namespace veredus::mail {
namespace {

struct KnownField {
  std::string_view name;
  FieldKind kind;
};
constexpr KnownField kKnown[] = {
    {"from", FieldKind::address},
    {"sender", FieldKind::address},
    {"reply-to", FieldKind::address},
    {"to", FieldKind::address},
    {"cc", FieldKind::address},
    {"bcc", FieldKind::address},
    {"resent-from", FieldKind::address},
    {"resent-sender", FieldKind::address},
    {"resent-reply-to", FieldKind::address},
    {"resent-to", FieldKind::address},
    {"resent-cc", FieldKind::address},
    {"resent-bcc", FieldKind::address},
    {"disposition-notification-to", FieldKind::address},
    {"return-receipt-to", FieldKind::address},
    {"errors-to", FieldKind::address},
    {"list-id", FieldKind::list_id},
    {"list-help", FieldKind::uri_list},
    {"list-unsubscribe", FieldKind::uri_list},
    {"list-subscribe", FieldKind::uri_list},
    {"list-post", FieldKind::uri_list},
    {"list-owner", FieldKind::uri_list},
    {"list-archive", FieldKind::uri_list},
    {"list-unsubscribe-post", FieldKind::structured},
    {"content-description", FieldKind::unstructured},
    {"content-type", FieldKind::parameters},
    {"content-disposition", FieldKind::parameters},
    {"content-transfer-encoding", FieldKind::parameters},
    {"content-id", FieldKind::message_id},
    {"message-id", FieldKind::message_id},
    {"resent-message-id", FieldKind::message_id},
    {"in-reply-to", FieldKind::structured},
    {"references", FieldKind::structured},
    {"date", FieldKind::structured},
    {"resent-date", FieldKind::structured},
    {"mime-version", FieldKind::structured},
    {"received", FieldKind::structured},
    {"return-path", FieldKind::structured},
    {"dkim-signature", FieldKind::structured},
    {"authentication-results", FieldKind::structured},
};

// Walks a value that is made of <…>, quoted strings, comments and what stands between (RFC 5322
// §3.2.2, §3.2.4). Whatever is not closed goes on to the end.
class Cutter {
 public:
  Cutter(std::string_view value, std::vector<FieldSpan>& spans) : value_(value), spans_(spans) {}

  void addresses() {
    while (at_ < value_.size()) {
      const char c = value_[at_];
      if (c == '<') {
        display_name();
        angle();
        put(FieldSpan::Kind::address);
      } else if (c == ',' || c == ';' || c == ':') {
        put(FieldSpan::Kind::address);
        ++at_;
        put(FieldSpan::Kind::verbatim);
      } else {
        step();
      }
    }
    put(FieldSpan::Kind::address);
  }

  void brackets() {
    while (at_ < value_.size()) {
      if (value_[at_] != '<') {
        step();
        continue;
      }
      put(FieldSpan::Kind::verbatim);
      angle();
      put(FieldSpan::Kind::bracket);
    }
    put(FieldSpan::Kind::verbatim);
  }

  void quotes() {
    while (at_ < value_.size()) {
      if (value_[at_] != '"') {
        step();
        continue;
      }
      put(FieldSpan::Kind::verbatim);
      quoted();
      put(FieldSpan::Kind::quoted);
    }
    put(FieldSpan::Kind::verbatim);
  }

  void skip_blanks() {
    while (at_ < value_.size() && is_blank(value_[at_])) ++at_;
    put(FieldSpan::Kind::verbatim);
  }

 private:
  bool at_tag() const { return value_.substr(at_, 2) == "{{"; }
  bool has_tag() const {
    return value_.substr(from_, at_ - from_).find("{{") != std::string_view::npos;
  }
  void put(FieldSpan::Kind kind) {
    if (at_ > from_) spans_.push_back({kind, from_, at_});
    from_ = at_;
  }
  // What stands in front of a <: blanks and folds of it stay.
  void display_name() {
    if (!has_tag()) return put(FieldSpan::Kind::verbatim);
    const size_t end = at_;
    at_ = from_;
    skip_blanks();
    at_ = end;
    put(FieldSpan::Kind::phrase);
  }
  // Over <…>, the brackets included.
  void angle() {
    for (++at_; at_ < value_.size() && value_[at_] != '>';) {
      if (at_tag()) {
        at_ = behind_merge_tag(value_, at_);
      } else if (value_[at_] == '"') {
        quoted();
      } else {
        ++at_;
      }
    }
    if (at_ < value_.size()) ++at_;
  }
  void quoted() {
    for (++at_; at_ < value_.size() && value_[at_] != '"';) {
      if (at_tag()) {
        at_ = behind_merge_tag(value_, at_);
      } else {
        at_ += value_[at_] == '\\' && at_ + 1 < value_.size() ? 2 : 1;
      }
    }
    if (at_ < value_.size()) ++at_;
  }
  void comment() {
    unsigned depth = 0;
    do {
      if (at_tag()) {
        at_ = behind_merge_tag(value_, at_);
        continue;
      }
      depth += value_[at_] == '(' ? 1 : 0;
      depth -= value_[at_] == ')' ? 1 : 0;
      at_ += value_[at_] == '\\' && at_ + 1 < value_.size() ? 2 : 1;
    } while (depth > 0 && at_ < value_.size());
  }
  // Over a tag, a quoted string, a comment, or one byte.
  void step() {
    if (at_tag()) {
      at_ = behind_merge_tag(value_, at_);
    } else if (value_[at_] == '"') {
      quoted();
    } else if (value_[at_] == '(') {
      comment();
    } else {
      ++at_;
    }
  }

  std::string_view value_;
  std::vector<FieldSpan>& spans_;
  size_t at_ = 0, from_ = 0;
};

bool has_high_outside_tags(std::string_view text) {
  for (size_t open; (open = text.find("{{")) != std::string_view::npos;) {
    if (has_high(text.substr(0, open))) return true;
    text.remove_prefix(behind_merge_tag(text, open));
  }
  return has_high(text);
}

}  // namespace

FieldKind field_kind(std::string_view name) {
  const auto known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                  [&](const KnownField& f) { return same_name(name, f.name); });
  if (known != std::end(kKnown)) return known->kind;
  if (name.size() > 8 && same_name(name.substr(0, 8), "content-")) return FieldKind::structured;
  if (name.size() > 4 && same_name(name.substr(0, 4), "arc-")) return FieldKind::structured;
  return FieldKind::unstructured;
}

void field_spans(FieldKind kind, std::string_view value, std::vector<FieldSpan>& spans) {
  spans.clear();
  // The line end is nobody's text.
  const size_t end = value.find_last_not_of("\r\n") + 1;
  const std::string_view text = value.substr(0, end);
  Cutter cutter(text, spans);
  const bool mailboxes = kind == FieldKind::address || kind == FieldKind::list_id;
  if (mailboxes || kind == FieldKind::unstructured) cutter.skip_blanks();
  const size_t begin = spans.empty() ? 0 : spans.back().end;
  if (mailboxes) {
    cutter.addresses();
  } else if (kind == FieldKind::uri_list || kind == FieldKind::message_id) {
    cutter.brackets();
  } else if (kind == FieldKind::parameters) {
    cutter.quotes();
  } else if (begin < end) {
    const bool text_only = kind == FieldKind::unstructured;
    spans.push_back({text_only ? FieldSpan::Kind::text : FieldSpan::Kind::verbatim, begin, end});
  }
  if (end < value.size()) spans.push_back({FieldSpan::Kind::verbatim, end, value.size()});
}

bool keeps_high(FieldKind kind, std::string_view value, std::vector<FieldSpan>& scratch) {
  field_spans(kind, value, scratch);
  return std::any_of(scratch.begin(), scratch.end(), [&](const FieldSpan& span) {
    return span.kind != FieldSpan::Kind::text && span.kind != FieldSpan::Kind::phrase &&
           has_high_outside_tags(value.substr(span.begin, span.end - span.begin));
  });
}

}  // namespace veredus::mail
