// The marks of who is being sent to: bytes, torn entries, places.

#include "queue/attempt_marks.h"

#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/bytes.h"
#include "queue/crc32c.h"
#include "tests/sim/sim_disk.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr AttemptMark kOne{42, 7, 1, 3}, kTwo{42, 8, 2, 0}, kThree{43, 0, 1, 1};

// A file of marks in memory.
struct Memory {
  explicit Memory(uint32_t places) : bytes(marks_bytes(places), '\0') {}
  AttemptMarks begin() {
    return AttemptMarks({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}, 5, 12, 4);
  }
  std::vector<AttemptMark> read() const {
    std::vector<AttemptMark> marks;
    EXPECT_TRUE(read_marks(bytes, marks).ok());
    return marks;
  }
  alignas(8) std::string bytes;
};

TEST(AttemptMarksTest, TheBytesAreThoseOfTheFormatPage) {
  Memory memory(2);
  AttemptMarks marks = memory.begin();
  marks.write(kOne);
  const std::string& bytes = memory.bytes;
  EXPECT_EQ(bytes.substr(0, 12), std::string("VRMARK\r\n\1\0\0\0", 12));
  EXPECT_EQ(load_number<uint16_t>(bytes.data() + 16), 5);
  EXPECT_EQ(load_number<uint32_t>(bytes.data() + 20), 12u);
  EXPECT_EQ(load_number<uint32_t>(bytes.data() + 24), 2u);
  const std::string entry = bytes.substr(4096, 32);
  EXPECT_EQ(entry.substr(0, 28),
            std::string("\x2a\0\0\0\0\0\0\0\7\0\0\0\1\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0", 28));
  EXPECT_EQ(load_number<uint32_t>(entry.data() + 28), crc32c(entry.substr(0, 28)));
}

TEST(AttemptMarksTest, WhatIsWrittenIsRead) {
  Memory memory(8);
  AttemptMarks marks = memory.begin();
  EXPECT_THAT(memory.read(), IsEmpty());
  for (const AttemptMark& mark : {kOne, kTwo, kThree}) marks.write(mark);
  EXPECT_THAT(memory.read(), ElementsAre(kOne, kTwo, kThree));
}

TEST(AttemptMarksTest, AnErasedMarkIsGoneAndItsPlaceIsFree) {
  Memory memory(2);
  AttemptMarks marks = memory.begin();
  const uint32_t place = marks.write(kOne);
  marks.write(kTwo);
  EXPECT_EQ(marks.places_free(), 0u);
  marks.erase(place);
  EXPECT_EQ(marks.places_free(), 1u);
  EXPECT_THAT(memory.read(), ElementsAre(kTwo));
  EXPECT_EQ(marks.write(kThree), place);
}

TEST(AttemptMarksTest, APlaceIsFreeWhenTheOutcomeIsDurableAtItsHome) {
  Memory memory(3);
  AttemptMarks marks = memory.begin();
  const uint32_t one = marks.write(kOne), two = marks.write(kTwo), three = marks.write(kThree);
  marks.settle(3, 10, one);
  marks.settle(0, 1, two);
  marks.settle(3, 11, three);
  EXPECT_EQ(marks.places_free(), 0u);
  EXPECT_TRUE(marks.settling(3));
  EXPECT_FALSE(marks.settling(1));
  marks.durable(3, 9);
  EXPECT_EQ(marks.places_free(), 0u);
  marks.durable(3, 10);
  EXPECT_EQ(marks.places_free(), 1u);
  // Nothing else says who it was, until the place is used again.
  EXPECT_THAT(memory.read(), UnorderedElementsAre(kOne, kTwo, kThree));
  EXPECT_EQ(marks.write({50, 1, 1, 2}), one);
  EXPECT_THAT(memory.read(), UnorderedElementsAre(AttemptMark{50, 1, 1, 2}, kTwo, kThree));
  marks.durable(3, 99);
  marks.durable(0, 99);
  EXPECT_EQ(marks.places_free(), 2u);
  EXPECT_FALSE(marks.settling(3));
}

// The process may die between any two stores, also over an older entry.
TEST(AttemptMarksTest, ATornEntryIsNone) {
  Memory memory(1);
  AttemptMarks marks = memory.begin();
  const uint32_t place = marks.write(kOne);
  const std::string before = memory.bytes.substr(4096, 32);
  marks.settle(0, 1, place);
  marks.durable(0, 1);
  marks.write(kTwo);
  const std::string after = memory.bytes.substr(4096, 32);
  for (size_t length = 1; length < 32; ++length) {
    const std::string torn = after.substr(0, length) + before.substr(length);
    memory.bytes.replace(4096, 32, torn);
    if (torn == before || torn == after) continue;
    EXPECT_THAT(memory.read(), IsEmpty()) << length;
  }
  for (size_t bit = 0; bit < 32 * 8; ++bit) {
    std::string flipped = after;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    memory.bytes.replace(4096, 32, flipped);
    EXPECT_THAT(memory.read(), IsEmpty()) << bit;
  }
}

// The header is stored, not synced: a power cut may take it and leave entries.
TEST(AttemptMarksTest, EntriesCountWithoutTheirHeader) {
  Memory memory(2);
  AttemptMarks marks = memory.begin();
  marks.write(kOne);
  memory.bytes.replace(0, 512, std::string(512, '\0'));
  EXPECT_THAT(memory.read(), ElementsAre(kOne));
}

TEST(AttemptMarksTest, AFileThatWasBeingMadeHasNone) {
  std::vector<AttemptMark> marks;
  for (const size_t length : {0, 1, 4095, 4096, 4096 + 31, 4096 + 64}) {
    EXPECT_TRUE(read_marks(std::string(length, '\0'), marks).ok());
    EXPECT_THAT(marks, IsEmpty());
  }
}

TEST(AttemptMarksTest, ANewerVersionIsRefusedByName) {
  Memory memory(1);
  memory.begin();
  store_number(memory.bytes.data() + 8, kMarksVersion + 1);
  store_number(memory.bytes.data() + 12, uint32_t{0});
  store_number(memory.bytes.data() + 12, crc32c(memory.bytes.substr(0, 4096)));
  std::vector<AttemptMark> marks;
  const absl::Status read = read_marks(memory.bytes, marks);
  EXPECT_EQ(read.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(read.message()), HasSubstr("version 2"));
}

TEST(AttemptMarksTest, FilesAreFoundByTheirNames) {
  EXPECT_EQ(marks_path("journal-3", 12), "journal-3/marks-00000012");
  sim::SimStorage storage(1);
  sim::SimDisk disk(storage);
  for (const char* name : {"marks-00000012", "marks-00000003", "marks-123456789", "marks-0000000x",
                           "marks-00000000", "marks-12", "seg-00000001.vrj", "amarks-00000001"})
    storage.put("journal-3/" + std::string(name), "abc");
  std::vector<uint32_t> numbers;
  const absl::StatusOr<std::vector<MarksFile>> files = list_marks(disk, "journal-3");
  ASSERT_TRUE(files.ok()) << files.status();
  for (const MarksFile& file : *files) {
    numbers.push_back(file.number);
    EXPECT_EQ(file.bytes, 3u);
  }
  EXPECT_THAT(numbers, ElementsAre(3, 12, 123456789));
}

// What a store survives, and what a power cut does to it.
TEST(AttemptMarksTest, MemoryOutlivesTheProcess) {
  sim::SimStorage storage(1);
  uint64_t kept = 0, lost = 0;
  for (uint32_t number = 1; number <= 100; ++number) {
    const std::string path = marks_path("journal-0", number);
    {
      sim::SimDisk disk(storage);
      std::span<uint8_t> memory;
      ASSERT_EQ(disk.map_now(path, marks_bytes(64), memory), 0);
      EXPECT_EQ(disk.map_now(path, marks_bytes(64), memory), -EEXIST);
      AttemptMarks marks(memory, 0, number, 1);
      for (uint32_t i = 0; i < 64; ++i) marks.write({1, i, 1, 0});
    }
    storage.kill();
    std::vector<AttemptMark> read;
    ASSERT_TRUE(read_marks(storage.get(path), read).ok());
    EXPECT_EQ(read.size(), 64u);
    storage.crash();
    read.clear();
    ASSERT_TRUE(read_marks(storage.get(path), read).ok());
    kept += read.size();
    lost += 64 - read.size();
    for (const AttemptMark& mark : read) EXPECT_EQ(mark.batch, 1u);
  }
  EXPECT_GT(kept, 1000u);
  EXPECT_GT(lost, 1000u);
}

}  // namespace
}  // namespace veredus::queue
