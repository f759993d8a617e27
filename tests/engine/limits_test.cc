// The limits of one shard alone, as its lanes use them.

#include "engine/limits.h"

#include <memory>

#include <gtest/gtest.h>

#include "engine/routes.h"
#include "tests/engine/lone_home.h"
#include "tests/sim/internet.h"

namespace veredus {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

class LoneLimitsTest : public testing::Test {
 protected:
  LoneLimitsTest() : internet_(1, clock_), disk_(storage_) {
    exchange_.set_wake(0, &wake_);
    limit(1000);
  }
  // Bytes that all mail may have per second; 0: any number.
  void limit(uint64_t bytes) {
    settings_.global_limits.rates[static_cast<size_t>(Resource::byte_rate)] = {bytes,
                                                                               1000 * kMillisecond};
    shard_.policy = make_policy(settings_, shard_.policy.get());
    if (limits_ != nullptr) return limits_->policy_changed();
    limits_ = std::make_unique<Limits>(shard_, kept_);
  }
  void turn(int64_t later_ns = 10 * kMillisecond) {
    shard_.mono_ns += later_ns;
    Message* next = exchange_.mailbox(0).take();
    while (next != nullptr) {
      const std::unique_ptr<Message> owned(next);
      next = owned->next;
      limits_->hear(static_cast<LimitMessage&>(*owned));
    }
    limits_->run();
  }
  Scope& all() { return limits_->scope({ScopeId::Kind::global, 0, 0}); }

  EngineSettings settings_;
  sim::SimClock clock_;
  sim::Internet internet_;
  sim::SimStorage storage_{1};
  sim::SimDisk disk_;
  sim::SimLookups lookups_{internet_, [](uint32_t domain) { return domain; }};
  Exchange exchange_{1, 1, 64};
  NoWake wake_;
  io::Random random_{1};
  Counters counters_;
  ShardContext shard_{0,
                      1,
                      settings_,
                      exchange_,
                      random_,
                      counters_,
                      1'000'000'000,
                      1'700'000'000'000'000'000,
                      make_policy(settings_, nullptr)};
  dns::Router router_{lookups_, settings_.router, [this] { return shard_.mono_ns; }};
  StsPolicies sts_{shard_, router_, lookups_, nullptr};
  Routes routes_{shard_, router_, sts_};
  KeptRates kept_{shard_, disk_, routes_};
  std::unique_ptr<Limits> limits_;
};

// Grants come again and again while something is left of the one before.
TEST_F(LoneLimitsTest, WhatIsLentIsListedOnce) {
  uint64_t taken = 0;
  for (int i = 0; i < 2000; ++i) {
    limits_->ask_tokens(all(), Resource::byte_rate, 40, 1, 0);
    turn();
    const uint64_t here = limits_->tokens_here(all(), Resource::byte_rate);
    if (here > 1) {
      limits_->take_tokens(all(), Resource::byte_rate, here - 1);
      taken += here - 1;
    }
    ASSERT_LE(limits_->holding(), 1u) << i;
  }
  EXPECT_GT(taken, 10'000u);
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_EQ(limits_->holding(), 0u);
}

// A limit that goes and comes back: what was wished is asked for anew, and what was lent is gone.
TEST_F(LoneLimitsTest, ALimitThatGoesTakesItsWishesWithIt) {
  for (const bool at_once : {false, true}) {
    limits_->ask_tokens(all(), Resource::byte_rate, 40, 1, 0);
    turn();
    limits_->ask_tokens(all(), Resource::byte_rate, 100'000, 1, 0);
    limit(0);
    EXPECT_EQ(limits_->tokens_here(all(), Resource::byte_rate), UINT64_MAX);
    if (!at_once) turn();
    limit(1000);
    limits_->ask_tokens(all(), Resource::byte_rate, 40, 1, 0);
    bool came = false;
    for (int i = 0; i < 200 && !came; ++i) {
      turn();
      came = limits_->tokens_here(all(), Resource::byte_rate) > 0;
      EXPECT_LE(limits_->holding(), 1u);
    }
    EXPECT_TRUE(came) << at_once;
  }
}

}  // namespace
}  // namespace veredus
