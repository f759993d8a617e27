#include "tests/sim/rules.h"

#include <algorithm>
#include <utility>

#include "queue/names.h"

namespace veredus::sim {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr Resource kRates[] = {Resource::connection_rate, Resource::message_rate,
                               Resource::byte_rate};

bool fits_any(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [name](const std::string& pattern) {
    return queue::fits_name(pattern, name);
  });
}

queue::Rate& rate_in(LimitSettings& limits, Resource resource) {
  return limits.rates[static_cast<size_t>(resource)];
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// what they mean

void Rules::put_into(EngineSettings& settings) const {
  settings.sources = sources;
  settings.pools = pools;
  settings.providers = providers;
  settings.groups = groups;
  settings.tenants = tenants;
  settings.connections_per_site = of_site.connections;
  settings.fallback_limits = of_site;
  settings.fallback_per_tenant = of_tenant_at_site;
  settings.connections_total = global.connections;
  settings.global_limits = global;
}

std::string mx_of(uint32_t site) {
  return "mx" + std::to_string(site) + ".sim";
}

std::string site_key_of(uint32_t site) {
  return "mx" + std::to_string(site) + "-b.sim," + mx_of(site);
}

int provider_of(const Rules& rules, std::string_view domain, uint32_t site) {
  for (size_t i = 0; i < rules.providers.size(); ++i) {
    const Provider& provider = rules.providers[i];
    const auto& sites = provider.sites;
    if (fits_any(provider.mx, mx_of(site)) || fits_any(provider.domains, domain) ||
        std::find(sites.begin(), sites.end(), site_key_of(site)) != sites.end())
      return static_cast<int>(i);
  }
  return -1;
}

std::vector<NamedLimits> scopes_of(const Rules& rules, int provider, uint32_t site,
                                   const std::string& source) {
  std::vector<NamedLimits> scopes;
  const std::string from = " from " + source;
  if (provider < 0) {
    scopes.push_back({"site " + std::to_string(site) + from, &rules.of_site});
  } else {
    const Provider& one = rules.providers[static_cast<size_t>(provider)];
    scopes.push_back({"provider " + one.name + from, &one.per_source});
    for (const uint32_t group : one.groups)
      scopes.push_back({"group " + rules.groups[group].name, &rules.groups[group].limits});
  }
  for (const SourceSettings& each : rules.sources) {
    if (each.name == source) scopes.push_back({"source " + source, &each.limits});
  }
  scopes.push_back({"the whole", &rules.global});
  return scopes;
}

NamedLimits tenant_scope_of(const Rules& rules, int provider, uint32_t site,
                            const std::string& tenant) {
  if (provider < 0)
    return {"tenant " + tenant + " at site " + std::to_string(site), &rules.of_tenant_at_site};
  const Provider& one = rules.providers[static_cast<size_t>(provider)];
  return {"tenant " + tenant + " at provider " + one.name, &one.per_tenant};
}

LimitSettings limits_named(const Rules& rules, const std::string& scope) {
  const auto word = [&](size_t number) {
    size_t at = 0;
    for (; number > 0; --number) at = scope.find(' ', at) + 1;
    return scope.substr(at, scope.find(' ', at) - at);
  };
  const auto named = [](const auto& list, const std::string& name) {
    return std::find_if(list.begin(), list.end(),
                        [&](const auto& each) { return each.name == name; });
  };
  const std::string kind = word(0);
  if (kind == "site") return rules.of_site;
  if (kind == "provider") {
    const auto found = named(rules.providers, word(1));
    return found == rules.providers.end() ? LimitSettings() : found->per_source;
  }
  if (kind == "group") {
    const auto found = named(rules.groups, word(1));
    return found == rules.groups.end() ? LimitSettings() : found->limits;
  }
  if (kind == "source") {
    const auto found = named(rules.sources, word(1));
    return found == rules.sources.end() ? LimitSettings() : found->limits;
  }
  if (kind != "tenant") return rules.global;
  if (word(3) == "site") return rules.of_tenant_at_site;
  const auto found = named(rules.providers, word(4));
  return found == rules.providers.end() ? LimitSettings() : found->per_tenant;
}

// -------------------------------------------------------------------------------------------------
// what a seed makes of them

RuleMaker::RuleMaker(uint64_t seed, uint32_t domains, uint32_t sites, Provider usual)
    : random_(seed), domains_(domains), sites_(sites), usual_(std::move(usual)) {
  const uint64_t sources = between(2, 4);
  for (uint64_t i = 1; i <= sources; ++i) {
    SourceSettings source;
    source.name = "s" + std::to_string(i);
    source.ehlo = source.name + ".sim";
    source.address.family = 4;
    source.address.address = {192, 0, 2, static_cast<uint8_t>(i)};
    if (one_in(2)) source.limits = limits(8);
    all_sources_.push_back(std::move(source));
  }
  pool_names_ = {"default"};
  for (uint64_t i = random_.below(3); i > 0; --i) pool_names_.push_back("l" + std::to_string(i));
}

// `share`: how much larger than what one of the smallest has. Whatever it is, all mail of a world
// goes through within the hours that the world has.
queue::Rate RuleMaker::rate(Resource resource, uint64_t share) {
  queue::Rate made;
  const uint64_t kind = random_.below(8);
  const uint64_t seconds = kind == 0 ? 600 : kind < 3 ? 60 : kind < 5 ? 10 : 1;
  made.per_ns = static_cast<int64_t>(seconds) * kSecond;
  uint64_t per_second = between(1, 8) * share;
  if (resource == Resource::message_rate) per_second = between(2, 25) * share;
  if (resource == Resource::byte_rate) per_second = between(1'000, 12'000) * share;
  made.count = per_second * seconds;
  // One a second or less: what it has granted is kept over a start.
  if (resource != Resource::byte_rate && share <= 4 && seconds > 1 && one_in(2))
    made.count = between(1 + seconds / 20, seconds - 1);
  return made;
}

LimitSettings RuleMaker::limits(uint64_t share) {
  LimitSettings made;
  if (!one_in(3)) made.connections = connections(share);
  for (const Resource resource : kRates) {
    if (one_in(4)) rate_in(made, resource) = rate(resource, share);
  }
  return made;
}

// Of a tenant transactions at a time and messages are limited, nothing else.
LimitSettings RuleMaker::tenant_limits() {
  LimitSettings made;
  if (one_in(3)) made.connections = connections(1);
  if (one_in(3)) rate_in(made, Resource::message_rate) = rate(Resource::message_rate, 1);
  return made;
}

void RuleMaker::regroup(Provider& provider, size_t groups) {
  provider.groups.clear();
  for (uint32_t group = 0; group < groups; ++group) {
    if (one_in(2)) provider.groups.push_back(group);
  }
}

// One by which some mail is found; the hot site's more often than others'.
std::string RuleMaker::pattern(std::vector<std::string> Provider::*& list) {
  const uint64_t kind = random_.below(8);
  const auto number = one_in(3) ? 0 : static_cast<uint32_t>(random_.below(sites_));
  list = &Provider::mx;
  if (kind == 0) return ".sim";
  if (kind < 4) return mx_of(number);
  if (kind < 6) {
    list = &Provider::sites;
    return site_key_of(number);
  }
  list = &Provider::domains;
  return "d" + std::to_string(one_in(3) ? 0 : 1 + random_.below(domains_)) + ".sim";
}

Provider RuleMaker::provider() {
  Provider made = usual_;
  made.name = "p" + std::to_string(++providers_made_);
  for (uint64_t i = between(1, 4); i > 0; --i) {
    std::vector<std::string> Provider::*list = nullptr;
    std::string text = pattern(list);
    (made.*list).push_back(std::move(text));
  }
  made.per_source = limits(2);
  if (one_in(2)) made.per_tenant = tenant_limits();
  if (one_in(3)) made.messages_per_connection = static_cast<unsigned>(between(2, 10));
  return made;
}

void RuleMaker::make_pools(Rules& rules) {
  rules.pools.clear();
  for (const std::string& name : pool_names_) {
    SourcePool pool;
    pool.name = name;
    for (uint32_t source = 0; source < rules.sources.size(); ++source) {
      if (name != "default" && one_in(2)) continue;
      pool.members.push_back({source, static_cast<uint32_t>(between(1, 4))});
    }
    if (pool.members.empty())
      pool.members.push_back({static_cast<uint32_t>(random_.below(rules.sources.size())), 1});
    rules.pools.push_back(std::move(pool));
  }
}

Rules RuleMaker::first() {
  Rules rules;
  rules.sources = all_sources_;
  for (uint64_t i = random_.below(3); i > 0; --i) {
    ProviderGroup group;
    group.name = "g" + std::to_string(i);
    group.limits = limits(4);
    rules.groups.push_back(std::move(group));
  }
  for (uint64_t i = between(1, 4); i > 0; --i) {
    rules.providers.push_back(provider());
    regroup(rules.providers.back(), rules.groups.size());
  }
  make_pools(rules);
  for (uint32_t i = 0; i < kTenants; ++i) {
    TenantPolicy tenant;
    tenant.name = "t" + std::to_string(i);
    tenant.weight = 1u << random_.below(4);
    rules.tenants.push_back(std::move(tenant));
  }
  rules.of_site = limits(2);
  // A site on its own has a limit always: 0 would be none.
  rules.of_site.connections = connections(2);
  if (one_in(3)) rules.of_tenant_at_site = tenant_limits();
  rules.global = limits(20);
  if (rules.global.connections == 0) rules.global.connections = 10'000;
  return rules;
}

// Raised, lowered, removed, or there anew.
void RuleMaker::change_limits(LimitSettings& limits, uint64_t share, bool tenant,
                              std::string& what) {
  if (one_in(2)) {
    const uint32_t before = limits.connections;
    limits.connections = one_in(5) ? 0 : connections(tenant ? 1 : share);
    what += " connections " + std::to_string(before) + " to " + std::to_string(limits.connections);
    return;
  }
  const Resource resource = tenant ? Resource::message_rate : kRates[random_.below(3)];
  queue::Rate& rate_here = rate_in(limits, resource);
  const queue::Rate before = rate_here;
  if (before.limited() && one_in(3)) {
    rate_here = queue::Rate();
  } else {
    rate_here = rate(resource, tenant ? 1 : share);
    if (before.limited() && one_in(2)) {
      rate_here.count =
          std::max<uint64_t>(1, rate_here.count * static_cast<uint64_t>(before.per_ns) /
                                    static_cast<uint64_t>(rate_here.per_ns));
      rate_here.per_ns = before.per_ns;
    }
  }
  const auto text = [](const queue::Rate& rate) {
    return rate.limited()
               ? std::to_string(rate.count) + " per " + std::to_string(rate.per_ns / kSecond) + " s"
               : std::string("none");
  };
  what += " " + std::string(name_of(resource)) + " " + text(before) + " to " + text(rate_here);
}

Rules RuleMaker::changed(const Rules& before, std::string& what) {
  Rules rules = before;
  for (uint64_t changes = between(1, 3); changes > 0; --changes) {
    if (!what.empty()) what += ",";
    const auto any_provider = [&]() -> Provider& {
      return rules.providers[random_.below(rules.providers.size())];
    };
    const uint64_t kind = random_.below(14);
    if (kind < 4 && !rules.providers.empty()) {
      Provider& provider = any_provider();
      what += " provider " + provider.name;
      change_limits(provider.per_source, 2, false, what);
    } else if (kind == 4 && !rules.providers.empty()) {
      Provider& provider = any_provider();
      what += " tenants at provider " + provider.name;
      change_limits(provider.per_tenant, 1, true, what);
    } else if (kind == 5) {
      what += " whole";
      change_limits(rules.global, 20, false, what);
      if (rules.global.connections == 0) rules.global.connections = 10'000;
    } else if (kind == 6) {
      what += " sites";
      change_limits(rules.of_site, 2, false, what);
      if (rules.of_site.connections == 0) rules.of_site.connections = 1;
    } else if (kind == 7 && !rules.groups.empty()) {
      ProviderGroup& group = rules.groups[random_.below(rules.groups.size())];
      what += " group " + group.name;
      change_limits(group.limits, 4, false, what);
    } else if (kind == 8) {
      SourceSettings& source = rules.sources[random_.below(rules.sources.size())];
      what += " source " + source.name;
      change_limits(source.limits, 8, false, what);
      for (SourceSettings& known : all_sources_) {
        if (known.name == source.name) known = source;
      }
    } else if (kind == 9 && rules.providers.size() < 6) {
      rules.providers.insert(rules.providers.begin() + static_cast<std::ptrdiff_t>(random_.below(
                                                           rules.providers.size() + 1)),
                             provider());
      what += " provider " + rules.providers.back().name + " comes";
    } else if (kind == 10 && !rules.providers.empty()) {
      const auto at = static_cast<std::ptrdiff_t>(random_.below(rules.providers.size()));
      what += " provider " + rules.providers[static_cast<size_t>(at)].name + " goes";
      rules.providers.erase(rules.providers.begin() + at);
    } else if (kind == 11 && !rules.providers.empty()) {
      Provider& provider = any_provider();
      what += " provider " + provider.name + " has other groups and patterns";
      regroup(provider, rules.groups.size());
      std::vector<std::string> Provider::*list = nullptr;
      std::string text = pattern(list);
      if (!(provider.*list).empty()) (provider.*list).pop_back();
      (provider.*list).push_back(std::move(text));
    } else if (kind == 12 && rules.sources.size() > 1) {
      const auto at = static_cast<std::ptrdiff_t>(random_.below(rules.sources.size()));
      what += " source " + rules.sources[static_cast<size_t>(at)].name + " goes";
      rules.sources.erase(rules.sources.begin() + at);
      make_pools(rules);
    } else {
      what += " all sources, other pools";
      rules.sources = all_sources_;
      make_pools(rules);
      for (TenantPolicy& tenant : rules.tenants) tenant.weight = 1u << random_.below(4);
    }
  }
  return rules;
}

}  // namespace veredus::sim
