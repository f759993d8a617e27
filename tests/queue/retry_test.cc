#include "queue/retry.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

constexpr uint64_t kLowest = 0;                                      // full jitter down
constexpr uint64_t kMiddle = uint64_t{1} << 63;                      // none
constexpr uint64_t kHighest = std::numeric_limits<uint64_t>::max();  // (almost) full jitter up

TEST(Retry, DefaultsDoubleFromTenMinutesToFourHours) {
  const RetryPolicy policy;
  const struct {
    uint32_t attempts;
    int64_t minutes;
  } rows[] = {{1, 10},  {2, 20},  {3, 40},  {4, 80},    {5, 160},
              {6, 240}, {7, 240}, {8, 240}, {255, 240}, {0xffffffff, 240}};
  for (const auto& row : rows) {
    const int64_t base = row.minutes * kMinuteNs;
    EXPECT_EQ(next_delay_ns(policy, row.attempts, kMiddle), base) << row.attempts;
    EXPECT_EQ(next_delay_ns(policy, row.attempts, kLowest), base / 10 * 8) << row.attempts;
    EXPECT_NEAR(static_cast<double>(next_delay_ns(policy, row.attempts, kHighest)),
                1.2 * static_cast<double>(base), 10.0)
        << row.attempts;
    // A server may ask for an hour.
    EXPECT_EQ(longest_delay_ns(policy, row.attempts), std::max(base, kHourNs) / 10 * 12)
        << row.attempts;
  }
}

TEST(Retry, ACurveGivenAsAListStaysAtItsLastDelay) {
  RetryPolicy policy;
  policy.intervals_ns = {20 * kMinuteNs, 5 * kMinuteNs, 3 * kHourNs};
  EXPECT_TRUE(validate(policy).ok());
  EXPECT_EQ(next_delay_ns(policy, 1, kMiddle), 20 * kMinuteNs);
  EXPECT_EQ(next_delay_ns(policy, 2, kMiddle), 5 * kMinuteNs);
  EXPECT_EQ(next_delay_ns(policy, 2, kLowest), 4 * kMinuteNs);
  EXPECT_EQ(next_delay_ns(policy, 3, kMiddle), 3 * kHourNs);
  EXPECT_EQ(next_delay_ns(policy, 4, kMiddle), 3 * kHourNs);
  EXPECT_EQ(next_delay_ns(policy, 0xffffffff, kMiddle), 3 * kHourNs);
  policy.hint_max_ns = 0;
  policy.greylist_ns.clear();
  EXPECT_EQ(longest_delay_ns(policy, 1), 24 * kMinuteNs);
  EXPECT_EQ(longest_delay_ns(policy, 2), 6 * kMinuteNs);
  EXPECT_EQ(longest_delay_ns(policy, 9), 216 * kMinuteNs);
}

TEST(Retry, WhoIsGreylistedComesBackSoonerAndNeverTooEarly) {
  const RetryPolicy policy;
  const struct {
    uint32_t attempts;
    int64_t minutes;
  } rows[] = {{1, 1}, {2, 5}, {3, 10}, {4, 20}, {5, 30}, {6, 240}, {0xffffffff, 240}};
  for (const auto& row : rows) {
    const int64_t base = row.minutes * kMinuteNs;
    const bool listed = row.attempts <= 5;
    EXPECT_EQ(next_delay_ns(policy, row.attempts, kLowest, 0, true), listed ? base : base / 10 * 8)
        << row.attempts;
    EXPECT_NEAR(static_cast<double>(next_delay_ns(policy, row.attempts, kHighest, 0, true)),
                1.2 * static_cast<double>(base), 10.0)
        << row.attempts;
  }
  EXPECT_EQ(next_delay_ns(policy, 1, kMiddle, 0, false), 10 * kMinuteNs);
  RetryPolicy hasty;  // the cap is for these, too
  hasty.initial_ns = hasty.cap_ns = 2 * kMinuteNs;
  hasty.jitter = 0;
  EXPECT_EQ(next_delay_ns(hasty, 1, 0, 0, true), kMinuteNs);
  EXPECT_EQ(next_delay_ns(hasty, 2, 0, 0, true), 2 * kMinuteNs);
  RetryPolicy without;
  without.greylist_ns.clear();
  EXPECT_EQ(next_delay_ns(without, 1, kMiddle, 0, true), 10 * kMinuteNs);
}

TEST(Retry, HintsAreRespected) {
  const RetryPolicy policy;  // hint_max 1 h, cap 4 h
  const struct {
    const char* what;
    uint32_t attempts;
    int64_t hint;
    bool greylisted;
    int64_t least;  // the delay without jitter
  } rows[] = {
      {"longer than the curve", 1, 30 * kMinuteNs, false, 30 * kMinuteNs},
      {"shorter than the curve", 1, 5 * kMinuteNs, false, 5 * kMinuteNs},
      {"shorter than the greylist", 2, 3 * kMinuteNs, true, 3 * kMinuteNs},
      {"longer than the greylist", 1, 15 * kMinuteNs, true, 15 * kMinuteNs},
      {"too short", 1, kSecondNs, false, 10 * kSecondNs},
      {"the longest", 1, kHourNs, false, kHourNs},
      {"too long", 1, kDayNs, false, kHourNs},
      {"still short at the fifth attempt", 5, kMinuteNs, false, kMinuteNs},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(next_delay_ns(policy, row.attempts, kLowest, row.hint, row.greylisted), row.least)
        << row.what;
    EXPECT_NEAR(static_cast<double>(
                    next_delay_ns(policy, row.attempts, kHighest, row.hint, row.greylisted)),
                1.2 * static_cast<double>(row.least), 10.0)
        << row.what;
  }
  EXPECT_EQ(next_delay_ns(policy, 6, kMiddle, kMinuteNs, false), 4 * kHourNs)
      << "says \"in a minute\" for ever";
  EXPECT_EQ(next_delay_ns(policy, 5, kMiddle, kDayNs, false), 160 * kMinuteNs)
      << "a hint that is cut is no reason to come earlier";
  RetryPolicy capped;
  capped.initial_ns = capped.cap_ns = 5 * kSecondNs;
  EXPECT_EQ(next_delay_ns(capped, 1, kLowest, kHourNs, false), 5 * kSecondNs);
  EXPECT_EQ(next_delay_ns(capped, 1, kLowest, kSecondNs, false), 5 * kSecondNs);
  RetryPolicy deaf;
  deaf.hint_max_ns = 0;
  EXPECT_EQ(next_delay_ns(deaf, 1, kMiddle, kHourNs, false), 10 * kMinuteNs);
}

TEST(Retry, OtherPolicies) {
  RetryPolicy fixed;
  fixed.factor = 1.0;
  fixed.jitter = 0;
  EXPECT_EQ(next_delay_ns(fixed, 1, kHighest), 10 * kMinuteNs);
  EXPECT_EQ(next_delay_ns(fixed, 0xffffffff, kLowest), 10 * kMinuteNs);
  RetryPolicy slow;
  slow.factor = 1.5;
  slow.jitter = 0;
  slow.initial_ns = kMinuteNs;
  EXPECT_EQ(next_delay_ns(slow, 2, 0), 90 * kSecondNs);
  EXPECT_EQ(next_delay_ns(slow, 3, 0), 135 * kSecondNs);
  RetryPolicy flat;
  flat.initial_ns = flat.cap_ns = kSecondNs;
  flat.jitter = 0;
  EXPECT_EQ(next_delay_ns(flat, 9, 0), kSecondNs);
}

TEST(Retry, InDoubtWaitsAtLeastTenMinutes) {
  RetryPolicy hasty;
  hasty.initial_ns = kSecondNs;
  EXPECT_LT(next_delay_ns(hasty, 1, kMiddle), kInDoubtDelayNs);
  EXPECT_EQ(in_doubt_delay_ns(hasty, 1, kMiddle), kInDoubtDelayNs);
  const RetryPolicy policy;
  EXPECT_EQ(in_doubt_delay_ns(policy, 1, kLowest), kInDoubtDelayNs);  // not 8 minutes
  EXPECT_EQ(in_doubt_delay_ns(policy, 3, kMiddle), 40 * kMinuteNs);
}

TEST(Retry, ValidateNamesWhatIsOutOfRange) {
  EXPECT_TRUE(validate(RetryPolicy{}).ok());
  const auto check = [](auto change, const char* word) {
    RetryPolicy policy;
    change(policy);
    const absl::Status status = validate(policy);
    EXPECT_FALSE(status.ok()) << word;
    EXPECT_NE(status.ToString().find(word), std::string::npos) << status.ToString();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  check([](RetryPolicy& p) { p.initial_ns = kSecondNs - 1; }, "initial");
  check([](RetryPolicy& p) { p.initial_ns = p.cap_ns + 1; }, "initial");
  check([](RetryPolicy& p) { p.cap_ns = 7 * kDayNs + 1; }, "cap");
  check([](RetryPolicy& p) { p.cap_ns = 0; }, "cap");
  check([](RetryPolicy& p) { p.factor = 0.99; }, "factor");
  check([](RetryPolicy& p) { p.factor = 10.1; }, "factor");
  check([&](RetryPolicy& p) { p.factor = nan; }, "factor");
  check([](RetryPolicy& p) { p.jitter = -0.1; }, "jitter");
  check([](RetryPolicy& p) { p.jitter = 0.91; }, "jitter");
  check([&](RetryPolicy& p) { p.jitter = nan; }, "jitter");
  check([](RetryPolicy& p) { p.max_age_ns = kMinuteNs - 1; }, "max_age");
  check([](RetryPolicy& p) { p.max_age_ns = 30 * kDayNs + 1; }, "max_age");
  check([](RetryPolicy& p) { p.intervals_ns = {kMinuteNs, kSecondNs - 1}; }, "intervals");
  check([](RetryPolicy& p) { p.intervals_ns = {p.cap_ns + 1, kMinuteNs}; }, "intervals");
  check([](RetryPolicy& p) { p.intervals_ns.assign(31, kMinuteNs); }, "intervals");
  check([](RetryPolicy& p) { p.greylist_ns = {0}; }, "greylist");
  check([](RetryPolicy& p) { p.greylist_ns = {7 * kDayNs + 1}; }, "greylist");
  check([](RetryPolicy& p) { p.greylist_ns.assign(31, kMinuteNs); }, "greylist");
  check([](RetryPolicy& p) { p.hint_max_ns = 10 * kSecondNs - 1; }, "hint_max");
  check([](RetryPolicy& p) { p.hint_max_ns = -1; }, "hint_max");
  check([](RetryPolicy& p) { p.hint_max_ns = 7 * kDayNs + 1; }, "hint_max");
  check([](RetryPolicy& p) { p.site_initial_ns = kSecondNs - 1; }, "site_initial");
  check([](RetryPolicy& p) { p.site_initial_ns = p.site_cap_ns + 1; }, "site_initial");
  check([](RetryPolicy& p) { p.site_cap_ns = kSecondNs - 1; }, "site_cap");
  check([](RetryPolicy& p) { p.site_cap_ns = kDayNs + 1; }, "site_cap");
  RetryPolicy widest;
  widest.intervals_ns.assign(30, widest.cap_ns);
  widest.greylist_ns.assign(30, 7 * kDayNs);
  widest.hint_max_ns = 0;
  widest.site_initial_ns = widest.site_cap_ns = kDayNs;
  EXPECT_TRUE(validate(widest).ok());
}

RetryPolicy random_policy(std::mt19937_64& random) {
  std::uniform_real_distribution<double> unit(0, 1);
  RetryPolicy policy;
  policy.cap_ns = kSecondNs + static_cast<int64_t>(random() % (7 * kDayNs - kSecondNs));
  policy.initial_ns =
      kSecondNs + static_cast<int64_t>(random() % static_cast<uint64_t>(policy.cap_ns));
  policy.initial_ns = std::min(policy.initial_ns, policy.cap_ns);
  policy.factor = 1 + 9 * unit(random);
  policy.jitter = 0.9 * unit(random);
  policy.max_age_ns = kMinuteNs + static_cast<int64_t>(random() % (30 * kDayNs - kMinuteNs));
  return policy;
}

TEST(Retry, EveryDelayLiesWithinItsPolicy) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const RetryPolicy policy = random_policy(random);
    ASSERT_TRUE(validate(policy).ok()) << validate(policy).ToString();
    int64_t before = 0;
    for (uint32_t attempts = 1; attempts < 12; ++attempts) {
      const int64_t middle = next_delay_ns(policy, attempts, kMiddle);
      ASSERT_GE(middle, policy.initial_ns);
      ASSERT_LE(middle, policy.cap_ns);
      ASSERT_GE(middle, before) << "delays do not shrink";
      before = middle;
      const int64_t delay = next_delay_ns(policy, attempts, random());
      ASSERT_GT(delay, 0);
      ASSERT_LE(delay, longest_delay_ns(policy, attempts));
      const double share = static_cast<double>(delay) / static_cast<double>(middle);
      ASSERT_GE(share, 1 - policy.jitter - 1e-6);
      ASSERT_LE(share, 1 + policy.jitter + 1e-6);
    }
  }
}

int64_t random_ns(std::mt19937_64& random, int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random() % static_cast<uint64_t>(most - least + 1));
}

// Lists, hints and greylisting over random policies.
TEST(Retry, NoDelayIsLongerThanTheLongestOrEarlierThanAsked) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    RetryPolicy policy = random_policy(random);
    policy.intervals_ns.resize(random() % (kDelaysMax + 1));
    for (int64_t& it : policy.intervals_ns) it = random_ns(random, kSecondNs, policy.cap_ns);
    policy.greylist_ns.resize(random() % (kDelaysMax + 1));
    for (int64_t& it : policy.greylist_ns) it = random_ns(random, kSecondNs, 7 * kDayNs);
    policy.hint_max_ns = random() % 4 == 0 ? 0 : random_ns(random, kHintMinNs, 7 * kDayNs);
    ASSERT_TRUE(validate(policy).ok()) << validate(policy).ToString();
    for (int j = 0; j < 20; ++j) {
      const uint32_t attempts = 1 + static_cast<uint32_t>(random() % 40);
      const int64_t hint = random() % 3 == 0 ? 0 : random_ns(random, 1, kDayNs);
      const bool greylisted = random() % 2 == 0;
      const int64_t delay = next_delay_ns(policy, attempts, random(), hint, greylisted);
      ASSERT_GT(delay, 0);
      ASSERT_LE(delay, longest_delay_ns(policy, attempts));
      ASSERT_GE(delay, std::min({hint, policy.hint_max_ns, policy.cap_ns}));
      if (greylisted && hint == 0 && attempts <= policy.greylist_ns.size()) {
        ASSERT_GE(delay, std::min(policy.greylist_ns[attempts - 1], policy.cap_ns));
      }
    }
  }
}

TEST(Retry, JitterSpreadsEvenly) {
  std::mt19937_64 random(2);
  const RetryPolicy policy;
  int tenths[10] = {};
  for (int i = 0; i < 10'000; ++i) {
    const double share = static_cast<double>(next_delay_ns(policy, 8, random())) /
                         static_cast<double>(policy.cap_ns);
    ++tenths[std::clamp(static_cast<int>((share - 0.8) / 0.04), 0, 9)];
  }
  for (int count : tenths) EXPECT_NEAR(count, 1000, 150);
}

TEST(Retry, LifetimeIsTheFeedersOrThePolicys) {
  const RetryPolicy policy;
  EXPECT_EQ(lifetime_ns(policy, 1000 * kDayNs, 0), 5 * kDayNs);
  EXPECT_EQ(lifetime_ns(policy, 1000 * kDayNs, 1000 * kDayNs + kHourNs), kHourNs);
  EXPECT_EQ(lifetime_ns(policy, 1000 * kDayNs, 1020 * kDayNs), 20 * kDayNs);
  EXPECT_EQ(lifetime_ns(policy, 1000 * kDayNs, 999 * kDayNs), 0);
}

TEST(Retry, ExpiresAtTheEndOfItsLifetime) {
  EXPECT_FALSE(expired(5 * kDayNs, kHourNs, kHourNs + 5 * kDayNs - 1));
  EXPECT_TRUE(expired(5 * kDayNs, kHourNs, kHourNs + 5 * kDayNs));
  EXPECT_TRUE(expired(5 * kDayNs, -5 * kDayNs, 0));  // accepted before this process began
  EXPECT_TRUE(expired(0, kHourNs, kHourNs));
}

TEST(Retry, AgeOnLoad) {
  const RetryPolicy policy;  // lifetime 5 days, cap 4 hours
  constexpr int64_t kAccepted = 20'000 * kDayNs;
  const struct {
    const char* what;
    int64_t last, now, age;  // relative to acceptance
  } rows[] = {
      {"an ordinary restart", kDayNs, kDayNs + kMinuteNs, kDayNs + kMinuteNs},
      {"down for three days", kDayNs, 4 * kDayNs, kDayNs + 4 * kHourNs},
      {"the clock is ten years ahead", kDayNs, 3650 * kDayNs, kDayNs + 4 * kHourNs},
      {"the clock is a day behind", kDayNs, kDayNs - kDayNs / 2, kDayNs / 2},
      {"the clock is before acceptance", kDayNs, -kDayNs, 0},
      {"it was ten years ahead, and is right again", 3650 * kDayNs, kDayNs, kDayNs},
      {"it was and is ten years ahead", 3650 * kDayNs, 3651 * kDayNs, 5 * kDayNs - 4 * kHourNs},
      {"at the end of its life it has one cap left", 5 * kDayNs - kMinuteNs, 5 * kDayNs + kMinuteNs,
       5 * kDayNs - 4 * kHourNs},
      {"journal time before acceptance", -kHourNs, kHourNs, kHourNs},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(
        age_on_load_ns(policy, 5 * kDayNs, kAccepted, kAccepted + row.last, kAccepted + row.now),
        row.age)
        << row.what;
  }
  EXPECT_EQ(age_on_load_ns(policy, kHourNs, kAccepted, kAccepted + kDayNs, kAccepted + kDayNs), 0)
      << "a life shorter than the cap begins anew";
}

TEST(Retry, DelayOnLoad) {
  const RetryPolicy policy;
  constexpr int64_t kNow = 20'000 * kDayNs;
  const auto delay = [&](uint32_t attempts, bool in_doubt, int64_t left, uint64_t random) {
    return delay_on_load_ns(policy, attempts, in_doubt, kNow + left, kNow, random);
  };
  EXPECT_EQ(delay(1, false, 3 * kMinuteNs, kMiddle), 3 * kMinuteNs);
  EXPECT_EQ(delay(1, false, kDayNs, kMiddle), 72 * kMinuteNs);  // the clock was put back
  EXPECT_EQ(delay(9, false, kDayNs, kMiddle), 288 * kMinuteNs);
  EXPECT_EQ(delay(1, false, -kDayNs, kLowest), 0);  // overdue: spread
  EXPECT_EQ(delay(1, false, 0, kMiddle), 5 * kMinuteNs);
  EXPECT_EQ(delay(9, false, -3650 * kDayNs, kMiddle), 5 * kMinuteNs);
  EXPECT_EQ(delay(1, true, 3 * kMinuteNs, kMiddle), 3 * kMinuteNs);
  EXPECT_EQ(delay(1, true, -kDayNs, kLowest), kOverdueInDoubtNs);
  RetryPolicy hasty;
  hasty.initial_ns = kSecondNs;
  EXPECT_EQ(delay_on_load_ns(hasty, 1, true, kNow + kDayNs, kNow, 0), kInDoubtDelayNs);
  hasty.hint_max_ns = 0;
  hasty.greylist_ns.clear();
  EXPECT_EQ(delay_on_load_ns(hasty, 1, false, kNow + kDayNs, kNow, 0), 1200 * kSecondNs / 1000);
  hasty.greylist_ns = {2 * kSecondNs};
  EXPECT_EQ(delay_on_load_ns(hasty, 1, false, kNow + kDayNs, kNow, 0), 2400 * kSecondNs / 1000);
  hasty.intervals_ns = {10 * kSecondNs, kSecondNs};
  EXPECT_EQ(delay_on_load_ns(hasty, 1, false, kNow + kDayNs, kNow, 0), 12 * kSecondNs);
  EXPECT_EQ(delay_on_load_ns(hasty, 9, false, kNow - kDayNs, kNow, kMiddle), 5 * kSecondNs);
}

TEST(Retry, FirstDelayOnLoad) {
  constexpr int64_t kAccepted = 20'000 * kDayNs;
  EXPECT_EQ(first_delay_on_load_ns(kAccepted, 0, kAccepted + kHourNs), 0);
  const int64_t not_before = kAccepted + 2 * kHourNs;
  EXPECT_EQ(first_delay_on_load_ns(kAccepted, not_before, kAccepted + kHourNs), kHourNs);
  EXPECT_EQ(first_delay_on_load_ns(kAccepted, not_before, kAccepted + kDayNs), 0);
  EXPECT_EQ(first_delay_on_load_ns(kAccepted, not_before, kAccepted - kDayNs), 2 * kHourNs);
  EXPECT_EQ(first_delay_on_load_ns(kAccepted, kAccepted - kHourNs, kAccepted - kDayNs), 0);
}

// Whatever the clocks said: not expired by loading alone, tried again before it can be, no delay
// beyond the policy's.
TEST(Retry, NoClockExpiresOrHoldsUpWhatIsLoaded) {
  std::mt19937_64 random(4);
  const auto wall = [&] { return static_cast<int64_t>(random() % (250 * 365 * 24ull)) * kHourNs; };
  for (int i = 0; i < 100'000; ++i) {
    const RetryPolicy policy = random_policy(random);
    const int64_t accepted = wall(), last = wall(), now = wall();
    const int64_t life = lifetime_ns(policy, accepted, random() % 2 ? 0 : wall());
    const int64_t age = age_on_load_ns(policy, life, accepted, last, now);
    ASSERT_GE(age, 0);
    ASSERT_LE(age, life);
    ASSERT_GE(life - age, std::min(life, policy.cap_ns));
    const uint32_t attempts = 1 + static_cast<uint32_t>(random() % 20);
    const int64_t due = wall();
    const int64_t delay = delay_on_load_ns(policy, attempts, false, due, now, random());
    ASSERT_GE(delay, 0);
    ASSERT_LE(delay, longest_delay_ns(policy, attempts));
    const int64_t doubtful = delay_on_load_ns(policy, attempts, true, due, now, random());
    ASSERT_GE(doubtful, 0);
    ASSERT_LE(doubtful, std::max(longest_delay_ns(policy, attempts), kInDoubtDelayNs));
  }
}

}  // namespace
}  // namespace veredus::queue
