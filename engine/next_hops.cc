#include "engine/next_hops.h"

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "engine/messages.h"

namespace veredus {

void RouteIndex::add(const StaticRoute& route) {
  for (const std::string& pattern : route.domains) {
    if (pattern != "*") {
      patterns_.try_emplace(absl::AsciiStrToLower(pattern), route.id);
    } else if (all_ == kNone) {
      all_ = route.id;
    }
  }
}

uint32_t RouteIndex::find(std::string_view domain) const {
  if (patterns_.empty()) return all_;
  const std::string lower = absl::AsciiStrToLower(absl::string_view(domain.data(), domain.size()));
  const std::string_view name(lower);
  // The name itself, then ".example.org" for each name above it.
  for (size_t at = 0; at != std::string_view::npos; at = name.find('.', at + 1)) {
    const std::string_view part = name.substr(at);
    if (at == 0 && part.starts_with('.')) continue;  // a pattern is not a name
    const auto found = patterns_.find(absl::string_view(part.data(), part.size()));
    if (found != patterns_.end()) return found->second;
  }
  return all_;
}

std::string site_key(const StaticRoute& route) {
  std::string hosts;
  for (const NextHop& hop : route.hops) {
    if (!hosts.empty()) hosts += ',';
    const bool v6 = hop.host.find(':') != std::string::npos;
    hosts += (v6 ? "[" + hop.host + "]" : hop.host) + ":" + std::to_string(hop.port);
  }
  const std::string behind = std::string(kByRoute) + route.name;
  return dns::bounded_site_key(std::move(hosts), behind.size()) + behind;
}

bool leads_to(const StaticRoute& route, const Site& site) {
  if (site.route != route.id || site.hosts.size() != route.hops.size() ||
      site.ports.size() != route.hops.size())
    return false;
  for (size_t i = 0; i < route.hops.size(); ++i) {
    if (route.hops[i].host != site.hosts[i].name || route.hops[i].port != site.ports[i])
      return false;
  }
  return true;
}

void apply_route(const StaticRoute& route, smtp::DialogueSettings& dialogue) {
  if (route.tls) dialogue.tls = *route.tls;
  dialogue.implicit_tls = route.implicit_tls;
  dialogue.credentials = route.credentials;
  dialogue.verify = route.verify;
  // Where credentials may not go in clear nothing else need go there, either.
  const bool under_tls = route.implicit_tls || route.verify ||
                         (route.credentials != nullptr && !route.credentials->allow_in_clear);
  if (under_tls) dialogue.tls = smtp::TlsUse::required;
}

}  // namespace veredus
