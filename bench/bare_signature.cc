#include "bench/bare_signature.h"

#include <openssl/pem.h>
#include <stdio.h>

namespace veredus::bench {

bool BareSignature::read_key(const std::string& path) {
  FILE* file = fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  key_.reset(PEM_read_PrivateKey(file, nullptr, nullptr, nullptr));
  fclose(file);
  if (!key_ || EVP_PKEY_is_a(key_.get(), "RSA") != 1) return false;
  sha256_.reset(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  hash_.reset(EVP_MD_CTX_new());
  signing_.reset(EVP_MD_CTX_new());
  signature_.resize(static_cast<size_t>(EVP_PKEY_get_size(key_.get())));
  return sha256_ && hash_ && signing_ &&
         EVP_DigestSignInit(signing_.get(), nullptr, sha256_.get(), nullptr, key_.get()) == 1;
}

bool BareSignature::sign(std::string_view content, bool known) {
  const size_t header = content.find("\r\n\r\n");
  if (header == content.npos) return false;
  const std::string_view body = content.substr(header + 4);
  unsigned char digest[EVP_MAX_MD_SIZE];
  const bool hashed = known || (EVP_DigestInit_ex2(hash_.get(), sha256_.get(), nullptr) == 1 &&
                                EVP_DigestUpdate(hash_.get(), body.data(), body.size()) == 1 &&
                                EVP_DigestFinal_ex(hash_.get(), digest, nullptr) == 1);
  size_t size = signature_.size();
  // To begin again with the same key takes no key (EVP_DigestSignInit(3)).
  return hashed && EVP_DigestSignInit(signing_.get(), nullptr, nullptr, nullptr, nullptr) == 1 &&
         EVP_DigestSign(signing_.get(), signature_.data(), &size,
                        reinterpret_cast<const unsigned char*>(content.data()), header + 2) == 1;
}

}  // namespace veredus::bench
