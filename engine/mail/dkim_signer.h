#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "engine/mail/dkim_canon.h"
#include "engine/mail/dkim_header.h"
#include "engine/mail/dkim_identity.h"
#include "engine/mail/piece.h"
#include "engine/mail/sha256.h"

namespace veredus::mail {

// Of a header with more fields than this among those to be signed no signature is made.
inline constexpr size_t kDkimHashedFieldsMax = 1000;

// Whether DkimSigner::sign() will find in the message what it needs, so that one that cannot be
// signed is refused before it is taken: a From field, and not more than kDkimHashedFieldsMax fields
// of those that `by` sign, or of the default ones when there are none. Date and Message-ID count
// also where they are not there, for they are added when the message is sent. `header_block`: clean
// lines up to the empty one; {{…}} may be in it. False: `why_not` (static) goes behind "the
// message".
bool can_be_signed(std::string_view header_block, std::string_view& why_not,
                   std::span<const DkimIdentity* const> by = {});

// What has been hashed of a body that is the same in many messages, by canonicalization. Filled as
// it is needed.
struct DkimBodyHashes {
  std::optional<Sha256Digest> simple;
  std::optional<Sha256Digest> relaxed;
  std::optional<Sha256Digest>& of(DkimCanon canon) {
    return canon == DkimCanon::relaxed ? relaxed : simple;
  }
};

// Makes DKIM-Signature fields (RFC 6376 §5). One per shard, not thread-safe: it has copies of its
// own of the keys, so that threads share none of the locks that OpenSSL has in them, and makes
// contexts once per key. It keeps no key alive: the copy of one that is gone goes with one of the
// next thousand calls of sign() (after a new key has come, with one of the next as many as there
// are keys), or when it is told to.
class DkimSigner {
 public:
  DkimSigner();
  ~DkimSigner();
  DkimSigner(const DkimSigner&) = delete;
  DkimSigner& operator=(const DkimSigner&) = delete;

  // Appends to `out` one field, with its CRLF, for each identity, in their order; they are to stand
  // in front of the message. `message`: clean bytes of a header and a body, not dot-stuffed.
  // Signatures that it carries already are not signed. `constant_body`: what is known of the body,
  // and filled with what is not; null: the body is hashed for this message alone.
  // Errors: InvalidArgument, the message cannot be signed (no From field, too many fields);
  // Internal, the library has failed. `out` is as it was then.
  absl::Status sign(std::span<const DkimIdentity* const> identities, std::span<const Piece> message,
                    int64_t wall_ns, DkimBodyHashes* constant_body, std::string& out);

  // To be called when identities have changed and nothing may be signed for a while.
  void forget_gone_keys();
  size_t copies() const { return keys_.size(); }  // of keys

 private:
  struct KeyCopy;
  static constexpr uint32_t kCallsBetweenLooks = 1'000;
  absl::Status append_signature(const DkimIdentity& identity, const Sha256Digest& body_hash,
                                int64_t wall_ns, std::string& out);
  absl::Status hash_body(DkimCanon canon, std::span<const Piece> message, Sha256Digest& out);
  absl::Status choose_fields(const DkimIdentity& identity);
  absl::StatusOr<KeyCopy*> copy_of(const std::shared_ptr<const DkimKey>& key);
  bool append_raw_signature(KeyCopy& key, std::string_view data, std::string& out);

  Sha256 sha_;
  DkimHeader header_;
  std::string hashed_;     // canonical fields; behind them the signature's own
  std::string names_;      // the value of h=
  std::string signature_;  // bytes, then base64
  std::string base64_;
  absl::flat_hash_map<const DkimKey*, std::unique_ptr<KeyCopy>> keys_;
  uint32_t calls_until_look_ = kCallsBetweenLooks;  // for keys that are gone
};

}  // namespace veredus::mail
