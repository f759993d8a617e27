#include "engine/control/event_reader.h"

#include <algorithm>
#include <cassert>

#include "engine/control/event_line.h"
#include "queue/bytes.h"

namespace veredus::control {
namespace {

constexpr std::string_view kNotKept = "these events are not kept any more";

using queue::FrameType;
using queue::JournalReader;

FramePlace place_of(const JournalReader::Position& at) {
  return {at.segment, at.offset, at.frame};
}
JournalReader::Position position_of(const FramePlace& at) {
  return {at.segment, at.offset, at.frame};
}

}  // namespace

// A batch whose commit has not been given yet: where its recipients lie.
struct EventReader::Pending {
  struct Run {
    queue::Location at;  // of the extent
    uint32_t first_index = 0;
    uint32_t count = 0;
    bool missing = false;  // they lie nowhere any more
  };
  std::vector<Run> runs;
  std::vector<std::pair<unsigned, FramePlace>> begins;  // its first frame in each stream
};

// A commit that is being given: one event for each recipient of the batch.
struct EventReader::OpenCommit {
  uint64_t number = 0;
  std::shared_ptr<const queue::Batch> batch;
  std::vector<Pending::Run> runs;
  size_t run = 0;
  uint32_t given_of_run = 0;
  uint32_t page_offset = queue::kExtentHeaderBytes;  // within the extent
  uint32_t entry_offset = 0;                         // within the page; 0: the page is not open
  PageCache::Bytes page;
};

struct EventReader::Stream {
  Stream(queue::Disk& disk, unsigned number, const std::string& directory)
      : id(number),
        frames(disk, static_cast<uint16_t>(number), directory),
        aside(disk, static_cast<uint16_t>(number), directory) {}

  const unsigned id;
  JournalReader frames;  // what is given; its payload stays while a frame is open
  JournalReader aside;   // looking ahead, and pages
  StreamCursor cursor;
  FramePlace after;    // behind the open frame
  FramePlace scanned;  // batches and extents of all frames before it are in pending_
  FrameType type{};
  std::string_view payload;
  bool open = false;
  bool began = false;  // the open frame: its reader below is set
  std::unique_ptr<OpenCommit> commit;
  std::unique_ptr<queue::OutcomeReader> outcomes;
};

struct EventReader::Output {
  std::string& out;
  const size_t bytes_max;
  uint64_t events_left;
  uint64_t& events;
  bool full() const { return events_left == 0 || out.size() >= bytes_max; }
  void gave_one() {
    --events_left;
    ++events;
  }
};

EventReader::EventReader(EngineView& view, std::string node, EventFilter filter)
    : view_(view),
      node_(std::move(node)),
      filter_(std::move(filter)),
      pages_(std::make_unique<PageCache>(kPageCacheBytes)) {
  for (unsigned journal = 0; journal < view_.journals(); ++journal) {
    streams_.push_back(
        std::make_unique<Stream>(view_.disk(), journal, view_.journal_directory(journal)));
  }
}

EventReader::~EventReader() = default;

absl::Status EventReader::seek(const EventCursor& cursor) {
  if (cursor.streams.size() > streams_.size()) {
    return absl::InvalidArgumentError("this cursor is of another spool: it knows of " +
                                      std::to_string(cursor.streams.size()) +
                                      " streams, here are " + std::to_string(streams_.size()));
  }
  for (size_t i = 0; i < cursor.streams.size(); ++i) {
    Stream& stream = *streams_[i];
    stream.cursor = cursor.streams[i];
    stream.scanned = stream.cursor.next;
    if (absl::Status status = look_back(stream, stream.cursor.back, cursor); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

// Finds again where the recipients of uncommitted batches lie that the reader before us had passed.
absl::Status EventReader::look_back(Stream& stream, const FramePlace& from,
                                    const EventCursor& cursor) {
  const queue::Location end = view_.durable_end(stream.id);
  JournalReader::Position position = position_of(from);
  while (place_of(position) < stream.cursor.next) {
    const FramePlace place = place_of(position);
    FrameType type{};
    queue::Location location;
    std::string_view payload;
    const absl::StatusOr<bool> got = stream.aside.next(position, end, type, location, payload);
    if (absl::IsDataLoss(got.status())) continue;  // told when it was first come upon
    if (!got.ok()) return got.status();
    if (!*got) break;
    if (type == FrameType::extent) {
      const absl::StatusOr<queue::ExtentHeader> header = queue::read_extent_header(payload);
      const bool ours = header.ok() && std::binary_search(cursor.pending.begin(),
                                                          cursor.pending.end(), header->batch);
      if (!ours) continue;
    }
    collect(stream.id, place, type, location, payload);
  }
  return absl::OkStatus();
}

EventReader::Pending& EventReader::pending(uint64_t number) {
  std::unique_ptr<Pending>& known = pending_[number];
  if (known == nullptr) known = std::make_unique<Pending>();
  return *known;
}

// Notes what a frame says of batches that are not committed yet.
void EventReader::collect(unsigned stream, const FramePlace& place, FrameType type,
                          const queue::Location& location, std::string_view payload) {
  switch (type) {
    case FrameType::batch: {
      absl::StatusOr<queue::Batch> batch = queue::decode_batch(payload);
      if (!batch.ok()) return;
      if (batches_.size() >= kBatchesMax) batches_.clear();
      batches_[batch->number] = std::make_shared<const queue::Batch>(*std::move(batch));
      return;
    }
    case FrameType::extent: {
      const absl::StatusOr<queue::ExtentHeader> header = queue::read_extent_header(payload);
      // Carried ones were in another extent before, and their batch is committed.
      if (!header.ok() || header->carried || aborted_.contains(header->batch)) return;
      Pending& of = pending(header->batch);
      of.runs.push_back({location, header->first_index, header->count});
      const auto begun = std::find_if(of.begins.begin(), of.begins.end(),
                                      [stream](const auto& b) { return b.first == stream; });
      if (begun == of.begins.end()) of.begins.emplace_back(stream, place);
      if (pending_.size() > kPendingMax) pending_.erase(pending_.begin());
      return;
    }
    case FrameType::abort: {
      queue::ByteReader in(payload);
      const uint64_t number = in.u64();
      if (!in.ok()) return;
      pending_.erase(number);
      // Extents of it may come up in other streams.
      if (aborted_.size() >= kPendingMax) aborted_.clear();
      aborted_.insert(number);
      return;
    }
    case FrameType::content:
    case FrameType::commit:
    case FrameType::outcomes:
    case FrameType::witness:
    case FrameType::refusals:
    case FrameType::checkpoint:
    case FrameType::forgotten:
    case FrameType::consumer:
    case FrameType::erasure:
    case FrameType::order:
      return;
  }
}

// Before that some segments are gone.
void EventReader::begin_where_kept(Stream& stream) const {
  const FramePlace kept{view_.events_from(stream.id), 0, 0};
  stream.scanned = std::max(stream.scanned, kept);
  if (stream.cursor.next >= kept) return;
  stream.cursor.next = kept;
  stream.cursor.within = 0;
}

// The next `events` of the stream cannot be given.
void EventReader::give_gap(Stream& stream, uint64_t events, std::string_view reason,
                           Output& output) {
  const uint64_t from = stream.cursor.seq + 1;
  stream.cursor.seq += events;
  append_gap({node_, stream.id, stream.cursor.seq}, from, reason, output.out);
  output.gave_one();
}

// At the beginning of a segment: its header says how many events lie before it. True: that is more
// than were given, and a gap was told.
absl::StatusOr<bool> EventReader::count_from(Stream& stream, uint32_t segment, Output& output) {
  const absl::StatusOr<uint64_t> before = stream.aside.events_before(segment);
  if (absl::IsNotFound(before.status()) || absl::IsDataLoss(before.status())) return false;
  if (!before.ok()) return before.status();
  if (*before <= stream.cursor.seq) return false;
  give_gap(stream, *before - stream.cursor.seq, kNotKept, output);
  stream.cursor.next = {segment, 0, 0};
  stream.cursor.within = 0;
  stream.scanned = std::max(stream.scanned, stream.cursor.next);
  return true;
}

absl::StatusOr<bool> EventReader::next_frame(Stream& stream, Output& output) {
  const queue::Location end = view_.durable_end(stream.id);
  begin_where_kept(stream);
  JournalReader::Position position = position_of(stream.cursor.next);
  queue::Location location;
  const absl::StatusOr<bool> got =
      stream.frames.next(position, end, stream.type, location, stream.payload);
  const bool new_segment =
      stream.cursor.next.offset == 0 || position.segment != stream.cursor.next.segment;
  if (absl::IsDataLoss(got.status())) {
    // How many events are gone nobody can say before the next segment; the numbers go on.
    append_gap({node_, stream.id, stream.cursor.seq}, 0, std::string(got.status().message()),
               output.out);
    output.gave_one();
    stream.cursor.next = new_segment ? FramePlace{position.segment, 0, 0} : place_of(position);
    stream.cursor.within = 0;
    stream.scanned = std::max(stream.scanned, stream.cursor.next);
    return true;
  }
  if (!got.ok()) return got.status();
  if (!*got) return false;
  if (new_segment) {
    const absl::StatusOr<bool> gap = count_from(stream, position.segment, output);
    if (!gap.ok() || *gap) return gap;
    if (position.segment != stream.cursor.next.segment) stream.cursor.within = 0;
  }
  stream.after = place_of(position);
  if (stream.cursor.next >= stream.scanned) {
    collect(stream.id, stream.cursor.next, stream.type, location, stream.payload);
    stream.scanned = stream.after;
  }
  stream.open = true;
  stream.began = false;
  return true;
}

void EventReader::finish_frame(Stream& stream) {
  stream.cursor.next = stream.after;
  stream.cursor.within = 0;
  stream.open = false;
  stream.commit.reset();
  stream.outcomes.reset();
}

absl::StatusOr<EventReader::Result> EventReader::read(std::string& out, size_t bytes_max,
                                                      uint64_t events_max, uint64_t& events) {
  Output output{out, bytes_max, events_max, events};
  unsigned ended = 0;
  for (unsigned frames = 0; frames < kFramesPerRead && !output.full(); ++frames) {
    if (ended == streams_.size()) {
      drop_dead();
      return Result::end;
    }
    Stream& stream = *streams_[turn_];
    if (!stream.open) {
      const absl::StatusOr<bool> got = next_frame(stream, output);
      if (!got.ok()) return got.status();
      if (!*got) {
        ++ended;
        turn_ = (turn_ + 1) % streams_.size();
        continue;
      }
      if (!stream.open) continue;  // a gap
    }
    ended = 0;
    absl::StatusOr<bool> done = true;
    if (stream.type == FrameType::commit) done = emit_commit(stream, output);
    if (stream.type == FrameType::outcomes) done = emit_outcomes(stream, output);
    if (stream.type == FrameType::order) done = emit_order(stream, output);
    if (!done.ok()) return done.status();
    if (!*done) return Result::more;
    finish_frame(stream);
    turn_ = (turn_ + 1) % streams_.size();
  }
  return Result::more;
}

// Everything durable has been read. A batch of an earlier run that is still without a commit will
// never have one.
void EventReader::drop_dead() {
  pending_.erase(pending_.begin(), pending_.lower_bound(view_.first_batch_of_run()));
}

EventCursor EventReader::cursor() const {
  EventCursor cursor;
  for (const auto& stream : streams_) {
    cursor.streams.push_back(stream->cursor);
    cursor.streams.back().back = stream->cursor.next;
  }
  for (const auto& [number, of] : pending_) {
    bool passed = false;
    for (const auto& [stream, place] : of->begins) {
      StreamCursor& at = cursor.streams[stream];
      passed = passed || place < at.next;
      at.back = std::min(at.back, place);
    }
    if (passed) cursor.pending.push_back(number);
  }
  return cursor;
}

std::shared_ptr<const queue::Batch> EventReader::batch_of(uint64_t number) {
  if (const auto found = batches_.find(number); found != batches_.end()) return found->second;
  const std::shared_ptr<const queue::LiveBatch> live = view_.find_batch(number);
  if (live == nullptr) return nullptr;
  return {live, &live->batch};
}

std::string_view EventReader::sender_of(const queue::Batch* batch, const queue::Entry& entry) {
  if (batch == nullptr) return entry.sender;
  // One that cannot be made was never sent, either.
  if (!renderer_.reverse_path(*batch, entry, sender_).ok()) return batch->sender;
  return sender_;
}

// --- accepted -----------------------------------------------------------------------------------

// True: all extents of the batch are known, or what is missing is in no journal (damage).
absl::StatusOr<bool> EventReader::gather_extents(Stream& stream, const queue::Commit& commit) {
  if (const auto of = pending_.find(commit.number);
      of != pending_.end() && of->second->runs.size() >= commit.extents) {
    return true;
  }
  return scan_ahead(stream, commit);
}

absl::StatusOr<bool> EventReader::scan_ahead(Stream& stream, const queue::Commit& commit) {
  unsigned frames = 0;
  for (const auto& other : streams_) {
    if (other->id == stream.id) continue;
    // What is ahead would push out what is next.
    if (pending_.size() >= kPendingAhead) return true;
    const FramePlace kept{view_.events_from(other->id), 0, 0};
    other->scanned = std::max(other->scanned, kept);
    // Later than the commit, so it covers every extent of the batch.
    const queue::Location end = view_.durable_end(other->id);
    JournalReader::Position position = position_of(other->scanned);
    for (;;) {
      if (++frames > kFramesPerRead) return false;
      const FramePlace place = place_of(position);
      FrameType type{};
      queue::Location location;
      std::string_view payload;
      const absl::StatusOr<bool> got = other->aside.next(position, end, type, location, payload);
      if (absl::IsDataLoss(got.status())) continue;  // told when its turn comes
      if (!got.ok()) return got.status();
      if (!*got) break;
      collect(other->id, place, type, location, payload);
      other->scanned = place_of(position);
      const auto of = pending_.find(commit.number);
      if (of != pending_.end() && of->second->runs.size() >= commit.extents) return true;
    }
  }
  return true;
}

absl::Status EventReader::open_page(OpenCommit& open) {
  const Pending::Run& run = open.runs[open.run];
  queue::Location at = run.at;
  if (open.page_offset + queue::kPageHeaderBytes > at.length) {
    return absl::DataLossError("extent with fewer recipients than it says");
  }
  at.offset += open.page_offset;
  at.length -= open.page_offset;
  absl::StatusOr<PageCache::Bytes> page = pages_->get(streams_[at.journal]->aside, at);
  if (!page.ok()) return page.status();
  open.page = *std::move(page);
  open.entry_offset = queue::kPageHeaderBytes;
  return absl::OkStatus();
}

void EventReader::end_run(Stream& stream) {
  OpenCommit& open = *stream.commit;
  ++open.run;
  open.given_of_run = 0;
  open.page_offset = queue::kExtentHeaderBytes;
  open.entry_offset = 0;
}

// After seek(): what was given of this commit before.
absl::Status EventReader::skip_within(Stream& stream) {
  OpenCommit& open = *stream.commit;
  uint32_t left = stream.cursor.within;
  while (open.run < open.runs.size() && left >= open.runs[open.run].count) {
    left -= open.runs[open.run++].count;
  }
  if (open.run == open.runs.size()) return absl::OkStatus();
  if (open.runs[open.run].missing) {
    open.given_of_run = left;
    return absl::OkStatus();
  }
  while (left > 0) {
    if (absl::Status status = open_page(open); !status.ok()) return status;
    const uint32_t in_page = queue::load_number<uint32_t>(open.page->data() + 12);
    if (in_page <= left) {
      left -= in_page;
      open.given_of_run += in_page;
      open.page_offset += static_cast<uint32_t>(open.page->size());
      open.entry_offset = 0;
      continue;
    }
    for (; left > 0; --left, ++open.given_of_run) {
      uint32_t next = 0;
      if (absl::Status status = queue::read_entry_head(*open.page, open.entry_offset, entry_, next);
          !status.ok()) {
        return status;
      }
      open.entry_offset = next;
    }
  }
  return absl::OkStatus();
}

// Its recipients in the order of their indexes. Where extents are gone, the others' numbers are
// known only if no line was refused: then a recipient's index is its place. Else all of it is gone.
absl::Status EventReader::begin_commit(Stream& stream, const queue::Commit& commit) {
  stream.commit = std::make_unique<OpenCommit>();
  OpenCommit& open = *stream.commit;
  open.number = commit.number;
  open.batch = batch_of(commit.number);
  std::vector<Pending::Run> found = pending(commit.number).runs;
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first_index < b.first_index; });
  uint64_t known = 0;
  for (const Pending::Run& run : found) known += run.count;
  if (known == commit.accepted) {
    open.runs = std::move(found);
  } else {
    const auto lack = [&open](uint32_t from, uint32_t to) {
      if (from < to) open.runs.push_back({{}, from, to - from, true});
    };
    uint32_t behind = 0;
    for (const Pending::Run& run : found) {
      const bool fits =
          run.first_index >= behind && run.first_index + uint64_t{run.count} <= commit.accepted;
      if (commit.refused > 0 || !fits) continue;
      lack(behind, run.first_index);
      open.runs.push_back(run);
      behind = run.first_index + run.count;
    }
    lack(behind, commit.accepted);
  }
  stream.began = true;
  const absl::Status skipped = skip_within(stream);
  if (skipped.ok()) return skipped;
  if (absl::IsUnavailable(skipped)) {
    stream.began = false;
    return skipped;
  }
  uint32_t before = 0;
  for (size_t run = 0; run < open.run; ++run) before += open.runs[run].count;
  open.given_of_run = stream.cursor.within - before;
  open.runs[open.run].missing = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> EventReader::emit_commit(Stream& stream, Output& output) {
  if (!stream.began) {
    const absl::StatusOr<queue::Commit> commit = queue::decode_commit(stream.payload);
    if (!commit.ok()) return true;  // recovery has raised the alarm
    const absl::StatusOr<bool> gathered = gather_extents(stream, *commit);
    if (!gathered.ok() || !*gathered) return gathered;
    if (absl::Status begun = begin_commit(stream, *commit); !begun.ok()) return begun;
  }
  OpenCommit& open = *stream.commit;
  const queue::Batch* batch = open.batch.get();
  const bool show = filter_.takes(batch, "accepted");
  while (open.run < open.runs.size()) {
    Pending::Run& run = open.runs[open.run];
    const uint32_t left = run.count - open.given_of_run;
    if (!show || left == 0) {
      stream.cursor.seq += left;
      stream.cursor.within += left;
      end_run(stream);
      continue;
    }
    if (output.full()) return false;
    uint32_t next = 0;
    if (!run.missing && open.entry_offset == 0) {
      const absl::Status opened = open_page(open);
      if (absl::IsUnavailable(opened)) return opened;
      run.missing = !opened.ok();
    }
    if (!run.missing)
      run.missing = !queue::read_entry(*open.page, open.entry_offset, entry_, next).ok();
    if (run.missing) {
      give_gap(stream, left, "these recipients cannot be read any more", output);
      stream.cursor.within += left;
      end_run(stream);
      continue;
    }
    ++stream.cursor.seq;
    ++stream.cursor.within;
    ++open.given_of_run;
    append_accepted({node_, stream.id, stream.cursor.seq}, batch, entry_, sender_of(batch, entry_),
                    output.out);
    output.gave_one();
    open.entry_offset = next;
    if (next == 0) open.page_offset += static_cast<uint32_t>(open.page->size());
  }
  pending_.erase(open.number);
  return true;
}

// --- orders -------------------------------------------------------------------------------------

// One event, whatever it holds: so it was counted.
bool EventReader::emit_order(Stream& stream, Output& output) {
  if (output.full()) return false;
  const absl::StatusOr<queue::Order> order = queue::decode_order(stream.payload);
  if (!order.ok()) {
    give_gap(stream, queue::kEventsOfOrder, "an order that cannot be read", output);
    return true;
  }
  stream.cursor.seq += queue::kEventsOfOrder;
  if (!filter_.takes(*order)) return true;
  append_order({node_, stream.id, stream.cursor.seq}, *order, output.out);
  output.gave_one();
  return true;
}

// --- outcomes -----------------------------------------------------------------------------------

absl::StatusOr<bool> EventReader::emit_outcomes(Stream& stream, Output& output) {
  queue::Outcome outcome;
  if (!stream.began) {
    stream.outcomes = std::make_unique<queue::OutcomeReader>(stream.payload);
    for (uint32_t i = 0; i < stream.cursor.within; ++i) {
      if (!stream.outcomes->next(outcome)) break;
    }
    stream.began = true;
  }
  for (;;) {
    if (output.full()) return false;
    if (!stream.outcomes->next(outcome)) return true;  // the end, or damage: recovery has told
    const std::shared_ptr<const queue::Batch> batch = batch_of(outcome.batch);
    ++stream.cursor.seq;
    ++stream.cursor.within;
    if (!filter_.takes(batch.get(), type_name(outcome.type))) continue;
    const queue::Location at{static_cast<uint16_t>(stream.id), outcome.segment, outcome.page_offset,
                             0};
    const queue::Entry* entry = nullptr;
    uint32_t next = 0;
    const absl::StatusOr<PageCache::Bytes> page = pages_->get(stream.aside, at);
    if (absl::IsUnavailable(page.status())) {  // once more, when it is asked for again
      --stream.cursor.seq;
      --stream.cursor.within;
      stream.began = false;
      return page.status();
    }
    if (page.ok() && queue::read_entry(**page, outcome.entry_offset, entry_, next).ok() &&
        entry_.index == outcome.index) {
      entry = &entry_;
    }
    append_outcome({node_, stream.id, stream.cursor.seq}, batch.get(), entry,
                   entry == nullptr ? std::string_view() : sender_of(batch.get(), *entry), outcome,
                   output.out);
    output.gave_one();
  }
}

}  // namespace veredus::control
