#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/ports.h"
#include "engine/settings.h"

// The rules of sending that a seed makes up, and how they change. What they mean is said here once
// more, apart from the engine, for those who judge it.
namespace veredus::sim {

// The part of the settings that a reload changes. Providers and members name others by their place,
// as in EngineSettings.
struct Rules {
  std::vector<SourceSettings> sources;
  std::vector<SourcePool> pools;
  std::vector<Provider> providers;  // in order of matching
  std::vector<ProviderGroup> groups;
  std::vector<TenantPolicy> tenants;
  LimitSettings of_site, of_tenant_at_site, global;  // of_site: where no provider fits

  void put_into(EngineSettings& settings) const;
};

// Domain dN is at site S, whose best host is mxS.sim.
std::string mx_of(uint32_t site);
std::string site_key_of(uint32_t site);

// The provider that holds, by its place; −1: none, the site is on its own.
int provider_of(const Rules& rules, std::string_view domain, uint32_t site);

// A scope's name, and what is allowed in it, which lies in the rules: "provider p1 from s2".
struct NamedLimits {
  std::string name;
  const LimitSettings* limits;
};
// Those of a connection; without limits, too.
std::vector<NamedLimits> scopes_of(const Rules& rules, int provider, uint32_t site,
                                   const std::string& source);
NamedLimits tenant_scope_of(const Rules& rules, int provider, uint32_t site,
                            const std::string& tenant);

// Of a scope by such a name; none, if there is no such scope.
LimitSettings limits_named(const Rules& rules, const std::string& scope);

class RuleMaker {
 public:
  // `usual`: what providers are made of, apart from limits.
  RuleMaker(uint64_t seed, uint32_t domains, uint32_t sites, Provider usual);
  Rules first();
  // A few things are others than before. `what`: in words.
  Rules changed(const Rules& before, std::string& what);
  static constexpr uint32_t kTenants = 3;
  // Names that are in all rules.
  const std::vector<std::string>& pools() const { return pool_names_; }

 private:
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  uint64_t between(uint64_t least, uint64_t most) {
    return least + random_.below(most - least + 1);
  }
  uint32_t connections(uint64_t share) { return static_cast<uint32_t>(between(1, 5 * share)); }
  queue::Rate rate(Resource resource, uint64_t share);
  LimitSettings limits(uint64_t share);
  LimitSettings tenant_limits();
  void change_limits(LimitSettings& limits, uint64_t share, bool tenant, std::string& what);
  Provider provider();
  std::string pattern(std::vector<std::string> Provider::*& list);
  void regroup(Provider& provider, size_t groups);
  void make_pools(Rules& rules);

  io::Random random_;
  const uint32_t domains_, sites_;
  const Provider usual_;
  std::vector<SourceSettings> all_sources_;
  std::vector<std::string> pool_names_;
  uint32_t providers_made_ = 0;
};

}  // namespace veredus::sim
