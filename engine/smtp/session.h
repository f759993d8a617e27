#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/uio.h>

#include "engine/io/ports.h"
#include "engine/io/timer_wheel.h"
#include "engine/io/tls.h"
#include "engine/smtp/dialogue.h"
#include "engine/smtp/session_trace.h"

namespace veredus::dns {
struct HostDane;
}

namespace veredus::smtp {

class Session;

// A transaction on its way out, with the memory it needs: taken by a session while it sends, given
// back when every recipient has its outcome and the kernel has let go of the bytes. What it points
// to outside of itself must live as long.
struct Outgoing {
  virtual ~Outgoing() = default;
  Transaction transaction;  // views into the members below, or into what the owner keeps
  std::vector<std::string_view> recipients;
  std::string reverse_path;
  std::string scratch;    // rendered pieces of the content
  std::string signature;  // what stands in front of them, if anything
  std::vector<iovec>
      content;  // as chunking() of the session wants it; constant pieces point into the store
  std::vector<iovec> pieces;  // of the send under way
  size_t unsettled = 0;       // recipients without outcome; the session's to count
  // When things happened on its way, monotonic; 0: not reached. The session's to write.
  struct Moments {
    int64_t offered_ns = 0;
    int64_t data_ns = 0;       // only DATA is still to be answered
    int64_t go_ahead_ns = 0;   // … and was, with 354
    int64_t body_sent_ns = 0;  // last byte of the content submitted
  } moments;
};

// Whoever uses sessions: the lanes. Calls only record: a session must not be used from inside them.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  // A transaction may be offered: after the greeting, and each time one is over.
  virtual void on_session_ready(Session& session) = 0;
  // An outcome of a recipient of `outgoing`; or of the session itself (outgoing is null): it ends.
  virtual void on_session_outcome(Session& session, Outgoing* outgoing, const Outcome& outcome,
                                  std::string_view text) = 0;
  // TCP is there; nothing was said yet.
  virtual void on_session_connected(Session&) {}
  // Whom the session speaks to, and what he must show. Asked for when TLS begins; valid until the
  // session is told something.
  virtual io::TlsPeer tls_peer(const Session&) { return {}; }
  // The session is done with this one.
  virtual void on_outgoing_free(Session& session, Outgoing& outgoing) = 0;
  // The session takes no more; then, when the kernel has let go of it, its memory may be reused.
  virtual void on_session_closing(Session& session) = 0;
  virtual void on_session_gone(Session& session) = 0;
};

// What the sessions of a shard share.
struct SessionWorld {
  SessionWorld(io::Network& the_network, io::TimerWheel& the_timers, const int64_t& now)
      : network(the_network), timers(the_timers), mono_ns(now) {}
  io::Network& network;
  io::TimerWheel& timers;
  const int64_t& mono_ns;  // of the turn
  SessionLimits limits;
  std::shared_ptr<const io::TlsTrust> trust;  // null: no authority is
  std::unique_ptr<io::TlsContext> tls;        // made when first used
  SessionTrace* trace = nullptr;              // null: nobody looks on
  Output output;                              // empty between calls
  std::string plaintext;                      // likewise
  std::vector<Session*>
      submitting;  // have handed something to the network that was not submitted yet
  // To be called right after what was queued has been submitted to the kernel: only then a reply
  // can be the answer.
  void submitted();
};

// One connection to a mail server: joins the dialogue with a socket and a clock. Slots of a slab;
// made once, dialled many times.
class Session final : public io::SocketEvents, private io::Timer {
 public:
  Session(SessionWorld& world, SessionOwner& owner)
      : world_(world), owner_(&owner), dialogue_(nullptr) {}

  // False when no socket can be had now. `settings` outlive the session.
  // `limits` likewise; null: those of the world.
  bool dial(const io::Endpoint& peer, const io::Endpoint& from, const DialogueSettings& settings,
            const SessionLimits* limits = nullptr);
  // Only when may_offer(). The outgoing is the session's until on_outgoing_free.
  void offer(Outgoing& outgoing);
  // Offers no more, QUITs when nothing is under way.
  void leave();
  // At once, without words: shutdown's limit has passed, or the address is not wanted any more.
  void abort();

  bool may_offer() const {
    return !closing_ && !leaving_ && dialogue_.may_offer() && free_place() != nullptr && held_ == 0;
  }
  bool idle() const { return !closing_ && dialogue_.idle(); }
  bool chunking() const { return dialogue_.chunking(); }
  const Capabilities& capabilities() const { return dialogue_.capabilities(); }
  const Dialogue& dialogue() const { return dialogue_; }
  const io::Endpoint& peer() const { return peer_; }
  int64_t connect_us() const { return connect_us_; }
  int64_t tls_us() const { return tls_us_; }  // of STARTTLS and the handshake; -1: none
  const io::TlsChannel* tls() const { return tls_.get(); }  // null: in clear
  // Under way, in no order; null: none.
  std::array<const Outgoing*, 2> outgoings() const { return {places_[0], places_[1]}; }
  bool connecting() const { return connecting_ && !closing_; }
  int connect_error() const { return connect_error_; }  // errno; 0: none
  int64_t dialled_mono_ns() const { return dialled_mono_ns_; }
  int64_t ready_since_mono_ns() const { return ready_since_mono_ns_; }
  uint32_t messages() const { return messages_; }

  // For the owner's lists and books.
  void* place = nullptr;
  Session* next = nullptr;
  Session* previous = nullptr;
  Session* rival = nullptr;  // dialled beside it to another address: one of them goes
  uint32_t dials = 0;        // so far: says whether it is the same connection still
  uint16_t host = 0;         // of the site
  uint16_t source = 0;
  bool listed_idle = false;
  bool greeted = false;
  bool told_to_leave = false;
  std::array<uint64_t, 4> counted{};  // hashes of the domains that it was last counted for
  uint32_t counted_next = 0;
  std::shared_ptr<const dns::HostDane> dane;  // of the host; null: none

 private:
  static constexpr size_t kBlockBytes = 256 * 1024;    // content handed to the kernel at a time
  static constexpr size_t kTlsBlockBytes = 64 * 1024;  // … under TLS, where it is a copy

  void on_connected(int error) override;
  void on_received(std::string_view bytes) override;
  void on_ended(int error) override;
  void on_sent(int error) override;
  void on_closed() override;
  void on_timer() override;

  void act(const Step& step);
  void trace(const Step& step);
  void hear(std::string_view bytes);
  void start_tls();
  void receive_tls(std::string_view ciphertext);
  void send_tls_output();
  void tls_over();
  bool hand_over(std::span<const iovec> pieces);
  void start_send(std::string&& commands, Outgoing* with_content, std::string_view tail);
  void send_block();
  void submitted();
  void settle_outcomes();
  void note_data(const Step& step);
  void free_outgoings();
  void announce_ready();
  void rearm();
  void set_deadline(int64_t mono_ns);
  void close(bool abort);
  Outgoing* outgoing_of(const Transaction* transaction);
  Outgoing** free_place() {
    return places_[0] == nullptr ? &places_[0] : places_[1] == nullptr ? &places_[1] : nullptr;
  }
  Outgoing* const* free_place() const {
    return places_[0] == nullptr ? &places_[0] : places_[1] == nullptr ? &places_[1] : nullptr;
  }
  friend struct SessionWorld;

  SessionWorld& world_;
  SessionOwner* owner_;
  const SessionLimits* limits_ = nullptr;
  Dialogue dialogue_;
  ReplyParser parser_;
  Outgoing* places_[2] = {};     // two only with early mail
  Outgoing* sending_ = nullptr;  // whose content is being sent
  std::string commands_;         // of a send without a transaction (EHLO, RSET, QUIT)
  std::string held_commands_;    // to follow the send under way
  iovec command_piece_{};
  std::unique_ptr<io::TlsChannel> tls_;
  std::string ciphertext_;  // of the send under way
  std::string_view tail_;
  size_t content_at_ = 0;  // next piece of sending_->content
  io::Endpoint peer_;
  int64_t deadline_mono_ns_ = 0;
  int64_t over_at_mono_ns_ = 0;  // whatever is still said: end of setup or transaction; 0: none
  int64_t dialled_mono_ns_ = 0;
  int64_t ready_since_mono_ns_ = 0;
  int64_t connect_us_ = 0;
  int64_t tls_us_ = -1;
  int64_t tls_begun_mono_ns_ = 0;
  int connect_error_ = 0;
  io::Socket socket_ = io::kNoSocket;
  uint32_t messages_ = 0;
  uint8_t held_ = 0;  // a step waits for the send under way: 1 commands, 2 content behind them
  Outgoing* held_content_ = nullptr;
  bool in_flight_ = false;   // a send is with the network
  bool last_block_ = false;  // … and it holds the last byte of a content
  bool only_tls_ = false;    // … and it holds nothing of the dialogue
  bool queued_ = false;      // stands in world_.submitting
  bool connecting_ = false;
  bool leaving_ = false;
  bool closing_ = false;
};
static_assert(sizeof(Session) <= 768);

}  // namespace veredus::smtp
