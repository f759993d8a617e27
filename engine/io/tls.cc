#include "engine/io/tls.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <cstring>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace veredus::io {

// What OpenSSL calls: it reads from what receive() was given, and writes to the channel's output.
struct TlsCallbacks {
  static int read(BIO* bio, char* to, size_t most, size_t* got) {
    std::string_view& input = of(bio).input_;
    BIO_clear_retry_flags(bio);
    *got = std::min(most, input.size());
    if (*got == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(to, input.data(), *got);
    input.remove_prefix(*got);
    return 1;
  }
  static int write(BIO* bio, const char* from, size_t size, size_t* taken) {
    BIO_clear_retry_flags(bio);
    of(bio).output_.append(from, size);
    *taken = size;
    return 1;
  }
  static long control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

  // A ticket came; with TLS 1.3 that is after the handshake. 1: we keep the reference.
  static int session_made(SSL* ssl, SSL_SESSION* session) {
    TlsChannel& channel = of(SSL_get_rbio(ssl));
    channel.context_.keep(channel.key_, session);
    return 1;
  }

  static TlsChannel& of(BIO* bio) { return *static_cast<TlsChannel*>(BIO_get_data(bio)); }
  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* const method =
          BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "veredus");
      if (method == nullptr) std::abort();  // no memory at start
      BIO_meth_set_read_ex(method, read);
      BIO_meth_set_write_ex(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

// -------------------------------------------------------------------------------------------------
// context

void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}
void TlsContext::Free::operator()(ssl_session_st* session) const {
  SSL_SESSION_free(session);
}

TlsContext::TlsContext() : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* const context = context_.get();
  if (context == nullptr) std::abort();  // no memory at start, or no OpenSSL
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Buffers of 34 KiB are given back while nothing is under way.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_max_cert_list(context, kCertificateBytesMax);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, TlsCallbacks::session_made);
}

TlsContext::~TlsContext() = default;

void TlsContext::keep(const std::string& key, ssl_session_st* session) {
  drop(key);
  sessions_.push_front({key, std::unique_ptr<ssl_session_st, Free>(session)});
  by_key_[key] = sessions_.begin();
  if (sessions_.size() > kSessionsMax) drop(std::string(sessions_.back().key));
}

ssl_session_st* TlsContext::find(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  sessions_.splice(sessions_.begin(), sessions_, found->second);
  return found->second->session.get();
}

void TlsContext::drop(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  sessions_.erase(found->second);
  by_key_.erase(found);
}

// -------------------------------------------------------------------------------------------------
// channel

void TlsChannel::Free::operator()(ssl_st* ssl) const {
  // Without this OpenSSL takes it for cut off, and marks its session as not to be resumed. Nothing
  // is sent: QUIT has said goodbye.
  SSL_set_quiet_shutdown(ssl, 1);
  SSL_shutdown(ssl);
  SSL_free(ssl);
}

TlsChannel::TlsChannel(TlsContext& context, std::string_view server_name, std::string key)
    : context_(context), key_(std::move(key)), ssl_(SSL_new(context.context_.get())) {
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(TlsCallbacks::method());
  if (bio == nullptr) {
    state_ = State::failed;
    why_ = "no memory";
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  const std::string name(server_name.substr(0, server_name.find_last_not_of('.') + 1));
  if (!name.empty()) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  if (SSL_SESSION* const kept = context_.find(key_)) SSL_set_session(ssl_.get(), kept);
  SSL_set_connect_state(ssl_.get());
  std::string nothing;
  step(nothing);
}

TlsChannel::~TlsChannel() = default;

TlsChannel::State TlsChannel::receive(std::string_view ciphertext, std::string& plaintext) {
  input_ = ciphertext;
  step(plaintext);
  input_ = {};
  return state_;
}

void TlsChannel::step(std::string& plaintext) {
  ERR_clear_error();
  if (state_ == State::handshake) {
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) return fail(result);
    const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl_.get());
    if (chain != nullptr && sk_X509_num(chain) > TlsContext::kCertificatesMax) {
      state_ = State::failed;
      why_ = "the host sends more than " + std::to_string(TlsContext::kCertificatesMax) +
             " certificates";
      return;
    }
    state_ = State::open;
  }
  while (state_ == State::open) {
    std::array<char, 4096> some;
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), some.data(), some.size(), &got);
    if (result != 1) return fail(result);
    plaintext.append(some.data(), got);
  }
}

// Why OpenSSL went no further: nearly always there is nothing to read at the moment.
void TlsChannel::fail(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return;
    case SSL_ERROR_ZERO_RETURN:
      state_ = State::ended;
      return;
    default:
      break;
  }
  // A session that the host chokes on is not tried again.
  if (state_ == State::handshake) context_.drop(key_);
  state_ = State::failed;
  const unsigned long error = ERR_peek_error();
  const char* const words = ERR_reason_error_string(error);
  why_ = words == nullptr ? "the host broke it off" : words;
  ERR_clear_error();
}

// Pieces are put together: a record for each would cost its 22 bytes and a call of the cipher.
bool TlsChannel::send(std::span<const iovec> pieces, std::string& ciphertext) {
  assert(state_ == State::open);
  std::array<char, SSL3_RT_MAX_PLAIN_LENGTH> record;
  size_t filled = 0;
  const auto encrypt = [&](const char* bytes, size_t size) {
    ERR_clear_error();
    for (size_t done = 0, taken = 0; done < size; done += taken) {
      const int result = SSL_write_ex(ssl_.get(), bytes + done, size - done, &taken);
      if (result == 1) continue;
      fail(result);
      return false;
    }
    return true;
  };
  for (const iovec& piece : pieces) {
    std::string_view rest(static_cast<const char*>(piece.iov_base), piece.iov_len);
    while (!rest.empty()) {
      if (filled == 0 && rest.size() >= record.size()) {
        if (!encrypt(rest.data(), record.size())) return false;
        rest.remove_prefix(record.size());
        continue;
      }
      const size_t some = std::min(rest.size(), record.size() - filled);
      std::memcpy(record.data() + filled, rest.data(), some);
      filled += some;
      rest.remove_prefix(some);
      if (filled < record.size()) continue;
      if (!encrypt(record.data(), filled)) return false;
      filled = 0;
    }
  }
  if (filled > 0 && !encrypt(record.data(), filled)) return false;
  ciphertext.append(output_);
  output_.clear();
  return true;
}

bool TlsChannel::resumed() const {
  return SSL_session_reused(ssl_.get()) == 1;
}
std::string_view TlsChannel::protocol() const {
  return SSL_get_version(ssl_.get());
}
std::string_view TlsChannel::cipher() const {
  const char* const name = SSL_get_cipher_name(ssl_.get());
  return name == nullptr ? "" : name;
}

}  // namespace veredus::io
