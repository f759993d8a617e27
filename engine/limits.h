#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "engine/context.h"
#include "engine/kept_rates.h"
#include "engine/messages.h"
#include "engine/policy.h"
#include "queue/fair_order.h"
#include "queue/lease.h"
#include "queue/rate.h"

namespace veredus {

class Lane;

// Who has had how much at a receiver, for his weight: shared by all lanes of a shard to one
// provider (or, where no provider fits, to one site). By tenant number.
using TenantPasses = queue::FairPasses<uint32_t>;

// Those of a shard who wait for slots or tokens of one limit, in the order in which they are
// served: by rank, then by when they came. In a provider's only the foremost go before the others;
// both go by the tenants whose turn it is in each lane: who has had least for his weight is first,
// and of his lanes those of the better rank, then the one that came first. Now and then the first
// of the others is called before the foremost, so that nobody starves.
class WaitLine {
 public:
  enum class Rank : uint8_t {
    foremost,  // urgent, and has no session where connections are waited for
    without,   // a session
    urgent,
    others
  };
  struct Key {
    Rank rank = Rank::others;
    uint32_t tenant = 0;  // 0 where tenants do not count
    uint64_t came = 0;
    auto operator<=>(const Key&) const = default;
  };

  // From now on tenants count. Nobody may stand in it; `passes` outlives it.
  void go_by(TenantPasses& passes) { passes_ = &passes; }
  bool by_tenant() const { return passes_ != nullptr; }

  bool empty() const { return lanes_.empty(); }
  size_t size() const { return lanes_.size(); }
  size_t without_session() const { return foremost_ + without_; }
  size_t foremost() const { return foremost_; }
  // Of those who wait on this shard, against others: the sum of the tenants' that have anything
  // waiting in any of the lanes; 1 where tenants do not count.
  uint32_t weight() const {
    if (!by_tenant()) return 1;
    return static_cast<uint32_t>(std::clamp<uint64_t>(passes_->active_weight(), 1, UINT32_MAX));
  }
  void add(const Key& key, Lane* lane);
  void remove(const Key& key);
  Lane* first() { return first_place()->second; }
  // The first one is called: it is to be removed then.
  Lane* call_first();
  // Who stands with `rank` would not go before the first one, however much his tenant has had.
  bool first_is_above(Rank rank) {
    return first_place()->first.rank == Rank::foremost || rank != Rank::foremost;
  }
  // What the tenant of the first one has had; only where tenants count.
  uint64_t first_pass() { return order(first_place()->first.rank).next_pass(); }
  // In some order, until `look` says no.
  template <class Look>
  void each(Look&& look) const {
    for (const auto& [key, lane] : lanes_) {
      if (!look(*lane)) return;
    }
  }

 private:
  using Lanes = absl::btree_map<Key, Lane*>;
  // Foremost ones in a row that may be called before others.
  static constexpr unsigned kForemostInRow = 15;

  Lanes::const_iterator first_place();
  Lanes::const_iterator first_of(Rank rank, uint32_t tenant) const;
  queue::FairOrder<uint32_t>& order(Rank rank);

  Lanes lanes_;
  size_t foremost_ = 0, without_ = 0;  // of those ranks
  unsigned in_row_ = 0;
  TenantPasses* passes_ = nullptr;  // null: tenants do not count
  // The tenants who stand there: with the foremost, with the others.
  std::array<std::unique_ptr<queue::FairOrder<uint32_t>>, 2> orders_;
};

// What a shard has of the limits of one scope, and who waits here for more of it.
struct Scope {
  Scope(ScopeId scope_id, uint16_t owned_by) : id(scope_id), owner(owned_by) {}
  // Of the policy in force.
  const LimitSettings& settings(const Policy& policy) {
    if (version_ != policy.version) {
      settings_ = &policy.limits_of(id);
      version_ = policy.version;
    }
    return *settings_;
  }
  queue::RateHolder* rate(Resource resource) { return rates[static_cast<size_t>(resource)].get(); }
  WaitLine& line(Resource resource) { return lines[static_cast<size_t>(resource)]; }
  const WaitLine& line(Resource resource) const { return lines[static_cast<size_t>(resource)]; }

  const ScopeId id;
  const uint16_t owner;  // shard
  queue::LeaseHolder slots;
  std::array<std::unique_ptr<queue::RateHolder>, kResources> rates;  // null: never limited
  std::array<WaitLine, kResources> lines;
  std::array<uint64_t, kResources> limited_since{};  // version of the rules, by Resource
  std::array<bool, kResources> holds{};              // tokens: stands in Limits::holding_
  uint32_t leaving = 0;                              // of the sessions that hold a slot: told to go
  int64_t weight_told_mono_ns = INT64_MIN;           // of those who wait for slots
  int64_t called_mono_ns = INT64_MIN;                // a tenant's, for its slots: somebody, last
  bool kept = false;                                 // a tenant's: stands in Lanes::kept_
  bool pressed = false;                              // stands in Lanes::pressed_
  bool was_short = false;                            // … when that was looked at last
  uint32_t from_before = 0;                          // of the slots used: since before a reload
  bool rated = false;                                // stands in Limits::rated_
  bool changed = false;                              // stands in Limits::changed_

 private:
  const LimitSettings* settings_ = nullptr;
  uint64_t version_ = 0;
};

// The limits of sending as a shard keeps them: those that it owns, and lends to all shards; and
// what it was lent itself. Each limit has one owner, so their sum over all shards and slices is
// never more than what is allowed (queue/lease.h, queue/rate.h).
class Limits {
 public:
  Limits(ShardContext& shard, KeptRates& kept);
  ~Limits();

  // --- What this shard has. A scope lives as long as the shard, and so do passes.
  Scope& scope(const ScopeId& id);
  TenantPasses& passes_of_provider(uint32_t provider);
  // Slots or tokens may have come: whoever waits is to be called.
  void changed(Scope& scope);
  std::vector<Scope*> take_changed() { return std::exchange(changed_, {}); }
  bool any_changed() const { return !changed_.empty(); }

  // `more` slots are wanted beyond those used, by those who stand in line.
  void ask_slots(Scope& scope, uint32_t more);
  // A connection is over.
  void release_slot(Scope& scope);
  // Connections that there are count under this limit from now on.
  void adopt_slots(Scope& scope, uint32_t connections);
  // Nobody here wants what is free, nor, if nobody stands in line, what was asked for.
  void give_back_slots(Scope& scope, uint32_t keep = 0);
  // What of an unused slot a shard may keep without wanting it: dialling again is cheaper then.
  uint32_t slots_kept(Scope& scope) const;

  // So many tokens of a rate are here: UINT64_MAX when there is no such limit.
  uint64_t tokens_here(Scope& scope, Resource resource);
  void take_tokens(Scope& scope, Resource resource, uint64_t tokens);
  // `wanted` in all, `next` of them at once, `urgent` of them urgently. By the weights of those who
  // wait here, against those of other shards.
  void ask_tokens(Scope& scope, Resource resource, uint64_t wanted, uint64_t next, uint64_t urgent);
  void withdraw(Scope& scope, Resource resource);

  // --- What this shard owns, and what comes for either.
  void hear(const LimitMessage& message);
  void run();  // once a turn: tokens whose time has come
  int64_t next_due_mono_ns() const;
  // New rules are in force here. Until all shards count their connections by them (settled()),
  // nobody may open one, and no slot is lent: the sums say too little.
  void policy_changed();
  // This shard does, and tells all others so. Called each turn until it says true.
  bool taken_up();
  void hear(const PolicyTakenUp& message);
  bool settled() const { return unsettled_ == 0; }
  // Rates whose tokens may lapse here: not more than there are.
  size_t holding() const { return holding_.size(); }
  // When that shard, which wants as many all the time, will have had so many tokens; an estimate.
  // 0: there is no such limit.
  int64_t expected_mono_ns(const ScopeId& id, Resource resource, uint16_t holder, uint64_t tokens);

 private:
  struct Owned {
    Owned(const LimitSettings& the_settings, uint32_t shards)
        : settings(the_settings), slots(the_settings.connections, shards) {}
    LimitSettings settings;
    uint64_t policy_version = 0;        // of which they are
    std::optional<queue::RateKey> key;  // once a slow rate has needed it
    queue::LeaseOwner slots;
    std::array<std::unique_ptr<queue::RateOwner>, kResources> rates;
    std::array<int64_t, kResources> due = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
  };
  static constexpr int64_t kWeightEveryNs = 50'000'000;  // an owner of slots hears of others
  using RateId = std::pair<ScopeId, Resource>;
  static constexpr uint32_t kOwnedPerTurn = 4096, kScopesPerTurn = 8192, kUnheardPerTurn = 4096,
                            kRatedPerTurn = 8192;  // after a reload

  unsigned owner_of(const ScopeId& id) const;
  Owned& owned(const ScopeId& id);
  Owned& in_force(const ScopeId& id);
  void apply_settings(const ScopeId& id, Owned& owned);
  void hear_settled(const LimitMessage& message);
  void count_unsettled();
  void asked(const LimitMessage& message);
  void given_back(const LimitMessage& message);
  void notify(const ScopeId& id);
  void send(Message::Kind kind, unsigned to, const ScopeId& id, uint64_t count, uint64_t urgent = 0,
            uint32_t weight = 1);
  uint32_t weight_to_tell(Scope& scope);
  queue::RateHolder* holder_of(Scope& scope, Resource resource);
  void drop_unlimited(size_t most);
  void give_back_tokens(Scope& scope, Resource resource, uint64_t keep);
  std::optional<queue::RateKey> key_of(const ScopeId& id, Owned& owned, Resource resource);
  std::unique_ptr<queue::RateOwner> new_rate(const ScopeId& id, Owned& owned, Resource resource,
                                             const queue::Rate& rate);
  queue::RateOwner* rate_of(const ScopeId& id, Owned& owned, Resource resource);
  void hear_of_tokens(const LimitMessage& message);
  void tokens_granted(const ScopeId& id, Owned& owned, Resource resource);
  std::unique_ptr<LimitMessage> of_tokens(Message::Kind kind, const ScopeId& id,
                                          Resource resource) const;

  ShardContext& shard_;
  KeptRates& kept_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<TenantPasses>> passes_;  // by provider
  absl::flat_hash_map<ScopeId, std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> rated_;  // that a rate ever held for, in order
  size_t to_drop_ = 0;         // of these: it is not known yet whether dropping_by_ limits them
  std::shared_ptr<const Policy> dropping_by_;
  std::vector<Scope*> changed_;
  absl::flat_hash_map<ScopeId, std::unique_ptr<Owned>> owned_;
  std::vector<ScopeId> owned_in_order_;
  size_t to_apply_ = 0;  // of owned_in_order_: have not heard of the policy in force yet
  std::vector<Scope*> scopes_in_order_;
  size_t given_back_ = 0;             // of these: what is free, since the policy changed
  std::vector<uint64_t> taken_up_;    // policy version, by shard
  unsigned unsettled_ = 0;            // shards that have not taken up the one in force here
  std::deque<LimitMessage> unheard_;  // until that is so, and those before it are heard
  std::vector<queue::LeaseNotice> notices_;
  absl::btree_set<std::pair<int64_t, RateId>> rates_due_;  // owned: when more is granted
  std::vector<std::pair<Scope*, Resource>> holding_;       // tokens, which may lapse; each once
  std::vector<queue::RateNotice> rate_notices_;
  std::vector<queue::RateReturn> returns_;
  std::deque<LimitMessage> early_;  // said under rules that are not in force here yet; in order
};

}  // namespace veredus
