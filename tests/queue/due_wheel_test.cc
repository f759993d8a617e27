#include "queue/due_wheel.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

constexpr uint32_t kNoBudget = 0xffffffff;

struct World {
  explicit World(uint32_t now = 0) : table(10'000), wheel(table, now) {}

  // Ticks may be given beyond 32 bits.
  uint32_t schedule(uint64_t due) {
    const uint32_t slot = table.allocate();
    table[slot].due = static_cast<uint32_t>(due);
    table[slot].state = RecordState::waiting;
    wheel.schedule(slot);
    return slot;
  }
  std::vector<uint32_t> advance(uint64_t now, uint32_t budget = kNoBudget) {
    std::vector<uint32_t> slots;
    caught_up = wheel.advance(static_cast<uint32_t>(now), budget,
                              [&](uint32_t slot) { slots.push_back(slot); });
    return slots;
  }

  RecordTable table;
  DueWheel wheel;
  bool caught_up = false;
};

TEST(DueWheel, GivesWhatIsDueNotWhatIsNot) {
  World world;
  const uint32_t late = world.schedule(300), early = world.schedule(5),
                 far = world.schedule(70'000);
  EXPECT_EQ(world.wheel.next_due(), 5u);
  EXPECT_TRUE(world.advance(4).empty());
  EXPECT_EQ(world.advance(5), std::vector<uint32_t>{early});
  EXPECT_TRUE(world.advance(299).empty());
  EXPECT_EQ(world.advance(300), std::vector<uint32_t>{late});
  EXPECT_TRUE(world.advance(69'999).empty());
  EXPECT_EQ(world.advance(1'000'000), std::vector<uint32_t>{far});
  EXPECT_EQ(world.wheel.count(), 0u);
  EXPECT_FALSE(world.wheel.next_due().has_value());
}

TEST(DueWheel, WhatIsPastComesWithTheNextCall) {
  World world;
  world.advance(1000);
  const uint32_t a = world.schedule(3), b = world.schedule(1000), c = world.schedule(1001);
  EXPECT_EQ(world.wheel.next_due(), 1000u);
  EXPECT_EQ(world.advance(1000), (std::vector<uint32_t>{a, b}));
  EXPECT_TRUE(world.advance(500).empty()) << "time never goes back";
  EXPECT_EQ(world.advance(1001), std::vector<uint32_t>{c});
}

TEST(DueWheel, EqualDueComesInOrderHoweverFarAheadItWasScheduled) {
  World world;
  const uint64_t due = 0x01020304;
  std::vector<uint32_t> expected;
  for (uint64_t now :
       {uint64_t{0}, uint64_t{0x01000000}, uint64_t{0x01020000}, uint64_t{0x01020300}}) {
    ASSERT_TRUE(world.advance(now).empty());
    expected.push_back(world.schedule(due));
  }
  EXPECT_TRUE(world.advance(due - 1).empty());
  EXPECT_EQ(world.advance(due), expected);
}

// How many calls it takes to get 1000 records that are due then, seven moves at a time.
int calls_for(uint64_t due) {
  World world;
  std::vector<uint32_t> expected;
  for (int i = 0; i < 1000; ++i) expected.push_back(world.schedule(due));
  std::vector<uint32_t> seen;
  int calls = 0;
  do {
    ++calls;
    const std::vector<uint32_t> some = world.advance(due + 10'000, 7);
    EXPECT_LE(some.size(), 7u);
    seen.insert(seen.end(), some.begin(), some.end());
  } while (!world.caught_up && calls < 10'000);
  EXPECT_EQ(seen, expected);
  return calls;
}

TEST(DueWheel, NeverMovesMoreThanTheBudget) {
  // Those of the next hours are moved once, others twice.
  EXPECT_EQ(calls_for(70'000), 1000 / 7 + 1);
  EXPECT_EQ(calls_for(DueWheel::kNear), 1000 / 7 + 1);
  EXPECT_GE(calls_for(DueWheel::kNear + 1), 2 * 1000 / 7);
  EXPECT_LE(calls_for(100'000'000), 2 * 1000 / 7 + 2);
}

TEST(DueWheel, WhatIsLookedForIsTakenOut) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    uint64_t now = seed % 3 == 0 ? (uint64_t{1} << 32) - random() % 100'000 : 0;
    World world(static_cast<uint32_t>(now));
    std::map<uint32_t, uint64_t> waiting;  // due, by slot
    const auto schedule = [&](uint64_t due) { waiting[world.schedule(due)] = due; };
    for (int i = 0; i < 500; ++i) schedule(now + 1 + random() % (4 * uint64_t{DueWheel::kNear}));
    std::map<uint32_t, uint64_t> first = waiting;  // who is to be looked at
    DueWheel::Sifted at;
    const auto odd = [](uint32_t slot) { return slot % 2 == 1; };
    for (bool all = false; !all;) {
      SlotFifo out;
      all = world.wheel.sift(at, 1 + static_cast<uint32_t>(random() % 20), odd, out);
      for (uint32_t slot; (slot = out.pop_front(world.table)) != kNoSlot;) {
        ASSERT_TRUE(odd(slot));
        ASSERT_EQ(waiting.erase(slot), 1u) << "seed " << seed;
        first.erase(slot);
      }
      // Time goes on, spans are dealt out, others come.
      if (random() % 4 == 0) now += random() % (DueWheel::kNear / 8);
      for (const uint32_t slot : world.advance(now, 1 + static_cast<uint32_t>(random() % 30))) {
        ASSERT_LE(waiting.at(slot), now);
        waiting.erase(slot);
        first.erase(slot);
      }
      if (random() % 8 == 0) schedule(now + random() % (2 * uint64_t{DueWheel::kNear}));
      ASSERT_EQ(world.wheel.count(), waiting.size());
    }
    for (const auto& [slot, due] : first)
      ASSERT_TRUE(!odd(slot) || due <= now) << "seed " << seed << ": passed over";
  }
}

// As a retry with a short delay is, when time has gone on by more than that.
TEST(DueWheel, WhatIsScheduledMeanwhileComesOutInItsTurn) {
  World world;
  const uint32_t again = world.schedule(5), last = world.schedule(300);
  std::vector<std::pair<uint32_t, uint32_t>> seen;  // slot, due
  const auto take = [&](uint32_t slot) {
    seen.emplace_back(slot, world.table[slot].due);
    if (slot != again || seen.size() > 3) return;
    // A later tick that is due, too; then one that is past.
    world.table[slot].due = seen.size() == 1 ? 100 : 50;
    world.wheel.schedule(slot);
  };
  EXPECT_TRUE(world.wheel.advance(1000, kNoBudget, take));
  const std::vector<std::pair<uint32_t, uint32_t>> expected = {
      {again, 5}, {again, 100}, {again, 50}, {again, 50}, {last, 300}};
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(world.wheel.count(), 0u);
}

// Near ticks and a span ahead of them: whoever was scheduled first comes first.
TEST(DueWheel, KeepsTheOrderOfATickAcrossSpans) {
  World world;
  const uint64_t due = 2 * uint64_t{DueWheel::kNear};  // where a span begins
  std::vector<uint32_t> expected;
  world.advance(due - 10);
  expected.push_back(world.schedule(due));    // near
  world.schedule(due + DueWheel::kNear - 5);  // of the same span, too far: it has a list now
  expected.push_back(world.schedule(due));    // in that list
  EXPECT_TRUE(world.advance(due - 1).empty());
  EXPECT_EQ(world.advance(due, 1), std::vector<uint32_t>());  // one of the list is dealt out
  expected.push_back(world.schedule(due));
  EXPECT_EQ(world.advance(due), expected);
  EXPECT_EQ(world.wheel.count(), 1u);
}

// All calls run to the end: the output must equal a stable multimap's, to the record.
TEST(DueWheel, AgreesWithAMultimap) {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    // Some worlds begin just before the 32-bit ticks wrap.
    uint64_t now = seed % 3 == 0 ? (uint64_t{1} << 32) - random() % 100'000 : random() % 1'000'000;
    World world(static_cast<uint32_t>(now));
    std::multimap<uint64_t, uint32_t> model;
    for (int step = 0; step < 300; ++step) {
      for (uint64_t n = random() % 12; n > 0 && world.table.count() < 9'000; --n) {
        // Delays of all magnitudes, and now and then one in the past.
        uint64_t due = now + (random() >> (33 + random() % 31)) % kTicksAheadMax;
        if (random() % 10 == 0) due = now - std::min<uint64_t>(now, random() % 600);
        if (random() % 4 == 0 && !model.empty()) due = std::prev(model.end())->first;
        model.emplace(std::max(due, now), world.schedule(due));
      }
      now +=
          random() % 20 == 0 ? (random() >> (33 + random() % 31)) % kTicksAheadMax : random() % 300;
      const std::vector<uint32_t> out = world.advance(now);
      ASSERT_TRUE(world.caught_up);
      size_t at = 0;
      for (auto it = model.begin(); it != model.end() && it->first <= now; it = model.erase(it)) {
        ASSERT_LT(at, out.size()) << "seed " << seed << ": due and not given";
        ASSERT_EQ(out[at++], it->second) << "seed " << seed;
      }
      ASSERT_EQ(at, out.size()) << "seed " << seed << ": given early";
      for (uint32_t slot : out) world.table.release(slot);
      ASSERT_EQ(world.wheel.count(), model.size());
      const std::optional<uint32_t> next = world.wheel.next_due();
      ASSERT_EQ(next.has_value(), !model.empty());
      if (next) {
        const int64_t ahead = ticks_until(static_cast<uint32_t>(now), *next);
        ASSERT_GT(ahead, 0) << "would spin";
        ASSERT_LE(static_cast<uint64_t>(ahead), model.begin()->first - now)
            << "would sleep too long";
      }
    }
  }
}

// Small budgets, with records added in the middle: nothing early, nothing lost, in order of due,
// equal ones in order of scheduling.
TEST(DueWheel, KeepsOrderWhenResumed) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    std::mt19937_64 random(seed);
    uint64_t now = seed % 3 == 0 ? (uint64_t{1} << 32) - random() % 100'000 : 0;
    World world(static_cast<uint32_t>(now));
    struct Waiting {
      uint64_t due;
      uint64_t order;
      bool overdue;  // when scheduled, time had already been asked to pass it
    };
    std::map<uint32_t, Waiting> waiting;
    std::map<uint64_t, uint64_t> last_order;  // by due
    uint64_t order = 0, last_due = 0;
    for (int step = 0; step < 2000; ++step) {
      const uint64_t base = now;
      for (uint64_t n = random() % 6; n > 0 && waiting.size() < 5000; --n) {
        // Few distinct ticks, so that many are equal; borders of spans among them.
        const unsigned shift = std::array<unsigned, 4>{0, 8, DueWheel::kNearBits - 4,
                                                       DueWheel::kNearBits}[random() % 4];
        uint64_t due = ((base >> shift) + random() % 3) << shift;
        if (random() % 2) due += random() % 3;
        due = std::max(due, base - std::min<uint64_t>(base, 300));
        const uint32_t slot = world.schedule(due);
        waiting[slot] = {due, ++order, due <= now};
      }
      if (random() % 3 == 0) now += random() % 8 == 0 ? random() % 200'000 : random() % 40;
      const uint32_t budget = 1 + static_cast<uint32_t>(random() % 12);
      const std::vector<uint32_t> out = world.advance(now, budget);
      ASSERT_LE(out.size(), budget);
      for (uint32_t slot : out) {
        ASSERT_TRUE(waiting.contains(slot)) << "given twice";
        const Waiting record = waiting[slot];
        waiting.erase(slot);
        ASSERT_LE(record.due, now) << "seed " << seed << ": early";
        if (!record.overdue) {
          ASSERT_GE(record.due, last_due) << "seed " << seed << ": out of order";
          last_due = record.due;
        }
        ASSERT_GT(record.order, last_order[record.due]) << "seed " << seed << ": overtaken";
        last_order[record.due] = record.order;
        world.table.release(slot);
      }
      ASSERT_EQ(world.wheel.count(), waiting.size());
      uint64_t earliest = UINT64_MAX;
      for (const auto& [slot, record] : waiting) earliest = std::min(earliest, record.due);
      if (world.caught_up) {
        ASSERT_TRUE(waiting.empty() || earliest > now) << "seed " << seed << ": kept back";
      }
      ASSERT_EQ(world.wheel.next_due().has_value(), !waiting.empty());
    }
  }
}

// Who sleeps until next_due() wakes at most once for nothing.
TEST(DueWheel, NextDueClosesInInAFewSteps) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t now = random() & 0xffffffff;
    World world(static_cast<uint32_t>(now));
    const uint64_t due = now + 1 + (random() >> (33 + random() % 31)) % kTicksAheadMax;
    const uint32_t slot = world.schedule(due);
    int wakes = 0;
    for (std::vector<uint32_t> out; out.empty(); ++wakes) {
      ASSERT_LT(wakes, 2);
      const uint32_t next = world.wheel.next_due().value();
      ASSERT_LE(ticks_until(next, static_cast<uint32_t>(due)), INT32_MAX);
      ASSERT_GE(ticks_until(next, static_cast<uint32_t>(due)), 0);
      out = world.advance(next);
      if (!out.empty()) {
        ASSERT_EQ(out[0], slot);
        ASSERT_EQ(next, static_cast<uint32_t>(due));
      }
    }
  }
}

// Against a set: one word, whole levels, a bit more than one.
TEST(SlotBits, FindTheFirstOneBehind) {
  std::mt19937 random(7);
  for (const uint32_t count : {1u, 63u, 64u, 65u, 4096u, 4097u, 1u << 20}) {
    SlotBits bits(count);
    std::set<uint32_t> all;
    for (int i = 0; i < 20'000; ++i) {
      // Some lie close together, most far apart.
      const uint32_t at = random() % (i % 8 == 0 ? std::min(count, 100u) : count);
      if (random() % 2 == 0) {
        bits.set(at);
        all.insert(at);
      } else if (const auto next = all.lower_bound(at); next != all.end()) {
        bits.clear(*next);
        all.erase(next);
      }
      ASSERT_EQ(bits.test(at), all.contains(at));
      const uint32_t from = random() % (count + 1);
      const auto next = all.lower_bound(from);
      ASSERT_EQ(bits.first(from), next == all.end() ? count : *next) << count << ", " << from;
    }
  }
}

}  // namespace
}  // namespace veredus::queue
