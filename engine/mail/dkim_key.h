#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

struct evp_pkey_st;

namespace veredus::mail {

// Signature algorithms of DKIM that are still in use (RFC 8301 §3.1, RFC 8463 §3).
enum class DkimAlgorithm : uint8_t { rsa_sha256, ed25519_sha256 };

// "rsa-sha256", "ed25519-sha256": the value of a=.
std::string_view dkim_algorithm_name(DkimAlgorithm algorithm);

// RFC 8301 §3.2: shorter ones must not be used, longer ones many verifiers cannot. Signers should
// have 2048.
inline constexpr unsigned kDkimRsaBitsMin = 1024;
inline constexpr unsigned kDkimRsaBitsMax = 4096;
inline constexpr size_t kDkimKeyFileMax = 64 * 1024;  // bytes of PEM text

// A private key that signs. Immutable; shared between threads, each of which signs with a copy of
// its own (DkimSigner).
class DkimKey {
 public:
  // Of PEM text (PKCS#8, or RSA's own PKCS#1), without a passphrase; the first private key in it.
  // It is whole: it has signed, and its public part has verified that.
  // The error says what is wrong with it and what to do: it goes behind the name of its file.
  static absl::StatusOr<std::shared_ptr<const DkimKey>> parse(std::string_view pem);

  // Of a key that somebody has made; takes it over, also when it is refused.
  static absl::StatusOr<std::shared_ptr<const DkimKey>> of(evp_pkey_st* key);

  ~DkimKey();
  DkimKey(const DkimKey&) = delete;
  DkimKey& operator=(const DkimKey&) = delete;

  DkimAlgorithm algorithm() const { return algorithm_; }
  unsigned bits() const { return bits_; }  // 256 of Ed25519
  // What the DNS is to say at SELECTOR._domainkey.DOMAIN (RFC 6376 §3.6.1, RFC 8463 §4):
  // "v=DKIM1; k=rsa; p=…". Longer than a string of a TXT record may be (255 bytes).
  const std::string& public_record() const { return public_record_; }
  evp_pkey_st* native() const { return key_; }  // not to be changed

 private:
  explicit DkimKey(evp_pkey_st* key) : key_(key) {}
  bool make_record();

  evp_pkey_st* key_;
  DkimAlgorithm algorithm_ = DkimAlgorithm::rsa_sha256;
  unsigned bits_ = 0;
  std::string public_record_;
};

}  // namespace veredus::mail
