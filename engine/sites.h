#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "engine/home.h"
#include "engine/lane_why.h"
#include "engine/why.h"

namespace veredus {

// What waits and flows at each site, or of each provider, as one shard has to do with it: its
// homes' recipients, its lanes' connections. Nothing is kept for it but counters; each question is
// answered by a walk over domains and lanes, a bounded part each turn.
class SiteLists {
 public:
  // All outlive it.
  SiteLists(ShardContext& shard, Lanes& lanes, LaneWhy& lane_why, std::deque<Home>& homes)
      : shard_(shard), lanes_(lanes), lane_why_(lane_why), homes_(homes) {}

  void asked(const SitesQuestion& question);
  void run();
  bool more_to_do() const { return !walks_.empty(); }

 private:
  static constexpr size_t kLookedAtPerTurn = 4096;  // domains, lanes, sums
  static constexpr size_t kToldPerTurn = 64;        // sites
  static constexpr size_t kDomainsTold = 3;
  static constexpr uint32_t kNoSums = UINT32_MAX;
  struct Sums {
    const Site* site = nullptr;  // null: mail whose site is not known
    uint64_t waiting = 0, ready = 0;
    std::array<const std::string*, kDomainsTold> domains{};
    int64_t down_until_mono_ns = 0;
    absl::InlinedVector<Lane*, 1> lanes;
  };
  struct Walk {
    enum class Stage : uint8_t { domains, home_lanes, lanes, choosing, telling, clearing };
    SitesQuestion question;
    SitesAnswer answer;
    Stage stage = Stage::domains;
    size_t home = 0;  // of this shard, under way
    size_t next = 0;  // domain, lane, or sums to be looked at or told
    // By site: where each has its sums, by site number + 1 (0: no site), and those.
    std::vector<uint32_t> places;
    std::deque<Sums> sums;
    std::vector<std::pair<uint64_t, uint32_t>> order;  // waiting, place of the sums; most first
    uint64_t deferred = 0, failed = 0;                 // for there was no route
    // By provider: by its id + 1 (0: no site).
    std::map<uint32_t, SiteState> providers;
  };

  void domains(Walk& walk);
  void home_lanes(Walk& walk);
  void lanes(Walk& walk);
  void choose(Walk& walk);
  void tell_some(Walk& walk);
  void tell(const Walk& walk, const Sums& sums, SitesAnswer& answer);
  void tell_providers(Walk& walk);
  void tell_orders(const SiteState& state, std::vector<Condition>& conditions) const;
  bool asked_for(const Walk& walk, const Site* site) const;
  Sums& sums_of(Walk& walk, const Site* site) const;

  ShardContext& shard_;
  Lanes& lanes_;
  LaneWhy& lane_why_;
  std::deque<Home>& homes_;
  std::deque<Walk> walks_;  // the first one is under way
};

}  // namespace veredus
