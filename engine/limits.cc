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

Limits::Limits(ShardContext& shard, KeptRates& kept)
    : shard_(shard), kept_(kept), taken_up_(shard.exchange.shards(), shard.policy->version) {}
Limits::~Limits() = default;

// -------------------------------------------------------------------------------------------------
// lines

void WaitLine::add(const Key& key, Lane* lane) {
  if (by_tenant() && first_of(key.rank, key.tenant) == lanes_.end())
    order(key.rank).activate(key.tenant);
  lanes_.emplace(key, lane);
  if (key.rank == Rank::foremost) ++foremost_;
  if (key.rank == Rank::without) ++without_;
}

void WaitLine::remove(const Key& key) {
  if (lanes_.erase(key) == 0) return;
  if (key.rank == Rank::foremost) --foremost_;
  if (key.rank == Rank::without) --without_;
  if (by_tenant() && first_of(key.rank, key.tenant) == lanes_.end())
    order(key.rank).deactivate(key.tenant);
}

// Of that tenant, with the foremost or with the others.
WaitLine::Lanes::const_iterator WaitLine::first_of(Rank rank, uint32_t tenant) const {
  const bool foremost = rank == Rank::foremost;
  for (auto each = foremost ? Rank::foremost : Rank::without;; each = Rank(int(each) + 1)) {
    const auto at = lanes_.lower_bound({each, tenant, 0});
    if (at != lanes_.end() && at->first.rank == each && at->first.tenant == tenant) return at;
    if (foremost || each == Rank::others) return lanes_.end();
  }
}

WaitLine::Lanes::const_iterator WaitLine::first_place() {
  const bool passed = in_row_ >= kForemostInRow && foremost_ < lanes_.size();
  const auto first = passed ? lanes_.lower_bound({Rank::without, 0, 0}) : lanes_.begin();
  if (!by_tenant()) return first;
  return first_of(first->first.rank, order(first->first.rank).next());
}

Lane* WaitLine::call_first() {
  const auto first = first_place();
  const bool passes = first->first.rank == Rank::foremost && foremost_ < lanes_.size();
  in_row_ = passes ? in_row_ + 1 : 0;
  return first->second;
}

queue::FairOrder<uint32_t>& WaitLine::order(Rank rank) {
  auto& made = orders_[rank == Rank::foremost ? 0 : 1];
  if (made == nullptr) made = std::make_unique<queue::FairOrder<uint32_t>>(*passes_);
  return *made;
}

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
    if (id.kind == ScopeId::Kind::provider) {
      for (WaitLine& line : made->lines) line.go_by(passes_of_provider(id.of));
    }
  }
  return *made;
}

TenantPasses& Limits::passes_of_provider(uint32_t provider) {
  std::unique_ptr<TenantPasses>& made = passes_[provider];
  if (made == nullptr) made = std::make_unique<TenantPasses>();
  return *made;
}

void Limits::changed(Scope& scope) {
  if (std::exchange(scope.changed, true)) return;
  changed_.push_back(&scope);
}

void Limits::ask_slots(Scope& scope, uint32_t more) {
  const auto urgent = static_cast<uint32_t>(scope.line(Resource::connections).foremost());
  if (const auto request = scope.slots.ask(more, urgent, weight_to_tell(scope)))
    send(Message::Kind::limit_ask, scope.owner, scope.id, request->count, request->urgent,
         request->weight);
}

// Tenants come and go with each message: that is not told each time.
uint32_t Limits::weight_to_tell(Scope& scope) {
  const WaitLine& line = scope.line(Resource::connections);
  const uint32_t told = scope.slots.weight();
  if (shard_.mono_ns < scope.weight_told_mono_ns) return told;
  const uint32_t weight = line.weight();
  if (weight != told) scope.weight_told_mono_ns = shard_.mono_ns + kWeightEveryNs;
  return weight;
}

void Limits::release_slot(Scope& scope) {
  const uint32_t back = scope.slots.release();
  if (back > 0) send(Message::Kind::limit_back, scope.owner, scope.id, back);
  // What it has goes by the weights of those who still wait.
  ask_slots(scope, 0);
  // What was in use before a reload goes back, once: its owner knows whether that is too much now.
  const bool from_before = scope.from_before > 0;
  if (from_before) --scope.from_before;
  if (!settled()) give_back_slots(scope);
  if (from_before && back == 0 && scope.slots.free() > 0)
    give_back_slots(scope, scope.slots.free() - 1);
  if (!scope.line(Resource::connections).empty()) changed(scope);
}

void Limits::adopt_slots(Scope& scope, uint32_t connections) {
  if (connections == 0) return;
  scope.slots.adopt(connections);
  send(Message::Kind::limit_adopted, scope.owner, scope.id, connections);
}

void Limits::give_back_slots(Scope& scope, uint32_t keep) {
  if (const uint32_t back = scope.slots.give_back_free(keep))
    send(Message::Kind::limit_back, scope.owner, scope.id, back);
  if (scope.line(Resource::connections).empty() && scope.slots.withdraw())
    send(Message::Kind::limit_withdraw, scope.owner, scope.id, 0);
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
    made->policy_version = shard_.policy->version;
    owned_in_order_.push_back(id);
  }
  return *made;
}

// The same, by the policy in force.
Limits::Owned& Limits::in_force(const ScopeId& id) {
  Owned& mine = owned(id);
  if (mine.policy_version != shard_.policy->version) apply_settings(id, mine);
  return mine;
}

// After a reload the owner's limits follow, a turn's share each turn. What is lent beyond a smaller
// one is recalled, and nothing more is lent until it is back.
void Limits::policy_changed() {
  to_apply_ = owned_in_order_.size();
  given_back_ = 0;
  count_unsettled();
  // What is left of the reload before. Of a limit that goes by one and comes by the next one
  // nothing may stay.
  drop_unlimited(to_drop_);
  to_drop_ = rated_.size();
  dropping_by_ = shard_.policy;
  // What is still too early stands in front again.
  for (size_t left = early_.size(); left > 0; --left) {
    const LimitMessage message = early_.front();
    early_.pop_front();
    hear_of_tokens(message);
  }
}

// What is free was lent by the former sums: whoever adopts more elsewhere does not know of it.
bool Limits::taken_up() {
  const size_t end = std::min(scopes_in_order_.size(), given_back_ + kScopesPerTurn);
  for (; given_back_ < end; ++given_back_) {
    Scope& each = *scopes_in_order_[given_back_];
    give_back_slots(each);
    each.from_before = each.slots.used();
  }
  if (given_back_ < scopes_in_order_.size()) return false;
  for (unsigned shard = 0; shard < shard_.exchange.shards(); ++shard) {
    auto message = std::make_unique<PolicyTakenUp>();
    message->from = shard_.id;
    message->version = shard_.policy->version;
    shard_.exchange.post(shard, std::move(message));
  }
  return true;
}

void Limits::hear(const PolicyTakenUp& message) {
  taken_up_[message.from] = message.version;
  count_unsettled();
  if (!settled()) return;
  to_apply_ = owned_in_order_.size();  // what was adopted meanwhile, too
}

void Limits::count_unsettled() {
  unsettled_ = static_cast<unsigned>(
      std::count_if(taken_up_.begin(), taken_up_.end(),
                    [this](uint64_t version) { return version < shard_.policy->version; }));
}

void Limits::apply_settings(const ScopeId& id, Owned& owned) {
  const LimitSettings before = std::exchange(owned.settings, shard_.policy->limits_of(id));
  owned.policy_version = shard_.policy->version;
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
  drop_unlimited(kRatedPerTurn);
  for (uint32_t budget = kOwnedPerTurn; settled() && to_apply_ > 0 && budget > 0; --budget)
    in_force(owned_in_order_[--to_apply_]);
  for (uint32_t budget = kUnheardPerTurn; settled() && !unheard_.empty() && budget > 0; --budget) {
    const LimitMessage message = unheard_.front();
    unheard_.pop_front();
    hear_settled(message);
  }
  while (!rates_due_.empty() && rates_due_.begin()->first <= shard_.mono_ns) {
    const auto [id, resource] = rates_due_.begin()->second;
    Owned& due = *owned_[id];
    rate_of(id, due, resource)->run(shard_.mono_ns, rate_notices_);
    tokens_granted(id, due, resource);
  }
  std::erase_if(holding_, [this](const auto& held) {
    const auto& [scope, resource] = held;
    queue::RateHolder* const rate = scope->rate(resource);
    if (rate != nullptr && rate->lapses_mono_ns() <= shard_.mono_ns) {
      give_back_tokens(*scope, resource, UINT64_MAX);
      if (!scope->line(resource).empty()) changed(*scope);
    }
    const bool holds = rate != nullptr && rate->lapses_mono_ns() != INT64_MAX;
    scope->holds[static_cast<size_t>(resource)] = holds;
    return !holds;
  });
}

int64_t Limits::next_due_mono_ns() const {
  if (to_drop_ > 0 || (settled() && (to_apply_ > 0 || !unheard_.empty()))) return shard_.mono_ns;
  int64_t next = rates_due_.empty() ? INT64_MAX : rates_due_.begin()->first;
  for (const auto& [scope, resource] : holding_) {
    if (const queue::RateHolder* const rate = scope->rate(resource))
      next = std::min(next, rate->lapses_mono_ns());
  }
  return next;
}

void Limits::hear(const LimitMessage& message) {
  if (message.resource != Resource::connections) return hear_of_tokens(message);
  if (message.kind == Message::Kind::limit_ask || message.kind == Message::Kind::limit_back ||
      message.kind == Message::Kind::limit_withdraw) {
    return settled() && unheard_.empty() ? hear_settled(message) : unheard_.push_back(message);
  }
  if (message.kind == Message::Kind::limit_adopted) {
    Owned& mine = owned(message.scope);
    mine.slots.adopt(message.from, static_cast<uint32_t>(message.count));
    if (io::is_planted(io::Planted::adopted_beyond)) {
      mine.slots.set_limit(mine.slots.granted() + 1, notices_);
      return notify(message.scope);
    }
    mine.policy_version = 0;  // what is too much is recalled when all shards count so
    return;
  }
  Scope& here = scope(message.scope);
  if (message.kind == Message::Kind::limit_granted) {
    here.slots.on_grant(static_cast<uint32_t>(message.count));
    // Lent before its owner heard of the new rules.
    if (!settled()) return give_back_slots(here);
  } else if (const uint32_t back = here.slots.on_recall(static_cast<uint32_t>(message.count),
                                                        static_cast<uint32_t>(message.urgent))) {
    send(Message::Kind::limit_back, here.owner, here.id, back);
  }
  changed(here);
}

// Slots are asked for, or have come back, by rules that all shards follow.
void Limits::hear_settled(const LimitMessage& message) {
  if (message.kind == Message::Kind::limit_ask) return asked(message);
  if (message.kind == Message::Kind::limit_back) return given_back(message);
  in_force(message.scope).slots.withdraw(message.from);
}

void Limits::asked(const LimitMessage& message) {
  const uint32_t granted =
      in_force(message.scope)
          .slots.request(message.from,
                         {static_cast<uint32_t>(message.count),
                          static_cast<uint32_t>(message.urgent), message.weight},
                         notices_);
  if (granted > 0) send(Message::Kind::limit_granted, message.from, message.scope, granted);
  notify(message.scope);
}

void Limits::given_back(const LimitMessage& message) {
  in_force(message.scope)
      .slots.give_back(message.from, static_cast<uint32_t>(message.count), notices_);
  notify(message.scope);
}

void Limits::notify(const ScopeId& id) {
  for (const queue::LeaseNotice& notice : notices_) {
    const bool grant = notice.kind == queue::LeaseNotice::Kind::grant;
    send(grant ? Message::Kind::limit_granted : Message::Kind::limit_recalled, notice.holder, id,
         notice.count, notice.urgent);
  }
  notices_.clear();
}

void Limits::send(Message::Kind kind, unsigned to, const ScopeId& id, uint64_t count,
                  uint64_t urgent, uint32_t weight) {
  auto message = std::make_unique<LimitMessage>(kind);
  message->from = shard_.id;
  message->scope = id;
  message->count = count;
  message->urgent = urgent;
  message->weight = weight;
  shard_.exchange.post(to, std::move(message));
}

}  // namespace veredus
