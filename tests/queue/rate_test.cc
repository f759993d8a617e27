#include "queue/rate.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "gtest/gtest.h"
#include "tests/queue/rate_world.h"

namespace veredus::queue {
namespace {

using Notices = std::vector<RateNotice>;
using Returns = std::vector<RateReturn>;
constexpr int64_t kNever = INT64_MAX;

TEST(RateWindow, CountsAPartTooLongAndNeverTooShort) {
  RateWindow window;
  window.start(640, 1000);  // parts of 10
  EXPECT_EQ(window.part_ns(), 10);
  window.advance(1003);
  window.add(5);
  window.advance(1009 + 640);
  EXPECT_EQ(window.sum(), 5u) << "granted at 1009, it would be within the span";
  window.add(2);
  EXPECT_EQ(window.at_most_mono_ns(7), 1640) << "it is";
  EXPECT_EQ(window.at_most_mono_ns(6), 1650);
  EXPECT_EQ(window.at_most_mono_ns(2), 1650);
  EXPECT_EQ(window.at_most_mono_ns(1), 2290);
  window.advance(1650);
  EXPECT_EQ(window.sum(), 2u);
  window.advance(1'000'000);
  EXPECT_EQ(window.sum(), 0u);
}

TEST(RateWindow, TakesBackWhereItWasGranted) {
  RateWindow window;
  window.start(640, -70);
  window.advance(-65);
  window.add(5);
  window.advance(300);
  window.add(4);
  EXPECT_TRUE(window.remove(2, -65));
  EXPECT_EQ(window.sum(), 7u);
  window.advance(590);
  EXPECT_EQ(window.sum(), 4u);
  EXPECT_FALSE(window.remove(3, -65)) << "counts no longer";
  EXPECT_EQ(window.sum(), 4u);
}

TEST(RateWindow, AnotherSpanForgetsNothingThatStillCounts) {
  RateWindow window;
  window.start(640, 1000);
  window.add(5);
  window.advance(1333);
  window.add(3);
  window.respan(64, 1340);
  EXPECT_EQ(window.sum(), 3u);
  window.advance(1339 + 64);
  EXPECT_EQ(window.sum(), 3u) << "as if granted at the end of its part";
  window.advance(1340 + 65);
  EXPECT_EQ(window.sum(), 0u);
  window.add(9);
  window.respan(6400, 1406);
  EXPECT_EQ(window.sum(), 9u);
}

// An owner that nothing is owed to, at `now`.
RateOwner rested(Rate rate, uint32_t holders, int64_t now) {
  return RateOwner(rate, holders, now - kSecond, now - 10 * rate.per_ns);
}

TEST(RateOwner, GrantsWhatIsDueAndKeepsTheRestAsAWish) {
  RateOwner owner = rested({1000, kSecond}, 2, 0);
  Notices notices;
  owner.request(1, {100, 1}, 0, notices);
  ASSERT_EQ(notices.size(), 1u);
  // 10 ms' worth at 1.036 ms each, and the one that is due.
  EXPECT_EQ(notices[0], (RateNotice{1, 10, 0, 20 * kMs, owner.next_grant_mono_ns(), false}));
  EXPECT_EQ(owner.wished(1), 90u);
  notices.clear();
  const int64_t next = owner.next_grant_mono_ns();
  owner.run(next - 1, notices);
  EXPECT_TRUE(notices.empty());
  owner.run(next, notices);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].tokens, 1u);
  owner.withdraw(1);
  EXPECT_EQ(owner.next_grant_mono_ns(), kNever);
}

TEST(RateOwner, BeginsEmpty) {
  struct Case {
    Rate rate;
    int64_t first;
  };
  for (const Case& c : {Case{{1, kDay}, kDay}, Case{{7, kMinute}, kMinute / 7},
                        Case{{1'000'000, kSecond}, kSecond / 1'000'000}}) {
    RateOwner owner(c.rate, 1, 5 * kDay);
    Notices notices;
    owner.request(0, {c.rate.count, 1}, 5 * kDay, notices);
    for (const RateNotice& notice : notices) EXPECT_EQ(notice.tokens, 0u);
    EXPECT_GE(owner.next_grant_mono_ns() - 5 * kDay, c.first);
    EXPECT_LE(owner.next_grant_mono_ns() - 5 * kDay, c.first * 104 / 100 + kDay / 50);
  }
}

TEST(RateOwner, TellsWhenSomethingMayCome) {
  RateOwner owner = rested({24, kDay}, 3, 0);
  Notices notices;
  for (uint32_t holder = 0; holder < 3; ++holder) owner.request(holder, {2, 1}, 0, notices);
  ASSERT_EQ(notices.size(), 3u);
  EXPECT_EQ(notices[0].tokens, 1u);
  for (uint32_t holder = 1; holder < 3; ++holder) {
    EXPECT_EQ(notices[holder].tokens, 0u);
    EXPECT_NEAR(static_cast<double>(notices[holder].next_mono_ns),
                static_cast<double>(holder * kHour), 3e-2 * kHour * holder);
    EXPECT_EQ(notices[holder].next_mono_ns, owner.expected_mono_ns(holder));
  }
  const int64_t told[] = {owner.expected_mono_ns(1), owner.expected_mono_ns(2),
                          owner.expected_mono_ns(0)};
  notices.clear();
  for (int n = 0; n < 3; ++n) owner.run(owner.next_grant_mono_ns(), notices);
  ASSERT_EQ(notices.size(), 3u);
  for (size_t n = 0; n < 3; ++n) {
    EXPECT_EQ(notices[n].holder, (n + 1) % 3);
    // As told, but for a second that pacing lets come early, and rounding.
    EXPECT_NEAR(static_cast<double>(notices[n].granted_mono_ns), static_cast<double>(told[n]),
                2.0 * kSecond);
  }
  EXPECT_EQ(notices[2].next_mono_ns, kNever) << "it wished for two";
}

TEST(RateOwner, WhoWantedNoneHasSavedNothing) {
  RateOwner owner = rested({1000, kSecond}, 2, 0);
  Notices notices;
  owner.request(0, {10'000, 1}, 0, notices);
  for (int64_t now = 0; now < 2 * kSecond; now += kMs) owner.run(now, notices);
  owner.request(1, {10'000, 1}, 2 * kSecond, notices);
  notices.clear();
  for (int64_t now = 2 * kSecond; now < 3 * kSecond; now += kMs) owner.run(now, notices);
  int64_t ahead = 0;
  for (const RateNotice& notice : notices) ahead += notice.holder == 1 ? 1 : -1;
  EXPECT_GT(notices.size(), 900u);
  EXPECT_LE(std::abs(ahead), 2);
}

TEST(RateOwner, NobodyIsPassedWhoNeedsManyAtOnce) {
  RateOwner owner = rested({100, kSecond}, 2, 0);
  Notices notices;
  owner.request(0, {60, 60}, 0, notices);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].tokens, 60u) << "paid for afterwards";
  EXPECT_GE(owner.next_grant_mono_ns(), 0);
  owner.request(1, {1, 1}, 0, notices);
  EXPECT_GE(owner.next_grant_mono_ns(), 60 * kSecond / 100 - 10 * kMs);
  owner.request(0, {50, 50}, 0, notices);
  owner.request(1, {500, 1}, 0, notices);
  notices.clear();
  int64_t lump_at = 0;
  for (int64_t now = 0; now < 3 * kSecond && lump_at == 0; now += kMs) {
    owner.run(now, notices);
    for (const RateNotice& notice : notices) {
      if (notice.holder == 0) {
        EXPECT_EQ(notice.tokens, 50u);
        lump_at = now;
      }
    }
    notices.clear();
  }
  // Holder 1 had to get its 60 first; then a window must have room for 50.
  EXPECT_GT(lump_at, kSecond);
  EXPECT_LT(lump_at, 3 * kSecond);
}

TEST(RateOwner, WhatIsLargerThanTheLimitPassesAloneAndIsPaidFor) {
  RateOwner owner = rested({1000, kSecond}, 1, 0);
  Notices notices;
  owner.request(0, {1, 1}, 0, notices);
  owner.request(0, {5000, 5000}, 0, notices);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[1].tokens, 0u) << "not alone";
  const int64_t alone = owner.next_grant_mono_ns();
  EXPECT_GT(alone, kSecond);
  EXPECT_LT(alone, kSecond * 11 / 10);
  owner.run(alone, notices);
  ASSERT_EQ(notices.size(), 3u);
  EXPECT_EQ(notices[2].tokens, 5000u);
  EXPECT_TRUE(notices[2].once);
  owner.request(0, {1, 1}, alone, notices);
  EXPECT_GE(owner.next_grant_mono_ns(), alone + 5 * kSecond);
  EXPECT_LE(owner.next_grant_mono_ns(), alone + 5 * kSecond * 11 / 10);
}

TEST(RateOwner, ALapsedTokenIsNotLost) {
  RateOwner owner = rested({1, kDay}, 2, 0);
  Notices notices;
  owner.request(0, {1, 1}, 0, notices);
  owner.request(1, {1, 1}, 0, notices);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[0].tokens, 1u);
  notices.clear();
  owner.give_back({1, 0}, kHour, notices);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0], (RateNotice{1, 1, kHour, kHour + 100 * kMs, kNever, false}));
}

// A token came back when the time that it cost had passed anyway: for pacing it is a gain, but the
// state must not say that less was granted than there was.
TEST(RateOwner, TheStateIsNotSoonerThanWhatWasGranted) {
  const Rate rate{10, kSecond};
  RateOwner owner = rested(rate, 2, 0);
  Notices notices;
  owner.request(0, {1, 1}, 0, notices);
  owner.request(1, {6, 6}, 300 * kMs, notices);
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[1].tokens, 6u);
  owner.give_back({1, 0}, 310 * kMs, notices);
  const int64_t state = owner.state_mono_ns(315 * kMs);
  EXPECT_GE(state, 900 * kMs);
  EXPECT_LE(state, 950 * kMs);
  RateOwner next(rate, 1, 315 * kMs, state);
  next.request(0, {5, 5}, 315 * kMs, notices);
  EXPECT_GE(next.next_grant_mono_ns(), 1320 * kMs) << "the six may be used until 320";
}

TEST(RateOwner, AfterAChangeOfTheTimeLeasesCountAsWell) {
  const Rate after{10, 100 * kMs};
  RateOwner owner = rested({10, kMinute}, 1, 0);
  Notices notices;
  owner.set_rate(after, 0, notices);
  std::vector<RateWorld::Use> grants;
  for (int64_t now = 0; now < 5 * kSecond; now += kMs) {
    owner.request(0, {6, 6}, now, notices);
    for (const RateNotice& notice : notices) grants.push_back({now, notice.tokens, 0});
    notices.clear();
  }
  EXPECT_GE(grants.size(), 30u);
  EXPECT_LE(fullest(grants, after.per_ns + owner.lease_ns()).tokens, 10u);
}

TEST(RateOwner, ChangesItsRateAtOnce) {
  RateOwner owner = rested({1, kDay}, 1, 0);
  Notices notices;
  owner.request(0, {1'000'000, 1}, 0, notices);
  owner.set_rate({1000, kSecond}, kSecond, notices);
  EXPECT_LE(owner.next_grant_mono_ns(), 2 * kSecond);
  notices.clear();
  owner.run(3 * kSecond, notices);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_GE(notices[0].tokens, 10u);
  owner.set_rate({1, kDay}, 3 * kSecond, notices);
  EXPECT_GT(owner.next_grant_mono_ns(), kDay);
  EXPECT_LT(owner.next_grant_mono_ns(), kDay * 104 / 100) << "not a day for each that was granted";
  notices.clear();
  owner.set_rate({0, kSecond}, 4 * kSecond, notices);
  ASSERT_EQ(notices.size(), 1u) << "no limit";
  EXPECT_EQ(owner.wished(0), 0u);
  EXPECT_EQ(owner.next_grant_mono_ns(), kNever);
}

TEST(RateOwner, TheExtremesOverflowNothing) {
  const int64_t late = INT64_MAX / 4;
  for (const Rate rate : {Rate{1, kDay}, Rate{1, 365 * kDay}, Rate{UINT64_MAX, INT64_MAX},
                          Rate{UINT64_MAX, 1}, Rate{1, 1}, Rate{10'000'000'000, kSecond}}) {
    for (const int64_t state : {INT64_MIN, int64_t{0}, late, INT64_MAX}) {
      RateOwner owner(rate, 2, late, state);
      Notices notices;
      owner.request(0, {UINT64_MAX / 4, UINT64_MAX / 4}, late, notices);
      owner.request(1, {1, 1}, late, notices);
      EXPECT_GT(owner.next_grant_mono_ns(), late);
      EXPECT_LE(owner.next_grant_mono_ns() - late,
                std::max<int64_t>(std::min(rate.per_ns, 3 * 365 * kDay) / 100 * 104, kSecond));
      owner.run(owner.next_grant_mono_ns(), notices);
      EXPECT_GE(owner.expected_mono_ns(1), owner.next_grant_mono_ns());
      EXPECT_GE(owner.state_mono_ns(late), late);
      owner.set_rate({3, kMinute}, late + kSecond, notices);
      EXPECT_GT(owner.next_grant_mono_ns(), late);
    }
  }
}

TEST(RateHolder, CountsWhatItHas) {
  RateHolder holder;
  EXPECT_FALSE(holder.take(1, 0));
  EXPECT_EQ(holder.ask(5, 1, 0)->tokens, 5u);
  EXPECT_FALSE(holder.ask(5, 1, 0)) << "under way";
  EXPECT_EQ(holder.ask(7, 1, 0)->tokens, 2u);
  holder.on_grant({0, 4, 0, 100, 50, false});
  EXPECT_EQ(holder.pending(), 3u);
  EXPECT_EQ(holder.next_mono_ns(), 50);
  EXPECT_FALSE(holder.ask(7, 1, 10));
  EXPECT_TRUE(holder.take(1, 99));
  EXPECT_FALSE(holder.take(1, 100)) << "expired";
  holder.on_grant({0, 3, 60, 160, kNever, false});
  EXPECT_FALSE(holder.take(4, 100));
  EXPECT_TRUE(holder.take(2, 100));
  EXPECT_EQ(holder.here(99), 4u);
  EXPECT_EQ(holder.here(100), 1u);
  EXPECT_EQ(holder.lapses_mono_ns(), 100);
  Returns returns;
  holder.give_back(1, 100, returns);
  EXPECT_EQ(returns, (Returns{{3, 0}}));
  holder.give_back(0, 100, returns);
  EXPECT_EQ(returns, (Returns{{3, 0}, {1, 60}}));
  EXPECT_EQ(holder.here(0), 0u);
  EXPECT_EQ(holder.lapses_mono_ns(), kNever);
}

TEST(RateHolder, TakesFromSeveralLeasesTheSoonestToExpireFirst) {
  RateHolder holder;
  holder.on_grant({0, 5, 0, 100, kNever, false});
  holder.on_grant({0, 5, 10, 110, kNever, false});
  holder.on_grant({0, 5, 20, 90, kNever, false});  // of a rate with shorter leases
  EXPECT_TRUE(holder.take(4, 50));
  EXPECT_TRUE(holder.take(3, 50));
  EXPECT_EQ(holder.lapses_mono_ns(), 100);
  Returns returns;
  holder.give_back(2, 50, returns);
  EXPECT_EQ(returns, (Returns{{3, 0}, {3, 10}}));
  EXPECT_TRUE(holder.take(2, 109));
  EXPECT_FALSE(holder.take(1, 50));
}

TEST(RateHolder, UsesWhatIsMoreThanTheLimitOnce) {
  RateHolder holder;
  Returns returns;
  holder.on_grant({0, 500, 0, 100, kNever, true});
  EXPECT_EQ(holder.here(0), 500u);
  EXPECT_EQ(holder.lapses_mono_ns(), 100);
  EXPECT_FALSE(holder.take(500, 100));
  EXPECT_TRUE(holder.take(450, 50));
  EXPECT_EQ(holder.here(50), 0u);
  EXPECT_EQ(holder.lapses_mono_ns(), INT64_MIN);
  holder.give_back(1000, 50, returns);
  EXPECT_EQ(returns, (Returns{{50, 0}}));
  EXPECT_EQ(holder.lapses_mono_ns(), kNever);
  holder.on_grant({0, 5, 200, 300, kNever, false});
  holder.on_grant({0, 500, 200, 300, kNever, true});
  EXPECT_TRUE(holder.take(4, 250));
  EXPECT_EQ(holder.here(250), 501u) << "others first";
  returns.clear();
  holder.give_back(1000, 300, returns);
  EXPECT_EQ(returns, (Returns{{500, 200}, {1, 200}}));
}

TEST(RateHolder, AsksForAllThatIsNeededAtOnce) {
  RateHolder holder;
  auto asked = holder.ask(100, 40, 0);
  EXPECT_EQ(asked->tokens, 100u);
  EXPECT_EQ(asked->at_once, 40u);
  holder.on_grant({0, 70, 0, 100, kNever, false});
  EXPECT_TRUE(holder.take(40, 1));
  // 30 are here, 30 under way: they might never be here together.
  asked = holder.ask(60, 60, 1);
  EXPECT_EQ(asked->tokens, 30u);
  EXPECT_EQ(asked->at_once, 60u);
  EXPECT_FALSE(holder.ask(60, 60, 1));
  asked = holder.ask(60, 50, 1);
  EXPECT_FALSE(asked) << "a larger lump will do";
  EXPECT_TRUE(holder.withdraw());
  EXPECT_FALSE(holder.withdraw());
  holder.on_grant({0, 60, 2, 102, kNever, false});  // it was on its way
  EXPECT_EQ(holder.pending(), 0u);
  EXPECT_EQ(holder.here(3), 90u);
}

// Holders whose requests say how much stands behind each get that share.
// Two holders who want all the time; the one urgently. What each has of the first `count` tokens.
std::vector<uint64_t> had(uint64_t urgent, uint64_t count) {
  RateOwner owner = rested({20, kSecond}, 2, 0);
  std::vector<uint64_t> had(2);
  Notices notices;
  owner.request(0, {1000, 1, 1, 0}, 0, notices);
  owner.request(1, {1000, 1, 1, urgent}, 0, notices);
  for (int64_t now = 0; had[0] + had[1] < count && now < kMinute; now += kMs) {
    owner.run(now, notices);
    for (const RateNotice& notice : notices) had[notice.holder] += notice.tokens;
    notices.clear();
  }
  return had;
}

TEST(RateOwner, WhatIsUrgentIsServedFirst) {
  EXPECT_LE(had(10, 12)[0], 2u) << "one may have been granted before it came";
  EXPECT_GE(had(10, 12)[1], 10u);
  // … and has had its share then.
  EXPECT_NEAR(static_cast<double>(had(10, 100)[1]), 50, 2);
}

TEST(RateOwner, WhatIsNotUrgentHasItsTurnToo) {
  const std::vector<uint64_t> each = had(1000, 320);
  EXPECT_GE(each[0], 320 / 16 - 1u);
  EXPECT_LE(each[0], 320 / 16 + 2u);
}

TEST(RateHolder, SaysWhatIsUrgent) {
  RateHolder holder;
  EXPECT_EQ(holder.ask(5, 1, 0)->urgent, 0u);
  const auto more = holder.ask(5, 1, 0, 1, 2);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->tokens, 0u);
  EXPECT_EQ(more->urgent, 2u);
  EXPECT_FALSE(holder.ask(5, 1, 0, 1, 2)) << "said already";
  holder.on_grant({0, 1, 0, 100, 50, false});
  EXPECT_FALSE(holder.ask(5, 1, 0, 1, 2)) << "one of them is here";
  EXPECT_TRUE(holder.take(1, 0));
  EXPECT_EQ(holder.ask(5, 1, 0, 1, 2)->urgent, 2u);
}

TEST(RateOwner, SharesByWeight) {
  RateOwner owner({100, kSecond}, 3, 0);
  std::vector<RateNotice> notices;
  for (const uint32_t holder : {0u, 1u, 2u})
    owner.request(holder, {1'000'000, 1, holder == 2 ? 5 : holder + 1}, 0, notices);
  std::vector<uint64_t> granted(3);
  for (int64_t now = 0; now < 60 * kSecond; now += 1'000'000) {
    notices.clear();
    owner.run(now, notices);
    for (const RateNotice& notice : notices) granted[notice.holder] += notice.tokens;
  }
  const auto all = static_cast<double>(granted[0] + granted[1] + granted[2]);
  EXPECT_NEAR(static_cast<double>(granted[0]) / all, 1.0 / 8, 0.01);
  EXPECT_NEAR(static_cast<double>(granted[1]) / all, 2.0 / 8, 0.01);
  EXPECT_NEAR(static_cast<double>(granted[2]) / all, 5.0 / 8, 0.01);
}

}  // namespace
}  // namespace veredus::queue
