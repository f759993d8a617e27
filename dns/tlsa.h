#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/answer.h"
#include "dns/lookup.h"
#include "dns/name.h"

namespace veredus::dns {

inline constexpr size_t kMaxTlsaRecords = 64;     // usable ones of a host that are kept
inline constexpr size_t kMaxTlsaBytes = 1 << 14;  // of association data in them together

// The numbers of RFC 7218 that mail knows.
enum : uint8_t {
  kTlsaDaneTa = 2,  // usage: an authority that must be in the chain
  kTlsaDaneEe = 3,  // usage: the server's own certificate or key
  kTlsaCert = 0,    // selector: the whole certificate
  kTlsaSpki = 1,    // selector: its public key
  kTlsaFull = 0,    // matching: DER as it is
  kTlsaSha256 = 1,  // matching
  kTlsaSha512 = 2,  // matching
};

// Whether mail may be authenticated by this record (RFC 7672 §3.1): usage DANE-TA or DANE-EE, a
// selector and matching type known above, a digest as long as it must be; in full, one DER SEQUENCE
// and nothing behind it. Who verifies may find such a SEQUENCE to be no certificate or key: the
// record is unusable then, too.
bool is_usable(const TlsaRecord& record);

// What a host's TLSA records mean for mail to it (RFC 7672 §2.1, §2.2).
enum class TlsaStatus : uint8_t {
  usable,     // secure: nothing without TLS that one of `records` authenticates
  unusable,   // secure, but none is usable: nothing without TLS, whoever the server is
  none,       // there are none; that was proven if `secure`. No DANE
  insecure,   // there are some, but nobody has validated them: as if there were none. No DANE
  elsewhere,  // an alias, and nothing about where it leads: ask at `canonical`. DANE only if this
              // answer is secure as well as that one
  failed,     // nothing is known; a forged answer looks like this. Not to this host now: the next
              // one, or later
};

struct TlsaAnswer {
  TlsaStatus status = TlsaStatus::failed;
  bool secure = false;  // the answer was validated by a resolver whose word counts; never of failed
  std::vector<TlsaRecord> records;  // when usable: all of them usable, 1–kMaxTlsaRecords, as sent
  unsigned passed_over = 0;         // records that are unusable
  unsigned left_out = 0;            // usable ones beyond kMaxTlsaRecords or kMaxTlsaBytes
  bool has_ttl = false;   // false: when failed, and when nothing says for how long there are none
  uint32_t ttl_s = 0;     // how long it may be believed, aliases included
  std::string canonical;  // the name at the end of the aliases; empty when failed
  const char* why = "";   // when failed: a sentence's worth, printable ASCII, static
  bool busy = false;      // when failed: it was never asked, too many lookups are waiting
};

// How the query for the TLSA records of `asked` (normal form) ended. Pure; takes any bytes. Where
// something was left unread that could make a difference the answer has failed, for anything else
// would be a guess, and would let mail out unprotected.
TlsaAnswer read_tlsa(QueryStatus status, std::span<const uint8_t> raw, std::string_view asked);

// Where the TLSA records of a host stand (RFC 6698 §3): "_25._tcp.mx.example.org". `host` in normal
// form, the TLSA base domain of RFC 7672 §2.2.3. False, and `out` undefined, if that is longer than
// a name can be, or `host` is empty: there can be no records then.
bool tlsa_name(std::string_view host, uint16_t port, Name& out);

}  // namespace veredus::dns
