// Which rules a lane follows, and how it takes up new ones.

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "engine/io/planted.h"
#include "engine/lane.h"

namespace veredus {

// -------------------------------------------------------------------------------------------------
// which rules hold

// The narrowest first: it is what usually lacks.
std::vector<Scope*> Lanes::scopes_of(const Lane& lane) {
  using Kind = ScopeId::Kind;
  const Policy& policy = *shard_.policy;
  const Provider& provider = *lane.provider;
  std::vector<ScopeId> ids;
  if (provider.id == 0) {
    ids.push_back({Kind::site, lane.site->number, lane.source});
  } else {
    ids.push_back({Kind::provider, provider.id, lane.source});
  }
  ids.push_back({Kind::source, lane.source, 0});
  for (const uint32_t group : provider.groups) ids.push_back({Kind::group, group, 0});
  ids.push_back({Kind::global, 0, 0});
  std::vector<Scope*> scopes;
  for (const ScopeId& id : ids) {
    if (policy.limits_of(id).any()) scopes.push_back(&limits_.scope(id));
  }
  return scopes;
}

const SessionRules& Lanes::rules_of(const Lane& lane) {
  const smtp::SessionLimits& limits = lane.provider->session_limits;
  smtp::DialogueSettings dialogue = lane.provider->dialogue;
  go_by_route(lane, dialogue);
  const std::string& ehlo = shard_.policy->sources[lane.source].ehlo;
  dialogue.ehlo_name = ehlo.empty() ? shard_.settings.hostname : ehlo;
  std::string key =
      absl::StrCat(dialogue.ehlo_name, " ", dialogue.use_pipelining, " ", dialogue.use_chunking,
                   " ", static_cast<int>(dialogue.tls), " ", limits.connect_ns, " ",
                   limits.setup_ns, " ", limits.transaction_ns, " ", limits.content_bytes_per_s);
  for (const int64_t limit : dialogue.time_limit_ns) absl::StrAppend(&key, " ", limit);
  // Those of equal rules are one and the same, and live as long as the rules here.
  absl::StrAppend(&key, " ", dialogue.implicit_tls, " ", dialogue.verify, " ",
                  reinterpret_cast<uintptr_t>(dialogue.credentials.get()));
  std::unique_ptr<SessionRules>& made = rules_[key];
  if (made == nullptr) {
    made = std::make_unique<SessionRules>();
    made->limits = limits;
    for (const bool early : {false, true}) {
      auto& of = made->dialogue[early];
      of.fill(dialogue);
      of[SessionRules::kInClear].tls = smtp::TlsUse::none;
      of[SessionRules::kRequired].tls = smtp::TlsUse::required;
      for (smtp::DialogueSettings& each : of) each.allow_early_mail = early;
    }
  }
  return *made;
}

// Tenants who compete at a receiver share it by weight, over all lanes to it.
TenantPasses& Lanes::passes_of(const Provider& provider, const Site& site) {
  if (provider.id != 0) return limits_.passes_of_provider(provider.id);
  std::unique_ptr<TenantPasses>& made = passes_[site.number];
  if (made == nullptr) made = std::make_unique<TenantPasses>();
  return *made;
}

uint32_t Lanes::weight_of(const queue::LiveBatch& batch) {
  if (batch.tenant >= weights_.size()) weights_.resize(batch.tenant + 1);
  uint32_t& weight = weights_[batch.tenant];
  if (weight == 0) weight = shard_.policy->weight_of(batch.batch.tenant);
  return weight;
}

// -------------------------------------------------------------------------------------------------
// new rules

// After a reload each lane takes the new rules up before it does anything else.
void Lanes::take_up_policy(Lane& lane) {
  if (lane.moves && lane.sessions == 0 && lane.hosts_asked == 0) move_elsewhere(lane);
  if (lane.policy == shard_.policy) return;
  const bool first = lane.policy == nullptr;
  if (!first) send_outdated_home(lane);
  lane.policy = shard_.policy;
  lane.provider = &shard_.policy->provider_of(*lane.site);
  lane.rules = &rules_of(lane);
  lane.window = {};
  lane.resolved_until_mono_ns = 0;  // other addresses may be of use
  leave_line(lane);
  lane.called_by = nullptr;
  release_held(lane);
  recount(lane);
  if (IdleList* const list = &idle_lists_[lane.provider->idle_close_ns]; list != lane.idle_list) {
    for (smtp::Session* const session : lane.idle) {
      remove(*lane.idle_list, *session);
      append(*list, *session);
    }
    lane.idle_list = list;
  }
  lane.passes = &passes_of(*lane.provider, *lane.site);
  lane.waiting.use(*lane.passes);
  if (lane.redirected == shard_.policy->redirect) return;
  lane.moves = !first && (lane.sessions > 0 || lane.hosts_asked > 0);
  if (!lane.moves) move_elsewhere(lane);
}

// What waits was sent here by other rules: by those of now its source may be none any more, its
// domain be of another site, its tenant have another weight or limit. Home knows.
void Lanes::send_outdated_home(Lane& lane) {
  drop_blocked(lane);
  std::vector<Work*> kept;
  lane.waiting.take_all([&](Work& work) {
    if (io::is_planted(io::Planted::outdated_tickets)) {
      kept.push_back(&work);
    } else {
      give_back_unsent(work);
    }
  });
  for (Work* const work : kept) lane.waiting.push(work, work->batch->tenant, 1);
  std::fill(lane.backlog.begin(), lane.backlog.end(), uint8_t{0});
}

// Its sessions count by the limits that hold now. Where they are more than what is allowed they
// live on, but nobody opens another one before they are fewer.
void Lanes::recount(Lane& lane) {
  const std::vector<Scope*> before = std::move(lane.slots);
  lane.scopes = scopes_of(lane);
  lane.slots.clear();
  lane.rated.clear();
  for (Scope* const scope : lane.scopes) {
    const LimitSettings& limits = scope->settings(*shard_.policy);
    if (limits.connections != 0) lane.slots.push_back(scope);
    if (limits.rate(Resource::message_rate).limited() || limits.rate(Resource::byte_rate).limited())
      lane.rated.push_back(scope);
  }
  const auto in = [](const std::vector<Scope*>& slots, const Scope* scope) {
    return std::find(slots.begin(), slots.end(), scope) != slots.end();
  };
  for (Scope* const scope : lane.slots) {
    if (in(before, scope)) continue;
    limits_.adopt_slots(*scope, lane.sessions);
    scope->leaving += lane.leaving;
  }
  for (Scope* const scope : before) {
    if (in(lane.slots, scope)) continue;
    // Where the former rules still hold it counts there till all follow the new ones.
    if (lane.sessions > 0) left_.emplace_back(scope, lane.sessions);
    scope->leaving -= lane.leaving;
  }
}

// The same of transactions under way, which count under a tenant's limit. Once, when all lanes
// follow the rules in force.
void Lanes::recount_loads() {
  if (std::exchange(loads_counted_, shard_.policy->version) == shard_.policy->version) return;
  std::map<ScopeId, uint32_t> adopted;
  for (Load& load : load_slab_) {
    if (load.works.empty() || !load.lane->provider->per_tenant.any()) continue;
    Scope& scope = scope_of(*load.lane, load.tenant);
    if (&scope == load.tenant_slot || scope.settings(*shard_.policy).connections == 0) continue;
    if (load.tenant_slot != nullptr) left_.emplace_back(load.tenant_slot, 1);
    load.tenant_slot = &scope;
    ++adopted[scope.id];
  }
  for (const auto& [id, loads] : adopted) limits_.adopt_slots(limits_.scope(id), loads);
}

void Lanes::move_elsewhere(Lane& lane) {
  lane.moves = false;
  lane.redirected = shard_.policy->redirect;
  lane.targets.clear();
  lane.questions_.clear();
  lane.hosts_resolved = lane.hosts_asked = 0;
}

// Lanes with sessions must be counted by the new rules, and those that wait may not have to any
// more; others take them up when something happens to them.
void Lanes::policy_changed() {
  world_.output.rules = shard_.policy->reply_rules.get();
  weights_.clear();
  taking_up_ = 0;
}

// What would leave from a source that is missing goes by another, if there is one: each lane that
// comes up sees to that, and all do, a share each turn.
void Lanes::sources_changed() {
  taking_up_ = 0;
}

void Lanes::leave_missing_source(Lane& lane) {
  if (!lane.waiting.empty() && shard_.exchange.source_missing(lane.source)) give_back_waiting(lane);
}

void Lanes::take_up_some() {
  if (taking_up_ == kNotTakingUp) return;
  size_t taken_up = 0, works = 0;
  for (size_t left = kLanesPerTurn; left > 0 && taking_up_ < lanes_in_order_.size(); --left) {
    Lane& lane = *lanes_in_order_[taking_up_];
    if (!lane.waiting.empty() || lane.sessions > 0) {
      if (++taken_up > kTakenUpPerTurn || works >= kHeldBackPerTurn) return;
      works += lane.waiting.total();
      take_up_policy(lane);
      list(lane);
    }
    ++taking_up_;
  }
  if (taking_up_ < lanes_in_order_.size()) return;
  recount_loads();
  if (limits_.taken_up()) taking_up_ = kNotTakingUp;
}

// All shards count by the rules in force.
void Lanes::policy_settled() {
  for (const auto& [scope, sessions] : std::exchange(left_, {})) {
    for (uint32_t left = sessions; left > 0; --left) limits_.release_slot(*scope);
  }
  for (Lane* const lane : unsettled_) {
    lane->unsettled = false;
    list(*lane);
  }
  unsettled_.clear();
}

}  // namespace veredus
