#include "queue/fair_order.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

// Serves `picks` times one unit and says who it was.
std::string serve(FairOrder<char>& order, int picks, const std::map<char, uint32_t>& weights = {}) {
  std::string served;
  for (; picks > 0; --picks) {
    const char key = order.next();
    served += key;
    const auto weight = weights.find(key);
    order.charge(key, 1, weight == weights.end() ? 1 : weight->second);
  }
  return served;
}

TEST(FairOrder, TakesTurns) {
  FairPasses<char> passes;
  FairOrder<char> order(passes);
  EXPECT_TRUE(order.empty());
  order.activate('c');
  order.activate('a');
  order.activate('b');
  EXPECT_EQ(serve(order, 7), "cabcabc") << "equals in the order in which they became active";
  order.deactivate('a');
  EXPECT_EQ(serve(order, 4), "bcbc");
  EXPECT_EQ(order.size(), 2u);
}

TEST(FairOrder, GoesByWeight) {
  FairPasses<char> passes;
  FairOrder<char> order(passes);
  order.activate('a');
  order.activate('b');
  const std::string served = serve(order, 400, {{'a', 3}, {'b', 1}});
  EXPECT_EQ(std::count(served.begin(), served.end(), 'a'), 300);
  EXPECT_EQ(served.substr(0, 8), "abaaabaa");
  // Weights may change at any time.
  const std::string later = serve(order, 400, {{'a', 1}, {'b', 4}});
  EXPECT_NEAR(static_cast<double>(std::count(later.begin(), later.end(), 'a')), 80, 1);
}

TEST(FairOrder, IdlingSavesNothingUp) {
  FairPasses<char> passes;
  FairOrder<char> order(passes);
  order.activate('a');
  order.activate('b');
  serve(order, 10);
  order.deactivate('b');
  serve(order, 1000);
  order.activate('b');
  order.activate('c');  // never seen before
  const std::string served = serve(order, 300);
  for (const char key : {'a', 'b', 'c'}) {
    EXPECT_NEAR(static_cast<double>(std::count(served.begin(), served.end(), key)), 100, 1);
  }
}

TEST(FairOrder, LeavingAndComingBackForgivesNothing) {
  FairPasses<char> passes;
  FairOrder<char> order(passes);
  order.activate('a');
  order.activate('b');
  order.charge('a', 100, 1);
  order.deactivate('a');
  order.activate('a');
  EXPECT_EQ(serve(order, 100), std::string(100, 'b'));
  // Charged while it is not active, too.
  order.deactivate('b');
  passes.charge('b', 50, 1);
  order.activate('b');
  EXPECT_EQ(serve(order, 50), std::string(50, 'a'));
}

TEST(FairOrder, QueuesShareThePasses) {
  FairPasses<char> passes;
  FairOrder<char> one(passes), two(passes);
  one.activate('a');
  two.activate('a');
  two.activate('b');
  EXPECT_EQ(serve(one, 20), std::string(20, 'a'));
  EXPECT_EQ(serve(two, 24), std::string(20, 'b') + "abab") << "a had its share in the other queue";
}

TEST(FairOrder, NobodyIsShutOutForWhatHeGotElsewhere) {
  FairPasses<char> passes(50);
  FairOrder<char> fast(passes), slow(passes);
  fast.activate('a');
  slow.activate('b');
  serve(fast, 100'000);
  slow.activate('a');
  EXPECT_EQ(serve(slow, 52), std::string(51, 'b') + "a");
  // And who is new has no more than that before the others.
  serve(fast, 100'000);
  fast.activate('c');
  EXPECT_LE(serve(fast, 60).find('a'), 51u);
}

TEST(FairOrder, ForgetsWhoIsNotAhead) {
  FairPasses<uint32_t> passes(1'000'000);
  FairOrder<uint32_t> order(passes);
  order.activate(0);
  for (uint32_t key = 1; key <= 1000; ++key) {
    order.activate(key);
    order.charge(key, key == 500 ? 100'000 : 1, 1);
  }
  order.charge(0, 100, 1);
  for (uint32_t key = 1; key <= 1000; ++key) order.deactivate(key);
  order.activate(1);
  EXPECT_LE(passes.size(), 3u) << "0, 1 and 500, who is ahead";
  order.activate(500);
  for (int n = 0; n < 1000; ++n) {
    ASSERT_NE(order.next(), 500u);
    order.charge(order.next(), 1, 1);
  }
  {
    FairOrder<uint32_t> other(passes);
    for (uint32_t key = 1000; key < 1100; ++key) other.activate(key);
    EXPECT_EQ(passes.size(), 103u);
  }
  for (int n = 0; n < 4; ++n) order.charge(order.next(), 1, 1);
  order.deactivate(1);
  order.activate(1);
  EXPECT_LE(passes.size(), 4u) << "the other queue is gone";
}

// Enough for all of them all the time, of any size: shares by weight.
TEST(FairOrder, SharesAreByWeightToOnePerCent) {
  for (const size_t keys : {2u, 3u, 7u, 30u}) {
    std::mt19937_64 random(keys);
    FairPasses<uint32_t> passes;
    FairOrder<uint32_t> order(passes);
    std::vector<uint32_t> weights;
    std::vector<uint64_t> used(keys);
    uint64_t sum = 0, weight_sum = 0;
    for (uint32_t key = 0; key < keys; ++key) {
      weights.push_back(key == 0 ? 1000
                                 : static_cast<uint32_t>(1 + random() % (key == 1 ? 9 : 999)));
      weight_sum += weights.back();
      order.activate(key);
    }
    for (int n = 0; n < 2'000'000; ++n) {
      const uint32_t key = order.next();
      const uint64_t units = 1 + random() % 5;
      order.charge(key, units, weights[key]);
      used[key] += units;
      sum += units;
    }
    for (uint32_t key = 0; key < keys; ++key) {
      const double share =
          static_cast<double>(sum) * weights[key] / static_cast<double>(weight_sum);
      EXPECT_NEAR(static_cast<double>(used[key]) / share, 1, 0.01) << keys << " " << weights[key];
    }
  }
}

// Whoever stays active is served again when each other one has had what his weight gives him for a
// charge of ours, and one charge more.
TEST(FairOrder, NobodyStarves) {
  constexpr uint64_t kLargest = 7;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    const uint32_t keys = 2 + static_cast<uint32_t>(random() % 30);
    FairPasses<uint32_t> passes(100'000);
    FairOrder<uint32_t> order(passes);
    std::vector<uint32_t> weights(keys);
    std::vector<std::vector<uint64_t>> since(keys, std::vector<uint64_t>(keys));
    std::vector<bool> active(keys, true);
    for (uint32_t key = 0; key < keys; ++key) {
      weights[key] = static_cast<uint32_t>(1 + random() % (key % 2 == 0 ? 1000 : 5));
      order.activate(key);
    }
    for (int n = 0; n < 20'000; ++n) {
      const uint32_t key = order.next();
      const uint64_t units = 1 + random() % kLargest;
      order.charge(key, units, weights[key]);
      for (uint32_t other = 0; other < keys; ++other) since[other][key] += units;
      since[key].assign(keys, 0);
      for (uint32_t other = 0; other < keys; ++other) {
        const uint64_t fair = kLargest * weights[key] / weights[other] + 1 + kLargest;
        ASSERT_TRUE(!active[other] || since[other][key] <= fair)
            << "seed " << seed << ": " << other << " waits for " << key;
      }
      // Some come and go, which gains them nothing.
      const uint32_t some = static_cast<uint32_t>(random() % keys);
      if (random() % 4 != 0 || (active[some] && order.size() == 1)) continue;
      if (active[some]) {
        order.deactivate(some);
      } else {
        order.activate(some);
        since[some].assign(keys, 0);
      }
      active[some] = !active[some];
    }
  }
}

// The same by looking through everything, with passes that never wrap and are never forgotten.
class Model {
 public:
  __extension__ typedef __int128 Pass;

  Model(size_t queues, uint64_t lead_units) : lead_(Pass{lead_units} << 16), queues_(queues) {}

  void activate(size_t queue, uint32_t key) {
    Member& member = members_[key];
    if (member.active == 0) rise(member);
    ++member.active;
    queues_[queue].emplace_back(key);
  }
  void deactivate(size_t queue, uint32_t key) {
    std::erase(queues_[queue], key);
    --members_[key].active;
  }
  void charge(uint32_t key, uint64_t units, uint32_t weight) {
    Member& member = members_[key];
    if (member.active == 0) rise(member);
    const Pass whole = (Pass{units} << 16) + member.rest;
    const Pass most = std::max(member.pass, smallest() + lead_);
    member.pass = std::min(member.pass + whole / weight, most);
    member.rest = whole % weight;
    largest_ = std::max(largest_, member.pass);
  }
  std::optional<uint32_t> next(size_t queue) {
    std::optional<uint32_t> found;
    for (const uint32_t key : queues_[queue]) {  // in the order in which they became active
      if (!found || members_[key].pass < members_[*found].pass) found = key;
    }
    return found;
  }
  bool is_in(size_t queue, uint32_t key) const {
    return std::find(queues_[queue].begin(), queues_[queue].end(), key) != queues_[queue].end();
  }

 private:
  struct Member {
    Pass pass = 0, rest = 0;
    int active = 0;
  };
  Pass smallest() const {
    std::optional<Pass> found;
    for (const auto& [key, member] : members_) {
      if (member.active != 0 && (!found || member.pass < *found)) found = member.pass;
    }
    return found.value_or(largest_);
  }
  void rise(Member& member) {
    member.pass = std::max(member.pass, smallest());
    member.rest = 0;
  }

  Pass lead_;
  Pass largest_ = 0;
  std::map<uint32_t, Member> members_;
  std::vector<std::vector<uint32_t>> queues_;
};

// `scale`: of charges and lead; where it is large, and few have little weight, passes wrap.
void compare(uint64_t seed, uint64_t scale, uint32_t keys_max, uint32_t weight_max, int steps) {
  std::mt19937_64 random(seed);
  const size_t queues = 1 + random() % 4;
  const uint32_t keys = 1 + static_cast<uint32_t>(random() % keys_max);
  const uint64_t lead = (1 + random() % 50) * scale;
  FairPasses<uint32_t> passes(lead);
  std::vector<std::unique_ptr<FairOrder<uint32_t>>> orders;
  for (size_t i = 0; i < queues; ++i) {
    orders.push_back(std::make_unique<FairOrder<uint32_t>>(passes));
  }
  Model model(queues, lead);
  std::vector<uint32_t> weights(keys);
  for (uint32_t& weight : weights) weight = static_cast<uint32_t>(1 + random() % weight_max);
  uint64_t coming = 50;  // of 100
  for (int step = 0; step < steps; ++step) {
    if (step % 300 == 0) coming = random() % 101;
    const size_t queue = random() % queues;
    const uint32_t key = static_cast<uint32_t>(random() % keys);
    FairOrder<uint32_t>& order = *orders[queue];
    if (random() % 3 == 0) {
      const bool is_in = model.is_in(queue, key);
      if (!is_in && random() % 100 < coming) {
        model.activate(queue, key);
        order.activate(key);
      } else if (is_in && random() % 100 >= coming) {
        model.deactivate(queue, key);
        order.deactivate(key);
      }
    }
    const uint64_t units = (random() % 50 == 0 ? random() % 100 : 1 + random() % 3) * scale;
    if (random() % 40 == 0) weights[key] = static_cast<uint32_t>(1 + random() % weight_max);
    if (random() % 20 == 0) {
      model.charge(key, units, weights[key]);
      passes.charge(key, units, weights[key]);
    }
    const std::optional<uint32_t> expected = model.next(queue);
    ASSERT_EQ(order.empty(), !expected) << "seed " << seed << " step " << step;
    if (!expected) continue;
    ASSERT_EQ(order.next(), *expected) << "seed " << seed << " step " << step;
    model.charge(*expected, units, weights[*expected]);
    order.charge(*expected, units, weights[*expected]);
  }
}

TEST(FairOrder, IsAsLookingThroughEverything) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    compare(seed, 1, seed % 3 == 0 ? 100 : 25, seed % 5 == 0 ? 1000 : 20, 3000);
    if (HasFatalFailure()) return;
  }
}

TEST(FairOrder, PassesMayWrap) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    compare(seed, uint64_t{1} << 37, seed % 5 == 0 ? 25 : 3, 2, 10'000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace veredus::queue
