#include "engine/control/config_table.h"
#include "engine/control/config_windows.h"
#include "engine/control/settings.h"

// How mail is sent: what the engine is told of it, each value with where it was set.

namespace veredus::control {

Origin origin_of(const Config& config, const std::string& setting, const std::string& told) {
  Origin origin;
  origin.setting = told.empty() ? setting : told;
  const auto place = config.places.find(setting);
  if (place == config.places.end()) return origin;
  origin.file = place->second.file;
  origin.line = place->second.line;
  return origin;
}

namespace {

// Settings that say a thing in two places.
void agree(Provider& provider) {
  const auto limit = [&provider](smtp::Phase phase) -> int64_t& {
    return provider.dialogue.time_limit_ns[static_cast<size_t>(phase)];
  };
  limit(smtp::Phase::connect) = provider.session_limits.connect_ns;
  limit(smtp::Phase::helo) = limit(smtp::Phase::ehlo);
  provider.retry.in_doubt_ns = provider.in_doubt_delay_ns;
}

// Of all settings that a provider may have: as `name_of_setting` calls them in the file.
template <class NameOf>
void note_origins(const Config& config, Provider& provider, const NameOf& name_in_file) {
  for (const SettingOf<Config::ProviderRule>& setting : provider_settings()) {
    const std::string name = setting.name();
    Origin origin = origin_of(config, name_in_file(name));
    if (origin.line != 0) provider.origins[name] = origin;
    for (size_t i = 0; i < kResources; ++i) {
      const std::string resource(name_of(static_cast<Resource>(i)));
      if (name == resource) provider.per_source.origins[i] = origin;
      if (name == "tenant_" + resource) provider.per_tenant.origins[i] = origin;
    }
  }
}

// The limits under one heading. `told`: what people are told instead.
void note_limits(const Config& config, const std::string& heading, LimitSettings& limits,
                 const std::string& told) {
  for (size_t i = 0; i < kResources; ++i) {
    const std::string key = "." + std::string(name_of(static_cast<Resource>(i)));
    limits.origins[i] = origin_of(config, heading + key, told + key);
  }
}

void set_fallback(const Config& config, EngineSettings& settings) {
  Provider fallback = config.fallback;
  agree(fallback);
  set_site_clock(fallback);
  note_origins(config, fallback, [](const std::string& name) { return top_name(name); });
  settings.connections_per_site = fallback.per_source.connections;
  settings.messages_per_connection = fallback.messages_per_connection;
  settings.recipients_per_transaction = fallback.recipients_per_transaction;
  settings.addresses_tried = fallback.addresses_tried;
  settings.idle_close_ns = fallback.idle_close_ns;
  settings.dane = fallback.dane;
  settings.mta_sts = fallback.mta_sts;
  settings.idle_max = fallback.idle_max;
  settings.connection_age_ns = fallback.connection_age_ns;
  settings.host_down_ns = fallback.host_down_ns;
  settings.site_initial_ns = fallback.site_initial_ns;
  settings.family = fallback.family;
  settings.session_limits = fallback.session_limits;
  settings.dialogue = fallback.dialogue;
  settings.dialogue.ehlo_name = config.hostname;
  settings.retry = fallback.retry;
  settings.fallback_limits = fallback.per_source;
  settings.fallback_per_tenant = fallback.per_tenant;
  settings.fallback_origins = std::move(fallback.origins);
  settings.windows = windows_of(config.windows);
  settings.in_doubt = config.in_doubt;
  settings.in_doubt_delay_ns = fallback.in_doubt_delay_ns;
  for (const Config::InDoubtRule& rule : config.in_doubt_rules) {
    const std::string heading =
        "in_doubt.rules[" + std::to_string(settings.in_doubt_rules.size()) + "].";
    settings.in_doubt_rules.push_back(
        {rule.match, rule.domain, rule.policy.value_or(config.in_doubt),
         rule.delay_ns.value_or(fallback.in_doubt_delay_ns),
         origin_of(config, rule.policy ? heading + "policy" : "in_doubt.policy"),
         origin_of(config, rule.delay_ns ? heading + "delay" : "in_doubt.delay")});
  }
}

void set_providers(const Config& config, EngineSettings& settings) {
  for (const ProviderGroup& group : config.groups) {
    settings.groups.push_back(group);
    const std::string heading = "groups." + group.name;
    note_limits(config, heading, settings.groups.back().limits, heading);
  }
  for (const Config::ProviderRule& rule : config.providers) {
    Provider provider = complete_provider(config, rule);
    set_site_clock(provider);
    provider.dialogue.ehlo_name = config.hostname;
    for (const std::string& group : rule.groups) {
      for (uint32_t i = 0; i < config.groups.size(); ++i) {
        if (config.groups[i].name == group) provider.groups.push_back(i);
      }
    }
    settings.providers.push_back(std::move(provider));
  }
}

void set_sources(const Config& config, EngineSettings& settings) {
  settings.sources = config.sources;
  for (size_t i = 0; i < settings.sources.size(); ++i) {
    SourceSettings& source = settings.sources[i];
    const std::string heading = "sources[" + std::to_string(i) + "]";
    const std::string told = "sources." + source.name;
    note_limits(config, heading, source.limits, told);
    if (source.address.family != 0)
      source.address_origin = origin_of(config, heading + ".address", told + ".address");
  }
  for (const Config::Pool& pool : config.pools) {
    SourcePool made;
    made.name = pool.name;
    made.sticky = pool.sticky;
    for (const auto& [name, weight] : pool.sources) {
      for (uint32_t i = 0; i < config.sources.size(); ++i) {
        if (config.sources[i].name == name) made.members.push_back({i, weight});
      }
    }
    settings.pools.push_back(std::move(made));
  }
}

}  // namespace

Provider complete_provider(const Config& config, const Config::ProviderRule& rule) {
  const std::string heading = "providers." + rule.name + ".";
  Config::ProviderRule whole{rule.name, config.fallback, {}, config.windows};
  whole.sending.name = rule.name;
  for (const SettingOf<Config::ProviderRule>& setting : provider_settings()) {
    if (config.places.contains(heading + setting.name())) copy_value(setting, rule, whole);
  }
  agree(whole.sending);
  whole.sending.windows = windows_of(whole.windows);
  note_origins(config, whole.sending, [&](const std::string& name) {
    const std::string top = top_name(name);
    return top.empty() || config.places.contains(heading + name) ? heading + name : top;
  });
  return std::move(whole.sending);
}

void set_sending(const Config& config, EngineSettings& settings) {
  settings.smtp_port = config.smtp_port;
  settings.early_mail_hosts = config.early_mail_hosts;
  set_fallback(config, settings);
  set_providers(config, settings);
  set_sources(config, settings);
  settings.connections_total = config.global.connections;
  settings.global_limits = config.global;
  note_limits(config, "smtp", settings.global_limits, "smtp");
  settings.global_limits.origins[0] = origin_of(config, "smtp.connections_total");
  settings.redirect_host = config.redirect_host;
  settings.redirect = config.redirect;
  if (!config.redirect_host.empty()) {
    settings.redirect_origin = origin_of(config, "smtp.redirect");
  }
  for (const Config::Tenant& tenant : config.tenants) {
    TenantPolicy made;
    made.name = tenant.name;
    made.weight = tenant.weight.value_or(1);
    made.weight_origin = origin_of(config, "tenants." + tenant.name + ".weight");
    made.windows = windows_of(tenant.windows);
    made.windows_origin = origin_of(config, "tenants." + tenant.name + ".windows");
    settings.tenants.push_back(std::move(made));
  }
}

}  // namespace veredus::control
