#include "tools/sink/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace veredus::sink {
namespace {

constexpr long kDay = 86400;

bool use_certificate(SSL_CTX* context) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(), X509_free);
  if (!key || !certificate) return false;
  X509* const x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(x), 30 * kDay);
  X509_set_pubkey(x, key.get());
  X509_NAME* const name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("sink.test"), -1, -1, 0);
  X509_set_issuer_name(x, name);
  return X509_sign(x, key.get(), EVP_sha256()) > 0 && SSL_CTX_use_certificate(context, x) == 1 &&
         SSL_CTX_use_PrivateKey(context, key.get()) == 1;
}

}  // namespace

TlsContext::TlsContext(int version) : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
  SSL_CTX* const context = context_.get();
  if (context == nullptr) return;
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // All that is resumed is in tickets: threads share nothing else.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  constexpr unsigned char kOurs[] = {'s'};
  good_ = SSL_CTX_set_min_proto_version(context, version == 0 ? TLS1_2_VERSION : version) == 1 &&
          SSL_CTX_set_max_proto_version(context, version == 0 ? TLS1_3_VERSION : version) == 1 &&
          SSL_CTX_set_session_id_context(context, kOurs, sizeof kOurs) == 1 &&
          use_certificate(context);
}

TlsChannel::TlsChannel(const TlsContext& context)
    : ssl_(SSL_new(context.get()), SSL_free),
      in_(BIO_new(BIO_s_mem())),
      out_(BIO_new(BIO_s_mem())) {
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_accept_state(ssl_.get());
}

TlsChannel::State TlsChannel::receive(std::string_view in, std::string& plaintext,
                                      std::string& wire) {
  if (!in.empty()) BIO_write(in_, in.data(), static_cast<int>(in.size()));
  ERR_clear_error();
  char some[16 * 1024];  // a record
  int got;
  while ((got = SSL_read(ssl_.get(), some, sizeof some)) > 0) {
    plaintext.append(some, static_cast<size_t>(got));
  }
  const int error = SSL_get_error(ssl_.get(), got);
  ERR_clear_error();
  take_output(wire);
  if (error == SSL_ERROR_WANT_READ) return State::open;
  return error == SSL_ERROR_ZERO_RETURN ? State::ended : State::broken;
}

void TlsChannel::send(std::string_view text, std::string& wire) {
  if (!text.empty()) SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size()));
  take_output(wire);
}

void TlsChannel::end(std::string& wire) {
  if (ended_ || !established()) return;
  ended_ = true;
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
  take_output(wire);
}

void TlsChannel::take_output(std::string& wire) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(out_, &text);
  if (size <= 0) return;
  wire.append(text, static_cast<size_t>(size));
  static_cast<void>(BIO_reset(out_));
}

}  // namespace veredus::sink
