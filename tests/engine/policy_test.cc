// The rules of sending as they are made of settings, by themselves.

#include "engine/policy.h"

#include <gtest/gtest.h>

#include "engine/settings.h"
#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;
constexpr int64_t kHour = 3600 * kSecond;

// Whose receiver is not known yet waits as long as any provider would have him, after each attempt.
TEST(PolicyTest, TheLoosestRetryIsNoneOfThemAlone) {
  EngineSettings settings;
  Provider& early = add_provider(settings);
  early.retry.cap_ns = 48 * kHour;
  early.retry.intervals_ns = {48 * kHour, kHour};
  Provider& late = settings.providers.emplace_back(early);
  late.name = "late";
  late.retry.intervals_ns = {kHour, 2 * kHour, 24 * kHour};
  late.retry.greylist_ns = {kSecond, kSecond, kSecond, kSecond, kSecond, kSecond, 30 * kHour};
  Provider& slow = settings.providers.emplace_back(late);
  slow.name = "slow";
  slow.retry.intervals_ns.clear();
  slow.retry.initial_ns = kHour;
  slow.retry.factor = 1.02;
  slow.retry.jitter = 0.5;
  slow.retry.max_age_ns = 20 * 24 * kHour;
  const auto policy = make_policy(settings, nullptr);
  EXPECT_EQ(policy->loosest_retry.max_age_ns, slow.retry.max_age_ns);
  for (const Provider& provider : policy->providers) {
    for (uint32_t attempts = 1; attempts <= UINT8_MAX; ++attempts)
      ASSERT_GE(queue::longest_delay_ns(policy->loosest_retry, attempts),
                queue::longest_delay_ns(provider.retry, attempts))
          << provider.name << ", attempt " << attempts;
  }
}

// Who was due while nothing ran does not wait two days because some provider has others do so.
TEST(PolicyTest, WhatIsOverdueAtAStartDoesNotWaitAsLong) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    Provider& p = add_provider(settings);
    p.retry.cap_ns = 48 * kHour;
    p.retry.intervals_ns = {48 * kHour};
    settings.retry.initial_ns = settings.retry.cap_ns = 10 * kSecond;
    settings.retry.greylist_ns.clear();
    settings.retry.site_initial_ns = settings.retry.site_cap_ns = kSecond;
    faults.recipient_later = 1;
  });
  engine.feed("b", SmallEngine::recipients(20, 1));
  engine.run_to(engine.clock.mono + 5 * kSecond);
  engine.internet.faults.recipient_later = 0;
  engine.clock.mono += 60 * kSecond;
  engine.restart();
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 20; }, 30 * kSecond));
}

TEST(PolicyTest, WhatAReloadRemovesSaysSo) {
  EngineSettings settings;
  add_provider(settings);
  const auto first = make_policy(settings, nullptr);
  const auto second = make_policy(EngineSettings(), first.get());
  const auto third = make_policy(settings, second.get());
  EXPECT_FALSE(first->providers.at(1).removed);
  EXPECT_TRUE(second->providers.at(1).removed);
  EXPECT_FALSE(second->providers.at(0).removed);
  EXPECT_FALSE(third->providers.at(1).removed);
}

TEST(PolicyTest, SourcesHavePlacesOverAllReloads) {
  EngineSettings settings;
  settings.sources.resize(kSourcesMax);
  for (uint32_t i = 0; i < kSourcesMax; ++i) settings.sources[i].name = "s" + std::to_string(i);
  EXPECT_TRUE(sources_have_places(settings, nullptr).ok());
  const auto policy = make_policy(settings, nullptr);
  EXPECT_TRUE(sources_have_places(settings, policy.get()).ok());
  settings.sources.resize(1);
  settings.sources[0].name = "another";
  EXPECT_FALSE(sources_have_places(settings, policy.get()).ok());
  EXPECT_TRUE(sources_have_places(settings, nullptr).ok());
}

// The host loses all of many addresses: they are looked at in turn, not all at once.
TEST(SourcesTest, AreLookedAtInTurn) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.sources.resize(100);
    for (unsigned i = 0; i < 100; ++i) {
      settings.sources[i].name = "s" + std::to_string(i);
      io::parse_address("10.9.9." + std::to_string(i), settings.sources[i].address);
    }
  });
  for (unsigned i = 0; i < 100; ++i)
    engine.internet.missing_addresses.insert("10.9.9." + std::to_string(i));
  const auto missing = [&] {
    unsigned count = 0;
    for (uint32_t id = 0; id < 100; ++id) count += engine.core().exchange().source_missing(id);
    return count;
  };
  engine.run_to(engine.clock.mono + kSecond);
  EXPECT_GT(missing(), 0u);
  EXPECT_LT(missing(), 30u);
  engine.run_to(engine.clock.mono + 11 * kSecond);
  EXPECT_EQ(missing(), 100u);
}

}  // namespace
}  // namespace veredus::sim
