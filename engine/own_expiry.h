#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "queue/record_table.h"

namespace veredus {

// The `expires` that recipients were fed with themselves, by slot of their record: most have none,
// and a record has no room for it. 8 bytes a slot, in chunks that lie as the table's; a chunk is
// there only while one of its records has such a time, and of it only the pages that were written.
// Nothing is ever rehashed, which with millions would be a long turn. One thread.
class OwnExpiry {
 public:
  // Unix time; 0: none.
  int64_t wall_ns(uint32_t slot) const {
    const uint32_t number = slot >> queue::RecordTable::kChunkBits;
    if (number >= chunks_.size() || chunks_[number].times == nullptr) return 0;
    return chunks_[number].times[index_of(slot)];
  }

  // False: there is no memory for it.
  bool set(uint32_t slot, int64_t wall_ns) {
    if (wall_ns == 0) {
      erase(slot);
      return true;
    }
    const uint32_t number = slot >> queue::RecordTable::kChunkBits;
    if (number >= chunks_.size()) chunks_.resize(number + size_t{1});
    Chunk& chunk = chunks_[number];
    if (chunk.times == nullptr) {
      chunk.times.reset(
          static_cast<int64_t*>(std::calloc(queue::RecordTable::kChunkRecords, sizeof(int64_t))));
      if (chunk.times == nullptr) return false;
    }
    int64_t& time = chunk.times[index_of(slot)];
    if (time == 0) ++chunk.used;
    time = wall_ns;
    return true;
  }

  // With its record: the slot's next one must not inherit it.
  void erase(uint32_t slot) {
    if (wall_ns(slot) == 0) return;
    Chunk& chunk = chunks_[slot >> queue::RecordTable::kChunkBits];
    chunk.times[index_of(slot)] = 0;
    if (--chunk.used == 0) chunk.times.reset();
  }

 private:
  struct Free {
    void operator()(int64_t* times) const { std::free(times); }
  };
  struct Chunk {
    std::unique_ptr<int64_t[], Free> times;
    uint32_t used = 0;
  };
  static uint32_t index_of(uint32_t slot) { return slot & (queue::RecordTable::kChunkRecords - 1); }

  std::vector<Chunk> chunks_;
};

}  // namespace veredus
