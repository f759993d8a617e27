// One named test for each kind of damage a journal can meet (FORMAT.md lists them).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/journal_recovery.h"
#include "tests/queue/journal_harness.h"

namespace veredus::queue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Recovers; the journal is not started, so nothing is written.
struct Read {
  explicit Read(sim::SimStorage& storage, bool accept_unreadable = false)
      : life(storage, options(accept_unreadable)), recovered(life.recover()) {}
  static JournalOptions options(bool accept_unreadable) {
    JournalOptions made = small_options();
    made.accept_unreadable = accept_unreadable;
    return made;
  }
  std::vector<std::string> payloads() const { return life.visited.payloads(); }
  const std::vector<std::string>& damage() const { return life.visited.damage; }
  Life life;
  absl::StatusOr<Recovered> recovered;
};

// --- above the durable mark: cut ---

TEST(JournalDamage, TornLastGroupIsCut) {
  for (const uint32_t torn_at : {0u, 8u, 20u, 40u, 71u, 72u, 80u, 90u}) {
    sim::SimStorage storage(1);
    Image(1)
        .group(1, 0, {"a"})
        .group(2, 1, {"b"})
        .group(3, 2, {"c", "d"})
        .flip(3, torn_at)
        .put(storage);
    Read read(storage);
    EXPECT_THAT(read.payloads(), ElementsAre("a", "b")) << torn_at;
    EXPECT_THAT(read.damage(), IsEmpty());
    EXPECT_EQ(read.recovered->last_sequence, 2u);
    EXPECT_EQ(read.recovered->epoch, 2u);
    EXPECT_EQ(read.recovered->torn_groups, torn_at >= 72 ? 1u : 0u);  // else no group is seen there
  }
}

TEST(JournalDamage, MissingLastGroupIsCutWithoutAWord) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).drop(2).put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a"));
  EXPECT_THAT(read.damage(), IsEmpty());
  EXPECT_EQ(read.recovered->cut_groups, 0u);
}

TEST(JournalDamage, GapInUnsyncedGroupsCutsAtTheFirst) {
  for (const bool header_stays : {false, true}) {
    sim::SimStorage storage(1);
    Image image(1);
    image.group(1, 0, {"a"})
        .group(2, 0, {"b"})
        .group(3, 0, {"c"})
        .group(4, 0, {"d"})
        .group(5, 0, {"e"});
    header_stays ? image.drop_payload(3) : image.drop(3);
    image.put(storage);
    Read read(storage);
    EXPECT_THAT(read.payloads(), ElementsAre("a", "b"));
    EXPECT_EQ(read.recovered->cut_groups, 2u);
    EXPECT_EQ(read.recovered->torn_groups, header_stays ? 1u : 0u);
    EXPECT_EQ(read.recovered->last_sequence, 2u);
    EXPECT_THAT(read.damage(), IsEmpty());
  }
}

TEST(JournalDamage, UnsyncedGroupsWithoutAGapAreKept) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 0, {"b"}).group(3, 1, {"c"}).put(storage);
  EXPECT_THAT(Read(storage).payloads(), ElementsAre("a", "b", "c"));
}

TEST(JournalDamage, GapAtTheEndOfOneSegmentCutsTheNext) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).drop(2).put(storage);
  Image(2, {1, 1, 1}, 3, 1).group(3, 1, {"c"}).put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a"));
  EXPECT_EQ(read.recovered->cut_groups, 1u);
  EXPECT_THAT(read.damage(), IsEmpty());
}

TEST(JournalDamage, SegmentWithoutAnyWrittenHeaderIsEmpty) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).put(storage);
  storage.put(Journal::segment_path(kDirectory, 2), std::string(32768, '\0'));
  storage.put(Journal::segment_path(kDirectory, 3), "");
  storage.put(Journal::segment_path(kDirectory, 4), std::string(700, '\0'));
  storage.put("journal-0/seg-00000005.vrj.old", "not ours");
  storage.put("journal-0/notes", "not ours");
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a"));
  EXPECT_THAT(read.damage(), IsEmpty());
}

// --- below the durable mark: alarm ---

TEST(JournalDamage, DamageBelowDurableMarkAlarmsAndTheRestIsDelivered) {
  for (const uint32_t at : {0u, 8u, 35u, 60u, 73u, 81u}) {
    sim::SimStorage storage(1);
    Image image(1);
    image.group(1, 0, {"a"}).group(2, 1, {"b", "bb"}).group(3, 2, {"c"}).flip(2, at).put(storage);
    Read read(storage);
    EXPECT_THAT(read.payloads(), ElementsAre("a", "c")) << at;
    ASSERT_EQ(read.damage().size(), 1u);
    EXPECT_THAT(read.damage()[0], HasSubstr("1:" + std::to_string(image.place(2)) + ": group 2"));
    EXPECT_EQ(read.recovered->damaged, 1u);
    EXPECT_EQ(read.recovered->cut_groups, 0u);
    EXPECT_EQ(read.recovered->torn_groups, 0u);
    EXPECT_EQ(read.recovered->last_sequence, 3u);
  }
}

TEST(JournalDamage, SeveralDurableGroupsInARowAreOneAlarm) {
  sim::SimStorage storage(1);
  Image image(1);
  for (uint64_t n = 1; n <= 9; ++n) image.group(n, n - 1, {std::to_string(n)});
  image.drop(4).drop(5).flip(7, 80).put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("1", "2", "3", "6", "8", "9"));
  ASSERT_EQ(read.damage().size(), 2u);
  EXPECT_THAT(read.damage()[0], HasSubstr("groups 4 to 5"));
  EXPECT_THAT(read.damage()[1], HasSubstr("group 7"));
}

TEST(JournalDamage, DamageInTheFirstGroupAlarms) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).drop_header(1).put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("b"));
  EXPECT_EQ(read.damage().size(), 1u);
}

TEST(JournalDamage, DurableTailLostOnTheDiskAlarmsByTheNextSegmentsHeader) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).drop(2).put(storage);
  Image(2, {2, 3, 3}, 3, 2).put(storage);  // a later start: "up to 2 all was durable"
  for (int recoveries = 0; recoveries < 2; ++recoveries) {
    Life life(storage);
    life.open();
    EXPECT_THAT(life.visited.payloads(), ElementsAre("a"));
    EXPECT_EQ(life.visited.damage.size(), 1u);  // each time, not only the first
    EXPECT_EQ(life.recovered->last_sequence, 2u);
    life.shut();
    storage.crash();
  }
}

TEST(JournalDamage, DamagedLengthDoesNotHideTheNextGroup) {
  sim::SimStorage storage(1);
  Image image(1);
  image.group(1, 0, {"a"}).group(2, 1, {"b"}).group(3, 2, {"c"});
  image.flip(2, 64).flip(2, 66).put(storage);
  EXPECT_THAT(Read(storage).payloads(), ElementsAre("a", "c"));
}

TEST(JournalDamage, AWholeSegmentThatIsUnreadableAlarms) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).put(storage);
  Image(2, {1, 1, 1}, 2, 1).group(2, 1, {"b"}).group(3, 2, {"c"}).put(storage);
  Image(3, {1, 1, 1}, 4, 3).group(4, 3, {"d"}).put(storage);
  storage.put(Journal::segment_path(kDirectory, 2), std::string(32768, '\xee'));
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a", "d"));
  ASSERT_EQ(read.damage().size(), 1u);
  EXPECT_THAT(read.damage()[0], HasSubstr("groups 2 to 3"));
  storage.erase(Journal::segment_path(kDirectory, 2));
  EXPECT_THAT(Read(storage).damage(), testing::SizeIs(1));
}

TEST(JournalDamage, ReclaimedOldSegmentsAreNotMissed) {
  sim::SimStorage storage(1);
  Image(7, {3, 50, 50}, 60, 59).group(60, 59, {"a"}).group(61, 60, {"b"}).put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a", "b"));
  EXPECT_THAT(read.damage(), IsEmpty());
  EXPECT_EQ(read.recovered->epoch, 4u);
}

TEST(JournalDamage, DamagedSegmentHeaderAlarmsAndItsGroupsAreDelivered) {
  sim::SimStorage storage(1);
  Image image(1);
  image.group(1, 0, {"a"}).group(2, 1, {"b"});
  image.bytes()[30] = 'x';
  image.put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a", "b"));
  ASSERT_EQ(read.damage().size(), 1u);
  EXPECT_THAT(read.damage()[0], HasSubstr("1:0: the segment header is damaged"));
}

TEST(JournalDamage, TheOldestSegmentsGroupsStayThoughItsHeaderIsGone) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).drop_segment_header().put(storage);
  std::vector<std::string> wanted = {"a", "b"};
  for (int starts = 0; starts < 3; ++starts) {
    Life life(storage);
    life.open();
    EXPECT_EQ(life.visited.payloads(), wanted);
    EXPECT_EQ(life.visited.damage.size(), 1u);
    wanted.push_back(std::to_string(starts));
    life.put(wanted.back());
    life.shut();
  }
}

// What cannot be read may be there tomorrow: it must not be voided by a start today.
TEST(JournalDamage, UnreadableSectorsFailTheStart) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).put(storage);
  size_t failed = 0;
  for (uint64_t call = 1; call < 40; ++call) {
    storage.faults.fail_call = call;
    storage.faults.fail_count = 2;
    Read read(storage);
    EXPECT_THAT(read.damage(), IsEmpty());
    if (read.recovered.ok()) {
      EXPECT_EQ(read.payloads().size(), 2u);
      continue;
    }
    ++failed;
    EXPECT_TRUE(absl::IsUnavailable(read.recovered.status()));
  }
  EXPECT_GT(failed, 3u);
  storage.faults.fail_call = 0;
  EXPECT_EQ(Read(storage).payloads().size(), 2u);
}

TEST(JournalDamage, UnreadableSectorsAreDamageWhereverTheyLieIfThatIsAccepted) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 1, {"b"}).put(storage);
  size_t alarmed = 0, failed = 0;
  for (uint64_t call = 1; call < 40; ++call) {
    storage.faults.fail_call = call;
    storage.faults.fail_count = 2;  // the large read and the small one after it
    Read read(storage, true);
    if (!read.recovered.ok()) {
      ++failed;
      continue;
    }
    alarmed += !read.damage().empty();
    // Never silently less.
    EXPECT_TRUE(read.payloads().size() == 2 || !read.damage().empty()) << call;
  }
  EXPECT_GT(alarmed, 0u);
  EXPECT_GT(failed, 0u);
}

// Behind the last group before those of the next segment nothing counts: it is not even read.
TEST(JournalDamage, TheEndOfACompleteSegmentIsNotRead) {
  sim::SimStorage storage(1);
  for (const uint32_t epoch : {1u, 2u}) {
    Image first(1);
    first.group(1, 0, {"a"}).group(2, 1, {"b"});
    first.group(3, 2, {"never told"}).put(storage);
    const uint64_t next = epoch == 1 ? 3 : 9;
    Image(2, epoch == 1 ? EpochMark{1, 1, 1} : EpochMark{2, 3, 9}, next, 2)
        .group(next, 2, {"c"})
        .put(storage);
    Read read(storage);
    EXPECT_THAT(read.payloads(), ElementsAre("a", "b", "c")) << epoch;
    EXPECT_THAT(read.damage(), IsEmpty());
    EXPECT_EQ(read.recovered->last_sequence, next);
  }
}

// What does not fit into memory is read a second time: the same comes of it.
TEST(JournalDamage, WhatIsNotKeptIsReadAgain) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a", "aa"}).group(2, 1, {"b"}).put(storage);
  Image(2, {1, 1, 1}, 3, 2).group(3, 2, {std::string(9000, 'c')}).group(4, 3, {"d"}).put(storage);
  const std::vector<std::string> all = Read(storage).payloads();
  ASSERT_EQ(all.size(), 5u);
  for (const uint64_t kept : {0u, 100u, 200u, 300u, 9200u}) {
    Visited visited;
    sim::SimDisk disk(storage);
    EXPECT_TRUE(recover_journal(disk, 0, kDirectory, visited, false, ReadFor::resuming, kept).ok());
    EXPECT_EQ(visited.payloads(), all) << kept;
    EXPECT_THAT(visited.damage, IsEmpty());
  }
  // A disk that fails meanwhile fails the start.
  size_t failed = 0;
  for (uint64_t call = 1; call < 40; ++call) {
    storage.faults.fail_call = call;
    storage.faults.fail_count = 2;
    Visited visited;
    sim::SimDisk disk(storage);
    const auto found = recover_journal(disk, 0, kDirectory, visited, false, ReadFor::resuming, 0);
    EXPECT_THAT(visited.damage, IsEmpty());
    failed += !found.ok();
    if (found.ok()) {
      EXPECT_EQ(visited.payloads(), all);
    }
  }
  EXPECT_GT(failed, 10u);
}

TEST(FileWindow, GoesThroughAFileAndGivesWhatIsAskedFor) {
  sim::SimStorage storage(1);
  std::string bytes(9u << 20, '\0');
  for (size_t i = 0; i < bytes.size(); i += 100) bytes[i] = static_cast<char>(i / 100);
  storage.put("file", bytes);
  sim::SimDisk disk(storage);
  const std::string_view all = bytes;
  for (const uint64_t step : {512u, 70'000u, 3'000'000u, 5'000'000u}) {
    FileWindow window(disk, "file", 512, bytes.size());
    for (uint64_t at = 512; at < bytes.size() + 2 * step; at += step) {
      const std::string_view wanted = at < all.size() ? all.substr(at, step) : "";
      const std::string_view got = window.at(at, step);
      ASSERT_EQ(got.substr(0, step) == wanted, true) << at;
    }
  }
  FileWindow shorter(disk, "file", 8u << 20, 100u << 20);  // than it was said to be
  EXPECT_EQ(shorter.at(8u << 20, 2u << 20).size(), 1u << 20);
  EXPECT_FALSE(FileWindow(disk, "none", 0, 100).ok());
}

// --- nothing comes back ---

TEST(JournalDamage, DiscardedGroupDoesNotComeBackAfterSecondCrash) {
  for (int written_before_crash = 0; written_before_crash < 3; ++written_before_crash) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      sim::SimStorage storage(seed);
      Image(1).group(1, 0, {"a"}).group(2, 0, {"b"}).group(3, 0, {"c"}).drop(2).put(storage);
      std::vector<std::string> wanted = {"a"};
      for (int crashes = 0; crashes < 4; ++crashes) {
        Life life(storage);
        life.open();
        EXPECT_EQ(life.visited.payloads(), wanted);
        EXPECT_THAT(life.visited.damage, IsEmpty());
        for (int n = 0; n < written_before_crash; ++n) {
          wanted.push_back("new " + std::to_string(crashes) + "." + std::to_string(n));
          life.put(wanted.back());
        }
        storage.crash();
      }
    }
  }
}

TEST(JournalDamage, DiscardedGroupStaysVoidThoughItsGapIsFilledLater) {
  // The group that was missing appears after all (a disk that wrote late): the cut stands.
  sim::SimStorage storage(1);
  Image whole(1);
  whole.group(1, 0, {"a"}).group(2, 0, {"b"}).group(3, 0, {"c"});
  Image gap = whole;
  gap.drop(2).put(storage);
  {
    Life life(storage);
    life.open();
    life.put("new");
    life.shut();
  }
  whole.put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a", "new"));
  EXPECT_THAT(read.damage(), IsEmpty());
}

TEST(JournalDamage, TheCutIsKnownThoughTheHeaderThatStatesItIsDamaged) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).group(2, 0, {"b"}).group(3, 0, {"c"}).drop(2).put(storage);
  uint32_t segment = 0;
  {
    Life life(storage);
    life.open();
    segment = life.put("new").location.segment;
    life.shut();
  }
  storage.corrupt(Journal::segment_path(kDirectory, segment), 40);
  Read read(storage);
  EXPECT_THAT(read.payloads(), ElementsAre("a", "new"));
  EXPECT_EQ(read.damage().size(), 1u);
}

TEST(JournalDamage, CrashInRecoveryChangesNothing) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    sim::SimStorage storage(seed);
    Image(1)
        .group(1, 0, {"a"})
        .group(2, 1, {"b"})
        .group(3, 1, {"c"})
        .group(4, 1, {"d"})
        .drop(3)
        .put(storage);
    for (uint64_t crashes = 0; crashes < 5; ++crashes) {
      Life life(storage);
      if (crashes % 2 == 0) {
        ASSERT_TRUE(life.recover().ok());
      } else {
        // Into the making of the new segment and its header, which nothing may yet rely on.
        life.open();
        life.journal.append(FrameType::outcomes, "");
        life.journal.flush();
        for (uint64_t steps = seed % 4; steps > 0; --steps) life.disk.complete_one();
        EXPECT_THAT(life.heard.durable, IsEmpty());
      }
      std::vector<std::string> payloads = life.visited.payloads();
      std::erase(payloads, "");
      EXPECT_THAT(payloads, ElementsAre("a", "b"));
      EXPECT_THAT(life.visited.damage, IsEmpty());
      storage.crash();
    }
  }
}

TEST(JournalDamage, ASegmentHeaderThatWasNeverWrittenLeavesItsEpochUnused) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).put(storage);
  Image(2, {2, 2, 2}, 2, 1).drop_segment_header().put(storage);
  Life life(storage);
  life.open();
  EXPECT_EQ(life.recovered->epoch, 2u);
  EXPECT_EQ(life.put("b").location.segment, 3u);
}

TEST(JournalDamage, OldBytesOfRecycledSegmentAreIgnored) {
  for (const uint32_t epoch : {1u, 2u}) {
    sim::SimStorage storage(1);
    Image old(1);
    for (uint64_t n = 1; n <= 9; ++n) old.group(n, n - 1, {"old " + std::to_string(n)});
    // The same file again as segment 2: header and one group are new, behind them lies the old use,
    // whose sequences would go on just there.
    Image fresh(2, {epoch, 1, 1}, 1, 0);
    fresh.group(1, 0, {"new"});
    old.bytes().replace(0, fresh.end(), fresh.bytes().substr(0, fresh.end()));
    old.put_as(storage, 2);
    Read read(storage);
    EXPECT_THAT(read.payloads(), ElementsAre("new"));
    EXPECT_THAT(read.damage(), IsEmpty());
  }
}

TEST(JournalDamage, ARecycledFileWithItsOldHeaderIsEmpty) {
  sim::SimStorage storage(1);
  Image old(1);
  old.group(1, 0, {"old"}).group(2, 1, {"old"});
  old.put_as(storage, 2);
  Read read(storage);
  EXPECT_THAT(read.payloads(), IsEmpty());
  EXPECT_THAT(read.damage(), IsEmpty());
}

TEST(JournalDamage, AGroupAtAnotherPlaceThanItsOwnIsIgnored) {
  sim::SimStorage storage(1);
  Image image(1);
  image.group(1, 0, {"a"}).group(2, 1, {"b"}).group(3, 2, {"c"});
  const std::string moved = image.bytes().substr(image.place(3), 512);
  image.drop(3);
  image.bytes().replace(image.end() + 1024, 512, moved);
  image.put(storage);
  EXPECT_THAT(Read(storage).payloads(), ElementsAre("a", "b"));
}

TEST(JournalDamage, AForgedGroupWithinADamagedOneIsNotRead) {
  // A feeder's content that looks like groups of this very journal, at the right place.
  Image forged(1);
  forged.group(1, 0, {"x"}).group(2, 1, {"FORGED"});
  const std::string bait = forged.bytes().substr(forged.place(2), 512);
  sim::SimStorage storage(1);
  Image image(1);
  // The payload begins 80 bytes behind the group; so the bait begins at the next sector.
  image.group(1, 0, {std::string(512 - 80, '.') + bait})
      .group(2, 0, {"b"})
      .flip(1, 80)
      .put(storage);
  Read read(storage);
  EXPECT_THAT(read.payloads(), IsEmpty());
  EXPECT_EQ(read.recovered->cut_groups, 1u);
}

// --- refused ---

TEST(JournalDamage, NewerVersionIsRefused) {
  sim::SimStorage storage(1);
  Image(1).group(1, 0, {"a"}).put(storage);
  Image newer(2, {1, 1, 1}, 2, 1);
  newer.bytes()[8] = 9;
  // The checksum is right: it was another release that wrote it.
  std::string zeroed = newer.bytes().substr(0, kSegmentHeaderBytes);
  zeroed.replace(12, 4, 4, '\0');
  const uint32_t sum = [&] {
    uint32_t crc = ~0u;
    for (const char byte : zeroed) {
      crc ^= static_cast<uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
  }();
  for (int n = 0; n < 4; ++n)
    newer.bytes()[12 + static_cast<size_t>(n)] = static_cast<char>(sum >> 8 * n);
  newer.put(storage);
  const std::vector<std::string> before = storage.paths();
  Read read(storage);
  ASSERT_FALSE(read.recovered.ok());
  const std::string message(read.recovered.status().message());
  EXPECT_THAT(message, HasSubstr("journal-0/seg-00000002.vrj"));
  EXPECT_THAT(message, HasSubstr("version 9"));
  EXPECT_THAT(message, HasSubstr("version 4"));
  EXPECT_THAT(read.payloads(), IsEmpty());  // not a frame before the refusal
  EXPECT_EQ(storage.paths(), before);
}

TEST(JournalDamage, AnotherJournalsSegmentIsRefused) {
  sim::SimStorage storage(1);
  {
    Life life(storage);
    life.open();
    life.put("a");
    life.shut();
  }
  storage.put("journal-3/seg-00000001.vrj", storage.get(Journal::segment_path(kDirectory, 1)));
  sim::SimDisk disk(storage);
  Heard heard;
  Visited visited;
  Journal other(disk, heard, 3, "journal-3", small_options());
  const auto recovered = other.recover(visited);
  ASSERT_FALSE(recovered.ok());
  EXPECT_THAT(std::string(recovered.status().message()), HasSubstr("belongs to journal 0"));
}

TEST(JournalDamage, EveryTruncationOfTheLastSegmentIsACut) {
  sim::SimStorage storage(1);
  Image image(1);
  for (uint64_t n = 1; n <= 6; ++n) image.group(n, 0, {std::to_string(n) + std::string(300, '.')});
  const std::string whole = image.bytes();
  for (size_t length = 0; length < image.end(); length += 37) {
    storage.put(Journal::segment_path(kDirectory, 1), whole.substr(0, length));
    Read read(storage);
    ASSERT_TRUE(read.recovered.ok());
    const size_t kept = read.payloads().size();
    for (size_t n = 0; n < kept; ++n) EXPECT_EQ(read.payloads()[n][0], '1' + static_cast<char>(n));
    EXPECT_LE(kept, length / 512);
  }
}

TEST(JournalDamage, EveryFlippedBitOfAnUndurableGroupCutsIt) {
  Image image(1);
  image.group(1, 0, {"a"}).group(2, 0, {"bb"});
  const uint32_t from = image.place(2);
  for (uint32_t bit = 0; bit < 8 * 96; ++bit) {  // header, frame header, payload and its filling
    sim::SimStorage storage(1);
    Image damaged = image;
    char& byte = damaged.bytes()[from + bit / 8];
    byte = static_cast<char>(byte ^ 1 << bit % 8);
    damaged.put(storage);
    Read read(storage);
    const bool in_filling = bit / 8 >= kGroupHeaderBytes + kFrameHeaderBytes + 8;
    EXPECT_EQ(read.payloads().size(), in_filling ? 2u : 1u) << "byte " << bit / 8;
  }
}

}  // namespace
}  // namespace veredus::queue
