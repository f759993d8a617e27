#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/tls/mta_sts.h"

namespace veredus {

// What became of TLS, counted by policy domain (that of the recipient) in the words of RFC 8460,
// for the reports that receivers ask for.
struct TlsResult {
  enum class Policy : uint8_t { none, tlsa, sts };
  // In the order of RFC 8460 §4.3.
  enum class Type : uint8_t {
    success,
    starttls_not_supported,
    certificate_host_mismatch,
    certificate_expired,
    certificate_not_trusted,
    validation_failure,
    tlsa_invalid,
    dnssec_invalid,
    sts_policy_fetch_error,
    sts_policy_invalid,
    sts_webpki_invalid,
  };
  std::string domain;
  Policy policy = Policy::none;
  Type type = Type::success;
  std::string records;           // of tlsa: as they stand in a zone, one a line
  std::string mx;                // the host; empty: none was spoken to
  std::string address, sending;  // its, and ours; empty: not known
  std::string reason;  // of a failure: more of it in words, or empty; of many the last one's
  // Whether it is the same but for the words.
  auto key() const { return std::tie(domain, policy, type, records, mx, address, sending); }
};
std::string_view name_of(TlsResult::Policy policy);  // "no-policy-found"
std::string_view name_of(TlsResult::Type type);      // "certificate-host-mismatch"; "" of success

// Asked of every shard.
struct TlsResultsQuestion {
  uint64_t token = 0;
  int64_t day = 0;  // of UTC, since 1970
};
struct TlsResultsAnswer {
  uint64_t token = 0;
  struct Row {
    TlsResult result;
    uint64_t sessions = 0;
  };
  std::vector<Row> rows;
  uint64_t left_out = 0;  // sessions that were not counted, for there were too many kinds
  // Policies in force of this shard's domains.
  std::vector<std::shared_ptr<const tls::CachedSts>> policies;
};

}  // namespace veredus
