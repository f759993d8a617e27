#include "engine/control/reload.h"

#include <algorithm>

#include "engine/control/config_table.h"
#include "engine/control/log.h"
#include "engine/smtp/reply_rules.h"

namespace veredus::control {
namespace {

constexpr size_t kNamesInLog = 30;

using Names = std::vector<std::string>;

// Settings under a heading that are not the same. Set to what holds anyway is no change.
template <class Of>
void compare_settings(Settings<Of> settings, const std::string& heading, const Of& before,
                      const Of& after, Names& changed) {
  for (const SettingOf<Of>& setting : settings) {
    if (!same_value(setting, before, after)) changed.push_back(heading + "." + setting.name());
  }
}

// What came, went or is another, in two lists of things with names.
template <class Of, class Compare>
void compare_named(const std::string& table, const std::vector<Of>& before,
                   const std::vector<Of>& after, Names& changed, const Compare& compare) {
  const auto find = [](const std::vector<Of>& list, const std::string& name) {
    return std::find_if(list.begin(), list.end(), [&](const Of& of) { return of.name == name; });
  };
  for (const Of& one : after) {
    const auto old = find(before, one.name);
    const std::string heading = table + "." + one.name;
    if (old == before.end()) {
      changed.push_back(heading);
    } else {
      compare(heading, *old, one);
    }
  }
  for (const Of& one : before) {
    if (find(after, one.name) == after.end()) changed.push_back(table + "." + one.name);
  }
}

class Comparison {
 public:
  Comparison(const Config& before, const Config& after) : before_(before), after_(after) {}

  // Of those that can change while the engine runs. Those of one value each are not among them.
  Names changed() {
    sources();
    providers();
    routes();
    identities();
    tenants();
    return std::move(changed_);
  }

 private:
  void sources() {
    compare_named(
        "sources", before_.sources, after_.sources, changed_,
        [this](const std::string& heading, const SourceSettings& a, const SourceSettings& b) {
          compare_settings(source_settings(), heading, a, b, changed_);
        });
    compare_named("pools", before_.pools, after_.pools, changed_,
                  [this](const std::string& heading, const Config::Pool& a, const Config::Pool& b) {
                    if (a.sources != b.sources) changed_.push_back(heading + ".sources");
                    if (a.sticky != b.sticky) changed_.push_back(heading + ".sticky");
                  });
  }

  void providers() {
    using Rule = Config::ProviderRule;
    compare_named("providers", before_.providers, after_.providers, changed_,
                  [this](const std::string& heading, const Rule& a, const Rule& b) {
                    for (const SettingOf<Rule>& setting : provider_settings()) {
                      const std::string name = heading + "." + setting.name();
                      // Not set is not the same as set to what holds for all just now.
                      if (before_.places.contains(name) != after_.places.contains(name) ||
                          !same_value(setting, a, b))
                        changed_.push_back(name);
                    }
                  });
    compare_named(
        "groups", before_.groups, after_.groups, changed_,
        [this](const std::string& heading, const ProviderGroup& a, const ProviderGroup& b) {
          compare_settings(group_settings(), heading, a, b, changed_);
        });
    const auto names = [](const Config& config, const Config& other) {
      Names out;
      for (const Rule& rule : config.providers) {
        if (other.places.contains("providers." + rule.name)) out.push_back(rule.name);
      }
      return out;
    };
    if (names(before_, after_) != names(after_, before_)) changed_.push_back("providers");
  }

  void routes() {
    using Route = Config::Route;
    compare_named("routes", before_.routes, after_.routes, changed_,
                  [this](const std::string& heading, const Route& a, const Route& b) {
                    compare_settings(route_settings(), heading, a, b, changed_);
                  });
  }

  void identities() {
    using Dkim = Config::Dkim;
    compare_named("dkim", before_.dkim, after_.dkim, changed_,
                  [this](const std::string& heading, const Dkim& a, const Dkim& b) {
                    compare_settings(dkim_settings(), heading, a, b, changed_);
                  });
  }

  void tenants() {
    using Tenant = Config::Tenant;
    compare_named("tenants", before_.tenants, after_.tenants, changed_,
                  [this](const std::string& heading, const Tenant& a, const Tenant& b) {
                    if (a.waiting != b.waiting) changed_.push_back(heading + ".waiting");
                    if (a.bytes != b.bytes) changed_.push_back(heading + ".bytes");
                    if (a.weight != b.weight) changed_.push_back(heading + ".weight");
                    if (a.windows != b.windows) changed_.push_back(heading + ".windows");
                    if (a.admission != b.admission) changed_.push_back(heading + ".admission");
                    if (a.admission_ignore != b.admission_ignore)
                      changed_.push_back(heading + ".admission_ignore");
                  });
  }

  const Config& before_;
  const Config& after_;
  Names changed_;
};

// The file may say something else under the same name.
void note_reply_rules(const smtp::ReplyRules* before, const smtp::ReplyRules* after,
                      Names& changed) {
  const std::string name = "verdict.rules";
  if (before == nullptr || after == nullptr || before->own_text() == after->own_text()) return;
  if (std::find(changed.begin(), changed.end(), name) == changed.end()) changed.push_back(name);
}

// Of passwords that the file and those it names say; what else there is, the settings say.
void note_credentials(const std::vector<StaticRoute>& before, const std::vector<StaticRoute>& after,
                      Names& changed) {
  for (const StaticRoute& route : after) {
    const auto old = std::find_if(before.begin(), before.end(), [&](const StaticRoute& one) {
      return !one.removed && one.name == route.name;
    });
    if (old == before.end() || old->credentials == nullptr || route.credentials == nullptr)
      continue;
    if (old->credentials->password != route.credentials->password)
      changed.push_back("routes." + route.name + "." + std::string(kPasswordSetting));
  }
}

std::string list_of(const Names& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < kNamesInLog; ++i) {
    if (i > 0) out += ", ";
    out += names[i];
  }
  if (names.size() > kNamesInLog) {
    out += " and " + std::to_string(names.size() - kNamesInLog) + " more";
  }
  return out;
}

void tell(const ReloadPlan& plan) {
  const std::string file = plan.config.file.empty() ? "the defaults" : plan.config.file;
  log_line(LogLevel::notice,
           "reloaded " + file + ": " +
               (plan.applied.empty() ? "nothing has changed that could" : list_of(plan.applied)));
  if (!plan.needs_restart.empty()) {
    log_line(LogLevel::warning, "needs a restart: " + list_of(plan.needs_restart));
  }
  if (const std::string warning = redirect_warning(plan.config); !warning.empty()) {
    log_line(LogLevel::warning, warning);
  }
}

}  // namespace

absl::StatusOr<ReloadPlan> plan_reload(const Config& running, const Config& fresh) {
  ReloadPlan plan;
  plan.config = fresh;
  for (const Setting& setting : all_settings()) {
    if (same_value(setting, running, fresh)) continue;
    if (setting.applies == Applies::at_reload) {
      plan.applied.push_back(setting.name());
    } else {
      plan.needs_restart.push_back(setting.name());
      copy_value(setting, running, plan.config);
    }
  }
  if (running.in_doubt_rules != fresh.in_doubt_rules) plan.applied.push_back("in_doubt.rules");
  for (std::string& name : Comparison(running, fresh).changed())
    plan.applied.push_back(std::move(name));
  for (const ConfigFault& fault : check_config(plan.config)) {
    return absl::FailedPreconditionError(fault.setting + " " + fault.what + ", as long as " +
                                         list_of(plan.needs_restart) +
                                         " is what it was at start: restart instead");
  }
  return plan;
}

absl::StatusOr<ReloadPlan> Reload::put_in_force() {
  const absl::StatusOr<Config> fresh = read_();
  if (!fresh.ok()) return fresh.status();
  absl::StatusOr<ReloadPlan> plan = plan_reload(running_, *fresh);
  if (!plan.ok()) return plan.status();
  const absl::StatusOr<EngineSettings> settings =
      engine_settings(plan->config, {settings_.dkim.get(), nullptr});
  if (!settings.ok()) return settings.status();
  if (absl::Status fit = sources_have_places(*settings, &view_.policy()); !fit.ok()) return fit;
  note_reply_rules(view_.policy().reply_rules.get(), settings->reply_rules.get(), plan->applied);
  note_credentials(view_.policy().routes, settings->routes, plan->applied);
  view_.apply(*settings);
  intake_.apply(intake_settings(plan->config, *settings));
  running_ = plan->config;
  settings_ = *settings;
  key_faults_.clear();
  return plan;
}

Reload::Reload(Config running, EngineSettings settings, Read read, EngineView& view,
               intake::Intake& intake)
    : running_(std::move(running)),
      settings_(std::move(settings)),
      read_(std::move(read)),
      view_(view),
      intake_(intake) {}

void Reload::look_at_keys() {
  KeyLook look = control::look_at_keys(running_, settings_);
  for (const KeyFault& fault : look.faults) {
    if (std::find(key_faults_.begin(), key_faults_.end(), fault) != key_faults_.end()) continue;
    log_line(
        LogLevel::error,
        "a signing key has changed and cannot be used, the one before stays in use: " + fault.what);
  }
  key_faults_ = std::move(look.faults);
  if (!look.changed) return;
  view_.apply(settings_);
  intake_.apply(intake_settings(running_, settings_));
  log_line(LogLevel::notice, "signing keys have changed, and were read again");
}

absl::StatusOr<ReloadPlan> Reload::run() {
  absl::StatusOr<ReloadPlan> plan = put_in_force();
  if (plan.ok()) {
    tell(*plan);
  } else {
    log_line(LogLevel::error,
             "not reloaded, all stays as it was: " + std::string(plan.status().message()));
  }
  return plan;
}

}  // namespace veredus::control
