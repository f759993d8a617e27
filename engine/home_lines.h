#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "engine/messages.h"
#include "engine/policy.h"
#include "engine/why.h"
#include "queue/outcome.h"
#include "queue/record_table.h"
#include "queue/window_clock.h"

namespace veredus {

// Who is due at a home, and where he stands: home_lines.cc, home_slices.cc.
struct HomeLines {
  static constexpr uint32_t kWindowFirst =
      64;  // tickets out per line and slice, until the lane asks for more
  // Recipients of the same tenant, to be sent from the same pool: within a band they share a line.
  struct Share {
    uint32_t tenant = 0;
    std::string tenant_name;
    std::string pool;  // as fed
    // Of the policy of that version:
    uint64_t policy_version = 0;
    const SourcePool* sources = nullptr;           // null: no pool has that name any more
    const TenantPolicy* tenant_policy = nullptr;   // null: nothing was said of it
    std::vector<const SourcePool::Member*> stuck;  // sticky: the pool's, in the tenant's order
    queue::WindowClock window;                     // of the tenant
  };
  static constexpr uint32_t kNoDomain = UINT32_MAX;
  // The recipients of a domain that are due, of one share and band.
  struct Ready {
    uint32_t share = 0;
    uint32_t next_domain = kNoDomain, previous_domain = kNoDomain;  // in the line
    queue::SlotFifo fifo;
    uint8_t band = 0;
    bool listed = false;  // stands in its lane's line
  };
  struct HomeLane;
  enum class RouteState : uint8_t { unknown, listed, asking, known, failed };
  struct Domain {
    std::string name;
    HomeLane* lane = nullptr;
    absl::InlinedVector<Ready, 1> ready;  // none that is empty, unless it stands in a line
    int64_t route_expires_mono_ns = 0;
    std::unique_ptr<RouteTold> failure;  // with RouteState::failed
    uint32_t dns_us = queue::kNotReached;
    RouteState route = RouteState::unknown;
    bool sought = false;                    // by a sweep for orders
    bool unused = false;                    // its place is free for another
    uint32_t waiting = 0;                   // recipients, with such as are in no list
    uint64_t policy_version = 0;            // that the route was found under
    std::unique_ptr<std::string> no_route;  // why there was none when it was asked for last
  };
  // What this home knows of one lane: of a source's on a shard.
  struct Slice {
    uint16_t source = 0;
    uint16_t shard = 0;
    bool announced = false;
    uint32_t window = kWindowFirst;  // tickets that each line may have out
    uint8_t told = 0;                // Ticket::flags of the last one
    int64_t down_until_mono_ns = 0;  // no host can be reached
  };
  // Those of a share and band who are due, over all domains of the site.
  struct Line {
    uint32_t share = 0;
    uint8_t band = 0;
    uint32_t head = kNoDomain, tail = kNoDomain, domains = 0;  // in turn
    uint32_t out_total = 0;
    absl::InlinedVector<uint32_t, 2> out;  // tickets, by slice
    // By member of the pool, as the policy of that version has it: what has left, by its weight.
    absl::InlinedVector<uint64_t, 1> passes;
    uint64_t passes_version = 0;
    uint32_t& out_of(size_t slice) {
      if (slice >= out.size()) out.resize(slice + 1);
      return out[slice];
    }
  };
  struct HomeLane {
    std::shared_ptr<const Site> site;
    const Provider* provider = nullptr;  // of the policy of that version
    uint64_t policy_version = 0;
    queue::WindowClock window;  // of the provider
    int64_t opens_mono_ns = 0;  // stands in Home::wakes_ until then, if that has not come
    std::vector<Slice> slices;  // the next one behind them; none goes
    std::vector<Line> lines;    // by band, then by share
    uint64_t ready = 0;
    uint32_t domains = 0;    // whose route leads here
    bool active = false;     // stands in active_
    bool hot = false;        // uses the slices of all shards
    bool told_more = false;  // some lane of it thinks that more waits here
    KeptReply last_reply;    // to somebody of this home, that put him off; one a turn is noted
    int64_t last_reply_mono_ns = 0;
  };
  // What became of attempts at domains that have no route.
  struct NoRoute {
    uint64_t deferred = 0, failed = 0;
  };
  // How far the search has come for what is in use no more.
  struct Forgetting {
    static constexpr int64_t kEveryNs = 100'000'000;
    static constexpr size_t kLookedAt = 256;
    int64_t next_mono_ns = 0;
    uint32_t domain = 0;
    size_t lane = 0;
    std::vector<uint32_t> free_domains;
    unsigned pinned = 0;  // questions that hold on to domains and lanes
  };
};

}  // namespace veredus
