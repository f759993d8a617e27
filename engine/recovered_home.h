#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "queue/attempt_marks.h"
#include "queue/checkpoint.h"
#include "queue/consumer.h"
#include "queue/journal.h"
#include "queue/order.h"
#include "queue/rate_states.h"

namespace veredus {

// What one journal knew, as far as intake and the other shards must hear of it.
struct RecoveredHome {
  uint16_t home = 0;                                  // the journal's number
  std::map<uint64_t, queue::KnownBatch> batches;      // whose meta or commit lies here, by number
  absl::flat_hash_map<uint64_t, uint64_t> accounted;  // by batch: settled and waiting ones here
  std::map<std::string, queue::Consumer> consumers;   // of events, by name
  std::map<uint64_t, queue::Order> orders;            // of operators, by number
  std::vector<std::string> damage;                    // places found damaged, in words
  std::vector<queue::AttemptMark> marks;              // of recipients of any home
  std::vector<queue::RateStatesFile> rate_files;      // in its directory; of rates of any shard
  bool rates_kept = true;                             // the file of its shard could be made
  uint64_t highest_batch = 0;
  uint64_t highest_order = 0;  // of operators, that has ended or not
  int64_t latest_wall_ns = 0;  // the latest time found: when this spool was last worked on
  queue::Recovered journal;
  uint64_t file_bytes = 0;  // of its segments
};

}  // namespace veredus
