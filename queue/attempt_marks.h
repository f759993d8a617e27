#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/disk.h"
#include "queue/journal_files.h"

namespace veredus::queue {

// Who is being sent to, written before any of the content leaves: after a crash, a mark without an
// outcome is in doubt. Not frames of the journal but a file per shard, mapped into memory: a store
// survives the death of the process, costs no call, and holds up no transaction. Bytes on disk:
// FORMAT.md.
struct AttemptMark {
  uint64_t batch = 0;
  uint32_t index = 0;
  uint16_t attempt = 0;  // its number: more than the attempts made before it
  uint16_t home = 0;     // journal that holds the recipient, and will hold the outcome
  friend bool operator==(const AttemptMark&, const AttemptMark&) = default;
};

inline constexpr uint32_t kMarksVersion = 1;
inline constexpr uint32_t kMarksHeaderBytes = 4096;
inline constexpr uint32_t kMarkBytes = 32;
constexpr uint64_t marks_bytes(uint32_t places) {
  return kMarksHeaderBytes + uint64_t{places} * kMarkBytes;
}

// The marks of a shard's life, in the memory given. A place is taken when its mark is written, and
// free again when the outcome is known not to be in doubt, or is durable: until then nothing else
// says that the content left.
class AttemptMarks {
 public:
  static constexpr uint32_t kNoPlace = 0xffffffff;

  AttemptMarks() = default;  // without a place
  // `memory` is all zeros, and outlives this; `journal` and `number` are the file's.
  AttemptMarks(std::span<uint8_t> memory, uint16_t journal, uint32_t number, unsigned homes);

  uint32_t places_free() const {
    return static_cast<uint32_t>(free_.size()) + places_ - places_touched_;
  }
  // Only when a place is free. The place used last is used next: few pages are written to.
  uint32_t write(const AttemptMark& mark);
  // Nothing of it was taken, the far side has said so or was never asked.
  void erase(uint32_t place);
  // It was taken, or nobody knows: the outcome is on its way home, in that home's message number.
  // Numbers ascend.
  void settle(uint16_t home, uint64_t message, uint32_t place) {
    settling_[home].push_back({message, place});
  }
  bool settling(uint16_t home) const { return !settling_[home].empty(); }
  // At home everything is durable that came in messages up to this one.
  void durable(uint16_t home, uint64_t message);

 private:
  struct Settling {
    uint64_t message;
    uint32_t place;
  };
  char* at(uint32_t place) const {
    return memory_ + kMarksHeaderBytes + size_t{place} * kMarkBytes;
  }

  char* memory_ = nullptr;
  uint32_t places_ = 0;
  uint32_t places_touched_ = 0;  // those from here on were never used
  std::vector<uint32_t> free_;
  std::vector<std::deque<Settling>> settling_;  // by home
};

// Adds the sound marks of a file. Torn ones are none, and neither are those behind a header that
// was lost: each is checked by itself. Fails on a version newer than ours only.
absl::Status read_marks(std::string_view file, std::vector<AttemptMark>& marks);

std::string marks_path(std::string_view directory, uint32_t number);
using MarksFile = NumberedFile;
// The files of marks in a journal's directory, ascending.
absl::StatusOr<std::vector<MarksFile>> list_marks(Disk& disk, const std::string& directory);

}  // namespace veredus::queue
