#include "queue/record_table.h"

#include <algorithm>
#include <bit>
#include <new>

#include <sys/mman.h>

namespace veredus::queue {

RecordTable::RecordTable(uint32_t capacity) : capacity_(capacity) {
  // The last chunk is not used, so that kNoSlot is no slot.
  assert(capacity >= 1 && capacity <= 0u - kChunkRecords);
  const uint32_t chunks = ((capacity - 1) >> kChunkBits) + 1;
  chunks_.resize(chunks);
  together_.resize((chunks + kChunksTogether - 1) / kChunksTogether);
  has_room_.resize((chunks + 63) / 64);
  for (uint32_t number = 0; number < chunks; ++number) set_room(number, true);
}

RecordTable::~RecordTable() = default;

uint32_t RecordTable::allocate() {
  if (count_ == capacity_) return kNoSlot;
  size_t word = 0;
  while (has_room_[word] == 0) ++word;  // there is one: count_ < capacity_ ≤ room of all chunks
  const uint32_t number =
      static_cast<uint32_t>(word * 64) + static_cast<uint32_t>(std::countr_zero(has_room_[word]));
  Chunk& chunk = chunks_[number];
  if (chunk.records == nullptr && !open_chunk(number)) return kNoSlot;

  uint32_t slot = chunk.free;
  if (slot != kNoSlot) {
    Record& record = chunk.records[slot & (kChunkRecords - 1)];
    chunk.free = record.next;
    const uint16_t generation = record.generation;
    record = Record{};
    record.generation = generation;
  } else {
    slot = (number << kChunkBits) | chunk.fresh;
    Record& record = *new (&chunk.records[chunk.fresh]) Record{};
    record.generation = chunk.generation;
    ++chunk.fresh;
  }
  if (chunk.used++ == 0) --empty_chunks_;
  if (chunk.used == kChunkRecords) set_room(number, false);
  ++count_;
  (*this)[slot].state = RecordState::dormant;
  return slot;
}

void RecordTable::release(uint32_t slot) {
  Record& record = (*this)[slot];
  assert(record.state != RecordState::free);
  const uint32_t number = slot >> kChunkBits;
  Chunk& chunk = chunks_[number];
  ++record.generation;
  const uint16_t ahead = static_cast<uint16_t>(record.generation - chunk.generation);
  if (ahead > chunk.generation_ahead) chunk.generation_ahead = ahead;
  record.state = RecordState::free;
  record.next = chunk.free;
  chunk.free = slot;
  set_room(number, true);
  --count_;
  if (--chunk.used != 0) return;
  // One empty chunk is kept, so that a table that breathes around a border does not ask the
  // allocator each time.
  if (empty_chunks_ == 0) {
    empty_chunks_ = 1;
  } else {
    close_chunk(number);
  }
}

Record* RecordTable::find(uint32_t slot, uint16_t generation) {
  if ((slot >> kChunkBits) >= chunks_.size() || !touched(slot)) return nullptr;
  Record& record = chunks_[slot >> kChunkBits].records[slot & (kChunkRecords - 1)];
  return record.state != RecordState::free && record.generation == generation ? &record : nullptr;
}

size_t RecordTable::memory_bytes() const {
  size_t bytes = chunks_.size() * sizeof(Chunk) + together_.size() * sizeof(Together) +
                 has_room_.size() * sizeof(uint64_t);
  for (const Chunk& chunk : chunks_) {
    if (chunk.records != nullptr) bytes += kChunkRecords * sizeof(Record);
  }
  return bytes;
}

bool RecordTable::open_chunk(uint32_t number) {
  constexpr size_t kBytes = kChunkRecords * sizeof(Record);
  Together& together = together_[number / kChunksTogether];
  if (together.memory == nullptr) {
    // Not initialised: a record is written when it is first used, so its page is not touched
    // before.
    together.memory.reset(std::aligned_alloc(kHugePage, kChunksTogether * kBytes));
    if (together.memory == nullptr) return false;
    // Where few wait, small pages are as good, and take less.
    if (number >= kChunksTogether)
      static_cast<void>(madvise(together.memory.get(), kChunksTogether * kBytes, MADV_HUGEPAGE));
  }
  ++together.open;
  chunks_[number].records = reinterpret_cast<Record*>(
      static_cast<std::byte*>(together.memory.get()) + number % kChunksTogether * kBytes);
  ++empty_chunks_;
  opened_ = std::max(opened_, number + 1);
  return true;
}

void RecordTable::close_chunk(uint32_t number) {
  Chunk& chunk = chunks_[number];
  Together& together = together_[number / kChunksTogether];
  if (--together.open == 0) {
    together.memory.reset();
  } else {
    static_cast<void>(madvise(chunk.records, kChunkRecords * sizeof(Record), MADV_DONTNEED));
  }
  chunk.records = nullptr;
  chunk.fresh = 0;
  chunk.free = kNoSlot;
  // Beyond every generation that any of its tickets bore (a release has raised it since): they stay
  // strangers.
  chunk.generation = static_cast<uint16_t>(chunk.generation + chunk.generation_ahead);
  chunk.generation_ahead = 0;
}

void RecordTable::set_room(uint32_t number, bool room) {
  const uint64_t bit = uint64_t{1} << (number % 64);
  if (room) {
    has_room_[number / 64] |= bit;
  } else {
    has_room_[number / 64] &= ~bit;
  }
}

}  // namespace veredus::queue
