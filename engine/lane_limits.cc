// What a lane may do at its limits: connections and their slots, lines of those who wait, and who
// makes room for them.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/io/planted.h"
#include "engine/lane.h"

namespace veredus {

// -------------------------------------------------------------------------------------------------
// which limits hold

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
  SessionRules rules;
  rules.limits = lane.provider->session_limits;
  rules.dialogue = lane.provider->dialogue;
  const std::string& ehlo = shard_.policy->sources[lane.source].ehlo;
  rules.dialogue.ehlo_name = ehlo.empty() ? shard_.settings.hostname : ehlo;
  rules.dialogue.allow_early_mail = false;
  std::string key = absl::StrCat(rules.dialogue.ehlo_name, " ", rules.dialogue.use_pipelining, " ",
                                 rules.dialogue.use_chunking, " ", rules.limits.connect_ns, " ",
                                 rules.limits.setup_ns, " ", rules.limits.transaction_ns, " ",
                                 rules.limits.content_bytes_per_s);
  for (const int64_t limit : rules.dialogue.time_limit_ns) absl::StrAppend(&key, " ", limit);
  std::unique_ptr<SessionRules>& made = rules_[key];
  if (made == nullptr) {
    rules.early_dialogue = rules.dialogue;
    rules.early_dialogue.allow_early_mail = true;
    made = std::make_unique<SessionRules>(std::move(rules));
  }
  return *made;
}

// After a reload. Where other limits hold than before, the sessions that were counted by those go
// first: else they would be missing in the sum of the new ones.
void Lanes::take_up_policy(Lane& lane) {
  const bool first = lane.policy == nullptr;
  if (lane.policy == shard_.policy && !lane.rescopes) return;
  if (!first && lane.policy != shard_.policy) send_outdated_home(lane);
  lane.policy = shard_.policy;
  lane.provider = &shard_.policy->provider_of(*lane.site);
  lane.rules = &rules_of(lane);
  std::vector<Scope*> scopes = scopes_of(lane);
  std::vector<Scope*> slots;
  for (Scope* const scope : scopes) {
    if (scope->settings(*shard_.policy).connections != 0) slots.push_back(scope);
  }
  const bool elsewhere = lane.redirected != shard_.policy->redirect;
  lane.rescopes =
      !first && (slots != lane.slots || elsewhere) && (lane.sessions > 0 || lane.hosts_asked > 0);
  if (slots != lane.slots) release_held(lane);
  if (lane.rescopes) return;
  for (Scope* const before : lane.slots) {
    // What is free of a limit that holds here no more, nobody here would ever give back.
    if (std::find(slots.begin(), slots.end(), before) == slots.end() &&
        before->line(Resource::connections).empty())
      limits_.give_back_slots(*before);
  }
  if (elsewhere) {
    lane.redirected = shard_.policy->redirect;
    lane.targets.clear();
    lane.questions_.clear();
    lane.hosts_resolved = lane.hosts_asked = 0;
  }
  leave_line(lane);
  lane.called_by = nullptr;
  lane.scopes = std::move(scopes);
  lane.slots = std::move(slots);
}

// What waits was sent here by other rules: by those of now its source may be none any more, its
// domain be of another site, its tenant have another limit. Home knows.
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
  for (Work* const work : kept)
    lane.waiting.push(work, work->batch->tenant,
                      shard_.policy->weight_of(work->batch->batch.tenant));
  std::fill(lane.backlog.begin(), lane.backlog.end(), uint8_t{0});
}

// Each lane takes up what has changed when something happens to it; those that wait are looked at
// now, for their wait may be over.
void Lanes::policy_changed() {
  std::vector<std::pair<uint32_t, uint16_t>> numbers;
  for (const auto& [number, lane] : lanes_) {
    if (!lane->waiting.empty() || lane->sessions > 0) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const auto& number : numbers) list(*lanes_[number]);
}

// What would leave from a source that is missing goes by another, if there is one.
void Lanes::source_changed(uint16_t source, bool missing) {
  if (!missing) return;
  std::vector<std::pair<uint32_t, uint16_t>> numbers;
  for (const auto& [number, lane] : lanes_) {
    if (number.second == source && !lane->waiting.empty()) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const auto& number : numbers) {
    Lane& lane = *lanes_[number];
    drop_blocked(lane);
    lane.waiting.take_all([this](Work& work) { give_back_unsent(work); });
    give_back_unwanted(lane);
  }
}

// -------------------------------------------------------------------------------------------------
// connections

// A slot of each limit that holds. False: one lacks, and the lane stands in line for it; what it
// has of the others it keeps. All take them in the same order, so nobody waits in a circle; would
// they be given back meanwhile, each slot that comes could find another one gone. `more`: so many
// connections it would take.
bool Lanes::take_connection(Lane& lane, uint32_t more) {
  for (; lane.held < lane.slots.size(); ++lane.held) {
    Scope* const scope = lane.slots[lane.held];
    const bool others_first =
        !scope->line(Resource::connections).empty() && lane.called_by != scope;
    if (scope->slots.free() > 0 && !others_first) {
      scope->slots.take();
      continue;
    }
    if (scope->slots.free() > 0) {
      limits_.changed(*scope);
    } else {
      const auto waiting = static_cast<uint32_t>(scope->line(Resource::connections).size());
      limits_.ask_slots(*scope, std::max(more, waiting + (lane.waits_for == scope ? 0 : 1)));
    }
    stand_in_line(lane, *scope, Resource::connections);
    return false;
  }
  if (!take_connection_tokens(lane, more)) return false;
  lane.held = 0;
  return true;
}

// It wants no connection after all.
void Lanes::release_held(Lane& lane) {
  for (; lane.held > 0; --lane.held) {
    Scope& scope = *lane.slots[lane.held - 1];
    limits_.release_slot(scope);
    if (scope.id.kind != ScopeId::Kind::site && scope.line(Resource::connections).empty())
      limits_.give_back_slots(scope, limits_.slots_kept(scope));
  }
}

// Whether take_connection() would be given one, without standing in any line.
bool Lanes::has_connection(Lane& lane) {
  if (lane.held > 0) return false;
  for (Scope* const scope : lane.slots) {
    if (scope->slots.free() == 0 || !scope->line(Resource::connections).empty()) return false;
  }
  for (Scope* const scope : lane.scopes) {
    if (limits_.tokens_here(*scope, Resource::connection_rate) == 0 ||
        !scope->line(Resource::connection_rate).empty())
      return false;
  }
  return true;
}

void Lanes::give_back_connection(Lane& lane) {
  for (Scope* const scope : lane.slots) {
    limits_.release_slot(*scope);
    // What is the lane's own is given back when it wants no more.
    if (scope->id.kind != ScopeId::Kind::site && scope->line(Resource::connections).empty())
      limits_.give_back_slots(*scope, limits_.slots_kept(*scope));
  }
}

// Nothing waits here: others may.
void Lanes::give_back_unwanted(Lane& lane) {
  release_held(lane);
  if (lane.waits_for != nullptr) {
    Scope& scope = *lane.waits_for;
    const Resource resource = lane.waits_for_resource;
    leave_line(lane);
    if (resource != Resource::connections && scope.line(resource).empty())
      limits_.withdraw(scope, resource);
  }
  for (Scope* const scope : lane.slots) {
    if (!scope->line(Resource::connections).empty()) continue;
    const bool own = scope->id.kind == ScopeId::Kind::site;
    limits_.give_back_slots(*scope, own ? 0 : limits_.slots_kept(*scope));
  }
}

// Slots are recalled that sessions still hold.
bool Lanes::owes(const Lane& lane) const {
  return std::any_of(lane.slots.begin(), lane.slots.end(),
                     [](const Scope* scope) { return scope->slots.owed() > scope->leaving; });
}

// Was worth its dialling, and a slot that it has is recalled. Where a limit is shared by many
// sites, more is carried each time: it goes round among more of them.
bool Lanes::pays(const smtp::Session& session) const {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  return std::any_of(lane.slots.begin(), lane.slots.end(), [&](const Scope* scope) {
    const bool own = scope->id.kind == ScopeId::Kind::site;
    return scope->slots.owed() > scope->leaving &&
           session.messages() >= (own ? kWorthADial : kTurnMessagesMin);
  });
}

// Others stand in line for a slot that this session has: what has carried its share goes, and for
// something urgent whatever has carried anything.
bool Lanes::makes_room(const smtp::Session& session) const {
  if (session.messages() == 0) return false;
  const Lane& lane = *static_cast<const Lane*>(session.place);
  return std::any_of(lane.slots.begin(), lane.slots.end(), [&](Scope* scope) {
    const WaitLine& line = scope->line(Resource::connections);
    if (line.without_session() <= scope->leaving) return false;
    const size_t share =
        std::clamp<size_t>(kTurnMessages / line.without_session(), kTurnMessagesMin, kTurnMessages);
    return session.messages() >= share || (line.urgent() && !lane.waiting.urgent());
  });
}

// -------------------------------------------------------------------------------------------------
// lines

void Lanes::stand_in_line(Lane& lane, Scope& scope, Resource resource) {
  using Rank = WaitLine::Rank;
  const bool urgent = lane.waiting.urgent();
  const Rank rank = lane.sessions == 0 ? urgent ? Rank::urgent_without : Rank::without
                    : urgent           ? Rank::urgent
                                       : Rank::others;
  if (lane.waits_for == &scope && lane.waits_for_resource == resource &&
      lane.wait_key.first == rank)
    return;
  leave_line(lane);
  lane.waits_for = &scope;
  lane.waits_for_resource = resource;
  lane.wait_key = {rank, ++came_};
  scope.line(resource).add(lane.wait_key, &lane);
  if (resource == Resource::connections && scope.id.kind != ScopeId::Kind::site &&
      std::find(pressed_.begin(), pressed_.end(), &scope) == pressed_.end())
    pressed_.push_back(&scope);
}

void Lanes::leave_line(Lane& lane) {
  if (lane.waits_for == nullptr) return;
  lane.waits_for->line(lane.waits_for_resource).remove(lane.wait_key);
  lane.waits_for = nullptr;
}

// Slots or tokens have come: as many of those who wait for them are called, in their order.
void Lanes::call_from_lines() {
  for (Scope* const scope : limits_.take_changed()) {
    scope->changed = false;
    const bool of_tenant = scope->id.kind == ScopeId::Kind::tenant_at_site ||
                           scope->id.kind == ScopeId::Kind::tenant_at_provider;
    if (of_tenant) {
      call_tenant(*scope);
      continue;
    }
    for (const Resource resource :
         {Resource::connection_rate, Resource::message_rate, Resource::byte_rate})
      call_for_tokens(*scope, resource);
    if (scope->line(Resource::connections).empty()) {
      not_waited_for(*scope);
    } else {
      call(*scope, Resource::connections, scope->slots.free());
    }
  }
}

void Lanes::call(Scope& scope, Resource resource, uint64_t most) {
  WaitLine& line = scope.line(resource);
  for (; most > 0 && !line.empty(); --most) {
    Lane& lane = *line.first();
    leave_line(lane);
    lane.called_by = &scope;
    called_.push_back(&lane);
    list(lane);
  }
}

// What has come, or is recalled, while nobody stands in line. Who was lent his only slot must take
// or decline it.
void Lanes::not_waited_for(Scope& scope) {
  if (scope.id.kind != ScopeId::Kind::site) {
    if (scope.slots.owed() > scope.leaving) relieve(scope);
    return limits_.give_back_slots(scope, limits_.slots_kept(scope));
  }
  Lane* const lane = lane_of(scope.id.of, static_cast<uint16_t>(scope.id.with));
  if (lane == nullptr || lane->waiting.empty()) limits_.give_back_slots(scope);
  if (lane != nullptr) list(*lane);
}

// Who could not dial after all, because something else lacks, stands in line again when he can.
void Lanes::end_of_calls() {
  for (Lane* const lane : called_) {
    Scope* const scope = std::exchange(lane->called_by, nullptr);
    if (scope == nullptr) continue;
    limits_.changed(*scope);
  }
  called_.clear();
}

// Somebody here or on another shard wants a slot, and sessions with one idle: these go.
void Lanes::relieve(Scope& scope) {
  constexpr unsigned kLookedAt = 64;
  const auto wanted = static_cast<uint32_t>(
      std::max<size_t>(scope.slots.owed(), scope.line(Resource::connections).without_session()));
  smtp::Session* session = idle_oldest_;
  for (unsigned left = kLookedAt; session != nullptr && left > 0 && scope.leaving < wanted;
       --left) {
    smtp::Session* const next = session->next;
    const Lane& lane = *static_cast<Lane*>(session->place);
    if (std::find(lane.slots.begin(), lane.slots.end(), &scope) != lane.slots.end())
      send_away(*session);
    session = next;
  }
}

void Lanes::relieve_scopes() {
  std::erase_if(pressed_, [this](Scope* scope) {
    if (scope->line(Resource::connections).without_session() == 0) return true;
    if (scope->slots.free() == 0) relieve(*scope);
    return false;
  });
}

}  // namespace veredus
