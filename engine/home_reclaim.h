#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "queue/live_batch.h"

namespace veredus {

// What a home carries forward, so that segments can go: home_reclaim.cc.
struct HomeReclaim {
  // What reclaim is at.
  struct Reclaim {
    enum class Stage : uint8_t { none, sweeping, carrying, durable };
    struct Wanted {
      uint8_t kind;     // extent, content, refusals
      uint64_t number;  // of the extent, or of the batch
      uint32_t serial;  // of the extent
      queue::Location at;
    };
    Stage stage = Stage::none;
    std::vector<uint32_t> segments;  // to be emptied; ascending
    uint32_t slot = 0;
    absl::flat_hash_map<uint32_t, std::vector<uint32_t>> slots;  // by extent
    std::vector<uint64_t> batches;               // that have content or refusals there
    std::vector<Wanted> wanted;                  // of the reader, in order
    size_t taken = 0;                            // of these
    std::map<uint32_t, uint32_t> contents_left;  // contents and refusals, by segment
  };
  // An extent, a content or refusals that were written anew, and count there when that is durable.
  struct Carried {
    uint64_t sequence = 0;
    queue::Location at;
    uint32_t first_index = 0;
    uint32_t from = 0, from_serial = 0;                // the extent it was
    std::vector<std::pair<uint32_t, uint16_t>> moves;  // slot, ordinal there
    std::vector<uint32_t> places;                      // of the entries in the new extent, as moves
    std::vector<uint32_t> pages;
    // Instead, of a content or of refusals:
    uint64_t batch = 0;
    std::function<void(const queue::LiveBatch&)> apply;
  };
};

}  // namespace veredus
