#include "engine/mail/sha256.h"

#include <openssl/evp.h>

namespace veredus::mail {

Sha256::Sha256()
    : algorithm_(EVP_MD_fetch(nullptr, "SHA2-256", nullptr)), context_(EVP_MD_CTX_new()) {}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
  EVP_MD_free(algorithm_);
}

void Sha256::begin() {
  good_ = context_ != nullptr && algorithm_ != nullptr &&
          EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1;
}

void Sha256::update(const char* data, size_t size) {
  good_ = good_ && EVP_DigestUpdate(context_, data, size) == 1;
}

bool Sha256::finish(Sha256Digest& out) {
  unsigned size = 0;
  return good_ && EVP_DigestFinal_ex(context_, out.data(), &size) == 1 && size == out.size();
}

}  // namespace veredus::mail
