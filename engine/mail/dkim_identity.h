#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/mail/dkim_key.h"

namespace veredus::mail {

inline constexpr size_t kDkimSignaturesMax = 4;    // of ours, in one message
inline constexpr size_t kDkimNamedFieldsMax = 64;  // of each of the two lists
inline constexpr size_t kDkimFieldNameMax = 64;    // bytes
inline constexpr int64_t kDkimLifetimeMin =
    3'600'000'000'000;  // ns: mail may wait longer than this

// The fields that matter to whoever reads a message, or to his programs (RFC 6376 §5.4.1), and
// those that receivers want covered (List-Unsubscribe and List-Unsubscribe-Post: RFC 8058 §4). In
// small letters, in the order of h=.
const std::vector<std::string>& default_signed_fields();
// Those of which another one would be believed, or obeyed: nobody can add one to what we signed.
const std::vector<std::string>& default_oversigned_fields();

// Who signs, and how.
struct DkimIdentity {
  std::string name;      // in the configuration and in a batch's `dkim`
  std::string domain;    // d=, in small A-labels
  std::string selector;  // s=
  bool relaxed_header = true;
  bool relaxed_body = true;
  int64_t lifetime_ns = 0;  // x= is the time of signing and this; 0: no x=
  // In small letters: signed when they are in the message, each as often as it is there.
  std::vector<std::string> signed_fields = default_signed_fields();
  // … and named once more than it is there, so that a further one breaks the signature (RFC 6376
  // §8.15).
  std::vector<std::string> oversigned_fields = default_oversigned_fields();
  std::shared_ptr<const DkimKey> key;
  // The file that the key was read from, and what tells it from another one: for whoever reads it
  // again.
  std::string key_file, key_mark;
};

// Without keys nobody signs; who would is known all the same.
enum class DkimKeys : uint8_t { needed, optional };

// What is wrong with an identity: it goes behind its name.
absl::Status check_dkim_identity(const DkimIdentity& identity, DkimKeys keys = DkimKeys::needed);

// All identities of a configuration. Immutable; shared between shards.
class DkimIdentities {
 public:
  DkimIdentities() = default;
  // The error names the identity. Refused besides: a name twice, more than kDkimSignaturesMax of
  // one domain.
  static absl::StatusOr<DkimIdentities> make(std::vector<DkimIdentity> identities,
                                             DkimKeys keys = DkimKeys::needed);

  bool empty() const { return all_.empty(); }
  const std::vector<std::unique_ptr<const DkimIdentity>>& all() const { return all_; }

  const DkimIdentity* named(std::string_view name) const;  // null: there is none
  // Those that may sign for an author: whose d= is the domain of From, or a parent of it (relaxed
  // alignment, RFC 7489 §3.1.1), of these the ones with the longest d=, all of them: a domain with
  // an RSA and an Ed25519 key signs with both. `domain` in any case; U-labels are looked up as
  // A-labels.
  std::span<const DkimIdentity* const> for_author(std::string_view domain) const;

 private:
  std::vector<std::unique_ptr<const DkimIdentity>> all_;
  absl::flat_hash_map<std::string, const DkimIdentity*> by_name_;
  absl::flat_hash_map<std::string, std::vector<const DkimIdentity*>> by_domain_;
};

}  // namespace veredus::mail
