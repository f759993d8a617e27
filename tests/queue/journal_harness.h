#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "queue/journal.h"
#include "queue/journal_format.h"
#include "tests/sim/sim_disk.h"

// A journal on the simulated disk, and segment images made by hand.
namespace veredus::queue {

inline constexpr const char* kDirectory = "journal-0";

inline JournalOptions small_options() {
  JournalOptions options;
  options.segment_bytes = 32u << 10;
  options.group_bytes = 4u << 10;
  options.buffered_bytes = 64u << 10;
  return options;
}

struct Heard : JournalListener {
  void on_durable(uint64_t sequence) override { durable.push_back(sequence); }
  void on_lost(uint64_t sequence, const absl::Status& status) override {
    lost.push_back(sequence);
    why = std::string(status.message());
  }
  std::vector<uint64_t> durable, lost;
  std::string why;
};

struct Visited : JournalVisitor {
  struct Frame {
    FrameType type;
    Location location;
    std::string payload;
  };
  void on_frame(FrameType type, const Location& location, std::string_view payload) override {
    frames.push_back({type, location, std::string(payload)});
  }
  void on_damage(uint32_t segment, uint64_t offset, const std::string& what) override {
    damage.push_back(std::to_string(segment) + ":" + std::to_string(offset) + ": " + what);
  }
  std::vector<std::string> payloads() const {
    std::vector<std::string> all;
    for (const Frame& frame : frames) all.push_back(frame.payload);
    return all;
  }
  std::vector<Frame> frames;
  std::vector<std::string> damage;
};

// One life of the process: from recovery to a crash or a close.
struct Life {
  explicit Life(sim::SimStorage& the_storage, JournalOptions options = small_options())
      : storage(the_storage), disk(storage), journal(disk, heard, 0, kDirectory, options) {}

  absl::StatusOr<Recovered> recover() {
    recovered = journal.recover(visited);
    return recovered;
  }
  // Recovers, which must succeed, and starts.
  Life& open() {
    EXPECT_TRUE(recover().ok()) << recovered.status();
    journal.start();
    return *this;
  }
  // Flushes and lets the disk work until the journal has nothing to do.
  void settle() {
    for (int turn = 0; turn < 100000; ++turn) {
      journal.flush();
      while (disk.complete_one()) {
      }
      if (journal.idle()) return;
    }
    ADD_FAILURE() << "the journal does not come to rest";
  }
  // A frame in a durable group of its own.
  Appended put(std::string_view payload, FrameType type = FrameType::batch) {
    const Appended appended = journal.append(type, payload);
    settle();
    return appended;
  }
  void shut() {
    settle();
    journal.close();
  }

  sim::SimStorage& storage;
  sim::SimDisk disk;
  Heard heard;
  Visited visited;
  Journal journal;
  absl::StatusOr<Recovered> recovered = absl::UnknownError("not recovered");
};

// A segment file made by hand, group by group.
class Image {
 public:
  explicit Image(uint32_t segment, EpochMark mark = {1, 1, 1}, uint64_t first_sequence = 1,
                 uint64_t durable_up_to = 0)
      : segment_(segment), mark_(mark), bytes_(32u << 10, '\0'), end_(kSegmentHeaderBytes) {
    SegmentHeader header;
    header.segment = segment;
    header.mark = mark;
    header.first_sequence = first_sequence;
    header.durable_up_to = durable_up_to;
    std::string head;
    encode_segment_header(header, head);
    bytes_.replace(0, head.size(), head);
  }
  Image& group(uint64_t sequence, uint64_t durable_up_to, std::vector<std::string> payloads) {
    std::string group(kGroupHeaderBytes, '\0');
    for (const std::string& payload : payloads) {
      put_frame(group, FrameType::batch, static_cast<uint32_t>(payload.size()));
      group += payload;
      end_frame(group);
    }
    GroupHeader header;
    header.segment = segment_;
    header.offset = end_;
    header.mark = mark_;
    header.sequence = sequence;
    header.durable_up_to = durable_up_to;
    header.length = static_cast<uint32_t>(group.size() - kGroupHeaderBytes);
    header.frames = static_cast<uint32_t>(payloads.size());
    seal_group(header, group);
    bytes_.replace(end_, group.size(), group);
    places_[sequence] = end_;
    end_ += static_cast<uint32_t>(group_extent(header));
    return *this;
  }
  // The group was never written, or only its header, or its payload was damaged.
  Image& drop(uint64_t sequence) { return fill(sequence, 0, extent(sequence)); }
  Image& drop_payload(uint64_t sequence) {
    return fill(sequence, kGroupHeaderBytes, extent(sequence) - kGroupHeaderBytes);
  }
  Image& drop_header(uint64_t sequence) { return fill(sequence, 0, kGroupHeaderBytes); }
  Image& drop_segment_header() {
    bytes_.replace(0, kSegmentHeaderBytes, kSegmentHeaderBytes, '\0');
    return *this;
  }
  Image& flip(uint64_t sequence, uint32_t at) {
    char& byte = bytes_[places_.at(sequence) + at];
    byte = static_cast<char>(byte ^ 0x10);
    return *this;
  }
  void put(sim::SimStorage& storage) const { put_as(storage, segment_); }
  void put_as(sim::SimStorage& storage, uint32_t number) const {
    storage.put(Journal::segment_path(kDirectory, number), bytes_);
  }
  uint32_t place(uint64_t sequence) const { return places_.at(sequence); }
  uint32_t end() const { return end_; }
  std::string& bytes() { return bytes_; }

 private:
  uint32_t extent(uint64_t sequence) const {
    const auto next = std::next(places_.find(sequence));
    return (next == places_.end() ? end_ : next->second) - places_.at(sequence);
  }
  Image& fill(uint64_t sequence, uint32_t from, uint32_t length) {
    bytes_.replace(places_.at(sequence) + from, length, length, '\0');
    return *this;
  }
  const uint32_t segment_;
  const EpochMark mark_;
  std::string bytes_;
  uint32_t end_;
  std::map<uint64_t, uint32_t> places_;
};

}  // namespace veredus::queue
