#include "engine/control/api_sites.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "engine/control/api_events.h"
#include "engine/control/condition_json.h"
#include "engine/intake/json_writer.h"

namespace veredus::control {
namespace {

// What two shards say of one site, or provider.
void merge(SiteState from, SiteState& into) {
  into.waiting += from.waiting;
  into.ready += from.ready;
  into.in_flight += from.in_flight;
  into.delivered += from.delivered;
  into.deferred += from.deferred;
  into.failed += from.failed;
  into.in_doubt += from.in_doubt;
  into.connections += from.connections;
  into.dialling += from.dialling;
  into.idle += from.idle;
  into.down_until_mono_ns = std::max(into.down_until_mono_ns, from.down_until_mono_ns);
  if (from.last_reply_mono_ns > into.last_reply_mono_ns) {
    into.last_reply_mono_ns = from.last_reply_mono_ns;
    into.last_reply = std::move(from.last_reply);
  }
  constexpr size_t kDomainsTold = 3;
  const auto add = [](std::vector<std::string>& more, std::vector<std::string>& names) {
    for (std::string& name : more) {
      if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
  };
  add(from.domains, into.domains);
  into.domains.resize(std::min(into.domains.size(), kDomainsTold));
  add(from.sources, into.sources);
  std::sort(into.sources.begin(), into.sources.end());
  merge_conditions(std::move(from.conditions), into.conditions);
}

bool holds_back(const Condition& condition) {
  static constexpr std::array<std::string_view, 5> kNot = {"turn", "busy", "priority", "fairness",
                                                           "behind"};
  return std::find(kNot.begin(), kNot.end(), condition.what) == kNot.end();
}

// In a word.
std::string_view state_of(const SiteState& site, int64_t mono_ns) {
  const auto is = [](const char* what) {
    return [what](const Condition& condition) { return condition.what == what; };
  };
  const auto& conditions = site.conditions;
  if (site.no_site) return "no_site";
  if (std::any_of(conditions.begin(), conditions.end(), is("suspended"))) return "suspended";
  if (site.down_until_mono_ns > mono_ns) return "down";
  if (site.ready > 0 && std::any_of(conditions.begin(), conditions.end(), holds_back))
    return "limited";
  if (site.in_flight > 0 || site.ready > 0) return "sending";
  return site.waiting > 0 ? "waiting" : "idle";
}

}  // namespace

std::unique_ptr<HttpHandler> SitesHandler::list(Api& api, const HttpRequest& request,
                                                HttpCall& call) {
  uint64_t limit = 1000;
  const std::string_view wanted = request.param("limit");
  if (!wanted.empty() && (!parse_number(wanted, limit) || limit == 0))
    return refuse(call, {400, "bad_parameter", "limit is no number above 0", ""});
  const std::string_view by = request.param("by");
  if (!by.empty() && by != "site" && by != "provider")
    return refuse(call, {400, "bad_parameter", "by is neither \"site\" nor \"provider\"", ""});
  std::unique_ptr<SitesHandler> handler(new SitesHandler(api, call));
  handler->limit_ = std::min(limit, kListedMax);
  handler->by_provider_ = by == "provider";
  SitesQuestion question;
  question.by_provider = handler->by_provider_;
  // A site that is not among the first at one shard may be so over all.
  question.limit = static_cast<uint32_t>(std::max(handler->limit_, kListedMax / 10));
  handler->ask(question);
  return handler;
}

std::unique_ptr<HttpHandler> SitesHandler::one(Api& api, const std::string& site, HttpCall& call) {
  std::unique_ptr<SitesHandler> handler(new SitesHandler(api, call));
  handler->site_ = site;
  SitesQuestion question;
  question.site = site;
  handler->ask(question);
  return handler;
}

void SitesHandler::ask(const SitesQuestion& question) {
  open_ = api_.view_.shards();
  api_.view_.ask_sites(question, [self = self_](SitesAnswer answer) {
    if (*self != nullptr) (*self)->told(std::move(answer));
  });
}

void SitesHandler::told(SitesAnswer answer) {
  total_ = std::max(total_, answer.total);
  sites_.insert(sites_.end(), std::move_iterator(answer.sites.begin()),
                std::move_iterator(answer.sites.end()));
  if (--open_ > 0) return;
  std::map<std::pair<bool, std::string>, SiteState> by_key;
  for (SiteState& state : sites_) {
    const std::pair key(state.no_site, by_provider_ ? state.provider : state.site);
    const auto known = by_key.find(key);
    if (known == by_key.end()) {
      by_key.emplace(key, std::move(state));
    } else {
      merge(std::move(state), known->second);
    }
  }
  sites_.clear();
  for (auto& [key, state] : by_key) sites_.push_back(std::move(state));
  total_ = std::max<uint64_t>(total_, sites_.size());
  std::stable_sort(sites_.begin(), sites_.end(),
                   [](const SiteState& a, const SiteState& b) { return a.waiting > b.waiting; });
  say();
}

// -------------------------------------------------------------------------------------------------
// as JSON

void SitesHandler::say() {
  if (!site_.empty() && sites_.empty()) {
    return call_.answer(error_answer(
        {404, "no_such_site", "there is no site " + site_, "GET /v1/sites lists those there are"}));
  }
  HttpAnswer out;
  intake::JsonWriter json(out.body);
  if (site_.empty()) {
    if (!by_provider_) sites_.resize(std::min<size_t>(sites_.size(), limit_));
    json.begin_object().time_field("time", api_.port_.wall_ns()).field("total", total_);
    json.key(by_provider_ ? "providers" : "sites").begin_array();
    for (const SiteState& state : sites_) {
      json.begin_object();
      if (by_provider_) {
        write_provider(json, state);
      } else {
        write(json, state);
      }
      json.end_object();
    }
    json.end_array().end_object().newline();
  } else {
    json.begin_object();
    write(json, sites_.front());
    write_limits(json, sites_.front());
    json.end_object().newline();
  }
  call_.answer(std::move(out));
}

static void write_figures(intake::JsonWriter& json, const SiteState& state) {
  json.field("waiting", state.waiting);
  json.field("ready", state.ready).field("in_flight", state.in_flight);
  json.field("connections", state.connections).field("dialling", state.dialling);
  json.field("idle", state.idle).field("delivered", state.delivered);
  json.field("deferred", state.deferred).field("failed", state.failed);
  json.field("in_doubt", state.in_doubt);
}

void SitesHandler::write_provider(intake::JsonWriter& json, const SiteState& state) const {
  json.field("provider", state.provider);
  if (state.no_site) json.field("state", state_of(state, api_.port_.mono_ns()));
  write_figures(json, state);
  write_conditions(json, state.conditions, api_.port_.mono_ns(), api_.port_.wall_ns());
}

void SitesHandler::write(intake::JsonWriter& json, const SiteState& state) const {
  const int64_t mono_ns = api_.port_.mono_ns(), wall_ns = api_.port_.wall_ns();
  const auto names = [&](const char* key, const std::vector<std::string>& list) {
    json.key(key).begin_array();
    for (const std::string& name : list) json.value(name);
    json.end_array();
  };
  json.field("site", state.site).field_if("provider", state.provider);
  write_route(json, api_.view_.policy(), state.site);
  names("domains", state.domains);
  names("sources", state.sources);
  json.field("state", state_of(state, mono_ns));
  write_figures(json, state);
  if (!state.last_reply.empty()) {
    json.field("last_reply", state.last_reply);
    json.time_field("last_reply_at", wall_ns + state.last_reply_mono_ns - mono_ns);
  }
  if (state.down_until_mono_ns > mono_ns)
    json.time_field("next_try", wall_ns + state.down_until_mono_ns - mono_ns);
  write_conditions(json, state.conditions, mono_ns, wall_ns);
}

static void write_scope(intake::JsonWriter& json, const std::string& scope,
                        const LimitSettings& limits) {
  for (size_t i = 0; i < kResources; ++i) {
    const auto resource = static_cast<Resource>(i);
    const bool connections = resource == Resource::connections;
    if (connections ? limits.connections == 0 : !limits.rate(resource).limited()) continue;
    json.begin_object().field("scope", scope).field("resource", name_of(resource));
    if (connections) {
      json.field("limit", limits.connections);
    } else {
      json.field("limit", rate_text(limits.rate(resource)));
    }
    const Origin& origin = limits.origins[i];
    json.field_if("setting", origin.setting).field_if("file", origin.file);
    if (origin.line != 0) json.field("line", origin.line);
    json.end_object();
  }
}

void SitesHandler::write_limits(intake::JsonWriter& json, const SiteState& state) const {
  const Policy& policy = api_.view_.policy();
  const auto found =
      std::find_if(policy.providers.begin(), policy.providers.end(),
                   [&](const Provider& provider) { return provider.name == state.provider; });
  const Provider& provider = found == policy.providers.end() ? policy.providers[0] : *found;
  const std::string whose = provider.name.empty() ? "site" : "provider " + provider.name;
  json.key("limits").begin_array();
  write_scope(json, whose + ", each source", provider.per_source);
  write_scope(json, whose + ", each tenant", provider.per_tenant);
  for (const SourceSettings& source : policy.sources) {
    const auto& used = state.sources;
    if (std::find(used.begin(), used.end(), source.name) != used.end())
      write_scope(json, "source " + source.name, source.limits);
  }
  for (const uint32_t group : provider.groups)
    write_scope(json, "group " + policy.groups[group].name, policy.groups[group].limits);
  write_scope(json, "all", policy.global);
  json.end_array();
}

}  // namespace veredus::control
