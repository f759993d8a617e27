#pragma once

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

struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;

namespace veredus::io {

// What the TLS connections of a shard share: the settings of OpenSSL, and the sessions that can be
// resumed. One thread. TLS 1.2 and 1.3; no renegotiation, no compression (RFC 9325).
//
// Certificates are not verified: whoever wants no more than that nobody listens takes any
// (RFC 7435), and old algorithms rather than none.
class TlsContext {
 public:
  // Sessions kept for being resumed, the ones used last: some 2 to 6 KiB each.
  static constexpr size_t kSessionsMax = 4096;
  // A server's certificates, in number and in bytes.
  static constexpr int kCertificatesMax = 10;
  static constexpr long kCertificateBytesMax = 100 * 1024;

  TlsContext();
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
  };
  void keep(const std::string& key, ssl_session_st* session);
  ssl_session_st* find(const std::string& key);  // null: none
  void drop(const std::string& key);

  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::list<Kept> sessions_;  // the one used last in front
  absl::flat_hash_map<std::string, std::list<Kept>::iterator> by_key_;
};

// The client's end of one TLS connection, as a machine without a socket: takes what was received,
// gives what is to be sent.
//
//   TlsChannel tls(context, "mx.example.org", key);   // send take_output(): the ClientHello
//   on received:  tls.receive(bytes, plaintext); then send take_output(), if there is any;
//                 open() once: the handshake is done; failed(): close, words say why
//   to send:      tls.send(pieces, ciphertext)
//
// What receive() and send() append leaves in the order in which it was made.
class TlsChannel {
 public:
  // `server_name`: for SNI (RFC 6066), and left out if it is none. `key`: whom sessions are kept
  // for and resumed with; never those of another host. The context outlives the channel.
  TlsChannel(TlsContext& context, std::string_view server_name, std::string key);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  enum class State : uint8_t { handshake, open, ended, failed };
  // All of `ciphertext` is taken. Appends to `plaintext`, also where the state is ended (the peer
  // says that nothing more comes) or failed.
  State receive(std::string_view ciphertext, std::string& plaintext);
  // While open(): appends records of at most 16 KiB each, in front of them what take_output() would
  // have given. False: failed.
  bool send(std::span<const iovec> pieces, std::string& ciphertext);
  // What the machine itself has to say: the handshake, and answers to it later on.
  std::string take_output() { return std::exchange(output_, {}); }
  bool has_output() const { return !output_.empty(); }

  State state() const { return state_; }
  const std::string& why() const { return why_; }  // in words, when failed
  bool resumed() const;
  std::string_view protocol() const;  // "TLSv1.3"
  std::string_view cipher() const;    // "TLS_AES_256_GCM_SHA384"

 private:
  friend struct TlsCallbacks;  // OpenSSL's
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  void step(std::string& plaintext);
  void fail(int result);

  TlsContext& context_;
  const std::string key_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string_view input_;  // during receive()
  std::string output_;
  std::string why_;
  State state_ = State::handshake;
};

}  // namespace veredus::io
