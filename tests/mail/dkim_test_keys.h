#pragma once

#include <memory>

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "engine/mail/dkim_key.h"

namespace veredus::mail::testing {

// A new key on each call.
inline std::shared_ptr<const DkimKey> rsa_key(unsigned bits) {
  return DkimKey::of(EVP_RSA_gen(bits)).value();
}
inline std::shared_ptr<const DkimKey> ed25519_key() {
  return DkimKey::of(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")).value();
}

}  // namespace veredus::mail::testing
