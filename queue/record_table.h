#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "queue/record.h"

namespace veredus::queue {

// All records of one shard, in chunks of 64 Ki: no record ever moves, and there is no overhead per
// record. The lowest chunk with room is filled first, so that high ones can run empty; the memory
// of all but one empty chunk is given back. It is touched only as records are first used. Eight
// chunks lie together, for they take up seven huge pages then: of millions of records each would
// else be looked for in the page tables before it is read. One thread.
class RecordTable {
 public:
  static constexpr uint32_t kChunkBits = 16;
  static constexpr uint32_t kChunkRecords = 1u << kChunkBits;

  // At most `capacity` records (1 … 2^32 − 65,536) exist at a time.
  explicit RecordTable(uint32_t capacity);
  ~RecordTable();
  RecordTable(const RecordTable&) = delete;
  RecordTable& operator=(const RecordTable&) = delete;

  // A slot with a fresh record in state dormant, its generation set. kNoSlot: the table is full, or
  // no memory is left.
  uint32_t allocate();
  // Frees the slot and raises its generation, so that tickets of the old one are recognised. The
  // record must be in no list.
  void release(uint32_t slot);

  // The slot must be allocated (to find(), with its ticket's generation, goes what may be gone).
  Record& operator[](uint32_t slot) {
    assert(touched(slot));
    return chunks_[slot >> kChunkBits].records[slot & (kChunkRecords - 1)];
  }
  const Record& operator[](uint32_t slot) const {
    assert(touched(slot));
    return chunks_[slot >> kChunkBits].records[slot & (kChunkRecords - 1)];
  }
  // Fetches what will be looked at soon, and written. A record may lie across two lines of the
  // cache.
  void prefetch(uint32_t slot) const {
    const auto* const record = reinterpret_cast<const char*>(&(*this)[slot]);
    __builtin_prefetch(record, 1);
    __builtin_prefetch(record + sizeof(Record) - 1, 1);
  }

  // The record that a ticket means, or nullptr when the slot was released since (or never was).
  // Takes any numbers.
  Record* find(uint32_t slot, uint16_t generation);

  // The record in a slot, or nullptr when none is there now. Takes any number.
  Record* at(uint32_t slot) {
    const uint32_t number = slot >> kChunkBits;
    if (number >= opened_ || !touched(slot)) return nullptr;
    Record& record = (*this)[slot];
    return record.state == RecordState::free ? nullptr : &record;
  }

  // Calls `look(slot)` for the records from slot `from` on, in order of their slots, but looks at
  // no more than `budget` places. Gives the slot to go on from, kNoSlot after the last. `look` may
  // release the slot; what is allocated meanwhile is met if it lies ahead.
  template <class Look>
  uint32_t visit(uint32_t from, uint32_t budget, Look&& look) {
    for (uint32_t number = from >> kChunkBits; number < opened_; ++number) {
      const uint32_t first = number << kChunkBits;
      for (uint32_t at = from > first ? from - first : 0; at < chunks_[number].fresh; ++at) {
        if (budget-- == 0) return first | at;
        if (chunks_[number].records[at].state != RecordState::free) look(first | at);
      }
    }
    return kNoSlot;
  }

  uint32_t count() const { return count_; }
  uint32_t capacity() const { return capacity_; }
  // Bytes that may have been touched.
  size_t memory_bytes() const;

 private:
  static constexpr uint32_t kChunksTogether = 8;
  static constexpr size_t kHugePage = 2u << 20;
  static_assert(kChunksTogether * kChunkRecords * sizeof(Record) % kHugePage == 0);
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  struct Together {
    std::unique_ptr<void, Free> memory;
    uint32_t open = 0;  // chunks
  };
  struct Chunk {
    Record* records = nullptr;      // null: given back
    uint32_t used = 0;              // allocated now
    uint32_t fresh = 0;             // records from here on were never touched
    uint32_t free = kNoSlot;        // list over `next` of those that were; holds slots
    uint16_t generation = 0;        // that a record begins with when first touched
    uint16_t generation_ahead = 0;  // most that any record's generation is beyond it
  };

  // Was ever allocated since its chunk was opened: there is a record to look at.
  bool touched(uint32_t slot) const {
    const Chunk& chunk = chunks_[slot >> kChunkBits];
    return (slot & (kChunkRecords - 1)) < chunk.fresh;
  }
  bool open_chunk(uint32_t number);
  void close_chunk(uint32_t number);
  void set_room(uint32_t number, bool room);

  const uint32_t capacity_;
  uint32_t count_ = 0;
  uint32_t opened_ = 0;             // no chunk from here on ever had memory
  uint32_t empty_chunks_ = 0;       // with memory, without records
  std::vector<Chunk> chunks_;       // size fixed at construction
  std::vector<Together> together_;  // likewise
  std::vector<uint64_t> has_room_;  // one bit a chunk: may take a record (opened or not)
};

// A FIFO of records, linked by their `next`: 12 bytes, whatever its length. A record is in one list
// at a time; the list does not touch its state.
struct SlotFifo {
  uint32_t head = kNoSlot;
  uint32_t tail = kNoSlot;
  uint32_t count = 0;

  bool empty() const { return count == 0; }

  void push_back(RecordTable& table, uint32_t slot) {
    table[slot].next = kNoSlot;
    if (empty()) {
      head = slot;
    } else {
      table[tail].next = slot;
    }
    tail = slot;
    ++count;
  }

  void push_front(RecordTable& table, uint32_t slot) {
    table[slot].next = head;
    if (empty()) tail = slot;
    head = slot;
    ++count;
  }

  // kNoSlot when empty.
  uint32_t pop_front(RecordTable& table) {
    if (empty()) return kNoSlot;
    const uint32_t slot = head;
    Record& record = table[slot];
    head = record.next;
    record.next = kNoSlot;
    if (--count == 0) tail = kNoSlot;
    // Where millions wait the next one lies anywhere: its memory is fetched while this one is seen
    // to.
    if (head != kNoSlot) table.prefetch(head);
    return slot;
  }

  // Appends all of `other`, which is empty then.
  void splice(RecordTable& table, SlotFifo& other) {
    if (other.empty()) return;
    if (empty()) {
      head = other.head;
    } else {
      table[tail].next = other.head;
    }
    tail = other.tail;
    count += other.count;
    other = SlotFifo{};
  }
};
static_assert(sizeof(SlotFifo) == 12);

}  // namespace veredus::queue
