#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/origin.h"
#include "engine/smtp/dialogue.h"

namespace veredus {

struct Site;

// A host that the configuration names.
struct NextHop {
  std::string host;  // name in lower case, or numeric address
  uint16_t port = 25;
  bool operator==(const NextHop&) const = default;
};

// Where the mail of some domains goes instead of to their mail hosts: [routes.NAME].
struct StaticRoute {
  uint32_t id = 0;  // place in Policy::routes; the same after a reload
  std::string name;
  // Names, with a dot in front all names below, or "*", which is all that no other route has.
  std::vector<std::string> domains;
  std::vector<NextHop> hops;        // by preference; one at least
  std::optional<smtp::TlsUse> tls;  // none: as the provider has it
  bool implicit_tls = false;        // RFC 8314 §3.3; tls is `required` then
  bool verify = false;  // certificates must be for the host's name, by a trusted authority
  std::shared_ptr<const smtp::Credentials> credentials;  // null: none
  Origin origin;                                         // of its heading
  Origin credentials_origin;
  bool removed = false;  // by a reload: no mail goes by it any more
};

// Which route has a domain: the one that names it, else the one that has the longest name above it,
// else the one that has all.
class RouteIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  // Of patterns that are there twice the first one holds.
  void add(const StaticRoute& route);
  uint32_t find(std::string_view domain) const;  // id; kNone

 private:
  absl::flat_hash_map<std::string, uint32_t> patterns_;  // in lower case
  uint32_t all_ = kNone;
};

inline constexpr std::string_view kByRoute = " by route ";
// "a.example:587,[2001:db8::1]:465 by route NAME": of the site that it is. Longer ones than
// dns::kMaxSiteKey have a hash instead of the hosts.
std::string site_key(const StaticRoute& route);
// Whether the site is the route's, with these very hosts and ports: else what belongs to the route
// is nothing for its hosts.
bool leads_to(const StaticRoute& route, const Site& site);

// What the route says of a session to its hosts.
void apply_route(const StaticRoute& route, smtp::DialogueSettings& dialogue);

}  // namespace veredus
