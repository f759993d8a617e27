#include "engine/home.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home_why.h"
#include "engine/io/kill_point.h"
#include "engine/io/planted.h"
#include "engine/store.h"
#include "queue/crc32c.h"

namespace veredus {

using queue::FrameType;
using queue::Record;
using queue::RecordState;

namespace {

// Each journal's share of the spool. One of fewer segments would never take mail again.
queue::JournalOptions journal_options(const ShardContext& shard) {
  queue::JournalOptions options = shard.settings.journal;
  if (shard.settings.spool_bytes_max == 0) return options;
  options.bytes_max = std::max(shard.settings.spool_bytes_max / shard.exchange.homes(),
                               uint64_t{queue::kSegmentsMin} * options.segment_bytes);
  return options;
}

}  // namespace

Home::Home(ShardContext& shard, queue::Disk& disk, uint16_t number)
    : shard_(shard),
      disk_(disk),
      number_(number),
      journal_(disk, *this, number, Store::journal_directory(number), journal_options(shard)),
      // Intake keeps to limits.waiting. Here what is in the journal must fit, whatever that says
      // now.
      records_(kRecordsMax),
      wheel_(records_),
      wheel_zero_mono_ns_(shard.mono_ns),
      reader_(disk, Store::journal_directory(number)),
      search_(disk, Store::journal_directory(number)),
      why_(std::make_unique<HomeWhy>(*this, shard, disk)),
      returned_(shard.exchange.shards()) {
  removal_.home = this;
}

Home::~Home() = default;

bool Home::settled() const {
  return journal_.idle() && outcomes_.empty() && !reader_.busy() && !search_.busy() &&
         !why_->busy();
}

void Home::why_asked(const WhyQuestion& question) {
  why_->asked(question);
}

// The tick at which `mono_ns` has surely come.
uint32_t Home::tick_at(int64_t mono_ns) const {
  return queue::tick_after(shard_.mono_ns - wheel_zero_mono_ns_, mono_ns - shard_.mono_ns);
}

int64_t Home::outcome_flush_ns() const {
  if (io::is_planted(io::Planted::outcomes_late)) return 2'000'000'000;
  return shard_.settings.outcome_flush_ns;
}

int64_t Home::next_due_mono_ns() const {
  int64_t next = INT64_MAX;
  if (const auto tick = wheel_.next_due()) {
    const uint32_t now = queue::tick_at(shard_.mono_ns - wheel_zero_mono_ns_);
    next = shard_.mono_ns + std::max(0, queue::ticks_until(now, *tick)) * queue::kTickNs;
  }
  if (oldest_outcome_mono_ns_ != 0) {
    next = std::min(next, oldest_outcome_mono_ns_ + outcome_flush_ns());
  }
  if (writes_ && short_of_space()) next = std::min(next, tried_again_mono_ns_ + kTryAgainNs);
  if (writes_ && journal_.healthy() && journal_.idle() && durable_ > witnessed_)
    next = std::min(next, durable_mono_ns_ + kWitnessNs);
  if (next_order_end_wall_ns_ != INT64_MAX)
    next = std::min(
        next, shard_.mono_ns + std::max<int64_t>(0, next_order_end_wall_ns_ - shard_.wall_ns));
  if (!wakes_.empty()) next = std::min(next, wakes_.begin()->first);
  if (writes_) next = std::min(next, next_expiry_mono_ns());  // else nobody waits here
  return std::min(next, next_erase_mono_ns());
}

// ----------------------------------------------------------------------------------------------
// intake's frames

// What the journal has no space for waits here, in order, until a further segment is made. When
// none can be made, it is refused: what is left is kept for outcomes. It waits, too, while a start
// still loads and what is written only makes the next one longer.
void Home::append(std::unique_ptr<AppendMessage> message) {
  held_appends_.push_back(std::move(message));
  if (held_appends_.size() == 1) append_held();
}

// A share each turn: when a segment is ready many may have waited for it.
void Home::append_held() {
  uint64_t appended = 0;
  while (!held_appends_.empty()) {
    if (appended >= kAppendedBytesPerTurn) {
      more_to_do_ = true;
      return;
    }
    intake::AppendRequest& request = held_appends_.front()->request;
    uint64_t bytes = request.content.size();
    for (const intake::AppendRequest::Frame& frame : request.frames) bytes += frame.payload.size();
    // What wants no answer gives something up, and is small. So is what a consumer says, and lets
    // segments go.
    const bool small = request.token == 0 ||
                       (!request.frames.empty() && request.frames[0].type == FrameType::consumer);
    if (!small && replay_is_full()) return;
    if (!small && !journal_.has_space(bytes)) {
      const bool full = journal_.at_bytes_max() || journal_.beyond_bytes_max(bytes);
      if ((journal_.healthy() && !full) || makes_room()) return;
      intake::AppendAnswer answer;
      answer.token = request.token;
      answer.status = absl::ResourceExhaustedError(
          full ? "it takes up what limits.spool allows: what is left of that is kept for what "
                 "becomes of the mail that waits"
               : "the disk is full, or fails: what is left is kept for what becomes of the mail "
                 "that waits");
      shard_.exchange.answers().answer(std::move(answer));
    } else {
      appended += bytes;
      append_now(request);
    }
    held_appends_.pop_front();
  }
}

void Home::append_now(intake::AppendRequest& request) {
  Unanswered waits;
  waits.answer.token = request.token;
  uint64_t sequence = 0;
  const auto note = [&](const queue::Appended& appended) {
    if (waits.first_sequence == 0) waits.first_sequence = appended.sequence;
    sequence = appended.sequence;
  };
  if (request.begins) {
    if (!request.content.empty()) {
      const queue::Appended content = journal_.append(FrameType::content, request.content);
      request.meta_to_write.content = content.location;
      request.meta_to_write.content_sum = queue::crc32c(request.content);
      waits.answer.content_sum = request.meta_to_write.content_sum;
      waits.answer.content = content.location;
      note(content);
    }
    scratch_.clear();
    queue::encode_batch(request.meta_to_write, scratch_);
    note(journal_.append(FrameType::batch, scratch_));
    highest_batch_ = std::max(highest_batch_, request.batch);
    coordinated_[request.batch].upload = std::make_unique<queue::KnownBatch>();
    coordinated_[request.batch].upload->batch = request.meta_to_write;
  }
  for (const intake::AppendRequest::Frame& frame : request.frames) {
    if (frame.type == FrameType::commit) {
      note(append_commit(request.batch, frame.payload));
      continue;
    }
    if (frame.type == FrameType::forgotten && io::is_planted(io::Planted::forgotten_unwritten)) {
      note(journal_.append(FrameType::witness, std::string_view()));
      continue;
    }
    const queue::Appended appended = journal_.append(frame.type, frame.payload);
    note(appended);
    // At once: a checkpoint that begins behind the frame must not bring it back.
    if (frame.type == FrameType::forgotten && !io::is_planted(io::Planted::forgotten_restated))
      forget(queue::number_at(frame.payload));
    if (frame.type == FrameType::consumer) note_consumer(frame.payload);
    if (frame.type == FrameType::extent) {
      const absl::Status loaded = load_extent(appended.location, frame.payload);
      if (!loaded.ok()) waits.status = loaded;
    }
    if (frame.type == FrameType::refusals) {
      waits.answer.refusals.push_back(appended.location);
      const auto upload = coordinated_.find(request.batch);
      if (upload != coordinated_.end() && upload->second.upload != nullptr)
        upload->second.upload->refusals.push_back(appended.location);
    }
  }
  if (io::is_planted(io::Planted::ack_before_sync)) {
    shard_.exchange.answers().answer(std::move(waits.answer));
  } else if (request.token != 0) {
    waits.sequence = sequence;
    unanswered_.push_back(std::move(waits));
  }
  urgent_flush_ = true;
}

// From here on a checkpoint must say that the batch is committed: the frame may lie before it.
queue::Appended Home::append_commit(uint64_t number, std::string_view payload) {
  absl::StatusOr<queue::Commit> commit = queue::decode_commit(payload);
  assert(commit.ok() && "intake made it");
  const queue::Appended appended =
      journal_.append(FrameType::commit, payload, commit.ok() ? commit->accepted : 0);
  const auto upload = coordinated_.find(number);
  if (commit.ok() && upload != coordinated_.end() && upload->second.upload != nullptr) {
    upload->second.upload->commit = *std::move(commit);
    upload->second.upload->committed = !io::is_planted(io::Planted::commit_not_restated);
  }
  return appended;
}

void Home::on_durable(uint64_t sequence) {
  while (!unanswered_.empty() && unanswered_.front().sequence <= sequence) {
    Unanswered& waits = unanswered_.front();
    waits.answer.status = waits.status;
    io::kill_point("before_answer");
    shard_.exchange.answers().answer(std::move(waits.answer));
    unanswered_.pop_front();
  }
  Counters::add(shard_.counters.journal_syncs);
  carried_durable(sequence);
  decisions_durable(sequence);
  orders_durable(sequence);
  durable_ = sequence;
  durable_mono_ns_ = shard_.mono_ns;
  while (!flushed_.empty() && flushed_.front().sequence <= sequence) {
    const std::vector<uint64_t>& returned = flushed_.front().returned;
    for (unsigned shard = 0; shard < returned.size(); ++shard)
      shard_.exchange.say_durable(number_, shard, returned[shard]);
    flushed_.pop_front();
  }
}

// The journal says so only when the group can not come back any more: what is refused here stays
// refused. Parts of a checkpoint, or what was to be carried, may be among what is lost, too.
void Home::on_lost(uint64_t sequence, const absl::Status& why) {
  abandon_checkpoint();
  carried_lost(sequence);
  orders_lost(sequence, why);
  outcomes_moved();
  if (erase_.stage != Erase::Stage::none) end_erase(why);
  if (!removable_.empty()) removable_after_ = journal_.appended_sequence();
  durable_as_of_.clear();
  for (auto waits = unanswered_.begin(); waits != unanswered_.end();) {
    if (waits->first_sequence > sequence || waits->sequence < sequence) {
      ++waits;
      continue;
    }
    waits->answer.status = why;
    shard_.exchange.answers().answer(std::move(waits->answer));
    waits = unanswered_.erase(waits);
  }
  // Its outcomes were appended again: to the last group by now, or to one before it.
  for (Flushed& flushed : flushed_) {
    if (flushed.sequence <= sequence) flushed.sequence = journal_.appended_sequence();
  }
  for (Decided& decided : decided_) {
    if (decided.sequence <= sequence) decided.sequence = journal_.appended_sequence();
  }
  if (doubts_sequence_ != 0 && doubts_sequence_ > durable_ && doubts_sequence_ <= sequence)
    doubts_sequence_ = journal_.appended_sequence();
}

void Home::append_outcomes() {
  if (outcomes_.empty()) return;
  scratch_.clear();
  const uint32_t count = outcomes_.count();
  outcomes_.take(scratch_);
  Counters::add(shard_.counters.journal_bytes, scratch_.size());
  const queue::Appended appended = journal_.append(FrameType::outcomes, scratch_, count);
  outcomes_lie_in(appended.location.segment);
  flushed_.push_back({appended.sequence, returned_});
  if (std::exchange(doubt_unflushed_, false)) doubts_sequence_ = appended.sequence;
  io::kill_point("outcomes_appended");
  oldest_outcome_mono_ns_ = 0;
}

void Home::flush() {
  append_held();
  if (!outcomes_.empty() &&
      (urgent_flush_ || shard_.mono_ns - oldest_outcome_mono_ns_ >= outcome_flush_ns())) {
    append_outcomes();
    urgent_flush_ = true;
  }
  bear_witness();
  if (short_of_space() && shard_.mono_ns - tried_again_mono_ns_ >= kTryAgainNs) {
    tried_again_mono_ns_ = shard_.mono_ns;
    journal_.try_again();
  }
  // Every turn: it is also what tries again to make a segment when the disk was full.
  journal_.flush();
  urgent_flush_ = false;
  publish_durable();
  if (!doubts_told_ || !old_marks_.empty()) drop_old_marks();
}

// Only a later group says that the last one was durable; without one, bit rot in it looks like a
// write that a crash has torn. So the last word before a pause is an empty one.
void Home::bear_witness() {
  if (!writes_ || !journal_.idle() || durable_ <= witnessed_) return;
  if (shard_.mono_ns - durable_mono_ns_ < kWitnessNs || !journal_.healthy()) return;
  witnessed_ = journal_.append(FrameType::witness, std::string_view()).sequence;
}

// Up to when all that was settled here is durable: others let go of what they keep for it.
void Home::publish_durable() {
  if (outcomes_.empty()) {
    if (journal_.durable_sequence() >= journal_.appended_sequence()) {
      durable_as_of_.clear();
      shard_.exchange.set_durable_as_of(number_, shard_.mono_ns);
      return;
    }
    if (durable_as_of_.empty() || durable_as_of_.back().first < journal_.appended_sequence())
      durable_as_of_.emplace_back(journal_.appended_sequence(), shard_.mono_ns);
  }
  int64_t as_of = 0;
  while (!durable_as_of_.empty() && durable_as_of_.front().first <= journal_.durable_sequence()) {
    as_of = durable_as_of_.front().second;
    durable_as_of_.pop_front();
  }
  if (as_of != 0) shard_.exchange.set_durable_as_of(number_, as_of);
}

// -------------------------------------------------------------------------------------------
// extents and batches

uint32_t Home::new_extent(const queue::Location& at, uint64_t batch, uint32_t first_index) {
  uint32_t number = static_cast<uint32_t>(extents_.size());
  if (free_extents_.empty()) {
    extents_.emplace_back();
  } else {
    number = free_extents_.back();
    free_extents_.pop_back();
  }
  Extent& extent = extents_[number];
  extent = Extent{};
  extent.number = batch;
  extent.segment = at.segment;
  extent.offset = at.offset;
  extent.bytes = at.length;
  extent.first_index = first_index;
  extent.serial = next_serial_++;
  extent.settled = &settled_[batch];
  extent.use = &uses_[at.segment];
  ++extent.use->extents;
  return number;
}

// The last of its recipients has left.
void Home::free_extent(uint32_t number) {
  Extent& extent = extents_[number];
  assert(extent.live == 0);
  SegmentUse& use = *extent.use;
  if (--use.extents == 0) use.live_bytes = 0;
  extent = Extent{};
  free_extents_.push_back(number);
}

// Makes a dormant record of every recipient of an extent that has just been appended.
absl::Status Home::load_extent(const queue::Location& at, std::string_view payload) {
  const absl::StatusOr<queue::ExtentHeader> header = queue::read_extent_header(payload);
  if (!header.ok()) return header.status();
  const uint32_t number = new_extent(at, header->batch, header->first_index);
  Extent& extent = extents_[number];
  uncommitted_[header->batch].push_back(number);

  absl::Status status;
  for (uint32_t offset = queue::kExtentHeaderBytes; offset < payload.size() && status.ok();) {
    const absl::StatusOr<queue::PageView> page = queue::read_page(payload, offset);
    if (!page.ok()) {
      status = page.status();  // what can be read of the extent is still delivered
      break;
    }
    extent.pages.push_back(offset);
    uint32_t at_entry = queue::kPageHeaderBytes;
    while (at_entry != 0 && status.ok()) {
      uint32_t next = 0;
      status = queue::read_entry(page->bytes, at_entry, entry_, next);
      if (!status.ok()) break;
      const absl::StatusOr<uint32_t> slot = make_record(extent, number, offset + at_entry);
      status = slot.status();
      if (!status.ok()) break;
      ++extent.live;
      extent.dormant.push_back(records_, *slot);
      at_entry = next;
    }
    offset += static_cast<uint32_t>(page->bytes.size());
  }
  extent.pages_known();
  extent.bytes_each = extent.bytes / std::max(1u, extent.live);
  extent.use->live_bytes += uint64_t{extent.bytes_each} * extent.live;
  Counters::add(shard_.counters.loaded, extent.live);
  Counters::add(shard_.counters.waiting, extent.live);
  return status;
}

// Of entry_: few names, of many recipients.
uint32_t Home::own_pool_number() {
  if (entry_.pool.empty()) return 0;
  const auto [found, fresh] = pool_numbers_.try_emplace(
      std::string(entry_.pool), static_cast<uint32_t>(pool_names_.size() + 1));
  if (fresh) pool_names_.emplace_back(entry_.pool);
  return found->second;
}

// A dormant record of entry_, which lies at that offset of the extent.
absl::StatusOr<uint32_t> Home::make_record(Extent& extent, uint32_t number, uint32_t offset) {
  const uint32_t slot = records_.allocate();
  if (slot == queue::kNoSlot)
    return absl::ResourceExhaustedError("the engine holds its maximum of waiting recipients");
  if (!own_expiry_.set(slot, entry_.expires_wall_ns) || !own_pool_.set(slot, own_pool_number())) {
    own_expiry_.erase(slot);
    records_.release(slot);
    return absl::ResourceExhaustedError("no memory is left for what recipients have of their own");
  }
  Record& record = records_[slot];
  record.extent = number;
  record.offset = offset;
  record.ordinal = static_cast<uint16_t>(entry_.index - extent.first_index);
  const size_t at_sign = entry_.to.rfind('@');
  record.domain = intern(entry_.to.substr(at_sign == std::string_view::npos ? 0 : at_sign + 1));
  ++domains_[record.domain].waiting;
  record.attempts = 0;
  record.priority = entry_.priority < 0 ? kBatchPriority : static_cast<uint8_t>(entry_.priority);
  record.flags = 0;
  record.due = entry_.not_before_wall_ns == 0
                   ? 0
                   : tick_at(shard_.mono_ns + entry_.not_before_wall_ns - shard_.wall_ns);
  record.state = RecordState::dormant;
  return slot;
}

void Home::announce(std::shared_ptr<const queue::LiveBatch> batch) {
  if (batch->coordinator == number_) {
    Coordinated& mine = coordinated_[batch->batch.number];
    mine.live = batch;
    mine.upload.reset();
  }
  const auto found = uncommitted_.find(batch->batch.number);
  if (found == uncommitted_.end()) return;
  const std::vector<uint32_t> extents = std::move(found->second);
  uncommitted_.erase(found);
  for (const uint32_t number : extents) activate(number, batch);
}

// The batch exists: its dormant records become due, or wait for their time; a turn's share of them
// each turn.
void Home::activate(uint32_t number, std::shared_ptr<const queue::LiveBatch> batch) {
  Extent& extent = extents_[number];
  if (extent.live == 0) return free_extent(number);  // nothing of it could be loaded
  extent.batch = std::move(batch);
  extent.marked = has_marks(extent);
  if (!extent.dormant.empty()) activating_.push_back(number);
}

void Home::activate_some() {
  uint32_t budget = share_of(kActivatedPerTurn);
  while (!activating_.empty()) {
    // It lives as long as it has dormant records.
    Extent& extent = extents_[activating_.front()];
    for (; budget > 0 && !extent.dormant.empty(); --budget) wake_dormant(extent);
    if (!extent.dormant.empty()) {
      more_to_do_ = true;
      return;
    }
    activating_.pop_front();
    if (extents_to_look_at_ > 0 && --extents_to_look_at_ == 0) marks_applied();
  }
}

void Home::wake_dormant(Extent& extent) {
  const queue::Batch& meta = extent.batch->batch;
  const int64_t delay_ns =
      queue::first_delay_on_load_ns(meta.accepted_wall_ns, meta.not_before_wall_ns, shard_.wall_ns);
  const uint32_t batch_due = delay_ns == 0 ? 0 : tick_at(shard_.mono_ns + delay_ns);
  const uint32_t now = tick_at(shard_.mono_ns);
  const uint32_t slot = extent.dormant.pop_front(records_);
  Record& record = records_[slot];
  if (record.priority == kBatchPriority) record.priority = meta.priority;
  if ((record.flags & kRecordGone) != 0) return drop_gone(slot);
  // Only recovery brings records that have been tried.
  if ((record.flags & kRecordDeferred) != 0) extent.batch->tally.deferred_now += 1;
  if ((record.flags & queue::kRecordInDoubt) != 0) extent.batch->tally.in_doubt_waiting += 1;
  if (extent.marked) {
    if (const queue::AttemptMark* const mark = mark_of(slot)) return doubt_from_mark(slot, *mark);
  }
  if (record.due == 0) record.due = batch_due;
  if (record.due != 0 && queue::ticks_until(now, record.due) > 0) {
    // Waiting beyond the end of its time is of no use, as in postpone().
    const uint32_t end = tick_at(expires_mono_ns(slot));
    if (queue::ticks_until(end, record.due) > 0) record.due = end;
    record.state = RecordState::waiting;
    wheel_.schedule(slot);
  } else {
    make_ready(slot, false);
  }
}

void Home::discard(uint64_t batch) {
  for (const auto& held : held_appends_) {
    if (held->request.batch != batch || held->request.token == 0) continue;
    intake::AppendAnswer answer;
    answer.token = held->request.token;
    answer.status = absl::CancelledError("the upload was given up");
    shard_.exchange.answers().answer(std::move(answer));
  }
  // An abort that waits among them is written all the same.
  std::erase_if(held_appends_, [&](const auto& held) {
    return held->request.batch == batch && held->request.token != 0;
  });
  coordinated_.erase(batch);
  const auto found = uncommitted_.find(batch);
  if (found != uncommitted_.end()) {
    const std::vector<uint32_t> extents = std::move(found->second);
    uncommitted_.erase(found);
    for (const uint32_t number : extents) drop_dormant(number);
  }
  settled_.erase(batch);
}

// Its time to be remembered is over, and nobody of it waits.
void Home::forget(uint64_t batch) {
  coordinated_.erase(batch);
  settled_.erase(batch);
}

void Home::drop_dormant(uint32_t number) {
  Extent& extent = extents_[number];
  if (extent.live == 0) return free_extent(number);
  while (!extent.dormant.empty()) release_record(extent.dormant.pop_front(records_));
}

// The recipient is settled for good. Its extent goes with the last one.
void Home::release_record(uint32_t slot) {
  const uint32_t number = records_[slot].extent;
  --domains_[records_[slot].domain].waiting;
  own_expiry_.erase(slot);
  own_pool_.erase(slot);
  records_.release(slot);
  Counters::take(shard_.counters.waiting);
  leave_extent(number);
}

void Home::leave_extent(uint32_t number) {
  Extent& extent = extents_[number];
  assert(extent.live > 0);
  extent.use->live_bytes -= std::min<uint64_t>(extent.use->live_bytes, extent.bytes_each);
  if (--extent.live == 0) free_extent(number);
}

// -------------------------------------------------------------------------------------------------
// clocks

void Home::schedule(uint32_t slot, int64_t due_mono_ns) {
  Record& record = records_[slot];
  record.due = tick_at(due_mono_ns);
  record.state = RecordState::waiting;
  wheel_.schedule(slot);
}

void Home::run_due() {
  // Each is seen to when the next one is known: its extent has been fetched by then.
  uint32_t before = queue::kNoSlot;
  const auto take = [&](uint32_t slot) {
    __builtin_prefetch(&extents_[records_[slot].extent]);
    if (before != queue::kNoSlot) came_up(before);
    before = slot;
  };
  more_to_do_ = false;
  if (!wheel_.advance(queue::tick_at(shard_.mono_ns - wheel_zero_mono_ns_), share_of(kDuePerTurn),
                      take))
    more_to_do_ = true;
  if (before != queue::kNoSlot) came_up(before);
  activate_some();
  unpark_some();
  walk_in_doubt();
  if (why_->run()) more_to_do_ = true;
}

void Home::came_up(uint32_t slot) {
  if ((records_[slot].flags & kRecordGone) != 0) {
    drop_gone(slot);
  } else if (expired(slot)) {
    expire(slot);
  } else {
    make_ready(slot, false);
  }
}

}  // namespace veredus
