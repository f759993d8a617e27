#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "queue/record_table.h"

namespace veredus {

// What recipients were fed with themselves (`expires`, `pool`), by slot of their record: most have
// none, and a record has no room for it. One T a slot, in chunks that lie as the table's; a chunk
// is there only while one of its records has such a value, and of it only the pages that were
// written. Nothing is ever rehashed, which with millions would be a long turn. 0 stands for none.
// One thread.
template <class T>
class OwnValues {
 public:
  T value(uint32_t slot) const {
    const uint32_t number = slot >> queue::RecordTable::kChunkBits;
    if (number >= chunks_.size() || chunks_[number].values == nullptr) return 0;
    return chunks_[number].values[index_of(slot)];
  }

  // False: there is no memory for it.
  bool set(uint32_t slot, T value_of_slot) {
    if (value_of_slot == 0) {
      erase(slot);
      return true;
    }
    const uint32_t number = slot >> queue::RecordTable::kChunkBits;
    if (number >= chunks_.size()) chunks_.resize(number + size_t{1});
    Chunk& chunk = chunks_[number];
    if (chunk.values == nullptr) {
      chunk.values.reset(
          static_cast<T*>(std::calloc(queue::RecordTable::kChunkRecords, sizeof(T))));
      if (chunk.values == nullptr) return false;
    }
    T& there = chunk.values[index_of(slot)];
    if (there == 0) ++chunk.used;
    there = value_of_slot;
    return true;
  }

  // With its record: the slot's next one must not inherit it.
  void erase(uint32_t slot) {
    if (value(slot) == 0) return;
    Chunk& chunk = chunks_[slot >> queue::RecordTable::kChunkBits];
    chunk.values[index_of(slot)] = 0;
    if (--chunk.used == 0) chunk.values.reset();
  }

 private:
  struct Free {
    void operator()(T* values) const { std::free(values); }
  };
  struct Chunk {
    std::unique_ptr<T[], Free> values;
    uint32_t used = 0;
  };
  static uint32_t index_of(uint32_t slot) { return slot & (queue::RecordTable::kChunkRecords - 1); }

  std::vector<Chunk> chunks_;
};

using OwnExpiry = OwnValues<int64_t>;  // Unix time
using OwnPool = OwnValues<uint32_t>;   // number of the pool's name at home, from 1

}  // namespace veredus
