#include "engine/smtp/session.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "engine/io/kill_point.h"
#include "engine/io/planted.h"

namespace veredus::smtp {

namespace {

Reason reason_of_connect(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Reason::connect_refused;
    case ETIMEDOUT:
      return Reason::connect_timed_out;
    default:
      return Reason::unreachable;
  }
}

// An assignment would keep the memory.
void let_go(std::string& bytes) {
  std::string().swap(bytes);
}

iovec piece_of(std::string_view bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size()};
}

}  // namespace

void SessionWorld::submitted() {
  for (Session* session : submitting) session->submitted();
  submitting.clear();
}

bool Session::dial(const io::Endpoint& peer, const io::Endpoint& from,
                   const DialogueSettings& settings, const SessionLimits* limits) {
  ++dials;
  connect_error_ = 0;
  limits_ = limits == nullptr ? &world_.limits : limits;
  assert(socket_ == io::kNoSocket);
  dialogue_ = Dialogue(&settings);
  parser_ = ReplyParser();
  peer_ = peer;
  messages_ = 0;
  connect_us_ = 0;
  tls_us_ = -1;
  closing_ = leaving_ = in_flight_ = last_block_ = only_tls_ = false;
  held_ = 0;
  dialled_mono_ns_ = world_.mono_ns;
  socket_ = world_.network.connect(peer, from, *this);
  if (socket_ == io::kNoSocket) return false;
  connecting_ = true;
  if (world_.trace != nullptr) world_.trace->dialled(*this);
  over_at_mono_ns_ = world_.mono_ns + limits_->setup_ns;
  set_deadline(world_.mono_ns + limits_->connect_ns);
  return true;
}

void Session::on_connected(int error) {
  connecting_ = false;
  if (closing_) return;
  connect_us_ = (world_.mono_ns - dialled_mono_ns_) / 1000;
  connect_error_ = error;
  if (error != 0) return act(dialogue_.lost(reason_of_connect(error), world_.output));
  if (world_.trace != nullptr) world_.trace->connected(*this);
  owner_->on_session_connected(*this);
  act(dialogue_.connected(world_.output));
}

void Session::on_received(std::string_view bytes) {
  if (closing_) return;
  tls_ == nullptr ? hear(bytes) : receive_tls(bytes);
}

void Session::hear(std::string_view bytes) {
  if (world_.trace != nullptr) world_.trace->heard(*this, bytes);
  if (io::is_planted(io::Planted::reply_shift) && dialogue_.phase() == Phase::end_of_data &&
      messages_ % 8 == 3) {
    act(feed(dialogue_, parser_, "250 2.0.0 nobody said this\r\n", world_.output));
    if (closing_) return;
  }
  // The clock is per reply, not per read: bytes that complete none leave the deadline as it is.
  const uint16_t owed = dialogue_.replies_owed();
  const Step step = feed(dialogue_, parser_, bytes, world_.output);
  if (step.act != Step::Act::closing && dialogue_.replies_owed() == owed) return;
  note_data(step);
  act(step);
}

// With BDAT neither happens.
void Session::note_data(const Step& step) {
  if (step.act == Step::Act::send_content) {
    Outgoing::Moments& moments = outgoing_of(step.transaction)->moments;
    if (moments.data_ns == 0) moments.data_ns = world_.mono_ns;  // all in one answer
    moments.go_ahead_ns = world_.mono_ns;
    return;
  }
  if (dialogue_.phase() != Phase::data) return;
  Outgoing* first = nullptr;
  for (Outgoing* const outgoing : places_) {
    if (outgoing == nullptr || outgoing->unsettled == 0 || outgoing->moments.go_ahead_ns != 0)
      continue;
    if (first == nullptr || outgoing->moments.offered_ns < first->moments.offered_ns)
      first = outgoing;
  }
  if (first != nullptr && first->moments.data_ns == 0) first->moments.data_ns = world_.mono_ns;
}

void Session::on_ended(int) {
  if (closing_) return;
  act(dialogue_.lost(Reason::connection_lost, world_.output));
}

void Session::offer(Outgoing& outgoing) {
  assert(may_offer());
  *free_place() = &outgoing;
  outgoing.unsettled = outgoing.recipients.size();
  outgoing.moments = {};
  outgoing.moments.offered_ns = world_.mono_ns;
  ++messages_;
  const SessionLimits& limits = *limits_;
  over_at_mono_ns_ =
      world_.mono_ns + limits.transaction_ns +
      static_cast<int64_t>(outgoing.transaction.size / limits.content_bytes_per_s) * kSecondNs;
  act(dialogue_.offer(outgoing.transaction, world_.output));
}

void Session::leave() {
  if (closing_) return;
  if (connecting_ || dialogue_.phase() == Phase::greeting) return abort();
  leaving_ = true;
  if (dialogue_.idle() && !in_flight_) act(dialogue_.quit(world_.output));
}

void Session::abort() {
  if (closing_) return;
  act(dialogue_.lost(Reason::local_close, world_.output));
}

void Session::on_timer() {
  if (closing_ || deadline_mono_ns_ == 0) return;
  if (world_.mono_ns <
      deadline_mono_ns_) {  // it was put off meanwhile: that costs no work until now
    world_.timers.arm(*this, deadline_mono_ns_);
    return;
  }
  deadline_mono_ns_ = 0;
  if (over_at_mono_ns_ != 0 && world_.mono_ns >= over_at_mono_ns_) {
    return act(dialogue_.lost(Reason::too_slow, world_.output));
  }
  if (connecting_) return act(dialogue_.lost(Reason::connect_timed_out, world_.output));
  act(dialogue_.timed_out(world_.output));
}

// -------------------------------------------------------------------------------------------------
// the steps

void Session::act(const Step& step) {
  settle_outcomes();
  if (closing_) return;
  std::string& bytes = world_.output.bytes;
  if (world_.trace != nullptr) trace(step);
  switch (step.act) {
    case Step::Act::closing:
      world_.output.clear();
      return close(false);
    case Step::Act::send_content:
      start_send(std::move(bytes), outgoing_of(step.transaction), step.tail);
      break;
    case Step::Act::start_tls:
      start_tls();
      break;
    case Step::Act::wait:
    case Step::Act::idle:
      if (!bytes.empty()) start_send(std::move(bytes), nullptr, {});
      break;
  }
  if (closing_) return;
  world_.output.clear();
  rearm();
  free_outgoings();
  announce_ready();
}

// Somebody looks on.
void Session::trace(const Step& step) {
  if (step.act == Step::Act::closing) return;
  world_.trace->said(*this, world_.output.bytes);
  if (step.act == Step::Act::send_content)
    world_.trace->content_begins(*this, *outgoing_of(step.transaction));
}

void Session::announce_ready() {
  if (closing_ || in_flight_) return;
  if (leaving_ && dialogue_.idle()) return act(dialogue_.quit(world_.output));
  if (leaving_ || !may_offer()) return;
  if (parser_.empty()) parser_.release();
  ready_since_mono_ns_ = world_.mono_ns;
  owner_->on_session_ready(*this);
}

void Session::settle_outcomes() {
  for (const Outcome& outcome : world_.output.outcomes) {
    Outgoing* outgoing =
        outcome.transaction == nullptr ? nullptr : outgoing_of(outcome.transaction);
    if (outgoing != nullptr) --outgoing->unsettled;
    if (outgoing == nullptr && world_.trace != nullptr)
      world_.trace->failed(*this, world_.output.text(outcome));
    owner_->on_session_outcome(*this, outgoing, outcome, world_.output.text(outcome));
  }
  world_.output.outcomes.clear();
}

Outgoing* Session::outgoing_of(const Transaction* transaction) {
  for (Outgoing* outgoing : places_) {
    if (outgoing != nullptr && &outgoing->transaction == transaction) return outgoing;
  }
  assert(false && "a transaction that was not offered");
  return nullptr;
}

// -------------------------------------------------------------------------------------------------
// TLS

void Session::start_tls() {
  // Each host's sessions are its own: of hosts that share a name each has keys of its own.
  std::string key = io::to_text(peer_);
  const io::TlsPeer peer = owner_->tls_peer(*this);
  key.append(" ").append(std::to_string(peer_.port)).append(" ").append(peer.server_name);
  if (world_.tls == nullptr) world_.tls = std::make_unique<io::TlsContext>(world_.trust);
  tls_ = std::make_unique<io::TlsChannel>(*world_.tls, peer, std::move(key), world_.mono_ns);
  tls_begun_mono_ns_ = world_.mono_ns;
  if (tls_->state() == io::TlsChannel::State::failed)
    return act(dialogue_.tls_failed(tls_->why(), world_.output));
  send_tls_output();
}

// What belongs to the dialogue comes out; it hears of the handshake's end before that.
void Session::receive_tls(std::string_view ciphertext) {
  using State = io::TlsChannel::State;
  const bool handshake = tls_->state() == State::handshake;
  std::string plaintext = std::exchange(world_.plaintext, {});
  const State state = tls_->receive(ciphertext, plaintext);
  if (handshake && state != State::handshake && state != State::failed) {
    tls_us_ = (world_.mono_ns - tls_begun_mono_ns_) / 1000;
    if (world_.trace != nullptr) world_.trace->secured(*this);
    act(dialogue_.tls_ready(world_.output, tls_->verified() != io::TlsCheck::nothing));
  }
  if (!closing_ && !plaintext.empty()) hear(plaintext);
  plaintext.clear();
  world_.plaintext = std::move(plaintext);
  if (closing_) return;
  if (state == State::failed || state == State::ended) return tls_over();
  send_tls_output();
}

void Session::tls_over() {
  // With implicit TLS nobody has said anything yet: such a host has its greeting in clear.
  if (tls_->in_clear() && !dialogue_.settings().implicit_tls)
    return act(dialogue_.lost(Reason::tls_injected, world_.output));
  if (tls_->state() == io::TlsChannel::State::ended) return on_ended(0);
  act(dialogue_.tls_failed(tls_->why(), world_.output,
                           tls_->untrusted() ? Reason::tls_untrusted : Reason::tls_failed));
}

// What the handshake has to say, when nothing else is under way: else it goes in front of the next.
void Session::send_tls_output() {
  if (in_flight_ || !tls_->has_output()) return;
  in_flight_ = only_tls_ = true;
  last_block_ = false;
  ciphertext_ = tls_->take_output();
  command_piece_ = piece_of(ciphertext_);
  world_.network.send(socket_, {&command_piece_, 1});
}

// False: the session is over.
bool Session::hand_over(std::span<const iovec> pieces) {
  if (tls_ == nullptr) {
    world_.network.send(socket_, pieces);
    return true;
  }
  ciphertext_.clear();
  // Behind a reply there may have been the end of it all.
  if (!tls_->send(pieces, ciphertext_)) {
    in_flight_ = false;
    tls_over();
    return false;
  }
  command_piece_ = piece_of(ciphertext_);
  world_.network.send(socket_, {&command_piece_, 1});
  return true;
}

// -------------------------------------------------------------------------------------------------
// sending

void Session::start_send(std::string&& commands, Outgoing* with_content, std::string_view tail) {
  if (in_flight_) {
    // The reply overtook the completion of our send: go on when the kernel has let go of the bytes.
    held_commands_.append(commands);
    held_ = with_content != nullptr ? 2 : std::max<uint8_t>(held_, 1);
    if (with_content != nullptr) {
      held_content_ = with_content;
      tail_ = tail;
    }
    return;
  }
  sending_ = with_content;
  content_at_ = 0;
  tail_ = tail;
  commands_.swap(commands);
  send_block();
}

// Hands the next block to the network: commands, then content, then the tail; what fits in one
// block goes as one send.
void Session::send_block() {
  in_flight_ = true;
  only_tls_ = false;
  if (sending_ == nullptr) {
    last_block_ = false;
    command_piece_ = piece_of(commands_);
    if (!hand_over({&command_piece_, 1})) return;
  } else {
    const size_t block = tls_ == nullptr ? kBlockBytes : kTlsBlockBytes;
    std::vector<iovec>& pieces = sending_->pieces;
    pieces.clear();
    if (content_at_ == 0 && !commands_.empty()) pieces.push_back(piece_of(commands_));
    size_t bytes = 0;
    while (content_at_ < sending_->content.size() && bytes < block && pieces.size() < 512) {
      iovec& piece = sending_->content[content_at_];
      iovec part = piece;
      part.iov_len = std::min(part.iov_len, block - bytes);
      pieces.push_back(part);
      bytes += part.iov_len;
      if (part.iov_len < piece.iov_len) {
        piece.iov_base = static_cast<char*>(piece.iov_base) + part.iov_len;
        piece.iov_len -= part.iov_len;
        break;
      }
      ++content_at_;
    }
    io::kill_point("content_leaves");
    last_block_ = content_at_ == sending_->content.size();
    if (last_block_ && !tail_.empty()) pieces.push_back(piece_of(tail_));
    if (!hand_over(pieces)) return;
  }
  if (!queued_) {
    queued_ = true;
    world_.submitting.push_back(this);
  }
}

void Session::submitted() {
  queued_ = false;
  if (closing_ || !in_flight_ || only_tls_) return;
  if (last_block_) {
    io::kill_point("content_left");
    dialogue_.content_sent();
    sending_->moments.body_sent_ns = world_.mono_ns;
  } else {
    dialogue_.commands_sent();
  }
  rearm();
}

void Session::on_sent(int error) {
  if (closing_ && !in_flight_) return;
  in_flight_ = false;
  if (closing_) return;
  if (error != 0) return act(dialogue_.lost(Reason::connection_lost, world_.output));
  // Content that waits, and idle sessions, are many: what they do not need is given back.
  if (tls_ != nullptr) let_go(ciphertext_);
  if (sending_ != nullptr && !last_block_) {
    commands_.clear();
    return send_block();
  }
  sending_ = nullptr;
  last_block_ = false;
  if (held_ != 0) {
    Outgoing* content = std::exchange(held_content_, nullptr);
    held_ = 0;
    std::string commands = std::exchange(held_commands_, {});
    start_send(std::move(commands), content, tail_);
    if (!closing_) rearm();
    return;
  }
  if (tls_ != nullptr) send_tls_output();
  if (dialogue_.idle()) rearm();
  free_outgoings();
  announce_ready();
}

// An outgoing is free when nobody will speak of it again and the kernel does not read it any more.
void Session::free_outgoings() {
  for (Outgoing*& taken : places_) {
    if (taken == nullptr || taken == sending_ || taken == held_content_) continue;
    if (taken->unsettled > 0) continue;
    owner_->on_outgoing_free(*this, *std::exchange(taken, nullptr));
  }
}

// -------------------------------------------------------------------------------------------------
// time and the end

void Session::rearm() {
  // Idle, but for what the host has answered without having read it all.
  const int64_t limit_ns = dialogue_.idle() && in_flight_ ? dialogue_.time_limit_ns(Phase::body)
                                                          : dialogue_.time_limit_ns();
  if (dialogue_.idle()) over_at_mono_ns_ = 0;
  if (limit_ns == 0) return set_deadline(0);
  const int64_t deadline = world_.mono_ns + limit_ns;
  set_deadline(over_at_mono_ns_ == 0 ? deadline : std::min(deadline, over_at_mono_ns_));
}

// Putting a deadline off only writes it down; the timer goes off at the old time and looks.
void Session::set_deadline(int64_t mono_ns) {
  const int64_t before = deadline_mono_ns_;
  deadline_mono_ns_ = mono_ns;
  if (mono_ns == 0) return;
  if (!armed() || before == 0 || mono_ns < before) world_.timers.arm(*this, mono_ns);
}

void Session::close(bool abort) {
  if (closing_) return;
  closing_ = true;
  deadline_mono_ns_ = 0;
  held_ = 0;
  held_content_ = nullptr;
  if (world_.trace != nullptr) world_.trace->closed(*this);
  world_.timers.cancel(*this);
  owner_->on_session_closing(*this);
  world_.network.close(socket_, abort);
}

void Session::on_closed() {
  in_flight_ = false;
  sending_ = nullptr;
  if (queued_) {
    std::erase(world_.submitting, this);
    queued_ = false;
  }
  free_outgoings();
  socket_ = io::kNoSocket;
  let_go(commands_);
  let_go(held_commands_);
  let_go(ciphertext_);
  tls_.reset();
  parser_ = ReplyParser();
  owner_->on_session_gone(*this);
}

}  // namespace veredus::smtp
