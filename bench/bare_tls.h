// TLS for the bare client: OpenSSL with memory BIOs and nothing around it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

namespace veredus::bench {

// What all connections share: TLS 1.3, no certificate is looked at.
class BareTlsContext {
 public:
  BareTlsContext();
  SSL_CTX* get() const { return context_.get(); }

 private:
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
};

using BareTlsSession = std::unique_ptr<SSL_SESSION, void (*)(SSL_SESSION*)>;

// One connection's. `kept` gets the newest ticket, and is resumed if there is one; it must outlive
// this and stay where it is.
class BareTls {
 public:
  BareTls(const BareTlsContext& context, BareTlsSession& kept);
  ~BareTls();
  BareTls(const BareTls&) = delete;
  BareTls& operator=(const BareTls&) = delete;

  // Goes on with the handshake, or reads, by what came; `plaintext` is appended to. False: it
  // failed.
  bool receive(std::string_view in, std::string& plaintext);
  bool established() const { return SSL_is_init_finished(ssl_) == 1; }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  void write(const char* data, size_t size);
  // What is to be sent; replaces `wire`.
  void take(std::string& wire);

 private:
  SSL* ssl_;
  BIO* in_;   // the SSL's
  BIO* out_;  // likewise
};

}  // namespace veredus::bench
