#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/address.h"
#include "dns/lookup.h"
#include "dns/name.h"

namespace veredus::dns {

inline constexpr size_t kMaxAnswerRecords =
    512;  // records of one section that are looked at; the rest is left unread
inline constexpr unsigned kMaxAliases = 8;  // CNAMEs followed from one name

// Response codes (RFC 1035 §4.1.1; those of EDNS, RFC 6891, are larger than 15).
enum : uint16_t {
  kRcodeNoError = 0,
  kRcodeFormatError = 1,
  kRcodeServerFailure = 2,
  kRcodeNameError = 3,  // NXDOMAIN
  kRcodeNotImplemented = 4,
  kRcodeRefused = 5,
};
// "SERVFAIL" and the like; "an unknown code" for the others.
const char* rcode_text(uint16_t rcode);

struct MxRecord {
  uint16_t preference = 0;
  std::string name;  // normal form; empty: the root, "."
};

// RFC 6698 §2.1.
struct TlsaRecord {
  uint8_t usage = 0;
  uint8_t selector = 0;
  uint8_t matching = 0;
  std::vector<uint8_t> data;
  auto operator<=>(const TlsaRecord&) const = default;
};

// What one answer says about the name that was asked. Only the vector of the type asked for is
// filled.
struct Answer {
  uint16_t rcode = 0;
  bool truncated = false;  // TC: nothing else was read. Ask again over TCP, or later
  bool secure = false;   // AD: the resolver has validated it (RFC 4035 §3.2.3), if its word counts
  bool clipped = false;  // more than kMaxAnswerRecords
  unsigned aliases = 0;  // CNAMEs followed
  std::string canonical;  // the name at the end of them
  unsigned unusable =
      0;  // records of the type asked for that point to a name outside letters, digits, '-', '_'
  uint32_t ttl_s = 0;  // the least of all records used, aliases included
  bool has_soa =
      false;  // the answer proves that there is nothing, for negative_ttl_s (RFC 2308 §5)
  uint32_t negative_ttl_s = 0;

  std::vector<MxRecord> mx;          // as sent, neither sorted nor made unique
  std::vector<IpAddress> addresses;  // A or AAAA
  std::vector<std::string> txt;      // character strings of a record joined; arbitrary bytes
  std::vector<TlsaRecord> tlsa;
  std::string cname;  // when CNAME itself was asked

  bool has_records() const {
    return !mx.empty() || !addresses.empty() || !txt.empty() || !tlsa.empty() || !cname.empty() ||
           unusable > 0;
  }
};

enum class ParseStatus : uint8_t {
  ok,
  malformed,         // no DNS answer, or not to this question
  too_many_aliases,  // over kMaxAliases, or a loop
};

// Reads a raw message as the answer to (asked, type). `asked` in normal form. `out` is overwritten;
// reuse it to save allocations. Pure; takes any bytes; time and memory are bounded by the message's
// length and the limits above.
ParseStatus parse_answer(std::span<const uint8_t> raw, std::string_view asked, RecordType type,
                         Answer& out);

// The question of a raw message (query or answer). False if there is not exactly one, or its name
// is out of bounds.
bool parse_question(std::span<const uint8_t> raw, Name& name, uint16_t& type);

}  // namespace veredus::dns
