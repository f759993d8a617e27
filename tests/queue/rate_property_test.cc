// Rates among holders whose messages are late: every window is looked at.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "queue/rate.h"
#include "tests/queue/rate_world.h"

namespace veredus::queue {
namespace {

using Settings = RateWorld::Settings;

// Sizes as messages have them: each order of magnitude as often.
auto sizes(uint64_t least, uint64_t most) {
  return [=](std::mt19937_64& random) {
    uint64_t size = least;
    while (size * 4 < most && random() % 2 == 0) size *= 4;
    return std::min(most, size + random() % (3 * size));
  };
}

const Rate kRates[] = {
    {1, kDay},         {2, kDay},          {24, kDay},           {5000, kDay},
    {1, kHour},        {100, kHour},       {5000, kHour},        {1, kMinute},
    {7, kMinute},      {1000, kMinute},    {1'000'000, kMinute}, {1, kSecond},
    {2, kSecond},      {3, kSecond},       {10, kSecond},        {20, kSecond},
    {30, kSecond},     {50, kSecond},      {75, kSecond},        {99, kSecond},
    {150, kSecond},    {1000, kSecond},    {10'000, kSecond},    {1'000'000, kSecond},
    {5, 10 * kSecond}, {997, 7 * kSecond}, {1, 100 * kMs},       {1000, 100 * kMs},
};

std::string named(const Rate& rate) {
  return std::to_string(rate.count) + " per " + std::to_string(rate.per_ns) + " ns";
}

// So long that the share used can be told to a half per cent, without taking for ever.
int64_t long_enough(const Rate& rate) {
  return std::max<int64_t>(rate.per_ns * 4, rate.per_ns / static_cast<int64_t>(rate.count) * 400);
}

double utilisation(const RateWorld& world, const Rate& rate, int64_t ns) {
  const int64_t begin = world.now() - ns;
  return static_cast<double>(world.used_between(begin, world.now())) /
         (static_cast<double>(rate.count) * static_cast<double>(ns) /
          static_cast<double>(rate.per_ns));
}

TEST(RateProperty, IsUsedUpAndNeverExceededAtEveryScale) {
  for (const Rate& rate : kRates) {
    for (const uint32_t holders : {1u, 3u, 8u}) {
      Settings settings{rate, holders};
      settings.delay_max_ns = 4 * kMs;
      RateWorld world(holders, settings);
      world.run_for(rate.per_ns * 11 / 10 + kSecond);
      const int64_t ns = long_enough(rate);
      world.run_for(ns);
      EXPECT_LE(fullest(world.uses(), rate.per_ns).tokens, rate.count) << named(rate);
      if (rate.per_ns >= kSecond) {
        EXPECT_GE(utilisation(world, rate, ns), 0.95) << named(rate) << ", " << holders;
      } else {
        EXPECT_GE(utilisation(world, rate, ns), 0.75) << named(rate) << ", " << holders;
      }
    }
  }
}

TEST(RateProperty, BytesAreUsedUpAndNeverExceeded) {
  struct Case {
    Rate rate;
    uint64_t largest;
    double utilisation;
  };
  for (const Case& c :
       {Case{{10'000'000'000, kSecond}, 50'000'000, 0.95},
        Case{{1'000'000'000, kSecond}, 5'000'000, 0.95}, Case{{2'000'000, kSecond}, 20'000, 0.95},
        Case{{1'000'000'000, kMinute}, 5'000'000, 0.95},
        Case{{100'000'000, kSecond}, 50'000'000, 0.5},
        Case{{100'000'000, kSecond}, 10'000'000, 0.8}}) {
    for (const uint32_t holders : {1u, 4u}) {
      Settings settings{c.rate, holders};
      settings.size = sizes(1000, c.largest);
      RateWorld world(holders, settings);
      world.run_for(2 * c.rate.per_ns);
      const int64_t ns = 5 * c.rate.per_ns;
      world.run_for(ns);
      EXPECT_LE(fullest(world.uses(), c.rate.per_ns).tokens, c.rate.count) << named(c.rate);
      EXPECT_GE(utilisation(world, c.rate, ns), c.utilisation) << named(c.rate) << ", " << holders;
    }
  }
}

TEST(RateProperty, WhatIsLargerThanTheLimitIsAloneInItsWindows) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Rate rate{100'000, kSecond};
    Settings settings{rate, 1 + static_cast<uint32_t>(seed % 4)};
    settings.size = [](std::mt19937_64& random) {
      return random() % 20 == 0 ? 100'000 + random() % 300'000 : 1 + random() % 5000;
    };
    RateWorld world(seed, settings);
    world.run_for(60 * kSecond);
    EXPECT_LE(fullest(world.uses(), kSecond, rate.count).tokens, rate.count) << "seed " << seed;
    uint64_t large = 0;
    for (const auto& use : world.uses()) large += use.tokens > rate.count;
    EXPECT_GE(large, 8u);
    // Paid for: on the whole not more than the rate, but for the last one.
    EXPECT_LE(world.used_between(0, world.now()), 60 * rate.count + 400'000);
  }
}

Settings random_settings(std::mt19937_64& random) {
  const Rate rates[] = {{1 + random() % 50, kSecond},   {1 + random() % 5000, kSecond},
                        {1 + random() % 9, kMinute},    {1 + random() % 500, 10 * kSecond},
                        {1 + random() % 20, 50 * kMs},  {1 + random() % 3, kHour},
                        {1 + random() % 50, 300 * kMs}, {1 + random() % 1000, kHour}};
  Settings settings{rates[random() % std::size(rates)], 1 + static_cast<uint32_t>(random() % 8)};
  const int64_t delays[] = {0, kMs, 5 * kMs, 30 * kMs, 300 * kMs};
  settings.delay_max_ns = delays[random() % std::size(delays)];
  settings.turn_ns = random() % 4 == 0 ? 5 * kMs : kMs;
  settings.stalls = random() % 2 == 0 ? 0 : 20;
  settings.stall_ns = 200 * kMs;
  if (random() % 3 != 0) {
    settings.conduct.changes_ns =
        1 + settings.rate.per_ns / static_cast<int64_t>(1 + random() % 300);
    settings.conduct.backlog_max = 1 + random() % (2 * settings.rate.count);
  }
  settings.conduct.idles = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 90);
  settings.conduct.returns = random() % 2 == 0 ? 0 : static_cast<unsigned>(random() % 60);
  const uint64_t most = settings.rate.count / (1 + random() % 10);
  if (random() % 3 == 0 && most > 1) settings.size = sizes(1, most);
  return settings;
}

// Long enough for some windows, and not for too many events.
int64_t some_windows(std::mt19937_64& random, const Rate& rate) {
  return rate.per_ns * static_cast<int64_t>(2 + random() % 4) +
         static_cast<int64_t>(random() % static_cast<uint64_t>(rate.per_ns));
}

TEST(RateProperty, HoldsWhateverIsLate) {
  uint64_t used = 0, returned = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    std::mt19937_64 random(seed);
    const Settings settings = random_settings(random);
    RateWorld world(seed, settings);
    world.run_for(some_windows(random, settings.rate));
    used += world.used_between(0, INT64_MAX);
    returned += world.returned();
    ASSERT_LE(fullest(world.uses(), settings.rate.per_ns).tokens, settings.rate.count)
        << "seed " << seed << ", " << named(settings.rate);
  }
  EXPECT_GT(used, 100'000u);
  EXPECT_GT(returned, 100'000u);
}

// One holder takes all it can get and does nothing with it; the others must get the rest.
TEST(RateProperty, WhatComesBackIsUsedByOthers) {
  for (const Rate& rate : {Rate{7, kMinute}, Rate{50, kSecond}, Rate{10'000, kSecond}}) {
    Settings settings{rate, 4};
    settings.delay_max_ns = 2 * kMs;
    RateWorld world(1, settings);
    world.conduct(0).idles = 100;
    world.run_for(2 * rate.per_ns);
    const int64_t ns = long_enough(rate);
    world.run_for(ns);
    EXPECT_LE(fullest(world.uses(), rate.per_ns).tokens, rate.count) << named(rate);
    EXPECT_GE(utilisation(world, rate, ns), 0.94) << named(rate);
    EXPECT_EQ(world.used_by(0), 0u);
  }
}

TEST(RateProperty, SharesEvenlyAndStarvesNobody) {
  for (const Rate& rate :
       {Rate{1, kDay}, Rate{7, kMinute}, Rate{100, kSecond}, Rate{100'000, kSecond}}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      Settings settings{rate, 8};
      RateWorld world(seed, settings);
      world.run_for(long_enough(rate));
      uint64_t least = UINT64_MAX, most = 0;
      for (uint32_t holder = 0; holder < 8; ++holder) {
        least = std::min(least, world.used_by(holder));
        most = std::max(most, world.used_by(holder));
      }
      EXPECT_LE(most - least, 1 + rate.count / 100) << named(rate);
    }
  }
}

// Who needs much at once is not passed for ever by those who need little.
TEST(RateProperty, LargeAndSmallShareEvenly) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Settings settings{{1'000'000, kSecond}, 5};
    settings.size = [](std::mt19937_64& random) {
      return random() % 50 == 0 ? 300'000 + random() % 300'000 : 1 + random() % 10'000;
    };
    RateWorld world(seed, settings);
    world.run_for(30 * kSecond);
    ASSERT_LE(fullest(world.uses(), kSecond).tokens, 1'000'000u);
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t holder = 0; holder < 5; ++holder) {
      least = std::min(least, world.used_by(holder));
      most = std::max(most, world.used_by(holder));
    }
    EXPECT_LE(most - least, 2'000'000u) << "seed " << seed;
    EXPECT_GE(least, 1'000'000u) << "seed " << seed;
  }
}

// The number changes, the time stays: no window holds more than the largest rate that it has seen.
TEST(RateProperty, HoldsAcrossChangesOfTheNumber) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    Settings settings = random_settings(random);
    settings.size = nullptr;
    const int64_t per_ns = settings.rate.per_ns;
    RateWorld world(seed, settings);
    const int64_t lease = world.owner().lease_ns();
    struct Change {
      int64_t at;
      uint64_t count;
    };
    std::vector<Change> changes = {{INT64_MIN, settings.rate.count}};
    for (int n = 0; n < 8; ++n) {
      world.run_for(1 + static_cast<int64_t>(random() % static_cast<uint64_t>(2 * per_ns)));
      changes.push_back({world.now(), 1 + random() % (random() % 2 == 0 ? 3 : 400)});
      world.set_rate({changes.back().count, per_ns});
    }
    world.run_for(2 * per_ns);
    // Windows that begin between one change (and a lease) and the next; those that end behind
    // further changes may hold the largest of their rates.
    for (size_t i = 0; i < changes.size(); ++i) {
      uint64_t allowed = changes[i].count;
      const int64_t from = i == 0 ? INT64_MIN : changes[i].at + lease;
      for (size_t j = i; j < changes.size(); ++j) {
        allowed = std::max(allowed, changes[j].count);
        const int64_t to = j + 1 < changes.size() ? changes[j + 1].at : INT64_MAX;
        ASSERT_LE(fullest(world.uses(), per_ns, UINT64_MAX, from, to).tokens, allowed)
            << "seed " << seed << ", change " << i << " to " << j;
      }
    }
  }
}

TEST(RateProperty, HoldsBehindChangesOfNumberAndTime) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    std::mt19937_64 random(seed);
    Settings settings = random_settings(random);
    settings.size = nullptr;
    RateWorld world(seed, settings);
    int64_t from = INT64_MIN;
    Rate rate = settings.rate;
    for (int n = 0; n < 6; ++n) {
      world.run_for(some_windows(random, rate) / 2);
      ASSERT_LE(fullest(world.uses(), rate.per_ns, UINT64_MAX, from, world.now()).tokens,
                rate.count)
          << "seed " << seed << ", change " << n << ", " << named(rate);
      from = world.now() + world.owner().lease_ns();
      rate.count = 1 + random() % 400;
      rate.per_ns = settings.rate.per_ns / 7 * static_cast<int64_t>(1 + random() % 50);
      world.set_rate(rate);
    }
  }
}

// Kept state is exact: as if there had been no restart.
TEST(RateProperty, HoldsAcrossRestartsWithState) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    const Settings settings = random_settings(random);
    const uint64_t per_ns = static_cast<uint64_t>(settings.rate.per_ns);
    RateWorld world(seed, settings);
    for (int n = 0; n < 6; ++n) {
      world.run_for(static_cast<int64_t>(random() % (2 * per_ns)));
      world.restart(static_cast<int64_t>(random() % (random() % 2 == 0 ? per_ns : 50 * kMs)), true);
    }
    world.run_for(settings.rate.per_ns);
    ASSERT_LE(fullest(world.uses(), settings.rate.per_ns).tokens, settings.rate.count)
        << "seed " << seed << ", " << named(settings.rate);
  }
}

// Without any, single tokens that nobody gave back are exact, too; with a clock that has jumped
// there is one too many at most. Larger requests: the last one before may not be paid for yet, nor
// the last one after.
TEST(RateProperty, NoBurstComesOfARestartThatKnowsNothing) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    Settings settings{random_settings(random).rate, 1 + static_cast<uint32_t>(random() % 4)};
    const bool jumps = seed % 2 == 0;
    const uint64_t per_ns = static_cast<uint64_t>(settings.rate.per_ns);
    const uint64_t largest = random() % 2 == 0 ? 1 : std::max<uint64_t>(1, settings.rate.count / 3);
    if (largest > 1) settings.size = sizes(1, largest);
    RateWorld world(seed, settings);
    world.run_for(2 * settings.rate.per_ns);
    const int64_t down = static_cast<int64_t>(random() % (100 * kMs));
    world.restart(down, jumps, static_cast<int64_t>(random() % (10 * per_ns)));
    world.run_for(2 * settings.rate.per_ns);
    const uint64_t more = 2 * (largest - 1) + (jumps ? 1 : 0);
    ASSERT_LE(fullest(world.uses(), settings.rate.per_ns).tokens, settings.rate.count + more)
        << "seed " << seed << ", " << named(settings.rate);
  }
}

// A wall clock that has jumped back: nothing is blocked for longer than a span (and 4 %).
TEST(RateProperty, NoClockBlocksForLong) {
  for (const Rate& rate : {Rate{1, kDay}, Rate{7, kMinute}, Rate{100, kSecond}}) {
    Settings settings{rate, 2};
    RateWorld world(1, settings);
    world.run_for(3 * rate.per_ns);
    world.restart(kMs, true, -1000 * kDay);
    const int64_t begin = world.now();
    world.run_for(rate.per_ns * 104 / 100);
    EXPECT_GE(world.used_between(begin, world.now()), 1u) << named(rate);
  }
}

// Rested, too, it is paced: no more than a hundredth at once.
TEST(RateProperty, GrantsNoBurst) {
  for (const Rate& rate : {Rate{1000, kMinute}, Rate{10'000, kSecond}, Rate{100'000, kDay}}) {
    Settings settings{rate, 3};
    settings.conduct.changes_ns = rate.per_ns / 2;
    settings.conduct.backlog_max = rate.count;
    RateWorld world(7, settings);
    world.run_for(6 * rate.per_ns);
    EXPECT_LE(fullest(world.uses(), rate.per_ns / 1000).tokens, rate.count / 50) << named(rate);
    EXPECT_GE(world.used_between(0, INT64_MAX), rate.count / 10) << named(rate);
  }
}

}  // namespace
}  // namespace veredus::queue
