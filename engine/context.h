#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/exchange.h"
#include "engine/io/ports.h"
#include "engine/settings.h"
#include "queue/orders.h"

namespace veredus {

class Tracer;

// What a shard has done, for /metrics: written by the shard, read by anybody, each on its own.
struct Counters {
  using Count = std::atomic<uint64_t>;
  Count loaded{0};    // recipients taken in (dormant ones included)
  Count waiting{0};   // gauge: records at home
  Count unread{0};    // gauge: of these, such as have no record yet after a start
  Count ticketed{0};  // gauge: of these, out with a lane
  Count delivered{0};
  Count deferred{0};
  Count failed{0};
  Count expired{0};
  Count cancelled{0};
  Count erasures_pending{0};  // gauge: segments to be emptied for somebody's sake
  Count in_doubt{0};
  Count unsent{0};  // tickets that came back without an attempt
  Count stale{0};   // returns whose slot had another generation: a bug, or a planted one
  Count transactions{0};
  Count signatures{0};   // by DKIM
  Count connections{0};  // ever dialled
  Count connected{0};
  Count connect_failures{0};
  Count tls_failures{0};  // sessions that ended so; the host is then spoken to in clear, perhaps
  Count tls_injected{0};  // bytes in clear where TLS was to begin
  Count sts_fetches{0};   // of MTA-STS policies
  Count sts_fetch_failures{0};
  Count sessions{0};  // gauge: open
  Count lanes{0};     // gauge
  Count domains{0};   // gauge
  Count lookups{0};
  Count unreadable{0};    // recipients whose page or content could not be read back
  Count spool_damage{0};  // places found damaged below the durable mark
  Count turns{0};
  Count journal_bytes{0};
  Count journal_syncs{0};
  Count checkpoints{0};  // complete
  Count carried{0};      // recipients that reclaim wrote anew
  Count segments_removed{0};
  Count delivered_here{0};  // by the lanes of this shard, whoever is home

  static void add(Count& count, uint64_t n = 1) {
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  static void take(Count& count, uint64_t n = 1) {
    count.store(count.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
};

// What every part of a shard stands on. The times are those of the turn: read once, the same for
// all of it.
struct ShardContext {
  uint16_t id = 0;
  uint16_t homes = 1;  // on this shard
  const EngineSettings& settings;
  Exchange& exchange;
  io::Random& random;
  Counters& counters;
  int64_t mono_ns = 0;
  int64_t wall_ns = 0;
  std::shared_ptr<const Policy> policy;  // in force; a message brings the next one
  // Of operators, in force at some home at least; a message brings the next ones.
  queue::OrdersPtr orders = std::make_shared<const queue::Orders>();
  Tracer* tracer = nullptr;  // of this shard; null: nobody looks on
  bool saturated = false;    // this shard's thread has worked all of the last tenth of a second
};

}  // namespace veredus
