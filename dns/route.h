#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dns/address.h"
#include "dns/host_dane.h"

namespace veredus::dns {

inline constexpr size_t kMaxMxHosts =
    32;  // of one route, at most; RouterSettings says how many are kept
inline constexpr size_t kMaxHostAddresses = 64;  // likewise of one host
inline constexpr size_t kMaxSiteKey =
    512;  // bytes of a site key; longer ones are replaced by their hash

enum class RouteStatus : uint8_t {
  ok,
  null_mx,         // the domain takes no mail (RFC 7505). Never
  no_such_domain,  // the name does not exist, or has neither MX nor address. Never
  no_mail_host,    // it has MX records, but none names a host that could be looked up. Never
  temporary,       // not known now. Later
};

struct MxHost {
  std::string name;  // normal form
  uint16_t preference = 0;
  bool operator==(const MxHost&) const = default;
};

// Where mail for a domain goes (RFC 5321 §5.1).
struct Route {
  RouteStatus status = RouteStatus::temporary;
  bool implicit =
      false;            // no MX record: the domain (or what it is an alias of) is its own mail host
  bool secure = false;  // every answer that led here was validated by a resolver whose word counts
  std::vector<MxHost> hosts;  // when ok: at least one, by preference, then by name; no name twice
  int64_t expires_mono_ns = 0;
  const char* enhanced = "";  // enhanced status code to report unless ok: "5.1.10", "5.1.2",
                              // "5.4.4", "4.4.3" (RFC 3463, 7505)
  std::string reason;         // unless ok: a sentence for a person, printable ASCII

  bool permanent() const { return status != RouteStatus::ok && status != RouteStatus::temporary; }
};

enum class AddressStatus : uint8_t {
  ok,
  none,       // the host does not exist or has no address: try the domain's next one
  temporary,  // not known now
};

struct Addresses {
  AddressStatus status = AddressStatus::temporary;
  bool secure = false;
  std::vector<IpAddress>
      list;  // when ok: at least one; IPv4 first, each family in the order of the answer
  int64_t expires_mono_ns = 0;
  const char* enhanced = "";                  // unless ok: "5.4.4" or "4.4.3"
  std::string reason;                         // likewise
  std::shared_ptr<const HostDane> dane = {};  // when ok, and asked for; null: none
};

// In what order the hosts of a route are to be tried.
struct HostOrder {
  std::array<uint8_t, kMaxMxHosts> index{};  // into Route::hosts
  uint8_t count = 0;
  bool loop = false;  // we are the best mail host of this domain ourselves: permanent, 5.4.6
};

// By preference, at random within one. If a host is one of our own names, it and all that are not
// better than it are left out (RFC 5321 §5.1). `own_names` in normal form; `random` gives uniform
// 64-bit numbers.
HostOrder order_hosts(const Route& route, std::span<const std::string> own_names,
                      const std::function<uint64_t()>& random);

// Mixes addresses in place, each family on its own.
void shuffle_addresses(std::span<IpAddress> addresses, const std::function<uint64_t()>& random);

// Canonical text of the set of MX names: domains with the same key share a site. Names sorted and
// joined by ','; over kMaxSiteKey bytes "sha256:" and the hash of that text instead. Empty unless
// the route is ok.
std::string site_key(const Route& route);
// The text itself, or its hash as above if it and `more` bytes are over kMaxSiteKey.
std::string bounded_site_key(std::string text, size_t more = 0);

}  // namespace veredus::dns
