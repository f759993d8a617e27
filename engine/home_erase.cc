// Somebody asks to be forgotten: whoever waits under his address is cancelled, and the segments
// that hold it are noted, to be emptied and removed in time. One pass over the journal for all that
// was asked by then. The address is known to this pass only: nothing that it writes holds it.
//
// What was accepted before the pass lies in the segments up to `last`, what comes later behind
// them: it is left alone, for a feeder may send to the address again.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/intake/json_writer.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::FrameType;
using queue::Record;
using queue::RecordState;

namespace {

constexpr uint32_t kPieceBytes = 256 * 1024;  // of a segment, looked through at a time
constexpr size_t kLookedThroughPerTurn = 1024 * 1024;
constexpr uint32_t kExtentsPerTurn = 16384;  // looked at
constexpr size_t kBatchCost = 256;           // of looking at a batch, as bytes
constexpr int64_t kBetweenPassesNs = 2'000'000'000;
constexpr int64_t kWaitForPassNs = 120'000'000'000;     // then: not now
constexpr int64_t kWaitForInFlightNs = 20'000'000'000;  // then they are told as such
constexpr int64_t kHastenNsMin = 1'000'000'000;
constexpr int64_t kHastenParts = 16;  // of the time within which all must be gone

}  // namespace

void Home::erasure_asked(ErasureQuestion question) {
  erase_.asked.push_back({std::move(question), shard_.mono_ns});
}

// When it must be looked at again, though nothing happens.
int64_t Home::next_erase_mono_ns() const {
  int64_t next = INT64_MAX;
  if (erase_.stage == Erase::Stage::in_flight) next = erase_.began_mono_ns + kWaitForInFlightNs;
  if (erase_.stage == Erase::Stage::none && !erase_.asked.empty())
    next = std::max(erase_.began_mono_ns + kBetweenPassesNs, shard_.mono_ns + kTryAgainNs);
  for (const auto& [segment, from_mono_ns] : erase_.to_empty)
    next = std::min(next, std::max({from_mono_ns, erase_.hastened_mono_ns + hasten_ns(),
                                    shard_.mono_ns + kTryAgainNs}));
  return next;
}

void Home::erase_some() {
  using Stage = Erase::Stage;
  if (erase_.stage == Stage::none) {
    hasten_erasure();
    if (!erase_.asked.empty()) begin_erase();
    return;
  }
  if (stopping_) return end_erase(absl::UnavailableError("the engine is being stopped"));
  if (journal_.losses_untold()) return;  // then it ends, in on_lost()
  switch (erase_.stage) {
    case Stage::none:
      return;
    case Stage::closing:
      return await_closed();
    case Stage::masking:
      return mask_answers();
    case Stage::looking:
      return look_for_address();
    case Stage::choosing:
      return want_recipients();
    case Stage::reading:
      return find_recipients();
    case Stage::sweeping:
      return cancel_found();
    case Stage::in_flight:
      return await_in_flight();
    case Stage::durable:
      if (!carried_.empty() || journal_.durable_sequence() < erase_.sequence) return;
      return end_erase(erase_.trouble);
  }
}

// Alone: whoever is carried forward meanwhile would be looked for where he does not lie, and a
// checkpoint would say again what is just being taken out. And when no record stands in the list of
// its extent, from where nobody would take out what is cancelled.
void Home::begin_erase() {
  const bool overdue = shard_.mono_ns - erase_.asked.front().asked_mono_ns >= kWaitForPassNs;
  if (stopping_ || overdue) {
    for (Erase::Asked& asked : std::exchange(erase_.asked, {})) {
      ErasureAnswer answer;
      answer.token = asked.question.token;
      answer.status = absl::UnavailableError(
          stopping_ ? "the engine is being stopped"
                    : "the spool could not be looked through: the disk is full, or fails, or what "
                      "it held at the start is still being read");
      shard_.exchange.answers().answer_question(std::move(answer));
    }
    return;
  }
  // An old journal of which nobody waits: its files go when it is written again.
  if (!writes_ && !journal_.complete_segments().empty()) return begin_writing();
  if (!writes_) {
    for (Erase::Asked& asked : std::exchange(erase_.asked, {}))
      shard_.exchange.answers().answer_question(ErasureAnswer{asked.question.token, {}, 0, 0});
    return;
  }
  if (!loaded() || checkpoint_.stage != Checkpoint::Stage::none ||
      reclaim_.stage != Reclaim::Stage::none || !carried_.empty() || !reader_.empty() ||
      !removable_.empty() || !activating_.empty() || journal_.losses_untold())
    return;
  if (erase_.passes > 0 && shard_.mono_ns - erase_.began_mono_ns < kBetweenPassesNs) return;
  // The rest of the segment in use is given up: not while it may be all that is left for outcomes.
  // The spare is in use then.
  if (!journal_.has_space(1)) return;
  erase_.finder = queue::AddressFinder();
  for (Erase::Asked& asked : std::exchange(erase_.asked, {})) {
    erase_.tokens.push_back(asked.question.token);
    for (const std::string& address : asked.question.addresses) {
      erase_.finder.add(address);
      // As it stands in answers and lists of those refused: a quoted local part is escaped there.
      std::string json;
      intake::append_json_string(address, json);
      erase_.finder.add(std::string_view(json).substr(1, json.size() - 2));
    }
  }
  erase_.cancelled = 0;
  ++erase_.passes;
  erase_.began_mono_ns = shard_.mono_ns;
  erase_.last = journal_.current_segment();
  erase_.stage = Erase::Stage::closing;
  append_outcomes();
  journal_.end_segment();
  erase_.closed = journal_.current_segment() != erase_.last;  // else nothing was in it
  urgent_flush_ = true;
  more_to_do_ = true;
}

// Until all up to the last one are complete.
void Home::await_closed() {
  if (erase_.closed && !journal_.complete_segments().contains(erase_.last)) return;
  erase_.stage = Erase::Stage::masking;
  more_to_do_ = true;
}

// The answers that a feeder would get again. First of all: a checkpoint says them again.
void Home::mask_answers() {
  more_to_do_ = true;
  auto at = coordinated_.lower_bound(erase_.next_batch);
  for (size_t bytes = 0; at != coordinated_.end() && bytes < kLookedThroughPerTurn; ++at) {
    bytes += kBatchCost;
    if (at->second.live == nullptr) continue;
    bytes += at->second.live->answer_bytes();
    erase_from_answer(at->first, at->second);
  }
  erase_.next_batch = at == coordinated_.end() ? 0 : at->first;
  if (at == coordinated_.end()) look_through_segments();
}

void Home::look_through_segments() {
  for (const auto& [segment, bytes] : journal_.complete_segments()) {
    if (segment > erase_.last) break;
    // An address that lies across the border of two pieces is found in the first one.
    for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
      const uint64_t length =
          std::min<uint64_t>(kPieceBytes + queue::AddressFinder::kAddressBytesMax, bytes - at);
      reader_.want(segment,
                   {number_, segment, static_cast<uint32_t>(at), static_cast<uint32_t>(length)});
    }
  }
  erase_.stage = Erase::Stage::looking;
}

// A large spool takes its time: meanwhile checkpoints go on.
bool Home::erase_excludes_checkpoint() const {
  return erase_.stage != Erase::Stage::none && erase_.stage != Erase::Stage::looking;
}

// Which segments hold it, in whatever it may stand: entries, refusals, answers, replies. What
// cannot be read is taken to hold it.
void Home::look_for_address() {
  ExtentReader::Got got;
  for (size_t bytes = 0; bytes < kLookedThroughPerTurn;) {
    if (reader_.empty()) {
      if (checkpoint_.stage != Checkpoint::Stage::none) return;
      erase_.stage = Erase::Stage::choosing;
      break;
    }
    if (!reader_.next(got)) return;
    bytes += got.payload.size();
    const uint32_t segment = static_cast<uint32_t>(got.token);
    if (!journal_.complete_segments().contains(segment)) continue;  // it has gone meanwhile
    if (!got.status.ok() || erase_.finder.in(got.payload)) erase_.hits.insert(segment);
  }
  more_to_do_ = true;
}

// Extents and refusals that lie in these segments.
void Home::want_recipients() {
  more_to_do_ = true;
  const auto want = [this](Erase::Wanted wanted) {
    const uint64_t place = uint64_t{wanted.at.segment} << 32 | wanted.at.offset;
    if (erase_.hits.contains(wanted.at.segment)) erase_.wanted.emplace(place, wanted);
  };
  for (uint32_t left = kExtentsPerTurn; left > 0 && erase_.next_extent < extents_.size(); --left) {
    const uint32_t number = erase_.next_extent++;
    const Extent& extent = extents_[number];
    if (extent.live == 0 || extent.batch == nullptr || !extent.dormant.empty()) continue;
    want({number, extent.serial, 0, {number_, extent.segment, extent.offset, extent.bytes}});
  }
  if (erase_.next_extent < extents_.size()) return;
  auto at = coordinated_.lower_bound(erase_.next_batch);
  size_t bytes = 0;
  for (; at != coordinated_.end() && bytes < kLookedThroughPerTurn; ++at) {
    bytes += kBatchCost;
    if (at->second.live == nullptr) continue;
    if (const queue::LiveBatch::Locations refusals = at->second.live->refusals.load()) {
      for (const queue::Location& place : *refusals) want({0, 0, at->first, place});
    }
  }
  if (at != coordinated_.end()) {
    erase_.next_batch = at->first;
    return;
  }
  for (const auto& [place, wanted] : erase_.wanted) reader_.want(place, wanted.at);
  erase_.stage = Erase::Stage::reading;
}

void Home::find_recipients() {
  ExtentReader::Got got;
  for (size_t bytes = 0; bytes < kLookedThroughPerTurn;) {
    if (reader_.empty()) {
      erase_.stage = Erase::Stage::sweeping;
      more_to_do_ = true;
      return;
    }
    if (!journal_.has_room() || !reader_.next(got)) return;
    bytes += got.payload.size();
    find_in(erase_.wanted.at(got.token), got);
  }
  more_to_do_ = true;
}

// What cannot be read keeps nobody else from being forgotten; it is told in the end.
void Home::find_in(const Erase::Wanted& wanted, const ExtentReader::Got& got) {
  const auto batch = coordinated_.find(wanted.batch);
  const bool gone = wanted.batch == 0 ? extents_[wanted.extent].serial != wanted.serial
                                      : batch == coordinated_.end();
  if (gone) return;
  absl::Status done = got.status;
  if (done.ok() && wanted.batch != 0) {
    if (erase_.finder.in(got.payload))
      replace_refusals(wanted.batch, batch->second, wanted.at, erase_.finder.masked(got.payload));
  } else if (done.ok()) {
    done = find_in_extent(wanted, got.payload);
  }
  if (!done.ok()) erase_.trouble = std::move(done);
}

absl::Status Home::find_in_extent(const Erase::Wanted& wanted, std::string_view payload) {
  Erase::Found& found = erase_.found[wanted.extent];
  found.serial = wanted.serial;
  const uint32_t first_index = extents_[wanted.extent].first_index;
  for (uint32_t offset = queue::kExtentHeaderBytes; offset < payload.size();) {
    const absl::StatusOr<uint32_t> length = queue::page_length(payload, offset);
    if (!length.ok()) return length.status();
    const std::string_view page = payload.substr(offset, *length);
    offset += *length;
    if (!erase_.finder.in(page)) continue;
    if (absl::Status sound = queue::check_page(page); !sound.ok()) return sound;
    for (uint32_t at = queue::kPageHeaderBytes, next = 0; at != 0; at = next) {
      if (absl::Status read = queue::read_entry_head(page, at, entry_, next); !read.ok())
        return read;
      if (!erase_.finder.is(entry_.to)) continue;
      const auto& unread = extents_[wanted.extent].unread;
      if (unread != nullptr && unread->has(entry_.index - first_index))
        return absl::DataLossError("a recipient who waits could not be read at the start");
      found.ordinals.push_back(static_cast<uint16_t>(entry_.index - first_index));
    }
  }
  return absl::OkStatus();
}

void Home::cancel_found() {
  more_to_do_ = true;
  if (!erase_.found.empty() && erase_.slot != queue::kNoSlot) {
    erase_.slot = records_.visit(erase_.slot, shard_.settings.swept_per_turn, [&](uint32_t slot) {
      const Record& record = records_[slot];
      if ((record.flags & kRecordGone) != 0) return;
      const auto found = erase_.found.find(record.extent);
      if (found == erase_.found.end() || found->second.serial != extents_[record.extent].serial)
        return;
      const std::vector<uint16_t>& ordinals = found->second.ordinals;
      if (std::binary_search(ordinals.begin(), ordinals.end(), record.ordinal)) cancel(slot);
    });
    if (erase_.slot != queue::kNoSlot) return;
  }
  erase_.stage = Erase::Stage::in_flight;
}

// In whatever list it stands: there it is left, and recognised when it comes out.
void Home::cancel(uint32_t slot) {
  Record& record = records_[slot];
  const Extent& extent = extents_[record.extent];
  if (extent.batch == nullptr) return;
  if (record.state == RecordState::ticketed) {
    if ((record.flags & kRecordCancelled) != 0 ||
        io::is_planted(io::Planted::tickets_not_cancelled))
      return;
    record.flags |= kRecordCancelled;
    ++being_cancelled_;
    return;
  }
  if (held(record)) {
    extent.batch->tally.in_doubt_held.fetch_sub(1, std::memory_order_relaxed);
    record.flags = 0;
    return finish_cancelled(slot);
  }
  queue::Outcome outcome = cancelled_outcome(slot);
  settle_in_place(slot, outcome);
  ++erase_.cancelled;
}

void Home::finish_cancelled(uint32_t slot) {
  queue::Outcome outcome = cancelled_outcome(slot);
  finish(slot, outcome);
  ++erase_.cancelled;
}

queue::Outcome Home::cancelled_outcome(uint32_t slot) const {
  queue::Outcome outcome;
  outcome.type = queue::OutcomeType::cancelled;
  outcome.kind = static_cast<uint8_t>(smtp::Kind::other);
  outcome.rule = "operator";
  outcome.text = "cancelled by its address";
  place_of(slot, outcome);
  return outcome;
}

// Nobody is in it any more.
void Home::drop_gone(uint32_t slot) {
  own_expiry_.erase(slot);
  own_pool_.erase(slot);
  records_.release(slot);
}

// The answer that a feeder would get again, and the list of those refused.
void Home::erase_from_answer(uint64_t number, Coordinated& batch) {
  const std::shared_ptr<const std::string> answer = batch.live->answer_json.load();
  if (answer == nullptr || !erase_.finder.in(*answer)) return;
  const auto erased = std::make_shared<const std::string>(erase_.finder.masked(*answer));
  moving(batch).commit.answer_json = *erased;
  carry_known(number, batch, {},
              [erased](const queue::LiveBatch& live) { live.answer_json.store(erased); });
}

// Who is being sent to now comes back soon, and is cancelled then.
void Home::await_in_flight() {
  const bool long_enough = shard_.mono_ns - erase_.began_mono_ns >= kWaitForInFlightNs;
  if (being_cancelled_ > 0 && !long_enough) return;
  erase_.in_flight = being_cancelled_;
  append_outcomes();
  std::erase_if(erase_.hits, [this](uint32_t segment) {
    return !journal_.complete_segments().contains(segment);
  });
  if (!erase_.hits.empty()) {
    const queue::Erasure erasure{shard_.wall_ns + shard_.settings.erase_within_ns,
                                 {erase_.hits.begin(), erase_.hits.end()}};
    queue::encode_erasure(erasure, scratch_);
    journal_.append(FrameType::erasure, scratch_);
    note_erasure(erasure.segments, shard_.settings.erase_within_ns);
  }
  erase_.sequence = journal_.appended_sequence();
  erase_.stage = Erase::Stage::durable;
  urgent_flush_ = true;
}

void Home::end_erase(absl::Status status) {
  reader_.forget_wanted();
  for (const uint64_t token : erase_.tokens) {
    shard_.exchange.answers().answer_question(
        ErasureAnswer{token, status, erase_.cancelled, erase_.in_flight});
  }
  Erase next;
  next.asked = std::move(erase_.asked);
  next.to_empty = std::move(erase_.to_empty);
  next.hastened_mono_ns = erase_.hastened_mono_ns;
  next.began_mono_ns = erase_.began_mono_ns;
  next.passes = erase_.passes;
  erase_ = std::move(next);
}

// --- what must be gone in time ---

// They are emptied from half of the time on: several requests share the work.
void Home::note_erasure(const std::vector<uint32_t>& segments, int64_t left_ns) {
  const int64_t from =
      shard_.mono_ns + std::max<int64_t>(0, left_ns - shard_.settings.erase_within_ns / 2);
  for (const uint32_t segment : segments) {
    const auto [known, fresh] = erase_.to_empty.try_emplace(segment, from);
    if (fresh) Counters::add(shard_.counters.erasures_pending);
    if (!fresh) known->second = std::min(known->second, from);
  }
}

// As the journal has them: those of one time together.
std::vector<queue::Erasure> Home::erasures() const {
  if (io::is_planted(io::Planted::erasure_not_restated)) return {};
  std::map<int64_t, std::vector<uint32_t>> by_time;
  for (const auto& [segment, from] : erase_.to_empty) by_time[from].push_back(segment);
  std::vector<queue::Erasure> made;
  for (auto& [from, segments] : by_time) {
    const int64_t left_ns = from - shard_.mono_ns + shard_.settings.erase_within_ns / 2;
    made.push_back({shard_.wall_ns + left_ns, std::move(segments)});
  }
  return made;
}

// At a start. A wrong clock must not put it off.
void Home::erasures_found(const std::map<uint32_t, int64_t>& due_wall_ns) {
  for (const auto& [segment, due] : due_wall_ns) {
    if (!journal_.complete_segments().contains(segment)) continue;
    note_erasure({segment}, std::min(due - shard_.wall_ns, shard_.settings.erase_within_ns));
  }
}

bool Home::must_be_emptied(uint32_t segment) const {
  const auto found = erase_.to_empty.find(segment);
  return found != erase_.to_empty.end() && found->second <= shard_.mono_ns;
}

int64_t Home::hasten_ns() const {
  return std::max(kHastenNsMin, shard_.settings.erase_within_ns / kHastenParts);
}

// A segment goes when a checkpoint in a later one is complete, and a header names it. Without new
// mail no later one would come: so it is begun.
void Home::hasten_erasure() {
  if (erase_.to_empty.empty() || !writes_ || stopping_ || !loaded()) return;
  const bool any = std::any_of(erase_.to_empty.begin(), erase_.to_empty.end(),
                               [this](const auto& each) { return each.second <= shard_.mono_ns; });
  if (!any || shard_.mono_ns - erase_.hastened_mono_ns < hasten_ns()) return;
  if (checkpoint_.stage != Checkpoint::Stage::none || reclaim_.stage != Reclaim::Stage::none ||
      !removable_.empty() || journal_.losses_untold() || !journal_.has_space(1))
    return;
  erase_.hastened_mono_ns = shard_.mono_ns;
  if (journal_.current_segment() == journal_.checkpoint_segment()) journal_.end_segment();
  begin_checkpoint();
}

}  // namespace veredus
