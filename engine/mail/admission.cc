#include "engine/mail/admission.h"

#include <algorithm>

#include "engine/mail/address.h"
#include "engine/mail/content.h"
#include "engine/mail/entity_walk.h"
#include "engine/mail/header_field.h"
#include "engine/mail/idn.h"
#include "engine/mail/organizational_domain.h"

namespace veredus::mail {
namespace {

constexpr size_t kNone = std::string_view::npos;

// As d= and the list of public suffixes have it.
void take_domain(std::string_view domain, std::string& out) {
  out = domain;
  if (has_high(out)) out = with_a_labels(out);
  out = in_small(out);
}

// d= of a signature, which may be anything, likewise. False: it is no domain name.
bool take_signer(std::string_view domain, std::string& out) {
  if (domain.size() > kDomainBytesMax) return false;  // that much is not converted
  take_domain(domain, out);
  return is_dns_name(out);
}

// A line of a field that is nothing but blanks: readers disagree on whether the header ends there.
bool has_blank_line(std::string_view whole) {
  for (size_t at = 0; (at = whole.find('\n', at)) + 1 < whole.size(); ++at) {
    const size_t text = whole.find_first_not_of(" \t\r", at + 1);
    if (text == kNone || whole[text] == '\n') return true;
  }
  return false;
}

// Letters in place of {{…}}, so that offsets stay.
void mask_slots(std::string_view text, std::string& out) {
  out = text;
  for (size_t open = 0; (open = out.find("{{", open)) != kNone;) {
    const std::string_view closing =
        std::string_view(out).substr(open).starts_with("{{{") ? "}}}" : "}}";
    const size_t close = out.find(closing, open + closing.size());
    if (close == kNone) return;
    std::fill(out.begin() + static_cast<ptrdiff_t>(open),
              out.begin() + static_cast<ptrdiff_t>(close + closing.size()), 'x');
  }
}

bool has_section(std::string_view text) {
  return text.find("{{#") != kNone || text.find("{{^") != kNone;
}

}  // namespace

Findings line_findings(std::string_view raw) {
  Findings found;
  size_t start = 0;
  for (size_t at = 0; (at = raw.find_first_of("\r\n", at)) != kNone; start = ++at) {
    if (at - start > kLineBytesMax) found.add(Finding::line_length);
    if (raw[at] == '\n') {
      found.add(Finding::bare_lf);
    } else if (at + 1 < raw.size() && raw[at + 1] == '\n') {
      ++at;
    } else {
      found.add(Finding::bare_cr);
    }
  }
  if (raw.size() - start > kLineBytesMax) found.add(Finding::line_length);
  return found;
}

Admission::Known Admission::known(std::string_view name) {
  const auto is = [&](std::string_view small, Known field) {
    return same_name(name, small) ? field : kOther;
  };
  const auto either = [&](std::string_view a, Known first, std::string_view b, Known second) {
    return same_name(name, a) ? first : is(b, second);
  };
  switch (name.size()) {
    case 2:
      return either("to", kTo, "cc", kCc);
    case 3:
      return is("bcc", kBcc);
    case 4:
      return either("from", kFrom, "date", kDate);
    case 6:
      return is("sender", kSender);
    case 7:
      return is("subject", kSubject);
    case 8:
      return is("reply-to", kReplyTo);
    case 10:
      return either("message-id", kMessageId, "references", kReferences);
    case 11:
      if (same_name(name, "return-path")) return kReturnPath;
      return either("in-reply-to", kInReplyTo, "feedback-id", kFeedbackId);
    case 12:
      return either("mime-version", kMimeVersion, "content-type", kContentType);
    case 14:
      return is("dkim-signature", kDkimSignature);
    case 16:
      return is("list-unsubscribe", kListUnsubscribe);
    case 21:
      return is("list-unsubscribe-post", kListUnsubscribePost);
    case 25:
      return is("content-transfer-encoding", kContentTransferEncoding);
    default:
      return kOther;
  }
}

void Admission::find(Finding finding, std::string_view detail) {
  if (!report_.found.has(finding))
    report_.details[static_cast<size_t>(finding)] = detail_of(detail);
  report_.found.add(finding);
}

bool Admission::has_slots(std::string_view value) const {
  return facts_.merge && value.find("{{") != kNone;
}

void Admission::read_header(std::string_view block) {
  seen_.fill({});
  carried_.clear();
  HeaderField field;
  for (std::string_view whole; !block.empty();) {
    if (!take_field(block, whole, field)) {
      find(Finding::header_syntax, "a line is no field");
      continue;
    }
    const Known which = known(field.name);
    const auto named = [&](std::string_view what) {
      return std::string(field.name.substr(0, 64)).append(what);
    };
    if (whole[field.name.size()] != ':')
      find(Finding::header_syntax, named(" has white space in front of its colon"));
    if (field.folded && has_blank_line(whole))
      find(Finding::header_syntax, named(" has a line of blanks"));
    if (which == kDkimSignature) {
      carried_.push_back(read_signature(field.value));
    } else if (which != kOther && ++seen_[which].count == 1) {
      seen_[which].whole = whole;
      seen_[which].value = field.value;
    } else if (which == kFrom) {
      find(Finding::from_multiple, "From stands several times");
    } else if (which != kOther) {
      find(Finding::header_syntax, named(" stands several times"));
    }
  }
}

void Admission::check_domain(std::string_view domain) {
  if (domain.front() == '[') {
    find(Finding::from_syntax, "its domain is an address literal");
  } else if (domain.find('.') == kNone) {
    find(Finding::from_syntax, "its domain has one label only");
  }
}

// Of several authors no more than one domain could be aligned: receivers refuse them, a Sender or
// not (RFC 7489 §6.6.1).
void Admission::check_authors() {
  if (seen_[kSender].count == 0)
    return find(Finding::from_multiple, "several mailboxes, and no Sender");
  std::string domain;
  take_domain(mailboxes_.front().domain, author_);
  for (const Mailbox& mailbox : mailboxes_) {
    take_domain(mailbox.domain, domain);
    if (domain != author_) return find(Finding::from_multiple, "mailboxes of several domains");
  }
}

void Admission::check_from() {
  const Seen& from = seen_[kFrom];
  if (from.count == 0) return find(Finding::from_missing);
  std::string_view value = from.value, why_not;
  const bool slots = has_slots(value);
  if (slots) {
    report_.author_varies = has_section(value);
    mask_slots(value, masked_);
    value = masked_;
  }
  const bool parsed = parse_mailbox_list(value, mailboxes_, why_not) && !mailboxes_.empty();
  if (slots) {
    const auto varies = [&] {
      // A value in the local part could bring an @.
      return std::any_of(mailboxes_.begin(), mailboxes_.end(), [&](const Mailbox& each) {
        const auto begin = static_cast<size_t>(each.local.data() - value.data());
        return from.value.substr(begin, each.end - begin).find("{{") != kNone;
      });
    };
    report_.author_varies = report_.author_varies || !parsed || varies();
    if (report_.author_varies) return;
  }
  if (!parsed) return find(Finding::from_syntax, why_not.empty() ? "no mailbox" : why_not);
  if (mailboxes_.size() > 1) check_authors();
  check_domain(mailboxes_.front().domain);
  take_domain(mailboxes_.front().domain, author_);
  report_.found = report_.found | signing_findings(author_);
}

bool Admission::aligned(std::string_view signer, std::string_view author) {
  if (signer == author) return true;
  if (signer != aligned_signer_) aligned_organization_ = organizational_domain(signer);
  if (signer != aligned_signer_ || author != aligned_author_)
    aligned_ = organizational_domain(author) == aligned_organization_;
  aligned_signer_ = signer;
  aligned_author_ = author;
  return aligned_;
}

// RFC 7489 §3.1.1; RFC 8058 §4.
Findings Admission::signing_findings(std::string_view domain) {
  Findings found;
  signatures_.clear();
  const bool signs =
      facts_.signers != nullptr && (carried_.empty() || facts_.signers->sign_what_is_signed());
  if (signs) facts_.signers->of_author(domain, signatures_);
  for (const SignatureTags& tags : carried_) {
    Signature signature;
    if (!take_signer(tags.domain, signature.domain)) continue;
    signature.unsubscribe =
        covers(tags.headers, "list-unsubscribe") && covers(tags.headers, "list-unsubscribe-post");
    signatures_.push_back(std::move(signature));
  }
  const auto unsubscribe = [](const Signature& each) { return each.unsubscribe; };
  if (signatures_.empty()) {
    found.add(Finding::dkim_missing);
    report_.details[static_cast<size_t>(Finding::dkim_missing)] =
        carried_.empty() ? detail_of(std::string("From is of ").append(domain))
                         : "the d= of its own is no domain name";
  } else if (std::none_of(signatures_.begin(), signatures_.end(),
                          [&](const Signature& each) { return aligned(each.domain, domain); })) {
    found.add(Finding::dkim_alignment);
    const std::string& signer = signatures_.front().domain;
    report_.details[static_cast<size_t>(Finding::dkim_alignment)] =
        detail_of(std::string("From is of ").append(domain).append(", d= is ").append(signer));
  }
  if (one_click_ && std::none_of(signatures_.begin(), signatures_.end(), unsubscribe))
    found.add(Finding::unsubscribe_unsigned);
  return found;
}

void Admission::check_addresses() {
  constexpr std::pair<Known, std::string_view> kFields[] = {
      {kSender, "Sender"}, {kReplyTo, "Reply-To"}, {kTo, "To"}, {kCc, "Cc"}, {kBcc, "Bcc"}};
  for (const auto& [which, name] : kFields) {
    const Seen& field = seen_[which];
    if (field.count == 0 || has_slots(field.value)) continue;
    // Bcc may be empty (RFC 5322 §3.6.3).
    if (which == kBcc && without_blanks(field.value).empty()) continue;
    std::string_view why_not;
    if (!parse_mailbox_list(field.value, mailboxes_, why_not)) {
      find(Finding::address_syntax, std::string(name).append(": ").append(why_not));
    } else if (which == kSender && mailboxes_.size() != 1) {
      find(Finding::address_syntax, "Sender: it wants one mailbox");
    }
  }
}

void Admission::check_origin() {
  const Seen &date = seen_[kDate], &id = seen_[kMessageId];
  if (date.count == 0 && !facts_.built) find(Finding::date_missing);
  if (date.count != 0 && !has_slots(date.value) && !is_date_time(date.value))
    find(Finding::date_syntax);
  if (id.count == 0 && !facts_.built) find(Finding::message_id_missing);
  if (id.count != 0 && !has_slots(id.value) && !is_message_id(id.value))
    find(Finding::message_id_syntax);
  if (seen_[kReturnPath].count != 0) find(Finding::return_path);
  // The renderer adds them where they lack, in messages that are signed already, too.
  const auto breaks = [&](const Seen& field, std::string_view small) {
    return field.count == 0 && std::any_of(carried_.begin(), carried_.end(), [&](const auto& tags) {
             return covers(tags.headers, small);
           });
  };
  const bool by_date = breaks(date, "date"), by_id = breaks(id, "message-id");
  if (by_date || by_id) {
    find(Finding::signature_breaks, !by_id     ? "Date, which h= names"
                                    : !by_date ? "Message-ID, which h= names"
                                               : "Date and Message-ID, which h= names");
  }
}

void Admission::check_unsubscribe() {
  const Seen &list = seen_[kListUnsubscribe], &post = seen_[kListUnsubscribePost];
  one_click_ = false;
  if (list.count == 0) {
    find(Finding::unsubscribe_missing);
  } else {
    const Unsubscribe unsubscribe = read_unsubscribe(list.value);
    const bool posts = post.count != 0 && is_one_click(post.value);
    if (!unsubscribe.https || !posts) {
      find(Finding::unsubscribe_one_click,
           !unsubscribe.uri     ? "List-Unsubscribe has no URI between < and >"
           : !unsubscribe.https ? "List-Unsubscribe has no https URI"
           : post.count == 0    ? "there is no List-Unsubscribe-Post"
                                : "List-Unsubscribe-Post is not List-Unsubscribe=One-Click");
    }
    one_click_ = post.count != 0;
  }
  const Seen& feedback = seen_[kFeedbackId];
  if (feedback.count == 0) {
    find(Finding::feedback_id_missing);
  } else {
    std::string_view value = feedback.value;
    if (has_slots(value)) {
      mask_slots(value, masked_);
      value = masked_;
    }
    if (!is_feedback_id(value)) find(Finding::feedback_id_syntax);
  }
}

void Admission::check_mime(std::string_view body) {
  const Seen &type = seen_[kContentType], &encoding = seen_[kContentTransferEncoding];
  const bool high = facts_.eight_bit && has_high(body);
  const bool looks_into_parts = high || has_slots(body);
  if (seen_[kMimeVersion].count == 0 &&
      (type.count != 0 || encoding.count != 0 || looks_into_parts))
    find(Finding::mime_version_missing);
  if (has_slots(type.value) || has_slots(encoding.value)) return;
  EntityHeader header;
  if (type.count != 0) {
    // Of others nothing but the type is asked for: that is by far the most.
    const bool whole = looks_into_parts ||
                       same_name(without_blanks(type.value).substr(0, 10), "multipart/") ||
                       type.value.find('(') != kNone;
    if (type.value.find('/') == kNone || (whole && !read_entity_header(type.whole, header)))
      return find(Finding::mime_syntax, "Content-Type is no type/subtype");
  }
  const bool multipart = header.type.starts_with("multipart/");
  if (encoding.count != 0) {
    read_entity_header(encoding.whole, header);
    const std::string_view name = header.encoding;
    const bool identity = name == "7bit" || name == "8bit" || name == "binary";
    if (!identity && name != "base64" && name != "quoted-printable" && !name.starts_with("x-"))
      find(Finding::mime_syntax, "there is no such Content-Transfer-Encoding");
    if (multipart && !identity)
      find(Finding::mime_syntax, "a multipart is not encoded itself (RFC 2045 section 6.4)");
  }
  if (multipart) {
    const std::string delimiter = "\n--" + header.boundary;
    if (header.boundary.empty()) return find(Finding::mime_syntax, "a multipart has no boundary");
    if (body.find(delimiter) == kNone)
      return find(Finding::mime_syntax, "no line has the boundary of the multipart");
    if (body.rfind(delimiter + "--") == kNone)
      find(Finding::mime_syntax, "the last delimiter of the multipart lacks");
  }
  if (!looks_into_parts) return;
  if (!multipart) return check_part(header, body);
  Leaf entire;
  entire.body = body.substr(std::min<size_t>(2, body.size()));  // behind the empty line
  entire.fields = std::move(header);
  const bool walked = walk_parts(
      entire, [&](const Leaf& leaf) { return check_part(leaf.fields, leaf.body), true; });
  if (!walked) find(Finding::mime_syntax, "the header of a part, or its parts, are not understood");
}

// What is encoded is not looked into.
void Admission::check_part(const EntityHeader& fields, std::string_view body) {
  const bool high = facts_.eight_bit && has_high(body);
  const bool text = fields.type.empty() || fields.type.starts_with("text/");
  const std::string_view encoding = fields.encoding;
  const bool encoded = encoding == "base64" || encoding == "quoted-printable";
  if (text && !encoded && (high || has_slots(body))) {
    if (!fields.charset) find(Finding::charset_missing);
    if (fields.us_ascii()) find(Finding::charset_missing, "it is named us-ascii");
  }
  if (!high) return;
  if (encoding.empty()) find(Finding::eight_bit_encoding, "none is 7bit");
  if (encoded || encoding == "7bit") find(Finding::eight_bit_encoding, encoding);
}

void Admission::forget_report() {
  for (std::string& detail : report_.details) detail.clear();
  report_.found = {};
}

const AdmissionReport& Admission::check(std::string_view clean, const AdmissionFacts& facts) {
  forget_report();
  report_.found = facts.as_fed;
  report_.author_varies = false;
  facts_ = facts;
  last_author_.clear();
  const size_t end = header_end(clean);
  read_header(clean.substr(0, end));
  if (facts.header_utf8) find(Finding::header_eight_bit);
  check_unsubscribe();
  check_from();
  check_addresses();
  check_origin();
  check_mime(clean.substr(end));
  return report_;
}

const AdmissionReport& Admission::check_author(std::string_view rendered) {
  std::string_view whole;
  HeaderField field;
  std::string_view why_not = "no mailbox";
  const bool parsed = take_field(rendered, whole, field) &&
                      parse_mailbox_list(field.value, mailboxes_, why_not) && !mailboxes_.empty();
  const bool one = parsed && mailboxes_.size() == 1;
  const std::string_view domain = parsed ? mailboxes_.front().domain : std::string_view();
  if (one && domain == last_author_) return report_;
  forget_report();
  last_author_ = one ? domain : std::string_view();
  if (!parsed)
    return find(Finding::from_syntax, std::string(why_not.empty() ? "no mailbox" : why_not)),
           report_;
  if (!one && seen_[kSender].count == 0)
    find(Finding::from_multiple, "several mailboxes, and no Sender");
  check_domain(domain);
  take_domain(domain, author_);
  report_.found = report_.found | signing_findings(author_);
  return report_;
}

}  // namespace veredus::mail
