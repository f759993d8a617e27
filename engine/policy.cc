#include "engine/policy.h"

#include <algorithm>
#include <set>

#include "engine/in_doubt.h"
#include "engine/messages.h"
#include "engine/settings.h"
#include "engine/smtp/reply_rules.h"

namespace veredus {

namespace {

// The place that a name had before, or the next one that nobody has.
template <class T>
uint32_t id_of(const std::string& name, std::vector<T>& made, const std::vector<T>* before) {
  if (before != nullptr) {
    for (const T& old : *before) {
      if (old.name == name) return old.id;
    }
  }
  const auto id = static_cast<uint32_t>(made.size());
  made.emplace_back();
  return id;
}

// As many places as before: what is gone keeps its own, for lanes and events still name it.
template <class T>
void keep_places(std::vector<T>& made, const std::vector<T>* before) {
  if (before != nullptr) made = *before;
}

Provider fallback_of(const EngineSettings& settings) {
  Provider fallback;
  fallback.per_source = settings.fallback_limits;
  fallback.per_source.connections = settings.connections_per_site;
  fallback.per_tenant = settings.fallback_per_tenant;
  fallback.messages_per_connection = settings.messages_per_connection;
  fallback.recipients_per_transaction = settings.recipients_per_transaction;
  fallback.addresses_tried = settings.addresses_tried;
  fallback.idle_close_ns = settings.idle_close_ns;
  fallback.dane = settings.dane;
  fallback.mta_sts = settings.mta_sts;
  fallback.idle_max = settings.idle_max;
  fallback.connection_age_ns = settings.connection_age_ns;
  fallback.host_down_ns = settings.host_down_ns;
  fallback.site_initial_ns = settings.site_initial_ns;
  fallback.family = settings.family;
  fallback.session_limits = settings.session_limits;
  fallback.dialogue = settings.dialogue;
  fallback.retry = settings.retry;
  fallback.in_doubt_delay_ns = settings.in_doubt_delay_ns;
  fallback.windows = settings.windows;
  fallback.origins = settings.fallback_origins;
  return fallback;
}

}  // namespace

std::string_view name_of(Resource resource) {
  switch (resource) {
    case Resource::connections:
      return "connections";
    case Resource::connection_rate:
      return "connection_rate";
    case Resource::message_rate:
      return "message_rate";
    case Resource::byte_rate:
      break;
  }
  return "byte_rate";
}

bool LimitSettings::any() const {
  return connections != 0 ||
         std::any_of(rates.begin(), rates.end(), [](const queue::Rate& r) { return r.limited(); });
}

uint32_t Policy::provider_of(std::string_view domain, std::string_view mx,
                             std::string_view site_key) const {
  const uint32_t first = index.first(domain, mx, site_key);
  return first == ProviderIndex::kNone ? 0 : in_order[first];
}

const Provider& Policy::provider_of(const Site& site) const {
  if (site.by_domain) return providers[site.provider];
  return providers[provider_of({}, site.hosts.front().name, site.rules_key)];
}

const StaticRoute* Policy::route_of(std::string_view domain) const {
  const uint32_t id = route_index.find(domain);
  return id == RouteIndex::kNone ? nullptr : &routes[id];
}

const StaticRoute* Policy::route_of(const Site& site) const {
  if (site.route >= routes.size() || !leads_to(routes[site.route], site)) return nullptr;
  return &routes[site.route];
}

const StaticRoute* Policy::route_of_key(std::string_view site_key) const {
  if (site_key.find(kByRoute) == std::string_view::npos) return nullptr;
  for (const StaticRoute& route : routes) {
    if (route.removed) continue;
    // Where a provider's rule names the domains more is behind it.
    const std::string key = veredus::site_key(route);
    if (site_key == key || site_key.starts_with(key + " for ")) return &route;
  }
  return nullptr;
}

const LimitSettings& Policy::limits_of(const ScopeId& id) const {
  static const LimitSettings none;
  switch (id.kind) {
    case ScopeId::Kind::site:
      return providers[0].per_source;
    case ScopeId::Kind::provider:
      return id.of < providers.size() ? providers[id.of].per_source : none;
    case ScopeId::Kind::source:
      return id.of < sources.size() ? sources[id.of].limits : none;
    case ScopeId::Kind::group:
      return id.of < groups.size() ? groups[id.of].limits : none;
    case ScopeId::Kind::tenant_at_site:
      return providers[0].per_tenant;
    case ScopeId::Kind::tenant_at_provider:
      return id.of < providers.size() ? providers[id.of].per_tenant : none;
    case ScopeId::Kind::global:
      break;
  }
  return global;
}

const SourcePool* Policy::pool_named(std::string_view name) const {
  for (const SourcePool& pool : pools) {
    if (!pool.removed && pool.name == name) return &pool;
  }
  return nullptr;
}

uint32_t Policy::weight_of(std::string_view tenant) const {
  const auto found = tenants.find(tenant);
  return found == tenants.end() ? 1 : found->second.weight;
}

void set_site_clock(Provider& provider) {
  queue::RetryPolicy& retry = provider.retry;
  retry.site_initial_ns =
      provider.site_initial_ns != 0 ? provider.site_initial_ns : provider.host_down_ns;
  retry.site_cap_ns = std::max(retry.site_cap_ns, retry.site_initial_ns);
}

// Before jitter.
static int64_t usual_delay_ns(queue::RetryPolicy retry, uint32_t attempts) {
  retry.jitter = 0;
  return queue::next_delay_ns(retry, attempts, 0);
}

// From now on it waits no less after any attempt than `retry` does, and gives up no earlier.
static void loosen(queue::RetryPolicy& loosest, const queue::RetryPolicy& retry) {
  std::vector<int64_t> intervals;
  for (uint32_t attempts = 1; attempts <= queue::kDelaysMax; ++attempts) {
    // The last one stays.
    const uint32_t then = attempts < queue::kDelaysMax ? attempts : UINT8_MAX;
    intervals.push_back(std::max(usual_delay_ns(loosest, then), usual_delay_ns(retry, then)));
  }
  loosest.intervals_ns = std::move(intervals);
  std::vector<int64_t>& greylist = loosest.greylist_ns;
  greylist.resize(std::max(greylist.size(), retry.greylist_ns.size()));
  for (size_t i = 0; i < retry.greylist_ns.size(); ++i)
    greylist[i] = std::max(greylist[i], retry.greylist_ns[i]);
  loosest.cap_ns = std::max(loosest.cap_ns, retry.cap_ns);
  loosest.jitter = std::max(loosest.jitter, retry.jitter);
  loosest.hint_max_ns = std::max(loosest.hint_max_ns, retry.hint_max_ns);
  loosest.in_doubt_ns = std::max(loosest.in_doubt_ns, retry.in_doubt_ns);
  loosest.max_age_ns = std::max(loosest.max_age_ns, retry.max_age_ns);
}

static void set_retry_bounds(Policy& policy) {
  policy.loosest_retry = policy.strictest_retry = policy.providers[0].retry;
  for (const uint32_t id : policy.in_order) {
    const queue::RetryPolicy& retry = policy.providers[id].retry;
    loosen(policy.loosest_retry, retry);
    policy.strictest_retry.max_age_ns =
        std::min(policy.strictest_retry.max_age_ns, retry.max_age_ns);
  }
}

absl::Status sources_have_places(const EngineSettings& settings, const Policy* before) {
  size_t places = before == nullptr ? 0 : before->sources.size();
  std::set<std::string_view> known;
  if (before != nullptr) {
    for (const SourceSettings& source : before->sources) known.insert(source.name);
  }
  for (const SourceSettings& source : settings.sources) places += known.insert(source.name).second;
  if (places <= kSourcesMax) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "sources: with those that were removed since the start they are " + std::to_string(places) +
      ", more than " + std::to_string(kSourcesMax) + ": restart instead");
}

std::shared_ptr<const Policy> make_policy(const EngineSettings& settings, const Policy* before) {
  // Made when first asked for: not in a shard's turn, with a reply in hand.
  static_cast<void>(smtp::ReplyRules::shipped());
  auto policy = std::make_shared<Policy>();
  policy->version = before == nullptr ? 1 : before->version + 1;

  keep_places(policy->groups, before == nullptr ? nullptr : &before->groups);
  for (ProviderGroup& group : policy->groups) group.limits = LimitSettings{};
  std::vector<uint32_t> group_ids;
  for (const ProviderGroup& group : settings.groups) {
    const uint32_t id =
        id_of(group.name, policy->groups, before == nullptr ? nullptr : &before->groups);
    policy->groups[id] = group;
    policy->groups[id].id = id;
    group_ids.push_back(id);
  }

  keep_places(policy->providers, before == nullptr ? nullptr : &before->providers);
  if (policy->providers.empty()) policy->providers.emplace_back();
  for (Provider& provider : policy->providers) provider.removed = true;
  policy->providers[0] = fallback_of(settings);
  set_site_clock(policy->providers[0]);
  for (const Provider& provider : settings.providers) {
    const uint32_t id =
        id_of(provider.name, policy->providers, before == nullptr ? nullptr : &before->providers);
    Provider& made = policy->providers[id];
    made = provider;
    made.id = id;
    for (uint32_t& group : made.groups) group = group_ids[group];
    set_site_clock(made);
    policy->index.add(static_cast<uint32_t>(policy->in_order.size()), made.mx, made.domains,
                      made.sites);
    policy->in_order.push_back(id);
  }

  keep_places(policy->sources, before == nullptr ? nullptr : &before->sources);
  for (SourceSettings& source : policy->sources) source.removed = true;
  std::vector<uint32_t> source_ids;
  for (const SourceSettings& source : settings.sources) {
    const uint32_t id =
        id_of(source.name, policy->sources, before == nullptr ? nullptr : &before->sources);
    policy->sources[id] = source;
    policy->sources[id].id = id;
    source_ids.push_back(id);
  }

  keep_places(policy->pools, before == nullptr ? nullptr : &before->pools);
  for (SourcePool& pool : policy->pools) {
    pool.removed = true;
    pool.members.clear();
  }
  if (policy->pools.empty()) policy->pools.emplace_back();
  SourcePool& all = policy->pools[0];
  all.name = "default";
  all.removed = false;
  for (const uint32_t id : source_ids) all.members.push_back({id, 1});
  for (const SourcePool& pool : settings.pools) {
    const uint32_t id =
        pool.name == "default"
            ? 0
            : id_of(pool.name, policy->pools, before == nullptr ? nullptr : &before->pools);
    SourcePool& made = policy->pools[id];
    made = pool;
    made.id = id;
    for (SourcePool::Member& member : made.members) member.source = source_ids[member.source];
  }

  keep_places(policy->routes, before == nullptr ? nullptr : &before->routes);
  for (StaticRoute& route : policy->routes) route.removed = true;
  for (const StaticRoute& route : settings.routes) {
    const uint32_t id =
        id_of(route.name, policy->routes, before == nullptr ? nullptr : &before->routes);
    StaticRoute& made = policy->routes[id];
    // The same ones stay the same: sessions that have shown them need not go.
    std::shared_ptr<const smtp::Credentials> shown = std::move(made.credentials);
    made = route;
    made.id = id;
    if (shown != nullptr && made.credentials != nullptr && *shown == *made.credentials)
      made.credentials = std::move(shown);
    policy->route_index.add(made);
  }

  for (const TenantPolicy& tenant : settings.tenants) policy->tenants[tenant.name] = tenant;
  set_retry_bounds(*policy);
  policy->global = settings.global_limits;
  policy->global.connections = settings.connections_total;
  policy->redirect_host = settings.redirect_host;
  policy->redirect = settings.redirect;
  policy->redirect_origin = settings.redirect_origin;
  policy->in_doubt = settings.in_doubt;
  policy->in_doubt_rules = settings.in_doubt_rules;
  policy->early_mail_hosts = settings.early_mail_hosts;
  policy->reply_rules = settings.reply_rules;
  policy->dkim = settings.dkim;
  return policy;
}

}  // namespace veredus
