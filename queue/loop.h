#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace veredus::queue {

// Loop detection at the door (RFC 5321 §6.3), on the header block of a message. Pure. The other
// half, our own host among a domain's MX, is dns's.

// Fewer hops than this are no loop; Postfix's hopcount_limit is the same.
inline constexpr uint32_t kReceivedLimit = 50;
// The enhanced status code of every finding (RFC 3463 §3.5: routing loop detected).
inline constexpr std::string_view kLoopStatus = "5.4.6";
// The word that marks our own trace field, in a comment behind the by clause:
//   Received: by HOST (Veredus) id NODE-BATCH.INDEX; date
inline constexpr std::string_view kTraceWord = "Veredus";

struct LoopFinding {
  enum class Kind : uint8_t {
    none,
    too_many_hops,  // more than kReceivedLimit Received fields
    own_trace,      // one of them is ours
  };
  Kind kind = Kind::none;
  uint32_t received = 0;  // Received fields seen
  std::string
      reason;  // with status, for the refusal: "5.4.6 routing loop: 51 Received fields, limit 50"

  bool loop() const { return kind != Kind::none; }
};

// Looks through `header`, which ends at the first empty line (or with the text: a whole message may
// be given, the body is not looked at). Lines end in CRLF or LF; fields may be folded; names and
// words in any case; comments nest. Work is linear in the length of the header block. A field is a
// trace of ourselves when the host of its by clause is one of `own_names` (host names without
// trailing dot, any case) and kTraceWord stands in a comment between that host and the date; the
// same name under another server's word is a neighbour on our host, not a loop.
LoopFinding find_loop(std::string_view header, std::span<const std::string_view> own_names);

}  // namespace veredus::queue
