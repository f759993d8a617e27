// Recipients in doubt, as an operator sees and steers them. Nothing but the records knows them, so
// all of these are walked, a bounded part each turn.

#include <algorithm>
#include <utility>

#include "engine/home.h"

namespace veredus {

using queue::OutcomeType;
using queue::Record;
using queue::RecordState;

void Home::in_doubt_asked(const InDoubtQuestion& question) {
  InDoubtWalk& walk = in_doubt_walks_.emplace_back();
  walk.question = question;
  walk.answer.token = question.token;
}

void Home::walk_in_doubt() {
  // At a start those that are not read yet have no records.
  if (in_doubt_walks_.empty() || !loaded()) return;
  InDoubtWalk& walk = in_doubt_walks_.front();
  walk.next_slot =
      records_.visit(walk.next_slot, kWalkedPerTurn, [&](uint32_t slot) { look_at(slot, walk); });
  const bool enough = walk.answer.items.size() >= walk.question.limit;
  if (enough || walk.next_slot == queue::kNoSlot) {
    answer_in_doubt(walk);
    in_doubt_walks_.pop_front();
  }
  more_to_do_ = more_to_do_ || !in_doubt_walks_.empty();
}

// What was decided is told when it is durable, this time or an earlier one: a decision that came a
// second time finds nobody who is held.
void Home::answer_in_doubt(InDoubtWalk& walk) {
  const bool decides = walk.question.action != InDoubtQuestion::Action::list;
  if (decides) {
    append_outcomes();
    urgent_flush_ = true;
  }
  if (decides && journal_.appended_sequence() > journal_.durable_sequence()) {
    decided_.push_back({journal_.appended_sequence(), std::move(walk.answer)});
  } else {
    shard_.exchange.answers().answer_question(std::move(walk.answer));
  }
}

void Home::decisions_durable(uint64_t sequence) {
  while (!decided_.empty() && decided_.front().sequence <= sequence) {
    shard_.exchange.answers().answer_question(std::move(decided_.front().answer));
    decided_.pop_front();
  }
}

// In no list until somebody decides. One that will be tried again counts as deferred, too, and one
// whose batch is not committed was never tried.
bool Home::held(const Record& record) const {
  return record.state == RecordState::dormant && (record.flags & kRecordDeferred) == 0;
}

void Home::look_at(uint32_t slot, InDoubtWalk& walk) {
  const Record& record = records_[slot];
  if ((record.flags & queue::kRecordInDoubt) == 0) return;
  const Extent& extent = extents_[record.extent];
  const InDoubtQuestion& question = walk.question;
  if (extent.batch == nullptr || (question.batch != 0 && question.batch != extent.number)) return;
  if (question.index && *question.index != extent.first_index + record.ordinal) return;
  if (question.action == InDoubtQuestion::Action::list) return list_in_doubt(slot, walk);
  if (!held(record)) return;
  let_go(slot, question.action);
  ++walk.answer.done;
}

void Home::list_in_doubt(uint32_t slot, InDoubtWalk& walk) const {
  const Record& record = records_[slot];
  if (walk.question.held_only && !held(record)) return;
  if (walk.answer.items.size() >= walk.question.limit) return;
  const queue::Ticket place = make_ticket(slot);
  InDoubtItem item;
  item.batch = extents_[record.extent].number;
  item.index = extents_[record.extent].first_index + record.ordinal;
  item.attempts = record.attempts;
  item.held = held(record);
  if (record.state == RecordState::waiting) {
    const uint32_t now = queue::tick_at(shard_.mono_ns - wheel_zero_mono_ns_);
    item.due_in_ns = std::max(0, queue::ticks_until(now, record.due)) * queue::kTickNs;
  }
  item.page.journal = number_;
  item.page.segment = place.segment;
  item.page.offset = place.page_offset;
  item.page.length = place.page_bytes;
  item.entry_offset = place.entry_offset;
  walk.answer.items.push_back(item);
}

// Held no longer. The outcome says whose decision it was.
void Home::let_go(uint32_t slot, InDoubtQuestion::Action action) {
  Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  queue::Tally& tally = extent.batch->tally;
  if (record.priority == kBatchPriority) record.priority = extent.batch->batch.priority;
  record.flags = 0;
  queue::Outcome outcome;
  place_of(slot, outcome);
  outcome.rule = "operator";
  tally.in_doubt_held.fetch_sub(1, std::memory_order_relaxed);
  switch (action) {
    case InDoubtQuestion::Action::delivered:
      outcome.type = OutcomeType::delivered;
      outcome.text = "held in doubt; an operator calls it delivered";
      return finish(slot, outcome);
    case InDoubtQuestion::Action::failed:
      outcome.type = OutcomeType::failed;
      outcome.kind = static_cast<uint8_t>(smtp::Kind::other);
      outcome.text = "held in doubt; an operator calls it failed";
      return finish(slot, outcome);
    case InDoubtQuestion::Action::retry:
    case InDoubtQuestion::Action::list:
      break;
  }
  // Still in doubt, and due: the journal says so, or it would be held again after a crash.
  outcome.type = OutcomeType::in_doubt;
  outcome.text = "held in doubt; an operator has it tried again";
  outcome.next_due_wall_ns = shard_.wall_ns;
  record.flags = queue::kRecordInDoubt | kRecordDeferred;
  tally.deferred_now.fetch_add(1, std::memory_order_relaxed);
  tally.in_doubt_waiting.fetch_add(1, std::memory_order_relaxed);
  write(outcome, extent);
  schedule(slot, shard_.mono_ns);
}

}  // namespace veredus
