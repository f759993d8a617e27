#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace veredus::queue {

// What became of one attempt, or of a recipient. The numbers are stored: never renumber.
enum class OutcomeType : uint8_t {
  delivered = 1,
  deferred = 2,  // later; next_due_wall_ns says when
  failed = 3,    // never
  expired = 4,
  cancelled = 5,
  in_doubt = 6,  // the connection was lost between the final dot and its reply (RFC 1047)
  suppressed = 7,
};
// Ends the recipient's wait for good (everything but deferred, and in_doubt under the policy
// `retry`).
constexpr bool is_final(OutcomeType type) {
  return type != OutcomeType::deferred && type != OutcomeType::in_doubt;
}

// Phases of an attempt, in microseconds; kNotReached where it did not get so far.
inline constexpr uint32_t kNotReached = 0xffffffff;
struct Timing {
  uint32_t queued_us = kNotReached;  // from due to the lane taking it up
  uint32_t dns_us = kNotReached;
  uint32_t connect_us = kNotReached;
  uint32_t tls_us = kNotReached;
  uint32_t mail_us = kNotReached;  // MAIL and RCPT
  uint32_t data_us = kNotReached;  // DATA to its reply
  uint32_t dot_us = kNotReached;   // content out to its reply
};

// One outcome as it is stored and read back. The views point into the frame (reading) or to the
// caller's (writing).
struct Outcome {
  OutcomeType type = OutcomeType::deferred;
  uint8_t kind = 0;          // smtp::Kind: hard, soft, block, other (numbers stored)
  uint8_t bounce_class = 0;  // smtp::BounceClass (numbers stored)
  uint8_t stage = 0;         // smtp::Phase of the command that decided it
  uint16_t attempt = 0;
  uint16_t code = 0;                   // SMTP reply code; 0: decided without a reply
  std::array<uint16_t, 3> enhanced{};  // {0,0,0}: none
  uint64_t batch = 0;                  // number
  uint32_t index = 0;
  uint32_t segment = 0;  // where the recipient's entry lies in this journal …
  uint32_t page_offset = 0;
  uint32_t entry_offset = 0;
  uint32_t bytes = 0;  // content handed over
  int64_t wall_ns = 0;
  int64_t next_due_wall_ns = 0;  // deferred and in_doubt only
  Timing timing;
  std::string_view text;  // of the reply or the reason; capped at kOutcomeTextMax
  std::string_view rule;  // of the verdict
  std::string_view mx_name;
  std::string_view mx_address;  // numeric, as text
  std::string_view site;
  std::string_view source;
  // Protocol, cipher and, if the host was verified, by what (dane, authorities), parted by blanks;
  // empty: it did not go under TLS.
  std::string_view tls;
};
inline constexpr size_t kOutcomeTextMax = 512;

// What is written as the difference to the outcome before.
struct OutcomePlace {
  uint64_t batch = 0;
  uint32_t index = 0, segment = 0, page_offset = 0;
};

// Builds the payload of one `outcomes` frame: version, base time, then entries. Strings that repeat
// within the frame (rule, mx, site, source, tls) are written once. A delivered outcome with a short
// reply costs about 48 bytes.
class OutcomeWriter {
 public:
  void add(const Outcome& outcome);
  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  size_t bytes() const { return used_; }  // about what take() would give
  // Puts the payload so far into `out` (replacing it), and starts afresh. Keeps its memory.
  void take(std::string& out);

 private:
  struct StringAt {
    uint32_t offset, length;  // in bytes_, where it was written first
  };
  static constexpr size_t kStringsOfEntry = 6;
  char* store_string(char* at, size_t place, std::string_view text);
  std::string bytes_;  // the first used_ of them; then room
  size_t used_ = 0;
  std::vector<StringAt> strings_;
  std::array<uint32_t, 256> known_{};               // by hash: number of a string, 0: none
  std::array<uint32_t, kStringsOfEntry> before_{};  // those of the last entry; 0: none
  OutcomePlace last_;
  int64_t base_wall_ns_ = 0;
  uint32_t count_ = 0;
};

// How many outcomes a payload says that it holds; 0 when it is none of ours.
uint32_t outcomes_in(std::string_view payload);

// Reads such a payload one outcome at a time.
class OutcomeReader {
 public:
  explicit OutcomeReader(std::string_view payload);
  // False at the end, or at damage: then status() is not ok.
  bool next(Outcome& outcome);
  const absl::Status& status() const { return status_; }

 private:
  bool read_string(class ByteReader& in, std::string_view& text);
  bool damaged();
  std::string_view rest_;
  std::vector<std::string_view> strings_;
  OutcomePlace last_;
  int64_t base_wall_ns_ = 0;
  uint32_t left_ = 0;
  uint16_t fields_ = 0;  // that entries of this version may have
  absl::Status status_;
};

}  // namespace veredus::queue
