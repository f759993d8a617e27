#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "engine/erasure.h"
#include "queue/address_finder.h"
#include "queue/batch.h"

namespace veredus {

// What a home keeps while somebody is being forgotten: home_erase.cc.
struct HomeErasure {
  struct Erase {
    enum class Stage : uint8_t {
      none,
      closing,
      masking,
      looking,
      choosing,
      reading,
      sweeping,
      in_flight,
      durable
    };
    struct Asked {
      ErasureQuestion question;
      int64_t asked_mono_ns = 0;
    };
    // Of the reader: an extent, or refusals of a batch.
    struct Wanted {
      uint32_t extent = 0, serial = 0;
      uint64_t batch = 0;  // 0: an extent
      queue::Location at;
    };
    struct Found {
      uint32_t serial = 0;
      std::vector<uint16_t> ordinals;  // ascending
    };
    std::deque<Asked> asked;  // for the next pass
    // Of the pass under way.
    Stage stage = Stage::none;
    std::vector<uint64_t> tokens;
    queue::AddressFinder finder;
    uint32_t last = 0;    // segment: this one and those before are looked through
    bool closed = false;  // it was in use until now
    std::set<uint32_t> hits;
    uint32_t next_extent = 0;                    // to be looked at
    uint64_t next_batch = 0;                     // likewise
    std::map<uint64_t, Wanted> wanted;           // by place: segment << 32 | offset
    absl::flat_hash_map<uint32_t, Found> found;  // by extent
    uint32_t slot = 0;
    uint32_t cancelled = 0, in_flight = 0;
    uint64_t sequence = 0;  // with it all is durable
    absl::Status trouble;   // what could not be done, though all else was
    std::string masked;     // scratch
    // Of all passes.
    uint64_t passes = 0;
    int64_t began_mono_ns = 0;             // the last one
    std::map<uint32_t, int64_t> to_empty;  // segments, and from when on (monotonic)
    int64_t hastened_mono_ns = 0;
  };
};

}  // namespace veredus
