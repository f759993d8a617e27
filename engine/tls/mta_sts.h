#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dns/answer.h"
#include "dns/name.h"

namespace veredus::tls {

// MTA-STS (RFC 8461): what a domain says in DNS and by HTTPS about TLS to its mail hosts. Only
// bytes and values: who fetches, when, and what follows from a policy is said elsewhere. All is
// pure, and takes any bytes; time and memory are linear in them.

inline constexpr size_t kStsPolicyBytesMax = 64 << 10;  // of a policy file (§3.3)
inline constexpr size_t kStsPatternsMax = 1024;         // mx lines of a policy
inline constexpr size_t kStsIdMax = 32;                 // characters (§3.1)
inline constexpr uint32_t kStsMaxAgeMax = 31'557'600;   // seconds: a year (§3.2)

// -------------------------------------------------------------------------------------------------
// The record

// What changes when the policy does: 1–kStsIdMax letters and digits.
struct StsRecord {
  std::string id;
  bool operator==(const StsRecord&) const = default;
};

// The only record among those at _mta-sts.DOMAIN (`answer`: to the type TXT, with rcode NOERROR or
// NXDOMAIN) that begins with "v=STSv1" and a semicolon (§3.1). Others are passed over, and so are
// fields that are not known; of several ids the first counts. NotFound: there is none.
// InvalidArgument: there are several, or what is wrong with it, with its byte (from 1).
// Unavailable: more records than were read. Either way there is no policy to be had now; one that
// is cached goes on (§5.1).
absl::StatusOr<StsRecord> find_sts_record(const dns::Answer& answer);

// One record, its character strings joined. InvalidArgument names the byte (from 1).
absl::StatusOr<StsRecord> parse_sts_record(std::string_view text);

// Where the record stands, "_mta-sts.DOMAIN", and whom the policy is asked of, "mta-sts.DOMAIN", at
// kStsPolicyPath (§3.1, §3.3). `domain` in normal form. False, and `out` undefined, if it is empty,
// or too long for such a name: it has no policy.
bool sts_record_name(std::string_view domain, dns::Name& out);
bool sts_policy_host(std::string_view domain, dns::Name& out);
inline constexpr std::string_view kStsPolicyPath = "/.well-known/mta-sts.txt";

// -------------------------------------------------------------------------------------------------
// The policy

enum class StsMode : uint8_t { none, testing, enforce };
const char* sts_mode_text(StsMode mode);

// A host, or with `wildcard` every name of one label more than `name`. `name` in normal form.
struct StsPattern {
  bool wildcard = false;
  std::string name;
  bool operator==(const StsPattern&) const = default;
};

struct StsPolicy {
  StsMode mode = StsMode::none;
  uint32_t max_age_s = 0;      // 0–kStsMaxAgeMax, since it was fetched
  std::vector<StsPattern> mx;  // 1–kStsPatternsMax, in mode none perhaps none; as they stand there
  bool operator==(const StsPolicy&) const = default;
};

// A policy file (§3.2): lines of "name:value", ended by LF or CRLF, the last one perhaps by
// nothing. Wanted: version, mode, max_age, and mx unless the mode is none, in any order; of all but
// mx the first counts. Further names are passed over, and so are lines of spaces and tabs only.
// InvalidArgument says what is wrong, in which line (from 1), and what would be right; bytes that
// are not printable ASCII are escaped in it.
// Also accepted: a dot at the end of an mx, '_' in it, a value without characters of a further
// name.
absl::StatusOr<StsPolicy> parse_sts_policy(std::string_view text);

// The shortest policy file that says this, never longer than one it was parsed from.
// `policy` within its bounds.
std::string sts_policy_text(const StsPolicy& policy);

// Whether a mail host of this name, in any case, perhaps with a dot at the end, is one of the
// policy's (§4.1). A wildcard stands for exactly one label, never for a part of one. What is no
// name matches nothing.
bool matches(const StsPattern& pattern, std::string_view host);
bool matches(const StsPolicy& policy, std::string_view host);

// -------------------------------------------------------------------------------------------------
// A policy that is remembered

struct CachedSts {
  std::string domain;          // the policy domain, normal form
  std::string id;              // of the record by which it was fetched
  int64_t fetched_wall_s = 0;  // Unix time, 0–2^40, when it was fetched, or found to be unchanged
  StsPolicy policy;
  bool operator==(const CachedSts&) const = default;

  // In force before this (§3.2).
  int64_t expires_wall_s() const { return fetched_wall_s + policy.max_age_s; }
};

// How it is kept over a restart: text, its first byte the version. Of version 1:
//   "1 " domain " " id " " fetched_wall_s " " bytes of the policy LF policy
// numbers decimal, the policy as sts_policy_text() writes it. At most kStsCachedBytesMax bytes.
// There is no checksum: that is for the file in which it lies.
std::string encode(const CachedSts& cached);
inline constexpr char kStsCachedVersion = '1';
inline constexpr size_t kStsCachedBytesMax = kStsPolicyBytesMax + 512;

// Takes only what encode() has written, to the byte. FailedPrecondition: another version.
// InvalidArgument: damaged, and where.
absl::StatusOr<CachedSts> decode_cached_sts(std::string_view bytes);

}  // namespace veredus::tls
