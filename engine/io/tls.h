#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sys/uio.h>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "dns/tlsa.h"

struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;
struct x509_store_st;

namespace veredus::io {

// The certificate authorities that are trusted. Read once, then shared by all threads.
class TlsTrust {
 public:
  // `file`: certificates in PEM. NotFound, InvalidArgument: with the file and what to do.
  static absl::StatusOr<std::shared_ptr<const TlsTrust>> load(const std::string& file);
  ~TlsTrust();
  TlsTrust(const TlsTrust&) = delete;
  TlsTrust& operator=(const TlsTrust&) = delete;

 private:
  friend class TlsContext;
  explicit TlsTrust(x509_store_st* store) : store_(store) {}
  x509_store_st* const store_;
};

// What a host's certificate must show.
enum class TlsCheck : uint8_t {
  nothing,      // any will do: all that is wanted is that nobody listens (RFC 7435)
  authorities,  // a chain to a trusted authority, and one of the names (RFC 8461 §4.2)
  dane,         // one of the TLSA records (RFC 7672 §3.1)
};

// What is wrong with a certificate, as RFC 8460 §4.3.2 tells it.
enum class TlsFault : uint8_t {
  none,
  host_mismatch,  // made for other names
  expired,        // or not valid yet
  not_trusted,    // by no authority that is known
  validation,     // else: of no TLSA record, revoked, broken, …
};

// Whom a channel speaks to.
struct TlsPeer {
  std::string_view server_name;  // for SNI (RFC 6066), and left out if it is empty
  TlsCheck check = TlsCheck::nothing;
  // False: what is wrong is told by fault(), and nothing follows from it.
  bool enforced = true;
  // With `authorities`, and `dane` where the record names an authority: one of them is in the
  // certificate. Empty: none. A wildcard in it stands for a whole label.
  std::array<std::string_view, 2> names = {};
  // With `dane`. Where OpenSSL takes none of them for usable they say nothing of who it is (RFC
  // 7672 §2.2); `otherwise` is what is asked then.
  std::span<const dns::TlsaRecord> records = {};
  TlsCheck otherwise = TlsCheck::nothing;
  bool otherwise_enforced = true;
};

// What the TLS connections of a shard share: the settings of OpenSSL, and the sessions that can be
// resumed. One thread. TLS 1.2 and 1.3; no renegotiation, no compression (RFC 9325). Where nothing
// is checked old algorithms are taken rather than none, but no groups that a server chooses and
// that may be as large as he likes: each step of a handshake takes at most some ms.
class TlsContext {
 public:
  // Sessions kept for being resumed, the ones used last: some 2 to 6 KiB each. None whose host
  // makes it larger than that by far.
  static constexpr size_t kSessionsMax = 4096;
  static constexpr size_t kSessionBytesMax = 16 * 1024;
  // So long after the handshake in which a host has shown its certificate; then it shows it again.
  static constexpr int64_t kSessionNs = 3600'000'000'000;
  // A server's certificates, in number and in bytes.
  static constexpr int kCertificatesMax = 10;
  static constexpr long kCertificateBytesMax = 100 * 1024;

  // `trust`: null if no authority is trusted.
  explicit TlsContext(std::shared_ptr<const TlsTrust> trust = nullptr);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  size_t sessions() const { return sessions_.size(); }

 private:
  friend class TlsChannel;
  friend struct TlsCallbacks;
  struct Free {
    void operator()(ssl_ctx_st* context) const;
    void operator()(ssl_session_st* session) const;
  };
  struct Kept {
    std::string key;
    std::unique_ptr<ssl_session_st, Free> session;
    int64_t shown_mono_ns = 0;  // the certificate was
  };
  void keep(const std::string& key, ssl_session_st* session, int64_t shown_mono_ns);
  const Kept* find(const std::string& key, int64_t mono_ns);  // null: none
  void drop(const std::string& key);

  const std::shared_ptr<const TlsTrust> trust_;

  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::list<Kept> sessions_;  // the one used last in front
  absl::flat_hash_map<std::string, std::list<Kept>::iterator> by_key_;
};

// The client's end of one TLS connection, as a machine without a socket: takes what was received,
// gives what is to be sent.
//
//   TlsChannel tls(context, peer, key, mono_ns);   // send take_output(): the ClientHello
//   on received:  tls.receive(bytes, plaintext); then send take_output(), if there is any;
//                 open() once: the handshake is done; failed(): close, words say why
//   to send:      tls.send(pieces, ciphertext)
//
// What receive() and send() append leaves in the order in which it was made.
class TlsChannel {
 public:
  // `key`: whom sessions are kept for and resumed with; never those of another host, nor such as
  // were made when something else was asked of its certificate. `peer` is not needed afterwards;
  // `mono_ns` is the time now. The context outlives the channel.
  TlsChannel(TlsContext& context, const TlsPeer& peer, std::string key, int64_t mono_ns);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  enum class State : uint8_t { handshake, open, ended, failed };
  // All of `ciphertext` is taken. Appends to `plaintext`, also where the state is ended (the peer
  // says that nothing more comes) or failed.
  State receive(std::string_view ciphertext, std::string& plaintext);
  // Appends records of at most 16 KiB each, in front of them what take_output() would
  // have given. False: it is not open (any more).
  bool send(std::span<const iovec> pieces, std::string& ciphertext);
  // What the machine itself has to say: the handshake, and answers to it later on.
  std::string take_output() { return std::exchange(output_, {}); }
  bool has_output() const { return !output_.empty(); }

  State state() const { return state_; }
  const std::string& why() const { return why_; }  // in words, when failed
  // What came first was no TLS: somebody has put bytes in clear behind what began it.
  bool in_clear() const { return in_clear_; }
  // A session was kept, and tried.
  bool tried_to_resume() const { return tried_to_resume_; }
  bool resumed() const;
  // Of the certificate, when something was asked of it; none before the handshake has come so far.
  TlsFault fault() const { return fault_; }
  // Failed for that.
  bool untrusted() const {
    return state_ == State::failed && enforced_ && fault_ != TlsFault::none;
  }
  // How the host has shown that it is the one; `nothing`: not at all, or it was not asked.
  TlsCheck verified() const { return verified_; }
  std::string_view protocol() const;  // "TLSv1.3"
  std::string_view cipher() const;    // "TLS_AES_256_GCM_SHA384"

 private:
  friend struct TlsCallbacks;  // OpenSSL's
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  void ask_for(const TlsPeer& peer);
  void step(std::string& plaintext);
  void handshake_done();
  void look_at_certificate();
  void fail(int result);
  void fail_with(std::string why);

  TlsContext& context_;
  std::string key_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string_view input_;  // during receive()
  std::string output_;
  std::string why_;
  const int64_t mono_ns_;           // when it began
  int64_t kept_shown_mono_ns_ = 0;  // of the session that is tried: its certificate was
  State state_ = State::handshake;
  TlsCheck check_ = TlsCheck::nothing;
  TlsCheck verified_ = TlsCheck::nothing;
  TlsFault fault_ = TlsFault::none;
  bool enforced_ = false;
  bool begun_ = false;  // something was received
  bool in_clear_ = false;
  bool tried_to_resume_ = false;
};

}  // namespace veredus::io
