#include "queue/record_table.h"

#include <cstdint>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <vector>

#include <malloc.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

constexpr uint32_t kChunk = RecordTable::kChunkRecords;

TEST(RecordTable, AllocatesUpToItsCapacityAndReusesWhatIsFreed) {
  RecordTable table(3);
  const uint32_t a = table.allocate(), b = table.allocate(), c = table.allocate();
  EXPECT_NE(a, b);
  EXPECT_NE(b, c);
  EXPECT_NE(a, c);
  EXPECT_EQ(table.count(), 3u);
  EXPECT_EQ(table.allocate(), kNoSlot);
  table.release(b);
  EXPECT_EQ(table.count(), 2u);
  EXPECT_EQ(table.allocate(), b);
  EXPECT_EQ(table.allocate(), kNoSlot);
}

TEST(RecordTable, VisitsLiveRecordsInOrderAndInPieces) {
  RecordTable table(3 * kChunk);
  std::vector<uint32_t> slots;
  for (uint32_t i = 0; i < 2 * kChunk + 10; ++i) slots.push_back(table.allocate());
  std::vector<uint32_t> live;
  for (const uint32_t slot : slots) {
    if (slot % 3 == 0 || slot >> RecordTable::kChunkBits == 1) {
      table.release(slot);  // all of the second chunk
    } else {
      live.push_back(slot);
    }
  }
  std::vector<uint32_t> seen;
  uint32_t at = 0, pieces = 0;
  while (at != kNoSlot) {
    at = table.visit(at, 1000, [&](uint32_t slot) { seen.push_back(slot); });
    ++pieces;
  }
  EXPECT_EQ(seen, live);
  EXPECT_GE(pieces, kChunk / 1000);
  // What is looked at may go.
  at = table.visit(0, UINT32_MAX, [&](uint32_t slot) { table.release(slot); });
  EXPECT_EQ(at, kNoSlot);
  EXPECT_EQ(table.count(), 0u);
}

TEST(RecordTable, AReusedRecordIsFreshButOfANewGeneration) {
  RecordTable table(1);
  const uint32_t slot = table.allocate();
  EXPECT_EQ(table[slot].state, RecordState::dormant);
  const uint16_t generation = table[slot].generation;
  table[slot].attempts = 7;
  table[slot].flags = kRecordInDoubt;
  table[slot].due = 99;
  table[slot].state = RecordState::ticketed;
  EXPECT_EQ(table.find(slot, generation), &table[slot]);
  table.release(slot);
  EXPECT_EQ(table.find(slot, generation), nullptr);
  EXPECT_EQ(table.find(slot, static_cast<uint16_t>(generation + 1)), nullptr) << "it is free";
  ASSERT_EQ(table.allocate(), slot);
  EXPECT_EQ(table.find(slot, generation), nullptr) << "a ticket of the old recipient";
  EXPECT_EQ(table[slot].generation, static_cast<uint16_t>(generation + 1));
  EXPECT_EQ(table[slot].attempts, 0);
  EXPECT_EQ(table[slot].flags, 0);
  EXPECT_EQ(table[slot].due, 0u);
  EXPECT_EQ(table[slot].next, kNoSlot);
  EXPECT_EQ(table[slot].state, RecordState::dormant);
}

TEST(RecordTable, FindTakesAnyNumber) {
  RecordTable table(2 * kChunk);
  table.allocate();
  EXPECT_EQ(table.find(kNoSlot, 0), nullptr);
  EXPECT_EQ(table.find(1, 0), nullptr);           // never allocated
  EXPECT_EQ(table.find(kChunk, 0), nullptr);      // its chunk was never opened
  EXPECT_EQ(table.find(2 * kChunk, 0), nullptr);  // beyond the table
}

TEST(RecordTable, EmptyChunksAreGivenBackAndTheirTicketsStayStrangers) {
  RecordTable table(4 * kChunk);
  std::map<uint32_t, std::vector<uint16_t>> borne;  // generations that tickets of a slot have had
  const std::vector<uint32_t> watched = {0, 5, kChunk, kChunk + 5, 3 * kChunk + 65535};
  for (int round = 0; round < 5; ++round) {
    std::vector<uint32_t> slots;
    for (uint32_t i = 0; i < 4 * kChunk; ++i) slots.push_back(table.allocate());
    EXPECT_EQ(table.allocate(), kNoSlot);
    const size_t full = table.memory_bytes();
    EXPECT_LE(full, size_t{4} * kChunk * 32);
    // Some slots turn over more often than others.
    for (int again = 0; again < round; ++again) {
      const uint32_t slot = kChunk + 5;
      borne[slot].push_back(table[slot].generation);
      table.release(slot);
      ASSERT_EQ(table.allocate(), slot);
    }
    for (uint32_t slot : watched) {
      for (uint16_t generation : borne[slot]) {
        EXPECT_EQ(table.find(slot, generation), nullptr) << slot << " round " << round;
      }
      borne[slot].push_back(table[slot].generation);
    }
    for (uint32_t slot : slots) table.release(slot);
    EXPECT_EQ(table.count(), 0u);
    EXPECT_LT(table.memory_bytes(), full / 3) << "one chunk may stay";
    for (uint32_t slot : watched) {
      for (uint16_t generation : borne[slot]) EXPECT_EQ(table.find(slot, generation), nullptr);
    }
  }
}

TEST(RecordTable, FillsLowChunksFirst) {
  RecordTable table(3 * kChunk);
  for (uint32_t i = 0; i < 2 * kChunk + 10; ++i) table.allocate();
  table.release(7);
  table.release(kChunk + 7);
  EXPECT_EQ(table.allocate(), 7u);
  EXPECT_EQ(table.allocate(), kChunk + 7);
  EXPECT_EQ(table.allocate(), 2 * kChunk + 10);
}

TEST(RecordTable, AgreesWithAModel) {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    const uint32_t capacity = 3 * kChunk - 1000;
    RecordTable table(capacity);
    std::vector<uint32_t> live;
    std::vector<uint32_t> owner(3 * kChunk, 0);  // 0: free
    uint32_t number = 0;
    for (int phase = 0; phase < 12; ++phase) {
      const bool grow = phase % 2 == 0;
      for (int step = 0; step < 60'000; ++step) {
        if (random() % 8 < (grow ? 6u : 1u)) {
          const uint32_t slot = table.allocate();
          if (slot == kNoSlot) {
            ASSERT_EQ(live.size(), capacity);
            continue;
          }
          ASSERT_EQ(owner[slot], 0u) << "given out twice";
          owner[slot] = ++number;
          table[slot].extent = number;
          live.push_back(slot);
        } else if (!live.empty()) {
          std::swap(live[random() % live.size()], live.back());
          const uint32_t slot = live.back();
          live.pop_back();
          ASSERT_EQ(table[slot].extent, owner[slot]);
          ASSERT_NE(table.find(slot, table[slot].generation), nullptr);
          owner[slot] = 0;
          table.release(slot);
        }
        ASSERT_EQ(table.count(), live.size());
      }
    }
  }
}

TEST(SlotFifo, AgreesWithADeque) {
  std::mt19937 random(7);
  RecordTable table(2000);
  std::vector<uint32_t> idle;
  for (int i = 0; i < 2000; ++i) idle.push_back(table.allocate());
  SlotFifo fifos[3];
  std::deque<uint32_t> models[3];
  for (int step = 0; step < 100'000; ++step) {
    const unsigned at = random() % 3, other = (at + 1 + random() % 2) % 3;
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
        if (idle.empty()) break;
        fifos[at].push_back(table, idle.back());
        models[at].push_back(idle.back());
        idle.pop_back();
        break;
      case 3:
        if (idle.empty()) break;
        fifos[at].push_front(table, idle.back());
        models[at].push_front(idle.back());
        idle.pop_back();
        break;
      case 4:
      case 5:
      case 6: {
        const uint32_t slot = fifos[at].pop_front(table);
        if (models[at].empty()) {
          ASSERT_EQ(slot, kNoSlot);
          break;
        }
        ASSERT_EQ(slot, models[at].front());
        ASSERT_EQ(table[slot].next, kNoSlot);
        models[at].pop_front();
        idle.push_back(slot);
        break;
      }
      case 7:
        if (random() % 10 != 0) break;
        fifos[at].splice(table, fifos[other]);
        models[at].insert(models[at].end(), models[other].begin(), models[other].end());
        models[other].clear();
        ASSERT_TRUE(fifos[other].empty());
        break;
    }
    ASSERT_EQ(fifos[at].count, models[at].size());
    ASSERT_EQ(fifos[at].head, models[at].empty() ? kNoSlot : models[at].front());
    ASSERT_EQ(fifos[at].tail, models[at].empty() ? kNoSlot : models[at].back());
  }
}

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// The budget of the architecture page: a waiting recipient costs at most 32 bytes.
TEST(RecordTable, FiveMillionWaitingCostAtMost32BytesEach) {
  constexpr uint32_t kWaiting = 5'000'000;
  malloc_trim(0);  // what earlier tests freed would be used again, and not be seen
  const int64_t before = resident_bytes();
  RecordTable table(10'000'000);
  const int64_t empty = resident_bytes();
  EXPECT_LT(empty - before, 1 << 20) << "nothing is paid for what is not there";
  SlotFifo fifo;
  for (uint32_t i = 0; i < kWaiting; ++i) {
    const uint32_t slot = table.allocate();
    ASSERT_NE(slot, kNoSlot);
    fifo.push_back(table, slot);
  }
  EXPECT_EQ(fifo.count, kWaiting);
  EXPECT_LE(table.memory_bytes(), size_t{kWaiting} * 32);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(resident_bytes() - before, int64_t{kWaiting} * 32);
  EXPECT_GE(resident_bytes() - before, int64_t{kWaiting} * 24) << "not measured at all";
#endif
}

TEST(Record, TicksRoundUpAndAreLimited) {
  EXPECT_EQ(tick_at(0), 0u);
  EXPECT_EQ(tick_at(kTickNs - 1), 0u);
  EXPECT_EQ(tick_at(kTickNs), 1u);
  EXPECT_EQ(tick_after(kTickNs, 0), 1u);
  EXPECT_EQ(tick_after(kTickNs, -5), 1u);
  EXPECT_EQ(tick_after(kTickNs, 1), 2u);  // never early
  EXPECT_EQ(tick_after(kTickNs - 1, 1), 1u);
  EXPECT_EQ(tick_after(kTickNs, kTickNs), 2u);
  EXPECT_EQ(tick_after(5 * kTickNs, INT64_MAX), 5 + kTicksAheadMax);
  EXPECT_EQ(ticks_until(5, 7), 2);
  EXPECT_EQ(ticks_until(0xffffffff, 1), 2);
  EXPECT_EQ(ticks_until(1, 0xffffffff), -2);
  EXPECT_EQ(attempts_plus_one(0), 1);
  EXPECT_EQ(attempts_plus_one(255), 255);
}

}  // namespace
}  // namespace veredus::queue
