// What a lane may do at its limits: connections and their slots, lines of those who wait, and who
// makes room for them.

#include <algorithm>

#include "engine/lane.h"

namespace veredus {

// -------------------------------------------------------------------------------------------------
// connections

// A slot of each limit that holds. False: one lacks, and the lane stands in line for it; what it
// has of the others it keeps. All take them in the same order, so nobody waits in a circle; would
// they be given back meanwhile, each slot that comes could find another one gone. `more`: so many
// connections it would take.
bool Lanes::take_connection(Lane& lane, uint32_t more) {
  for (; lane.held < lane.slots.size(); ++lane.held) {
    Scope* const scope = lane.slots[lane.held];
    if (scope->slots.free() > 0 && !others_first(lane, *scope, Resource::connections)) {
      scope->slots.take();
      continue;
    }
    stand_in_line(lane, *scope, Resource::connections);
    if (scope->slots.free() > 0) {
      limits_.changed(*scope);
    } else {
      const size_t waiting = scope->line(Resource::connections).size();
      limits_.ask_slots(*scope, std::max(more, static_cast<uint32_t>(waiting)));
    }
    return false;
  }
  if (!take_connection_tokens(lane, more)) return false;
  lane.held = 0;
  lane.turn = 0;
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
// sites, more is carried each time: it goes round among more of them; but not past something urgent
// on another shard. What is urgent here goes by it first, for a while.
bool Lanes::pays(const smtp::Session& session) const {
  const Lane& lane = *static_cast<const Lane*>(session.place);
  return std::any_of(lane.slots.begin(), lane.slots.end(), [&](const Scope* scope) {
    if (scope->slots.owed() <= scope->leaving) return false;
    const bool at_once =
        scope->id.kind == ScopeId::Kind::site || scope->slots.owed_urgently() > scope->leaving;
    return session.messages() >=
           (at_once && !lane.waiting.urgent() ? kWorthADial : kTurnMessagesMin);
  });
}

// So many a session with such a slot carries before it makes room.
size_t Lanes::messages_of_turn(const WaitLine& line) {
  return std::clamp<size_t>(kTurnMessages / std::max<size_t>(1, line.without_session()),
                            kTurnMessagesMin, kTurnMessages);
}

// Others stand in line for a slot that this session has: what has carried its share goes, and for
// something urgent whatever has carried anything. If this lane would be the next to get the slot
// again, it may as well go on with it.
bool Lanes::makes_room(const smtp::Session& session) {
  if (session.messages() == 0) return false;
  Lane& lane = *static_cast<Lane*>(session.place);
  return std::any_of(lane.slots.begin(), lane.slots.end(), [&](Scope* scope) {
    if (session.messages() >= kTurnMessagesMin && others_behind(lane, *scope)) return true;
    WaitLine& line = scope->line(Resource::connections);
    if (line.without_session() <= scope->leaving) return false;
    if (line.foremost() > scope->leaving && !lane.waiting.urgent()) return true;
    return session.messages() >= messages_of_turn(line) && !goes_first(lane, line);
  });
}

// -------------------------------------------------------------------------------------------------
// lines

// Somebody else's turn comes before this lane's: those in line, unless it was called; and then,
// too, when what it was called for has put it behind them. Who was called from one limit's line
// passes those in the lines of others for tokens: would each go to the end of the next line, two
// limits could call their first ones for ever, and nobody had both.
bool Lanes::others_first(Lane& lane, Scope& scope, Resource resource) {
  WaitLine& line = scope.line(resource);
  if (line.empty()) return false;
  if (lane.called_by != &scope || lane.called_for != resource)
    return resource == Resource::connections || lane.called_by == nullptr;
  return line.by_tenant() && line.first_is_above(lane.wait_key.rank) &&
         line.first_pass() < lane.waiting.pass();
}

// By what their tenants have had it would be called before all who stand there.
bool Lanes::goes_first(Lane& lane, WaitLine& line) {
  return line.by_tenant() && lane.waiting.choose() != nullptr &&
         lane.waiting.pass() < line.first_pass();
}

// The first in line has had clearly less than those who are served by this lane's sessions: one of
// these makes room.
bool Lanes::others_behind(Lane& lane, Scope& scope) {
  WaitLine& line = scope.line(Resource::connections);
  if (!line.by_tenant() || scope.leaving > 0 || scope.slots.free() > 0 || line.empty() ||
      lane.waiting.urgent())
    return false;
  return line.first_pass() + kBehindMessages * TenantPasses::kUnit < lane.waiting.pass();
}

void Lanes::stand_in_line(Lane& lane, Scope& scope, Resource resource) {
  using Rank = WaitLine::Rank;
  const bool urgent = lane.waiting.urgent();
  const bool dials = resource == Resource::connections || resource == Resource::connection_rate;
  const bool without = lane.sessions == 0;
  const Rank rank = urgent && (without || !dials) ? Rank::foremost
                    : without                     ? Rank::without
                    : urgent                      ? Rank::urgent
                                                  : Rank::others;
  WaitLine& line = scope.line(resource);
  const LaneQueue::Tenant* const next = line.by_tenant() ? lane.waiting.choose() : nullptr;
  const uint32_t tenant = next == nullptr ? 0 : next->id;
  if (lane.waits_for == &scope && lane.waits_for_resource == resource &&
      lane.wait_key.rank == rank && lane.wait_key.tenant == tenant)
    return;
  leave_line(lane);
  lane.waits_for = &scope;
  lane.waits_for_resource = resource;
  lane.wait_key = {rank, tenant, lane.turn != 0 ? std::exchange(lane.turn, 0) : ++came_};
  line.add(lane.wait_key, &lane);
  if (resource == Resource::connections && scope.id.kind != ScopeId::Kind::site) press(scope);
}

// All that idles is looked at once for it, a share each turn.
void Lanes::press(Scope& scope) {
  if (std::exchange(scope.pressed, true)) return;
  pressed_.push_back(&scope);
  idle_left_ = idle_;
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
      // Who stands in line does not ask: what he asked for somebody else may have had, or it was
      // recalled.
      if (const auto waiting = static_cast<uint32_t>(scope->line(Resource::connections).size()))
        limits_.ask_slots(*scope, waiting);
      // Not now: who idles may just have been called for his tokens.
      if (scope->id.kind != ScopeId::Kind::site && scope->slots.owed() > scope->leaving)
        press(*scope);
    }
  }
}

void Lanes::call(Scope& scope, Resource resource, uint64_t most) {
  WaitLine& line = scope.line(resource);
  for (; most > 0 && !line.empty(); --most) {
    Lane& lane = *line.call_first();
    leave_line(lane);
    lane.called_by = &scope;
    lane.called_for = resource;
    called_.push_back(&lane);
    list(lane);
  }
}

// What has come, or is recalled, while nobody stands in line. Who was lent his only slot must take
// or decline it.
void Lanes::not_waited_for(Scope& scope) {
  if (scope.id.kind != ScopeId::Kind::site) {
    if (scope.slots.owed() > scope.leaving) press(scope);
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

// It was dialled, has carried nothing, and has soon what it waits for, or has been called for it
// just now: would it go for somebody else's sake, that one's session might in turn, and so for
// ever.
bool Lanes::awaits_tokens(Lane& lane, const smtp::Session& session) const {
  if (session.messages() > 0 || lane.waiting.empty()) return false;
  if (lane.called_by != nullptr) return true;
  int64_t expected = 0;
  const Resource resource = lane.waits_for_resource;
  if (lane.waits_for != nullptr && resource != Resource::connections &&
      resource != Resource::connection_rate)
    return comes_soon(*lane.waits_for, resource, expected);
  bool any = false;
  lane.waiting.each_blocked([&](LaneQueue::Tenant& tenant) {
    any = any || comes_soon(*tenant.scope, tenant.lacks, expected);
  });
  return any;
}

// Somebody here or on another shard wants a slot of it, and none is free.
bool Lanes::is_short(const Scope& scope) {
  return scope.slots.free() == 0 &&
         scope.leaving < std::max<size_t>(scope.slots.owed(),
                                          scope.line(Resource::connections).without_session());
}

// Who is looked at next, of each list the oldest first, round and round. Somebody idles.
smtp::Session* Lanes::next_idle() {
  while (relieving_ == nullptr) {
    auto list = idle_lists_.begin();
    if (relieving_of_ != nullptr) {
      while (&list->second != relieving_of_) ++list;
      if (++list == idle_lists_.end()) list = idle_lists_.begin();
    }
    relieving_of_ = &list->second;
    relieving_ = list->second.oldest;
  }
  return std::exchange(relieving_, relieving_->next);
}

// Of a slot that its sessions have.
bool Lanes::is_pressed(const Lane& lane) {
  return std::any_of(lane.slots.begin(), lane.slots.end(),
                     [](const Scope* scope) { return scope->pressed && is_short(*scope); });
}

// Sessions idle whose slots others want: these go. However many there are, each has its turn to be
// looked at.
void Lanes::relieve_scopes() {
  constexpr size_t kLookedAt = 64;
  std::erase_if(pressed_, [](Scope* scope) {
    scope->pressed = scope->line(Resource::connections).without_session() > 0 ||
                     scope->slots.owed() > scope->leaving;
    return !scope->pressed;
  });
  for (Scope* const scope : pressed_) {
    const bool was_short = std::exchange(scope->was_short, is_short(*scope));
    if (scope->was_short && !was_short) idle_left_ = idle_;
  }
  relieves_ = false;
  if (pressed_.empty()) {  // from the oldest one on, the next time
    relieving_ = nullptr;
    relieving_of_ = nullptr;
    return;
  }
  if (std::none_of(pressed_.begin(), pressed_.end(), [](Scope* each) { return is_short(*each); }))
    return;
  for (size_t left = std::min(kLookedAt, idle_); left > 0; --left) {
    smtp::Session& session = *next_idle();
    Lane& lane = *static_cast<Lane*>(session.place);
    if (is_pressed(lane) && !awaits_tokens(lane, session) && !comes_next(session))
      send_away(session);
  }
  idle_left_ -= std::min(idle_left_, kLookedAt);
  relieves_ = idle_left_ > 0;
}

}  // namespace veredus
