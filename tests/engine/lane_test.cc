// Servers that try the lanes' patience: each case is a whole engine in a simulated world of one
// kind of weather.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/few.h"
#include "tests/sim/world.h"

namespace veredus::sim {
namespace {

using testing::IsEmpty;

// Two hours long every server says 421 right behind its reply to EHLO. That is a failure of the
// host like a refused greeting: it is passed over for a while, and what waits is told to come
// later.
TEST(LaneTest, AHostThatHangsUpAfterEhloIsNotHammered) {
  WorldOptions options = few();
  options.change = [](EngineSettings&, Faults& faults) { faults.farewell_after_ehlo = 1; };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_GT(report.connections, 20u);
  EXPECT_LT(report.connections, 2000u);
}

// The time of all of them ends while no host can be reached.
TEST(LaneTest, WhatCannotBeDeliveredExpires) {
  WorldOptions options = few();
  options.change = [](EngineSettings& settings, Faults& faults) {
    settings.retry.max_age_ns = 3'600'000'000'000;
    faults.connect_refused = 1;
  };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, options.recipients);
  EXPECT_EQ(report.receipts, 0u);
}

// … nor answers at all: each of two hosts costs a minute, and is passed over for a minute.
TEST(LaneTest, WhatNobodyAnswersToExpires) {
  WorldOptions options = few();
  options.change = [](EngineSettings& settings, Faults& faults) {
    settings.retry.max_age_ns = 90'000'000'000;
    faults.connect_silent = 1;
  };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, options.recipients);
  EXPECT_LT(report.simulated_ns, 600'000'000'000);
}

// The best host is dead: the next one gets the mail, at the first attempt.
TEST(LaneTest, TheNextHostIsTried) {
  WorldOptions options = few();
  options.change = [](EngineSettings&, Faults& faults) { faults.first_hosts_silent = true; };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_LT(report.simulated_ns, 90'000'000'000);
}

// The time of all of them ends while their domain's name servers fail.
TEST(LaneTest, WhatHasNoRouteExpires) {
  WorldOptions options = few();
  options.change = [](EngineSettings& settings, Faults& faults) {
    settings.retry.max_age_ns = 3'600'000'000'000;
    faults.dns_failure = 1;
  };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.expired, options.recipients);
}

// What a server states of itself is kept to (RFC 9422): who is beyond it goes in the next
// transaction, or by the next connection, and nobody fails for it.
TEST(LaneTest, StatedLimitsAreKept) {
  WorldOptions options = few();
  options.recipients = 400;
  options.domains = options.sites = 2;
  options.change = [](EngineSettings&, Faults& faults) {
    faults.mail_max = 2;
    faults.rcpt_max = 3;
  };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_GE(report.connections, options.recipients / 6);
}

// One connection for four slices of a hot site: it goes round, and nobody starves.
TEST(LaneTest, OneConnectionServesAllSlicesOfAHotSite) {
  WorldOptions options = few();
  options.shards = 4;
  options.recipients = 4000;
  options.sites = 1;
  options.hot_share = 1;
  options.turns_max = 3'000'000;
  options.change = [](EngineSettings& settings, Faults&) { settings.connections_per_site = 1; };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_LT(report.simulated_ns, 2 * 3'600'000'000'000);
}

// More sites than connections: whoever idles makes room.
TEST(LaneTest, MoreSitesThanConnections) {
  WorldOptions options = few();
  options.recipients = 400;
  options.domains = 40;
  options.sites = 40;
  options.change = [](EngineSettings& settings, Faults&) { settings.connections_total = 4; };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_LT(report.simulated_ns, 600'000'000'000);
}

// A site with more mail than all others must not keep the connections for itself: each session
// makes room when it has carried its share, and who has none stands in line.
TEST(LaneTest, ALongQueueDoesNotKeepTheConnections) {
  WorldOptions options = few();
  options.recipients = 8000;
  options.hot_share = 0.95;
  options.domains = 40;
  options.sites = 50;
  options.turns_max = 3'000'000;
  options.change = [](EngineSettings& settings, Faults&) {
    settings.connections_total = 2;
    settings.recipients_per_transaction = 1;
    settings.messages_per_connection = 0;
  };
  World world(options);
  const int64_t begun = world.now_mono_ns();
  const WorldReport report = world.run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_LT(report.others_done_mono_ns - begun, (report.hot_done_mono_ns - begun) / 2);
}

// A server that takes so many messages per connection: the next one goes by another connection at
// once, it is not a failure of that message.
TEST(LaneTest, AServerThatTakesFiveMessagesPerConnection) {
  WorldOptions options = few();
  options.change = [](EngineSettings& settings, Faults& faults) {
    settings.recipients_per_transaction = 1;
    settings.messages_per_connection = 0;
    faults.messages_max = 5;
  };
  const WorldReport report = World(options).run();
  EXPECT_THAT(report.violations, IsEmpty());
  EXPECT_EQ(report.receipts, options.recipients);
  EXPECT_LT(report.simulated_ns, 120'000'000'000) << "somebody had to wait for his next try";
}

// Early mail to servers that take it and refuse some: no offer goes into a RSET, nothing is lost or
// doubled.
TEST(LaneTest, EarlyMail) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    WorldOptions options = few();
    options.seed = seed;
    options.recipients = 600;
    options.change = [](EngineSettings& settings, Faults& faults) {
      settings.early_mail_hosts = {"sim"};
      settings.connections_per_site = 2;
      settings.dialogue.use_chunking = true;
      faults.content_later = 0.2;
      faults.reset_anywhere = 0.02;
    };
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty()) << "seed " << seed;
  }
}

// Which hosts take the next MAIL early is said by their names, or by what these end in. The world
// runs the same way exactly where nobody is meant.
TEST(LaneTest, HostsThatTakeMailEarly) {
  const auto run = [](const std::vector<std::string>& hosts) {
    WorldOptions options = few();
    options.sites = 1;
    options.recipients = 300;
    options.connections_per_site = 1;
    options.change = [&hosts](EngineSettings& settings, Faults&) {
      settings.early_mail_hosts = hosts;
      settings.recipients_per_transaction = 1;
    };
    const WorldReport report = World(options).run();
    EXPECT_THAT(report.violations, IsEmpty());
    EXPECT_EQ(report.receipts, options.recipients);
    return report;
  };
  const WorldReport late = run({});
  for (const std::vector<std::string>& hosts :
       {std::vector<std::string>{".sim"}, {"mx1.sim", ".SIM"}}) {
    const WorldReport early = run(hosts);
    EXPECT_NE(early.trace, late.trace) << hosts[0];
    EXPECT_LT(early.simulated_ns, late.simulated_ns) << hosts[0];
  }
  for (const char* const host : {"sim", ".mx0.sim", "x0.sim", ".0.sim", ".example"})
    EXPECT_EQ(run({host}).trace, late.trace) << host;
}

}  // namespace
}  // namespace veredus::sim
