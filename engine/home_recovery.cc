// Start: what the journal says, made into records again.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/io/kill_point.h"

namespace veredus {

using queue::Record;
using queue::RecordState;

absl::StatusOr<RecoveredHome> Home::recover() {
  ledger_ = std::make_unique<queue::Ledger>(number_);
  absl::StatusOr<queue::Recovered> recovered = journal_.recover(*ledger_);
  if (!recovered.ok()) return recovered.status();
  RecoveredHome found;
  found.home = number_;
  found.journal = *recovered;
  found.file_bytes = journal_.file_bytes();
  found_bytes_ = recovered->replayed_bytes;
  found.batches = ledger_->take_batches();
  found.consumers = consumers_ = ledger_->consumers();
  found.orders = ledger_->orders();
  found.highest_order = highest_order_ = ledger_->highest_order();
  found.damage = ledger_->damage();
  Counters::add(shard_.counters.spool_damage, found.damage.size());
  found.highest_batch = highest_batch_ = ledger_->highest_batch();
  found.latest_wall_ns = ledger_->latest_wall_ns();
  for (const auto& [number, settled] : ledger_->tallies())
    found.accounted[number] += settled.total();
  for (const auto& [place, run] : ledger_->runs()) found.accounted[run.extent.batch] += run.live;
  if (absl::Status read = read_old_marks(found); !read.ok()) return read;
  return found;
}

void Home::resume(
    const absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::LiveBatch>>& committed) {
  for (const auto& [number, settled] : ledger_->tallies()) {
    const auto found = committed.find(number);
    if (found == committed.end()) continue;
    settled_[number] = settled;
    queue::Tally& tally = found->second->tally;
    tally.delivered += settled.delivered;
    tally.failed += settled.failed;
    tally.expired += settled.expired;
    tally.cancelled += settled.cancelled;
    tally.suppressed += settled.suppressed;
    tally.attempts += settled.attempts;
    int64_t last = tally.last_outcome_wall_ns;
    while (last < settled.last_outcome_wall_ns &&
           !tally.last_outcome_wall_ns.compare_exchange_weak(last, settled.last_outcome_wall_ns)) {
    }
  }
  for (const auto& [number, batch] : committed) {  // into a map: the order does not matter
    if (batch->coordinator == number_) coordinated_[number].live = batch;
  }
  for (auto& [place, run] : ledger_->runs()) {
    const auto found = committed.find(run.extent.batch);
    if (found != committed.end()) resume_run(run, found->second);
  }
  const std::map<uint32_t, int64_t> erasures = ledger_->erasures();
  // An order that this journal holds must be ended in it, or a later start would find it again.
  const bool own_orders = std::any_of(given_.begin(), given_.end(),
                                      [](const auto& each) { return !each.second.unwritten; });
  ledger_.reset();
  loads_ = loads_left_;
  load_begun_mono_ns_ = shard_.mono_ns;
  if (loaded()) marks_applied();
  // An old journal of which nobody waits, and no batch is known, is not written any more.
  if (number_ >= shard_.exchange.shards() && extents_.empty() && coordinated_.empty() &&
      settled_.empty() && erasures.empty() && !own_orders)
    return drop_orders();
  begin_writing();
  write_missing_orders();
  erasures_found(erasures);
}

void Home::begin_writing() {
  writes_ = true;
  journal_.start();
  io::kill_point("recovery_resumed");
  // What outcomes named before the start nobody knows: the files are kept as if the last one had
  // named them.
  for (const auto& [segment, bytes] : journal_.complete_segments())
    uses_[segment].last_outcome = journal_.current_segment();
  events_found();
}

// They wait, as before, and are read in the order in which they lie.
void Home::resume_run(queue::Ledger::Run& run, std::shared_ptr<const queue::LiveBatch> batch) {
  const queue::Location at = run.extent.at;
  const uint32_t number = new_extent(at, run.extent.batch, run.extent.first_index);
  Extent& extent = extents_[number];
  extent.live = run.live;
  // Those that are settled lie there, too: how many there were is not known any more.
  extent.bytes_each =
      at.length / std::max<uint32_t>(1, static_cast<uint32_t>(run.waits.size() * 64));
  extent.bytes_each = std::max(1u, extent.bytes_each);
  extent.use->live_bytes += uint64_t{extent.bytes_each} * extent.live;
  batch->tally.in_doubt_held += run.held();
  extent.batch = std::move(batch);
  extent.unread = std::make_unique<queue::Ledger::Run>(std::move(run));
  Counters::add(shard_.counters.loaded, extent.live);
  Counters::add(shard_.counters.waiting, extent.live);
  Counters::add(shard_.counters.unread, extent.live);
  reader_.want(number, at);
  ++loads_left_;
}

void Home::load_some() {
  more_to_load_ = false;
  if (loads_left_ == 0 || stopping_) return;
  const uint64_t before = records_.count();
  const uint32_t share = share_of(kLoadedPerTurn);
  ExtentReader::Got got;
  while (records_.count() - before < share) {
    if (!reader_.next(got)) return;  // the disk's answer brings the next turn
    load_run(static_cast<uint32_t>(got.token), got);
    if (--loads_left_ > 0) continue;
    if (extents_to_look_at_ == 0) marks_applied();
    return;
  }
  more_to_load_ = true;
}

void Home::load_run(uint32_t number, const ExtentReader::Got& got) {
  absl::Status status = got.status;
  if (status.ok()) status = load_pages(number, got.payload);
  Extent& extent = extents_[number];
  extent.pages_known();
  if (extent.unread->live > 0) {
    // They go on waiting in the journal: nothing else is known of them.
    anybody_unread_ = true;
    unreadable(extent, extent.unread->live,
               status.ok() ? std::string("recipients that wait are not where they should lie")
                           : std::string(status.message()));
  } else {
    extent.unread.reset();
  }
  extent.marked = has_marks(extent);
  if (!extent.dormant.empty()) activating_.push_back(number);
  if (loads_left_ == 1) extents_to_look_at_ = activating_.size();
}

// Makes records of those that wait. Pages that are damaged are passed over.
absl::Status Home::load_pages(uint32_t number, std::string_view payload) {
  const absl::StatusOr<queue::ExtentHeader> header = queue::read_extent_header(payload);
  if (!header.ok()) return header.status();
  if (header->batch != extents_[number].number)
    return absl::DataLossError("another batch's extent lies there");
  absl::Status trouble;
  for (uint32_t offset = queue::kExtentHeaderBytes; offset < payload.size();) {
    const absl::StatusOr<uint32_t> length = queue::page_length(payload, offset);
    if (!length.ok()) return length.status();
    const absl::Status sound = load_page(number, payload.substr(offset, *length), offset);
    if (!sound.ok()) trouble = sound;
    offset += *length;
  }
  return trouble;
}

absl::Status Home::load_page(uint32_t number, std::string_view page, uint32_t offset) {
  if (absl::Status sound = queue::check_page(page); !sound.ok()) return sound;
  Extent& extent = extents_[number];
  extent.pages.push_back(offset);
  queue::Ledger::Run& run = *extent.unread;
  for (uint32_t at_entry = queue::kPageHeaderBytes, next = 0; at_entry != 0; at_entry = next) {
    if (absl::Status read = queue::read_entry(page, at_entry, entry_, next); !read.ok())
      return read;
    const uint32_t ordinal = entry_.index - extent.first_index;
    if (entry_.index < extent.first_index || !run.has(ordinal)) continue;
    const absl::StatusOr<uint32_t> slot = make_record(extent, number, offset + at_entry);
    if (!slot.ok()) return slot.status();
    const queue::WaitingState state = run.state(ordinal);
    run.waits[ordinal / 64] &= ~(uint64_t{1} << ordinal % 64);
    --run.live;
    Counters::take(shard_.counters.unread);
    if (!state.untouched()) restore(records_[*slot], state);
    if (!state.held) extent.dormant.push_back(records_, *slot);
  }
  return absl::OkStatus();
}

// Of one that was tried before.
void Home::restore(Record& record, const queue::WaitingState& state) {
  record.attempts = state.attempts;
  record.flags = kRecordDeferred;
  if (state.in_doubt) record.flags |= queue::kRecordInDoubt;
  if (state.held) {  // in no list until somebody decides
    record.flags = queue::kRecordInDoubt;
    return;
  }
  // Wall time is stored; a wrong clock must neither flood nor stall. What is overdue is spread over
  // the first delay of most receivers, not over the longest that any of them has.
  const bool overdue = state.due_wall_ns <= shard_.wall_ns;
  const queue::RetryPolicy& retry =
      overdue ? shard_.policy->providers[0].retry : shard_.policy->loosest_retry;
  const int64_t left_ns =
      queue::delay_on_load_ns(retry, std::max<uint32_t>(1, state.attempts), state.in_doubt,
                              state.due_wall_ns, shard_.wall_ns, shard_.random.next());
  record.due = std::max<uint32_t>(1, tick_at(shard_.mono_ns + left_ns));
}

void Home::unreadable(const Extent& extent, uint32_t recipients, std::string_view why) {
  Counters::add(shard_.counters.spool_damage);
  Counters::add(shard_.counters.unreadable, recipients);
  shard_.exchange.answers().damage(
      "journal " + std::to_string(number_) + ", segment " + std::to_string(extent.segment) +
      ", byte " + std::to_string(extent.offset) + ": " + std::to_string(recipients) +
      " recipients of batch " + std::to_string(extent.number) +
      " cannot be read: " + std::string(why));
}

}  // namespace veredus
