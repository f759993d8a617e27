#include "engine/smtp/verdict.h"

#include <array>
#include <optional>

#include "engine/smtp/reply_rules.h"
#include "engine/smtp/retry_hint.h"

namespace veredus::smtp {
namespace {

using Class = BounceClass;

constexpr uint16_t kAny = 0xffff;   // any enhanced status, or none
constexpr uint16_t kNone = 0xfffe;  // no enhanced status

constexpr uint32_t kMail = bit(Phase::mail);
constexpr uint32_t kRcpt = bit(Phase::rcpt);
constexpr uint32_t kEnd = bit(Phase::end_of_data);
// A refusal of content: at DATA, in the middle, or at its end.
constexpr uint32_t kContent = bit(Phase::data) | bit(Phase::body) | kEnd;
constexpr uint32_t kTransaction = kTransactionPhases;
// Nothing was said about a message yet.
constexpr uint32_t kSession = kAllPhases & ~kTransaction;
constexpr uint32_t kEverywhere = kAllPhases;

// Words of which one must be in the reply's text: [texts] of replies.toml.
constexpr TextClass kSpam = TextClass::spam;
constexpr TextClass kSpamContent = TextClass::spam_content;
constexpr TextClass kBlocked = TextClass::blocked;
constexpr TextClass kVirus = TextClass::virus;
constexpr TextClass kRelay = TextClass::relay;
constexpr TextClass kUnknown = TextClass::unknown;
constexpr TextClass kRejected = TextClass::rejected;
constexpr TextClass kInactive = TextClass::inactive;
constexpr TextClass kQuota = TextClass::quota;
constexpr TextClass kTooMany = TextClass::too_many;
constexpr TextClass kRate = TextClass::rate;
constexpr TextClass kThrottled = TextClass::throttled;
constexpr TextClass kGreylist = TextClass::greylist;
constexpr TextClass kTooBig = TextClass::too_big;

struct Row {
  std::string_view rule;
  uint32_t stages;
  Reason reason;
  uint16_t low, high;        // reply codes, both included
  uint16_t subject, detail;  // of the enhanced status; or kAny, kNone
  TextClass hints;           // none: any text
  bool others_accepted;      // must be so
  Result result;
  Scope scope;
  Kind kind;
  Class bounce_class;
  bool new_transaction = false;
  bool greylister = false;  // must be a greylister's reply (RetryHint); the verdict says so
};

constexpr Row local(std::string_view rule, uint32_t stages, Reason reason, Result result,
                    Scope scope, Kind kind, Class bounce_class) {
  return {rule, stages, reason, 0, kAny, kAny, kAny, {}, false, result, scope, kind, bounce_class};
}

// A reply: 4xx is always later, 5xx as the row says.
constexpr Row said(std::string_view rule, uint32_t stages, uint16_t low, uint16_t high,
                   uint16_t subject, uint16_t detail, TextClass hints, Result result, Scope scope,
                   Kind kind, Class bounce_class) {
  return {rule,  stages, Reason::none, low,   high, subject,     detail,
          hints, false,  result,       scope, kind, bounce_class};
}

constexpr Row greylisted(std::string_view rule, uint32_t stages, uint16_t low, uint16_t high,
                         TextClass hints, Scope scope) {
  Row row = said(rule, stages, low, high, kAny, kAny, hints, Result::later, scope, Kind::soft,
                 Class::policy_related);
  row.greylister = true;
  return row;
}

constexpr Row again(std::string_view rule, uint16_t low, uint16_t high, uint16_t subject,
                    uint16_t detail, TextClass hints) {
  Row row = said(rule, kRcpt, low, high, subject, detail, hints, Result::later, Scope::recipient,
                 Kind::soft, Class::quota_issues);
  row.others_accepted = true;
  row.new_transaction = true;
  return row;
}

using R = Result;
using S = Scope;
using K = Kind;

// The first row that fits decides. Exact ones come before wide ones; enhanced status before words.
constexpr Row kRows[] = {
    // Not a word was said, or none that could be understood. Once all content is out, any of these
    // leaves
    // it open whether the far side has taken the message (RFC 1047).
    local("in-doubt-connection-lost", kEnd, Reason::connection_lost, R::in_doubt, S::host, K::other,
          Class::bad_connection),
    local("in-doubt-timed-out", kEnd, Reason::timed_out, R::in_doubt, S::host, K::other,
          Class::bad_connection),
    local("in-doubt-too-slow", kEnd, Reason::too_slow, R::in_doubt, S::host, K::other,
          Class::bad_connection),
    local("in-doubt-bad-reply", kEnd, Reason::bad_reply, R::in_doubt, S::host, K::other,
          Class::protocol_errors),
    local("in-doubt-unexpected-reply", kEnd, Reason::unexpected_reply, R::in_doubt, S::host,
          K::other, Class::protocol_errors),
    local("in-doubt-tls-failed", kEnd, Reason::tls_failed, R::in_doubt, S::host, K::other,
          Class::bad_connection),
    local("in-doubt-tls-untrusted", kEnd, Reason::tls_untrusted, R::in_doubt, S::host, K::other,
          Class::policy_related),
    local("in-doubt-local-close", kEnd, Reason::local_close, R::in_doubt, S::recipient, K::other,
          Class::other),
    local("connect-refused", kEverywhere, Reason::connect_refused, R::later, S::host, K::soft,
          Class::bad_connection),
    local("connect-timed-out", kEverywhere, Reason::connect_timed_out, R::later, S::host, K::soft,
          Class::no_answer_from_host),
    local("unreachable", kEverywhere, Reason::unreachable, R::later, S::host, K::soft,
          Class::no_answer_from_host),
    local("connection-lost", kEverywhere, Reason::connection_lost, R::later, S::host, K::soft,
          Class::bad_connection),
    local("timed-out-greeting", bit(Phase::greeting), Reason::timed_out, R::later, S::host, K::soft,
          Class::no_answer_from_host),
    local("timed-out", kEverywhere, Reason::timed_out, R::later, S::host, K::soft,
          Class::bad_connection),
    local("too-slow", kEverywhere, Reason::too_slow, R::later, S::host, K::soft,
          Class::bad_connection),
    local("bad-reply", kEverywhere, Reason::bad_reply, R::later, S::host, K::other,
          Class::protocol_errors),
    local("unexpected-reply", kEverywhere, Reason::unexpected_reply, R::later, S::host, K::other,
          Class::protocol_errors),
    local("local-close", kEverywhere, Reason::local_close, R::later, S::recipient, K::other,
          Class::other),
    // Found by ourselves before anything was sent.
    local("bad-recipient", kEverywhere, Reason::bad_recipient, R::never, S::recipient, K::hard,
          Class::bad_mailbox),
    local("bad-sender", kEverywhere, Reason::bad_sender, R::never, S::message, K::other,
          Class::invalid_sender),
    local("message-too-big", kEverywhere, Reason::message_too_big, R::never, S::message, K::other,
          Class::content_related),
    local("needs-8bitmime", kEverywhere, Reason::needs_8bitmime, R::never, S::message, K::other,
          Class::content_related),
    local("needs-smtputf8", kEverywhere, Reason::needs_smtputf8, R::never, S::recipient, K::other,
          Class::other),
    // Another host of the site, or this one at another time, may have it.
    local("needs-ehlo", kEverywhere, Reason::needs_ehlo, R::later, S::host, K::other,
          Class::protocol_errors),
    local("needs-tls", kEverywhere, Reason::needs_tls, R::later, S::host, K::other,
          Class::policy_related),
    local("tls-missing", kEverywhere, Reason::tls_missing, R::later, S::host, K::other,
          Class::policy_related),
    local("tls-injected", kEverywhere, Reason::tls_injected, R::later, S::host, K::other,
          Class::protocol_errors),
    local("tls-failed", kEverywhere, Reason::tls_failed, R::later, S::host, K::other,
          Class::bad_connection),
    local("tls-untrusted", kEverywhere, Reason::tls_untrusted, R::later, S::host, K::other,
          Class::policy_related),
    // What an operator has to set right: it says nothing of the mail.
    local("auth-missing", kEverywhere, Reason::auth_missing, R::later, S::host, K::other,
          Class::bad_configuration),
    local("auth-in-clear", kEverywhere, Reason::auth_in_clear, R::later, S::host, K::other,
          Class::bad_configuration),

    // The host closes (RFC 5321 §3.8).
    greylisted("closing-greylisted", kEverywhere, 421, 421, kGreylist, S::host),
    said("closing-spam-block", kEverywhere, 421, 421, kAny, kAny, kSpam, R::later, S::source,
         K::block, Class::spam_related),
    said("closing-block", kEverywhere, 421, 421, kAny, kAny, kBlocked, R::later, S::source,
         K::block, Class::policy_related),
    said("closing-policy", kEverywhere, 421, 421, 7, kAny, {}, R::later, S::source, K::block,
         Class::policy_related),
    said("closing-rate", kEverywhere, 421, 421, kAny, kAny, kThrottled, R::later, S::source,
         K::block, Class::policy_related),
    said("closing", kEverywhere, 421, 421, kAny, kAny, {}, R::later, S::host, K::soft,
         Class::bad_connection),

    said("tls-refused", bit(Phase::starttls), 400, 599, kAny, kAny, {}, R::later, S::host, K::other,
         Class::bad_connection),
    // RFC 4954 §6: 432, 454 and the like pass; the others are for an operator.
    said("auth-later", bit(Phase::auth), 400, 499, kAny, kAny, {}, R::later, S::host, K::soft,
         Class::bad_connection),
    said("auth-mechanism", bit(Phase::auth), 504, 504, kAny, kAny, {}, R::later, S::host, K::other,
         Class::bad_configuration),
    said("credentials-refused", bit(Phase::auth), 500, 599, kAny, kAny, {}, R::later, S::host,
         K::other, Class::bad_configuration),
    // Greeting, EHLO, HELO, RSET: says nothing of any recipient, so the next host is asked.
    greylisted("session-greylisted", kSession, 400, 499, kGreylist, S::host),
    said("session-spam-block", kSession, 400, 599, kAny, kAny, kSpam, R::later, S::source, K::block,
         Class::spam_related),
    said("session-block", kSession, 400, 599, kAny, kAny, kBlocked, R::later, S::source, K::block,
         Class::policy_related),
    said("session-policy", kSession, 400, 599, 7, kAny, {}, R::later, S::source, K::block,
         Class::policy_related),
    said("session-later", kSession, 400, 499, kAny, kAny, {}, R::later, S::host, K::soft,
         Class::bad_connection),
    said("session-refused", kSession, 500, 599, kAny, kAny, {}, R::later, S::host, K::other,
         Class::bad_connection),

    // The host lost track of the conversation: no word about message or recipient.
    said("out-of-sequence", kTransaction, 503, 503, kAny, kAny, {}, R::later, S::host, K::other,
         Class::protocol_errors),
    said("command-unknown", kTransaction, 502, 502, kAny, kAny, {}, R::later, S::host, K::other,
         Class::protocol_errors),
    said("command-unrecognised", kTransaction, 500, 500, kAny, kAny, {}, R::later, S::host,
         K::other, Class::protocol_errors),

    // Too many recipients for one transaction (RFC 5321 §4.5.3.1.10; 552 was that code's old form).
    // At
    // once again only where others were accepted: each new transaction then gets some further.
    again("too-many-recipients", 450, 452, 5, 3, {}),
    again("too-many-recipients", 550, 552, 5, 3, {}),
    again("too-many-recipients", 452, 452, kAny, kAny, kTooMany),
    again("too-many-recipients", 552, 552, kAny, kAny, kTooMany),
    // Whatever its status is: 4.2.2, 4.3.0 and 4.7.1 are in use.
    greylisted("greylisted", kTransaction, 400, 499, {}, S::recipient),
    said("too-many-recipients-first", kRcpt, 400, 599, 5, 3, {}, R::later, S::recipient, K::soft,
         Class::quota_issues),
    said("mailbox-full", kRcpt | kContent, 400, 499, 2, 2, {}, R::later, S::recipient, K::soft,
         Class::quota_issues),
    said("mailbox-full", kRcpt | kContent, 500, 599, 2, 2, {}, R::never, S::recipient, K::soft,
         Class::quota_issues),
    said("host-storage", kTransaction, 400, 499, 3, 1, {}, R::later, S::host, K::soft,
         Class::other),
    said("mailbox-full-452", kRcpt | kContent, 452, 452, kAny, kAny, kQuota, R::later, S::recipient,
         K::soft, Class::quota_issues),
    said("mailbox-full-552", kRcpt | kContent, 552, 552, kAny, kAny, kQuota, R::never, S::recipient,
         K::soft, Class::quota_issues),
    again("too-many-recipients", 452, 452, kNone, kAny, {}),
    again("too-many-recipients", 552, 552, kNone, kAny, {}),

    // The reverse-path.
    said("sender-refused", kMail | kRcpt, 500, 599, 1, 7, {}, R::never, S::message, K::other,
         Class::invalid_sender),
    said("sender-domain", kMail | kRcpt, 500, 599, 1, 8, {}, R::never, S::message, K::other,
         Class::invalid_sender),
    said("sender-refused-later", kMail | kRcpt, 400, 499, 1, 7, {}, R::later, S::message, K::soft,
         Class::invalid_sender),
    said("sender-domain-later", kMail | kRcpt, 400, 499, 1, 8, {}, R::later, S::message, K::soft,
         Class::invalid_sender),

    // The recipient's address and mailbox, at RCPT or, by hosts that look late, after the content.
    said("no-such-mailbox", kRcpt | kContent, 500, 599, 1, 1, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("bad-domain", kRcpt | kContent, 500, 599, 1, 2, {}, R::never, S::recipient, K::hard,
         Class::bad_domain),
    said("bad-address", kRcpt | kContent, 500, 599, 1, 3, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("mailbox-moved", kRcpt | kContent, 500, 599, 1, 6, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("null-mx", kRcpt | kContent, 500, 599, 1, 10, {}, R::never, S::recipient, K::hard,
         Class::bad_domain),
    said("address-status", kRcpt, 500, 599, 1, kAny, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("mailbox-disabled", kRcpt | kContent, 500, 599, 2, 1, {}, R::never, S::recipient, K::hard,
         Class::inactive_mailbox),
    said("recipient-rate", kRcpt, 400, 499, 2, 1, kRate, R::later, S::recipient, K::soft,
         Class::policy_related),
    said("mailbox-disabled-later", kRcpt | kContent, 400, 499, 2, 1, {}, R::later, S::recipient,
         K::soft, Class::inactive_mailbox),
    said("not-in-directory", kRcpt, 500, 599, 4, 1, kRejected, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("routing", kRcpt | kContent, 500, 599, 4, kAny, {}, R::never, S::recipient, K::other,
         Class::routing_errors),

    // Size and content.
    said("message-too-big-host", kTransaction, 500, 599, 3, 4, {}, R::never, S::message, K::other,
         Class::content_related),
    said("message-too-big-mailbox", kTransaction, 500, 599, 2, 3, {}, R::never, S::recipient,
         K::other, Class::content_related),
    said("content-status", kContent, 500, 599, 6, kAny, {}, R::never, S::message, K::other,
         Class::content_related),

    // Policy.
    said("relaying-denied", kMail | kRcpt, 500, 599, 7, kAny, kRelay, R::never, S::recipient,
         K::other, Class::relaying_issues),
    said("virus", kContent, 500, 599, kAny, kAny, kVirus, R::never, S::message, K::block,
         Class::virus_related),
    said("spam", kContent, 500, 599, kAny, kAny, kSpamContent, R::never, S::message, K::block,
         Class::spam_related),
    said("spam-block", kTransaction, 500, 599, 7, kAny, kSpam, R::never, S::source, K::block,
         Class::spam_related),
    said("block", kTransaction, 500, 599, 7, kAny, kBlocked, R::never, S::source, K::block,
         Class::policy_related),
    said("policy-content", kContent | kMail, 500, 599, 7, kAny, {}, R::never, S::message, K::block,
         Class::policy_related),
    said("policy", kRcpt, 500, 599, 7, kAny, {}, R::never, S::recipient, K::block,
         Class::policy_related),
    said("spam-block-later", kTransaction, 400, 499, kAny, kAny, kSpam, R::later, S::source,
         K::block, Class::spam_related),
    said("block-later", kTransaction, 400, 499, 7, kAny, kBlocked, R::later, S::source, K::block,
         Class::policy_related),
    said("rate-later", kTransaction, 400, 499, 7, kAny, kRate, R::later, S::source, K::block,
         Class::policy_related),
    said("policy-later", kTransaction, 400, 499, 7, kAny, {}, R::later, S::recipient, K::soft,
         Class::policy_related),

    // No enhanced status that helps: the words of the reply, then its code alone.
    said("words-quota", kRcpt | kContent, 500, 599, kAny, kAny, kQuota, R::never, S::recipient,
         K::soft, Class::quota_issues),
    said("words-quota-later", kRcpt | kContent, 400, 499, kAny, kAny, kQuota, R::later,
         S::recipient, K::soft, Class::quota_issues),
    said("words-unknown", kRcpt, 500, 599, kAny, kAny, kUnknown, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("words-inactive", kRcpt, 500, 599, kAny, kAny, kInactive, R::never, S::recipient, K::hard,
         Class::inactive_mailbox),
    said("words-relaying", kMail | kRcpt, 500, 599, kAny, kAny, kRelay, R::never, S::recipient,
         K::other, Class::relaying_issues),
    said("words-spam-block", kMail | kRcpt, 500, 599, kAny, kAny, kSpam, R::never, S::source,
         K::block, Class::spam_related),
    said("words-block", kTransaction, 500, 599, kAny, kAny, kBlocked, R::never, S::source, K::block,
         Class::policy_related),
    said("words-too-big", kMail | kContent, 552, 552, kAny, kAny, kTooBig, R::never, S::message,
         K::other, Class::content_related),

    said("sender-syntax", kMail, 501, 501, kAny, kAny, {}, R::never, S::message, K::other,
         Class::invalid_sender),
    said("sender-name", kMail, 553, 553, kAny, kAny, {}, R::never, S::message, K::other,
         Class::invalid_sender),
    said("storage-mail", kMail, 552, 552, kAny, kAny, {}, R::never, S::message, K::other,
         Class::content_related),
    said("parameter", kTransaction, 504, 504, kAny, kAny, {}, R::never, S::message, K::other,
         Class::protocol_errors),
    said("parameter-unknown", kMail, 555, 555, kAny, kAny, {}, R::never, S::message, K::other,
         Class::protocol_errors),
    said("mailbox-code", kRcpt, 550, 551, kAny, kAny, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("mailbox-name", kRcpt, 553, 553, kAny, kAny, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("address-syntax", kRcpt, 501, 501, kAny, kAny, {}, R::never, S::recipient, K::hard,
         Class::bad_mailbox),
    said("storage-code", kRcpt, 552, 552, kAny, kAny, {}, R::never, S::recipient, K::soft,
         Class::quota_issues),
    said("storage-later", kRcpt, 452, 452, kAny, kAny, {}, R::later, S::recipient, K::soft,
         Class::quota_issues),
    said("storage-content", kContent, 552, 552, kAny, kAny, {}, R::never, S::message, K::other,
         Class::content_related),
    said("recipient-later", kRcpt, 400, 499, kAny, kAny, {}, R::later, S::recipient, K::soft,
         Class::other),
    said("recipient-refused", kRcpt, 500, 599, kAny, kAny, {}, R::never, S::recipient, K::other,
         Class::other),
    said("message-later", kTransaction, 400, 499, kAny, kAny, {}, R::later, S::message, K::soft,
         Class::other),
    said("message-refused", kTransaction, 500, 599, kAny, kAny, {}, R::never, S::message, K::other,
         Class::other),
};

// A temporary reply is never final, and only a permanent one in a transaction is.
static_assert([] {
  for (const Row& row : kRows) {
    if (row.reason != Reason::none) continue;
    if (row.result == Result::delivered || row.result == Result::in_doubt) return false;
    if (row.result == Result::never && (row.low < 500 || (row.stages & kSession) != 0))
      return false;
    if (row.new_transaction && row.result != Result::later) return false;
  }
  return true;
}());

// The reply's text, looked at when somebody first asks: for words, or for what it says about when
// to come back.
class Text {
 public:
  Text(std::string_view text, const ReplyRules& rules) : text_(text), rules_(rules) {}

  const ReplyRules::Found& found() {
    if (!found_) found_ = rules_.look_at(text_);
    return *found_;
  }
  bool is(TextClass words) { return rules_.has(found(), words); }

  const RetryHint& hint() {
    if (!hint_) hint_ = read_retry_hint(text_);
    return *hint_;
  }

 private:
  std::string_view text_;
  const ReplyRules& rules_;
  std::optional<ReplyRules::Found> found_;
  std::optional<RetryHint> hint_;
};

bool fits(const Row& row, const Said& it, Text& text) {
  if (row.reason != it.reason || (row.stages & bit(it.stage)) == 0) return false;
  if (it.reason != Reason::none) return true;
  if (it.code < row.low || it.code > row.high) return false;
  if (row.subject == kNone && it.enhanced.present()) return false;
  if (row.subject < kNone && (!it.enhanced.present() || it.enhanced.subject != row.subject)) {
    return false;
  }
  if (row.detail != kAny && it.enhanced.detail != row.detail) return false;
  if (row.others_accepted && !it.others_accepted) return false;
  if (row.greylister && !text.hint().greylisted) return false;
  return row.hints == TextClass::none || text.is(row.hints);
}

Verdict verdict_of(const ReplyRule& rule, const Said& it, Text& text) {
  // Of 500, 502 and 503 the table says that the host lost track of the conversation: so does a rule
  // that does not say otherwise.
  const bool lost_track = it.code == 500 || it.code == 502 || it.code == 503;
  const bool final = it.code >= 500 && in_transaction(it.stage) && !lost_track;
  const Result result = rule.result.value_or(final ? Result::never : Result::later);
  return {result,
          rule.scope,
          rule.kind,
          rule.bounce_class,
          rule.new_transaction,
          rule.greylisted || (it.code < 500 && in_transaction(it.stage) && text.hint().greylisted),
          rule.name,
          result == Result::later ? text.hint().delay_ns : 0};
}

}  // namespace

Verdict judge(const Said& it) {
  return judge(it, ReplyRules::shipped());
}

Verdict judge(const Said& it, const ReplyRules& rules) {
  if (it.reason == Reason::none && it.stage == Phase::end_of_data && it.code / 100 == 2) {
    return {Result::delivered, Scope::recipient, Kind::none, Class::none, false, false,
            "delivered"};
  }
  Text text(it.text, rules);
  if (it.reason == Reason::none && it.code >= 400 && it.code < 600) {
    const ReplyRule* rule = rules.first(text.found(), it);
    if (rule != nullptr) return verdict_of(*rule, it, text);
  }
  for (const Row& row : kRows) {
    if (!fits(row, it, text)) continue;
    const bool says_when = row.result == Result::later && it.reason == Reason::none;
    return {row.result,          row.scope,      row.kind, row.bounce_class,
            row.new_transaction, row.greylister, row.rule, says_when ? text.hint().delay_ns : 0};
  }
  // A reply that answers no command, and no reason given with it.
  return {Result::later, Scope::host, Kind::other,      Class::protocol_errors,
          false,         false,       "unexpected-code"};
}

std::string_view words(Reason reason) {
  switch (reason) {
    case Reason::none:
      return "";
    case Reason::connect_refused:
      return "connection refused";
    case Reason::connect_timed_out:
      return "no answer to the connection attempt";
    case Reason::unreachable:
      return "host unreachable";
    case Reason::connection_lost:
      return "connection lost";
    case Reason::timed_out:
      return "timed out";
    case Reason::bad_reply:
      return "protocol error";
    case Reason::unexpected_reply:
      return "unexpected reply";
    case Reason::local_close:
      return "closed by ourselves";
    case Reason::bad_recipient:
      return "the recipient's address cannot be sent";
    case Reason::bad_sender:
      return "the reverse-path cannot be sent";
    case Reason::message_too_big:
      return "the message is larger than the host accepts";
    case Reason::needs_8bitmime:
      return "the content is 8-bit and the host does not offer 8BITMIME";
    case Reason::needs_smtputf8:
      return "an address or the header is not ASCII, and the host does not offer SMTPUTF8";
    case Reason::too_slow:
      return "the time for all of it was over";
    case Reason::tls_missing:
      return "TLS is required and the host does not offer it";
    case Reason::tls_injected:
      return "bytes in clear";
    case Reason::tls_failed:
      return "TLS failed";
    case Reason::tls_untrusted:
      return "the host's certificate does not show that it is the one";
    case Reason::needs_tls:
      return "the message must go under TLS, and the host does not offer it";
    case Reason::auth_missing:
      return "credentials are configured, and the host does not offer to take them by AUTH PLAIN "
             "or LOGIN";
    case Reason::auth_in_clear:
      return "credentials are configured, and are not sent without TLS";
    case Reason::needs_ehlo:
      return "the host refused EHLO, and offered nothing";
  }
  return "";
}

std::string_view name_of(Result result) {
  constexpr std::array<std::string_view, 4> kNames = {"delivered", "later", "never", "in_doubt"};
  return kNames[static_cast<size_t>(result)];
}

std::string_view name_of(Scope scope) {
  constexpr std::array<std::string_view, 5> kNames = {"recipient", "message", "host", "site",
                                                      "source"};
  return kNames[static_cast<size_t>(scope)];
}

std::string_view name_of(Kind kind) {
  constexpr std::array<std::string_view, 5> kNames = {"", "hard", "soft", "block", "other"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view name_of(BounceClass bounce_class) {
  constexpr std::array<std::string_view, kBounceClasses> kNames = {
      "",
      "bad-configuration",
      "bad-connection",
      "bad-domain",
      "bad-mailbox",
      "content-related",
      "inactive-mailbox",
      "invalid-sender",
      "message-expired",
      "no-answer-from-host",
      "other",
      "policy-related",
      "protocol-errors",
      "quota-issues",
      "relaying-issues",
      "routing-errors",
      "spam-related",
      "virus-related",
  };
  return kNames[static_cast<size_t>(bounce_class)];
}

}  // namespace veredus::smtp
