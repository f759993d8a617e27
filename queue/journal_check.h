#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "queue/extent.h"
#include "queue/journal.h"
#include "queue/ledger.h"

// Looking at a whole journal, for tools: what a start does not read any more, and what it reads
// later. Writes nothing.
namespace veredus::queue {

struct Damage {
  uint32_t segment = 0;
  uint64_t offset = 0;
  std::string what;
};

// Frames that others point to, in groups that are sound: contents, refusals, extents.
class FramePlaces {
 public:
  void add(FrameType type, const Location& at) { frames_[key(at)] = {type, at.length}; }
  bool has(FrameType type, const Location& at) const {
    const auto found = frames_.find(key(at));
    return found != frames_.end() && found->second.type == type &&
           found->second.length == at.length;
  }

 private:
  struct Found {
    FrameType type;
    uint32_t length;
  };
  static uint64_t key(const Location& at) { return uint64_t{at.segment} << 32 | at.offset; }
  absl::flat_hash_map<uint64_t, Found> frames_;
};

// Every group of every segment file, by its checksum. What lies before the place from which
// recovery handed over frames (`recovered`) and should be there is damage; so is what cannot be
// read. Segments may be gone in between: they were reclaimed. Fails when files or directory cannot
// be opened.
absl::Status check_segments(Disk& disk, uint16_t journal, const std::string& directory,
                            const Recovered& recovered, FramePlaces& places,
                            std::vector<Damage>& damage);

// Reads the extent and hands over those who wait, as far as they can be read. Adds what is damaged
// to `damage`; how many cannot be read.
using WaitingVisitor =
    std::function<void(const Entry& entry, const WaitingState& state, uint32_t ordinal)>;
uint64_t visit_waiting(Disk& disk, const std::string& directory, const Ledger::Run& run,
                       const WaitingVisitor& visit, std::vector<Damage>& damage);

}  // namespace veredus::queue
