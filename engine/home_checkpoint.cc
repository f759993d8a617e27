// Says again in the journal who waits here and what became of the others, so that a start reads no
// further back. A share each turn, beside the work: queue/checkpoint.h says why that is sound.

#include <algorithm>
#include <cassert>

#include "engine/home.h"
#include "engine/io/kill_point.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::FrameType;
using queue::Record;
using queue::RecordState;

// A new one when the journal has come to a further segment. A large one waits until as much was
// written since, so that checkpoints are at most half of what is written.
bool Home::checkpoint_due() const {
  if (checkpoint_.stage != Checkpoint::Stage::none || stopping_ || !loaded()) return false;
  if (journal_.losses_untold() || erase_excludes_checkpoint()) return false;
  if (reclaim_.stage != Reclaim::Stage::none || !removable_.empty()) return false;
  if (journal_.current_segment() == journal_.checkpoint_segment()) return false;
  return journal_.appended_bytes() - checkpointed_at_ >= checkpoint_bytes_;
}

void Home::maintain() {
  erase_some();
  if (!writes_) return;
  expire_ready();
  end_orders_in_time();
  sweep_for_orders();
  end_segment_for_room();
  if (checkpoint_due()) begin_checkpoint();
  checkpoint_some();
  keep_events();
  reclaim_some();
}

void Home::begin_checkpoint() {
  checkpoint_ = Checkpoint{};
  checkpoint_.stage = Checkpoint::Stage::waiting;
  checkpoint_.appended_before = journal_.appended_bytes();
  append_outcomes();
  queue::encode_checkpoint_begin({highest_batch_, shard_.wall_ns, highest_order_}, scratch_);
  checkpoint_.place = journal_.append_checkpoint_begin(scratch_);
  for (const auto& [name, consumer] : consumers_) {
    queue::encode_checkpoint_consumer(consumer, scratch_);
    journal_.append(FrameType::checkpoint, scratch_);
  }
  for (const queue::Order& order : orders_in_force()) {
    queue::encode_checkpoint_order(order, scratch_);
    journal_.append(FrameType::checkpoint, scratch_);
  }
  for (const queue::Erasure& erasure : erasures()) {
    queue::encode_checkpoint_erasure(erasure, scratch_);
    journal_.append(FrameType::checkpoint, scratch_);
  }
}

void Home::abandon_checkpoint() {
  checkpoint_ = Checkpoint{};
  waiting_writer_ = queue::WaitingWriter();
}

// What was decided so far is in the journal before a part says what holds now: else it would be
// counted there and once more behind it.
void Home::checkpoint_some() {
  using Stage = Checkpoint::Stage;
  if (checkpoint_.stage == Stage::none || journal_.losses_untold()) return;
  if (checkpoint_.stage != Stage::ending) {
    if (stopping_) return abandon_checkpoint();
    if (!journal_.has_room()) return;
    if (!io::is_planted(io::Planted::checkpoint_behind)) append_outcomes();
    more_to_do_ = true;
  }
  switch (checkpoint_.stage) {
    case Stage::none:
      return;
    case Stage::waiting:
      return checkpoint_waiting();
    case Stage::batches:
      return checkpoint_batches();
    case Stage::tallies:
      return checkpoint_tallies();
    case Stage::ending:
      return end_checkpoint();
  }
}

queue::WaitingState Home::state_of(const Record& record) const {
  queue::WaitingState state;
  state.attempts = record.attempts;
  state.in_doubt = (record.flags & queue::kRecordInDoubt) != 0;
  state.held = state.in_doubt && held(record);
  if (state.untouched() || state.held) return state;
  const uint32_t now = queue::tick_at(shard_.mono_ns - wheel_zero_mono_ns_);
  const bool waits = record.state == RecordState::waiting || record.state == RecordState::dormant;
  const int32_t ticks = waits ? std::max(0, queue::ticks_until(now, record.due)) : 0;
  state.due_wall_ns = shard_.wall_ns + ticks * queue::kTickNs;
  return state;
}

void Home::checkpoint_waiting() {
  checkpoint_.slot =
      records_.visit(checkpoint_.slot, shard_.settings.swept_per_turn, [&](uint32_t slot) {
        const Record& record = records_[slot];
        if ((record.flags & kRecordGone) != 0) return;
        const Extent& extent = extents_[record.extent];
        const queue::Location at{number_, extent.segment, extent.offset, extent.bytes};
        waiting_writer_.add(extent.serial, {extent.number, extent.first_index, at}, record.ordinal,
                            state_of(record));
      });
  if (io::is_planted(io::Planted::checkpoint_short)) checkpoint_.slot = queue::kNoSlot;
  if (checkpoint_.slot == queue::kNoSlot) {
    checkpoint_unread();
    checkpoint_.stage = Checkpoint::Stage::batches;
  }
  if (waiting_writer_.empty()) return;
  waiting_writer_.take(scratch_);
  journal_.append(FrameType::checkpoint, scratch_);
  io::kill_point("checkpoint_waiting");
}

// Those that could not be read have no records, and wait all the same.
void Home::checkpoint_unread() {
  if (!anybody_unread_) return;
  for (const Extent& extent : extents_) {
    if (extent.unread == nullptr) continue;
    const queue::Ledger::Run& run = *extent.unread;
    for (uint32_t ordinal = 0; ordinal < run.waits.size() * 64; ++ordinal) {
      if (run.has(ordinal))
        waiting_writer_.add(extent.serial, run.extent, static_cast<uint16_t>(ordinal),
                            run.state(ordinal));
    }
  }
}

// What is known of a batch of ours, as it lies now.
queue::KnownBatch Home::known_of(const Coordinated& batch) const {
  if (batch.live == nullptr) return *batch.upload;
  if (batch.written != nullptr) return *batch.written;
  const queue::LiveBatch& live = *batch.live;
  queue::KnownBatch known;
  known.batch = live.batch;
  known.batch.content = live.content_at();
  known.committed = true;
  known.commit.number = live.batch.number;
  known.commit.accepted = live.accepted;
  known.commit.refused = live.refused;
  known.commit.extents = live.extents;
  known.commit.extent_bytes = live.extent_bytes;
  known.commit.last_order = live.taken_up.last_order;
  known.commit.body_sha256.assign(reinterpret_cast<const char*>(live.body_sha256.data()),
                                  live.body_sha256.size());
  if (const queue::LiveBatch::Text answer = live.answer_json.load())
    known.commit.answer_json = *answer;
  if (const queue::LiveBatch::Locations refusals = live.refusals.load()) known.refusals = *refusals;
  return known;
}

// Beside it is noted which segments hold what batches need of them.
void Home::checkpoint_batches() {
  const uint64_t until = journal_.appended_bytes() + kCheckpointBytesPerTurn;
  auto at = coordinated_.lower_bound(checkpoint_.batch);
  for (; at != coordinated_.end() && journal_.appended_bytes() < until; ++at) {
    Coordinated& batch = at->second;
    const uint64_t number = at->first;
    if (batch.live == nullptr && batch.upload == nullptr) continue;
    const queue::KnownBatch known = known_of(batch);
    queue::encode_checkpoint_batch(known, scratch_);
    journal_.append(FrameType::checkpoint, scratch_);
    const auto note = [&](const queue::Location& place) {
      Checkpoint::Contents& contents = checkpoint_.contents[place.segment];
      contents.bytes += place.length;
      if (contents.batches.empty() || contents.batches.back() != number)
        contents.batches.push_back(number);
    };
    if (needs_content(batch)) note(known.batch.content);
    for (const queue::Location& refusals : known.refusals) note(refusals);
  }
  checkpoint_.batch = at == coordinated_.end() ? 0 : at->first;
  if (at == coordinated_.end()) checkpoint_.stage = Checkpoint::Stage::tallies;
}

// Nobody asks for the message of a batch once all its recipients are settled, durably and at every
// home: till then a crash could bring some of them back.
bool Home::needs_content(Coordinated& batch) {
  if (batch.live == nullptr) return batch.upload->batch.content.length != 0;
  if (batch.live->batch.content.length == 0) return false;
  const queue::Tally& tally = batch.live->tally;
  if (tally.settled() - tally.in_doubt_held < batch.live->accepted) {
    batch.finished_mono_ns = 0;
    return true;
  }
  if (batch.finished_mono_ns == 0) batch.finished_mono_ns = shard_.mono_ns;
  return shard_.exchange.durable_as_of() <= batch.finished_mono_ns;
}

void Home::checkpoint_tallies() {
  queue::TalliesWriter tallies;
  auto at = settled_.lower_bound(checkpoint_.batch);
  for (; at != settled_.end() && tallies.bytes() < kCheckpointBytesPerTurn; ++at) {
    if (at->second != queue::Settled{}) tallies.add(at->first, at->second);
  }
  if (!tallies.empty()) {
    tallies.take(scratch_);
    journal_.append(FrameType::checkpoint, scratch_);
  }
  checkpoint_.batch = at == settled_.end() ? 0 : at->first;
  if (at != settled_.end()) return;
  queue::encode_checkpoint_end(checkpoint_.place, scratch_);
  checkpoint_.end_sequence = journal_.append(FrameType::checkpoint, scratch_).sequence;
  checkpoint_.stage = Checkpoint::Stage::ending;
  io::kill_point("checkpoint_ended");
  urgent_flush_ = true;
}

void Home::end_checkpoint() {
  if (journal_.durable_sequence() < checkpoint_.end_sequence) return;
  io::kill_point("checkpoint_durable");
  journal_.checkpoint_complete(checkpoint_.place);
  checkpointed_at_ = journal_.appended_bytes();
  checkpoint_bytes_ = checkpointed_at_ - checkpoint_.appended_before;
  Counters::add(shard_.counters.checkpoints);
  checkpoint_.stage = Checkpoint::Stage::none;
  checkpoint_.complete = true;
  keep_events();
  find_reclaimable();
}

}  // namespace veredus
