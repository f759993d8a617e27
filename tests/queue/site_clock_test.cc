#include "queue/site_clock.h"

#include <cstdint>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

constexpr uint64_t kLowest = 0;                  // full jitter down
constexpr uint64_t kMiddle = uint64_t{1} << 63;  // none
constexpr int64_t kNow = 1000 * kDayNs;

TEST(SiteClock, DoublesFromAMinuteToHalfAnHour) {
  const RetryPolicy policy;
  SiteClock clock;
  int64_t now = kNow;
  uint32_t failures = 0;
  for (const int64_t minutes : {1, 2, 4, 8, 16, 30, 30, 30}) {
    ASSERT_TRUE(clock.open(now));
    clock.failed(policy, now, kMiddle, 0);
    EXPECT_EQ(clock.until_ns(), now + minutes * kMinuteNs);
    EXPECT_EQ(clock.failures(), ++failures);
    EXPECT_FALSE(clock.open(clock.until_ns() - 1));
    now = clock.until_ns();
  }
}

TEST(SiteClock, IsOpenUntilSomethingFailsAndAfterASuccess) {
  const RetryPolicy policy;
  SiteClock clock;
  EXPECT_TRUE(clock.open(std::numeric_limits<int64_t>::min()));
  EXPECT_EQ(clock.failures(), 0u);
  clock.failed(policy, -kDayNs, kMiddle, 0);  // the monotonic clock may begin anywhere
  EXPECT_FALSE(clock.open(-kDayNs));
  EXPECT_EQ(clock.until_ns(), -kDayNs + kMinuteNs);
  clock.failed(policy, clock.until_ns(), kMiddle, 0);
  clock.succeeded();
  EXPECT_TRUE(clock.open(-kDayNs));
  EXPECT_EQ(clock.failures(), 0u);
  clock.failed(policy, kNow, kMiddle, 0);
  EXPECT_EQ(clock.until_ns(), kNow + kMinuteNs);
}

TEST(SiteClock, TwentyConnectionsThatFailTogetherAreOneFailure) {
  const RetryPolicy policy;
  SiteClock clock;
  for (int i = 0; i < 20; ++i) clock.failed(policy, kNow + i * kSecondNs, kMiddle, 0);
  EXPECT_EQ(clock.failures(), 1u);
  EXPECT_EQ(clock.until_ns(), kNow + kMinuteNs);
  clock.failed(policy, kNow + 20 * kSecondNs, kMiddle, 5 * kSecondNs);  // ends before
  EXPECT_EQ(clock.until_ns(), kNow + kMinuteNs);
  clock.failed(policy, kNow + 20 * kSecondNs, kLowest, 10 * kMinuteNs);
  EXPECT_EQ(clock.until_ns(), kNow + 20 * kSecondNs + 10 * kMinuteNs);
  EXPECT_EQ(clock.failures(), 1u);
}

TEST(SiteClock, HintsCount) {
  const RetryPolicy policy;
  SiteClock longer;
  longer.failed(policy, kNow, kLowest, 20 * kMinuteNs);
  EXPECT_EQ(longer.until_ns(), kNow + 20 * kMinuteNs);
  SiteClock shorter;
  int64_t now = kNow;
  for (uint32_t i = 0; i < kShortHints; ++i, now = shorter.until_ns()) {
    shorter.failed(policy, now, kLowest, 15 * kSecondNs);
    EXPECT_EQ(shorter.until_ns(), now + 15 * kSecondNs) << i;
  }
  shorter.failed(policy, now, kMiddle, 15 * kSecondNs);  // it always says so
  EXPECT_EQ(shorter.until_ns(), now + 30 * kMinuteNs);
  SiteClock too_long;
  too_long.failed(policy, kNow, kLowest, kDayNs);
  EXPECT_EQ(too_long.until_ns(), kNow + kHourNs);
}

TEST(SiteClock, StaysWithinItsPolicy) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2'000; ++i) {
    RetryPolicy policy;
    policy.site_cap_ns = kSecondNs + static_cast<int64_t>(random() % (kDayNs - kSecondNs + 1));
    policy.site_initial_ns =
        kSecondNs +
        static_cast<int64_t>(random() % static_cast<uint64_t>(policy.site_cap_ns - kSecondNs + 1));
    policy.jitter = static_cast<double>(random() % 10) / 10;
    ASSERT_TRUE(validate(policy).ok()) << validate(policy).ToString();
    SiteClock clock;
    int64_t now = kNow;
    for (int j = 0; j < 50; ++j, now = clock.until_ns()) {
      clock.failed(policy, now, random(), 0);
      const double wait = static_cast<double>(clock.until_ns() - now);
      ASSERT_GE(wait, (1 - policy.jitter) * static_cast<double>(policy.site_initial_ns) - 1);
      ASSERT_LE(wait, (1 + policy.jitter) * static_cast<double>(policy.site_cap_ns));
      ASSERT_GT(wait, 0);
    }
  }
}

}  // namespace
}  // namespace veredus::queue
