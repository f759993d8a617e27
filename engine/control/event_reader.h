#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "engine/control/engine_view.h"
#include "engine/control/event_cursor.h"
#include "engine/control/event_filter.h"
#include "engine/control/page_cache.h"
#include "engine/mail/template.h"
#include "queue/batch.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/outcome.h"

namespace veredus::control {

// The events of all journals as JSON lines, read from the journals themselves, never beyond what is
// durable.
//
// A stream is a journal; its events are numbered from 1 without gaps, by what the journal holds and
// nothing else. The `accepted` events of a batch belong to the stream that holds its commit, in the
// order of their indexes; an outcome belongs to the stream of the recipient's home; an operator's
// order is an event of every stream, when it is given and when it ends there. Between streams
// there is no order. What is not there any more, or cannot be read, leaves a hole in `seq` and a
// `gap` event that says from where to where. The numbers are the journal's own: a reader that
// begins in the middle, or comes to a hole, takes them from the header of the next segment.
//
// Blocking reads, on one thread, in bounded pieces: each call of read() looks at a bounded amount
// and comes back.
class EventReader {
 public:
  // `view` outlives the reader.
  EventReader(EngineView& view, std::string node, EventFilter filter);
  ~EventReader();

  // Goes on behind a cursor; before the first read().
  absl::Status seek(const EventCursor& cursor);

  enum class Result : uint8_t { more, end };
  // Appends at most `events_max` events, and stops soon after `bytes_max` bytes, adding to
  // `events`. `end`: all that is durable by now has been read. A failed read of a journal is an
  // error; calling again goes on at the same place.
  absl::StatusOr<Result> read(std::string& out, size_t bytes_max, uint64_t events_max,
                              uint64_t& events);
  EventCursor cursor() const;

 private:
  static constexpr unsigned kFramesPerRead = 256;
  static constexpr size_t kPendingMax = 2048;               // uncommitted batches remembered
  static constexpr size_t kPendingAhead = kPendingMax / 2;  // nothing is looked for further ahead
  static constexpr size_t kBatchesMax = 1024;               // batch lines remembered
  static constexpr size_t kPageCacheBytes = 8u << 20;

  struct Stream;
  struct Pending;
  struct OpenCommit;
  struct Output;

  absl::StatusOr<bool> next_frame(Stream& stream, Output& output);
  void begin_where_kept(Stream& stream) const;
  absl::StatusOr<bool> count_from(Stream& stream, uint32_t segment, Output& output);
  absl::Status begin_commit(Stream& stream, const queue::Commit& commit);
  void give_gap(Stream& stream, uint64_t events, std::string_view reason, Output& output);
  absl::Status look_back(Stream& stream, const FramePlace& from, const EventCursor& cursor);
  void collect(unsigned stream, const FramePlace& place, queue::FrameType type,
               const queue::Location& location, std::string_view payload);
  absl::StatusOr<bool> gather_extents(Stream& stream, const queue::Commit& commit);
  absl::StatusOr<bool> scan_ahead(Stream& stream, const queue::Commit& commit);
  absl::StatusOr<bool> emit_commit(Stream& stream, Output& output);
  absl::StatusOr<bool> emit_outcomes(Stream& stream, Output& output);
  bool emit_order(Stream& stream, Output& output);
  absl::Status open_page(OpenCommit& open);
  void end_run(Stream& stream);
  absl::Status skip_within(Stream& stream);
  void finish_frame(Stream& stream);
  void drop_dead();

  Pending& pending(uint64_t number);
  std::shared_ptr<const queue::Batch> batch_of(uint64_t number);
  std::string_view sender_of(const queue::Batch* batch, const queue::Entry& entry);

  EngineView& view_;
  const std::string node_;
  const EventFilter filter_;
  std::vector<std::unique_ptr<Stream>> streams_;
  size_t turn_ = 0;                                       // the stream that comes next
  std::map<uint64_t, std::unique_ptr<Pending>> pending_;  // by batch number, not committed yet
  absl::flat_hash_set<uint64_t> aborted_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<const queue::Batch>> batches_;
  std::unique_ptr<PageCache> pages_;
  const mail::RenderSettings render_;
  mail::Renderer renderer_{render_};  // for senders with slots
  queue::Entry entry_;
  std::string sender_;
};

}  // namespace veredus::control
