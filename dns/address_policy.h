#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dns/address.h"

namespace veredus::dns {

// A block of addresses.
struct Cidr {
  IpAddress network;
  unsigned prefix = 0;  // 0–32 or 0–128

  bool contains(const IpAddress& address) const;
  std::string to_string() const;
  bool operator==(const Cidr&) const = default;
};

// "10.0.0.0/8", "fd00::/8", or a bare address for it alone. The error says what is wrong and how to
// write it.
absl::StatusOr<Cidr> parse_cidr(std::string_view text);

// Which numeric addresses mail is never carried to, whatever the DNS says (RFC 6890, RFC 5321
// §5.1). To be asked at connect time, of the very address that goes into connect().
class AddressPolicy {
 public:
  enum class Verdict : uint8_t {
    allowed,
    refused,  // not a public unicast address: try the next one
    own,      // one of ours: mail would come back. Permanent, 5.4.6
  };
  struct Result {
    Verdict verdict = Verdict::allowed;
    const char* reason =
        "";  // unless allowed: "is a loopback address", to be put behind the address
  };

  AddressPolicy() = default;
  // `allow` overrides everything below it; `own`: the addresses of this host that others could send
  // mail to.
  AddressPolicy(std::vector<Cidr> allow, std::vector<IpAddress> own);

  // IPv4 addresses inside IPv6 ones (v4-mapped, NAT64, 6to4, Teredo) are judged like themselves.
  Result check(const IpAddress& address) const;
  // The same for a host that the configuration names: a private address is as meant, for that is
  // where relays are; where the address itself is named a loopback one is, too.
  Result check_next_hop(const IpAddress& address, bool named) const;

 private:
  std::vector<Cidr> allow_;
  std::vector<IpAddress> own_;
};

// The IPv4 address to which the network would carry an IPv6 one, if it is of such a kind.
std::optional<IpAddress> embedded_v4(const IpAddress& address);

}  // namespace veredus::dns
