// What a lane may send at its rates: tokens for connections, recipients and bytes.

#include <algorithm>
#include <cmath>

#include "engine/lane.h"

namespace veredus {

namespace {

void ask_if_lacking(Limits& limits, Scope& scope, Resource resource, uint64_t tokens,
                    bool urgently) {
  if (tokens > 0 && limits.tokens_here(scope, resource) < tokens)
    limits.ask_tokens(scope, resource, tokens, tokens, urgently ? tokens : 0);
}

// Whatever lacks for the next transaction is asked for at the same time, not only what the lane
// stands in line for: leases are short, and where one limit after the other was asked for, the
// first had lapsed when the last one came, for ever.
void ask_for_all(Limits& limits, Lane& lane) {
  const auto bytes = static_cast<uint64_t>(lane.bytes);
  const bool urgent = lane.waiting.urgent();
  for (Scope* const scope : lane.rated) {
    ask_if_lacking(limits, *scope, Resource::message_rate, 1, urgent);
    ask_if_lacking(limits, *scope, Resource::byte_rate, bytes, urgent);
  }
  const LaneQueue::Tenant* const tenant = lane.waiting.choose();
  if (tenant == nullptr || tenant->scope == nullptr) return;
  ask_if_lacking(limits, *tenant->scope, Resource::message_rate, 1, tenant->band == 0);
  ask_if_lacking(limits, *tenant->scope, Resource::byte_rate, bytes, tenant->band == 0);
}

}  // namespace

// -------------------------------------------------------------------------------------------------
// connections

// More of it is expected within the time that dialling takes, or nobody knows when. `expected`:
// when it is.
bool Lanes::comes_soon(Scope& scope, Resource resource, int64_t& expected) const {
  const queue::RateHolder* const rate = scope.rate(resource);
  expected = rate == nullptr ? 0 : rate->next_mono_ns();
  return expected == INT64_MAX || expected - shard_.mono_ns <= kDialAheadNs;
}

// More connections are of use only to what may be sent. A lane that waits for tokens and has no
// session dials when they are expected soon: they do not keep as long as dialling takes.
bool Lanes::may_grow(Lane& lane) {
  // Nor is any to what goes home now, for a window has closed.
  const LaneQueue::Tenant* next = lane.waiting.choose();
  while (next != nullptr && shut(lane, *next)) next = lane.waiting.choose();
  if (next == nullptr) return false;
  const Resource resource = lane.waits_for_resource;
  if (lane.waits_for == nullptr || resource == Resource::connections ||
      resource == Resource::connection_rate)
    return true;
  if (lane.sessions > 0) return false;
  int64_t expected = 0;
  if (comes_soon(*lane.waits_for, resource, expected)) return true;
  look_again(lane, expected - kDialAheadNs);
  return false;
}

// One of each connection rate that holds; or none, and the lane stands in line for what lacks.
bool Lanes::take_connection_tokens(Lane& lane, uint32_t more) {
  for (Scope* const scope : lane.scopes) {
    const uint64_t here = limits_.tokens_here(*scope, Resource::connection_rate);
    if (here == UINT64_MAX || (here > 0 && !others_first(lane, *scope, Resource::connection_rate)))
      continue;
    lane.tokens_of_use = 1;
    stand_in_line(lane, *scope, Resource::connection_rate);
    const WaitLine& line = scope->line(Resource::connection_rate);
    limits_.ask_tokens(*scope, Resource::connection_rate, std::max<uint64_t>(more, line.size()), 1,
                       line.foremost());
    if (here > 0) limits_.changed(*scope);
    const bool urgent = lane.wait_key.rank == WaitLine::Rank::foremost;
    for (Scope* const other : lane.scopes)
      ask_if_lacking(limits_, *other, Resource::connection_rate, 1, urgent);
    return false;
  }
  for (Scope* const scope : lane.scopes) limits_.take_tokens(*scope, Resource::connection_rate, 1);
  return true;
}

// -------------------------------------------------------------------------------------------------
// messages

// So many recipients may be sent to now; 0: none, and the lane stands in line for tokens.
size_t Lanes::recipients_allowed(Lane& lane) {
  uint64_t allowed = smtp::kRecipientsMax;
  for (Scope* const scope : lane.rated) {
    const uint64_t here = limits_.tokens_here(*scope, Resource::message_rate);
    if (here == UINT64_MAX) continue;
    if (here == 0 || others_first(lane, *scope, Resource::message_rate)) {
      await_tokens(lane, *scope, Resource::message_rate, 1);
      if (here > 0) limits_.changed(*scope);
      ask_for_all(limits_, lane);
      return 0;
    }
    allowed = std::min(allowed, here);
  }
  return allowed;
}

// Of a tenant's own limits at the receiver.
Scope& Lanes::scope_of(const Lane& lane, uint32_t tenant) {
  using Kind = ScopeId::Kind;
  return limits_.scope(lane.provider->id == 0
                           ? ScopeId{Kind::tenant_at_site, lane.site->number, tenant}
                           : ScopeId{Kind::tenant_at_provider, lane.provider->id, tenant});
}

// Whether a tenant's own limits at the receiver let it send now. If not it stands in line, apart
// from the lane.
bool Lanes::tenant_allowed(Lane& lane, LaneQueue::Tenant& tenant, size_t& recipients) {
  if (!lane.provider->per_tenant.any()) return true;
  if (tenant.scope == nullptr) tenant.scope = &scope_of(lane, tenant.id);
  Scope& scope = *tenant.scope;
  const bool limited = scope.settings(*shard_.policy).connections != 0;
  const uint64_t here = limits_.tokens_here(scope, Resource::message_rate);
  if (limited && scope.slots.free() == 0) {
    block(lane, tenant, Resource::connections);
    const size_t waiting = scope.line(Resource::connections).size();
    limits_.ask_slots(scope, static_cast<uint32_t>(waiting + lane.idle.size()));
    return false;
  }
  if (here == 0) {
    const auto wanted = std::min<uint64_t>(tenant.works.count, 100);
    limits_.ask_tokens(scope, Resource::message_rate, wanted, 1, tenant.band == 0 ? wanted : 0);
    block(lane, tenant, Resource::message_rate);
    return false;
  }
  recipients = std::min<uint64_t>(recipients, here);
  return true;
}

void Lanes::block(Lane& lane, LaneQueue::Tenant& tenant, Resource lacks) {
  ask_for_all(limits_, lane);
  lane.waiting.block(tenant);
  tenant.lacks = lacks;
  const bool urgent = tenant.band == 0;
  tenant.key = {urgent ? WaitLine::Rank::foremost : WaitLine::Rank::others, 0, ++came_};
  tenant.scope->line(lacks).add(tenant.key, &lane);
}

// The size is known only now. False: tokens lack for so many bytes, and the lane stands in line.
bool Lanes::bytes_allowed(Lane& lane, Load& load) {
  const uint64_t bytes = load.transaction.size;
  for (Scope* const scope : lane.rated) {
    const uint64_t here = limits_.tokens_here(*scope, Resource::byte_rate);
    if (here >= bytes) continue;
    await_tokens(lane, *scope, Resource::byte_rate, bytes);
    for (Scope* const other : lane.rated)
      ask_if_lacking(limits_, *other, Resource::byte_rate, bytes, lane.waiting.urgent());
    if (lane.bytes == 0) lane.bytes = static_cast<double>(bytes);
    return false;
  }
  return true;
}

// The same of the tenant's own limit: its recipients stand in front again, and in that line.
bool Lanes::tenant_bytes_allowed(Lane& lane, LaneQueue::Tenant& tenant, Load& load) {
  if (tenant.scope == nullptr) return true;
  const uint64_t bytes = load.transaction.size;
  if (limits_.tokens_here(*tenant.scope, Resource::byte_rate) >= bytes) return true;
  limits_.ask_tokens(*tenant.scope, Resource::byte_rate, bytes, bytes,
                     tenant.band == 0 ? bytes : 0);
  lane.bytes_of_tenant = bytes;
  take_back(lane, load);
  block(lane, tenant, Resource::byte_rate);
  return false;
}

void Lanes::take_message_tokens(Lane& lane, LaneQueue::Tenant& tenant, Load& load) {
  const uint64_t recipients = load.works.size();
  for (Scope* const scope : lane.rated) {
    limits_.take_tokens(*scope, Resource::message_rate, recipients);
    limits_.take_tokens(*scope, Resource::byte_rate, load.transaction.size);
  }
  if (tenant.scope == nullptr) return;
  limits_.take_tokens(*tenant.scope, Resource::message_rate, recipients);
  limits_.take_tokens(*tenant.scope, Resource::byte_rate, load.transaction.size);
  if (tenant.scope->settings(*shard_.policy).connections == 0) return;
  tenant.scope->slots.take();
  load.tenant_slot = tenant.scope;
}

// It cannot go now: its recipients stand where they stood.
void Lanes::take_back(Lane& lane, Load& load) {
  for (auto work = load.works.rbegin(); work != load.works.rend(); ++work) {
    const queue::LiveBatch& batch = *(*work)->batch;
    lane.waiting.push_front(*work, batch.tenant, weight_of(batch));
  }
  free_load(load);
}

// -------------------------------------------------------------------------------------------------
// lines

void Lanes::await_tokens(Lane& lane, Scope& scope, Resource resource, uint64_t next) {
  // What the sessions at hand could take, and one of each other that stands in line.
  const double each = std::max(1.0, std::ceil(lane.recipients));
  const auto able = static_cast<uint64_t>(static_cast<double>(lane.idle.size() + 1) * each);
  const uint64_t wanted = std::min<uint64_t>(able, lane.waiting.total());
  lane.tokens_of_use = next;
  stand_in_line(lane, scope, resource);
  const WaitLine& line = scope.line(resource);
  uint64_t urgent = line.foremost();
  if (lane.waiting.urgent()) urgent += std::min<uint64_t>(wanted, lane.waiting.urgent_total()) - 1;
  limits_.ask_tokens(scope, resource, (wanted + line.size() - 1) * next, next, urgent * next);
}

void Lanes::call_for_tokens(Scope& scope, Resource resource) {
  if (scope.line(resource).empty()) return;
  const uint64_t here = limits_.tokens_here(scope, resource);
  const Lane& first = *scope.line(resource).first();
  // Of bytes each wants many: one after the other. For what is left of somebody else's nobody is
  // called: he would stand in line again, and be called again, until that has lapsed. What has
  // lapsed is asked for again: who stands in line does not.
  const bool bytes = resource == Resource::byte_rate;
  const uint64_t needed = bytes ? first.tokens_of_use : 1;
  if (here < needed) {
    const WaitLine& line = scope.line(resource);
    const uint64_t urgent = bytes ? (line.foremost() > 0 ? needed : 0) : line.foremost();
    return limits_.ask_tokens(scope, resource, bytes ? needed : line.size(), needed, urgent);
  }
  call(scope, resource, bytes ? 1 : here);
}

// Each tenant's lanes stand in a line of its own. What those who are called leave goes back next
// turn: at once it would be gone before they have had it, and travel for ever.
void Lanes::call_tenant(Scope& scope) {
  bool called = false;
  for (const Resource resource :
       {Resource::connections, Resource::message_rate, Resource::byte_rate}) {
    WaitLine& line = scope.line(resource);
    uint64_t most = resource == Resource::connections ? scope.slots.free()
                                                      : limits_.tokens_here(scope, resource);
    // Of bytes each wants many: one after the other, and nobody for what is too little for him.
    if (resource == Resource::byte_rate && !line.empty())
      most = most >= line.first()->bytes_of_tenant ? 1 : 0;
    for (; most > 0 && !line.empty(); --most) {
      Lane& lane = *line.call_first();
      lane.waiting.each_blocked([&](LaneQueue::Tenant& tenant) {
        if (tenant.scope == &scope) scope.line(tenant.lacks).remove(tenant.key);
      });
      lane.waiting.unblock(scope.id.with);
      if (resource == Resource::connections) keep_for_called(scope);
      // It passes those who stand in lines for tokens, as whoever has been called from one does.
      if (lane.called_by == nullptr) {
        lane.called_by = &scope;
        lane.called_for = resource;
        called_.push_back(&lane);
      }
      list(lane);
      called = true;
    }
  }
  if (called) return limits_.changed(scope);
  // Who stands in line does not ask: whoever came before him may have had all that was asked for.
  for (const Resource resource : {Resource::message_rate, Resource::byte_rate}) {
    WaitLine& line = scope.line(resource);
    if (line.empty()) continue;
    const bool bytes = resource == Resource::byte_rate;
    const uint64_t next = bytes ? line.first()->bytes_of_tenant : 1;
    limits_.ask_tokens(scope, resource, bytes ? next : line.size(), next,
                       bytes ? (line.foremost() > 0 ? next : 0) : line.foremost());
  }
  if (const WaitLine& line = scope.line(Resource::connections); !line.empty()) {
    limits_.ask_slots(scope, static_cast<uint32_t>(line.size()));
  } else if (!scope.kept) {
    limits_.give_back_slots(scope, limits_.slots_kept(scope));
  }
}

// A lane whose sessions are all at work, or that waits for tokens, uses a slot only later. Would it
// have gone by then, the lane would ask and be called again, and so for ever, while its other
// tenants have its sessions. Another lane here may use it meanwhile; its owner may recall it.
void Lanes::keep_for_called(Scope& scope) {
  scope.called_mono_ns = shard_.mono_ns;
  if (std::exchange(scope.kept, true)) return;
  kept_.emplace(shard_.mono_ns + kTenantSlotsKeptNs, &scope);
}

void Lanes::end_keeping() {
  while (!kept_.empty() && kept_.begin()->first <= shard_.mono_ns) {
    Scope& scope = *kept_.begin()->second;
    kept_.erase(kept_.begin());
    const int64_t until_mono_ns = scope.called_mono_ns + kTenantSlotsKeptNs;
    scope.kept = until_mono_ns > shard_.mono_ns;
    if (scope.kept) {
      kept_.emplace(until_mono_ns, &scope);
    } else {
      limits_.changed(scope);
    }
  }
}

// What waits there goes home, or other limits hold: nobody of it stands in a line any more.
void Lanes::drop_blocked(Lane& lane) {
  std::vector<uint32_t> blocked;
  lane.waiting.each_blocked([&](LaneQueue::Tenant& tenant) {
    tenant.scope->line(tenant.lacks).remove(tenant.key);
    blocked.push_back(tenant.id);
  });
  for (const uint32_t id : blocked) lane.waiting.unblock(id);
}

}  // namespace veredus
