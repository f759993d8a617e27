#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dns/address.h"
#include "engine/tls/mta_sts.h"

namespace veredus::tls {

// Fetching and keeping of MTA-STS policies (RFC 8461), as a shard asks for it: done elsewhere, for
// HTTPS and files block. A port; the simulated world has none.

// What is wrong with a policy, as RFC 8460 §4.3.2.2 tells it.
enum class StsFault : uint8_t {
  none,
  fetch_error,     // not to be had: no address, refused, too slow, too large, redirected, no 200
  policy_invalid,  // what was fetched is none
  webpki_invalid,  // the policy host's certificate is not valid
  not_asked,       // too many others are being fetched: ask again later
  no_host,         // none of the domain's mail hosts is one that the policy names
};

struct StsFetch {
  std::string domain;                     // the policy domain, normal form
  std::vector<dns::IpAddress> addresses;  // of its policy host, at least one: no others are tried
};

struct StsFetched {
  std::string domain;
  StsFault fault = StsFault::none;
  StsPolicy policy;  // without a fault
  std::string why;   // with one: for a person, printable ASCII
};

class StsFetches {
 public:
  virtual ~StsFetches() = default;
  // One StsFetched follows, as a message to `shard`, within little more than a minute, the time in
  // which it waits for others included. Called from any shard's thread.
  virtual void fetch(uint16_t shard, StsFetch fetch) = 0;
  // Kept for the next start; replaces what was kept of the domain. Likewise.
  virtual void keep(const CachedSts& cached) = 0;
  // What the last run has kept: until all shards have taken theirs.
  virtual const std::vector<CachedSts>& known() const = 0;
};

}  // namespace veredus::tls
