#include "engine/routes.h"

#include <charconv>

namespace veredus {

uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93;
  return hash ^ hash >> 32;
}

namespace {

// "5.1.10" as numbers.
std::array<uint16_t, 3> enhanced_numbers(std::string_view text) {
  std::array<uint16_t, 3> numbers{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (uint16_t& number : numbers) {
    at = std::from_chars(at, end, number).ptr;
    if (at != end) ++at;
  }
  return numbers;
}

smtp::Verdict verdict_of(bool permanent, smtp::BounceClass bounce_class, std::string_view rule) {
  smtp::Verdict verdict;
  verdict.result = permanent ? smtp::Result::never : smtp::Result::later;
  verdict.scope = smtp::Scope::site;
  verdict.kind = permanent ? smtp::Kind::hard : smtp::Kind::soft;
  verdict.bounce_class = bounce_class;
  verdict.rule = rule;
  return verdict;
}

smtp::Verdict judge_route(const dns::Route& route) {
  switch (route.status) {
    case dns::RouteStatus::null_mx:
      return verdict_of(true, smtp::BounceClass::bad_domain, "null-mx");
    case dns::RouteStatus::no_such_domain:
      return verdict_of(true, smtp::BounceClass::bad_domain, "no-such-domain");
    case dns::RouteStatus::no_mail_host:
      return verdict_of(true, smtp::BounceClass::bad_domain, "no-mail-host");
    case dns::RouteStatus::ok:
    case dns::RouteStatus::temporary:
      break;
  }
  return verdict_of(false, smtp::BounceClass::routing_errors, "dns-temporary");
}

}  // namespace

Routes::Routes(ShardContext& shard, dns::Router& router, StsPolicies& sts)
    : shard_(shard), router_(router), sts_(sts) {}
Routes::~Routes() = default;

void Routes::ask(RouteAsk& ask) {
  Asked& asked = asked_.emplace_front();
  asked.routes = this;
  asked.self = asked_.begin();
  asked.home = ask.asking_home;
  asked.domain_id = ask.domain_id;
  asked.begun_mono_ns = shard_.mono_ns;
  asked.domain = std::move(ask.domain);
  asked.ask = static_site(asked.domain);
  if (asked.ask != nullptr) return post(asked);
  const dns::Route* known = router_.cached(asked.domain, shard_.mono_ns);
  if (known == nullptr) {
    if (staging() && shard_.mono_ns < silent_until_mono_ns_) {
      tell_late(asked);
      return asked_.pop_front();
    }
    Counters::add(shard_.counters.lookups);
    known = router_.resolve(asked.domain, asked);
  }
  if (known != nullptr) route_known(asked, *known);
}

void Routes::Asked::on_route(const dns::Route& route) {
  Routes& owner = *routes;
  if (route.status != dns::RouteStatus::temporary) owner.answered_mono_ns_ = owner.shard_.mono_ns;
  if (late) {
    owner.late_.erase(self);
    return;
  }
  owner.route_known(*this, route);
}

// What its domain says of TLS is part of where it goes: a policy may leave out hosts, and domains
// with one share no connections with those without.
void Routes::route_known(Asked& asked, const dns::Route& route) {
  asked.ask = site_of(asked, route);
  if (asked.ask == nullptr) {
    asked_.erase(asked.self);
  } else if (wants_policy(asked)) {
    asked.on_sts();
  } else {
    post(asked);
  }
}

void Routes::Asked::on_sts() {
  Routes& owner = *routes;
  if (late) {
    owner.late_.erase(self);
    return;
  }
  StsPolicies::Found found;
  if (!owner.sts_.ask(domain, *this, found)) return;
  ask->expires_mono_ns = std::min(ask->expires_mono_ns, found.expires_mono_ns);
  if (found.policy != nullptr && !put_under(found.policy->policy, ask->site)) {
    owner.tell_outside(*this);
    owner.asked_.erase(self);
    return;
  }
  owner.post(*this);
}

// Where mail goes does not depend on the answer, only which rules it goes by. If nothing at all was
// answered meanwhile, others need not wait in vain, either.
void Routes::run() {
  if (!staging()) return;
  while (!asked_.empty() && asked_.back().begun_mono_ns + kStagingWaitNs <= shard_.mono_ns) {
    Asked& asked = asked_.back();
    if (answered_mono_ns_ < asked.begun_mono_ns)
      silent_until_mono_ns_ = shard_.mono_ns + kStagingAgainNs;
    tell_late(asked);
    asked.late = true;
    late_.splice(late_.begin(), asked_, asked.self);
  }
}

int64_t Routes::next_due_mono_ns() const {
  return staging() && !asked_.empty() ? asked_.back().begun_mono_ns + kStagingWaitNs : INT64_MAX;
}

void Routes::tell_late(Asked& asked) {
  dns::Route unknown;  // temporarily so
  unknown.expires_mono_ns = shard_.mono_ns + kStagingAgainNs;
  asked.ask = site_of(asked, unknown);
  if (asked.ask != nullptr) send(asked);
}

// As the configuration says, and the DNS is not asked; null: it says nothing of the domain.
std::unique_ptr<SiteAsk> Routes::static_site(std::string_view domain) const {
  const StaticRoute* const route = shard_.policy->route_of(domain);
  if (route == nullptr) return nullptr;
  auto ask = std::make_unique<SiteAsk>();
  ask->expires_mono_ns = shard_.mono_ns + kStaticNs;
  Site& site = ask->site;
  site.key = site_key(*route);
  site.route = route->id;
  for (const NextHop& hop : route->hops) {
    site.hosts.push_back({hop.host, static_cast<uint16_t>(site.hosts.size())});
    site.ports.push_back(hop.port);
  }
  name_provider(domain, *ask);
  return ask;
}

// Domains that a provider's rule names are a site of their own, though others have the same hosts.
void Routes::name_provider(std::string_view domain, SiteAsk& ask) const {
  const Policy& policy = *shard_.policy;
  Site& site = ask.site;
  ask.policy_version = policy.version;
  site.rules_key = site.key;
  const std::string_view best = site.hosts.front().name;
  const uint32_t provider = policy.provider_of(domain, best, site.key);
  site.provider = provider;
  site.by_domain = provider != policy.provider_of({}, best, site.key);
  if (site.by_domain) site.key += " for " + policy.providers[provider].name;
}

bool Routes::wants_policy(const Asked& asked) const {
  const Provider& provider = shard_.policy->providers[asked.ask->site.provider];
  return provider.mta_sts && provider.dialogue.tls != smtp::TlsUse::none && !staging();
}

// False: the policy names none of the hosts.
bool Routes::put_under(const tls::StsPolicy& policy, Site& site) {
  if (policy.mode == tls::StsMode::none) return true;
  site.sts = policy.mode;
  dns::Route outside;
  outside.status = dns::RouteStatus::ok;
  for (const dns::MxHost& host : site.hosts) {
    site.outside_policy.push_back(!tls::matches(policy, host.name));
    if (site.outside_policy.back()) outside.hosts.push_back(host);
  }
  // In small letters, for orders name it so.
  std::string behind = policy.mode == tls::StsMode::enforce ? " under mta-sts" : " testing mta-sts";
  if (!outside.hosts.empty()) behind += " without " + dns::site_key(outside);
  site.key = dns::bounded_site_key(site.key + behind);
  if (policy.mode == tls::StsMode::testing) return true;
  std::erase_if(site.hosts,
                [&policy](const dns::MxHost& host) { return !tls::matches(policy, host.name); });
  site.outside_policy.assign(site.hosts.size(), false);
  return !site.hosts.empty();
}

// The question to the site's owner. Null: there is no route, and the home has been told.
std::unique_ptr<SiteAsk> Routes::site_of(const Asked& asked, const dns::Route& route) {
  auto ask = std::make_unique<SiteAsk>();
  ask->expires_mono_ns = route.expires_mono_ns;
  Site& site = ask->site;
  bool loop = false;
  if (route.status == dns::RouteStatus::ok) {
    const dns::HostOrder order =
        dns::order_hosts(route, shard_.settings.own_names, [this] { return shard_.random.next(); });
    loop = order.loop;
    site.key = dns::site_key(route);
    // Hosts that our own name cut off are not part of where we send to: such a site is another
    // one.
    if (order.count < route.hosts.size()) site.key += " below us";
    for (uint8_t i = 0; i < order.count && !loop; ++i)
      site.hosts.push_back(route.hosts[order.index[i]]);
  }
  if (site.hosts.empty() && staging()) {
    // What has no route goes to the one host, too.
    site.key = "without a route";
    site.hosts = {{shard_.policy->redirect_host, 0}};
  }
  if (!site.hosts.empty()) {
    name_provider(asked.domain, *ask);
    return ask;
  }
  auto told = no_route(asked, route.expires_mono_ns);
  if (loop) {
    told->verdict = verdict_of(true, smtp::BounceClass::routing_errors, "mx-loops-to-us");
    told->enhanced = {5, 4, 6};
    told->reason = "we are the best mail host of this domain ourselves, and do not take its mail";
  } else {
    told->verdict = judge_route(route);
    told->enhanced = enhanced_numbers(route.enhanced);
    told->reason = route.reason;
  }
  shard_.exchange.post_home(asked.home, std::move(told));
  return nullptr;
}

void Routes::tell_outside(const Asked& asked) {
  auto told = no_route(asked, asked.ask->expires_mono_ns);
  told->verdict = verdict_of(false, smtp::BounceClass::policy_related, "mta-sts-no-host");
  told->enhanced = {4, 7, 5};
  told->reason = asked.domain + ": its MTA-STS policy names none of its mail hosts";
  sts_.note_fault(asked.domain, tls::StsFault::no_host, told->reason);
  shard_.exchange.post_home(asked.home, std::move(told));
}

std::unique_ptr<RouteTold> Routes::no_route(const Asked& asked, int64_t expires_mono_ns) const {
  auto told = std::make_unique<RouteTold>();
  told->from = shard_.id;
  told->domain_id = asked.domain_id;
  told->expires_mono_ns = expires_mono_ns;
  told->dns_us = us_since(asked);
  return told;
}

uint32_t Routes::us_since(const Asked& asked) const {
  return static_cast<uint32_t>((shard_.mono_ns - asked.begun_mono_ns) / 1000);
}

void Routes::post(Asked& asked) {
  send(asked);
  asked_.erase(asked.self);
}

void Routes::send(Asked& asked) {
  SiteAsk& ask = *asked.ask;
  ask.from = shard_.id;
  ask.asking_home = asked.home;
  ask.domain_id = asked.domain_id;
  ask.dns_us = us_since(asked);
  const unsigned owner = shard_of_site(ask.site.key, shard_.exchange.shards());
  shard_.exchange.post(owner, std::move(asked.ask));
}

void Routes::ask_site(SiteAsk& ask) {
  const auto [found, fresh] =
      numbers_.try_emplace(ask.site.key, static_cast<uint32_t>(sites_.size()));
  if (fresh) {
    auto site = std::make_shared<Site>(std::move(ask.site));
    site->number = found->second * shard_.exchange.shards() + shard_.id;
    site->owner = shard_.id;
    sites_.push_back(std::move(site));
  }
  auto told = std::make_unique<RouteTold>();
  told->from = shard_.id;
  told->domain_id = ask.domain_id;
  told->expires_mono_ns = ask.expires_mono_ns;
  told->dns_us = ask.dns_us;
  told->policy_version = ask.policy_version;
  told->site = sites_[found->second];
  shard_.exchange.post_home(ask.asking_home, std::move(told));
}

}  // namespace veredus
