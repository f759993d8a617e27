#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/smtp/phase.h"
#include "engine/smtp/reply.h"

namespace veredus::smtp {

// Why something failed without a reply that says so. `none`: a reply decided.
enum class Reason : uint8_t {
  none,
  connect_refused,  // the host answered: no
  connect_timed_out,
  unreachable,       // no route, or the kernel's other errors of connect
  connection_lost,   // reset, or closed by the far side
  timed_out,         // no whole reply, or no progress in sending, within the phase's limit
  bad_reply,         // ReplyError: what came was no reply
  unexpected_reply,  // a reply while none was owed, or of a kind that does not answer the command
  local_close,       // closed by us before the end (shutdown)
  bad_recipient,     // an address that must not go on the wire (5.1.3)
  bad_sender,        // likewise the reverse-path (5.1.7)
  message_too_big,   // for the size the host stated (5.3.4)
  needs_8bitmime,    // 8-bit content, host without 8BITMIME (5.6.3)
  needs_smtputf8,    // non-ASCII address or header, host without SMTPUTF8 (5.6.7)
  too_slow,          // each reply came in time, all of it did not (SessionLimits)
  tls_missing,       // TLS is required at this receiver, and the host does not offer it
  tls_injected,      // bytes in clear behind the reply to STARTTLS
  tls_failed,        // no handshake, or what came under TLS could not be decrypted
  tls_untrusted,     // the host has not shown that it is the one (4.7.5)
  needs_tls,         // the message must go under TLS, and the session is in clear
  auth_missing,      // we are to say who we are, and the host offers no way that we know (4.7.8)
  auth_in_clear,     // … and would have to say it in clear, which is not allowed (4.7.11)
  needs_ehlo,        // needs_8bitmime or needs_smtputf8, but the host refused EHLO this time, and
                     // what it could do was not heard (4.6.3, 4.6.7)
};
std::string_view words(Reason reason);

// All that was said and done when something was decided: what the verdict is made from.
struct Said {
  Phase stage = Phase::connect;  // end_of_data as soon as all content was handed over, even if
                                 // earlier replies lack
  Reason reason = Reason::none;
  uint16_t code = 0;  // of the reply; 0: none
  EnhancedStatus enhanced;
  bool others_accepted =
      false;              // rcpt: a recipient before this one was accepted in the same transaction
  std::string_view text;  // of the reply
};

enum class Result : uint8_t { delivered, later, never, in_doubt };
// Whom it concerns: what else is known to fail for the same cause.
enum class Scope : uint8_t {
  recipient,
  message,  // all recipients of this content and sender at this host
  host,     // this server: try the next MX host
  site,     // all hosts of the site
  source,   // our source address there
};
// The number is stored (queue::Outcome::kind): never renumber.
enum class Kind : uint8_t { none = 0, hard = 1, soft = 2, block = 3, other = 4 };
// PowerMTA's categories. The number is stored (queue::Outcome::bounce_class): never renumber.
enum class BounceClass : uint8_t {
  none = 0,
  bad_configuration = 1,
  bad_connection = 2,
  bad_domain = 3,
  bad_mailbox = 4,
  content_related = 5,
  inactive_mailbox = 6,
  invalid_sender = 7,
  message_expired = 8,
  no_answer_from_host = 9,
  other = 10,
  policy_related = 11,
  protocol_errors = 12,
  quota_issues = 13,
  relaying_issues = 14,
  routing_errors = 15,
  spam_related = 16,
  virus_related = 17,
};
inline constexpr size_t kBounceClasses = 18;
std::string_view name_of(Result result);
std::string_view name_of(Scope scope);
std::string_view name_of(Kind kind);
std::string_view name_of(BounceClass bounce_class);  // "bad-mailbox"; "" for none

struct Verdict {
  Result result = Result::later;
  Scope scope = Scope::host;
  Kind kind = Kind::other;
  BounceClass bounce_class = BounceClass::other;
  // later, but not for waiting: goes into a new transaction at once (RFC 5321 §4.5.3.1.10).
  bool new_transaction = false;
  bool greylisted = false;  // later, by a reply that is a greylister's (RetryHint)
  std::string_view rule;    // name of the row or rule that decided; kept for good
  // later, by a reply that says when; 0: nothing said. At most kRetryHintMaxNs.
  int64_t retry_after_ns = 0;
};
static_assert(sizeof(Verdict) <= 32);

class ReplyRules;

// The one place that decides what a failure means: the first of the rules for texts that fits a
// reply, else the first row of the table in verdict.cc. Pure. Never `delivered` but for a 2xx reply
// at end_of_data without a reason; always `in_doubt` for a reason at end_of_data (RFC 1047).
Verdict judge(const Said& said, const ReplyRules& rules);
// By the rules that are shipped.
Verdict judge(const Said& said);

}  // namespace veredus::smtp
