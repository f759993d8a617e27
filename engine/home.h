#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/address_search.h"
#include "engine/context.h"
#include "engine/erasure.h"
#include "engine/extent_reader.h"
#include "engine/home_budgets.h"
#include "engine/home_erasure.h"
#include "engine/home_in_doubt.h"
#include "engine/home_lines.h"
#include "engine/home_orders.h"
#include "engine/home_reclaim.h"
#include "engine/messages.h"
#include "engine/own_values.h"
#include "engine/recovered_home.h"
#include "queue/attempt_marks.h"
#include "queue/due_wheel.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/ledger.h"
#include "queue/live_batch.h"
#include "queue/order.h"
#include "queue/orders.h"
#include "queue/record_table.h"

namespace veredus {

class HomeWhy;

// The home of the recipients of one journal: their records, their clocks, and what became of them.
// It has the journal's number, and lives on one shard, as others may. Nothing else owns a record. A
// record that is due becomes a ticket when its lane has credit; each ticket comes back once.
class Home final : public queue::JournalListener,
                   private HomeBudgets,
                   private HomeLines,
                   private HomeOrders,
                   private HomeReclaim,
                   private HomeErasure,
                   private HomeInDoubt {
 public:
  Home(ShardContext& shard, queue::Disk& disk, uint16_t number);
  ~Home() override;

  uint16_t number() const { return number_; }

  // Start: recover() on every home, then, when all know which batches were committed, resume() on
  // every home. Recipients become records afterwards, a turn's share each turn: the first are sent
  // to while the last are being read.
  absl::StatusOr<RecoveredHome> recover();
  void take_marks(std::vector<queue::AttemptMark> marks);  // before resume(): this home's
  void resume(
      const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed);

  void append(std::unique_ptr<AppendMessage> message);
  void announce(std::shared_ptr<const queue::LiveBatch> batch);
  void discard(uint64_t batch);
  // Intake remembers the batch no longer; all of its recipients were settled long ago.
  void forget(uint64_t batch);
  void in_doubt_asked(const InDoubtQuestion& question);
  void erasure_asked(ErasureQuestion question);
  void take_orders(const std::map<uint64_t, queue::Order>& of_spool);  // before resume()
  void order_asked(const OrderQuestion& question);
  void why_asked(const WhyQuestion& question);
  void route_told(RouteTold& told);
  void returned(ReturnedMessage& message);
  void window(const WindowMessage& message);
  void lane_down(const LaneDown& message);
  void policy_changed();
  void wake_all_lanes();  // any may have room that had none

  // The steps of a turn that are home's.
  void load_some();
  void run_due();
  void dispatch();
  void maintain();  // erasure, checkpoints and reclaim
  void flush();
  // dispatch() stopped at its budget, or at a full queue: another turn soon.
  bool more_to_do() const { return more_to_do_ || more_to_load_; }
  int64_t next_due_mono_ns() const;

  // No new tickets from now on (shutdown).
  void stop_dispatch() { stopping_ = true; }
  uint32_t tickets_out() const { return tickets_out_; }
  bool settled() const;
  // Every recipient that the journal held has its record, or cannot be read.
  bool loaded() const { return loads_left_ == 0; }
  // A checkpoint can begin only then. Till then all that is written is for the next start to
  // replay, and new mail must wait when that is enough; outcomes go on.
  bool replay_is_full() const {
    return !loaded() && found_bytes_ + journal_.appended_bytes() >
                            kReplaySegmentsMax * shard_.settings.journal.segment_bytes;
  }
  const queue::Journal& journal() const { return journal_; }
  // The number of the marks file of this life.
  uint32_t next_marks() const { return old_marks_.empty() ? 1 : old_marks_.back() + 1; }
  // The first segment that is kept for readers of events; from there on all are there.
  uint32_t events_from() const { return events_from_; }
  // No segment can be made for intake: the disk is full or fails, or the spool is at its limit.
  bool short_of_space() const { return !journal_.healthy() || journal_.at_bytes_max(); }
  // That, but not for long: what was kept for readers of events gives way.
  bool makes_room() const;
  uint64_t record_bytes() const { return records_.memory_bytes(); }

 private:
  friend class HomeWhy;
  friend class SiteLists;
  friend class Tracer;
  // Flags of a record, beside queue::RecordFlags.
  static constexpr uint8_t kRecordDeferred = 0x80;  // counted in Tally::deferred_now
  // Settled, and in nobody's extent any more, but still in the list that its state names: whoever
  // takes it out there drops it.
  static constexpr uint8_t kRecordGone = 0x40;
  static constexpr uint8_t kRecordCancelled = 0x20;  // ticketed: to be cancelled when it comes back
  static constexpr uint8_t kRecordGreylisted = 0x10;    // the last reply was a greylister's
  static constexpr uint8_t kBatchPriority = 255;        // of a dormant record: the batch's
  static constexpr uint64_t kMarksBytesMax = 1u << 30;  // of a file, read at start
  static constexpr uint32_t kRecordsMax = 0xfffe0000;   // what 32-bit slots allow
  // What of a segment file is needed here.
  struct SegmentUse {
    uint32_t extents = 0;       // with recipients that wait
    uint64_t live_bytes = 0;    // of these recipients, about
    uint32_t last_outcome = 0;  // segment of the last outcome that names an entry in this one
  };
  static constexpr uint32_t kNoShare = UINT32_MAX;
  static constexpr uint32_t kNotAppended = UINT32_MAX;  // last_outcome: it is gathered only
  struct KeptSegment {
    int64_t complete_mono_ns = 0;
    uint64_t bytes = 0;
  };
  // A run of recipients, as it lies in the journal. Kept while one of them waits.
  struct Extent {
    std::shared_ptr<const queue::LiveBatch> batch;  // null: not committed
    uint64_t number = 0;                            // of the batch
    uint32_t segment = 0, offset = 0, bytes = 0, first_index = 0;
    uint32_t live = 0;              // with those that are unread
    uint32_t bytes_each = 0;        // of a recipient, about
    uint32_t serial = 0;            // no other extent of this process had it
    queue::SlotFifo dormant;        // its records, until the batch exists
    std::vector<uint32_t> pages;    // offsets within the extent, ascending
    uint64_t pages_each_byte = 0;   // in 1/2^32; set by pages_known()
    bool marked = false;            // some of its recipients may have a mark in marks_
    bool damaged = false;           // not carried: what could not be read stays where it is
    uint32_t share = kNoShare;      // of its recipients, but those with a pool of their own
    int64_t end_mono_ns = 0;        // of their time, likewise, …
    int64_t end_after_mono_ns = 0;  // … whatever receiver they have: not sooner, …
    uint64_t end_version = 0;       // … by the policy of that version
    std::vector<uint32_t> orders;  // places in orders_ of that version: may hold for its recipients
    uint64_t orders_version = 0;
    std::unique_ptr<queue::Ledger::Run> unread;  // who of it has no record yet
    queue::Settled* settled = nullptr;           // of its batch, here
    SegmentUse* use = nullptr;
    void pages_known() {
      pages.shrink_to_fit();
      pages_each_byte = (uint64_t{pages.size()} << 32) / std::max(1u, bytes);
    }
  };
  // A batch whose commit lies, or will lie, in this journal.
  struct Coordinated {
    std::shared_ptr<const queue::LiveBatch> live;  // null: an upload
    std::unique_ptr<queue::KnownBatch> upload;     // until it is announced
    // What the journal was told last, while some of it is not durable yet: moves under way.
    std::unique_ptr<queue::KnownBatch> written;
    uint32_t moves = 0;
    int64_t finished_mono_ns = 0;  // when nobody of it was seen to wait any more; 0: not so far
  };
  // The checkpoint that is being written.
  struct Checkpoint {
    enum class Stage : uint8_t { none, waiting, batches, tallies, ending };
    Stage stage = Stage::none;
    queue::CheckpointPlace place;
    uint32_t slot = 0;             // next to be looked at
    uint64_t batch = 0;            // likewise, in coordinated_, then in settled_
    uint64_t end_sequence = 0;     // of the group with its end
    uint64_t appended_before = 0;  // bytes of the journal when it began
    bool complete = false;         // ended well: `contents` says all
    // What batches need, apart from their recipients, by segment.
    struct Contents {
      uint64_t bytes = 0;
      std::vector<uint64_t> batches;
    };
    std::map<uint32_t, Contents> contents;
  };
  static constexpr uint32_t kOrderedPerTurn = 2048;              // records looked at for orders
  static constexpr uint32_t kComparedBytesPerTurn = 256 * 1024;  // of pages with their addresses
  static constexpr unsigned kSearchedAgain = 3;
  // home.cc
  void on_durable(uint64_t sequence) override;
  void on_lost(uint64_t sequence, const absl::Status& why) override;
  void on_segment_removed(uint32_t segment, const absl::Status& status) override;
  void append_held();
  void append_now(intake::AppendRequest& request);
  queue::Appended append_commit(uint64_t number, std::string_view payload);
  void bear_witness();
  void publish_durable();
  absl::Status load_extent(const queue::Location& at, std::string_view payload);
  absl::StatusOr<uint32_t> make_record(Extent& extent, uint32_t number, uint32_t offset);
  void activate(uint32_t number, std::shared_ptr<const queue::LiveBatch> batch);
  void activate_some();
  void wake_dormant(Extent& extent);
  void drop_dormant(uint32_t number);
  void leave_extent(uint32_t number);
  uint32_t new_extent(const queue::Location& at, uint64_t batch, uint32_t first_index);
  void free_extent(uint32_t number);
  void release_record(uint32_t slot);
  void schedule(uint32_t slot, int64_t due_mono_ns);
  void make_ready(uint32_t slot, bool in_front);
  uint32_t own_pool_number();
  uint32_t tick_at(int64_t mono_ns) const;
  uint32_t share_of(uint32_t budget) const { return std::max(1u, budget / shard_.homes); }
  int64_t expires_mono_ns(uint32_t slot) const;
  int64_t expires_after_mono_ns(uint32_t slot) const;
  bool expired(uint32_t slot) const;
  void reckon_end(Extent& extent) const;
  void came_up(uint32_t slot);
  int64_t outcome_flush_ns() const;
  // No segment from here on goes: a start, or a reader of events, may need it.
  uint32_t kept_from() const { return std::min(events_from_, journal_.needed_from()); }

  // home_recovery.cc
  void begin_writing();
  void resume_run(queue::Ledger::Run& run, std::shared_ptr<const queue::LiveBatch> batch);
  void load_run(uint32_t number, const ExtentReader::Got& got);
  absl::Status load_pages(uint32_t number, std::string_view payload);
  absl::Status load_page(uint32_t number, std::string_view page, uint32_t offset);
  void restore(queue::Record& record, const queue::WaitingState& state);
  void unreadable(const Extent& extent, uint32_t recipients, std::string_view why);
  queue::KnownBatch known_of(const Coordinated& batch) const;
  queue::KnownBatch& moving(Coordinated& batch);
  void carry_known(uint64_t number, Coordinated& batch, const queue::Location& from,
                   std::function<void(const queue::LiveBatch&)> apply);

  // home_checkpoint.cc
  bool checkpoint_due() const;
  void begin_checkpoint();
  void checkpoint_some();
  void checkpoint_waiting();
  void checkpoint_unread();
  void checkpoint_batches();
  void checkpoint_tallies();
  void end_checkpoint();
  void abandon_checkpoint();
  void append_outcomes();
  queue::WaitingState state_of(const queue::Record& record) const;

  // home_reclaim.cc
  void reclaim_some();
  void find_removable();
  void find_reclaimable();
  void remove_reclaimable();
  void remove_before_durable();
  void sweep_for_carrying();
  void want_carried();
  void carry_some();
  void give_up_carrying();
  void carry_extent(const Reclaim::Wanted& wanted, const ExtentReader::Got& got);
  void carry_content(const Reclaim::Wanted& wanted, const ExtentReader::Got& got);
  void carry_refusals(const Reclaim::Wanted& wanted, const ExtentReader::Got& got);
  void replace_refusals(uint64_t number, Coordinated& batch, const queue::Location& from,
                        std::string_view payload);
  bool may_move(const queue::Record& record) const;
  bool still_in(uint32_t slot, uint32_t extent);
  void note_places(std::string_view payload, Carried& carried);
  void move_recipients(const Carried& carried);
  void cannot_carry(uint32_t extent, const absl::Status& why);
  bool needs_content(Coordinated& batch);
  void carried_durable(uint64_t sequence);
  void carried_lost(uint64_t sequence);

  // home_erase.cc
  void erase_some();
  void begin_erase();
  void await_closed();
  void look_through_segments();
  void look_for_address();
  void mask_answers();
  void want_recipients();
  void find_recipients();
  void find_in(const Erase::Wanted& wanted, const ExtentReader::Got& got);
  absl::Status find_in_extent(const Erase::Wanted& wanted, std::string_view payload);
  void cancel_found();
  void cancel(uint32_t slot);
  void finish_cancelled(uint32_t slot);
  queue::Outcome cancelled_outcome(uint32_t slot) const;
  void drop_gone(uint32_t slot);
  void erase_from_answer(uint64_t number, Coordinated& batch);
  void await_in_flight();
  void end_erase(absl::Status status);
  int64_t next_erase_mono_ns() const;
  void note_erasure(const std::vector<uint32_t>& segments, int64_t left_ns);
  std::vector<queue::Erasure> erasures() const;
  void erasures_found(const std::map<uint32_t, int64_t>& due_wall_ns);
  bool must_be_emptied(uint32_t segment) const;
  bool erase_excludes_checkpoint() const;
  void hasten_erasure();
  int64_t hasten_ns() const;

  // home_events.cc
  void events_found();
  void note_complete_segments();
  bool held_for_consumers(uint32_t segment, const KeptSegment& kept) const;
  bool can_yield() const;
  void keep_events();
  void end_segment_for_room();
  void outcomes_lie_in(uint32_t segment);
  void outcomes_moved();
  void note_consumer(std::string_view payload);

  // home_marks.cc
  absl::Status read_old_marks(RecoveredHome& found);
  std::vector<queue::AttemptMark>::const_iterator mark_from(uint64_t batch, uint32_t index) const;
  bool has_marks(const Extent& extent) const;
  const queue::AttemptMark* mark_of(uint32_t slot) const;
  void doubt_from_mark(uint32_t slot, const queue::AttemptMark& mark);
  void marks_applied();
  void drop_old_marks();

  // home_routes.cc
  void ask_routes();
  void fail_routes();
  HomeLane& lane_of(std::shared_ptr<const Site> site);
  void leave_route(uint32_t domain);

  // home_dispatch.cc
  void dispatch_lane(HomeLane& lane, uint32_t& budget);
  enum class Dispatched : uint8_t { gone_on, no_window, queue_full };
  bool dispatch_line(HomeLane& lane, Line& line, uint32_t& budget);
  Dispatched dispatch_domain(HomeLane& lane, Line& line, uint32_t domain, uint32_t& budget);
  bool send_ticket(HomeLane& lane, Line& line, unsigned slice, uint32_t slot);
  void tell_nothing_behind(HomeLane& lane);
  queue::Ticket make_ticket(uint32_t slot) const;
  void activate_lane(HomeLane& lane);

  // home_lines.cc
  uint32_t share_number(const queue::LiveBatch& batch, std::string_view pool);
  uint32_t share_of_record(uint32_t slot);
  static Ready* find_ready(Domain& domain, uint32_t share, uint8_t band);
  static Ready& ready_of(Domain& domain, uint32_t share, uint8_t band);
  static void drop_ready(Domain& domain, uint32_t share, uint8_t band);
  static Line* find_line(HomeLane& lane, uint32_t share, uint8_t band);
  static Line& line_of(HomeLane& lane, uint32_t share, uint8_t band);
  void stand_in_line(HomeLane& lane, uint32_t domain, Ready& ready);
  void leave_line(Line& line, Ready& ready);
  void next_in_line(Line& line);
  void list_domain(uint32_t id);

  // home_orders.cc
  void write_missing_orders();
  void drop_orders();
  void write_order(const queue::Order& order);
  void orders_durable(uint64_t sequence);
  void orders_lost(uint64_t sequence, const absl::Status& why);
  void orders_changed();
  void end_order(uint64_t number);
  void tell_done(uint64_t number);
  void end_orders_in_time();
  void done(queue::Order order);
  std::vector<queue::Order> orders_in_force() const;
  const queue::Order* order_for(uint32_t slot);
  bool fits_here(const queue::Order& order, uint32_t domain, const queue::LiveBatch& batch);
  bool site_is_known(const Domain& domain) const;
  const queue::Order* suspension_of(HomeLane& lane, const Line& line, uint16_t source);
  bool obey(uint32_t slot);
  void park(uint32_t slot, uint64_t number);
  void came_back_for(uint32_t slot, uint64_t number);
  queue::Outcome ordered_outcome(uint32_t slot, const queue::Order& order);
  void unpark_some();
  void sweep_for_orders();
  void look_for_order(uint32_t slot);
  void look_for_address_in(uint32_t slot);
  bool compare_addresses();
  void address_known(const AddressSearch::Named& who, std::string_view address);
  void carry_out(uint32_t slot, const queue::Order& order);
  void begin_sweep();
  void seek_site(uint32_t slot);
  void give_up_returned(uint32_t slot);
  void bring_forward();
  bool may_come_forward(const queue::Record& record) const;
  void try_sites();
  void end_done_orders();

  // home_expiry.cc
  void ends_at(int64_t end_mono_ns);
  int64_t next_expiry_mono_ns() const;
  void expire_ready();
  void settle_in_place(uint32_t slot, queue::Outcome& outcome);

  // home_rules.cc, home_windows.cc
  const Provider& provider_of(HomeLane& lane) const;
  Share& share_in_force(uint32_t number);
  bool shut(HomeLane& lane, const Line& line);
  int64_t opens_wall_ns(HomeLane& lane, Share& share);

  // home_slices.cc
  int slice_with_room(HomeLane& lane, Line& line, uint32_t& room);
  void begin_passes(Line& line, const SourcePool& pool);
  int slice_of_source(HomeLane& lane, Line& line, uint16_t source);
  unsigned shards_of_use(HomeLane& lane, uint16_t source) const;
  unsigned slice_at(HomeLane& lane, uint16_t source, uint16_t shard);
  int slice_of_sticky(HomeLane& lane, Line& line, const Share& share);
  bool works(HomeLane& lane, const Line& line, uint16_t source);

  // home_wake.cc
  void wake_lanes();
  void wake_some();

  // home_domains.cc
  uint32_t intern(std::string_view domain);
  void forget_unused();
  void forget_domains();
  void forget_lanes();

  // home_settle.cc
  void settle(const Returned& item, const ReturnedMessage& message, uint16_t from);
  void finish(uint32_t slot, queue::Outcome& outcome);
  void count_final(uint32_t slot, queue::Outcome& outcome);
  void postpone(uint32_t slot, queue::Outcome& outcome, int64_t delay_ns);
  void doubt(uint32_t slot, queue::Outcome& outcome, HomeLane* lane);
  void expire(uint32_t slot);
  queue::Outcome expired_outcome(uint32_t slot) const;
  const queue::RetryPolicy& retry_of(HomeLane* lane) const;
  const queue::RetryPolicy& age_policy_of(const queue::Record& record) const;

  // home_in_doubt.cc
  void walk_in_doubt();
  void answer_in_doubt(InDoubtWalk& walk);
  void decisions_durable(uint64_t sequence);
  bool held(const queue::Record& record) const;
  void look_at(uint32_t slot, InDoubtWalk& walk);
  void list_in_doubt(uint32_t slot, InDoubtWalk& walk) const;
  void let_go(uint32_t slot, InDoubtQuestion::Action action);
  static size_t likely_page(const Extent& extent, uint32_t offset);
  static size_t page_at(const Extent& extent, uint32_t offset);
  void place_of(uint32_t slot, queue::Outcome& outcome) const;
  void place_of(const queue::Ticket& ticket, queue::Outcome& outcome) const;
  void whose(const queue::Record& record, const Extent& extent, queue::Outcome& outcome) const;
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

  std::unique_ptr<queue::Ledger> ledger_;       // from recover() to resume()
  std::map<uint64_t, queue::Settled> settled_;  // by batch: of this home's recipients
  std::map<uint32_t, SegmentUse> uses_;         // by segment
  uint32_t next_serial_ = 1;

  std::map<uint64_t, Coordinated> coordinated_;  // by number

  uint64_t highest_batch_ = 0;
  uint64_t highest_order_ = 0;
  uint64_t found_bytes_ = 0;  // that the start had to replay

  ExtentReader reader_;
  bool more_to_load_ = false;
  int64_t durable_mono_ns_ = 0;      // when the last group became so
  uint64_t witnessed_ = 0;           // the sequence that a later group calls durable
  int64_t tried_again_mono_ns_ = 0;  // to make a segment
  bool writes_ = false;              // its journal was started
  uint32_t loads_left_ = 0;          // extents that are still to be read after the start, …
  uint32_t loads_ = 0;               // … of so many …
  int64_t load_begun_mono_ns_ = 0;   // … since

  Checkpoint checkpoint_;
  queue::WaitingWriter waiting_writer_;
  uint64_t checkpoint_bytes_ = 0;  // that it took
  uint64_t checkpointed_at_ = 0;   // bytes of the journal when it was complete

  Reclaim reclaim_;
  std::deque<Carried> carried_;
  std::vector<uint32_t> removable_;  // segments, when what is appended by then is durable
  uint64_t removable_after_ = 0;

  Erase erase_;
  uint32_t being_cancelled_ = 0;  // ticketed

  std::map<uint32_t, KeptSegment> kept_;  // complete segments that are kept for events
  uint64_t kept_bytes_ = 0;
  uint32_t events_from_ = 0;
  std::pair<uint32_t, uint32_t> removed_for_;  // kept_from(), events_from_ when last looked for
  uint32_t complete_seen_ = 0;                 // the last segment that was seen to be complete
  int64_t next_yield_mono_ns_ = 0;
  int64_t making_room_until_mono_ns_ = 0;
  int64_t next_end_mono_ns_ = 0, end_wait_ns_ = 0;  // of a segment, for the sake of room
  size_t empty_at_end_ = 0;                         // segments, when that was done last
  std::map<std::string, queue::Consumer> consumers_;
  std::vector<SegmentUse*> named_;  // by outcomes that are gathered, not appended

  std::deque<Domain> domains_;
  absl::flat_hash_map<std::string_view, uint32_t> domain_ids_;      // keys view Domain::name
  absl::flat_hash_map<uint32_t, std::unique_ptr<HomeLane>> lanes_;  // by site number
  std::vector<HomeLane*> lanes_in_order_;  // in which they were made, but for some that went
  Forgetting forgetting_;
  size_t waking_ = 0;  // of these: the next to be looked at; all have been
  std::deque<HomeLane*> active_;
  std::vector<Share> shares_;
  absl::flat_hash_map<std::pair<uint32_t, std::string>, uint32_t> share_numbers_;
  std::map<uint64_t, Given> given_;  // orders in force, by number
  queue::Orders orders_;             // the same
  int64_t next_order_end_wall_ns_ = INT64_MAX;
  std::deque<OrderAsked> order_answers_;
  queue::SlotFifo unparking_;
  Sweep sweep_;
  AddressSearch search_;  // of the sweep
  // Out with a lane, and to be given up by an order; when it comes back the order may not be found
  // by the address, which is on the disk, or the site, which may be another: slot, order.
  absl::flat_hash_map<uint32_t, uint64_t> called_back_;
  uint32_t sought_ = 0;                    // domains
  std::string order_text_;                 // scratch
  int64_t first_end_mono_ns_ = INT64_MAX;  // nobody who is due ends before
  int64_t next_walk_mono_ns_ = 0;          // for such as have ended
  uint32_t expiry_walk_ = queue::kNoSlot;  // where it is
  OwnPool own_pool_;
  std::vector<std::string> pool_names_;  // that recipients were fed with, by number from 1
  absl::flat_hash_map<std::string, uint32_t> pool_numbers_;
  // When, site: lanes looked at again, for hosts may answer then, or a delivery window opens.
  std::set<std::pair<int64_t, uint32_t>> wakes_;
  std::deque<uint32_t> unrouted_;  // domains that wait to be asked for
  std::deque<uint32_t> failed_;    // domains whose route failed, with records to settle
  NoRoute no_route_;
  uint32_t routes_asked_ = 0, tickets_out_ = 0;
  std::unique_ptr<HomeWhy> why_;
  std::deque<InDoubtWalk> in_doubt_walks_;  // the first one is under way
  std::deque<Decided> decided_;             // by an operator, who is told when it is durable
  bool more_to_do_ = false;
  bool stopping_ = false;

  // Appends that intake waits for, by group.
  struct Unanswered {
    uint64_t first_sequence = 0, sequence = 0;  // of the groups that hold its frames
    intake::AppendAnswer answer;
    absl::Status status;
  };
  std::deque<Unanswered> unanswered_;
  std::deque<std::unique_ptr<AppendMessage>> held_appends_;  // the journal has no space yet
  // Sequence, monotonic time: with it all that was settled by then is durable.
  std::deque<std::pair<uint64_t, int64_t>> durable_as_of_;

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
  bool anybody_unread_ = false;  // then the marks of earlier lives are kept: some may be theirs
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
