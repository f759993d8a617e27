// Gives segment files back: those that nobody needs at once, those with little left in them after
// that was carried forward. Begins where a checkpoint has ended: from there on nothing older is
// replayed.

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/home.h"
#include "engine/io/kill_point.h"
#include "engine/io/planted.h"

namespace veredus {

using queue::FrameType;
using queue::Record;
using queue::RecordState;

namespace {

// Below this share of live bytes what waits in a segment is carried forward.
constexpr uint64_t kCarriedBelow = 4;  // a quarter

enum class Kind : uint8_t { extent, content, refusals };

}  // namespace

// Those of which nothing is needed. Beside what is being carried, if anything is.
void Home::find_removable() {
  const uint32_t keep_from = kept_from();
  removed_for_ = {keep_from, events_from_};
  removable_.clear();
  for (const auto& [segment, bytes] : journal_.complete_segments()) {
    if (segment >= keep_from) break;
    const auto use = uses_.find(segment);
    const auto content = checkpoint_.contents.find(segment);
    if (content != checkpoint_.contents.end() && content->second.bytes != 0) continue;
    if (use != uses_.end() &&
        (use->second.extents != 0 || use->second.last_outcome >= events_from()))
      continue;
    removable_.push_back(segment);
  }
  // Who left these is settled, but perhaps not durably yet.
  append_outcomes();
  removable_after_ = journal_.appended_sequence();
}

void Home::find_reclaimable() {
  const uint32_t keep_from = kept_from();
  reclaim_ = Reclaim{};
  find_removable();
  if (erase_.stage != Erase::Stage::none) return;  // that reads, too
  for (const auto& [segment, bytes] : journal_.complete_segments()) {
    if (segment >= keep_from) break;
    const auto found = uses_.find(segment);
    const SegmentUse use = found == uses_.end() ? SegmentUse{} : found->second;
    const auto content = checkpoint_.contents.find(segment);
    const uint64_t content_bytes =
        content == checkpoint_.contents.end() ? 0 : content->second.bytes;
    if (use.extents == 0 && content_bytes == 0) continue;
    if ((use.live_bytes + content_bytes) * kCarriedBelow < bytes || must_be_emptied(segment))
      reclaim_.segments.push_back(segment);
  }
  if (reclaim_.segments.empty()) return;
  reclaim_.stage = Reclaim::Stage::sweeping;
  for (const uint32_t segment : reclaim_.segments) {
    const auto content = checkpoint_.contents.find(segment);
    if (content == checkpoint_.contents.end()) continue;
    const std::vector<uint64_t>& batches = content->second.batches;
    reclaim_.batches.insert(reclaim_.batches.end(), batches.begin(), batches.end());
  }
}

void Home::remove_reclaimable() {
  if (removable_.empty() || journal_.durable_sequence() < removable_after_) return;
  // Its files are being looked through.
  if (erase_.stage != Erase::Stage::none) return;
  io::kill_point("segments_removable");
  for (const uint32_t segment : std::exchange(removable_, {})) {
    if (!journal_.complete_segments().contains(segment)) continue;
    const auto use = uses_.find(segment);
    if (use != uses_.end() && use->second.extents > 0) continue;
    // Events that are kept name recipients there.
    if (use != uses_.end() && use->second.last_outcome >= events_from()) continue;
    if (use != uses_.end()) uses_.erase(use);
    journal_.remove_segment(segment);
    Counters::add(shard_.counters.segments_removed);
  }
}

void Home::on_segment_removed(uint32_t segment, const absl::Status& status) {
  if (!status.ok()) return;  // it is tried again after the next checkpoint
  if (erase_.to_empty.erase(segment) > 0) Counters::take(shard_.counters.erasures_pending);
  for (unsigned shard = 0; shard < shard_.exchange.shards(); ++shard) {
    auto removed = std::make_unique<SegmentRemoved>();
    removed->journal = number_;
    removed->segment = segment;
    shard_.exchange.post(shard, std::move(removed));
  }
}

void Home::reclaim_some() {
  using Stage = Reclaim::Stage;
  remove_reclaimable();
  if (reclaim_.stage == Stage::none) return;
  if (stopping_) return give_up_carrying();
  switch (reclaim_.stage) {
    case Stage::none:
      return;
    case Stage::sweeping:
      return sweep_for_carrying();
    case Stage::carrying:
      return carry_some();
    case Stage::durable:
      if (io::is_planted(io::Planted::reclaim_early)) return remove_before_durable();
      if (!carried_.empty()) return;
      // What they held is elsewhere, durably.
      removable_.insert(removable_.end(), reclaim_.segments.begin(), reclaim_.segments.end());
      std::erase_if(removable_, [this](uint32_t segment) {
        const auto kept = reclaim_.contents_left.find(segment);
        return kept != reclaim_.contents_left.end() && kept->second > 0;
      });
      append_outcomes();
      removable_after_ = journal_.appended_sequence();
      reclaim_ = Reclaim{};
      return;
  }
}

// A planted defect.
void Home::remove_before_durable() {
  for (const uint32_t segment : reclaim_.segments) {
    if (journal_.complete_segments().contains(segment)) journal_.remove_segment(segment);
  }
  reclaim_ = Reclaim{};
}

// Those that are out with a lane stay: what the ticket names must be there. So do those that stand
// in their extent's list until they are woken.
bool Home::may_move(const Record& record) const {
  if ((record.flags & kRecordGone) != 0) return false;
  if (record.state == RecordState::dormant)
    return (record.flags & queue::kRecordInDoubt) != 0 && held(record);
  return record.state != RecordState::ticketed;
}

// Whose extents lie in a segment that is to be emptied.
void Home::sweep_for_carrying() {
  more_to_do_ = true;
  reclaim_.slot = records_.visit(reclaim_.slot, shard_.settings.swept_per_turn, [&](uint32_t slot) {
    const Record& record = records_[slot];
    if ((record.flags & kRecordGone) != 0) return;
    const Extent& extent = extents_[record.extent];
    if (record.state == RecordState::ticketed || extent.batch == nullptr ||
        extent.unread != nullptr || extent.damaged)
      return;
    if (std::binary_search(reclaim_.segments.begin(), reclaim_.segments.end(), extent.segment))
      reclaim_.slots[record.extent].push_back(slot);
  });
  if (reclaim_.slot != queue::kNoSlot) return;
  want_carried();
  reclaim_.stage = Reclaim::Stage::carrying;
}

void Home::want_carried() {
  std::vector<uint32_t> extents;
  for (const auto& [number, slots] : reclaim_.slots) extents.push_back(number);
  std::sort(extents.begin(), extents.end(), [this](uint32_t a, uint32_t b) {
    return std::pair(extents_[a].segment, extents_[a].offset) <
           std::pair(extents_[b].segment, extents_[b].offset);
  });
  const auto want = [this](Kind kind, uint64_t number, uint32_t serial, const queue::Location& at) {
    reclaim_.wanted.push_back({static_cast<uint8_t>(kind), number, serial, at});
    reader_.want(reclaim_.wanted.size() - 1, at);
  };
  for (const uint32_t number : extents) {
    const Extent& extent = extents_[number];
    want(Kind::extent, number, extent.serial,
         {number_, extent.segment, extent.offset, extent.bytes});
  }
  const auto in_them = [this](const queue::Location& at) {
    return std::binary_search(reclaim_.segments.begin(), reclaim_.segments.end(), at.segment);
  };
  std::sort(reclaim_.batches.begin(), reclaim_.batches.end());
  reclaim_.batches.erase(std::unique(reclaim_.batches.begin(), reclaim_.batches.end()),
                         reclaim_.batches.end());
  for (const uint64_t number : reclaim_.batches) {
    const auto found = coordinated_.find(number);
    if (found == coordinated_.end()) continue;
    Coordinated& batch = found->second;
    const queue::KnownBatch known = known_of(batch);
    const auto carry = [&](Kind kind, const queue::Location& at) {
      if (!in_them(at)) return;
      ++reclaim_.contents_left[at.segment];
      if (batch.live != nullptr) want(kind, number, 0, at);  // an upload's is left until it exists
    };
    if (needs_content(batch)) carry(Kind::content, known.batch.content);
    for (const queue::Location& at : known.refusals) carry(Kind::refusals, at);
  }
}

// A turn's share. Waits while the journal has no space beside what is kept for outcomes.
void Home::carry_some() {
  ExtentReader::Got got;
  for (uint64_t bytes = 0; bytes < kCarriedBytesPerTurn;) {
    const Reclaim::Wanted* const next =
        reader_.empty() ? nullptr : &reclaim_.wanted[reclaim_.taken];
    if (next == nullptr) {
      reclaim_.stage = Reclaim::Stage::durable;
      more_to_do_ = true;
      return;
    }
    if (journal_.losses_untold()) return;
    if (!journal_.has_room()) return;
    if (!journal_.has_space(next->at.length)) {
      if (journal_.at_bytes_max() || !journal_.healthy()) give_up_carrying();
      return;
    }
    if (!reader_.next(got)) return;
    assert(got.token == reclaim_.taken);
    ++reclaim_.taken;
    bytes += got.payload.size();
    switch (static_cast<Kind>(next->kind)) {
      case Kind::extent:
        carry_extent(*next, got);
        break;
      case Kind::content:
        carry_content(*next, got);
        break;
      case Kind::refusals:
        carry_refusals(*next, got);
        break;
    }
  }
  more_to_do_ = true;
}

// No further segment can be made: then room comes only from a checkpoint, and that must not wait
// for this. What was written counts; the rest is tried again after the next one.
void Home::give_up_carrying() {
  reader_.forget_wanted();
  reclaim_ = Reclaim{};
}

// The waiting recipients of an extent into a new one. They lie there when it is durable, not
// before: until then what becomes of them names the old place.
void Home::carry_extent(const Reclaim::Wanted& wanted, const ExtentReader::Got& got) {
  const uint32_t from = static_cast<uint32_t>(wanted.number);
  if (!got.status.ok()) return;  // it stays; tried again after the next checkpoint
  std::vector<std::pair<uint16_t, uint32_t>> waiting;  // ordinal, slot
  for (const uint32_t slot : reclaim_.slots[from]) {
    if (extents_[from].serial != wanted.serial || !still_in(slot, from)) continue;
    waiting.emplace_back(records_[slot].ordinal, slot);
  }
  if (waiting.empty()) return;
  std::sort(waiting.begin(), waiting.end());
  const Extent& extent = extents_[from];
  const uint32_t first_index = extent.first_index + waiting.front().first;
  queue::ExtentWriter writer(extent.number, first_index);
  Carried carried;
  uint32_t checked = 0;  // offset of the page that was checked last
  for (const auto& [ordinal, slot] : waiting) {
    const uint32_t offset = records_[slot].offset;
    const uint32_t page = extent.pages[page_at(extent, offset)];
    const absl::StatusOr<uint32_t> length = queue::page_length(got.payload, page);
    if (!length.ok()) return cannot_carry(from, length.status());
    const std::string_view bytes = got.payload.substr(page, *length);
    if (page != checked) {
      if (absl::Status sound = queue::check_page(bytes); !sound.ok())
        return cannot_carry(from, sound);
    }
    checked = page;
    uint32_t next = 0;
    if (absl::Status read = queue::read_entry(bytes, offset - page, entry_, next); !read.ok())
      return cannot_carry(from, read);
    if (entry_.index != extent.first_index + ordinal)
      return cannot_carry(from, absl::DataLossError("another recipient lies there"));
    const bool added = writer.add(entry_);
    assert(added && "within the span of the extent that it lay in");
    static_cast<void>(added);
    carried.moves.emplace_back(slot, ordinal);
  }
  const std::string payload = writer.finish(true);
  const queue::Appended appended = journal_.append(FrameType::extent, payload);
  carried.sequence = appended.sequence;
  carried.at = appended.location;
  carried.first_index = first_index;
  carried.from = from;
  carried.from_serial = wanted.serial;
  note_places(payload, carried);
  carried_.push_back(std::move(carried));
  Counters::add(shard_.counters.carried, waiting.size());
  io::kill_point("carried_written");
  if (io::is_planted(io::Planted::carried_early)) carried_durable(appended.sequence);
}

bool Home::still_in(uint32_t slot, uint32_t extent) {
  const Record* const record = records_.at(slot);
  return record != nullptr && record->extent == extent && may_move(*record);
}

// Where the entries of a new extent lie: in the order of its moves.
void Home::note_places(std::string_view payload, Carried& carried) {
  for (uint32_t offset = queue::kExtentHeaderBytes; offset < payload.size();) {
    const absl::StatusOr<queue::PageView> page = queue::read_page(payload, offset);
    assert(page.ok() && "we wrote it");
    carried.pages.push_back(offset);
    for (uint32_t at = queue::kPageHeaderBytes, next = 0; at != 0; at = next) {
      static_cast<void>(queue::read_entry_head(page->bytes, at, entry_, next));
      carried.places.push_back(offset + at);
    }
    offset += static_cast<uint32_t>(page->bytes.size());
  }
  assert(carried.places.size() == carried.moves.size());
}

// It stays where it is; whoever is sent from there will say so, too.
void Home::cannot_carry(uint32_t extent, const absl::Status& why) {
  extents_[extent].damaged = true;
  unreadable(extents_[extent], extents_[extent].live, std::string(why.message()));
}

void Home::carry_content(const Reclaim::Wanted& wanted, const ExtentReader::Got& got) {
  const auto found = coordinated_.find(wanted.number);
  if (!got.status.ok() || found == coordinated_.end()) return;
  const queue::Location at = journal_.append(FrameType::content, got.payload).location;
  moving(found->second).batch.content = at;
  carry_known(wanted.number, found->second, wanted.at,
              [at](const queue::LiveBatch& live) { live.content_moved(at.segment, at.offset); });
}

void Home::carry_refusals(const Reclaim::Wanted& wanted, const ExtentReader::Got& got) {
  const auto found = coordinated_.find(wanted.number);
  if (!got.status.ok() || found == coordinated_.end()) return;
  replace_refusals(wanted.number, found->second, wanted.at, got.payload);
}

void Home::replace_refusals(uint64_t number, Coordinated& batch, const queue::Location& from,
                            std::string_view payload) {
  const queue::Location at = journal_.append(FrameType::refusals, payload).location;
  const auto replace = [from, at](std::vector<queue::Location>& places) {
    std::replace(places.begin(), places.end(), from, at);
  };
  replace(moving(batch).refusals);
  carry_known(number, batch, from, [replace](const queue::LiveBatch& live) {
    auto places = std::make_shared<std::vector<queue::Location>>(*live.refusals.load());
    replace(*places);
    live.refusals.store(std::move(places));
  });
}

// What the journal is told of a batch while moves of it are under way: each of them says all.
queue::KnownBatch& Home::moving(Coordinated& batch) {
  if (batch.written == nullptr)
    batch.written = std::make_unique<queue::KnownBatch>(known_of(batch));
  return *batch.written;
}

void Home::carry_known(uint64_t number, Coordinated& batch, const queue::Location& from,
                       std::function<void(const queue::LiveBatch&)> apply) {
  queue::encode_checkpoint_batch(*batch.written, scratch_);
  ++batch.moves;
  Carried carried;
  carried.sequence = journal_.append(FrameType::checkpoint, scratch_).sequence;
  carried.at = from;
  carried.batch = number;
  carried.apply = std::move(apply);
  carried_.push_back(std::move(carried));
}

void Home::carried_durable(uint64_t sequence) {
  while (!carried_.empty() && carried_.front().sequence <= sequence) {
    const Carried carried = std::move(carried_.front());
    carried_.pop_front();
    io::kill_point("carried_durable");
    if (!carried.apply) {
      move_recipients(carried);
      continue;
    }
    const auto left = reclaim_.contents_left.find(carried.at.segment);
    if (left != reclaim_.contents_left.end()) --left->second;
    const auto found = coordinated_.find(carried.batch);
    if (found == coordinated_.end()) continue;
    carried.apply(*found->second.live);
    if (--found->second.moves == 0) found->second.written.reset();
  }
}

// A new epoch voids it: everything is where it was.
void Home::carried_lost(uint64_t sequence) {
  const auto each_batch = [this](const Carried& carried, auto&& act) {
    const auto found = coordinated_.find(carried.batch);
    if (carried.apply && found != coordinated_.end()) act(found->second);
  };
  for (const Carried& carried : carried_)
    each_batch(carried, [](Coordinated& batch) { batch.moves = 0; });
  std::erase_if(carried_, [&](const Carried& carried) { return carried.sequence <= sequence; });
  for (const Carried& carried : carried_)
    each_batch(carried, [](Coordinated& batch) { ++batch.moves; });
  for (auto& [number, batch] : coordinated_) {
    if (batch.moves == 0) batch.written.reset();
  }
}

// Those that are still where they were. Who is out with a ticket stays there, in memory: the
// journal has it at the new place already, and looks there too.
void Home::move_recipients(const Carried& carried) {
  if (extents_[carried.from].serial != carried.from_serial) return;
  const std::shared_ptr<const queue::LiveBatch> batch = extents_[carried.from].batch;
  const uint32_t number = new_extent(carried.at, batch->batch.number, carried.first_index);
  Extent& extent = extents_[number];
  const Extent& from = extents_[carried.from];
  extent.batch = batch;
  extent.bytes_each = extent.bytes / static_cast<uint32_t>(carried.moves.size());
  extent.pages = carried.pages;
  extent.pages_known();
  const uint32_t ahead = carried.first_index - from.first_index;
  for (size_t i = 0; i < carried.moves.size(); ++i) {
    const auto [slot, ordinal] = carried.moves[i];
    if (extents_[carried.from].serial != carried.from_serial) break;
    if (!still_in(slot, carried.from) || records_[slot].ordinal != ordinal) continue;
    Record& record = records_[slot];
    record.extent = number;
    record.offset = carried.places[i];
    record.ordinal = static_cast<uint16_t>(ordinal - ahead);
    ++extent.live;
    extent.use->live_bytes += extent.bytes_each;
    leave_extent(carried.from);
  }
  if (extent.live == 0) free_extent(number);
}

}  // namespace veredus
