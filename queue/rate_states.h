#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/disk.h"
#include "queue/journal_files.h"
#include "queue/rate.h"

namespace veredus::queue {

// What rates have granted, kept over a restart: without it a slow rate would begin each life as if
// it had been used up, and an engine that is restarted often would never send there. As with
// attempt marks, a file per shard and life, mapped into memory: a store survives the death of the
// process and costs no call. A power cut may take the last ones, and then none is used. Bytes on
// disk: FORMAT.md.

// A rate per second or faster needs none: a start costs it a second at most.
inline bool state_is_kept(const Rate& rate) {
  constexpr int64_t kSecond = 1'000'000'000;
  return rate.limited() && rate.per_ns > kSecond &&
         rate.count <= static_cast<uint64_t>((rate.per_ns - 1) / kSecond);
}

// Whose rate it is, by names: numbers are of one process only.
struct RateKey {
  std::array<uint8_t, 16> scope{};  // hash of kind and names
  uint8_t resource = 0;             // as the engine numbers them
  auto operator<=>(const RateKey&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const RateKey& key) {
    return H::combine(std::move(h), key.scope, key.resource);
  }
};

struct RateState {
  RateKey key;
  Rate rate;                  // limited
  int64_t state_wall_ns = 0;  // RateOwner::state_mono_ns(), as Unix time
  int64_t stamp_wall_ns = 0;  // when that was so
  uint32_t life = 0;          // of the engine, in which that was; from 1
  bool operator==(const RateState&) const = default;
};
// `at` of one clock, by another one; each says `now`. Between lives either may have jumped:
// RateOwner bounds what comes of it.
int64_t by_other_clock(int64_t at_ns, int64_t now_ns, int64_t other_now_ns);

inline constexpr uint32_t kRateStatesVersion = 1;
inline constexpr uint32_t kRateStatesHeaderBytes = 4096;
inline constexpr uint32_t kRateStateBytes = 64;  // two to a place
inline constexpr size_t kBootIdBytes = 40;
constexpr uint64_t rate_states_bytes(uint32_t places) {
  return kRateStatesHeaderBytes + uint64_t{places} * 2 * kRateStateBytes;
}

struct RateStatesHeader {
  uint16_t journal = 0;  // of the directory
  uint32_t number = 0;   // of the file
  uint32_t life = 0;     // of the engine: one more than any that was found at its start
  std::string boot;      // of the host, up to kBootIdBytes; empty: not known
  bool operator==(const RateStatesHeader&) const = default;
};

// The states that a shard writes in its life, in the memory given. When all places are taken, what
// was written longest ago gives way.
class RateStates {
 public:
  RateStates() = default;  // keeps nothing
  // `memory` is all zeros, has at least one place, and outlives this. Nothing counts before the
  // header is durable.
  RateStates(std::span<uint8_t> memory, const RateStatesHeader& header);

  bool keeps() const { return memory_ != nullptr; }
  // Whenever the process dies, the file says this or what was put before, whole.
  void put(const RateState& state);
  // What was put last; null: nothing, or it gave way.
  const RateState* find(const RateKey& key) const;
  // Something of this life has given way: what earlier lives said of it must not be believed.
  bool given_way() const { return given_way_; }
  // All that earlier lives left is in the files of this one: theirs do not count any more.
  void complete();
  // The end, when all that was put is durable. Nothing may be put after it.
  void end();

 private:
  struct Place {
    RateState state;
    uint32_t number = 0;
    uint32_t turn = 0;  // of its copies
  };
  using Places = std::list<Place>;  // written longest ago first
  char* copy_of(const Place& place, uint32_t turn) const;
  Places::iterator place_for(const RateKey& key);
  void mark(uint32_t at, uint64_t value);

  char* memory_ = nullptr;
  uint32_t places_max_ = 0;
  uint32_t life_ = 0;
  bool given_way_ = false;
  Places places_;
  absl::flat_hash_map<RateKey, Places::iterator> by_key_;
};

// A file as it was found.
struct RateStatesFile {
  RateStatesHeader header;
  bool begun = false;      // else it was being made: nothing was granted
  bool sound = false;      // else nobody knows what it said
  bool given_way = false;  // as RateStates has it
  bool complete = false;
  bool ended = false;             // its life came to an end, and all of it is durable
  std::vector<RateState> states;  // each key once
};
// Fails on a version other than ours only.
absl::StatusOr<RateStatesFile> read_rate_states(std::string_view file);

// What all the files say together; immutable.
class RateTable {
 public:
  RateTable() = default;
  // `boot`: of the host, today. States are used if nothing can be missing of them: what was written
  // since the host has started, or by a life that has come to its end. Those that nobody has
  // written for 30 days are dropped.
  RateTable(const std::vector<RateStatesFile>& files, std::string_view boot, int64_t now_wall_ns);

  const RateState* find(const RateKey& key) const;
  const std::vector<RateState>& states() const { return states_; }  // by key
  uint32_t next_life() const { return next_life_; }

 private:
  std::vector<RateState> states_;
  uint32_t next_life_ = 1;
};

std::string rate_states_path(std::string_view directory, uint32_t number);
// The files of rate states in a journal's directory, ascending.
absl::StatusOr<std::vector<NumberedFile>> list_rate_states(Disk& disk,
                                                           const std::string& directory);

}  // namespace veredus::queue
