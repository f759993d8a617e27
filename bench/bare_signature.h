// What a DKIM signature cannot cost less than: OpenSSL's part of it, and nothing around that.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

namespace veredus::bench {

// A key, and contexts that are made once. For each content the bare SHA-256 of its body and the
// bare EVP_DigestSign over its header: no canonicalization, no field is written.
class BareSignature {
 public:
  // Reads a private RSA key (PEM). False: it cannot be used.
  bool read_key(const std::string& path);
  // `content` has a header and a body; the body is not hashed if it is `known`. False: OpenSSL
  // failed.
  bool sign(std::string_view content, bool known);

 private:
  template <typename T>
  using Owned = std::unique_ptr<T, void (*)(T*)>;

  Owned<EVP_PKEY> key_{nullptr, EVP_PKEY_free};
  Owned<EVP_MD> sha256_{nullptr, EVP_MD_free};
  Owned<EVP_MD_CTX> hash_{nullptr, EVP_MD_CTX_free};
  Owned<EVP_MD_CTX> signing_{nullptr, EVP_MD_CTX_free};
  std::vector<unsigned char> signature_;
};

}  // namespace veredus::bench
