#include "engine/smtp/dialogue.h"

#include <cassert>

#include "engine/smtp/dialogue_parts.h"

namespace veredus::smtp {
namespace {

// 220 and 221 answer no command that 2xx could: they are a greeting or a farewell out of place.
bool is_good(const Reply& reply) {
  return reply.code / 100 == 2 && reply.code != 220 && reply.code != 221;
}

}  // namespace

// Moves forward only; a new transaction gets a new cursor.
void Dialogue::advance(Cursor& cursor, Phase phase, size_t recipient) {
  assert(!in_transaction(cursor.phase) || !in_transaction(phase) || phase > cursor.phase ||
         (phase == cursor.phase && recipient > cursor.recipient));
  cursor.phase = phase;
  cursor.recipient = static_cast<uint16_t>(recipient);
}

// The first recipient from `recipient` on whose RCPT is (to be) written; open.count: none.
size_t Dialogue::next_written(const Open& open, size_t recipient) {
  while (recipient < open.count && has_bit(open.skipped, recipient)) ++recipient;
  return recipient;
}

Step Dialogue::step_now() const {
  if (closed()) return {Step::Act::closing, nullptr, {}};
  if (idle()) return {Step::Act::idle, nullptr, {}};
  return {};
}

// The send cursor: writes the next command and, where it may, those behind it.
Step Dialogue::next_send(Output& output) {
  std::string& bytes = output.bytes;
  Open& open = sending();
  switch (send_.phase) {
    case Phase::ehlo:
      bytes.append("EHLO ").append(settings_->ehlo_name).append("\r\n");
      ++pending_;
      advance(send_, Phase::idle);
      return {};
    case Phase::helo:
      bytes.append("HELO ").append(settings_->ehlo_name).append("\r\n");
      ++pending_;
      advance(send_, Phase::idle);
      return {};
    case Phase::mail:
      append_mail(open, bytes);
      ++pending_;
      advance(send_, Phase::rcpt, next_written(open, 0));
      return runs_ahead(Phase::mail) ? next_send(output) : Step{};
    case Phase::rcpt:
      while (send_.recipient < open.count) {
        append_rcpt(open, open.transaction->recipients[send_.recipient], bytes);
        ++pending_;
        advance(send_, Phase::rcpt, next_written(open, size_t{send_.recipient} + 1));
        if (!runs_ahead(Phase::rcpt)) return {};
      }
      advance(send_, Phase::data);
      return next_send(output);
    case Phase::data:
      open.data_given = true;
      advance(send_, Phase::body);
      if (!open.bdat) {
        bytes.append("DATA\r\n");
        ++pending_;
        return {};
      }
      bytes.append("BDAT ");
      append_number(bytes, open.transaction->size);
      bytes.append(" LAST\r\n");
      open.content_given = true;  // its reply is owed when content_sent() says so
      return {Step::Act::send_content, open.transaction, {}};
    case Phase::body:
      open.content_given = true;
      return {Step::Act::send_content, open.transaction, ".\r\n"};
    case Phase::starttls:
      bytes.append("STARTTLS\r\n");
      ++pending_;
      advance(send_, Phase::tls);
      return {};
    case Phase::rset:
      bytes.append("RSET\r\n");
      ++pending_;
      advance(send_, Phase::idle);
      return {};
    case Phase::quit:
      bytes.append("QUIT\r\n");
      ++pending_;
      advance(send_, Phase::closing);
      return {};
    case Phase::connect:
    case Phase::greeting:
    case Phase::idle:
    case Phase::end_of_data:
    case Phase::tls:
    case Phase::auth:
    case Phase::closing:
      return step_now();
  }
  return step_now();
}

// The host's answer to EHLO or HELO is known: under TLS now, or to the first transaction.
Step Dialogue::greeted(Output& output) {
  const bool wanted = settings_->tls != TlsUse::none && !secured_;
  if (wanted && capabilities_.has(Capability::starttls)) {
    receive_ = send_ = Cursor{Phase::starttls, 0};
    return next_send(output);
  }
  if (wanted && settings_->tls == TlsUse::required) {
    Said said;
    said.stage = Phase::starttls;
    said.reason = Reason::tls_missing;
    said.enhanced = {4, 7, 4};
    output.outcomes.push_back(output.make(said, {}));
    receive_ = send_ = Cursor{Phase::quit, 0};
    return next_send(output);
  }
  return introduced(output);
}

// Under TLS, or to go on without: who we are is said, where that is wanted, before the first
// transaction.
Step Dialogue::introduced(Output& output) {
  if (settings_->credentials != nullptr) return authenticate(output);
  receive_ = send_ = Cursor{Phase::idle, 0};
  return step_now();
}

// The receive cursor: what a reply means for the command it answers.
Step Dialogue::on_reply(const Reply& reply, Output& output) {
  if (closed()) return step_now();
  if (receive_.phase == Phase::auth) return on_auth_reply(reply, output);
  if (reply.code == 421) return close(said_by(reply, receive_.phase), {}, output);
  // Nothing of ours can have caused it: it must not answer the next command.
  if (owed_ == 0) return out_of_step(reply, output);
  --owed_;
  assert(was_written(receive_.phase));
  switch (receive_.phase) {
    case Phase::greeting:
      if (is_refusal(reply)) return leave(reply, output);
      if (reply.code != 220) return out_of_step(reply, output);
      advance(receive_, Phase::ehlo);
      return next_send(output);
    case Phase::ehlo:
      if (is_good(reply)) {
        capabilities_ = parse_capabilities(reply.text);
        after_helo_ = false;
        return greeted(output);
      }
      if (!is_refusal(reply)) return out_of_step(reply, output);
      if (reply.code < 500) return leave(reply, output);
      // A server from before ESMTP (RFC 5321 §3.2, §4.1.4).
      after_helo_ = true;
      advance(receive_, Phase::helo);
      advance(send_, Phase::helo);
      return next_send(output);
    case Phase::helo:
      if (is_refusal(reply)) return leave(reply, output);
      if (!is_good(reply)) return out_of_step(reply, output);
      return greeted(output);
    case Phase::starttls:
      if (reply.code == 220) {
        receive_ = send_ = Cursor{Phase::tls, 0};
        return {Step::Act::start_tls, nullptr, {}};
      }
      if (!is_refusal(reply)) return out_of_step(reply, output);
      if (settings_->tls == TlsUse::required) return leave(reply, output);
      return introduced(output);
    case Phase::rset:
      if (is_refusal(reply)) return leave(reply, output);
      if (!is_good(reply)) return out_of_step(reply, output);
      advance(receive_, Phase::idle);
      return step_now();
    case Phase::mail:
      return on_mail_reply(reply, output);
    case Phase::rcpt:
      return on_rcpt_reply(reply, output);
    case Phase::data:
      return on_data_reply(reply, output);
    case Phase::end_of_data:
      return on_end_reply(reply, output);
    case Phase::quit:
      return close(said_by(reply, Phase::quit), {}, output);
    case Phase::connect:
    case Phase::idle:
    case Phase::body:
    case Phase::tls:
    case Phase::auth:
    case Phase::closing:
      return out_of_step(reply, output);
  }
  return out_of_step(reply, output);
}

// Receive never overtakes send: the command whose reply is read has been written.
bool Dialogue::was_written(Phase phase) const {
  if (!in_transaction(phase) || sending_ != receiving_) return true;
  if (phase == Phase::end_of_data) return send_.phase == Phase::end_of_data;
  if (phase == Phase::rcpt && send_.phase == Phase::rcpt)
    return receive_.recipient < send_.recipient;
  return phase < send_.phase;
}

Step Dialogue::on_mail_reply(const Reply& reply, Output& output) {
  Open& open = receiving();
  if (is_good(reply)) {
    open.mail_accepted = true;
  } else if (is_refusal(reply)) {
    settle_all(open, output.make(said_by(reply, Phase::mail), {}), output);
    // No transaction was begun, so none needs RSET. What ran ahead will be refused: read that.
    if (!runs_ahead(Phase::mail)) return finish(output);
  } else {
    return out_of_step(reply, output);
  }
  advance(receive_, Phase::rcpt, next_written(open, 0));
  return runs_ahead(Phase::mail) ? step_now() : next_send(output);
}

Step Dialogue::on_rcpt_reply(const Reply& reply, Output& output) {
  Open& open = receiving();
  const size_t recipient = receive_.recipient;
  if (!is_good(reply) && !is_refusal(reply)) return out_of_step(reply, output);
  // After a refused MAIL all are settled, and a RCPT that is accepted nevertheless means nothing.
  if (!has_bit(open.settled, recipient)) {
    if (is_good(reply)) {
      ++open.accepted;
      open.rcpt_said_sender |= reply.enhanced == EnhancedStatus{2, 1, 0};
    } else {
      Said said = said_by(reply, Phase::rcpt);
      said.others_accepted = open.accepted != 0;
      settle(open, recipient, output.make(said, {}), output);
    }
  }
  const size_t next = next_written(open, recipient + 1);
  if (next < open.count) {
    advance(receive_, Phase::rcpt, next);
    return runs_ahead(Phase::rcpt) ? step_now() : next_send(output);
  }
  if (!open.data_given && open.accepted == 0) {
    needs_rset_ = true;  // MAIL was accepted and would be nested
    return finish(output);
  }
  advance(receive_, open.bdat ? Phase::end_of_data : Phase::data);
  return open.data_given ? step_now() : next_send(output);
}

Step Dialogue::on_data_reply(const Reply& reply, Output& output) {
  Open& open = receiving();
  if (reply.code / 100 == 3) {
    advance(receive_, Phase::end_of_data);
    if (open.unsettled != 0) return next_send(output);
    // Nobody is left, yet the host waits for content: it gets none (RFC 2920 §3.1).
    output.bytes.append(".\r\n");
    ++pending_;
    advance(send_, Phase::end_of_data);
    return {};
  }
  if (!is_refusal(reply)) return out_of_step(reply, output);
  settle_all(open, output.make(said_by(reply, Phase::data), {}), output);
  needs_rset_ |= open.mail_accepted;
  return finish(output);
}

Step Dialogue::on_end_reply(const Reply& reply, Output& output) {
  Open& open = receiving();
  if (!is_good(reply) && !is_refusal(reply)) return out_of_step(reply, output);
  // With BDAT no 354 proves that replies and commands are in step. Where a RCPT got the words for
  // MAIL (2.1.0) and the content those for RCPT (2.1.5), a stray reply has shifted them all by one.
  if (open.bdat && open.rcpt_said_sender && reply.enhanced == EnhancedStatus{2, 1, 5}) {
    return out_of_step(reply, output);
  }
  settle_all(open, output.make(said_by(reply, Phase::end_of_data), {}), output);
  // A failed BDAT leaves the transaction open (RFC 3030 §2); a final dot ends it either way.
  needs_rset_ |= open.bdat && open.mail_accepted && is_refusal(reply);
  return finish(output);
}

// The transaction being received is over: on to the next one, to RSET, or to idle.
Step Dialogue::finish(Output& output) {
  assert(receiving().unsettled == 0);
  receiving() = Open{};
  if (sending_ != receiving_) {
    receiving_ = sending_;
    receive_ = Cursor{Phase::mail, 0};
    return {};
  }
  send_ = receive_ = Cursor{Phase::idle, 0};
  if (!needs_rset_) return step_now();
  needs_rset_ = false;
  advance(receive_, Phase::rset);
  advance(send_, Phase::rset);
  return next_send(output);
}

// The host answered in good order that it does not want this session.
Step Dialogue::leave(const Reply& reply, Output& output) {
  assert(unsettled() == 0);
  output.outcomes.push_back(output.make(said_by(reply, receive_.phase), {}));
  receive_ = send_ = Cursor{Phase::quit, 0};
  return next_send(output);
}

Step Dialogue::out_of_step(const Reply& reply, Output& output) {
  Said said = said_by(reply, receive_.phase);
  said.reason = Reason::unexpected_reply;
  return close(said, {}, output);
}

// The end, whatever the state: who has no outcome yet gets one.
Step Dialogue::close(const Said& said, std::string_view detail, Output& output) {
  if (closed()) return step_now();
  Said its = said;
  for (const unsigned slot : {unsigned{receiving_}, 1u - receiving_}) {
    Open& open = open_[slot];
    if (open.transaction == nullptr) continue;
    its.stage = stage_of(open);
    // A 421 in good order answers the command that is due, so what ran ahead of it was not done.
    if (said.reason == Reason::none && its.stage == Phase::end_of_data &&
        (slot != receiving_ || receive_.phase != Phase::end_of_data)) {
      its.stage = slot == receiving_ ? receive_.phase : Phase::mail;
    }
    settle_all(open, output.make(its, detail), output);
  }
  if (receive_.phase != Phase::quit) {
    its.stage = receiving().transaction != nullptr ? stage_of(receiving()) : receive_.phase;
    output.outcomes.push_back(output.make(its, detail));
  }
  output.bytes.clear();
  open_ = {};
  owed_ = pending_ = 0;
  receive_ = send_ = Cursor{Phase::closing, 0};
  return step_now();
}

Step Dialogue::connected(Output&) {
  assert(receive_.phase == Phase::connect);
  if (!settings_->implicit_tls) return await_greeting();
  receive_ = send_ = Cursor{Phase::tls, 0};
  return {Step::Act::start_tls, nullptr, {}};
}

Step Dialogue::await_greeting() {
  receive_ = Cursor{Phase::greeting, 0};
  send_ = Cursor{Phase::ehlo, 0};
  owed_ = 1;
  return {};
}

Step Dialogue::on_bad_reply(ReplyError error, Output& output) {
  assert(error != ReplyError::none);
  Said said;
  said.stage = receive_.phase;
  said.reason = error == ReplyError::unrequested ? Reason::unexpected_reply : Reason::bad_reply;
  return close(said, words(error), output);
}

Step Dialogue::timed_out(Output& output) {
  return lost(Reason::timed_out, output);
}

Step Dialogue::lost(Reason reason, Output& output) {
  assert(reason != Reason::none);
  Said said;
  said.stage = receive_.phase;
  said.reason = reason;
  return close(said, {}, output);
}

Step Dialogue::tls_ready(Output& output, bool verified) {
  assert(receive_.phase == Phase::tls);
  secured_ = true;
  verified_ = verified;
  if (settings_->implicit_tls) return await_greeting();
  capabilities_ = {};
  receive_ = send_ = Cursor{Phase::ehlo, 0};
  return next_send(output);
}

Step Dialogue::tls_failed(std::string_view why, Output& output, Reason reason) {
  Said said;
  said.stage = receive_.phase;
  said.reason = reason;
  if (reason == Reason::tls_untrusted) said.enhanced = {4, 7, 5};  // cryptographic failure
  return close(said, why, output);
}

Step Dialogue::quit(Output& output) {
  assert(idle());
  receive_ = send_ = Cursor{Phase::quit, 0};
  return next_send(output);
}

Step Dialogue::offer(const Transaction& transaction, Output& output) {
  assert(may_offer());
  assert(!transaction.recipients.empty() && transaction.recipients.size() <= kRecipientsMax);
  const bool early = !idle();
  const auto slot = static_cast<uint8_t>(early ? 1 - receiving_ : receiving_);
  Open& open = open_[slot];
  open = Open{};
  open.transaction = &transaction;
  open.count = open.unsettled = static_cast<uint16_t>(transaction.recipients.size());
  open.bdat = chunking();
  refuse_unsendable(open, output);
  if (open.unsettled == 0) {
    open = Open{};
    return step_now();
  }
  sending_ = slot;
  send_ = Cursor{Phase::mail, 0};
  if (!early) receive_ = Cursor{Phase::mail, 0};
  return next_send(output);
}

void Dialogue::settle(Open& open, size_t recipient, const Outcome& made, Output& output) {
  assert(recipient < open.count && !has_bit(open.settled, recipient) && open.unsettled != 0);
  set_bit(open.settled, recipient);
  --open.unsettled;
  Outcome& outcome = output.outcomes.emplace_back(made);
  outcome.transaction = open.transaction;
  outcome.recipient = static_cast<uint16_t>(recipient);
}

// Everybody who has no outcome yet.
void Dialogue::settle_all(Open& open, const Outcome& made, Output& output) {
  for (size_t i = 0; i < open.count && open.unsettled != 0; ++i) {
    if (!has_bit(open.settled, i)) settle(open, i, made, output);
  }
}

// How far a transaction has come, for a loss.
Phase Dialogue::stage_of(const Open& open) const {
  if (open.content_sent) return Phase::end_of_data;
  if (open.content_given) return Phase::body;
  return &open == &receiving() ? receive_.phase : Phase::mail;
}

void Dialogue::commands_sent() {
  owed_ = static_cast<uint16_t>(owed_ + pending_);
  pending_ = 0;
}

void Dialogue::content_sent() {
  if (closed()) return;
  Open& open = sending();
  assert(open.content_given && !open.content_sent);
  commands_sent();
  ++owed_;  // the reply to the final dot or to BDAT
  open.content_sent = true;
  advance(send_, Phase::end_of_data);
}

bool Dialogue::may_offer() const {
  if (idle()) return true;
  return settings_->allow_early_mail && pipelining() && receive_.phase == Phase::end_of_data &&
         sending_ == receiving_ && receiving().content_sent;
}

Phase Dialogue::deadline_phase() const {
  if (sending().content_given && !sending().content_sent) return Phase::body;
  if (receiving().content_sent) return Phase::end_of_data;
  return receive_.phase;
}

int64_t Dialogue::time_limit_ns(Phase phase) const {
  const int64_t own = settings_->time_limit_ns[static_cast<size_t>(phase)];
  return own != 0 ? own : smtp::time_limit_ns(phase);
}

Step feed(Dialogue& dialogue, ReplyParser& parser, std::string_view bytes, Output& output) {
  Step step;
  step.act = dialogue.idle() ? Step::Act::idle : Step::Act::wait;
  Reply reply;
  while (!dialogue.closed()) {
    switch (parser.feed(bytes, reply)) {
      case ReplyParser::Result::more:
        if (parser.empty() || dialogue.expects_reply()) return step;
        return dialogue.on_bad_reply(ReplyError::unrequested, output);
      case ReplyParser::Result::reply:
        step = dialogue.on_reply(reply, output);
        if (step.act != Step::Act::start_tls) break;
        // Whoever put something behind it, it is not the peer of the handshake.
        return bytes.empty() ? step : dialogue.lost(Reason::tls_injected, output);
      case ReplyParser::Result::error:
        return dialogue.on_bad_reply(parser.error(), output);
    }
  }
  step.act = Step::Act::closing;
  return step;
}

}  // namespace veredus::smtp
