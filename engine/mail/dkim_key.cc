#include "engine/mail/dkim_key.h"

#include <array>
#include <memory>
#include <string>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "engine/mail/content.h"

namespace veredus::mail {
namespace {

// A key with a passphrase must not make OpenSSL ask for it at the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

struct FreeNumber {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};
using Number = std::unique_ptr<BIGNUM, FreeNumber>;

Number number_of(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  return Number(EVP_PKEY_get_bn_param(key, name, &number) == 1 ? number : nullptr);
}

// Whether the numbers that make an RSA key fast (RFC 8017 §3.2) belong to it. With a wrong one
// OpenSSL signs well, and much slower. Keys of three primes, or without those numbers, are not
// looked at.
bool fast_numbers_fit(EVP_PKEY* key) {
  const Number n = number_of(key, OSSL_PKEY_PARAM_RSA_N), d = number_of(key, OSSL_PKEY_PARAM_RSA_D),
               p = number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR1),
               q = number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR2),
               dp = number_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT1),
               dq = number_of(key, OSSL_PKEY_PARAM_RSA_EXPONENT2),
               q_inverse = number_of(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);
  if (!n || !d || !p || !q || !dp || !dq || !q_inverse) return true;
  if (number_of(key, OSSL_PKEY_PARAM_RSA_FACTOR3)) return true;
  const Number made(BN_secure_new()), less(BN_secure_new());
  const std::unique_ptr<BN_CTX, decltype(&BN_CTX_free)> context(BN_CTX_secure_new(), &BN_CTX_free);
  if (!made || !less || !context) return false;
  const auto fits = [&](const Number& prime, const Number& exponent) {
    return BN_sub(less.get(), prime.get(), BN_value_one()) == 1 &&
           BN_mod(made.get(), d.get(), less.get(), context.get()) == 1 &&
           BN_cmp(made.get(), exponent.get()) == 0;
  };
  return BN_mul(made.get(), p.get(), q.get(), context.get()) == 1 &&
         BN_cmp(made.get(), n.get()) == 0 && fits(p, dp) && fits(q, dq) &&
         BN_mod_mul(made.get(), q.get(), q_inverse.get(), p.get(), context.get()) == 1 &&
         BN_is_one(made.get());
}

// Whether what the key signs is what its public part verifies. (EVP_PKEY_pairwise_check looks for
// primes, too, which takes half a second of a large key.)
bool signs_what_it_verifies(EVP_PKEY* key, DkimAlgorithm algorithm) {
  const EVP_MD* const hash = algorithm == DkimAlgorithm::rsa_sha256 ? EVP_sha256() : nullptr;
  constexpr std::array<unsigned char, 4> kText = {'t', 'e', 's', 't'};
  std::array<unsigned char, kDkimRsaBitsMax / 8> signature{};
  size_t size = signature.size();
  using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;
  const Context signing(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const Context verifying(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return signing && verifying &&
         EVP_DigestSignInit(signing.get(), nullptr, hash, nullptr, key) == 1 &&
         EVP_DigestSign(signing.get(), signature.data(), &size, kText.data(), kText.size()) == 1 &&
         EVP_DigestVerifyInit(verifying.get(), nullptr, hash, nullptr, key) == 1 &&
         EVP_DigestVerify(verifying.get(), signature.data(), size, kText.data(), kText.size()) == 1;
}

}  // namespace

std::string_view dkim_algorithm_name(DkimAlgorithm algorithm) {
  return algorithm == DkimAlgorithm::ed25519_sha256 ? "ed25519-sha256" : "rsa-sha256";
}

absl::StatusOr<std::shared_ptr<const DkimKey>> DkimKey::parse(std::string_view pem) {
  if (pem.size() > kDkimKeyFileMax) {
    return absl::InvalidArgumentError("is no key: it has over 64 KiB");
  }
  BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  if (bio == nullptr) return absl::ResourceExhaustedError("out of memory");
  bool passphrase = false;
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio, nullptr, no_passphrase, &passphrase);
  BIO_free(bio);
  ERR_clear_error();
  if (key != nullptr) return of(key);
  if (passphrase) {
    return absl::InvalidArgumentError(
        "is protected by a passphrase, which nobody could type: write it without one (openssl pkey "
        "-in FILE -out NEW), readable by the engine only");
  }
  if (pem.find("-----BEGIN PUBLIC KEY") != std::string_view::npos) {
    return absl::InvalidArgumentError("has a public key; signing needs the private one");
  }
  return absl::InvalidArgumentError(
      "has no private key in PEM form (-----BEGIN PRIVATE KEY-----); `veredus dkim keygen` makes "
      "one");
}

absl::StatusOr<std::shared_ptr<const DkimKey>> DkimKey::of(evp_pkey_st* native) {
  std::shared_ptr<DkimKey> key(new DkimKey(native));
  key->bits_ = static_cast<unsigned>(EVP_PKEY_get_bits(native));
  if (EVP_PKEY_is_a(native, "ED25519") == 1) {
    key->algorithm_ = DkimAlgorithm::ed25519_sha256;
    key->bits_ = 256;
  } else if (EVP_PKEY_is_a(native, "RSA") == 1) {
    key->algorithm_ = DkimAlgorithm::rsa_sha256;
    if (key->bits_ < kDkimRsaBitsMin || key->bits_ > kDkimRsaBitsMax) {
      return absl::InvalidArgumentError(
          "has an RSA key of " + std::to_string(key->bits_) +
          " bits; 1024 to 4096 are allowed, 2048 are best (RFC 8301 section 3.2)");
    }
  } else {
    const char* const type = EVP_PKEY_get0_type_name(native);
    return absl::InvalidArgumentError("has a key of type " +
                                      std::string(type != nullptr ? type : "unknown") +
                                      "; DKIM takes RSA and Ed25519");
  }
  if (!key->make_record()) {
    ERR_clear_error();
    return absl::InvalidArgumentError("has a key without a public part");
  }
  const bool whole = signs_what_it_verifies(native, key->algorithm_) && fast_numbers_fit(native);
  ERR_clear_error();
  if (whole) return key;
  return absl::InvalidArgumentError(
      "has a damaged key: what it signs does not fit its public part; write it anew from where it "
      "is kept, or make another (veredus dkim keygen) and publish its record");
}

DkimKey::~DkimKey() {
  EVP_PKEY_free(key_);
}

bool DkimKey::make_record() {
  std::string bytes;
  if (algorithm_ == DkimAlgorithm::ed25519_sha256) {
    // The bare key, no SubjectPublicKeyInfo around it (RFC 8463 §4).
    std::array<unsigned char, 32> raw{};
    size_t size = raw.size();
    if (EVP_PKEY_get_raw_public_key(key_, raw.data(), &size) != 1) return false;
    bytes.assign(reinterpret_cast<const char*>(raw.data()), size);
    public_record_ = "v=DKIM1; k=ed25519; p=";
  } else {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key_, &der);
    if (size <= 0) return false;
    bytes.assign(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    public_record_ = "v=DKIM1; k=rsa; p=";
  }
  append_base64(bytes, public_record_);
  return true;
}

}  // namespace veredus::mail
