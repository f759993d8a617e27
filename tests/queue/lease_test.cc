#include "queue/lease.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

using Notices = std::vector<LeaseNotice>;
constexpr auto kGrant = LeaseNotice::Kind::grant;
constexpr auto kRecall = LeaseNotice::Kind::recall;

TEST(LeaseOwner, GrantsWhatIsFreeAndKeepsTheRestAsAWish) {
  LeaseOwner owner(10, 3);
  Notices notices;
  EXPECT_EQ(owner.request(0, {4}, notices), 4u);
  EXPECT_EQ(owner.request(1, {6}, notices), 6u);
  EXPECT_TRUE(notices.empty());
  EXPECT_EQ(owner.request(1, {2}, notices), 0u);
  EXPECT_EQ(owner.wished(1), 2u);
  EXPECT_TRUE(notices.empty()) << "holder 0 has less than holder 1";
  owner.give_back(0, 1, notices);
  EXPECT_EQ(notices, (Notices{{kGrant, 1, 1}}));
  EXPECT_EQ(owner.granted(), 10u);
  EXPECT_EQ(owner.wished(1), 1u);
}

TEST(LeaseOwner, RecallsForAFairShare) {
  LeaseOwner owner(12, 3);
  Notices notices;
  EXPECT_EQ(owner.request(0, {20}, notices), 12u);
  EXPECT_TRUE(notices.empty());
  EXPECT_EQ(owner.request(1, {20}, notices), 0u);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 6}}));
  notices.clear();
  EXPECT_EQ(owner.request(2, {3}, notices), 0u);
  // 12 slots for three who want 32, 20 and 3: 5, 4 and 3, or the like.
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1}}));
  notices.clear();
  for (int i = 0; i < 7; ++i) owner.give_back(0, 1, notices);
  EXPECT_EQ(owner.granted(0), 5u);
  EXPECT_EQ(owner.granted(1) + owner.granted(2), 7u);
  EXPECT_GE(owner.granted(2), 3u);
  EXPECT_EQ(owner.recalled(0), 0u);
  for (const LeaseNotice& notice : notices) EXPECT_EQ(notice.kind, kGrant);
}

TEST(LeaseOwner, DoesNotAskTwiceForWhatIsComing) {
  LeaseOwner owner(4, 4);
  Notices notices;
  EXPECT_EQ(owner.request(0, {4}, notices), 4u);
  owner.request(1, {1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1}}));
  notices.clear();
  owner.request(2, {1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1}}));
  notices.clear();
  owner.request(1, {0}, notices);
  EXPECT_TRUE(notices.empty());
}

TEST(LeaseOwner, FewerSlotsThanHoldersTakeTurns) {
  LeaseOwner owner(1, 3);
  Notices notices;
  EXPECT_EQ(owner.request(0, {1}, notices), 1u);
  owner.request(1, {1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1}}));
  notices.clear();
  owner.request(2, {1}, notices);
  owner.request(0, {1}, notices);  // wants another one when it has given this back
  EXPECT_TRUE(notices.empty()) << "one slot can be recalled but once";
  owner.give_back(0, 1, notices);
  EXPECT_EQ(notices, (Notices{{kGrant, 1, 1}, {kRecall, 1, 1}}));
  notices.clear();
  owner.give_back(1, 1, notices);
  EXPECT_EQ(notices, (Notices{{kGrant, 2, 1}, {kRecall, 2, 1}}));
  notices.clear();
  owner.give_back(2, 1, notices);
  EXPECT_EQ(notices, (Notices{{kGrant, 0, 1}})) << "nobody else wants any: it may stay";
}

TEST(LeaseOwner, ALowerLimitRecallsAndGrantsNothingUntilBelow) {
  LeaseOwner owner(10, 2);
  Notices notices;
  owner.request(0, {6}, notices);
  owner.request(1, {4}, notices);
  owner.set_limit(5, notices);
  uint32_t recalled = 0;
  for (const LeaseNotice& notice : notices) {
    EXPECT_EQ(notice.kind, kRecall);
    recalled += notice.count;
  }
  EXPECT_EQ(recalled, 5u);
  notices.clear();
  EXPECT_EQ(owner.request(1, {3}, notices), 0u);
  while (owner.granted() > 5) {
    owner.give_back(owner.recalled(0) > 0 ? 0 : 1, 1, notices);
    for (const LeaseNotice& notice : notices) EXPECT_EQ(notice.kind, kRecall);
  }
  owner.set_limit(0, notices);
  EXPECT_EQ(owner.recalled(0) + owner.recalled(1), 5u);
  notices.clear();
  owner.set_limit(7, notices);
  EXPECT_EQ(owner.granted(), 7u) << "raised: the wish is met";
}

// Sessions that begin to count under a limit which had lent all it has.
TEST(LeaseOwner, GrantsNothingUntilWhatWasAdoptedIsBack) {
  LeaseOwner owner(4, 2);
  Notices notices;
  EXPECT_EQ(owner.request(0, {4}, notices), 4u);
  owner.adopt(1, 3);
  EXPECT_EQ(owner.granted(), 7u);
  owner.set_limit(4, notices);
  EXPECT_EQ(notices.size(), 2u) << "three of seven are recalled";
  notices.clear();
  EXPECT_EQ(owner.request(1, {1}, notices), 0u);
  owner.give_back(0, 3, notices);
  EXPECT_TRUE(notices.empty()) << "all that is allowed is still in use";
  owner.give_back(1, 1, notices);
  EXPECT_EQ(notices, (Notices{{kGrant, 1, 1}}));
  LeaseHolder holder;
  holder.adopt(2);
  EXPECT_EQ(holder.used(), 2u);
  EXPECT_EQ(holder.free(), 0u);
  EXPECT_EQ(holder.on_recall(1), 0u);
  EXPECT_EQ(holder.release(), 1u) << "goes back as what was granted does";
}

TEST(LeaseOwner, GivesWhatIsFreedToWhatIsUrgent) {
  LeaseOwner owner(2, 4);
  Notices notices;
  EXPECT_EQ(owner.request(0, {1}, notices), 1u);
  EXPECT_EQ(owner.request(1, {2}, notices), 1u);
  owner.request(2, {1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1}})) << "has none, and gets the turn of the first";
  notices.clear();
  owner.request(3, {1, 1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 0, 1}, {kRecall, 1, 1}}))
      << "what comes anyway is to come at once; for who has none another one must";
  notices.clear();
  owner.request(3, {0, 1}, notices);
  EXPECT_TRUE(notices.empty()) << "said already";
  owner.give_back(0, 1, notices);
  ASSERT_FALSE(notices.empty());
  EXPECT_EQ(notices[0], (LeaseNotice{kGrant, 3, 1}));
}

TEST(LeaseOwner, CallsOneBackForEachUrgentWish) {
  LeaseOwner owner(6, 3);
  Notices notices;
  EXPECT_EQ(owner.request(0, {3}, notices), 3u);
  EXPECT_EQ(owner.request(1, {3}, notices), 3u);
  owner.request(1, {2, 1}, notices);
  EXPECT_EQ(notices, (Notices{{kRecall, 0, 1, 1}})) << "though it has as many";
  notices.clear();
  owner.request(2, {2, 2}, notices);
  uint32_t urgent = 0;
  for (const LeaseNotice& notice : notices) urgent += notice.urgent;
  EXPECT_EQ(urgent, 2u);
}

TEST(LeaseOwner, WhatIsNotUrgentHasItsTurnToo) {
  LeaseOwner owner(1, 2);
  Notices notices;
  EXPECT_EQ(owner.request(0, {100, 100}, notices), 1u);
  owner.request(1, {1}, notices);
  int turns = 0;
  for (; owner.granted(1) == 0 && turns < 100; ++turns) owner.give_back(0, 1, notices);
  EXPECT_EQ(owner.granted(1), 1u) << "after " << turns << " urgent ones";
}

TEST(LeaseOwner, TurnsGoByWeight) {
  LeaseOwner owner(1, 3);
  Notices notices;
  std::vector<int> turns(3);
  for (uint32_t i = 0; i < 3; ++i) owner.request(i, {1000, 0, 1u << i}, notices);
  for (int i = 0; i < 700; ++i) {
    const auto has = [&](uint32_t holder) { return owner.granted(holder) == 1; };
    const uint32_t who = has(0) ? 0 : has(1) ? 1 : 2;
    ++turns[who];
    owner.give_back(who, 1, notices);
  }
  EXPECT_NEAR(turns[0], 100, 2);
  EXPECT_NEAR(turns[1], 200, 2);
  EXPECT_NEAR(turns[2], 400, 2);
}

TEST(LeaseOwner, SharesByWeight) {
  LeaseOwner owner(14, 3);
  Notices notices;
  EXPECT_EQ(owner.request(0, {20, 0, 1}, notices), 14u);
  owner.request(1, {20, 0, 2}, notices);
  owner.request(2, {20, 0, 4}, notices);
  uint32_t recalled = 0;
  for (const LeaseNotice& notice : notices) {
    EXPECT_EQ(notice.kind, kRecall);
    EXPECT_EQ(notice.holder, 0u);
    recalled += notice.count;
  }
  EXPECT_EQ(recalled, 12u);
  notices.clear();
  for (int i = 0; i < 12; ++i) owner.give_back(0, 1, notices);
  for (const LeaseNotice& notice : notices) EXPECT_EQ(notice.kind, kGrant);
  EXPECT_EQ(owner.granted(0), 2u);
  EXPECT_EQ(owner.granted(1), 4u);
  EXPECT_EQ(owner.granted(2), 8u);
  notices.clear();
  // Others wait there now: what it has follows.
  owner.request(2, {0, 0, 1}, notices);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].kind, kRecall);
  EXPECT_EQ(notices[0].holder, 2u);
  EXPECT_EQ(notices[0].count, 4u);
}

TEST(LeaseHolder, SaysWhatIsUrgentOnce) {
  LeaseHolder holder;
  EXPECT_EQ(holder.ask(3), (LeaseRequest{3, 0, 1}));
  EXPECT_EQ(holder.ask(3, 1), (LeaseRequest{0, 1, 1}));
  EXPECT_FALSE(holder.ask(3, 1));
  holder.on_grant(1);
  EXPECT_FALSE(holder.ask(2, 1)) << "it is here";
  EXPECT_TRUE(holder.take());
  EXPECT_EQ(holder.ask(2, 1), (LeaseRequest{0, 1, 1})) << "another one";
  EXPECT_EQ(holder.ask(2, 1, 3), (LeaseRequest{0, 1, 3}));
  EXPECT_EQ(holder.on_recall(1, 1), 0u);
  EXPECT_EQ(holder.owed_urgently(), 1u);
  EXPECT_EQ(holder.release(), 1u);
  EXPECT_EQ(holder.owed_urgently(), 0u);
  EXPECT_EQ(holder.on_recall(0, 1), 0u) << "has gone back meanwhile";
  EXPECT_EQ(holder.owed_urgently(), 0u);
}

TEST(LeaseHolder, CountsWhatItHas) {
  LeaseHolder holder;
  EXPECT_FALSE(holder.take());
  EXPECT_EQ(holder.ask(3)->count, 3u);
  EXPECT_FALSE(holder.ask(3)) << "under way";
  EXPECT_EQ(holder.ask(4)->count, 1u);
  holder.on_grant(2);
  EXPECT_FALSE(holder.ask(4));
  EXPECT_TRUE(holder.take());
  EXPECT_TRUE(holder.take());
  EXPECT_FALSE(holder.take());
  EXPECT_EQ(holder.release(), 0u);
  EXPECT_EQ(holder.give_back_free(1), 0u);
  EXPECT_EQ(holder.give_back_free(0), 1u);
  EXPECT_EQ(holder.granted(), 1u);
  EXPECT_EQ(holder.used(), 1u);
  EXPECT_EQ(holder.pending(), 2u);
}

TEST(LeaseHolder, PaysWhatItOwes) {
  LeaseHolder holder;
  EXPECT_EQ(holder.ask(5)->count, 5u);
  holder.on_grant(5);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(holder.take());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(holder.release(), 0u);
  EXPECT_EQ(holder.on_recall(4), 2u) << "the two free ones";
  EXPECT_EQ(holder.owed(), 2u);
  EXPECT_FALSE(holder.take());
  EXPECT_EQ(holder.release(), 1u);
  EXPECT_EQ(holder.release(), 1u);
  EXPECT_EQ(holder.owed(), 0u);
  EXPECT_EQ(holder.release(), 0u);
  EXPECT_TRUE(holder.take());
  EXPECT_EQ(holder.on_recall(9), 0u) << "cannot owe more than it has";
  EXPECT_EQ(holder.owed(), 1u);
  EXPECT_EQ(holder.release(), 1u);
  EXPECT_EQ(holder.granted(), 0u);
}

// Where one is served first who has more than his share, grants and recalls come together.
TEST(LeaseHolder, WhatWasGrantedIsUsedOnceBeforeItGoes) {
  LeaseHolder holder;
  EXPECT_EQ(holder.ask(3)->count, 3u);
  holder.on_grant(2);
  EXPECT_TRUE(holder.take());
  holder.on_grant(1);
  EXPECT_EQ(holder.on_recall(2), 0u) << "came with the grant";
  EXPECT_EQ(holder.owed(), 2u);
  EXPECT_TRUE(holder.take());
  EXPECT_EQ(holder.release(), 1u);
  EXPECT_EQ(holder.owed(), 1u);
  EXPECT_EQ(holder.give_back_free(5), 1u) << "declined: what is owed is not kept";
  EXPECT_EQ(holder.owed(), 0u);
  EXPECT_EQ(holder.give_back_free(0), 0u);
  EXPECT_EQ(holder.release(), 0u);
  EXPECT_EQ(holder.granted(), 1u);
}

// Shards around one limit, with messages that take their time. One object a seed; step() does a
// little of everything.
class Site {
 public:
  Site(uint32_t seed, uint32_t limit, uint32_t holders)
      : random_(seed), owner_(limit, holders), limit_(limit), shards_(holders) {}

  // The first of them is urgent, if so and while it has none.
  void want(uint32_t shard, uint32_t slots, bool urgently = false, uint32_t weight = 1) {
    shards_[shard].want = slots;
    shards_[shard].urgently = urgently;
    shards_[shard].weight = weight;
    act(shard);
  }
  void set_limit(uint32_t limit) {
    Notices notices;
    limit_ = limit;
    owner_.set_limit(limit, notices);
    send(notices);
  }

  void step() {
    for (uint32_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[i];
      if (shard.to_owner.size() > 0 && random_() % 3 == 0) deliver_to_owner(i);
      if (shard.to_holder.size() > 0 && random_() % 3 == 0) {
        deliver_to_holder(i);
        while (at_once_ && shard.to_holder.size() > 0) deliver_to_holder(i);
        act(i);
      }
      const bool must = shard.holder.owed() > 0, may = ends_unasked_ && random_() % 20 == 0;
      if (shard.holder.used() > 0 && ((must && random_() % 4 == 0) || may)) end_session(i);
      // Whoever wants any and has none waits.
      const bool waits = shard.want > 0 && shard.holder.used() == 0;
      shard.waits = waits ? shard.waits + 1 : 0;
      longest_wait_ = std::max(longest_wait_, shard.waits);
    }
    check();
  }

  void check() {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < shards_.size(); ++i) {
      const Shard& shard = shards_[i];
      ASSERT_LE(shard.holder.used(), shard.holder.granted());
      ASSERT_LE(shard.holder.owed(), shard.holder.granted());
      uint32_t out = shard.holder.granted();
      for (const auto& message : shard.to_owner)
        out += message.kind == Message::give_back ? message.count : 0;
      for (const LeaseNotice& notice : shard.to_holder)
        out += notice.kind == kGrant ? notice.count : 0;
      ASSERT_EQ(out, owner_.granted(i)) << "a slot was lost or doubled";
      sum += out;
    }
    ASSERT_EQ(sum, owner_.granted());
    // Never above the limit; after it was lowered, never more than before until below.
    ASSERT_LE(sum, std::max(limit_, sum_before_));
    sum_before_ = sum;
  }

  // A shard reads all that has come before it acts on any of it.
  void reads_all_at_once(bool on) { at_once_ = on; }
  void ends_unasked(bool on) { ends_unasked_ = on; }

  uint32_t longest_wait() const { return longest_wait_; }
  uint32_t used(uint32_t shard) const { return shards_[shard].holder.used(); }
  uint32_t used() const {
    uint32_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.holder.used();
    return sum;
  }
  uint64_t messages() const { return messages_; }
  bool quiet() const {
    return std::all_of(shards_.begin(), shards_.end(), [](const Shard& shard) {
      return shard.to_owner.empty() && shard.to_holder.empty() && shard.holder.owed() == 0;
    });
  }
  std::mt19937& random() { return random_; }

 private:
  struct Message {
    enum Kind { request, give_back, withdraw } kind;
    uint32_t count;
    LeaseRequest asked;
  };
  struct Shard {
    LeaseHolder holder;
    uint32_t want = 0, weight = 1;
    bool urgently = false;
    uint32_t waits = 0;
    std::deque<Message> to_owner;
    std::deque<LeaseNotice> to_holder;
  };

  void send(const Notices& notices) {
    for (const LeaseNotice& notice : notices) {
      ASSERT_GE(notice.count + notice.urgent, 1u);
      ASSERT_TRUE(notice.kind == kRecall || notice.count >= 1);
      shards_[notice.holder].to_holder.push_back(notice);
      ++messages_;
    }
  }
  void post(uint32_t at, Message::Kind kind, uint32_t count) {
    if (count == 0) return;
    shards_[at].to_owner.push_back({kind, count, {}});
    ++messages_;
  }

  // What a shard does whenever something has changed.
  void act(uint32_t at) {
    Shard& shard = shards_[at];
    while (shard.holder.used() < shard.want && shard.holder.take()) {
    }
    if (shard.want > shard.holder.used()) {
      const bool urgent = shard.urgently && shard.holder.used() == 0;
      const auto asked =
          shard.holder.ask(shard.want - shard.holder.used(), urgent ? 1 : 0, shard.weight);
      if (!asked) return;
      shard.to_owner.push_back({Message::request, 0, *asked});
      ++messages_;
    } else {
      post(at, Message::give_back, shard.holder.give_back_free(0));
      if (shard.holder.withdraw()) {
        shard.to_owner.push_back({Message::withdraw, 0, {}});
        ++messages_;
      }
    }
  }
  void end_session(uint32_t at) {
    post(at, Message::give_back, shards_[at].holder.release());
    act(at);
  }
  void deliver_to_owner(uint32_t at) {
    const Message message = shards_[at].to_owner.front();
    shards_[at].to_owner.pop_front();
    Notices notices;
    if (message.kind == Message::request) {
      const uint32_t granted = owner_.request(at, message.asked, notices);
      if (granted > 0) send({{kGrant, at, granted}});
    } else if (message.kind == Message::give_back) {
      owner_.give_back(at, message.count, notices);
    } else {
      owner_.withdraw(at);
    }
    send(notices);
  }
  void deliver_to_holder(uint32_t at) {
    const LeaseNotice notice = shards_[at].to_holder.front();
    shards_[at].to_holder.pop_front();
    if (notice.kind == kGrant) {
      shards_[at].holder.on_grant(notice.count);
    } else {
      post(at, Message::give_back, shards_[at].holder.on_recall(notice.count, notice.urgent));
    }
  }

  std::mt19937 random_;
  LeaseOwner owner_;
  uint32_t limit_;
  uint32_t sum_before_ = 0;
  uint32_t longest_wait_ = 0;
  uint64_t messages_ = 0;
  bool ends_unasked_ = true;
  bool at_once_ = false;
  std::vector<Shard> shards_;
};

// Everything changes all the time: the sum holds at every step, and nobody who wants any is left
// without for long.
TEST(Lease, HoldsItsLimitAndStarvesNobodyUnderRandomInterleavings) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const uint32_t holders = 1 + random() % 8;
    Site site(seed, 1 + random() % 24, holders);
    site.reads_all_at_once(seed % 2 == 0);
    for (int step = 0; step < 3000; ++step) {
      if (random() % 30 == 0)
        site.want(random() % holders, random() % 3 ? random() % 20 : 0, random() % 4 == 0,
                  seed % 3 == 0 ? 1 + random() % 9 : 1);
      if (random() % 200 == 0) {
        const uint32_t limit = 1 + random() % 24;
        site.set_limit(limit);
      }
      site.step();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
    }
    EXPECT_LT(site.longest_wait(), 600u) << "seed " << seed;
  }
}

// Sessions that never end by themselves: only recalls move slots, and they do.
TEST(Lease, StarvesNobodyWhenSessionsLastForEver) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const uint32_t holders = 2 + random() % 7, limit = 1 + random() % 12;
    Site site(seed, limit, holders);
    site.ends_unasked(false);
    site.reads_all_at_once(seed % 2 == 0);
    for (uint32_t i = 0; i < holders; ++i) {
      site.want(i, 1 + random() % 20, seed % 3 == 1 && i % 2 == 0, seed % 4 == 0 ? 1 + i : 1);
      for (uint32_t n = random() % 100; n > 0; --n) site.step();
    }
    for (int step = 0; step < 3000; ++step) site.step();
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
    // By weights, 1 of up to 36: so many turns of others lie between two of its own.
    EXPECT_LT(site.longest_wait(), seed % 4 == 0 ? 2000u : 600u)
        << "seed " << seed << " " << limit << " for " << holders;
  }
}

// Where everybody wants as much as there is and there is one for each: equal shares to within one,
// all in use, and then silence.
TEST(Lease, SettlesToFairSharesAndThenIsSilent) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const uint32_t holders = 2 + random() % 7, limit = holders + random() % 40;
    const uint32_t modest = random() % 4;  // wanted by holder 0; the others want no end
    Site site(seed, limit, holders);
    site.ends_unasked(false);
    for (uint32_t i = 0; i < holders; ++i) {
      site.want(i, i == 0 ? modest : limit);
      for (uint32_t n = random() % 200; n > 0; --n) site.step();
    }
    for (int step = 0; step < 5000 && !site.quiet(); ++step) site.step();
    ASSERT_TRUE(site.quiet()) << "seed " << seed;
    uint32_t least = limit, most = 0;
    for (uint32_t i = 1; i < holders; ++i) {
      least = std::min(least, site.used(i));
      most = std::max(most, site.used(i));
    }
    EXPECT_LE(most - least, 1u) << "seed " << seed;
    EXPECT_EQ(site.used(), limit) << "seed " << seed;
    const uint32_t share = limit / holders;
    EXPECT_GE(site.used(0) + 1, std::min(modest, share)) << "seed " << seed;
    const uint64_t messages = site.messages();
    for (int step = 0; step < 100; ++step) site.step();
    EXPECT_EQ(site.messages(), messages) << "seed " << seed << ": slots keep moving";
  }
}

// The same by weights: 1, 2, 3, …
TEST(Lease, SettlesToSharesByWeightAndThenIsSilent) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const uint32_t holders = 2 + random() % 5, limit = 2 * holders * holders + random() % 40;
    Site site(seed, limit, holders);
    site.ends_unasked(false);
    for (uint32_t i = 0; i < holders; ++i) {
      site.want(i, limit, false, i + 1);
      for (uint32_t n = random() % 200; n > 0; --n) site.step();
    }
    for (int step = 0; step < 20000 && !site.quiet(); ++step) site.step();
    ASSERT_TRUE(site.quiet()) << "seed " << seed;
    const uint32_t weights = holders * (holders + 1) / 2;
    for (uint32_t i = 0; i < holders; ++i)
      EXPECT_NEAR(site.used(i), static_cast<double>(limit) * (i + 1) / weights, 1.5)
          << "seed " << seed << " holder " << i;
    EXPECT_EQ(site.used(), limit) << "seed " << seed;
    const uint64_t messages = site.messages();
    for (int step = 0; step < 100; ++step) site.step();
    EXPECT_EQ(site.messages(), messages) << "seed " << seed << ": slots keep moving";
  }
}

// After the limit was lowered the sum comes down by itself; after it was raised it is used up
// again.
TEST(Lease, FollowsItsLimit) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    std::mt19937 random(seed);
    const uint32_t holders = 1 + random() % 6;
    Site site(seed, 20, holders);
    site.ends_unasked(false);
    for (uint32_t i = 0; i < holders; ++i) site.want(i, 30);
    for (uint32_t limit : {20u, 7u, 0u, 13u, 2u}) {
      site.set_limit(limit);
      for (int step = 0; step < 2000; ++step) site.step();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed;
      EXPECT_LE(site.used(), limit) << "seed " << seed;
      if (limit < holders) continue;
      EXPECT_EQ(site.used(), limit) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace veredus::queue
