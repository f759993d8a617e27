#include "bench/bare_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>

namespace veredus::bench {

BareTlsContext::BareTlsContext() : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<BareTlsSession*>(SSL_get_app_data(ssl))->reset(session);
    return 1;
  });
}

BareTls::BareTls(const BareTlsContext& context, BareTlsSession& kept)
    : ssl_(SSL_new(context.get())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
  SSL_set_bio(ssl_, in_, out_);
  SSL_set_app_data(ssl_, &kept);
  SSL_set_tlsext_host_name(ssl_, "mx.bench.test");
  if (kept) SSL_set_session(ssl_, kept.get());
  SSL_set_connect_state(ssl_);
  SSL_do_handshake(ssl_);
  ERR_clear_error();
}

BareTls::~BareTls() {
  SSL_set_quiet_shutdown(ssl_, 1);
  SSL_shutdown(ssl_);
  SSL_free(ssl_);
}

bool BareTls::receive(std::string_view in, std::string& plaintext) {
  BIO_write(in_, in.data(), static_cast<int>(in.size()));
  char some[4096];
  int got;
  while ((got = SSL_read(ssl_, some, sizeof some)) > 0) {
    plaintext.append(some, static_cast<size_t>(got));
  }
  const bool good = SSL_get_error(ssl_, got) == SSL_ERROR_WANT_READ;
  ERR_clear_error();
  // A goodbye ends it in order: the end of the connection follows.
  return good || (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void BareTls::write(const char* data, size_t size) {
  SSL_write(ssl_, data, static_cast<int>(size));
}

void BareTls::take(std::string& wire) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(out_, &text);
  wire.assign(text, size > 0 ? static_cast<size_t>(size) : 0);
  static_cast<void>(BIO_reset(out_));
}

}  // namespace veredus::bench
