#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace veredus::test {

// A TLS server over memory: OpenSSL's own, with a certificate that it signs itself.
class TlsServerContext {
 public:
  // `chain`: so many further certificates are sent behind its own.
  explicit TlsServerContext(int version = TLS1_3_VERSION, int chain = 0)
      : context_(SSL_CTX_new(TLS_server_method())) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("mx.test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(context_, certificate);
    SSL_CTX_use_PrivateKey(context_, key);
    for (int i = 0; i < chain; ++i) {
      X509_up_ref(certificate);
      SSL_CTX_add_extra_chain_cert(context_, certificate);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    SSL_CTX_set_session_id_context(context_, reinterpret_cast<const unsigned char*>("t"), 1);
  }
  ~TlsServerContext() { SSL_CTX_free(context_); }
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;
  SSL_CTX* get() { return context_; }

 private:
  SSL_CTX* context_;
};

// Somebody who signs certificates, and what he has signed last.
class TlsAuthority {
 public:
  explicit TlsAuthority(const std::string& name) : key_(EVP_EC_gen("P-256")) {
    own_ = make(key_, name, {}, -3600, 3600, true);
  }
  ~TlsAuthority() {
    X509_free(own_);
    EVP_PKEY_free(key_);
  }
  TlsAuthority(const TlsAuthority&) = delete;
  TlsAuthority& operator=(const TlsAuthority&) = delete;

  // Valid from so many seconds from now, until so many. Shown by servers of `context` from now on,
  // with the authority's own behind it.
  void issue(TlsServerContext& context, const std::vector<std::string>& names, long from = -3600,
             long until = 3600) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = make(key, "somebody", names, from, until, false);
    leaf_ = der_of(certificate);
    leaf_key_ = key_der_of(certificate);
    SSL_CTX_use_certificate(context.get(), certificate);
    SSL_CTX_use_PrivateKey(context.get(), key);
    SSL_CTX_clear_chain_certs(context.get());
    SSL_CTX_add1_chain_cert(context.get(), own_);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  std::string certificate() const { return der_of(own_); }
  const std::string& leaf() const { return leaf_; }
  const std::string& leaf_key() const { return leaf_key_; }
  // Writes the own certificate in PEM.
  void write(const std::string& file) const {
    FILE* const out = std::fopen(file.c_str(), "w");
    PEM_write_X509(out, own_);
    std::fclose(out);
  }

 private:
  X509* make(EVP_PKEY* key, const std::string& name, const std::vector<std::string>& names,
             long from, long until, bool authority) {
    X509* const certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(authority ? certificate : own_));
    if (authority) extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
    std::string all;
    for (const std::string& each : names) all += (all.empty() ? "DNS:" : ",DNS:") + each;
    if (!all.empty()) extend(certificate, NID_subject_alt_name, all);
    X509_sign(certificate, key_, EVP_sha256());
    return certificate;
  }
  static void extend(X509* certificate, int what, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static std::string der_of(X509* certificate) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return der;
  }
  static std::string key_der_of(X509* certificate) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return der;
  }

  EVP_PKEY* key_;
  X509* own_ = nullptr;
  std::string leaf_, leaf_key_;  // DER
  long serial_ = 0;
};

class TlsServer {
 public:
  explicit TlsServer(TlsServerContext& context)
      : ssl_(SSL_new(context.get())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_accept_state(ssl_);
  }
  ~TlsServer() {
    SSL_set_quiet_shutdown(ssl_, 1);
    SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // Takes what the client sent; what it says in it is appended to heard().
  void receive(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    char some[4096];
    for (int got; (got = SSL_read(ssl_, some, sizeof some)) > 0;)
      heard_.append(some, static_cast<size_t>(got));
    ERR_clear_error();
  }
  void say(std::string_view text) { SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }
  void say_goodbye() { SSL_shutdown(ssl_); }
  void ask_to_renegotiate() {
    SSL_renegotiate(ssl_);
    SSL_do_handshake(ssl_);
  }
  // What is to be sent to the client.
  std::string take() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  const std::string& heard() const { return heard_; }
  bool done() const { return SSL_is_init_finished(ssl_) == 1; }
  std::string server_name() const {
    const char* const name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? "" : name;
  }

 private:
  SSL* ssl_;
  BIO* in_;   // the SSL's
  BIO* out_;  // likewise
  std::string heard_;
};

}  // namespace veredus::test
