// Tokens of rates: what a shard has of them, and what it owns.

#include <algorithm>

#include "engine/io/planted.h"
#include "engine/limits.h"

namespace veredus {

// -------------------------------------------------------------------------------------------------
// what this shard has

// Null: there is no such limit.
queue::RateHolder* Limits::holder_of(Scope& scope, Resource resource) {
  if (!scope.settings(*shard_.policy).rate(resource).limited()) return nullptr;
  std::unique_ptr<queue::RateHolder>& made = scope.rates[static_cast<size_t>(resource)];
  if (made == nullptr) {
    if (!std::exchange(scope.rated, true)) rated_.push_back(&scope);
    made = std::make_unique<queue::RateHolder>();
    scope.limited_since[static_cast<size_t>(resource)] = shard_.policy->version;
  }
  return made.get();
}

// After a reload, a turn's share each turn. A limit that has gone takes with it what was wished:
// its owner has forgotten it, too, and if the limit comes back, whoever thought that it has asked
// already would wait for ever.
void Limits::drop_unlimited(size_t most) {
  for (; most > 0 && to_drop_ > 0; --most) {
    Scope& scope = *rated_[--to_drop_];
    const LimitSettings& limits = dropping_by_->limits_of(scope.id);
    for (size_t resource = 0; resource < kResources; ++resource) {
      if (!limits.rates[resource].limited()) scope.rates[resource].reset();
    }
  }
}

uint64_t Limits::tokens_here(Scope& scope, Resource resource) {
  const queue::RateHolder* const rate = holder_of(scope, resource);
  return rate == nullptr ? UINT64_MAX : rate->here(shard_.mono_ns);
}

void Limits::take_tokens(Scope& scope, Resource resource, uint64_t tokens) {
  if (queue::RateHolder* const rate = holder_of(scope, resource))
    rate->take(tokens, shard_.mono_ns);
}

void Limits::ask_tokens(Scope& scope, Resource resource, uint64_t wanted, uint64_t next,
                        uint64_t urgent) {
  queue::RateHolder* const rate = holder_of(scope, resource);
  if (rate == nullptr) return changed(scope);
  const uint32_t weight = scope.line(resource).weight();
  const std::optional<queue::RateRequest> request =
      rate->ask(wanted, next, shard_.mono_ns, weight, urgent);
  if (!request) return;
  auto message = of_tokens(Message::Kind::limit_ask, scope.id, resource);
  message->count = request->tokens;
  message->at_once = request->at_once;
  message->weight = request->weight;
  message->urgent = request->urgent;
  shard_.exchange.post(scope.owner, std::move(message));
}

// Nobody here wants any.
void Limits::withdraw(Scope& scope, Resource resource) {
  queue::RateHolder* const rate = scope.rate(resource);
  if (rate == nullptr) return;
  if (rate->withdraw())
    shard_.exchange.post(scope.owner, of_tokens(Message::Kind::limit_withdraw, scope.id, resource));
  give_back_tokens(scope, resource, 0);
}

void Limits::give_back_tokens(Scope& scope, Resource resource, uint64_t keep) {
  returns_.clear();
  scope.rate(resource)->give_back(keep, shard_.mono_ns, returns_);
  for (const queue::RateReturn& returned : returns_) {
    auto message = of_tokens(Message::Kind::limit_back, scope.id, resource);
    message->count = returned.tokens;
    message->granted_mono_ns = returned.granted_mono_ns;
    shard_.exchange.post(scope.owner, std::move(message));
  }
}

std::unique_ptr<LimitMessage> Limits::of_tokens(Message::Kind kind, const ScopeId& id,
                                                Resource resource) const {
  auto message = std::make_unique<LimitMessage>(kind);
  message->from = shard_.id;
  message->scope = id;
  message->resource = resource;
  message->policy_version = shard_.policy->version;
  return message;
}

// -------------------------------------------------------------------------------------------------
// what this shard owns

// Null: there is no such limit.
queue::RateOwner* Limits::rate_of(const ScopeId& id, Owned& owned, Resource resource) {
  std::unique_ptr<queue::RateOwner>& made = owned.rates[static_cast<size_t>(resource)];
  if (made == nullptr) owned.settings = shard_.policy->limits_of(id);
  const queue::Rate& rate = owned.settings.rate(resource);
  if (made == nullptr && rate.limited()) made = new_rate(id, owned, resource, rate);
  return made.get();
}

// Of a slow rate, by which its state is kept over a restart.
std::optional<queue::RateKey> Limits::key_of(const ScopeId& id, Owned& owned, Resource resource) {
  if (!owned.key) owned.key = kept_.key_of(id);
  if (owned.key) owned.key->resource = static_cast<uint8_t>(resource);
  return owned.key;
}

// A slow one goes on where the life before was. It may have been another rate then: what was
// granted by that one counts as after a reload.
std::unique_ptr<queue::RateOwner> Limits::new_rate(const ScopeId& id, Owned& owned,
                                                   Resource resource, const queue::Rate& rate) {
  const unsigned shards = shard_.exchange.shards();
  if (io::is_planted(io::Planted::rates_anew))
    return std::make_unique<queue::RateOwner>(rate, shards, shard_.mono_ns - 2 * rate.per_ns);
  const queue::RateState* before = nullptr;
  if (queue::state_is_kept(rate)) {
    if (const auto key = key_of(id, owned, resource)) before = kept_.find(*key);
  }
  if (before == nullptr) return std::make_unique<queue::RateOwner>(rate, shards, shard_.mono_ns);
  auto made = std::make_unique<queue::RateOwner>(
      before->rate, shards, shard_.mono_ns,
      queue::by_other_clock(before->state_wall_ns, shard_.wall_ns, shard_.mono_ns));
  made->set_rate(rate, shard_.mono_ns, rate_notices_);  // nobody waits yet
  return made;
}

void Limits::hear_of_tokens(const LimitMessage& message) {
  if (message.kind == Message::Kind::limit_granted) {
    Scope& here = scope(message.scope);
    queue::RateHolder* const rate = here.rate(message.resource);
    // For a wish of an earlier time, when this was limited, too.
    if (rate == nullptr ||
        message.policy_version < here.limited_since[static_cast<size_t>(message.resource)])
      return;
    rate->on_grant(
        {shard_.id, message.count, message.granted_mono_ns,
         message.expires_mono_ns + (io::is_planted(io::Planted::tokens_kept) ? 60'000'000'000 : 0),
         message.next_mono_ns, message.once});
    if (message.count == 0) return;
    if (!std::exchange(here.holds[static_cast<size_t>(message.resource)], true))
      holding_.emplace_back(&here, message.resource);
    return changed(here);
  }
  // Said under rules that are not in force here yet: it is heard when they are, before what its
  // sender says later, for that is said under the same rules or newer ones.
  if (message.policy_version > shard_.policy->version) return early_.push_back(message);
  Owned& mine = settled() ? in_force(message.scope) : owned(message.scope);
  queue::RateOwner* const rate = rate_of(message.scope, mine, message.resource);
  if (rate == nullptr) return;
  if (message.kind == Message::Kind::limit_ask) {
    rate->request(message.from, {message.count, message.at_once, message.weight, message.urgent},
                  shard_.mono_ns, rate_notices_);
  } else if (message.kind == Message::Kind::limit_back) {
    rate->give_back({message.count, message.granted_mono_ns}, shard_.mono_ns, rate_notices_);
  } else {
    rate->withdraw(message.from);
  }
  tokens_granted(message.scope, mine, message.resource);
}

// What there is, is shared evenly by all who want more.
int64_t Limits::expected_mono_ns(const ScopeId& id, Resource resource, uint16_t holder,
                                 uint64_t tokens) {
  const queue::RateOwner* const rate = rate_of(id, owned(id), resource);
  if (rate == nullptr || tokens == 0) return 0;
  uint64_t sharers = 1;
  for (uint32_t other = 0; other < shard_.exchange.shards(); ++other)
    sharers += other != holder && rate->wished(other) > 0;
  const double each_ns =
      static_cast<double>(rate->rate().per_ns) / static_cast<double>(rate->rate().count);
  const double left_ns = static_cast<double>(tokens) * static_cast<double>(sharers) * each_ns;
  constexpr double kFar = 1e18;
  return std::max(shard_.mono_ns, rate->state_mono_ns(shard_.mono_ns)) +
         static_cast<int64_t>(std::min(left_ns, kFar));
}

// Tells holders, and remembers when there is more.
void Limits::tokens_granted(const ScopeId& id, Owned& mine, Resource resource) {
  queue::RateOwner& rate = *rate_of(id, mine, resource);
  if (queue::state_is_kept(rate.rate())) {
    if (const auto key = key_of(id, mine, resource)) kept_.put(*key, rate);
  }
  for (const queue::RateNotice& notice : rate_notices_) {
    auto message = of_tokens(Message::Kind::limit_granted, id, resource);
    message->count = notice.tokens;
    message->granted_mono_ns = notice.granted_mono_ns;
    message->expires_mono_ns = notice.expires_mono_ns;
    message->next_mono_ns = notice.next_mono_ns;
    message->once = notice.once;
    shard_.exchange.post(notice.holder, std::move(message));
  }
  rate_notices_.clear();
  int64_t& due = mine.due[static_cast<size_t>(resource)];
  const int64_t next = rate.next_grant_mono_ns();
  if (next == due) return;
  if (due != INT64_MAX) rates_due_.erase({due, {id, resource}});
  due = next;
  if (due != INT64_MAX) rates_due_.insert({due, {id, resource}});
}

}  // namespace veredus
