#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/context.h"
#include "engine/messages.h"
#include "engine/own_expiry.h"
#include "queue/attempt_marks.h"
#include "queue/due_wheel.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/live_batch.h"
#include "queue/record_table.h"

namespace veredus {

// What one journal knew, as far as intake and the other shards must hear of it.
struct RecoveredHome {
  uint16_t home = 0;  // the journal's number
  std::vector<queue::Batch> batches;
  std::vector<queue::Commit> commits;
  absl::flat_hash_map<uint64_t, uint32_t> extents;  // by batch number: how many were found here
  std::vector<std::pair<uint64_t, queue::Location>> refusals;
  std::vector<std::string> damage;        // places below the durable mark, in words
  std::vector<queue::AttemptMark> marks;  // of recipients of any home
  uint64_t highest_batch = 0;
  int64_t latest_wall_ns = 0;  // the latest time found: when this spool was last worked on
  queue::Recovered journal;
};

// The home of the recipients of one journal: their records, their clocks, and what became of them.
// It has the journal's number, and lives on one shard, as others may. Nothing else owns a record. A
// record that is due becomes a ticket when its lane has credit; each ticket comes back once.
class Home final : public queue::JournalListener {
 public:
  Home(ShardContext& shard, queue::Disk& disk, uint16_t number);
  ~Home() override;

  uint16_t number() const { return number_; }

  // Start: recover() on every home, then, when all know which batches were committed, resume() on
  // every home.
  absl::StatusOr<RecoveredHome> recover();
  void take_marks(std::vector<queue::AttemptMark> marks);  // before resume(): this home's
  void resume(
      const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed);

  void append(AppendMessage& message);
  void announce(std::shared_ptr<const queue::LiveBatch> batch);
  void discard(uint64_t batch);
  void route_told(RouteTold& told);
  void returned(ReturnedMessage& message);
  void window(const WindowMessage& message);

  // The steps of a turn that are home's.
  void run_due();
  void dispatch();
  void flush();
  // True when dispatch() stopped at its budget, or at a full queue: another turn soon.
  bool more_to_do() const { return more_to_do_; }
  int64_t next_due_mono_ns() const;

  // No new tickets from now on (shutdown).
  void stop_dispatch() { stopping_ = true; }
  uint32_t tickets_out() const { return tickets_out_; }
  bool settled() const { return journal_.idle() && outcomes_.empty(); }
  const queue::Journal& journal() const { return journal_; }
  // The number of the marks file of this life.
  uint32_t next_marks() const { return old_marks_.empty() ? 1 : old_marks_.back() + 1; }
  uint64_t record_bytes() const { return records_.memory_bytes(); }

 private:
  class Replay;

  static constexpr uint8_t kRecordDeferred = 0x80;  // flag: counted in Tally::deferred_now
  static constexpr uint8_t kBatchPriority =
      255;  // of a dormant record: the batch's, which is not known yet
  static constexpr uint64_t kMarksBytesMax = 1u << 30;  // of a file, read at start
  static constexpr uint32_t kRecordsMax = 0xfffe0000;   // what 32-bit slots allow
  // Of a turn; homes on one shard share them.
  static constexpr uint32_t kDuePerTurn = 2048;  // records taken from the wheel
  static constexpr uint32_t kActivatedPerTurn =
      16384;  // records of new batches that become due or waiting
  static constexpr uint32_t kTicketsPerTurn = 1024;
  static constexpr uint32_t kRoutesAskedMax = 256;  // questions open at a time
  static constexpr uint32_t kFailuresPerTurn =
      512;  // recipients settled because their domain has no route
  static constexpr uint32_t kHotRecords =
      512;  // ready for one site over all homes: more than one shard sends to it
  static constexpr uint32_t kHotRecordsMin = 16;
  static constexpr uint32_t kWindowFirst =
      64;  // tickets out per slice and band, until the lane asks for more
  static constexpr uint32_t kBurst = 32;  // recipients of one domain in a row

  // A run of recipients, as it lies in the journal. Kept while one of them waits.
  struct Extent {
    std::shared_ptr<const queue::LiveBatch> batch;  // null: not committed
    uint64_t number = 0;                            // of the batch
    uint32_t segment = 0, offset = 0, bytes = 0, first_index = 0, live = 0;
    queue::SlotFifo dormant;      // its records, until the batch exists
    std::vector<uint32_t> pages;  // offsets within the extent, ascending
    bool marked = false;          // some of its recipients may have a mark in marks_
  };
  struct HomeLane;
  enum class RouteState : uint8_t { unknown, listed, asking, known, failed };
  struct Domain {
    std::string name;
    HomeLane* lane = nullptr;
    queue::SlotFifo ready[queue::kBands];
    int64_t route_expires_mono_ns = 0;
    std::unique_ptr<RouteTold> failure;  // with RouteState::failed
    uint32_t dns_us = queue::kNotReached;
    RouteState route = RouteState::unknown;
    uint8_t listed_bands = 0;  // bit per band: stands in lane->domains[band]
  };
  // What this home knows of the lanes of one site.
  struct Slice {
    uint32_t out[queue::kBands] = {};  // tickets out
    uint32_t window = 0;
    bool announced = false;
    uint32_t total() const;
  };
  struct HomeLane {
    std::shared_ptr<const Site> site;
    std::vector<Slice> slices;                    // by shard
    std::deque<uint32_t> domains[queue::kBands];  // those with ready records, in turn
    uint64_t ready = 0;
    bool active = false;  // stands in active_
    bool hot = false;     // uses all slices
  };

  // home.cc
  void on_durable(uint64_t sequence) override;
  void on_lost(uint64_t sequence, const absl::Status& why) override;
  absl::Status load_extent(const queue::Location& at, std::string_view payload,
                           std::vector<uint32_t>* slots_by_ordinal);
  void activate(uint32_t number, std::shared_ptr<const queue::LiveBatch> batch);
  void activate_some();
  void wake_dormant(Extent& extent);
  void drop_dormant(Extent& extent);
  uint32_t new_extent();
  void release_record(uint32_t slot);
  void schedule(uint32_t slot, int64_t due_mono_ns);
  void make_ready(uint32_t slot, bool in_front);
  uint32_t intern(std::string_view domain);
  uint32_t tick_at(int64_t mono_ns) const;
  uint32_t share_of(uint32_t budget) const { return std::max(1u, budget / shard_.homes); }
  int64_t expires_mono_ns(uint32_t slot) const;
  int64_t outcome_flush_ns() const;

  // home_marks.cc
  absl::Status read_old_marks(RecoveredHome& found);
  std::vector<queue::AttemptMark>::const_iterator mark_from(uint64_t batch, uint32_t index) const;
  bool has_marks(const Extent& extent) const;
  const queue::AttemptMark* mark_of(uint32_t slot) const;
  void doubt_from_mark(uint32_t slot, const queue::AttemptMark& mark);
  void marks_applied();
  void drop_old_marks();

  // home_dispatch.cc
  void list_domain(uint32_t id);
  void ask_routes();
  void fail_routes();
  void dispatch_lane(HomeLane& lane, uint32_t& budget);
  enum class Dispatched : uint8_t { gone_on, no_window, queue_full };
  Dispatched dispatch_domain(HomeLane& lane, uint32_t domain, unsigned band, uint32_t& budget);
  int slice_with_room(HomeLane& lane, unsigned band);
  bool send_ticket(HomeLane& lane, unsigned slice, uint32_t slot);
  queue::Ticket make_ticket(uint32_t slot, uint32_t site) const;
  void activate_lane(HomeLane& lane);
  HomeLane& lane_of(std::shared_ptr<const Site> site);

  // home_settle.cc
  void settle(const Returned& item, const ReturnedMessage& message, uint16_t from);
  void finish(uint32_t slot, queue::Outcome& outcome);
  void postpone(uint32_t slot, queue::Outcome& outcome, int64_t delay_ns);
  void doubt(uint32_t slot, queue::Outcome& outcome);
  void expire(uint32_t slot);
  void place_of(uint32_t slot, queue::Outcome& outcome) const;
  void write(queue::Outcome& outcome, const Extent& extent);

  ShardContext& shard_;
  queue::Disk& disk_;
  const uint16_t number_;
  queue::Journal journal_;
  queue::RecordTable records_;
  OwnExpiry own_expiry_;
  queue::DueWheel wheel_;
  const int64_t wheel_zero_mono_ns_;

  std::vector<Extent> extents_;
  std::vector<uint32_t> free_extents_;
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> uncommitted_;  // batch number → extents
  std::deque<uint32_t>
      activating_;  // extents of batches that exist, whose records are dormant still

  // Final outcomes found by recover(), by batch number, until resume().
  struct Settled {
    uint32_t delivered = 0, failed = 0, expired = 0, cancelled = 0, suppressed = 0;
    uint64_t attempts = 0;
    int64_t last_outcome_wall_ns = 0;
  };
  absl::flat_hash_map<uint64_t, Settled> recovered_tallies_;

  std::deque<Domain> domains_;
  absl::flat_hash_map<std::string_view, uint32_t> domain_ids_;      // keys view Domain::name
  absl::flat_hash_map<uint32_t, std::unique_ptr<HomeLane>> lanes_;  // by site number
  std::deque<HomeLane*> active_;
  std::deque<uint32_t> unrouted_;  // domains that wait to be asked for
  std::deque<uint32_t> failed_;    // domains whose route failed, with records to settle
  uint32_t routes_asked_ = 0;
  uint32_t tickets_out_ = 0;
  bool more_to_do_ = false;
  bool stopping_ = false;

  // Appends that intake waits for, by group.
  struct Unanswered {
    uint64_t first_sequence = 0, sequence = 0;  // of the groups that hold its frames
    intake::AppendAnswer answer;
    absl::Status status;
  };
  std::deque<Unanswered> unanswered_;

  // Outcomes on their way to the disk: up to which message of each shard they were all in this
  // group, or an earlier one.
  struct Flushed {
    uint64_t sequence = 0;
    std::vector<uint64_t> returned;  // by shard
  };
  std::deque<Flushed> flushed_;
  std::vector<uint64_t> returned_;  // the last message heard, by shard
  uint64_t durable_ = 0;            // sequence

  // Marks of earlier lives, this home's: by batch and index, until all recipients of those lives
  // have been looked at. A doubt is told as durable when its outcome is.
  std::vector<queue::AttemptMark> marks_;
  size_t extents_to_look_at_ = 0;  // of activating_, from its front
  bool marks_applied_ = false;
  bool doubt_unflushed_ = false, doubts_told_ = false;
  uint64_t doubts_sequence_ = 0;
  std::vector<uint32_t> old_marks_;  // numbers of the files in this journal's directory
  struct Removal final : queue::DiskOperation {
    void on_disk_done(int64_t result) override;
    Home* home = nullptr;
    bool under_way = false;
  };
  Removal removal_;

  queue::OutcomeWriter outcomes_;
  std::string scratch_;
  queue::Entry entry_;
  int64_t oldest_outcome_mono_ns_ = 0;  // not yet on its way to the disk; 0: none
  bool urgent_flush_ = false;
};

}  // namespace veredus
