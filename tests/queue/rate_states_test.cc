// The states of rates that outlive a process: bytes, torn entries, what gives way, and which files
// are believed.

#include "queue/rate_states.h"

#include <cstring>
#include <fstream>
#include <random>
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

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kNow = 1'700'000'000 * kSecond;
const std::string kBoot = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

RateKey key_of(uint8_t number, uint8_t resource = 2) {
  RateKey key;
  key.scope.fill(number);
  key.resource = resource;
  return key;
}

RateState state_of(uint8_t number, uint32_t life, int64_t state_wall_ns = kNow + kHour,
                   int64_t stamp_wall_ns = kNow) {
  return {key_of(number), {6, kHour}, state_wall_ns, stamp_wall_ns, life};
}

// A file in memory.
struct Memory {
  explicit Memory(uint32_t places) : bytes(rate_states_bytes(places), '\0') {}
  RateStates begin(uint32_t life = 3, const std::string& boot = kBoot) {
    return RateStates({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()},
                      {5, 12, life, boot});
  }
  RateStatesFile file() const {
    const absl::StatusOr<RateStatesFile> read = read_rate_states(bytes);
    EXPECT_TRUE(read.ok()) << read.status();
    return *read;
  }
  std::vector<RateState> read() const { return file().states; }
  alignas(8) std::string bytes;
};

TEST(RateStates, AreKeptOfSlowRatesOnly) {
  struct {
    Rate rate;
    bool kept;
  } const cases[] = {{{0, kHour}, false},
                     {{6, kHour}, true},
                     {{1, kSecond}, false},
                     {{1, kSecond + 1}, true},
                     {{60, 60 * kSecond}, false},
                     {{59, 60 * kSecond}, true},
                     {{3600, kHour}, false},
                     {{3599, kHour}, true},
                     {{1, 1}, false},
                     {{UINT64_MAX, INT64_MAX}, false},
                     {{1, INT64_MAX}, true},
                     {{1000, kDay}, true},
                     {{100'000, kDay}, false},
                     {{1, 0}, false},
                     {{UINT64_MAX, kSecond}, false}};
  for (const auto& each : cases)
    EXPECT_EQ(state_is_kept(each.rate), each.kept) << each.rate.count << " " << each.rate.per_ns;
}

TEST(RateStates, TheBytesAreThoseOfTheFormatPage) {
  Memory memory(1);
  RateStates states = memory.begin();
  states.put({key_of(0xa5, 2), {6, kHour}, kNow + 600 * kSecond, kNow, 3});
  std::string shown, line;
  bool inside = false;
  std::ifstream page(VEREDUS_SOURCE "/queue/FORMAT.md");
  while (std::getline(page, line)) {
    if (line.starts_with("```")) {
      inside = line == "```hex rates";
    } else if (inside) {
      shown += line.substr(0, line.find("  ")) + '\n';
    }
  }
  std::string written;
  char part[32];
  for (size_t at = 0; at < memory.bytes.size(); at += 16) {
    if (memory.bytes.find_first_not_of('\0', at) >= at + 16) continue;
    std::snprintf(part, sizeof part, "%04zx:", at);
    written += part;
    for (size_t n = at; n < at + 16; ++n) {
      std::snprintf(part, sizeof part, " %02x", static_cast<unsigned char>(memory.bytes[n]));
      written += part;
    }
    written += '\n';
  }
  EXPECT_EQ(shown, written);
  const RateStatesFile file = memory.file();
  EXPECT_EQ(file.header, (RateStatesHeader{5, 12, 3, kBoot}));
}

TEST(RateStates, WhatIsPutIsRead) {
  Memory memory(4);
  RateStates states = memory.begin();
  EXPECT_TRUE(memory.file().begun);
  EXPECT_THAT(memory.read(), IsEmpty());
  const RateState one = state_of(1, 3), two = state_of(2, 2), three = state_of(3, 3);
  for (const RateState& each : {one, two, three}) states.put(each);
  EXPECT_THAT(memory.read(), ElementsAre(one, two, three));
  RateState later = two;
  for (int turn = 0; turn < 5; ++turn) {
    later.state_wall_ns += 1;
    later.life = 3;
    states.put(later);
    EXPECT_THAT(memory.read(), ElementsAre(one, later, three));
    ASSERT_NE(states.find(two.key), nullptr);
    EXPECT_EQ(*states.find(two.key), later);
  }
  // Of another resource it is another one.
  RateState other = one;
  other.key.resource = 1;
  states.put(other);
  EXPECT_THAT(memory.read(), ElementsAre(one, later, three, other));
  EXPECT_EQ(states.find(key_of(9)), nullptr);
}

// The process may die between any two bytes: what was put before is still there.
TEST(RateStates, ATornEntryLeavesTheOneBefore) {
  Memory memory(1);
  RateStates states = memory.begin();
  std::vector<RateState> put;
  for (int64_t turn = 0; turn < 4; ++turn) {
    const std::string before = memory.bytes;
    put.push_back(state_of(7, 3, kNow + turn * 1'234'567));
    states.put(put.back());
    const std::string after = memory.bytes;
    for (size_t at = 4096; at < 4096 + 128; ++at) {
      const std::string torn = after.substr(0, at) + before.substr(at);
      memory.bytes.assign(torn);  // in its place: `states` points there
      if (memory.bytes == after) continue;
      if (turn == 0) {
        EXPECT_THAT(memory.read(), IsEmpty()) << at;
      } else {
        EXPECT_THAT(memory.read(), ElementsAre(put[put.size() - 2])) << turn << " " << at;
      }
    }
    for (size_t bit = 0; bit < 128 * 8; ++bit) {
      memory.bytes.assign(after);
      char& byte = memory.bytes[4096 + bit / 8];
      byte = static_cast<char>(byte ^ (1 << bit % 8));
      for (const RateState& read : memory.read()) EXPECT_THAT(put, testing::Contains(read)) << bit;
    }
    memory.bytes.assign(after);
    EXPECT_THAT(memory.read(), ElementsAre(put.back()));
  }
}

TEST(RateStates, WhenFullTheOneWrittenLongestAgoGivesWay) {
  Memory memory(3);
  RateStates states = memory.begin();
  const RateState carried = state_of(1, 2), two = state_of(2, 3), three = state_of(3, 3);
  for (const RateState& each : {carried, two, three}) states.put(each);
  states.put(two);
  const RateState four = state_of(4, 3);
  states.put(four);
  EXPECT_THAT(memory.read(), UnorderedElementsAre(two, three, four));
  EXPECT_EQ(states.find(carried.key), nullptr);
  // It was of an earlier life, and says nothing else than that life's file did.
  EXPECT_FALSE(memory.file().given_way);
  const RateState five = state_of(5, 3);
  states.put(five);
  EXPECT_THAT(memory.read(), UnorderedElementsAre(two, four, five));
  EXPECT_TRUE(memory.file().given_way);
  EXPECT_TRUE(states.given_way());
}

// Against a plain model, with few places and many keys.
TEST(RateStates, HoldTheLastOnesOfAnySequence) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    const auto places = static_cast<uint32_t>(1 + random() % 8);
    Memory memory(places);
    RateStates states = memory.begin();
    std::vector<RateState> model;  // written longest ago first
    for (int i = 0; i < 100; ++i) {
      const RateState state = state_of(static_cast<uint8_t>(random() % 12), 3, kNow + i);
      std::erase_if(model, [&](const RateState& each) { return each.key == state.key; });
      model.push_back(state);
      if (model.size() > places) model.erase(model.begin());
      states.put(state);
      ASSERT_THAT(memory.read(), testing::UnorderedElementsAreArray(model));
      for (const RateState& each : model) ASSERT_EQ(*states.find(each.key), each);
    }
  }
}

TEST(RateStates, WithoutMemoryNothingIsKept) {
  RateStates states;
  states.put(state_of(1, 3));
  states.complete();
  states.end();
  EXPECT_FALSE(states.keeps());
  EXPECT_EQ(states.find(key_of(1)), nullptr);
}

TEST(RateStates, AFileThatWasBeingMadeHasNotBegun) {
  for (const size_t length : {0, 1, 4095, 4096, 4096 + 64, 4096 + 128}) {
    const absl::StatusOr<RateStatesFile> read = read_rate_states(std::string(length, '\0'));
    ASSERT_TRUE(read.ok());
    EXPECT_FALSE(read->begun);
    EXPECT_THAT(read->states, IsEmpty());
  }
}

TEST(RateStates, ADamagedOrShortFileIsNotSound) {
  Memory memory(2);
  RateStates states = memory.begin();
  states.put(state_of(1, 3));
  EXPECT_TRUE(memory.file().sound);
  for (size_t bit = 0; bit < 512 * 8; ++bit) {
    Memory damaged = memory;
    char& byte = damaged.bytes[bit / 8];
    byte = static_cast<char>(byte ^ (1 << bit % 8));
    EXPECT_FALSE(damaged.file().sound) << bit;
    EXPECT_THAT(damaged.read(), IsEmpty());
  }
  memory.bytes.resize(memory.bytes.size() - 1);
  EXPECT_FALSE(memory.file().sound);
}

TEST(RateStates, ANewerVersionIsRefusedByName) {
  Memory memory(1);
  memory.begin();
  store_number(memory.bytes.data() + 8, kRateStatesVersion + 1);
  store_number(memory.bytes.data() + 12, uint32_t{0});
  store_number(memory.bytes.data() + 12, crc32c(memory.bytes.substr(0, 512)));
  const absl::StatusOr<RateStatesFile> read = read_rate_states(memory.bytes);
  EXPECT_EQ(read.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(read.status().message()), HasSubstr("version 2"));
}

TEST(RateStates, MarksOfTheHeaderAreRead) {
  Memory memory(1);
  RateStates states = memory.begin();
  EXPECT_FALSE(memory.file().complete || memory.file().ended || memory.file().given_way);
  states.complete();
  EXPECT_TRUE(memory.file().complete);
  EXPECT_FALSE(memory.file().ended);
  states.end();
  EXPECT_TRUE(memory.file().ended);
  EXPECT_TRUE(memory.file().sound);
  // Half of the word is no end.
  std::memset(memory.bytes.data() + 1536 + 4, 0, 4);
  EXPECT_FALSE(memory.file().ended);
}

// --- which files are believed ---

struct Of {
  uint32_t life = 1;
  std::string boot = kBoot;
  bool complete = false, ended = false, given_way = false;
};
RateStatesFile file_of(const Of& of, std::vector<RateState> states) {
  RateStatesFile file;
  file.header = {0, 1, of.life, of.boot};
  file.begun = file.sound = true;
  file.complete = of.complete;
  file.ended = of.ended;
  file.given_way = of.given_way;
  file.states = std::move(states);
  return file;
}
RateStatesFile not_begun() {
  return {};
}
RateStatesFile unknown() {
  RateStatesFile file;
  file.begun = true;
  return file;
}

TEST(RateTable, BelievesWhatNothingCanBeMissingOf) {
  const RateState one1 = state_of(1, 1), one2 = state_of(1, 2, kNow + 7), two1 = state_of(2, 1),
                  three2 = state_of(3, 2);
  const struct {
    const char* what;
    std::vector<RateStatesFile> files;
    std::vector<RateState> found;
  } cases[] = {
      {"nothing", {}, {}},
      {"a kill", {file_of({1}, {one1, two1})}, {one1, two1}},
      {"a power cut", {file_of({.life = 1, .boot = "other"}, {one1})}, {}},
      {"a host that says no boot id", {file_of({.life = 1, .boot = ""}, {one1})}, {}},
      {"a clean end, then another boot",
       {file_of({.life = 1, .boot = "other", .ended = true}, {one1})},
       {one1}},
      {"a kill before all was carried over",
       {file_of({1}, {one1, two1}), file_of({2}, {one2, three2})},
       {one2, two1, three2}},
      {"in any order",
       {file_of({2}, {one2, three2}), file_of({1}, {one1, two1})},
       {one2, two1, three2}},
      {"an old file that could not be removed",
       {file_of({1}, {one1, two1}), file_of({.life = 2, .complete = true}, {one2})},
       {one2}},
      {"what was carried over",
       {file_of({.life = 2, .complete = true}, {one1, three2})},
       {one1, three2}},
      {"carried over by one shard, written by another",
       {file_of({.life = 2, .complete = true}, {one1, two1}),
        file_of({.life = 2, .complete = true}, {one2})},
       {one2, two1}},
      {"a clean end, a life, a power cut",
       {file_of({.life = 1, .boot = "other", .ended = true}, {one1}),
        file_of({.life = 2, .boot = "other"}, {})},
       {}},
      {"one shard's end is marked, the other's is not, a power cut",
       {file_of({.life = 2, .boot = "other", .ended = true}, {one1}),
        file_of({.life = 2, .boot = "other"}, {})},
       {}},
      {"a power cut, then a life that is killed",
       {file_of({.life = 1, .boot = "other"}, {one1, two1}), file_of({2}, {three2})},
       {three2}},
      {"a file that was being made", {file_of({1}, {one1}), not_begun()}, {one1}},
      {"a file that cannot be read", {file_of({1}, {one1}), unknown()}, {}},
      {"something of that life gave way",
       {file_of({.life = 2}, {one1, two1}), file_of({.life = 2, .given_way = true}, {three2})},
       {three2}},
      {"something of an earlier life gave way",
       {file_of({.life = 1, .given_way = true}, {one1}), file_of({2}, {three2})},
       {one1, three2}},
  };
  for (const auto& each : cases) {
    const RateTable table(each.files, kBoot, kNow);
    EXPECT_EQ(table.states(), each.found) << each.what;
    for (const RateState& state : each.found) EXPECT_EQ(*table.find(state.key), state);
  }
  EXPECT_EQ(RateTable({file_of({1, ""}, {one1})}, "", kNow).find(one1.key), nullptr);
  EXPECT_EQ(RateTable({}, kBoot, kNow).find(one1.key), nullptr);
}

TEST(RateTable, NumbersLivesOn) {
  EXPECT_EQ(RateTable({}, kBoot, kNow).next_life(), 1u);
  EXPECT_EQ(RateTable({file_of({7}, {}), file_of({3}, {})}, kBoot, kNow).next_life(), 8u);
  EXPECT_EQ(RateTable({file_of({7, "other"}, {}), unknown()}, kBoot, kNow).next_life(), 8u);
}

TEST(RateTable, DropsWhatNobodyHasWrittenForLong) {
  const RateState fresh = state_of(1, 1, kNow, kNow - 30 * kDay),
                  old = state_of(2, 1, kNow, kNow - 30 * kDay - 1),
                  ahead = state_of(3, 1, kNow, kNow + 90 * kDay);
  const RateTable table({file_of({1}, {fresh, old, ahead})}, kBoot, kNow);
  EXPECT_THAT(table.states(), ElementsAre(fresh, ahead));
}

// Whatever wall clocks say, it is a time that an owner can be made with, and it lets nothing burst.
TEST(RateTable, AWallClockThatJumpedLetsNothingBurst) {
  constexpr int64_t kMono = 5 * kHour;
  for (const int64_t wall : {INT64_MIN, -kNow, int64_t{0}, kNow - 400 * kDay, kNow - kHour, kNow,
                             kNow + kHour, kNow + 400 * kDay, INT64_MAX}) {
    const RateState state = state_of(1, 1, kNow + 600 * kSecond);
    RateOwner owner({6, kHour}, 1, kMono, by_other_clock(state.state_wall_ns, wall, kMono));
    std::vector<RateNotice> notices;
    owner.request(0, {100, 1, 1}, kMono, notices);
    std::vector<int64_t> granted;
    while (granted.size() < 13) {
      const int64_t at = owner.next_grant_mono_ns();
      ASSERT_LT(at, kMono + 4 * kHour) << "nothing is blocked for good, wall clock " << wall;
      notices.clear();
      owner.run(at, notices);
      for (const RateNotice& notice : notices) granted.insert(granted.end(), notice.tokens, at);
    }
    EXPECT_GE(granted[0], kMono + kSecond) << wall;
    for (size_t i = 6; i < granted.size(); ++i)
      EXPECT_GE(granted[i] - granted[i - 6], kHour) << wall;
  }
  // Without a jump it is what was stored.
  EXPECT_EQ(by_other_clock(kNow + 5, kNow, 100), 105);
}

TEST(RateStates, FilesAreFoundByTheirNames) {
  EXPECT_EQ(rate_states_path("journal-3", 12), "journal-3/rates-00000012");
  sim::SimStorage storage(1);
  sim::SimDisk disk(storage);
  for (const char* name :
       {"rates-00000012", "rates-00000003", "rates-12", "rates-0000000x", "marks-00000001"})
    storage.put("journal-3/" + std::string(name), "abc");
  const absl::StatusOr<std::vector<NumberedFile>> files = list_rate_states(disk, "journal-3");
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ(files->at(0).number, 3u);
  EXPECT_EQ(files->at(1).number, 12u);
}

// What a power cut makes of a file that was synced and then stored to: each place says one of the
// states that were put there, or nothing, and the header stays what it was.
TEST(RateStates, APowerCutLeavesOldOnesOrNone) {
  uint64_t kept = 0, stale = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    sim::SimStorage storage(seed);
    sim::SimDisk disk(storage);
    std::span<uint8_t> memory;
    ASSERT_EQ(disk.map_now("journal-0/rates-00000001", rate_states_bytes(16), memory), 0);
    RateStates states(memory, {0, 1, 1, kBoot});
    const OpenFile file(disk, "journal-0/rates-00000001");
    ASSERT_EQ(disk.sync_now(file.handle()), 0);
    for (int64_t turn = 0; turn < 5; ++turn) {
      for (uint8_t number = 0; number < 16; ++number) states.put(state_of(number, 1, kNow + turn));
      if (turn == 1) {
        ASSERT_EQ(disk.sync_now(file.handle()), 0);
      }
    }
    storage.crash();
    const absl::StatusOr<RateStatesFile> read =
        read_rate_states(storage.get("journal-0/rates-00000001"));
    ASSERT_TRUE(read.ok());
    EXPECT_TRUE(read->sound);
    for (const RateState& state : read->states) {
      EXPECT_GE(state.state_wall_ns, kNow);
      EXPECT_LE(state.state_wall_ns, kNow + 4);
      kept += state.state_wall_ns == kNow + 4;
      stale += state.state_wall_ns < kNow + 4;
    }
    EXPECT_THAT(RateTable({*read}, "the next boot", kNow).states(), IsEmpty());
  }
  EXPECT_GT(kept, 100u);
  EXPECT_GT(stale, 100u);
}

}  // namespace
}  // namespace veredus::queue
