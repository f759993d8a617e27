// To which of the site's hosts a lane dials: asked for preference by preference, and passed over
// while they are down.

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

#include "engine/lane.h"

namespace veredus {

// Asks for the addresses of the next preference's hosts: those of a worse one only when the better
// ones are of no use.
void Lanes::resolve_more(Lane& lane) {
  if (lane.redirected.family != 0) return redirect_targets(lane);
  const std::vector<dns::MxHost>& hosts = lane.site->hosts;
  const uint16_t preference = hosts[lane.hosts_resolved].preference;
  if (lane.hosts_resolved == 0) {
    lane.failure = Returned{};
    lane.resolved_until_mono_ns = INT64_MAX;
  }
  lane.resolve_begun_mono_ns = shard_.mono_ns;
  while (lane.hosts_resolved < hosts.size() &&
         hosts[lane.hosts_resolved].preference == preference) {
    const uint16_t host = lane.hosts_resolved++;
    Lane::HostQuestion& question = lane.questions_.emplace_back();
    question.lanes = this;
    question.lane = &lane;
    question.host = host;
    ++lane.hosts_asked;
    if (known_by_number(lane, host)) continue;
    Counters::add(shard_.counters.lookups);
    if (const dns::Addresses* known = router_.addresses(hosts[host].name, question)) {
      const dns::Addresses copy = *known;
      addresses_known(lane, host, copy);
    }
  }
}

void Lane::HostQuestion::on_addresses(const dns::Addresses& addresses) {
  lanes->addresses_known(*lane, host, addresses);
}

std::array<uint8_t, 19> Lanes::host_key(const io::Endpoint& endpoint) {
  std::array<uint8_t, 19> key{};
  std::copy(endpoint.address.begin(), endpoint.address.end(), key.begin());
  key[16] = static_cast<uint8_t>(endpoint.port);
  key[17] = static_cast<uint8_t>(endpoint.port >> 8);
  key[18] = endpoint.family;
  return key;
}

// `own`: what is the matter with the host is so by the name that it was asked for, or by what this
// site demands; others may do well with the very address.
Lanes::DownKey Lanes::down_key(const Lane& lane, const io::Endpoint& host, bool own) {
  return {host_key(host), uint64_t{lane.source} << 32 | (own ? lane.site->number + 1 : 0)};
}

static io::Endpoint endpoint_of(const dns::IpAddress& address, uint16_t port) {
  io::Endpoint endpoint;
  endpoint.address = address.bytes;
  endpoint.family = address.family == dns::IpAddress::Family::v4 ? 4 : 6;
  endpoint.port = port;
  return endpoint;
}

static smtp::Verdict no_way_to_host(std::string_view rule) {
  smtp::Verdict verdict;
  verdict.result = smtp::Result::later;
  verdict.scope = smtp::Scope::host;
  verdict.kind = smtp::Kind::soft;
  verdict.bounce_class = smtp::BounceClass::routing_errors;
  verdict.rule = rule;
  return verdict;
}

void Lanes::addresses_known(Lane& lane, uint16_t host, const dns::Addresses& addresses) {
  assert(lane.hosts_asked > 0);
  --lane.hosts_asked;
  const dns::MxHost& mx = lane.site->hosts[host];
  lane.resolved_until_mono_ns = std::min(lane.resolved_until_mono_ns, addresses.expires_mono_ns);
  lane.failure_mx = mx.name;
  lane.failure_address.clear();
  smtp::Verdict verdict = no_way_to_host("");
  if (addresses.status != dns::AddressStatus::ok) {
    verdict.rule =
        addresses.status == dns::AddressStatus::none ? "mx-without-address" : "dns-temporary";
    note_failure(lane, verdict, addresses.reason, addresses.enhanced);
  }
  std::shared_ptr<const dns::HostDane> dane;
  if (heeds_dane(lane)) dane = addresses.dane;
  if (dane != nullptr && dane->busy) {
    verdict.rule = "dns-temporary";
    note_failure(lane, verdict, dane->why, "4.4.3");
  } else if (dane != nullptr && dane->status == dns::TlsaStatus::failed) {
    verdict.rule = "tlsa-unknown";
    verdict.bounce_class = smtp::BounceClass::policy_related;
    note_failure(lane, verdict, dane->why, "4.7.5");
    count_unknown_tlsa(lane, *dane);
  }
  std::vector<dns::IpAddress> numeric;
  const bool may_go = dane == nullptr || dane->status != dns::TlsaStatus::failed;
  if (addresses.status == dns::AddressStatus::ok && may_go) numeric = addresses.list;
  dns::shuffle_addresses(numeric, [this] { return shard_.random.next(); });
  for (const dns::IpAddress& address : numeric) {
    // Judged here and nowhere else: targets are what connect() is given.
    const dns::AddressPolicy::Result allowed = judge_address(*lane.site, host, address);
    if (allowed.verdict != dns::AddressPolicy::Verdict::allowed) {
      const bool own = allowed.verdict == dns::AddressPolicy::Verdict::own;
      verdict.result = own ? smtp::Result::never : smtp::Result::later;
      verdict.rule = own ? "address-is-ours" : "address-refused";
      lane.failure_address = address.to_string();
      note_failure(lane, verdict, address.to_string() + " " + allowed.reason,
                   own ? "5.4.6" : "4.4.4");
      continue;
    }
    lane.targets.push_back(
        {endpoint_of(address, port_of(*lane.site, host)), host, mx.preference, dane});
  }
  if (lane.hosts_asked == 0) {
    lane.resolve_us = static_cast<uint32_t>((shard_.mono_ns - lane.resolve_begun_mono_ns) / 1000);
    sort_targets(lane);
    list(lane);
  }
}

void Lanes::sort_targets(Lane& lane) {
  std::stable_sort(lane.targets.begin(), lane.targets.end(),
                   [](const Target& a, const Target& b) { return a.preference < b.preference; });
  const size_t unused = std::erase_if(
      lane.targets, [&](const Target& target) { return !may_use(lane, target.endpoint.family); });
  if (unused > 0 && lane.targets.empty())
    note_family(lane,
                "its hosts have addresses only of a family that is not sent to from this source");
  if (lane.targets.size() > lane.provider->addresses_tried)
    lane.targets.resize(lane.provider->addresses_tried);
}

// Staging: all hosts are the one that is named, whatever the DNS says.
void Lanes::redirect_targets(Lane& lane) {
  lane.hosts_resolved = static_cast<uint16_t>(lane.site->hosts.size());
  lane.targets = {{lane.redirected, 0, 0, nullptr}};
  lane.resolved_until_mono_ns = INT64_MAX;
}

// The best preference that is not down, of the family that is preferred; at random within it.
Target* Lanes::choose_target(Lane& lane) {
  if (!lane.targets.empty() && lane.resolved_until_mono_ns <= shard_.mono_ns &&
      lane.hosts_asked == 0) {
    // Their time to live has passed: ask again.
    lane.targets.clear();
    lane.hosts_resolved = 0;
    lane.questions_.clear();
    return nullptr;
  }
  if (lane.hosts_asked > 0) return nullptr;
  const auto fits = [&](const Target& target) { return usable(lane, target); };
  const auto best = std::find_if(lane.targets.begin(), lane.targets.end(), fits);
  if (best == lane.targets.end()) {
    // All are down, or there are none. When every host has been asked, the failure stands for a
    // while.
    if (lane.hosts_resolved == lane.site->hosts.size() && lane.targets.empty() &&
        lane.resolved_until_mono_ns <= shard_.mono_ns) {
      lane.hosts_resolved = 0;
      lane.questions_.clear();
    }
    return nullptr;
  }
  std::vector<Target*> choices;
  bool preferred = false;
  const uint8_t family = lane.provider->family == AddressFamily::prefer_ipv4 ? 4 : 6;
  for (auto at = best; at != lane.targets.end() && at->preference == best->preference; ++at) {
    if (!fits(*at)) continue;
    const bool prefers = at->endpoint.family == family;
    if (prefers && !std::exchange(preferred, true)) choices.clear();
    if (prefers || !preferred) choices.push_back(&*at);
  }
  return choices[shard_.random.below(choices.size())];
}

bool Lanes::may_use(const Lane& lane, uint8_t family) const {
  if (lane.provider->family == AddressFamily::ipv4_only && family != 4) return false;
  if (lane.provider->family == AddressFamily::ipv6_only && family != 6) return false;
  const SourceSettings& source = lane.policy->sources[lane.source];
  const bool bound = source.address.family != 0 || source.address6.family != 0;
  return !bound || from_address(lane, family).family != 0;
}

// The source's own address of that family has gone from this host; it may come back.
bool Lanes::lacks_address(const Lane& lane, const Target& target) const {
  const uint8_t bit = target.endpoint.family == 4 ? Exchange::kNoIpv4 : Exchange::kNoIpv6;
  return (shard_.exchange.source_lacks(lane.source) & bit) != 0;
}

bool Lanes::is_down(const Lane& lane, const io::Endpoint& host) const {
  if (down_hosts_.empty()) return false;
  for (const bool own : {false, true}) {
    const auto found = down_hosts_.find(down_key(lane, host, own));
    if (found == down_hosts_.end()) continue;
    const Down& down = found->second;
    if (down.until_mono_ns > shard_.mono_ns && down.since_mono_ns > lane.retried_mono_ns)
      return true;
  }
  return false;
}

bool Lanes::usable(const Lane& lane, const Target& target) const {
  return may_use(lane, target.endpoint.family) && !lacks_address(lane, target) &&
         !is_down(lane, target.endpoint);
}

// Family 0: the source has none of that family, or the kernel chooses.
const io::Endpoint& Lanes::from_address(const Lane& lane, uint8_t family) const {
  static const io::Endpoint none;
  const SourceSettings& source = lane.policy->sources[lane.source];
  if (source.address.family == family) return source.address;
  return source.address6.family == family ? source.address6 : none;
}

// So many sessions of the lane have been greeted there, and live. Null: none.
uint32_t* Lanes::peer_of(Lane& lane, const io::Endpoint& host) {
  for (auto& [peer, sessions] : lane.peers) {
    if (peer == host) return &sessions;
  }
  return nullptr;
}

// By all lanes of this shard that send from there.
void Lanes::pass_over(const Lane& lane, const io::Endpoint& host, bool own, bool lost_race) {
  if (down_hosts_.size() >= kDownHostsMax)
    absl::erase_if(down_hosts_, [this](const auto& each) {
      return each.second.until_mono_ns <= shard_.mono_ns;
    });
  if (down_hosts_.size() >= kDownHostsMax) down_hosts_.clear();
  const int64_t until_mono_ns = shard_.mono_ns + lane.provider->host_down_ns;
  down_hosts_[down_key(lane, host, own)] = {shard_.mono_ns, until_mono_ns, lost_race};
}

// Who was faster has refused since: the others may do. True: there are such.
bool Lanes::forgive_lost_races(const Lane& lane) {
  bool any = false;
  for (const Target& target : lane.targets) {
    const auto found = down_hosts_.find(down_key(lane, target.endpoint, false));
    if (found == down_hosts_.end() || !found->second.lost_race) continue;
    any = any || found->second.until_mono_ns > shard_.mono_ns;
    down_hosts_.erase(found);
  }
  return any;
}

void Lanes::note_family(Lane& lane, std::string_view text) {
  note_failure(lane, no_way_to_host("address-family"), text, "4.4.4");
}

void Lanes::note_failure(Lane& lane, smtp::Verdict verdict, std::string_view text,
                         std::string_view enhanced) {
  // One host that will never do says nothing against those that may yet.
  const smtp::Verdict& before = lane.failure.verdict;
  if (verdict.result == smtp::Result::never && !before.rule.empty() &&
      before.result != smtp::Result::never)
    return;
  lane.failure = Returned{};
  lane.failure.verdict = verdict;
  lane.failure_text = text;
  const char* at = enhanced.data();
  for (uint16_t& number : lane.failure.enhanced) {
    at = std::from_chars(at, enhanced.data() + enhanced.size(), number).ptr;
    if (at != enhanced.data() + enhanced.size()) ++at;
  }
}

}  // namespace veredus
