#include "engine/io/tls.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <cstring>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

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
    const unsigned char* ticket = nullptr;
    size_t bytes = 0;
    SSL_SESSION_get0_ticket(session, &ticket, &bytes);
    const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl);
    for (int i = 0; i < sk_X509_num(chain); ++i)
      bytes += static_cast<size_t>(std::max(0, i2d_X509(sk_X509_value(chain, i), nullptr)));
    if (bytes > TlsContext::kSessionBytesMax) return 0;
    channel.context_.keep(channel.key_, session,
                          channel.resumed() ? channel.kept_shown_mono_ns_ : channel.mono_ns_);
    return 1;
  }

  // Instead of OpenSSL's own verification, which costs more than the rest of a handshake and would
  // be made also where nobody asks for it. What is found stays with the SSL, and with its session.
  static int verify(X509_STORE_CTX* store, void*) {
    const auto* const ssl = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const TlsChannel& channel = of(SSL_get_rbio(ssl));
    if (channel.check_ == TlsCheck::nothing) return 1;
    if (sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) > TlsContext::kCertificatesMax) {
      // Before each of their signatures is looked at.
      X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
      return channel.enforced_ ? 0 : 1;
    }
    const int result = X509_verify_cert(store);
    if (result <= 0 && X509_STORE_CTX_get_error(store) == X509_V_OK)
      X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    return channel.enforced_ ? result : 1;
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
// trust

absl::StatusOr<std::shared_ptr<const TlsTrust>> TlsTrust::load(const std::string& file) {
  X509_STORE* const store = X509_STORE_new();
  if (store == nullptr) std::abort();  // no memory at start
  std::shared_ptr<const TlsTrust> trust(new TlsTrust(store));
  ERR_clear_error();
  if (X509_STORE_load_file(store, file.c_str()) == 1) return trust;
  const char* const why = ERR_reason_error_string(ERR_peek_last_error());
  std::string words = file + ": no certificate could be read from it (" +
                      (why == nullptr ? "no reason given" : why) +
                      "); install ca-certificates, or name another file of authorities";
  ERR_clear_error();
  return absl::InvalidArgumentError(words);
}

TlsTrust::~TlsTrust() {
  X509_STORE_free(store_);
}

// -------------------------------------------------------------------------------------------------
// context

void TlsContext::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}
void TlsContext::Free::operator()(ssl_session_st* session) const {
  SSL_SESSION_free(session);
}

TlsContext::TlsContext(std::shared_ptr<const TlsTrust> trust)
    : trust_(std::move(trust)), context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* const context = context_.get();
  // No memory at start, or no OpenSSL.
  if (context == nullptr || SSL_CTX_dane_enable(context) != 1) std::abort();
  // Names are not asked of whoever shows the very key that the record names (RFC 7672 §3.1.1).
  SSL_CTX_dane_set_flags(context, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
  if (trust_ != nullptr) SSL_CTX_set1_cert_store(context, trust_->store_);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
  // Buffers of 34 KiB are given back while nothing is under way.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_cert_verify_callback(context, TlsCallbacks::verify, nullptr);
  SSL_CTX_set_security_level(context, 0);
  // A server's own Diffie-Hellman group of 8,192 bits would hold the shard for half a second.
  if (SSL_CTX_set_cipher_list(context, "DEFAULT:!kDHE") != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1)
    std::abort();  // another OpenSSL
  SSL_CTX_set_verify_depth(context, kCertificatesMax);
  SSL_CTX_set_max_cert_list(context, kCertificateBytesMax);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, TlsCallbacks::session_made);
}

TlsContext::~TlsContext() = default;

void TlsContext::keep(const std::string& key, ssl_session_st* session, int64_t shown_mono_ns) {
  drop(key);
  sessions_.push_front({key, std::unique_ptr<ssl_session_st, Free>(session), shown_mono_ns});
  by_key_[key] = sessions_.begin();
  if (sessions_.size() > kSessionsMax) drop(std::string(sessions_.back().key));
}

const TlsContext::Kept* TlsContext::find(const std::string& key, int64_t mono_ns) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  if (mono_ns - found->second->shown_mono_ns >= kSessionNs) {
    drop(std::string(key));
    return nullptr;
  }
  sessions_.splice(sessions_.begin(), sessions_, found->second);
  return &*found->second;
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
  ERR_clear_error();
}

namespace {

// Of the records: a session that was made with others says nothing for these.
std::string digest_of(std::span<const dns::TlsaRecord> records) {
  std::string all;
  for (const dns::TlsaRecord& record : records) {
    all.append({static_cast<char>(record.usage), static_cast<char>(record.selector),
                static_cast<char>(record.matching)});
    all.append(std::to_string(record.data.size())).append(" ");
    all.append(record.data.begin(), record.data.end());
  }
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (EVP_Digest(all.data(), all.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1)
    return all;
  digest.resize(size);
  return digest;
}

TlsFault fault_of(long error) {
  switch (error) {
    case X509_V_OK:
      return TlsFault::none;
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return TlsFault::host_mismatch;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TlsFault::expired;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return TlsFault::not_trusted;
    default:
      return TlsFault::validation;
  }
}

}  // namespace

TlsChannel::TlsChannel(TlsContext& context, const TlsPeer& peer, std::string key, int64_t mono_ns)
    : context_(context),
      key_(std::move(key)),
      ssl_(SSL_new(context.context_.get())),
      mono_ns_(mono_ns) {
  BIO* const bio = ssl_ == nullptr ? nullptr : BIO_new(TlsCallbacks::method());
  if (bio == nullptr) {
    fail_with("no memory");
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  const std::string name(peer.server_name.substr(0, peer.server_name.find_last_not_of('.') + 1));
  if (peer.check != TlsCheck::nothing) ask_for(peer);
  if (!name.empty()) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
  // A copy: what one connection has resumed, OpenSSL lets no other one have (TLS 1.3), and those
  // beside it would do without until it gets a new ticket.
  if (const TlsContext::Kept* const kept = context_.find(key_, mono_ns)) {
    const std::unique_ptr<SSL_SESSION, TlsContext::Free> copy(SSL_SESSION_dup(kept->session.get()));
    tried_to_resume_ = copy != nullptr && SSL_set_session(ssl_.get(), copy.get()) == 1;
    kept_shown_mono_ns_ = kept->shown_mono_ns;
  }
  SSL_set_connect_state(ssl_.get());
  std::string nothing;
  step(nothing);
}

TlsChannel::~TlsChannel() = default;

// Weak keys and digests authenticate nobody: level 1 refuses what OpenSSL 3 itself does.
void TlsChannel::ask_for(const TlsPeer& peer) {
  check_ = peer.check;
  enforced_ = peer.enforced;
  SSL* const ssl = ssl_.get();
  if (check_ == TlsCheck::dane) {
    const std::string base(peer.server_name);
    SSL_dane_enable(ssl, base.c_str());
    size_t usable = 0;
    for (const dns::TlsaRecord& record : peer.records) {
      if (SSL_dane_tlsa_add(ssl, record.usage, record.selector, record.matching, record.data.data(),
                            record.data.size()) == 1)
        ++usable;
    }
    ERR_clear_error();
    if (usable == 0) {
      check_ = peer.otherwise;
      enforced_ = peer.otherwise_enforced;
      if (check_ == TlsCheck::nothing) return;
    }
  }
  key_.append(enforced_ ? " must" : " should");
  unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  if (check_ == TlsCheck::dane) {
    key_.append(" dane ").append(digest_of(peer.records));
  } else {
    key_.append(" authorities");
    flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;  // RFC 8461 §4.2; RFC 7672 §3.2.3 allows it
  }
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(wanted, flags);
  X509_VERIFY_PARAM_set1_host(wanted, nullptr, 0);
  assert(!peer.names[0].empty());  // any would do
  for (const std::string_view name : peer.names) {
    if (name.empty()) continue;
    key_.append(" ").append(name);
    X509_VERIFY_PARAM_add1_host(wanted, name.data(), name.size());
  }
  if (!enforced_) return;
  SSL_set_security_level(ssl, 1);
  SSL_clear_options(ssl, SSL_OP_LEGACY_SERVER_CONNECT);
  SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
}

// A session brings along what was found when it was made.
void TlsChannel::look_at_certificate() {
  if (check_ == TlsCheck::nothing) return;
  const long found = SSL_get_verify_result(ssl_.get());
  fault_ = fault_of(found);
  if (found == X509_V_OK) {
    verified_ = check_;
  } else if (enforced_) {
    context_.drop(key_);
    fail_with(X509_verify_cert_error_string(found));
  }
}

TlsChannel::State TlsChannel::receive(std::string_view ciphertext, std::string& plaintext) {
  if (state_ == State::ended || state_ == State::failed || ciphertext.empty()) return state_;
  // Records begin with their type: an alert, or a message of the handshake (RFC 8446 §5.1).
  constexpr std::string_view kFirst = "\x15\x16";
  if (!std::exchange(begun_, true) && kFirst.find(ciphertext[0]) == std::string_view::npos) {
    in_clear_ = true;
    fail_with("what came is no TLS");
    return state_;
  }
  const bool was_open = state_ == State::open;
  const bool had_output = has_output();
  input_ = ciphertext;
  step(plaintext);
  input_ = {};
  // OpenSSL answers each request to renegotiate by a refusal: they would pile up for a host that
  // asks, and does not read.
  if (was_open && !had_output && state_ == State::open && has_output())
    fail_with("the host asks to negotiate again");
  return state_;
}

void TlsChannel::step(std::string& plaintext) {
  ERR_clear_error();
  if (state_ == State::handshake) {
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) return fail(result);
    handshake_done();
  }
  while (state_ == State::open) {
    std::array<char, 4096> some;
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), some.data(), some.size(), &got);
    if (result != 1) return fail(result);
    plaintext.append(some.data(), got);
  }
}

void TlsChannel::handshake_done() {
  const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl_.get());
  if (chain != nullptr && sk_X509_num(chain) > TlsContext::kCertificatesMax) {
    context_.drop(key_);
    return fail_with("the host sends more than " + std::to_string(TlsContext::kCertificatesMax) +
                     " certificates");
  }
  state_ = State::open;
  look_at_certificate();
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
  const unsigned long error = ERR_peek_error();
  const char* words = ERR_reason_error_string(error);
  if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long found = SSL_get_verify_result(ssl_.get());
    fault_ = fault_of(found);
    words = X509_verify_cert_error_string(found);
  }
  fail_with(words == nullptr ? "the host broke it off" : words);
  ERR_clear_error();
}

void TlsChannel::fail_with(std::string why) {
  state_ = State::failed;
  why_ = std::move(why);
}

// Pieces are put together: a record for each would cost its 22 bytes and a call of the cipher.
bool TlsChannel::send(std::span<const iovec> pieces, std::string& ciphertext) {
  if (state_ != State::open) return false;
  size_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  constexpr size_t kRecordMore = 64;  // its header, type, padding and tag, or somewhat less
  output_.reserve(output_.size() + bytes + (bytes / SSL3_RT_MAX_PLAIN_LENGTH + 1) * kRecordMore);
  std::array<char, SSL3_RT_MAX_PLAIN_LENGTH> record;
  size_t filled = 0;
  const auto encrypt = [&](const char* from, size_t size) {
    ERR_clear_error();
    for (size_t done = 0, taken = 0; done < size; done += taken) {
      const int result = SSL_write_ex(ssl_.get(), from + done, size - done, &taken);
      if (result == 1) continue;
      fail(result);
      // It wants to read first: it has got a part of a message of the handshake.
      if (state_ == State::open) fail_with("a message of the host is cut off");
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
  if (ciphertext.empty()) {
    ciphertext.swap(output_);
  } else {
    ciphertext.append(output_);
  }
  std::string().swap(output_);
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
