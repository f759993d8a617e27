#include "engine/limits.h"

#include <algorithm>

#include "engine/io/planted.h"

namespace veredus {

namespace {

constexpr uint32_t kKeptParts = 200;  // of a limit, a shard may keep one unused
constexpr uint32_t kKeptMax = 64;
constexpr Resource kRates[] = {Resource::connection_rate, Resource::message_rate,
                               Resource::byte_rate};

}  // namespace

Limits::Limits(ShardContext& shard) : shard_(shard) {}
Limits::~Limits() = default;

// -------------------------------------------------------------------------------------------------
// what this shard has

unsigned Limits::owner_of(const ScopeId& id) const {
  const unsigned shards = shard_.exchange.shards();
  switch (id.kind) {
    case ScopeId::Kind::site:
    case ScopeId::Kind::tenant_at_site:
      return id.of % shards;  // the site's own owner
    case ScopeId::Kind::provider:
    case ScopeId::Kind::source:
    case ScopeId::Kind::group:
    case ScopeId::Kind::tenant_at_provider:
    case ScopeId::Kind::global:
      break;
  }
  return (id.of + 7 * id.with + static_cast<unsigned>(id.kind)) % shards;
}

Scope& Limits::scope(const ScopeId& id) {
  std::unique_ptr<Scope>& made = scopes_[id];
  if (made == nullptr) {
    made = std::make_unique<Scope>(id, static_cast<uint16_t>(owner_of(id)));
    scopes_in_order_.push_back(made.get());
  }
  return *made;
}

void Limits::changed(Scope& scope) {
  if (std::exchange(scope.changed, true)) return;
  changed_.push_back(&scope);
}

void Limits::ask_slots(Scope& scope, uint32_t more) {
  if (const uint32_t ask = scope.slots.ask(more))
    send(Message::Kind::limit_ask, scope.owner, scope.id, ask);
}

void Limits::release_slot(Scope& scope) {
  if (const uint32_t back = scope.slots.release())
    send(Message::Kind::limit_back, scope.owner, scope.id, back);
  if (!scope.line(Resource::connections).empty()) changed(scope);
}

void Limits::give_back_slots(Scope& scope, uint32_t keep) {
  if (const uint32_t back = scope.slots.give_back_free(keep))
    send(Message::Kind::limit_back, scope.owner, scope.id, back);
}

uint32_t Limits::slots_kept(Scope& scope) const {
  return std::min(scope.settings(*shard_.policy).connections / kKeptParts, kKeptMax);
}

// -------------------------------------------------------------------------------------------------
// what this shard owns

Limits::Owned& Limits::owned(const ScopeId& id) {
  std::unique_ptr<Owned>& made = owned_[id];
  if (made == nullptr) {
    made = std::make_unique<Owned>(shard_.policy->limits_of(id), shard_.exchange.shards());
    owned_in_order_.push_back(id);
  }
  return *made;
}

// After a reload the owner's limits follow, a turn's share each turn. What is lent beyond a smaller
// one is recalled, and nothing more is lent until it is back.
void Limits::policy_changed() {
  to_apply_ = owned_in_order_.size();
  for (Scope* const scope : scopes_in_order_) drop_unlimited(*scope);
  // What is still too early stands in front again.
  for (size_t left = early_.size(); left > 0; --left) {
    const LimitMessage message = early_.front();
    early_.pop_front();
    hear_of_tokens(message);
  }
}

void Limits::apply_settings(const ScopeId& id, Owned& owned) {
  const LimitSettings before = std::exchange(owned.settings, shard_.policy->limits_of(id));
  if (!io::is_planted(io::Planted::lowered_limit_kept) ||
      owned.settings.connections > before.connections)
    owned.slots.set_limit(owned.settings.connections, notices_);
  notify(id);
  for (const Resource resource : kRates) {
    std::unique_ptr<queue::RateOwner>& rate = owned.rates[static_cast<size_t>(resource)];
    const queue::Rate& wanted = owned.settings.rate(resource);
    if (rate == nullptr || rate->rate() == wanted) continue;
    if (!wanted.limited()) {
      int64_t& due = owned.due[static_cast<size_t>(resource)];
      if (due != INT64_MAX) rates_due_.erase({due, {id, resource}});
      due = INT64_MAX;
      rate.reset();
      continue;
    }
    if (io::is_planted(io::Planted::lowered_limit_kept) && wanted.count < rate->rate().count)
      continue;
    rate->set_rate(wanted, shard_.mono_ns, rate_notices_);
    tokens_granted(id, owned, resource);
  }
}

void Limits::run() {
  for (uint32_t budget = kOwnedPerTurn; to_apply_ > 0 && budget > 0; --budget) {
    const ScopeId id = owned_in_order_[--to_apply_];
    apply_settings(id, *owned_[id]);
  }
  while (!rates_due_.empty() && rates_due_.begin()->first <= shard_.mono_ns) {
    const auto [id, resource] = rates_due_.begin()->second;
    Owned& due = *owned_[id];
    rate_of(id, due, resource)->run(shard_.mono_ns, rate_notices_);
    tokens_granted(id, due, resource);
  }
  std::erase_if(holding_, [this](const auto& held) {
    const auto& [scope, resource] = held;
    queue::RateHolder& rate = *scope->rate(resource);
    if (rate.lapses_mono_ns() <= shard_.mono_ns) {
      give_back_tokens(*scope, resource, UINT64_MAX);
      if (!scope->line(resource).empty()) changed(*scope);
    }
    return rate.lapses_mono_ns() == INT64_MAX;
  });
}

int64_t Limits::next_due_mono_ns() const {
  if (to_apply_ > 0) return shard_.mono_ns;
  int64_t next = rates_due_.empty() ? INT64_MAX : rates_due_.begin()->first;
  for (const auto& [scope, resource] : holding_)
    next = std::min(next, scope->rate(resource)->lapses_mono_ns());
  return next;
}

void Limits::hear(const LimitMessage& message) {
  if (message.resource != Resource::connections) return hear_of_tokens(message);
  if (message.kind == Message::Kind::limit_ask) return asked(message);
  if (message.kind == Message::Kind::limit_back) return given_back(message);
  Scope& here = scope(message.scope);
  if (message.kind == Message::Kind::limit_granted) {
    here.slots.on_grant(static_cast<uint32_t>(message.count));
  } else if (const uint32_t back = here.slots.on_recall(static_cast<uint32_t>(message.count))) {
    send(Message::Kind::limit_back, here.owner, here.id, back);
  }
  changed(here);
}

void Limits::asked(const LimitMessage& message) {
  const uint32_t granted =
      owned(message.scope)
          .slots.request(message.from, static_cast<uint32_t>(message.count), notices_);
  if (granted > 0) send(Message::Kind::limit_granted, message.from, message.scope, granted);
  notify(message.scope);
}

void Limits::given_back(const LimitMessage& message) {
  owned(message.scope)
      .slots.give_back(message.from, static_cast<uint32_t>(message.count), notices_);
  notify(message.scope);
}

void Limits::notify(const ScopeId& id) {
  for (const queue::LeaseNotice& notice : notices_) {
    const bool grant = notice.kind == queue::LeaseNotice::Kind::grant;
    send(grant ? Message::Kind::limit_granted : Message::Kind::limit_recalled, notice.holder, id,
         notice.count);
  }
  notices_.clear();
}

void Limits::send(Message::Kind kind, unsigned to, const ScopeId& id, uint64_t count) {
  auto message = std::make_unique<LimitMessage>(kind);
  message->from = shard_.id;
  message->scope = id;
  message->count = count;
  shard_.exchange.post(to, std::move(message));
}

}  // namespace veredus
