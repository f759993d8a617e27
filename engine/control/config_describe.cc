#include "engine/control/config_special.h"
#include "engine/control/config_table.h"

// The configuration as TOML again, each setting with what it means, its unit, its range and its
// default.

namespace veredus::control {
namespace {

struct Shown {
  std::string value;  // as TOML
  std::string range;
};

template <class Of>
struct Show {
  const Of& of;

  Shown operator()(const DurationKind<Of>& kind) const {
    std::string range = duration_text(kind.min) + " to " + duration_text(kind.max);
    if (kind.zero != nullptr) range += std::string("; 0s: ") + kind.zero;
    return {toml_text(duration_text(kind.field.in(of))), range};
  }
  Shown operator()(const DurationsKind<Of>& kind) const {
    std::vector<std::string> times;
    for (const int64_t ns : kind.field.in(of)) times.push_back(duration_text(ns));
    return {toml_list(times), "at most " + std::to_string(kind.count_max) + ", each " +
                                  duration_text(kind.min) + " to " + duration_text(kind.max)};
  }
  template <class T>
  Shown operator()(const BytesKind<Of, T>& kind) const {
    return {toml_text(bytes_text(kind.field.in(of))),
            bytes_text(kind.min) + " to " + bytes_text(kind.max)};
  }
  template <class T>
  Shown operator()(const CountKind<Of, T>& kind) const {
    std::string range = std::to_string(kind.min) + " to " + std::to_string(kind.max);
    if (kind.zero != nullptr) range += std::string("; 0: ") + kind.zero;
    return {std::to_string(kind.field.in(of)), range};
  }
  Shown operator()(const RealKind<Of>& kind) const {
    return {real_text(kind.field.in(of)), real_text(kind.min) + " to " + real_text(kind.max)};
  }
  Shown operator()(const FlagKind<Of>& kind) const {
    return {kind.field.in(of) ? "true" : "false", ""};
  }
  Shown operator()(const TextKind<Of>& kind) const { return {toml_text(kind.field.in(of)), ""}; }
  Shown operator()(const TextsKind<Of>& kind) const { return {toml_list(kind.field.in(of)), ""}; }
  Shown operator()(const RateKind<Of>& kind) const {
    return {toml_text(rate_text(kind.field.in(of), kind.bytes)),
            kind.bytes ? "bytes per s, min, h or d, as in 10MiB/s; none: no limit"
                       : "per s, min, h or d, as in 1000/min; none: no limit"};
  }
  Shown operator()(const ChoiceKind<Of>& kind) const {
    std::string words;
    for (const std::string_view word : kind.words) {
      if (!words.empty()) words += ", ";
      words += word;
    }
    return {toml_text(kind.words[kind.get(of)]), words};
  }
  Shown operator()(const SpecialKind<Of>& kind) const { return {kind.show(of), ""}; }
};

template <class Of>
Shown shown(const SettingOf<Of>& setting, const Of& of) {
  return std::visit(Show<Of>{of}, setting.kind);
}

std::string with_comment(std::string line, std::string_view help, const std::string& in_brackets) {
  if (line.size() < 40) line.append(40 - line.size(), ' ');
  line += "  # " + std::string(help);
  if (!in_brackets.empty()) line += " (" + in_brackets + ")";
  return line + "\n";
}

// KEY = VALUE, with all there is to say of it. The default where it is another, and is not said
// in words.
template <class Of>
std::string setting_line(const SettingOf<Of>& setting, const Of& of, const Of& defaults) {
  const Shown here = shown(setting, of);
  std::string range = here.range;
  const std::string value = shown(setting, defaults).value;
  if (value != here.value && setting.help.find("default:") == std::string_view::npos) {
    if (!range.empty()) range += "; ";
    range += "default: " + value;
  }
  return with_comment(std::string(setting.key) + " = " + here.value, setting.help, range);
}

template <class Of>
std::string list_lines(Settings<Of> settings, const Of& of) {
  std::string out;
  const Of defaults{};
  for (const SettingOf<Of>& setting : settings) out += setting_line(setting, of, defaults);
  return out;
}

std::string heading_text(const std::string& table, const std::string& name) {
  return "\n[" + table + "." + toml_key(name) + "]\n";
}

// What a provider may say, as a comment: of each only what it does say is shown.
std::string provider_keys() {
  std::string out =
      "\n# [providers.NAME]: what holds of some receivers instead of [smtp], [retry] and "
      "[in_doubt]. The first\n# that fits is taken, in this order. It may say:\n";
  const Config::ProviderRule none{};
  for (const SettingOf<Config::ProviderRule>& setting : provider_settings()) {
    const Shown unset = shown(setting, none);
    const std::string top = top_name(setting.name());
    std::string range = unset.range + (unset.range.empty() ? "" : "; ");
    range += "default: " + (top.empty() ? unset.value : "as " + top);
    out += with_comment("#   " + setting.name(), setting.help, range);
  }
  return out;
}

std::string describe_providers(const Config& config) {
  std::string out = provider_keys();
  for (const Config::ProviderRule& rule : config.providers) {
    out += heading_text("providers", rule.name);
    for (const SettingOf<Config::ProviderRule>& setting : provider_settings()) {
      if (!config.places.contains("providers." + rule.name + "." + setting.name())) continue;
      out += setting.name() + " = " + shown(setting, rule).value + "\n";
    }
  }
  for (const ProviderGroup& group : config.groups) {
    out += heading_text("groups", group.name) + list_lines(group_settings(), group);
  }
  return out;
}

// Of each only what it says, as with providers.
std::string describe_routes(const Config& config) {
  std::string out =
      "\n# [routes.NAME]: where the mail of some domains goes instead of to their mail hosts. The "
      "nearest name holds,\n# in whatever order they stand. It may say:\n";
  const Config::Route none{};
  for (const SettingOf<Config::Route>& setting : route_settings()) {
    const Shown unset = shown(setting, none);
    out += with_comment("#   " + setting.name(), setting.help, unset.range);
  }
  for (const Config::Route& route : config.routes) {
    out += heading_text("routes", route.name);
    for (const SettingOf<Config::Route>& setting : route_settings()) {
      if (!config.places.contains("routes." + route.name + "." + setting.name())) continue;
      const bool hidden = setting.name() == kPasswordSetting;
      out += hidden ? "# " + setting.name() + " is set, and not shown\n"
                    : setting.name() + " = " + shown(setting, route).value + "\n";
    }
  }
  return out;
}

std::string describe_dkim(const Config& config) {
  std::string out =
      "\n# [dkim.NAME]: a signing identity (RFC 6376). Mail is signed by those of the nearest "
      "domain "
      "that its From\n# address is in, or as the batch says. It may say:\n";
  const Config::Dkim none{};
  for (const SettingOf<Config::Dkim>& setting : dkim_settings())
    out += with_comment("#   " + setting.name(), setting.help, shown(setting, none).range);
  for (const Config::Dkim& identity : config.dkim)
    out += heading_text("dkim", identity.name) + list_lines(dkim_settings(), identity);
  return out;
}

std::string describe_sources(const Config& config) {
  std::string out;
  for (const SourceSettings& source : config.sources) {
    out += "\n[[sources]]\n" + list_lines(source_settings(), source);
  }
  for (const Config::Pool& pool : config.pools) {
    std::string sources;
    for (const auto& [name, weight] : pool.sources) {
      if (!sources.empty()) sources += ", ";
      sources += toml_key(name) + " = " + std::to_string(weight);
    }
    out += heading_text("pools", pool.name);
    out += with_comment("sources = {" + sources + "}", "names, with their shares of the mail",
                        "1 to " + std::to_string(kWeightMax));
    out += with_comment(std::string("sticky = ") + (pool.sticky ? "true" : "false"),
                        "a tenant keeps to one of them while that works", "");
  }
  return out;
}

std::string describe_rules(const Config& config) {
  std::string out;
  for (const Config::InDoubtRule& rule : config.in_doubt_rules) {
    out += "\n[[in_doubt.rules]]\n";
    if (!rule.match.empty()) out += "match = " + toml_text(rule.match) + "\n";
    if (!rule.domain.empty()) out += "domain = " + toml_text(rule.domain) + "\n";
    if (rule.policy) out += "policy = " + toml_text(in_doubt_text(*rule.policy)) + "\n";
    if (rule.delay_ns) out += "delay = " + toml_text(duration_text(*rule.delay_ns)) + "\n";
  }
  return out;
}

std::string describe_tenants(const Config& config) {
  std::string out;
  for (const Config::Tenant& tenant : config.tenants) {
    out += heading_text("tenants", tenant.name);
    if (tenant.waiting) {
      out +=
          with_comment("waiting = " + std::to_string(*tenant.waiting), "recipients in the engine",
                       "0 to " + std::to_string(kTenantWaitingMax) +
                           "; 0: no bound; default: as limits.tenant_waiting");
    }
    if (tenant.bytes) {
      out += with_comment("bytes = " + toml_text(bytes_text(*tenant.bytes)),
                          "of its unfinished batches in the spool",
                          "0B to " + bytes_text(kTenantBytesMax) +
                              "; 0: no bound; default: as limits.tenant_bytes");
    }
    if (tenant.weight) {
      out += with_comment("weight = " + std::to_string(*tenant.weight),
                          "its share where tenants compete",
                          "1 to " + std::to_string(kWeightMax) + "; default: 1");
    }
    if (!tenant.windows.empty()) {
      out += with_comment("windows = " + toml_list(tenant.windows),
                          "in which its mail goes out, where the receiver's are open, too",
                          "default: always");
    }
    if (tenant.admission) {
      const std::string_view word = kAdmissionWords[static_cast<size_t>(*tenant.admission)];
      out += with_comment("admission = " + toml_text(word),
                          "what is done about what is found of its messages",
                          "off, warn, fix, refuse; default: as admission.mode");
    }
    if (tenant.admission_ignore) {
      out += with_comment("admission_ignore = " + toml_list(*tenant.admission_ignore),
                          "what is not looked for", "default: as admission.ignore");
    }
  }
  return out;
}

}  // namespace

std::string_view in_doubt_text(InDoubtPolicy policy) {
  return kInDoubtWords[static_cast<size_t>(policy)];
}

std::string redirect_warning(const Config& config) {
  if (config.redirect_host.empty()) return "";
  std::string warning = "ALL mail goes to " + kRedirectSpecial.show(config) +
                        ", none to its recipients' hosts: smtp.redirect";
  const auto place = config.places.find("smtp.redirect");
  if (place == config.places.end()) return warning;
  return warning + ", " + place->second.file + ":" + std::to_string(place->second.line);
}

std::string describe_config(const Config& config) {
  std::string out;
  std::string_view table;
  const Config defaults;
  for (const Setting& setting : all_settings()) {
    if (setting.table != table) {
      table = setting.table;
      if (!out.empty()) out += '\n';
      out += "[" + std::string(table) + "]\n";
    }
    out += setting_line(setting, config, defaults);
  }
  out += describe_sources(config) + describe_rules(config) + describe_tenants(config);
  return out + describe_providers(config) + describe_routes(config) + describe_dkim(config);
}

}  // namespace veredus::control
