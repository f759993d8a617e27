#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/smtp/capabilities.h"
#include "engine/smtp/credentials.h"
#include "engine/smtp/dsn.h"
#include "engine/smtp/limits.h"
#include "engine/smtp/phase.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/verdict.h"

// The client side of SMTP (RFC 5321, 1870, 2920, 3030, 3207, 3461, 4954, 6152, 6531) as a machine
// without socket, clock or queue.
//
// A worked example of driving it (one Output may serve a whole shard: it is empty between calls):
//
//   Dialogue dialogue(&settings);
//   ReplyParser parser;
//   Output output;
//
//   on connect:       act(dialogue.connected(output));
//   on received:      act(feed(dialogue, parser, bytes, output));  // cut anywhere
//   on a send's end:  re-arm the deadline if deadline_phase() is body
//   on the deadline:  act(dialogue.timed_out(output));
//   on EOF or reset:  act(dialogue.lost(Reason::connection_lost, output));
//   for a message:    if (dialogue.may_offer()) act(dialogue.offer(transaction, output));
//   when enough:      if (dialogue.idle()) act(dialogue.quit(output));
//
//   act(step):
//     for each of output.outcomes:
//       settle it, with output.text(outcome); transaction == nullptr: the session itself
//     switch (step.act):
//       wait, idle:
//         send output.bytes, if there are any; when submitted: dialogue.commands_sent();
//       send_content:
//         send output.bytes, the content of *step.transaction, and step.tail, best as one gather;
//         when the operation that holds the last byte is submitted: dialogue.content_sent();
//         more than one operation: commands_sent() at the first, content_sent() at the last
//       start_tls (with implicit TLS right after connected()):
//         begin a handshake; what is received belongs to it; then dialogue.tls_ready(output),
//         or dialogue.tls_failed(why, output)
//       closing:
//         send nothing; close; no call has an effect any more
//     output.clear();
//     re-arm the deadline: now + dialogue.time_limit_ns(), unless that is 0
//
// "Submitted" is the hand-over to the kernel (io_uring_enter), not its completion: everything
// received before it must have been fed before, for that is what makes a stray reply visible as
// one. So: feed all that was received, then act on the last step, then submit.
//
// The deadline is per reply: it starts when commands or content were submitted and again at every
// complete reply, never at a mere read.
//
// Rendering of content: chunking() is known once the session is idle, and tells whether it goes out
// raw (BDAT, step.tail is empty) or dot-stuffed (DATA, step.tail is ".\r\n").

namespace veredus::smtp {

// Whether a session is to be under TLS. Opportunistic (RFC 7435): if the host offers it; a host
// that refuses is spoken to in clear. What certificates must show is said elsewhere (io/tls.h).
enum class TlsUse : uint8_t { none, opportunistic, required };

// Shared by all dialogues of a kind (a site's rules); must outlive them.
struct DialogueSettings {
  std::string ehlo_name = "localhost";  // must be valid_ehlo_name()
  bool use_pipelining = true;
  bool use_chunking = true;
  // The next envelope may follow the end of data before its reply (RFC 2920 §3.1). Measured: common
  // servers answer 503 to it, drop it, or close without storing. Only for hosts known to take it.
  bool allow_early_mail = false;
  TlsUse tls = TlsUse::none;
  // Credentials go to hosts only that have shown to be the one.
  bool verify = false;
  bool implicit_tls = false;  // from the connection on (RFC 8314 §3.3); `tls` says no more then
  std::shared_ptr<const Credentials> credentials;  // null: nobody is told who we are
  // By Phase; 0: that of kPhaseTable.
  std::array<int64_t, kPhases> time_limit_ns{};
};

// One message to one or more recipients of one domain. Belongs to the caller, who keeps it (and the
// content) unchanged until every recipient has its outcome and the content is not being sent any
// more.
struct Transaction {
  std::string_view reverse_path;                 // without angle brackets; empty: the null sender
  std::span<const std::string_view> recipients;  // 1–kRecipientsMax
  // Bytes of the content without dot-stuffing: what BDAT sends, and what SIZE= says (RFC 1870 §6).
  // The content ends in CRLF, or is empty.
  uint64_t size = 0;
  bool eight_bit = false;    // has bytes over 127
  bool header_utf8 = false;  // … in its header (RFC 6532): goes to hosts with SMTPUTF8 only
  // Why an eight_bit content could not be made one without; static, or the caller's as the rest.
  std::string_view why_eight_bit = {};
  bool needs_tls = false;  // goes under TLS or not at all
  DsnRequest dsn = {};     // for hosts that offer DSN
};

struct Step {
  enum class Act : uint8_t { wait, send_content, idle, start_tls, closing };
  Act act = Act::wait;
  const Transaction* transaction = nullptr;  // send_content: whose content
  std::string_view tail;                     // send_content: what follows the content
};

// Exactly one for each recipient of an offered transaction; and one for the session itself
// (transaction is nullptr) when it ends otherwise than by quit(): its scope says what that means
// for host, site or source, its stage where it was (idle: a server that hung up on an idle session,
// which is nothing).
struct Outcome {
  const Transaction* transaction = nullptr;
  uint16_t recipient = 0;  // index in transaction->recipients
  Phase stage = Phase::connect;
  Reason reason = Reason::none;
  uint16_t code = 0;  // of the reply that decided; 0: none did
  EnhancedStatus enhanced;
  uint16_t text_size = 0;
  uint32_t text_begin = 0;
  Verdict verdict;
};

// What the calls append to. The caller takes everything out after each call, then clears it.
class Output {
 public:
  std::string bytes;  // commands, whole lines
  std::vector<Outcome> outcomes;
  // By which replies are judged; null: those shipped. The caller's, for as long as it stands here.
  const ReplyRules* rules = nullptr;

  // The reply, or the local reason in words. Raw bytes of the far side. Until clear().
  std::string_view text(const Outcome& outcome) const {
    return std::string_view(texts_).substr(outcome.text_begin, outcome.text_size);
  }
  // Keeps the memory.
  void clear() {
    bytes.clear();
    outcomes.clear();
    texts_.clear();
  }

 private:
  friend class Dialogue;
  Outcome make(const Said& said, std::string_view detail);

  std::string texts_;
};

class Dialogue {
 public:
  explicit Dialogue(const DialogueSettings* settings) : settings_(settings) {}

  // The connection is open. Once, first.
  Step connected(Output& output);
  // One reply. Use feed() below, which also finds the beginnings of stray ones.
  Step on_reply(const Reply& reply, Output& output);
  Step on_bad_reply(ReplyError error, Output& output);
  // No whole reply, or no progress in sending, within time_limit_ns().
  Step timed_out(Output& output);
  Step lost(Reason reason, Output& output);
  // The handshake that start_tls asked for is done: all that was known of the host is forgotten,
  // and it is asked again (RFC 3207 §4.2). With implicit TLS its greeting comes now. `verified`: it
  // has shown that it is the one.
  Step tls_ready(Output& output, bool verified = false);
  // It failed; or, later, what came could not be decrypted. `reason`: this, or tls_untrusted.
  Step tls_failed(std::string_view why, Output& output, Reason reason = Reason::tls_failed);
  // Only when may_offer(). Recipients that cannot be sent (address, size, 8-bit) get their outcome
  // at once; if none is left the step is idle (or wait) and nothing was sent.
  Step offer(const Transaction& transaction, Output& output);
  // Only when idle().
  Step quit(Output& output);

  // All bytes of Output::bytes so far were submitted to the kernel.
  void commands_sent();
  // These, and all of the content with its tail. From here on a loss leaves its recipients in
  // doubt.
  void content_sent();

  // The phase of the reply that comes next.
  Phase phase() const { return receive_.phase; }
  bool idle() const { return receive_.phase == Phase::idle; }
  bool closed() const { return receive_.phase == Phase::closing; }
  // idle(), or allow_early_mail and the content of the last transaction is out.
  bool may_offer() const;
  // A reply is owed for something submitted.
  bool expects_reply() const { return owed_ != 0; }
  uint16_t replies_owed() const { return owed_; }
  // Recipients without outcome.
  size_t unsettled() const { return size_t{open_[0].unsettled} + open_[1].unsettled; }
  // Whose time limit runs now; end_of_data as soon as all content is out.
  Phase deadline_phase() const;
  int64_t time_limit_ns() const { return time_limit_ns(deadline_phase()); }
  int64_t time_limit_ns(Phase phase) const;
  bool pipelining() const {
    return settings_->use_pipelining && capabilities_.has(Capability::pipelining);
  }
  bool chunking() const {
    return settings_->use_chunking && capabilities_.has(Capability::chunking);
  }
  const Capabilities& capabilities() const { return capabilities_; }
  bool secured() const { return secured_; }  // under TLS
  const DialogueSettings& settings() const { return *settings_; }

 private:
  // Where one side of the conversation is: the next command to write, or the next reply to read.
  struct Cursor {
    Phase phase = Phase::connect;
    uint16_t recipient = 0;  // in rcpt
  };
  struct Open {
    const Transaction* transaction = nullptr;  // nullptr: this slot is free
    std::array<uint64_t, 2> settled{};         // a bit a recipient: has its outcome
    std::array<uint64_t, 2> skipped{};         // … was not written, for it cannot be sent
    uint16_t count = 0;
    uint16_t unsettled = 0;
    uint16_t accepted = 0;  // RCPT answered with 2xx
    bool mail_accepted = false;
    bool bdat = false;
    bool utf8 = false;
    bool data_given = false;  // DATA or BDAT has been written
    bool content_given = false;
    bool content_sent = false;
    bool rcpt_said_sender = false;  // a RCPT was answered with 2.1.0, which is the reply to MAIL
  };

  // What AUTH has still to send, a line for each 334.
  enum class AuthStep : uint8_t { done, plain, user, password };

  Step next_send(Output& output);
  Step await_greeting();
  Step greeted(Output& output);
  Step introduced(Output& output);
  Step authenticate(Output& output);
  Step step_now() const;
  Step on_auth_reply(const Reply& heard, Output& output);
  Step on_mail_reply(const Reply& reply, Output& output);
  Step on_rcpt_reply(const Reply& reply, Output& output);
  Step on_data_reply(const Reply& reply, Output& output);
  Step on_end_reply(const Reply& reply, Output& output);
  Step finish(Output& output);
  Step leave(const Reply& reply, Output& output);
  Step out_of_step(const Reply& reply, Output& output);
  Step close(const Said& said, std::string_view detail, Output& output);

  void refuse_unsendable(Open& open, Output& output);
  void append_mail(const Open& open, std::string& bytes) const;
  void append_rcpt(const Open& open, std::string_view recipient, std::string& bytes) const;
  void settle(Open& open, size_t recipient, const Outcome& made, Output& output);
  void settle_all(Open& open, const Outcome& made, Output& output);
  Phase stage_of(const Open& open) const;
  bool runs_ahead(Phase phase) const { return row_of(phase).may_run_ahead && pipelining(); }
  bool was_written(Phase phase) const;
  static void advance(Cursor& cursor, Phase phase, size_t recipient = 0);
  static size_t next_written(const Open& open, size_t recipient);

  Open& receiving() { return open_[receiving_]; }
  const Open& receiving() const { return open_[receiving_]; }
  Open& sending() { return open_[sending_]; }
  const Open& sending() const { return open_[sending_]; }

  const DialogueSettings* settings_;
  Capabilities capabilities_;
  std::array<Open, 2> open_;  // two only with allow_early_mail
  Cursor send_;
  Cursor receive_;
  uint16_t pending_ = 0;  // commands written, not yet submitted
  uint16_t owed_ = 0;     // replies the far side owes for what was submitted
  uint8_t sending_ = 0;
  uint8_t receiving_ = 0;
  bool needs_rset_ = false;
  bool secured_ = false;
  bool verified_ = false;
  bool after_helo_ = false;  // EHLO was refused
  AuthStep auth_step_ = AuthStep::done;
};
static_assert(sizeof(Dialogue) <= 256);
static_assert(kRecipientsMax <= 128);  // the bits of Open

// Whether `name` may stand in EHLO: a domain of letters, digits, hyphens and dots, or an address
// literal.
bool valid_ehlo_name(std::string_view name);

// Takes what was received: every whole reply of `bytes`, in order. A stray reply or the beginning
// of one closes. The step is the last one; it stands for all.
Step feed(Dialogue& dialogue, ReplyParser& parser, std::string_view bytes, Output& output);

}  // namespace veredus::smtp
