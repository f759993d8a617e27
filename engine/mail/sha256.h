#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

struct evp_md_st;
struct evp_md_ctx_st;

namespace veredus::mail {

using Sha256Digest = std::array<uint8_t, 32>;

// SHA-256 of OpenSSL, for many messages one after the other: it looks its algorithm up and
// allocates once. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void begin();
  void update(const char* data, size_t size);
  // False: the library has failed somewhere since begin(), for want of memory.
  bool finish(Sha256Digest& out);

 private:
  evp_md_st* algorithm_ = nullptr;
  evp_md_ctx_st* context_ = nullptr;
  bool good_ = false;
};

}  // namespace veredus::mail
