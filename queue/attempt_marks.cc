#include "queue/attempt_marks.h"

#include <atomic>
#include <cassert>
#include <cstring>

#include "queue/bytes.h"
#include "queue/crc32c.h"

namespace veredus::queue {
namespace {

constexpr char kMagic[8] = {'V', 'R', 'M', 'A', 'R', 'K', '\r', '\n'};
constexpr std::string_view kPrefix = "marks-";
constexpr uint32_t kSumAt = kMarkBytes - 4;

uint32_t header_sum(std::string_view header) {
  static constexpr char kNoSum[4] = {};
  const uint32_t sum = crc32c({kNoSum, 4}, crc32c(header.substr(0, 12)));
  return crc32c(header.substr(16, kMarksHeaderBytes - 16), sum);
}

}  // namespace

AttemptMarks::AttemptMarks(std::span<uint8_t> memory, uint16_t journal, uint32_t number,
                           unsigned homes)
    : memory_(reinterpret_cast<char*>(memory.data())),
      places_(static_cast<uint32_t>((memory.size() - kMarksHeaderBytes) / kMarkBytes)),
      settling_(homes) {
  free_.reserve(places_);
  std::memcpy(memory_, kMagic, sizeof kMagic);
  store_number(memory_ + 8, kMarksVersion);
  store_number(memory_ + 16, journal);
  store_number(memory_ + 20, number);
  store_number(memory_ + 24, places_);
  store_number(memory_ + 12, header_sum({memory_, kMarksHeaderBytes}));
}

uint32_t AttemptMarks::write(const AttemptMark& mark) {
  assert(places_free() > 0 && mark.batch != 0);
  uint32_t place = places_touched_;
  if (free_.empty()) {
    ++places_touched_;
  } else {
    place = free_.back();
    free_.pop_back();
  }
  char entry[kMarkBytes] = {};
  store_number(entry, mark.batch);
  store_number(entry + 8, mark.index);
  store_number(entry + 12, mark.attempt);
  store_number(entry + 14, mark.home);
  char* const into = at(place);
  std::memcpy(into, entry, kSumAt);
  // The sum last: whenever the process dies, the entry is whole or is none.
  std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(into + kSumAt))
      .store(crc32c({entry, kSumAt}), std::memory_order_release);
  return place;
}

void AttemptMarks::erase(uint32_t place) {
  std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(at(place)))
      .store(0, std::memory_order_release);
  free_.push_back(place);
}

void AttemptMarks::durable(uint16_t home, uint64_t message) {
  std::deque<Settling>& line = settling_[home];
  while (!line.empty() && line.front().message <= message) {
    free_.push_back(line.front().place);
    line.pop_front();
  }
}

absl::Status read_marks(std::string_view file, std::vector<AttemptMark>& marks) {
  if (file.size() < kMarksHeaderBytes) return absl::OkStatus();  // it was being made
  const std::string_view header = file.substr(0, kMarksHeaderBytes);
  const bool sound = std::memcmp(header.data(), kMagic, sizeof kMagic) == 0 &&
                     load_number<uint32_t>(header.data() + 12) == header_sum(header);
  const uint32_t version = load_number<uint32_t>(header.data() + 8);
  if (sound && version != kMarksVersion) {
    return absl::FailedPreconditionError("attempt marks of format version " +
                                         std::to_string(version) + ", this program reads version " +
                                         std::to_string(kMarksVersion) +
                                         ": start the program that wrote them, or a later one");
  }
  for (size_t at = kMarksHeaderBytes; at + kMarkBytes <= file.size(); at += kMarkBytes) {
    const char* const entry = file.data() + at;
    AttemptMark mark;
    mark.batch = load_number<uint64_t>(entry);
    if (mark.batch == 0) continue;
    if (load_number<uint32_t>(entry + kSumAt) != crc32c({entry, kSumAt})) continue;
    mark.index = load_number<uint32_t>(entry + 8);
    mark.attempt = load_number<uint16_t>(entry + 12);
    mark.home = load_number<uint16_t>(entry + 14);
    marks.push_back(mark);
  }
  return absl::OkStatus();
}

std::string marks_path(std::string_view directory, uint32_t number) {
  return numbered_path(directory, kPrefix, number);
}

absl::StatusOr<std::vector<MarksFile>> list_marks(Disk& disk, const std::string& directory) {
  return list_numbered(disk, directory, kPrefix);
}

}  // namespace veredus::queue
