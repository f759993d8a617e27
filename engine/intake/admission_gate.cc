#include "engine/intake/admission_gate.h"

#include <algorithm>

#include "engine/mail/builder.h"
#include "engine/mail/header_field.h"

namespace veredus::intake {

using mail::Finding;

std::string MessageFindings::reason(Finding finding) const {
  std::string reason(text_of(finding).reason);
  const std::string& detail = details[static_cast<size_t>(finding)];
  if (!detail.empty()) reason.append(": ").append(detail);
  return reason;
}

std::string MessageFindings::reasons() const {
  std::string reasons;
  found.for_each([&](Finding finding) {
    if (!reasons.empty()) reasons += "; ";
    reasons.append(text_of(finding).name).append(": ").append(reason(finding));
  });
  return reasons;
}

std::string_view MessageFindings::hint() const {
  std::string_view hint;
  found.for_each([&](Finding finding) {
    if (hint.empty()) hint = text_of(finding).remedy;
  });
  return hint;
}

std::string_view MessageFindings::status() const {
  bool form = false;
  found.for_each([&](Finding finding) { form = form || text_of(finding).form; });
  return form ? "5.6.0" : "5.7.1";
}

// From by itself, as a template: rendered, it is what a recipient's message says.
struct AdmissionGate::Author {
  std::string field;  // what is compiled points into it
  mail::Template compiled;
  mail::RenderSettings settings;
  mail::Renderer renderer{settings};
  mail::Rendered rendered;
  std::string scratch, reverse_path, text;
  Author() { settings.trace = false; }
};

AdmissionGate::AdmissionGate(const AdmissionSettings& settings, const mail::DkimIdentities* dkim,
                             std::string_view feedback_sender)
    : settings_(settings), dkim_(dkim), feedback_sender_(feedback_sender) {}
AdmissionGate::~AdmissionGate() = default;

void AdmissionGate::begin(const queue::Batch& batch) {
  batch_ = &batch;
  rules_ = settings_.of_tenant(batch.tenant);
  signers_ = std::make_unique<mail::BatchSigners>(dkim_, batch);
}

bool AdmissionGate::normalise(std::string_view raw, bool merge, mail::ContentOrigin origin,
                              mail::Normalised& out, mail::ContentError& fault) {
  findings_.found = findings_.fixed = {};
  varies_ = false;
  merge_ = merge;
  origin_ = origin;
  const bool good = mail::normalise(raw, merge, out, fault, origin);
  if (rules_.mode == AdmissionMode::off) return good && can_be_signed(out, fault);
  mail::Findings as_fed, mended;
  // Clean bytes are the ones that were given.
  if (!good || out.bytes.data() != raw.data())
    as_fed = mail::line_findings(raw).without(rules_.ignore);
  if (!good) {
    const bool mends = rules_.mode == AdmissionMode::fix && as_fed.has(Finding::line_length);
    if (!mends || !shorten(raw, out, mended)) return false;
    as_fed = as_fed | mended;
  }
  findings_.found = check(out, as_fed);
  // What is so whatever the mode: line ends are made CRLF here, and the renderer puts a Date and a
  // Message-ID in front of messages without.
  findings_.fixed = findings_.found &
                    (mended | mail::Findings{Finding::bare_cr, Finding::bare_lf,
                                             Finding::date_missing, Finding::message_id_missing});
  if (rules_.mode == AdmissionMode::fix) fix(out);
  if (varies_) take_author(out.bytes);
  return can_be_signed(out, fault);
}

// Whoever is to sign it could: else its recipients would fail when it is sent.
bool AdmissionGate::can_be_signed(const mail::Normalised& message, mail::ContentError& fault) {
  if (dkim_ == nullptr) return true;
  const std::string_view header = message.bytes.substr(0, message.header_bytes);
  std::string_view missing, why_not;
  identities_.clear();
  signers_->of_message(header, identities_, missing);
  if (identities_.empty() || mail::can_be_signed(header, why_not, identities_)) return true;
  fault = {};
  fault.reason = "the message " + std::string(why_not) + ", so it cannot be signed";
  return false;
}

// Values in a part that is quoted-printable would have to be encoded: a message with tags stays.
bool AdmissionGate::shorten(std::string_view raw, mail::Normalised& out, mail::Findings& mended) {
  std::string clean, made;
  mail::ContentError fault;
  if (!mail::check_header_line_ends(raw, fault)) return false;
  mail::make_clean(raw, clean);
  const bool name_charsets = !rules_.ignore.has(Finding::charset_missing);
  if (merge_ || !mail::shorten_lines(clean, name_charsets, made, mended)) return false;
  if (!mail::normalise(made, merge_, out, fault, origin_)) return false;
  out.scratch = std::move(made);
  out.bytes = out.scratch;
  return true;
}

// Adds to findings_.details, and says whether the author varies.
mail::Findings AdmissionGate::check(const mail::Normalised& message, mail::Findings as_fed) {
  mail::AdmissionFacts facts;
  facts.merge = merge_;
  facts.built = origin_ == mail::ContentOrigin::built;
  facts.eight_bit = (message.flags & queue::kContentEightBit) != 0;
  facts.header_utf8 = (message.flags & queue::kContentHeaderUtf8) != 0;
  facts.as_fed = as_fed;
  facts.signers = signers_.get();
  const mail::AdmissionReport& report = admission_.check(message.bytes, facts);
  varies_ = report.author_varies;
  const mail::Findings before = findings_.found;
  take(report, findings_);
  const mail::Findings found = findings_.found;
  findings_.found = before | found;
  return found;
}

void AdmissionGate::fix(mail::Normalised& message) {
  std::string feedback;
  if (!feedback_sender_.empty()) {
    feedback = mail::feedback_id(batch_->campaign, batch_->tenant, batch_->name, feedback_sender_);
  }
  std::string made;
  mail::Normalised fixed;
  mail::ContentError fault;
  if (!mail::fix_message(message.bytes, findings_.found, {feedback, merge_}, made)) return;
  if (!mail::normalise(made, merge_, fixed, fault, origin_)) return;  // a line has become too long
  message.flags = fixed.flags;
  message.header_bytes = fixed.header_bytes;
  message.scratch = std::move(made);
  message.bytes = message.scratch;
  const mail::Findings left = check(message, {});
  findings_.fixed = findings_.fixed | findings_.found.without(left);
}

void AdmissionGate::take_author(std::string_view clean) {
  std::string_view block = clean.substr(0, mail::header_end(clean)), whole;
  mail::HeaderField field;
  while (!block.empty() &&
         (!mail::take_field(block, whole, field) || !mail::same_name(field.name, "from")))
    whole = {};
  if (author_ == nullptr) author_ = std::make_unique<Author>();
  author_->field = whole;
  auto compiled = mail::Template::compile(author_->field, queue::kContentMerge);
  // What is not understood is refused with the message.
  varies_ = compiled.ok();
  if (varies_) author_->compiled = *std::move(compiled);
}

const MessageFindings& AdmissionGate::check_recipient(const queue::Entry& entry) {
  of_recipient_.found = of_recipient_.fixed = {};
  Author& author = *author_;
  mail::RenderRequest request;
  request.batch = batch_;
  request.entry = &entry;
  // Whom it cannot be rendered for is refused for that.
  if (!author.renderer
           .render(&author.compiled, request, author.reverse_path, author.scratch, author.rendered)
           .ok())
    return of_recipient_;
  author.text.clear();
  for (const mail::Piece& piece : author.rendered.pieces)
    author.text.append(piece.data, piece.size);
  take(admission_.check_author(author.text), of_recipient_);
  return of_recipient_;
}

// But for what the rules ignore.
void AdmissionGate::take(const mail::AdmissionReport& report, MessageFindings& out) const {
  out.found = report.found.without(rules_.ignore);
  out.found.for_each([&](Finding finding) {
    const auto i = static_cast<size_t>(finding);
    out.details[i] = report.details[i];
  });
}

void AdmissionGate::add(const MessageFindings& more) {
  more.found.without(findings_.found).for_each([&](Finding finding) {
    const auto i = static_cast<size_t>(finding);
    findings_.details[i] = more.details[i];
  });
  findings_.found = findings_.found | more.found;
}

}  // namespace veredus::intake
