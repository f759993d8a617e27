#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/batch.h"
#include "queue/consumer.h"
#include "queue/erasure.h"
#include "queue/journal.h"
#include "queue/order.h"
#include "queue/outcome.h"

namespace veredus::queue {

// A checkpoint says again, at the end of the journal, all that a start must know: from where it
// begins nothing older has to be read. It is written beside the work, in parts, a part a frame;
// each part is true at the place where its frame stands, and what comes behind in the journal goes
// on from there. So a reader takes the parts and everything between and behind them in the
// journal's order, and what a part says replaces what was known. (A fuzzy checkpoint, as databases
// have it: Gray and Reuter, Transaction Processing, 11.)
//
// Payload of a `checkpoint` frame: version u8, part u8, then what the part holds.
enum class CheckpointPart : uint8_t {
  begin = 1,     // what must not be forgotten with the batches themselves
  waiting = 2,   // recipients that wait at this home
  batch = 3,     // a batch that this journal coordinates: its meta, and its commit if it has one
  tallies = 4,   // what became of recipients of this home, by batch
  end = 5,       // where it began: with this frame durable, it is complete
  consumer = 6,  // one of those that this journal knows: consumer.h
  erasure = 7,   // segments of this journal that must be gone by a time: erasure.h
  order = 8,     // an operator's that is in force at this home: order.h
};
// DataLoss, or FailedPrecondition for another version. `body` is what follows.
absl::Status read_checkpoint_part(std::string_view payload, CheckpointPart& part,
                                  std::string_view& body);

struct CheckpointBegin {
  uint64_t highest_batch = 0;  // number given out so far
  int64_t wall_ns = 0;
  uint64_t highest_order = 0;  // likewise: of those that have ended no part says anything
};
void encode_checkpoint_begin(const CheckpointBegin& begin, std::string& out);
absl::StatusOr<CheckpointBegin> decode_checkpoint_begin(std::string_view body);
// Read by decode_consumer().
void encode_checkpoint_consumer(const Consumer& consumer, std::string& out);
// Read by decode_erasure().
void encode_checkpoint_erasure(const Erasure& erasure, std::string& out);
// Read by decode_order().
void encode_checkpoint_order(const Order& order, std::string& out);
void encode_checkpoint_end(const CheckpointPlace& place, std::string& out);
absl::StatusOr<CheckpointPlace> decode_checkpoint_end(std::string_view body);

// What a journal knows of one recipient that waits.
struct WaitingState {
  int64_t due_wall_ns = 0;  // 0: at once, or as batch and entry say when it was never tried
  uint8_t attempts = 0;
  bool in_doubt = false;
  bool held = false;  // in doubt, and waits for somebody's decision
  bool untouched() const { return attempts == 0 && !in_doubt && !held; }
  bool operator==(const WaitingState&) const = default;
};
inline constexpr int64_t kDueGrainNs = 1'000'000;  // stored in milliseconds, rounded up

// An extent as `waiting` parts name it.
struct WaitingExtent {
  uint64_t batch = 0;
  uint32_t first_index = 0;
  Location at;  // of the extent; the journal is the one that the frame stands in
};

// Builds the payload of `waiting` parts: runs of neighbours that were never tried take a few bytes
// together, any other recipient about five.
class WaitingWriter {
 public:
  // `key` is the writer's own name for an extent, one it has not used for another since the last
  // take().
  void add(uint64_t key, const WaitingExtent& extent, uint16_t ordinal, const WaitingState& state);
  bool empty() const { return bytes_.empty(); }
  size_t bytes() const { return bytes_.size(); }
  void take(std::string& out);

 private:
  void end_run();
  std::string bytes_;
  uint64_t key_ = 0;
  bool open_ = false;       // an extent was named
  uint32_t run_first_ = 0;  // of untouched neighbours
  uint32_t run_count_ = 0;
  uint32_t written_to_ = 0;    // ordinals before this one are written, or passed over
  uint32_t next_ordinal_ = 0;  // the lowest that can still be added to this extent
  int64_t last_due_ms_ = 0;
};

class WaitingHandler {
 public:
  virtual ~WaitingHandler() = default;
  virtual void on_waiting(const WaitingExtent& extent, uint32_t first_ordinal, uint32_t count,
                          const WaitingState& state) = 0;
};
absl::Status read_waiting(std::string_view body, uint16_t journal, WaitingHandler& handler);

// A batch in the journal that coordinates it (which holds its commit).
struct KnownBatch {
  Batch batch;  // its content where it lies now
  bool committed = false;
  Commit commit;
  std::vector<Location> refusals;  // frames; all in this journal
};
void encode_checkpoint_batch(const KnownBatch& known, std::string& out);
absl::StatusOr<KnownBatch> decode_checkpoint_batch(std::string_view body, uint16_t journal);

// What became of a batch's recipients at one home: of those that are settled for good.
struct Settled {
  uint32_t delivered = 0, failed = 0, expired = 0, cancelled = 0, suppressed = 0;
  uint64_t attempts = 0;  // of all, waiting ones included
  int64_t last_outcome_wall_ns = 0;
  uint64_t total() const { return uint64_t{delivered} + failed + expired + cancelled + suppressed; }
  void count(const Outcome& outcome);
  bool operator==(const Settled&) const = default;
};
class TalliesWriter {
 public:
  void add(uint64_t batch, const Settled& settled);  // ascending
  bool empty() const { return bytes_.empty(); }
  size_t bytes() const { return bytes_.size(); }
  void take(std::string& out);

 private:
  std::string bytes_;
  uint64_t last_batch_ = 0;
};
class TalliesReader {
 public:
  explicit TalliesReader(std::string_view body) : rest_(body) {}
  // False at the end, or at damage: then status() is not ok.
  bool next(uint64_t& batch, Settled& settled);
  const absl::Status& status() const { return status_; }

 private:
  std::string_view rest_;
  uint64_t last_batch_ = 0;
  absl::Status status_;
};

}  // namespace veredus::queue
