#include "engine/intake/feed_parser.h"

#include <algorithm>
#include <cassert>

#include "engine/intake/address_set.h"
#include "engine/intake/feed_content.h"
#include "engine/intake/feed_line.h"
#include "engine/intake/json_writer.h"
#include "engine/mail/date.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/idn.h"
#include "engine/mail/merge_tag.h"
#include "engine/mail/template.h"
#include "queue/names.h"

namespace veredus::intake {
namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::string reason_of(mail::AddressFault fault, std::string_view why_not) {
  std::string reason(mail::reason_of(fault));
  if (!why_not.empty()) reason.append(": ").append(why_not);
  return reason;
}

constexpr size_t kLargeLine = 1u << 20;  // memory that a larger line took is let go at once

}  // namespace

void append_error_json(const FeedError& error, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("error").begin_object();
  json.field("code", error.code).field("line", error.line).field("byte", error.byte);
  json.field("reason", error.reason).field("hint", error.hint);
  json.end_object().end_object();
}

class FeedParser::Impl {
 public:
  Impl(const FeedSettings& settings, FeedHandler& handler)
      : limits_(settings.limits),
        dkim_(settings.dkim.get()),
        feedback_sender_(settings.feedback_sender),
        origin_(settings.origin),
        handler_(handler),
        reader_(settings.limits),
        renderer_(render_),
        gate_(settings.admission, dkim_, feedback_sender_),
        own_gate_(settings.admission, dkim_, feedback_sender_) {
    for (const std::string& name : settings.own_names) own_names_.push_back(name);
  }

  bool feed(std::string_view bytes) {
    while (!bytes.empty() && !stopped()) {
      const size_t end = bytes.find('\n');
      const bool whole = end != std::string_view::npos;
      const std::string_view part = bytes.substr(0, end);
      if (pending_.size() + part.size() > limits_.batch_line_bytes) return line_too_long();
      // What follows the line in this chunk serves as the padding that the parser wants to read.
      if (whole && pending_.empty() && bytes.size() - end >= LineReader::kPadding) {
        line(part);
      } else {
        pending_.append(part);
        if (whole) pending_line();
      }
      if (!whole) break;
      bytes.remove_prefix(end + 1);
    }
    return !failed_;
  }

  bool finish() {
    if (!stopped() && !pending_.empty()) pending_line();
    if (stopped()) return !failed_;
    if (lines_read_ == 0 || (blank_line_ == 1 && recipients_ == 0)) {
      return refuse(0, 0, "the body is empty",
                    "the first line is the batch, every further line one recipient");
    }
    if (recipients_ == 0)
      return refuse(0, 0, "the batch has no recipient lines",
                    "one line a recipient: {\"to\":\"…\"}");
    return true;
  }

  bool failed() const { return failed_; }
  const FeedError& error() const { return error_; }
  uint32_t lines() const { return recipients_; }
  uint64_t bytes_held() const { return pending_.capacity() + addresses_.bytes(); }

 private:
  bool stopped() const { return failed_ || comparing_; }

  bool fail() {
    failed_ = true;
    error_.line = lines_read_;
    return false;
  }
  bool handler_refused() {
    failed_ = true;
    return false;
  }
  bool refuse(uint64_t line, size_t byte, std::string reason, std::string hint = {}) {
    error_ = FeedError();
    error_.byte = byte;
    error_.reason = std::move(reason);
    error_.hint = std::move(hint);
    failed_ = true;
    error_.line = line;
    return false;
  }
  bool refuse_here(size_t offset, std::string reason, std::string hint = {}) {
    return refuse(lines_read_, offset + 1, std::move(reason), std::move(hint));
  }
  bool refuse_here(Field field, std::string reason, std::string hint = {}) {
    return refuse_here(line_.at_of(field), std::move(reason), std::move(hint));
  }
  bool over_limit(uint64_t line, size_t byte, std::string reason) {
    refuse(line, byte, std::move(reason), "GET /v1/limits lists the limits");
    error_.http = 413;
    error_.code = "too_large";
    return false;
  }
  bool line_too_long() {
    const uint64_t limit = limits_.batch_line_bytes;
    pending_ = std::string();
    return over_limit(lines_read_ + 1, 0,
                      "the line is longer than " + std::to_string(limit) + " bytes");
  }
  bool recipient_refused(std::string_view to, std::string_view status, std::string_view reason) {
    handler_.on_refused(lines_read_, to, status, reason);
    return true;
  }

  void pending_line() {
    const size_t size = pending_.size();
    pending_.append(LineReader::kPadding, '\0');
    line(std::string_view(pending_).substr(0, size));
    if (pending_.capacity() > kLargeLine) {
      pending_ = std::string();
    } else {
      pending_.clear();
    }
  }

  void line(std::string_view text) {
    ++lines_read_;
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    if (is_blank(text)) {
      if (blank_line_ == 0) blank_line_ = lines_read_;
      return;
    }
    if (blank_line_ != 0) {
      refuse(blank_line_, 0, "an empty line between others",
             "empty lines may stand at the end only");
      return;
    }
    if (lines_read_ == 1) {
      if (text.starts_with("\xEF\xBB\xBF")) {
        refuse(1, 1, "the body starts with a byte order mark", "send UTF-8 without it");
      } else {
        batch_line(text);
      }
    } else {
      recipient_line(text);
    }
    if (text.size() <= kLargeLine) return;
    reader_.shrink();
    own_ = FedContent();
  }

  // ---------------------------------------------------------------------------------------------
  // the batch line

  bool batch_line(std::string_view text) {
    if (!reader_.read(text, true, line_, error_)) return fail();
    if (!line_.has(Field::batch))
      return refuse_here(size_t{0}, "the first line has no \"batch\": the name of this submission");
    for (const Field field : {Field::batch, Field::tenant, Field::campaign}) {
      if (line_.has(field) && !queue::is_name(line_.text_of(field))) return bad_name(field);
    }
    if (line_.has(Field::tenant)) batch_.tenant = line_.text_of(Field::tenant);
    batch_.name = line_.text_of(Field::batch);
    batch_.campaign =
        line_.has(Field::campaign) ? line_.text_of(Field::campaign) : std::string_view();
    switch (handler_.on_key(batch_.tenant, batch_.name, error_)) {
      case FeedHandler::Key::proceed:
        break;
      case FeedHandler::Key::compare:
        comparing_ = true;
        return true;
      case FeedHandler::Key::refuse:
        return handler_refused();
    }
    batch_.accepted_wall_ns = handler_.wall_ns();
    batch_.origin = origin_;
    if (!read_common(batch_.priority, batch_.pool, batch_.not_before_wall_ns,
                     batch_.expires_wall_ns) ||
        !check_batch_pool())
      return false;
    batch_.verp = line_.has(Field::verp) && line_.verp;
    batch_.unique = line_.has(Field::unique) && line_.unique;
    batch_.tags_json = line_.has(Field::tags) ? line_.text_of(Field::tags) : std::string_view();
    batch_.meta_json = line_.has(Field::meta) ? line_.text_of(Field::meta) : std::string_view();
    if (line_.has(Field::dsn)) batch_.dsn = line_.dsn;
    merge_given_ = line_.has(Field::merge);
    merge_ = merge_given_ && line_.merge;
    gate_.begin(batch_);
    own_gate_.begin(batch_);
    if (!read_tls() || !read_dkim() || !read_vars() || !read_batch_sender()) return false;
    std::string content;
    if (line_.has(Field::message) && !read_batch_message(content)) return false;
    if (!handler_.on_batch(batch_, std::move(content), error_)) return handler_refused();
    if (!gate_.findings().found.empty()) handler_.on_batch_findings(gate_.findings());
    return true;
  }

  bool bad_name(Field field) {
    return refuse_here(field, "\"" + std::string(name_of(field)) + "\" is no name",
                       "names and ids are 1 to 128 of letters, digits and . _ : @ -");
  }

  template <typename Priority, typename Text>
  bool read_common(Priority& priority, Text& pool, int64_t& not_before, int64_t& expires) {
    if (line_.has(Field::priority)) {
      if (line_.priority < 0 || line_.priority > 100)
        return refuse_here(Field::priority, "\"priority\" is 0 to 100");
      priority = static_cast<Priority>(line_.priority);
    }
    if (line_.has(Field::pool)) pool = line_.text_of(Field::pool);
    return read_time(Field::not_before, not_before) && read_time(Field::expires, expires);
  }

  // Empty: there is a pool of that name.
  std::string pool_fault(std::string_view name) const {
    const std::vector<std::string>& pools = limits_.pools;
    if (pools.empty() || std::find(pools.begin(), pools.end(), name) != pools.end()) return "";
    std::string reason = "there is no source pool ";
    reason += queue::is_name(name) ? "\"" + std::string(name) + "\"" : "of that name";
    reason += "; known are";
    for (const std::string& known : pools) reason += " " + known;
    return reason;
  }

  bool check_batch_pool() {
    if (!line_.has(Field::pool)) return true;
    std::string fault = pool_fault(batch_.pool);
    if (fault.empty()) return true;
    refuse_here(Field::pool, std::move(fault), "leave \"pool\" out for the default one");
    error_.code = "unknown_pool";
    return false;
  }

  bool read_time(Field field, int64_t& wall_ns) {
    if (!line_.has(field)) return true;
    const std::string_view text = line_.text_of(field);
    int64_t duration = 0;
    if (mail::parse_duration(text, duration)) {
      wall_ns = batch_.accepted_wall_ns + duration;
    } else if (!mail::parse_rfc3339(text, wall_ns)) {
      return refuse_here(
          field, "\"" + std::string(name_of(field)) + "\" is neither a time nor a duration",
          "write \"2026-07-01T09:30:00Z\", or \"5d\", \"90m\", \"30s\" from acceptance");
    }
    if (field == Field::expires && wall_ns <= batch_.accepted_wall_ns && lines_read_ == 1) {
      return refuse_here(field, "\"expires\" is over already");
    }
    return true;
  }

  bool read_tls() {
    if (!line_.has(Field::tls) || line_.text_of(Field::tls) == "policy") return true;
    if (line_.text_of(Field::tls) != "required")
      return refuse_here(Field::tls, "\"tls\" is \"policy\" or \"required\"");
    batch_.tls_required = true;
    return true;
  }

  bool read_dkim() {
    batch_.dkim_none = line_.has(Field::dkim) && line_.dkim.empty();
    for (const std::string_view name : line_.dkim) {
      if (dkim_ == nullptr || dkim_->named(name) == nullptr) return unknown_identity(name);
      batch_.dkim.emplace_back(name);
    }
    return true;
  }

  bool unknown_identity(std::string_view name) {
    std::string reason = "there is no signing identity ";
    reason += queue::is_name(name) ? "\"" + std::string(name) + "\"" : "of that name";
    refuse_here(Field::dkim, std::move(reason),
                "leave \"dkim\" out for those of the From domain, or configure it as [dkim.NAME]");
    error_.code = "unknown_identity";
    return false;
  }

  bool read_vars() {
    for (const auto& [name, text] : line_.vars) {
      if (!check_variable(name)) return false;
      batch_.vars.emplace_back(name, text);
    }
    return true;
  }

  bool check_variable(std::string_view name) {
    const bool fits = !name.empty() && name.size() <= mail::kVariableNameMax &&
                      std::all_of(name.begin(), name.end(), [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
                      });
    if (fits) return true;
    return refuse_here(Field::vars, "a variable has no proper name",
                       "1 to 64 letters, digits, '_', '.' or '-'");
  }

  bool read_batch_sender() {
    if (!line_.has(Field::sender))
      return refuse_here(size_t{0}, "the batch has no \"sender\"", "\"\" is the null sender");
    const std::string_view sender = line_.text_of(Field::sender);
    batch_.sender = sender;
    const absl::Status slots = mail::check_slots(sender, batch_.sender_has_slots);
    if (!slots.ok())
      return refuse_here(Field::sender, "\"sender\": " + std::string(slots.message()));
    if (sender.empty()) return true;
    if (batch_.sender_has_slots) {
      batch_.sender = mail::with_a_labels(sender);
      return true;
    }
    std::string_view taken, why_not;
    const mail::AddressFault fault = mail::take_address(sender, scratch_, taken, why_not);
    if (fault != mail::AddressFault::none)
      return refuse_here(Field::sender, "\"sender\": " + reason_of(fault, why_not));
    batch_.sender = taken;
    return true;
  }

  // How the line's message is made. Messages from parts are merged, unless the batch says
  // otherwise.
  mail::BuildSettings build_settings() const {
    mail::BuildSettings made;
    made.merge = merge_given_ ? merge_ : line_.message.form == FedMessage::Form::parts;
    made.feedback_sender = feedback_sender_;
    made.campaign = batch_.campaign;
    made.tenant = batch_.tenant;
    made.batch = batch_.name;
    return made;
  }

  bool read_batch_message(std::string& content) {
    FedContent made;
    ContentFault fault;
    if (!made.make(line_.message, build_settings(), limits_, own_names_, gate_, fault))
      return bad_message(std::move(fault));
    if (const MessageFindings& found = gate_.findings(); gate_.refuses(found))
      return bad_message({"admission", found.status(), line_.message.at, found.reasons(),
                          std::string(found.hint())});
    batch_.content_flags = made.flags();
    absl::StatusOr<mail::Template> compiled =
        mail::Template::compile_for_check(made.bytes(), made.flags());
    if (!compiled.ok()) {
      fault.offset = line_.message.at;
      fault.reason = std::string(made.what()) + ": " + std::string(compiled.status().message());
      return bad_message(std::move(fault));
    }
    template_ = *std::move(compiled);
    has_content_ = true;
    content = made.take();
    return true;
  }

  bool bad_message(ContentFault fault) {
    if (fault.code == "too_large")
      return over_limit(lines_read_, fault.offset + 1, std::move(fault.reason));
    refuse_here(fault.offset, std::move(fault.reason), std::move(fault.hint));
    error_.code = fault.code;
    return false;
  }

  // ----------------------------------------------------------------------------------------------
  // recipient lines

  bool recipient_line(std::string_view text) {
    if (recipients_ >= limits_.recipients_max) {
      return over_limit(lines_read_, 0,
                        "more than " + std::to_string(limits_.recipients_max) + " recipient lines");
    }
    if (!reader_.read(text, false, line_, error_)) return fail();
    if (text.size() - line_.message.token_bytes > limits_.recipient_line_bytes) {
      return over_limit(lines_read_, 0,
                        "the recipient line is longer than " +
                            std::to_string(limits_.recipient_line_bytes) +
                            " bytes without its message");
    }
    if (!line_.has(Field::to)) return refuse_here(size_t{0}, "the line has no \"to\"");
    if (!has_content_ && !line_.has(Field::message)) {
      return refuse_here(size_t{0}, "neither the batch nor this line has a \"message\"");
    }
    const uint32_t index = recipients_++;
    if (!read_entry(index)) return false;
    const std::string_view fed = line_.text_of(Field::to);
    std::string_view why_not;
    const mail::AddressFault fault = mail::take_address(fed, scratch_, entry_.to, why_not);
    if (fault != mail::AddressFault::none)
      return recipient_refused(fed, mail::status_of(fault), reason_of(fault, why_not));
    // As he was fed, but in A-labels: so he is found when he is to be forgotten.
    const std::string_view to = mail::has_high(fed) ? entry_.to : fed;
    if (entry_.expires_wall_ns != 0 && entry_.expires_wall_ns <= batch_.accepted_wall_ns) {
      return recipient_refused(to, "5.4.7", "\"expires\" of this recipient is over already");
    }
    if (line_.has(Field::pool)) {
      const std::string unknown = pool_fault(entry_.pool);
      if (!unknown.empty()) return recipient_refused(to, "5.3.5", unknown);
    }
    bool good = false;
    if (line_.has(Field::message) && (!read_own_message(good) || !good)) return !failed_;
    mail::Refusal refusal;
    const mail::Template& message = entry_.has_message ? own_template_ : template_;
    if (!message.check(batch_, entry_, refusal))
      return recipient_refused(to, refusal.status, refusal.reason);
    if (!check_sender(refusal)) return recipient_refused(to, refusal.status, refusal.reason);
    const MessageFindings* const found = findings_of_recipient();
    if (found != nullptr && gate_.refuses(*found))
      return recipient_refused(to, found->status(), "admission: " + found->reasons());
    if (batch_.unique && !addresses_.insert(entry_.to)) {
      return recipient_refused(to, "5.1.0",
                               "the batch has this address already, and is \"unique\"");
    }
    if (!handler_.on_recipient(entry_, error_)) return handler_refused();
    if (found != nullptr) handler_.on_recipient_findings(lines_read_, *found);
    return true;
  }

  // Of the recipient's own message, or of From where that is his own. Null: nothing is found.
  const MessageFindings* findings_of_recipient() {
    AdmissionGate& gate = entry_.has_message ? own_gate_ : gate_;
    if (gate.varies()) {
      const MessageFindings& found = gate.check_recipient(entry_);
      if (!entry_.has_message) return found.found.empty() ? nullptr : &found;
      own_gate_.add(found);
    }
    const bool none = !entry_.has_message || own_gate_.findings().found.empty();
    return none ? nullptr : &own_gate_.findings();
  }

  // What stands in the line, but for address and message.
  bool read_entry(uint32_t index) {
    entry_.index = index;
    entry_.id = line_.has(Field::id) ? line_.text_of(Field::id) : std::string_view();
    if (line_.has(Field::id) && !queue::is_name(entry_.id)) return bad_name(Field::id);
    entry_.name = line_.has(Field::name) ? line_.text_of(Field::name) : std::string_view();
    entry_.meta_json = line_.has(Field::meta) ? line_.text_of(Field::meta) : std::string_view();
    for (const auto& variable : line_.vars) {
      if (!check_variable(variable.first)) return false;
    }
    entry_.vars.swap(line_.vars);
    entry_.has_sender = line_.has(Field::sender);
    entry_.sender = entry_.has_sender ? line_.text_of(Field::sender) : std::string_view();
    if (mail::has_high(entry_.sender)) {
      own_sender_ = mail::with_a_labels(entry_.sender);
      entry_.sender = own_sender_;
    }
    entry_.pool = {};
    entry_.priority = -1;
    entry_.not_before_wall_ns = entry_.expires_wall_ns = 0;
    entry_.has_message = false;
    entry_.content_flags = 0;
    entry_.message = {};
    return read_common(entry_.priority, entry_.pool, entry_.not_before_wall_ns,
                       entry_.expires_wall_ns);
  }

  // False: the batch is refused. `good`: false when the recipient was.
  bool read_own_message(bool& good) {
    good = false;
    mail::BuildSettings settings = build_settings();
    settings.recipient = entry_.to;
    settings.recipient_name = entry_.name;
    ContentFault fault;
    if (!own_.make(line_.message, settings, limits_, own_names_, own_gate_, fault)) {
      if (fault.code == "malformed") return bad_message(std::move(fault));
      return recipient_refused(entry_.to, fault.status, fault.reason);
    }
    own_template_ = {};
    if (settings.merge) {
      // Only looked at, not rendered: the copy for DATA is not wanted.
      absl::StatusOr<mail::Template> compiled = mail::Template::compile(
          own_.bytes(), static_cast<uint8_t>(own_.flags() & ~queue::kContentDotLines));
      if (!compiled.ok())
        return recipient_refused(
            entry_.to, "5.6.0",
            std::string(own_.what()) + ": " + std::string(compiled.status().message()));
      own_template_ = *std::move(compiled);
    }
    entry_.has_message = true;
    entry_.content_flags = own_.flags();
    entry_.message = own_.bytes();
    good = true;
    return true;
  }

  // The reverse-path that this recipient gets, where it is not the batch's own, checked there.
  bool check_sender(mail::Refusal& refusal) {
    if (!batch_.verp && !batch_.sender_has_slots && !entry_.has_sender) return true;
    const absl::Status made = renderer_.reverse_path(batch_, entry_, reverse_path_);
    if (!made.ok()) {
      refusal = {"5.1.7", "the sender: " + std::string(made.message())};
      return false;
    }
    if (reverse_path_.empty()) return true;
    const size_t local_max = batch_.verp ? mail::kVerpLocalPartMax : mail::kLocalPartBytesMax;
    std::string scratch;  // not used: what can be had in A-labels is in them
    std::string_view taken, why_not;
    const mail::AddressFault fault =
        mail::take_address(reverse_path_, scratch, taken, why_not, local_max);
    if (fault == mail::AddressFault::none) return true;
    refusal = {mail::status_of(fault, true), "the sender: " + reason_of(fault, why_not)};
    return false;
  }

  const FeedLimits& limits_;
  const mail::DkimIdentities* const dkim_;
  const std::string& feedback_sender_;
  const std::string& origin_;
  FeedHandler& handler_;
  LineReader reader_;
  const mail::RenderSettings render_;
  mail::Renderer renderer_;
  std::vector<std::string_view> own_names_;
  FeedLine line_;
  queue::Entry entry_;
  queue::Batch batch_;
  mail::Template template_;
  mail::Template own_template_;
  FedContent own_;
  AdmissionGate gate_, own_gate_;  // for the batch's message, and for those of recipients
  std::string own_sender_, scratch_, reverse_path_, pending_;
  AddressSet addresses_;
  FeedError error_;
  uint64_t lines_read_ = 0, blank_line_ = 0;
  uint32_t recipients_ = 0;
  bool merge_given_ = false, merge_ = false, has_content_ = false, comparing_ = false,
       failed_ = false;
};

FeedParser::FeedParser(const FeedSettings& settings, FeedHandler& handler)
    : impl_(std::make_unique<Impl>(settings, handler)) {}
FeedParser::~FeedParser() = default;

bool FeedParser::feed(std::string_view bytes) {
  return impl_->feed(bytes);
}
bool FeedParser::finish() {
  return impl_->finish();
}
bool FeedParser::failed() const {
  return impl_->failed();
}
const FeedError& FeedParser::error() const {
  return impl_->error();
}
uint32_t FeedParser::lines() const {
  return impl_->lines();
}
uint64_t FeedParser::bytes_held() const {
  return impl_->bytes_held();
}

}  // namespace veredus::intake
