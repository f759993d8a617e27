// A recipient's own `expires` against its batch's: each case is a whole engine in a simulated world
// of one kind of weather, which turns fair after two hours.

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/own_values.h"
#include "tests/engine/few.h"
#include "tests/sim/world.h"

namespace veredus::sim {
namespace {

using testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600 * kSecond;

std::string expires(const std::string& when) {
  return when.empty() ? "" : ",\"expires\":\"" + when + "\"";
}

// 60 recipients in two batches; those with an odd number have a time of their own.
WorldOptions expiring(const std::string& batch, const std::string& even, const std::string& odd) {
  WorldOptions options = few();
  options.batch_more = expires(batch);
  options.recipient_more = [even, odd](uint32_t recipient) {
    return expires(recipient % 2 == 0 ? even : odd);
  };
  return options;
}

void nobody_reachable(EngineSettings&, Faults& faults) {
  faults.connect_refused = 1;
}
void nobody_routed(EngineSettings&, Faults& faults) {
  faults.dns_failure = 1;
}
void everybody_later(EngineSettings&, Faults& faults) {
  faults.recipient_later = 1;
}

// More than a site's one connection takes within two seconds: the rest is still waiting for the
// session when its time ends, and it is the lane that sees it.
TEST(ExpiryTest, WhatWaitsForASessionExpiresInABatchWithoutATime) {
  for (const std::string batch : {"", "1h"}) {
    WorldOptions options = expiring(batch, "2s", "2s");
    options.sites = 1;
    options.recipients = 400;
    options.change = [](EngineSettings& settings, Faults&) {
      settings.connections_per_site = 1;
      settings.recipients_per_transaction = 1;
    };
    World world(options);
    const int64_t begun = world.now_mono_ns();
    const WorldReport report = world.run();
    EXPECT_THAT(report.violations, IsEmpty()) << batch;
    EXPECT_GT(report.expired, 0u) << batch;
    EXPECT_EQ(report.receipts + report.expired, options.recipients) << batch;
    EXPECT_LT(std::max(report.hot_done_mono_ns, report.others_done_mono_ns) - begun, 10 * kSecond)
        << batch;
  }
}

// The servers say "later" to all for two hours: who may wait longer gets its mail.
TEST(ExpiryTest, ItsOwnTimeWinsInABatchWithoutATime) {
  WorldOptions options = expiring("", "", "1h");
  options.change = everybody_later;
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, 30u);
  EXPECT_EQ(report.receipts, 30u);
}

// No session ever exists, and the retry would come minutes after the end of its time.
TEST(ExpiryTest, AShorterTimeEndsWhileNoHostCanBeReached) {
  WorldOptions options = expiring("1h", "2s", "2s");
  options.change = nobody_reachable;
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, options.recipients);
  EXPECT_EQ(report.receipts, 0u);
  EXPECT_LT(report.simulated_ns, 20 * kSecond);
}

TEST(ExpiryTest, AShorterTimeEndsWithoutARoute) {
  WorldOptions options = expiring("1h", "2s", "2s");
  options.change = nobody_routed;
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, options.recipients);
  EXPECT_LT(report.simulated_ns, 120 * kSecond);
}

// Nobody needs to hear in an hour that it was over after two seconds.
TEST(ExpiryTest, AShorterTimeEndsBeforeItIsDue) {
  for (const bool whole_batch : {false, true}) {
    WorldOptions options = expiring("", "", "");
    const std::string more = ",\"not_before\":\"1h\",\"expires\":\"2s\"";
    if (whole_batch) {
      options.batch_more = more;
    } else {
      options.recipient_more = [more](uint32_t) { return more; };
    }
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty());
    EXPECT_EQ(report.expired, options.recipients);
    EXPECT_LT(report.simulated_ns, 20 * kSecond);
  }
}

TEST(ExpiryTest, ALongerTimeOutlivesTheBatch) {
  WorldOptions options = expiring("3s", "", "1d");
  options.change = nobody_reachable;
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, 30u);
  EXPECT_EQ(report.receipts, 30u);
  EXPECT_GT(report.simulated_ns, 2 * kHour);
}

// Times of their own on both sides of the batch's, and a process that dies meanwhile: ten minutes
// (which begin anew, as those of a batch do: they are shorter than the longest retry) end before
// the fair weather comes, a day does not.
TEST(ExpiryTest, ItsOwnTimeIsKnownAgainAfterACrash) {
  uint64_t crashes = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    WorldOptions options = expiring("30m", "10m", "1d");
    options.seed = seed;
    options.crashes_max = 2;
    options.change = nobody_reachable;
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
    EXPECT_EQ(report.expired, 30u) << "seed " << seed;
    EXPECT_EQ(report.receipts, 30u) << "seed " << seed;
    crashes += report.crashes;
  }
  EXPECT_GT(crashes, 10u);
}

// A slot's next record does not inherit the time, whether or not the chunk has others.
TEST(OwnExpiryTest, GoesWithItsRecord) {
  OwnExpiry times;
  constexpr uint32_t kFar = 3 * queue::RecordTable::kChunkRecords + 7;
  EXPECT_EQ(times.value(kFar), 0);
  times.erase(kFar);
  ASSERT_TRUE(times.set(kFar, 5));
  ASSERT_TRUE(times.set(kFar, 6));
  ASSERT_TRUE(times.set(kFar + 1, 7));
  EXPECT_EQ(times.value(kFar), 6);
  EXPECT_EQ(times.value(7), 0);
  times.erase(kFar);
  EXPECT_EQ(times.value(kFar), 0);
  EXPECT_EQ(times.value(kFar + 1), 7);
  times.erase(kFar + 1);
  EXPECT_EQ(times.value(kFar + 1), 0);
  ASSERT_TRUE(times.set(kFar, 8));
  EXPECT_EQ(times.value(kFar), 8);
  EXPECT_EQ(times.value(kFar + 1), 0);
}

}  // namespace
}  // namespace veredus::sim
