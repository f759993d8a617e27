#include "queue/ledger.h"

#include <algorithm>
#include <bit>

#include "queue/bytes.h"
#include "queue/extent.h"
#include "queue/outcome.h"
#include "queue/planted.h"

namespace veredus::queue {
namespace {

WaitingState state_after(const Outcome& outcome) {
  WaitingState state;
  state.attempts = static_cast<uint8_t>(std::min<uint16_t>(outcome.attempt, UINT8_MAX));
  state.in_doubt = outcome.type == OutcomeType::in_doubt;
  state.held = state.in_doubt && outcome.next_due_wall_ns == 0;
  state.due_wall_ns = outcome.next_due_wall_ns;
  return state;
}

// Neighbours that were never tried, a word of bits at a time.
void put_untouched(Ledger::Run& run, uint32_t first_ordinal, uint32_t count) {
  const uint32_t end = first_ordinal + count;
  if (size_t{end + 63} / 64 > run.waits.size()) run.waits.resize((end + 63) / 64);
  for (uint32_t at = first_ordinal; at < end;) {
    const uint32_t bits = std::min(64 - at % 64, end - at);
    const uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    uint64_t& word = run.waits[at / 64];
    run.live += static_cast<uint32_t>(std::popcount(ones << at % 64 & ~word));
    word |= ones << at % 64;
    at += bits;
  }
}

}  // namespace

uint64_t number_at(std::string_view payload) {
  ByteReader in(payload);
  return in.u64();
}

uint32_t Ledger::Run::held() const {
  uint32_t held = 0;
  for (uint32_t ordinal = 0; ordinal < tried.size(); ++ordinal) {
    if (tried[ordinal].held && has(ordinal)) ++held;
  }
  return held;
}

void Ledger::on_frame(FrameType type, const Location& at, std::string_view payload) {
  switch (type) {
    case FrameType::batch:
      return on_batch(at, payload);
    case FrameType::commit:
      return on_commit(at, payload);
    case FrameType::abort:
    case FrameType::forgotten:
      return forget(payload);
    case FrameType::extent:
      return on_extent(at, payload);
    case FrameType::outcomes:
      return on_outcomes(at, payload);
    case FrameType::refusals:
      return on_refusals(at, payload);
    case FrameType::checkpoint:
      return on_checkpoint(at, payload);
    case FrameType::consumer:
      return on_consumer(at, payload);
    case FrameType::erasure:
      return on_erasure(at, payload);
    case FrameType::order:
      return on_order(at, payload);
    case FrameType::content:  // found through its batch
    case FrameType::witness:
      return;
  }
  damaged(at, absl::FailedPreconditionError("a frame of type " +
                                            std::to_string(static_cast<int>(type)) +
                                            ", which this program does not know"));
}

void Ledger::on_damage(uint32_t segment, uint64_t offset, const std::string& what) {
  damage_.push_back("segment " + std::to_string(segment) + ", byte " + std::to_string(offset) +
                    ": " + what);
}

void Ledger::damaged(const Location& at, const absl::Status& why) {
  on_damage(at.segment, at.offset, std::string(why.message()));
}

// --- batches ---

// The same batch again: its content was moved.
void Ledger::on_batch(const Location& at, std::string_view payload) {
  absl::StatusOr<Batch> batch = decode_batch(payload);
  if (!batch.ok()) return damaged(at, batch.status());
  saw(batch->number);
  latest_wall_ns_ = std::max(latest_wall_ns_, batch->accepted_wall_ns);
  batches_[batch->number].batch = *std::move(batch);
}

void Ledger::on_commit(const Location& at, std::string_view payload) {
  absl::StatusOr<Commit> commit = decode_commit(payload);
  if (!commit.ok()) return damaged(at, commit.status());
  saw(commit->number);
  KnownBatch& known = batches_[commit->number];
  known.committed = true;
  known.commit = *std::move(commit);
}

void Ledger::on_refusals(const Location& at, std::string_view payload) {
  const uint64_t number = number_at(payload);
  if (number == 0) return;
  saw(number);
  batches_[number].refusals.push_back(at);
}

// The upload was given up, or the batch's time to be remembered is over.
void Ledger::forget(std::string_view payload) {
  const uint64_t number = number_at(payload);
  saw(number);
  const auto found = keys_.find(number);
  if (found != keys_.end()) {
    for (const uint64_t key : found->second) runs_.erase(key);
    keys_.erase(found);
  }
  batches_.erase(number);
  tallies_.erase(number);
}

// --- recipients ---

Ledger::Run& Ledger::run_at(const WaitingExtent& extent) {
  const auto [at, fresh] = runs_.try_emplace(key(extent.at));
  if (fresh) {
    at->second.extent = extent;
    keys_[extent.batch].push_back(at->first);
  }
  return at->second;
}

void Ledger::put(Run& run, uint32_t ordinal, const WaitingState& state) {
  if (ordinal / 64 >= run.waits.size()) run.waits.resize(ordinal / 64 + 1);
  uint64_t& word = run.waits[ordinal / 64];
  const uint64_t bit = uint64_t{1} << ordinal % 64;
  if ((word & bit) == 0) ++run.live;
  word |= bit;
  if (ordinal >= run.tried.size()) {
    if (state.untouched()) return;
    // All that may come, so that it is not moved for each.
    run.tried.resize(std::max<size_t>(ordinal + 1, run.waits.size() * 64));
  }
  run.tried[ordinal] = state;
}

// The run goes with the last one.
void Ledger::take(Run& run, uint32_t ordinal) {
  run.waits[ordinal / 64] &= ~(uint64_t{1} << ordinal % 64);
  if (--run.live > 0) return;
  const uint64_t gone = key(run.extent.at);
  const auto keys = keys_.find(run.extent.batch);
  std::erase(keys->second, gone);
  if (keys->second.empty()) keys_.erase(keys);
  runs_.erase(gone);
}

// The run in which this recipient waits: where it is said to lie, if it is known there, else
// wherever it is: an outcome that was written while its recipient was carried elsewhere names the
// old place.
const Ledger::Run* Ledger::find(uint64_t batch, uint32_t index, const Location* at) const {
  if (at != nullptr) {
    auto behind = runs_.upper_bound(key(*at));
    if (behind != runs_.begin()) {
      const Run& run = (--behind)->second;
      const uint32_t ordinal = index - run.extent.first_index;
      if (run.extent.batch == batch && run.extent.at.segment == at->segment &&
          index >= run.extent.first_index && run.has(ordinal))
        return &run;
    }
  }
  const auto keys = keys_.find(batch);
  if (keys == keys_.end()) return nullptr;
  for (const uint64_t place : keys->second) {
    const Run& run = runs_.find(place)->second;
    if (index >= run.extent.first_index && run.has(index - run.extent.first_index)) return &run;
  }
  return nullptr;
}

void Ledger::on_extent(const Location& at, std::string_view payload) {
  const absl::StatusOr<ExtentHeader> header = read_extent_header(payload);
  if (!header.ok()) return damaged(at, header.status());
  saw(header->batch);
  if (header->carried) carried_.insert(header->batch);
  WaitingExtent extent{header->batch, header->first_index, at};
  extent.at.length = static_cast<uint32_t>(payload.size());
  Entry entry;
  // Looked up once, for a new extent may have a thousand of them. Carrying takes runs away, which
  // moves the others.
  Run* run = nullptr;
  for (uint32_t offset = kExtentHeaderBytes; offset < payload.size();) {
    const absl::StatusOr<PageView> page = read_page(payload, offset);
    if (!page.ok()) return damaged(at, page.status());  // what was read before is still delivered
    for (uint32_t at_entry = kPageHeaderBytes, next = 0; at_entry != 0; at_entry = next) {
      const absl::Status read = read_entry_head(page->bytes, at_entry, entry, next);
      if (!read.ok()) return damaged(at, read);
      if (entry.index < header->first_index ||
          entry.index - header->first_index >= kExtentRecipientsMax)
        return damaged(at, absl::DataLossError("a recipient outside its extent"));
      WaitingState state;
      if (header->carried) {
        if (Run* const before = find(header->batch, entry.index, nullptr); before != nullptr) {
          const uint32_t ordinal = entry.index - before->extent.first_index;
          state = before->state(ordinal);
          if (!is_planted(Planted::carried_stays)) take(*before, ordinal);
        }
      }
      if (run == nullptr || header->carried) run = &run_at(extent);
      put(*run, entry.index - header->first_index, state);
    }
    offset += static_cast<uint32_t>(page->bytes.size());
  }
}

void Ledger::on_outcomes(const Location& at, std::string_view payload) {
  OutcomeReader reader(payload);
  Outcome outcome;
  while (reader.next(outcome)) apply(outcome);
  if (!reader.status().ok()) damaged(at, reader.status());
}

// Every final outcome counts, also of a recipient that is not known here: its extent lies before
// the checkpoint, and the checkpoint, which comes behind, does not name who is settled by then.
void Ledger::apply(const Outcome& outcome) {
  saw(outcome.batch);
  latest_wall_ns_ = std::max(latest_wall_ns_, outcome.wall_ns);
  tallies_[outcome.batch].count(outcome);
  const Location at{journal_, outcome.segment, outcome.page_offset, 0};
  Run* const run = find(outcome.batch, outcome.index, &at);
  if (run == nullptr) return;
  const uint32_t ordinal = outcome.index - run->extent.first_index;
  if (is_final(outcome.type)) {
    if (is_planted(Planted::expired_waits) && outcome.type == OutcomeType::expired) return;
    take(*run, ordinal);
  } else {
    put(*run, ordinal, state_after(outcome));
  }
}

// --- checkpoints ---

void Ledger::on_checkpoint(const Location& at, std::string_view payload) {
  CheckpointPart part{};
  std::string_view body;
  absl::Status read = read_checkpoint_part(payload, part, body);
  if (read.ok() && part == CheckpointPart::begin) {
    const absl::StatusOr<CheckpointBegin> begin = decode_checkpoint_begin(body);
    read = begin.status();
    if (begin.ok()) {
      saw(begin->highest_batch);
      highest_order_ = std::max(highest_order_, begin->highest_order);
      latest_wall_ns_ = std::max(latest_wall_ns_, begin->wall_ns);
    }
  }
  if (read.ok() && part == CheckpointPart::waiting) read = read_waiting(body, journal_, *this);
  if (read.ok() && part == CheckpointPart::batch) {
    absl::StatusOr<KnownBatch> known = decode_checkpoint_batch(body, journal_);
    read = known.status();
    if (known.ok()) {
      const uint64_t number = known->batch.number;
      saw(number);
      latest_wall_ns_ = std::max(latest_wall_ns_, known->batch.accepted_wall_ns);
      batches_[number] = *std::move(known);
    }
  }
  if (read.ok() && part == CheckpointPart::tallies) return on_tallies(at, body);
  if (read.ok() && part == CheckpointPart::consumer) return on_consumer(at, body);
  if (read.ok() && part == CheckpointPart::erasure) return on_erasure(at, body);
  if (read.ok() && part == CheckpointPart::order) return on_order(at, body);
  if (!read.ok()) damaged(at, read);
}

void Ledger::on_waiting(const WaitingExtent& extent, uint32_t first_ordinal, uint32_t count,
                        const WaitingState& state) {
  saw(extent.batch);
  if (carried_.contains(extent.batch)) take_elsewhere(extent, first_ordinal, count);
  Run& run = run_at(extent);
  if (state.untouched() && run.tried.empty()) return put_untouched(run, first_ordinal, count);
  for (uint32_t i = 0; i < count; ++i) put(run, first_ordinal + i, state);
}

// Who was out with a ticket when his extent was carried forward stays where he was, and is said to
// wait there: he waits once.
void Ledger::take_elsewhere(const WaitingExtent& extent, uint32_t first_ordinal, uint32_t count) {
  const auto keys = keys_.find(extent.batch);
  if (keys == keys_.end()) return;
  const std::vector<uint64_t> places = keys->second;
  for (const uint64_t place : places) {
    if (place == key(extent.at)) continue;
    Run& run = runs_.find(place)->second;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t index = extent.first_index + first_ordinal + i;
      if (index < run.extent.first_index || !run.has(index - run.extent.first_index)) continue;
      const bool last = run.live == 1;
      take(run, index - run.extent.first_index);
      if (last) break;  // the run is gone
    }
  }
}

void Ledger::on_consumer(const Location& at, std::string_view payload) {
  absl::StatusOr<Consumer> consumer = decode_consumer(payload);
  if (!consumer.ok()) return damaged(at, consumer.status());
  latest_wall_ns_ = std::max(latest_wall_ns_, consumer->acked_wall_ns);
  const std::string name = consumer->name;
  if (consumer->cursor.empty()) {
    consumers_.erase(name);
  } else {
    consumers_[name] = *std::move(consumer);
  }
}

// The earliest time holds.
void Ledger::on_erasure(const Location& at, std::string_view payload) {
  const absl::StatusOr<Erasure> erasure = decode_erasure(payload);
  if (!erasure.ok()) return damaged(at, erasure.status());
  for (const uint32_t segment : erasure->segments) {
    const auto [known, fresh] = erasures_.try_emplace(segment, erasure->due_wall_ns);
    if (!fresh) known->second = std::min(known->second, erasure->due_wall_ns);
  }
}

// The last word on it holds. One that cannot be read holds for nobody; its number is not known, and
// may be given again.
void Ledger::on_order(const Location& at, std::string_view payload) {
  absl::StatusOr<Order> order = decode_order(payload);
  if (!order.ok()) return damaged(at, order.status());
  const uint64_t number = order->number;
  highest_order_ = std::max(highest_order_, number);
  latest_wall_ns_ = std::max({latest_wall_ns_, order->given_wall_ns, order->ended_wall_ns});
  if (order->state == Order::State::given) {
    orders_[number] = *std::move(order);
  } else {
    orders_.erase(number);
  }
}

void Ledger::on_tallies(const Location& at, std::string_view body) {
  TalliesReader reader(body);
  uint64_t batch = 0;
  Settled settled;
  while (reader.next(batch, settled)) {
    saw(batch);
    latest_wall_ns_ = std::max(latest_wall_ns_, settled.last_outcome_wall_ns);
    if (is_planted(Planted::tallies_added)) settled.delivered += tallies_[batch].delivered;
    tallies_[batch] = settled;
  }
  if (!reader.status().ok()) damaged(at, reader.status());
}

}  // namespace veredus::queue
