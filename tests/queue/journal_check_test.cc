#include "queue/journal_check.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/journal_recovery.h"
#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Three segments of three groups; everything before group 8 lies before the checkpoint.
struct JournalCheck : testing::Test {
  JournalCheck() {
    for (uint64_t sequence = 1; sequence <= 9; ++sequence) {
      Image& image = sequence <= 3 ? first : sequence <= 6 ? second : third;
      image.group(sequence, sequence - 1, {"payload " + std::to_string(sequence)});
    }
    recovered.checkpoint = {3, third.place(8), 8, 0};
    recovered.last_sequence = 9;
  }
  std::vector<std::string> check() {
    sim::SimStorage storage(1);
    if (put_first) first.put(storage);
    if (put_second) second.put(storage);
    third.put(storage);
    sim::SimDisk disk(storage);
    FramePlaces places;
    std::vector<Damage> damage;
    EXPECT_TRUE(check_segments(disk, 0, kDirectory, recovered, places, damage).ok());
    std::vector<std::string> told;
    for (const Damage& place : damage)
      told.push_back(std::to_string(place.segment) + ":" + std::to_string(place.offset) + ": " +
                     place.what);
    return told;
  }
  static std::string at(uint32_t segment, uint32_t offset) {
    return std::to_string(segment) + ":" + std::to_string(offset) + ": ";
  }

  Image first{1, {1, 1, 1}, 1}, second{2, {1, 1, 1}, 4, 3}, third{3, {1, 1, 1}, 7, 6};
  bool put_first = true, put_second = true;
  Recovered recovered;
};

TEST_F(JournalCheck, Sound) {
  EXPECT_THAT(check(), IsEmpty());
}

TEST_F(JournalCheck, PayloadDamagedBeforeTheCheckpoint) {
  second.flip(5, kGroupHeaderBytes + 9);
  EXPECT_THAT(check(), ElementsAre(at(2, second.place(5)) + "group 5: checksum wrong"));
}

TEST_F(JournalCheck, HeaderDamagedWithinASegment) {
  second.drop_header(5);
  EXPECT_THAT(check(), ElementsAre(HasSubstr(at(2, second.place(6)) + "groups 5 to 5")));
}

TEST_F(JournalCheck, LastGroupOfASegmentDamaged) {
  second.drop_header(6);
  EXPECT_THAT(check(), ElementsAre(HasSubstr(at(3, third.place(7)) + "groups 6 to 6")));
}

TEST_F(JournalCheck, SegmentsThatWereReclaimedAreNotMissing) {
  put_second = false;
  EXPECT_THAT(check(), IsEmpty());
  put_first = false;
  EXPECT_THAT(check(), IsEmpty());
}

// The header of the segment behind them says what it began with.
TEST_F(JournalCheck, FirstGroupBehindReclaimedSegmentsDamaged) {
  put_second = false;
  third.drop_header(7);
  EXPECT_THAT(check(), ElementsAre(HasSubstr(at(3, third.place(8)) + "groups 7 to 7")));
}

TEST_F(JournalCheck, SegmentHeaderDamaged) {
  second.bytes()[30] ^= 1;
  EXPECT_THAT(check(), ElementsAre(HasSubstr(at(2, 0))));
}

// What a start replays it judges itself; what it cuts is no damage.
TEST_F(JournalCheck, BehindTheCheckpointAndBehindTheEnd) {
  third.flip(8, kGroupHeaderBytes + 9);
  third.group(10, 9, {"torn"});
  third.flip(10, kGroupHeaderBytes + 9);
  EXPECT_THAT(check(), IsEmpty());
}

}  // namespace
}  // namespace veredus::queue
