// TLS as a server has it: OpenSSL between octets and octets. It knows no socket.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

namespace veredus::sink {

// The sink's certificate, made and self-signed at start (EC P-256, "sink.test"), and the key of its
// tickets, which is one for all threads. TLS 1.2 and 1.3 unless only one of them is wanted.
class TlsContext {
 public:
  // `version`: TLS1_2_VERSION or TLS1_3_VERSION; 0: both.
  explicit TlsContext(int version);
  // False: OpenSSL refused something.
  bool good() const { return good_; }
  SSL_CTX* get() const { return context_.get(); }

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  bool good_ = false;
};

// One connection's.
class TlsChannel {
 public:
  // The context outlives it.
  explicit TlsChannel(const TlsContext& context);

  // `ended`: the peer said goodbye (close_notify). `broken`: it sent nonsense or an alert.
  enum class State { open, ended, broken };

  // Takes what came from the peer. What it said is appended to `plaintext`; what is to be sent in
  // turn, an alert included, to `wire`.
  State receive(std::string_view in, std::string& plaintext, std::string& wire);
  // Encrypts `text` to the end of `wire`. Only once established().
  void send(std::string_view text, std::string& wire);
  // Says goodbye (close_notify), once.
  void end(std::string& wire);

  // The handshake is over.
  bool established() const { return SSL_is_init_finished(ssl_.get()) == 1; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

 private:
  void take_output(std::string& wire);

  std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  BIO* in_;   // the SSL's
  BIO* out_;  // likewise
  bool ended_ = false;
};

}  // namespace veredus::sink
