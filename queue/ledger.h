#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "queue/checkpoint.h"
#include "queue/journal.h"
#include "queue/outcome.h"

namespace veredus::queue {

// The batch number that begins abort, forgotten and refusals frames; 0: there is none.
uint64_t number_at(std::string_view payload);

// What one journal says, made from its frames in their order: which recipients wait and where they
// lie, what became of the others, which batches there are. No records yet, no I/O: a start makes
// records from it, `audit` and `spool` count it. About a bit a waiting recipient, sixteen bytes for
// one that was tried.
class Ledger final : public JournalVisitor, private WaitingHandler {
 public:
  explicit Ledger(uint16_t journal) : journal_(journal) {}

  // An extent, and who of it waits.
  struct Run {
    WaitingExtent extent;
    uint32_t live = 0;
    std::vector<uint64_t> waits;      // a bit an ordinal
    std::vector<WaitingState> tried;  // by ordinal; empty: none was tried
    bool has(uint32_t ordinal) const {
      return ordinal / 64 < waits.size() && (waits[ordinal / 64] >> ordinal % 64 & 1) != 0;
    }
    WaitingState state(uint32_t ordinal) const {
      return ordinal < tried.size() ? tried[ordinal] : WaitingState{};
    }
    uint32_t held() const;
  };

  // JournalVisitor
  void on_frame(FrameType type, const Location& location, std::string_view payload) override;
  void on_damage(uint32_t segment, uint64_t offset, const std::string& what) override;

  // Runs in which somebody waits, by place. May be taken apart by the caller.
  absl::btree_map<uint64_t, Run>& runs() { return runs_; }
  const absl::btree_map<uint64_t, Run>& runs() const { return runs_; }
  // Whether this recipient waits; `at`: where an outcome says that it lies.
  bool waits(uint64_t batch, uint32_t index, const Location& at) const {
    return find(batch, index, &at) != nullptr;
  }
  // Batches whose meta or commit lies in this journal, by number.
  const std::map<uint64_t, KnownBatch>& batches() const { return batches_; }
  std::map<uint64_t, KnownBatch> take_batches() { return std::move(batches_); }
  // What became of recipients of this home, by batch.
  const std::map<uint64_t, Settled>& tallies() const { return tallies_; }
  // Who reads events, by name.
  const std::map<std::string, Consumer>& consumers() const { return consumers_; }
  // By when segments of this journal must be gone, as somebody asked who wants to be forgotten;
  // some of them may be gone.
  const std::map<uint32_t, int64_t>& erasures() const { return erasures_; }
  // Orders of operators that were given at this home and have not ended here, by number. The time
  // of a suspension among them may be over.
  const std::map<uint64_t, Order>& orders() const { return orders_; }
  uint64_t highest_order() const { return highest_order_; }  // of those that ended, too
  const std::vector<std::string>& damage() const { return damage_; }
  uint64_t highest_batch() const { return highest_batch_; }
  // The latest time found: when this journal was last worked on. 0: none.
  int64_t latest_wall_ns() const { return latest_wall_ns_; }

 private:
  static uint64_t key(const Location& at) { return uint64_t{at.segment} << 32 | at.offset; }
  void on_batch(const Location& at, std::string_view payload);
  void on_commit(const Location& at, std::string_view payload);
  void on_extent(const Location& at, std::string_view payload);
  void on_outcomes(const Location& at, std::string_view payload);
  void on_refusals(const Location& at, std::string_view payload);
  void on_checkpoint(const Location& at, std::string_view payload);
  void on_consumer(const Location& at, std::string_view payload);
  void on_erasure(const Location& at, std::string_view payload);
  void on_order(const Location& at, std::string_view payload);
  void on_tallies(const Location& at, std::string_view body);
  void on_waiting(const WaitingExtent& extent, uint32_t first_ordinal, uint32_t count,
                  const WaitingState& state) override;
  void apply(const Outcome& outcome);
  void forget(std::string_view payload);
  Run& run_at(const WaitingExtent& extent);
  const Run* find(uint64_t batch, uint32_t index, const Location* at) const;
  Run* find(uint64_t batch, uint32_t index, const Location* at) {
    return const_cast<Run*>(std::as_const(*this).find(batch, index, at));
  }
  void put(Run& run, uint32_t ordinal, const WaitingState& state);
  void take(Run& run, uint32_t ordinal);
  void take_elsewhere(const WaitingExtent& extent, uint32_t first_ordinal, uint32_t count);
  void damaged(const Location& at, const absl::Status& why);
  void saw(uint64_t batch) { highest_batch_ = std::max(highest_batch_, batch); }

  const uint16_t journal_;
  absl::btree_map<uint64_t, Run> runs_;                        // by segment and offset
  absl::flat_hash_map<uint64_t, std::vector<uint64_t>> keys_;  // batch → runs
  absl::flat_hash_set<uint64_t> carried_;  // batches of which extents were carried forward
  std::map<uint64_t, KnownBatch> batches_;
  std::map<uint64_t, Settled> tallies_;
  std::map<std::string, Consumer> consumers_;
  std::map<uint32_t, int64_t> erasures_;  // wall time by segment
  std::map<uint64_t, Order> orders_;
  std::vector<std::string> damage_;
  uint64_t highest_batch_ = 0;
  uint64_t highest_order_ = 0;
  int64_t latest_wall_ns_ = 0;
};

}  // namespace veredus::queue
