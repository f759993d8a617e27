#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/context.h"
#include "engine/recovered_home.h"
#include "engine/routes.h"
#include "queue/disk.h"
#include "queue/rate_states.h"

namespace veredus {

// What all shards begin with.
struct RateStart {
  std::shared_ptr<const queue::RateTable> found;
  bool all_made = true;  // each shard has its file; if one has not, none keeps anything
};

// The rate states of a shard (queue/rate_states.h): the files that earlier lives have left in the
// directories of its journals, and the one of this life. What there was is shared by all shards,
// for the one that owns a rate now may be another one than before.
class KeptRates {
 public:
  // All outlive it.
  KeptRates(ShardContext& shard, queue::Disk& disk, const Routes& routes)
      : shard_(shard), disk_(disk), routes_(routes) {}
  ~KeptRates();

  // Start: reads what lies in a journal's directory. Fails on a newer format only.
  absl::Status read_old(RecoveredHome& found);
  // When all of this shard's have been read: makes this life's file, in the directory of the
  // shard's own journal. What cannot be made is said in `found`: without it nothing is kept.
  void make_file(RecoveredHome& found);
  // What was found over all shards. Nothing may be granted before.
  void begin(const RateStart& start);
  // Once a turn: old files go when all shards have begun.
  void run();
  // The end, after the last turn.
  void end();

  // By the scope's names; of no resource yet. Its owner asks, who knows them, or will: of what a
  // policy brings that is not in force here yet there is no key.
  std::optional<queue::RateKey> key_of(const ScopeId& id) const;
  // Null: nothing is known, the rate begins as if it had been used up.
  const queue::RateState* find(const queue::RateKey& key) const;
  // As of this turn. Before the grant goes out.
  void put(const queue::RateKey& key, const queue::RateOwner& rate);

 private:
  struct Removal : queue::DiskOperation {
    void on_disk_done(int64_t result) override;
    KeptRates* kept = nullptr;
    bool under_way = false;
  };
  struct Old {
    uint16_t journal = 0;
    uint32_t number = 0;
  };
  bool make_durable();
  void carry_over();

  ShardContext& shard_;
  queue::Disk& disk_;
  const Routes& routes_;
  std::shared_ptr<const queue::RateTable> found_;
  std::vector<Old> old_;  // files of earlier lives, that are not removed yet
  Removal removal_;
  bool waits_for_others_ = false;  // that have not begun
  std::string path_;               // of this life's file
  uint32_t number_ = 1;            // of it
  std::span<uint8_t> memory_;
  queue::RateStates states_;
};

}  // namespace veredus
