#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/lane.h"
#include "engine/why.h"

namespace veredus {

// Why the lanes of a shard do not send what waits in them: asked by the answers of homes, which
// come by on their way to the control thread, and by lists of sites. Looks only; a bounded part
// each turn.
class LaneWhy {
 public:
  // All outlive it.
  LaneWhy(ShardContext& shard, Lanes& lanes, Limits& limits);

  void visited(std::unique_ptr<WhyVisit> visit) { visits_.push_back(std::move(visit)); }
  void run();
  bool more_to_do() const { return !visits_.empty(); }
  // What holds back whoever would go next; nothing when nothing waits.
  void explain_next(Lane& lane, std::vector<Condition>& conditions);
  // Sends it on to who is next, or gives it to the control thread.
  static void send_on(Exchange& exchange, std::unique_ptr<WhyVisit> visit);

 private:
  static constexpr uint32_t kStepsPerTurn = 16384;  // works, loads and lanes looked at, about
  static constexpr uint32_t kStepsOfNext = 256;     // for a lane in a list

  // Where somebody stands in a lane, and who go before him.
  struct Place {
    const LaneQueue::Tenant* tenant = nullptr;  // his; null: nothing of it is here
    uint64_t own = 0;                           // of his tenant and band
    uint64_t higher = 0;                        // of higher bands
    uint64_t others = 0;                        // of other tenants in his band, by their weights
    uint64_t weights = 0;                       // of these tenants
    uint64_t ahead() const { return own + higher + others; }
  };
  // What is found, and the rates whose owners know more of it: by place in `conditions`.
  struct Found {
    std::vector<Condition> conditions;
    std::vector<std::pair<size_t, RateLook>> rates;
  };

  void look(const LaneLook& look, WhyVisit& visit);
  void put(Found found, uint32_t item, WhyVisit& visit);
  bool find_waiting(const LaneLook& look, const Lane& lane, uint64_t& position);
  bool find_under_way(const LaneLook& look, const Lane& lane, Waiting& item, Found& found);
  Place place_in(const Lane& lane, uint32_t tenant, uint8_t band, uint64_t own) const;
  void explain(Lane& lane, const Place& place, Found& found);
  void shut_lanes(Lane& lane, Found& found) const;
  void tenant_limits(Lane& lane, const Place& place, Found& found);
  void rates(Lane& lane, const Place& place, Found& found);
  void rate(Lane& lane, Scope& scope, Resource resource, const Place& place, Found& found);
  uint64_t between(const Lane& lane, const Scope& scope, const Place& place);
  void connections(Lane& lane, const Place& place, Found& found);
  void no_connection(Lane& lane, Found& found);
  bool at_connection_limit(Lane& lane, const Place& place, Found& found);
  int64_t slot_free_at(Scope& scope, const Lane& lane);
  void stand_in_queue(const Lane& lane, const Place& place, Found& found) const;
  int64_t leaves_at(const Lane& lane, uint64_t ahead) const;
  std::string scope_text(const ScopeId& id, const Lane& lane, const Place& place) const;
  Origin origin_of(Scope& scope, Resource resource, const Lane& lane) const;
  Condition limit_condition(Scope& scope, Resource resource, const Lane& lane,
                            const Place& place) const;

  ShardContext& shard_;
  Lanes& lanes_;
  Limits& limits_;
  std::deque<std::unique_ptr<WhyVisit>> visits_;
  uint32_t steps_left_ = 0;
};

}  // namespace veredus
