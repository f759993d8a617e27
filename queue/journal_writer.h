#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "queue/journal.h"
#include "queue/journal_format.h"
#include "queue/planted.h"

namespace veredus::queue {

// The writer. Groups wait in `groups_` in the order of their sequence, each with its place; the
// front one goes through the steps: header of its segment if it is the first there, write, sync.
// One step is under way at a time. Segments are made (zeroed) beside that, by operations of their
// own.
class Journal::Impl {
 public:
  Impl(Disk& disk, JournalListener& listener, uint16_t id, std::string directory,
       JournalOptions options)
      : disk_(disk),
        listener_(listener),
        id_(id),
        directory_(std::move(directory)),
        options_(options) {}

  absl::StatusOr<Recovered> recover(JournalVisitor& visitor);
  void start();
  Appended append(FrameType type, std::span<const std::string_view> parts, uint32_t events);
  CheckpointPlace append_checkpoint_begin(std::string_view payload);
  void checkpoint_complete(const CheckpointPlace& place);
  void remove_segment(uint32_t segment);
  void end_segment();
  void flush();
  void close();

  void try_again() { wait_ = 0; }
  bool has_room() const { return gathered_ < options_.buffered_bytes; }
  bool has_space(uint64_t bytes) const;
  bool at_bytes_max() const;
  bool beyond_bytes_max(uint64_t bytes) const;
  bool healthy() const { return healthy_; }
  bool losses_untold() const { return !lost_.empty(); }
  bool idle() const {
    return groups_.empty() && lost_.empty() && step_ == Step::none && creating_ == nullptr &&
           removing_.empty();
  }
  uint64_t durable_sequence() const { return durable_; }
  uint64_t appended_sequence() const { return groups_.empty() ? durable_ : next_sequence_ - 1; }
  uint64_t appended_bytes() const { return appended_bytes_; }
  uint64_t file_bytes() const { return file_bytes_; }
  uint32_t needed_from() const {
    if (is_planted(Planted::needed_from_last)) return checkpoint_.segment;
    // A start begins where the last durable header says, whatever was completed since.
    return std::min(checkpoint_before_.segment, headed_checkpoint_.segment);
  }
  uint32_t checkpoint_segment() const { return checkpoint_.segment; }
  uint32_t current_segment() const { return place_segment_->number; }
  const std::map<uint32_t, uint64_t>& complete_segments() const { return complete_; }
  uint64_t durable_events() const { return events_; }
  Location durable_end() const { return durable_end_; }
  uint16_t id() const { return id_; }

 private:
  // A file in the making or in use.
  struct Segment : DiskOperation {
    explicit Segment(Impl& the_journal) : journal(the_journal) {}
    void on_disk_done(int64_t result) override {
      removed ? journal.segment_removed(*this, result) : journal.segment_made(*this, result);
    }
    Impl& journal;
    uint32_t number = 0;
    uint64_t bytes = 0;
    uint64_t bytes_asked = 0;  // of the create under way
    Disk::File file = -1;      // -1: to be made
    bool headed = false;       // its header is durable, or on its way
    bool needed = false;       // holds a durable group
    bool removed = false;
  };
  struct Group {
    uint64_t sequence = 0;
    Segment* segment = nullptr;
    uint32_t offset = 0;
    uint32_t end = 0;  // once closed: offset of the next one
    uint32_t frames = 0;
    bool closed = false;
    std::string bytes;
    uint64_t gathered = 0;  // bytes of frames
    uint32_t events = 0;
  };
  enum class Step : uint8_t { none, header_write, header_sync, group_write, group_sync };
  struct StepOperation : DiskOperation {
    explicit StepOperation(Impl& the_journal) : journal(the_journal) {}
    void on_disk_done(int64_t result) override { journal.step_done(result); }
    Impl& journal;
  };

  Group& group_for(uint64_t frame_bytes);
  void next_segment();
  void place(uint64_t group_bytes);
  void close_group(Group& group);
  Segment& add_segment();
  size_t spares_made() const;
  size_t ahead() const;
  bool second_wanted() const;
  bool over_bytes_max() const {
    return options_.bytes_max != 0 && file_bytes_ > options_.bytes_max;
  }
  bool may_grow(uint64_t bytes) const;
  void make_segments();
  void segment_made(Segment& segment, int64_t result);
  void remove_dead();
  void remove_file(std::unique_ptr<Segment> segment);
  void segment_removed(Segment& segment, int64_t result);
  void cannot_make();
  void retire_segments();
  void pump();
  void tell_lost();
  void write_header(Segment& segment);
  void write_group(Group& group);
  void write_rest();
  void step_done(int64_t result);
  void written(int64_t result);
  void step_failed(int64_t error);
  void group_durable();
  void seal(int64_t error);
  std::string new_buffer();
  void recycle(std::string buffer);

  Disk& disk_;
  JournalListener& listener_;
  const uint16_t id_;
  const std::string directory_;
  const JournalOptions options_;

  EpochMark mark_;
  uint64_t next_sequence_ = 1;
  uint64_t durable_ = 0;
  Location durable_end_;
  std::vector<uint32_t> never_used_;  // segments, as recovery found them
  bool recovered_ = false, started_ = false, closed_ = false;

  std::deque<std::unique_ptr<Segment>> segments_;  // front: where the next write goes
  Segment* place_segment_ = nullptr;               // where the next group is placed
  uint64_t place_offset_ = 0;
  uint32_t next_number_ = 1;  // of a segment
  Segment* creating_ = nullptr;
  std::vector<std::unique_ptr<Segment>> dead_;      // sealed without a durable group in it
  std::vector<std::unique_ptr<Segment>> removing_;  // files on their way out
  std::map<uint32_t, uint64_t> complete_;           // number → bytes
  uint64_t file_bytes_ = 0;
  mutable bool space_wanted_ = false;  // intake waits for a further segment
  bool healthy_ = true;
  unsigned back_off_ = 0, wait_ = 0;

  std::deque<Group> groups_;
  uint64_t gathered_ = 0;
  uint64_t appended_bytes_ = 0;
  uint64_t events_ = 0;           // durable
  uint64_t appended_events_ = 0;  // with those that are not
  CheckpointPlace checkpoint_, checkpoint_before_;
  CheckpointPlace header_checkpoint_;  // that the header under way names
  CheckpointPlace headed_checkpoint_;  // that the last durable header names
  uint64_t flush_to_ = 0;
  std::deque<uint64_t> lost_;  // void once the front segment's header is durable; then told
  absl::Status lost_why_;
  std::vector<std::string> buffers_;

  Step step_ = Step::none;
  StepOperation operation_{*this};
  std::string header_;
  std::string_view writing_;  // what of header or group is not written yet
  uint64_t writing_at_ = 0;
  unsigned interrupted_ = 0;
};

}  // namespace veredus::queue
