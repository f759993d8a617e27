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

smtp::Verdict no_route(bool permanent, smtp::BounceClass bounce_class, std::string_view rule) {
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
      return no_route(true, smtp::BounceClass::bad_domain, "null-mx");
    case dns::RouteStatus::no_such_domain:
      return no_route(true, smtp::BounceClass::bad_domain, "no-such-domain");
    case dns::RouteStatus::no_mail_host:
      return no_route(true, smtp::BounceClass::bad_domain, "no-mail-host");
    case dns::RouteStatus::ok:
    case dns::RouteStatus::temporary:
      break;
  }
  return no_route(false, smtp::BounceClass::routing_errors, "dns-temporary");
}

}  // namespace

Routes::Routes(ShardContext& shard, dns::Router& router) : shard_(shard), router_(router) {}
Routes::~Routes() = default;

void Routes::ask(RouteAsk& ask) {
  if (const dns::Route* known = router_.cached(ask.domain, shard_.mono_ns)) {
    return tell(ask.asking_home, ask.domain_id, ask.domain, *known, 0);
  }
  if (staging() && shard_.mono_ns < silent_until_mono_ns_)
    return tell_late(ask.asking_home, ask.domain_id, ask.domain, 0);
  asked_.emplace_front();
  Asked& asked = asked_.front();
  asked.routes = this;
  asked.self = asked_.begin();
  asked.home = ask.asking_home;
  asked.domain_id = ask.domain_id;
  asked.begun_mono_ns = shard_.mono_ns;
  asked.domain = std::move(ask.domain);
  Counters::add(shard_.counters.lookups);
  if (const dns::Route* known = router_.resolve(asked.domain, asked)) {
    tell(asked.home, asked.domain_id, asked.domain, *known, 0);
    asked_.pop_front();
  }
}

void Routes::Asked::on_route(const dns::Route& route) {
  Routes& owner = *routes;
  if (route.status != dns::RouteStatus::temporary) owner.answered_mono_ns_ = owner.shard_.mono_ns;
  if (late) {
    owner.late_.erase(self);
    return;
  }
  owner.tell(home, domain_id, domain, route,
             static_cast<uint32_t>((owner.shard_.mono_ns - begun_mono_ns) / 1000));
  owner.asked_.erase(self);
}

// Where mail goes does not depend on the answer, only which rules it goes by. If nothing at all was
// answered meanwhile, others need not wait in vain, either.
void Routes::run() {
  if (!staging()) return;
  while (!asked_.empty() && asked_.back().begun_mono_ns + kStagingWaitNs <= shard_.mono_ns) {
    Asked& asked = asked_.back();
    const int64_t took_ns = shard_.mono_ns - asked.begun_mono_ns;
    if (answered_mono_ns_ < asked.begun_mono_ns)
      silent_until_mono_ns_ = shard_.mono_ns + kStagingAgainNs;
    tell_late(asked.home, asked.domain_id, asked.domain, static_cast<uint32_t>(took_ns / 1000));
    asked.late = true;
    late_.splice(late_.begin(), asked_, asked.self);
  }
}

int64_t Routes::next_due_mono_ns() const {
  return staging() && !asked_.empty() ? asked_.back().begun_mono_ns + kStagingWaitNs : INT64_MAX;
}

void Routes::tell_late(uint16_t home, uint32_t domain_id, std::string_view domain,
                       uint32_t dns_us) {
  dns::Route unknown;  // temporarily so
  unknown.expires_mono_ns = shard_.mono_ns + kStagingAgainNs;
  tell(home, domain_id, domain, unknown, dns_us);
}

// Domains that a provider's rule names are a site of their own, though others have the same hosts.
void Routes::name_provider(std::string_view domain, SiteAsk& ask) const {
  const Policy& policy = *shard_.policy;
  ask.policy_version = policy.version;
  const std::string_view best = ask.hosts.front().name;
  const uint32_t provider = policy.provider_of(domain, best, ask.key);
  if (provider == policy.provider_of({}, best, ask.key)) return;
  ask.provider = provider;
  ask.by_domain = true;
  ask.key += " for " + policy.providers[provider].name;
}

void Routes::tell(uint16_t home, uint32_t domain_id, std::string_view domain,
                  const dns::Route& route, uint32_t dns_us) {
  if (route.status == dns::RouteStatus::ok) {
    const dns::HostOrder order =
        dns::order_hosts(route, shard_.settings.own_names, [this] { return shard_.random.next(); });
    if (!order.loop) {
      auto ask = std::make_unique<SiteAsk>();
      ask->from = shard_.id;
      ask->asking_home = home;
      ask->domain_id = domain_id;
      ask->expires_mono_ns = route.expires_mono_ns;
      ask->dns_us = dns_us;
      ask->key = dns::site_key(route);
      // Hosts that our own name cut off are not part of where we send to: such a site is another
      // one.
      if (order.count < route.hosts.size()) ask->key += " below us";
      for (uint8_t i = 0; i < order.count; ++i) ask->hosts.push_back(route.hosts[order.index[i]]);
      name_provider(domain, *ask);
      const unsigned owner = shard_of_site(ask->key, shard_.exchange.shards());
      return shard_.exchange.post(owner, std::move(ask));
    }
  }
  // Staging: what has no route goes to the one host, too.
  if (staging()) {
    auto ask = std::make_unique<SiteAsk>();
    ask->from = shard_.id;
    ask->asking_home = home;
    ask->domain_id = domain_id;
    ask->expires_mono_ns = route.expires_mono_ns;
    ask->dns_us = dns_us;
    ask->key = "without a route";
    ask->hosts = {{shard_.policy->redirect_host, 0}};
    name_provider(domain, *ask);
    const unsigned owner = shard_of_site(ask->key, shard_.exchange.shards());
    return shard_.exchange.post(owner, std::move(ask));
  }
  auto told = std::make_unique<RouteTold>();
  told->from = shard_.id;
  told->domain_id = domain_id;
  told->expires_mono_ns = route.expires_mono_ns;
  told->dns_us = dns_us;
  if (route.status == dns::RouteStatus::ok) {
    told->verdict = no_route(true, smtp::BounceClass::routing_errors, "mx-loops-to-us");
    told->enhanced = {5, 4, 6};
    told->reason = "we are the best mail host of this domain ourselves, and do not take its mail";
  } else {
    told->verdict = judge_route(route);
    told->enhanced = enhanced_numbers(route.enhanced);
    told->reason = route.reason;
  }
  shard_.exchange.post_home(home, std::move(told));
}

void Routes::ask_site(SiteAsk& ask) {
  const auto [found, fresh] = numbers_.try_emplace(ask.key, static_cast<uint32_t>(sites_.size()));
  if (fresh) {
    auto site = std::make_shared<Site>();
    site->number = found->second * shard_.exchange.shards() + shard_.id;
    site->owner = shard_.id;
    site->key = ask.key;
    site->provider = ask.provider;
    site->by_domain = ask.by_domain;
    site->hosts = std::move(ask.hosts);
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
