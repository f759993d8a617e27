// What is special about hosts that the configuration names: their port, addresses that no mail host
// may have, TLS from the start, and credentials.

#include "absl/strings/str_cat.h"
#include "engine/lane.h"

namespace veredus {

// Not in staging: the one host of that is none of the route's.
void Lanes::go_by_route(const Lane& lane, smtp::DialogueSettings& dialogue) const {
  const Policy& policy = *shard_.policy;
  const StaticRoute* const route = policy.route_of(*lane.site);
  if (route != nullptr && policy.redirect.family == 0) apply_route(*route, dialogue);
}

uint16_t Lanes::port_of(const Site& site, uint16_t host) const {
  return site.ports.empty() ? shard_.settings.smtp_port : site.ports[host];
}

// The address itself is configured: nobody needs to be asked for it.
bool Lanes::known_by_number(Lane& lane, uint16_t host) {
  if (lane.site->ports.empty()) return false;
  const auto address = dns::IpAddress::parse(lane.site->hosts[host].name);
  if (!address) return false;
  dns::Addresses known;
  known.status = dns::AddressStatus::ok;
  known.list = {*address};
  known.expires_mono_ns = INT64_MAX;
  addresses_known(lane, host, known);
  return true;
}

dns::AddressPolicy::Result Lanes::judge_address(const Site& site, uint16_t host,
                                                const dns::IpAddress& address) const {
  const dns::AddressPolicy& policy = shard_.settings.address_policy;
  if (site.ports.empty()) return policy.check(address);
  const bool named = dns::IpAddress::parse(site.hosts[host].name).has_value();
  return policy.check_next_hop(address, named);
}

// No word about the mail, nor about the host: an operator has to hear of it, and which setting it
// is about. Once for each time that the site is passed over, however many wait there.
void Lanes::note_refused_auth(Lane& lane, const smtp::Outcome& outcome) {
  const StaticRoute* const route = shard_.policy->route_of(*lane.site);
  if (route == nullptr || outcome.stage != smtp::Phase::auth) return;
  const Origin& origin = route->credentials_origin;
  const bool refused = outcome.code >= 500;
  const std::string what =
      absl::StrCat(refused ? "credentials refused" : "not let in", " (", origin.setting, "): ");
  const bool passes = !refused && outcome.reason == smtp::Reason::none;
  if (!passes) {
    shard_.exchange.answers().report(absl::StrCat(
        lane.failure_mx, " ", lane.failure_address, ": ", what,
        reply_shown(outcome.code, lane.failure_text),
        origin.line == 0 ? std::string() : absl::StrCat("; ", origin.file, ":", origin.line)));
  }
  lane.failure_text.insert(0, what);
}

}  // namespace veredus
