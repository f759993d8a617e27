#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace veredus::queue {

// Where bytes lie in a journal: the payload of a frame, or a page within an extent.
struct Location {
  uint16_t journal = 0;
  uint32_t segment = 0;
  uint32_t offset = 0;  // from the start of the segment file
  uint32_t length = 0;  // 0: nowhere
  bool operator==(const Location&) const = default;
};

// Flags of stored content: of a batch's message, or of a recipient's own.
enum ContentFlags : uint8_t {
  kContentEightBit = 1,      // has bytes over 127: needs 8BITMIME
  kContentDotLines = 2,      // has a line that starts with '.': needs dot-stuffing under DATA
  kContentMerge = 4,         // {{…}} is replaced
  kContentNoDate = 8,        // has no Date field: one is added, the same at every attempt
  kContentNoMessageId = 16,  // likewise Message-ID
  // Has UTF-8 in its header (RFC 6532), outside of {{…}} that is replaced: needs SMTPUTF8.
  kContentHeaderUtf8 = 32,
};

// What receivers are asked to tell the sender about delivery (RFC 3461). The numbers are stored.
enum DsnNotify : uint8_t { kDsnNever = 1, kDsnSuccess = 2, kDsnFailure = 4, kDsnDelay = 8 };
enum class DsnReturn : uint8_t { not_said = 0, full = 1, headers = 2 };
struct Dsn {
  uint8_t notify = 0;  // DsnNotify; 0: not said. kDsnNever stands alone
  DsnReturn ret = DsnReturn::not_said;
  std::string envid;  // as fed, not as xtext; empty: none
  bool asked() const { return notify != 0 || ret != DsnReturn::not_said || !envid.empty(); }
  bool operator==(const Dsn&) const = default;
};

// The batch line of feed.md as it is kept: everything about a batch but its recipients and its
// outcome. Immutable once the batch exists; shared by all shards.
struct Batch {
  uint64_t number = 0;  // unique in the spool, ascending
  std::string tenant = "default";
  std::string name;
  std::string campaign;
  std::string sender;  // reverse-path, may hold {{slots}}; empty: the null sender
  std::string pool = "default";
  std::string tags_json;  // as fed, compact JSON text; empty: none
  std::string meta_json;
  Dsn dsn;
  // Signing identities that were asked for; empty: those configured for the From domain, or, with
  // dkim_none, nobody.
  std::vector<std::string> dkim;
  bool dkim_none = false;
  std::vector<std::pair<std::string, std::string>> vars;  // defaults for merge, in the order fed
  uint8_t priority = 50;                                  // 0–100
  bool verp = false;
  bool unique = false;
  bool tls_required = false;
  bool sender_has_slots = false;
  int64_t accepted_wall_ns = 0;    // Unix time; when the batch line was read
  int64_t not_before_wall_ns = 0;  // 0: at once
  int64_t expires_wall_ns = 0;
  Location content;  // the batch's message; length 0: every recipient carries its own
  // node@host, of Message-IDs that are added: as they were called then, so that they stay the same
  // at every attempt. Empty: accepted before this was kept.
  std::string origin;
  uint8_t content_flags = 0;  // ContentFlags
  uint32_t content_sum = 0;   // CRC-32C of the message's bytes
};

// Payload of a `batch` frame: version byte, then tagged fields; unknown tags are skipped on
// reading.
void encode_batch(const Batch& batch, std::string& out);
absl::StatusOr<Batch> decode_batch(std::string_view bytes);

// Payload of a `commit` frame: with it the batch exists.
struct Commit {
  uint64_t number = 0;    // of the batch
  uint32_t accepted = 0;  // recipients
  uint32_t refused = 0;
  uint32_t extents = 0;       // that must be found, over all journals
  uint64_t extent_bytes = 0;  // of their payloads; 0: written before this was kept
  std::string body_sha256;    // 32 bytes, of the request body
  std::string answer_json;    // the stored answer, replayed to a feeder that asks again
  uint64_t last_order = 0;    // of operators, given before: but for suspensions they do not hold
};
void encode_commit(const Commit& commit, std::string& out);
absl::StatusOr<Commit> decode_commit(std::string_view bytes);

}  // namespace veredus::queue
