// What the rules of sending say, each seen at the servers: delivery windows, sources that tenants
// keep to, limits of a tenant, how long connections idle.

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "queue/delivery_window.h"
#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

std::shared_ptr<const queue::DeliveryWindows> windows(const std::string& text) {
  return std::make_shared<queue::DeliveryWindows>(*queue::parse_windows(text));
}

// The world begins on a Tuesday at 22:13:21 UTC.
int64_t at(const SmallEngine& engine, int minute, int second) {
  const int64_t tuesday_22 = 1'700'000'000 - 13 * 60 - 20;
  return (tuesday_22 + minute * 60 + second) * kSecond - engine.clock.wall_minus_mono;
}

size_t taken_at(const SmallEngine& engine, const std::string& domain) {
  size_t count = 0;
  for (const auto& [to, receipts] : engine.internet.ledger) count += to.ends_with("@" + domain);
  return count;
}

// -------------------------------------------------------------------------------------------------
// delivery windows

TEST(DeliveryWindow, AProviderGetsItsMailInItOnly) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_provider(settings).windows = windows("Tu 22:15-22:16 UTC; Tu 22:20-22:21 UTC");
    settings.providers[0].per_source.rates[static_cast<size_t>(Resource::message_rate)] = {10,
                                                                                           kSecond};
  });
  engine.feed("b", SmallEngine::recipients(1000, 0));
  engine.feed("other", SmallEngine::recipients(10, 1));
  engine.run_to(at(engine, 14, 59));
  EXPECT_EQ(taken_at(engine, "d0.sim"), 0u);
  EXPECT_EQ(taken_at(engine, "d1.sim"), 10u) << "nobody else waits for it";
  engine.run_to(at(engine, 16, 1));  // what is under way is ended
  const size_t first = taken_at(engine, "d0.sim");
  EXPECT_GT(first, 500u);
  EXPECT_LT(first, 650u);
  const uint64_t turns = engine.turns;
  engine.run_to(at(engine, 19, 59));
  EXPECT_EQ(taken_at(engine, "d0.sim"), first);
  EXPECT_LT(engine.turns - turns, 2000u) << "a closed window costs nothing";
  engine.run_to(at(engine, 21, 1));
  EXPECT_EQ(taken_at(engine, "d0.sim"), 1000u);
}

TEST(DeliveryWindow, ATenantSendsInHisOnly) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    TenantPolicy& tenant = settings.tenants.emplace_back();
    tenant.name = "shy";
    tenant.windows = windows("Tu 22:15-22:16 UTC");
  });
  engine.feed("b", SmallEngine::recipients(100, 0), "", "shy");
  engine.feed("c", SmallEngine::recipients(50, 1));
  std::vector<std::string> same_site;
  for (int i = 0; i < 50; ++i) same_site.push_back("s" + std::to_string(i) + "@d0.sim");
  engine.feed("d", same_site);
  engine.run_to(at(engine, 14, 59));
  EXPECT_EQ(engine.internet.ledger.size(), 100u) << "others go, to the same site too";
  engine.run_to(at(engine, 15, 30));
  EXPECT_EQ(engine.internet.ledger.size(), 200u);
}

// The window closes by a reload, and opens by another one.
TEST(DeliveryWindow, FollowsAReload) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.fallback_limits.rates[static_cast<size_t>(Resource::message_rate)] = {10, kSecond};
  });
  engine.feed("b", SmallEngine::recipients(400, 0));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  engine.settings.windows = windows("We 08:00-20:00 UTC");
  engine.core().reload(engine.settings);
  engine.run_to(engine.clock.mono + kSecond);
  const size_t before = engine.internet.ledger.size();
  engine.run_to(engine.clock.mono + 30 * kSecond);
  EXPECT_EQ(engine.internet.ledger.size(), before);
  EXPECT_LT(before, 200u);
  engine.settings.windows = nullptr;
  engine.core().reload(engine.settings);
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_EQ(engine.internet.ledger.size(), 400u);
}

// Who is ordered to be tried now waits for it all the same, and goes when it opens.
TEST(DeliveryWindow, OpensAfterARetryOrderToo) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) { settings.windows = windows("Tu 22:45-22:46 UTC"); });
  engine.feed("b", SmallEngine::recipients(10));
  engine.run_to(at(engine, 14, 0));
  queue::Order order;
  order.kind = queue::Order::Kind::retry;
  order.filter.tenant = "t";
  order.last_batch = 1'000'000;
  const uint64_t number = engine.order(std::move(order));
  engine.run_to(at(engine, 44, 59));
  EXPECT_FALSE(engine.core().orders().contains(number));
  EXPECT_EQ(engine.internet.taken, 0u);
  engine.run_to(at(engine, 45, 30));
  EXPECT_EQ(engine.internet.taken, 10u);
}

// Who waits for a window longer than his time is given up, and told so.
TEST(DeliveryWindow, WhoWaitsTooLongExpires) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults&) { settings.windows = windows("Mo 08:00-09:00 UTC"); });
  engine.feed("b", SmallEngine::recipients(20), ",\"expires\":\"5m\"");
  engine.run_to(engine.clock.mono + 310 * kSecond);
  EXPECT_EQ(engine.batch("b").tally.expired, 20u);
}

// -------------------------------------------------------------------------------------------------
// maximum age

// A provider's own, shorter or longer than that of all, also after a kill.
TEST(MaximumAge, IsTheProvidersOwn) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    settings.retry.max_age_ns = 600 * kSecond;
    settings.retry.initial_ns = 30 * kSecond;
    settings.retry.cap_ns = 60 * kSecond;  // so much is left after a start
    Provider& shorter = add_provider(settings);
    shorter.retry = settings.retry;
    shorter.retry.max_age_ns = 300 * kSecond;
    Provider& longer = add_provider(settings);
    longer.name = "q";
    longer.mx = {"mx1.sim"};
    longer.retry = settings.retry;
    longer.retry.max_age_ns = 1200 * kSecond;
    faults.recipient_later = 1;
  });
  const int64_t begun = engine.clock.mono;
  for (const unsigned domain : {0u, 1u, 2u})
    engine.feed("b" + std::to_string(domain), SmallEngine::recipients(3, domain));
  const auto expired = [&] {
    std::string text;
    for (const char* const batch : {"b0", "b1", "b2"})
      text += std::to_string(engine.batch(batch).tally.expired) + " ";
    return text;
  };
  engine.run_to(begun + 290 * kSecond);
  EXPECT_EQ(expired(), "0 0 0 ");
  engine.run_to(begun + 320 * kSecond);
  EXPECT_EQ(expired(), "3 0 0 ");
  engine.run_to(begun + 590 * kSecond);
  engine.restart();
  engine.run_to(begun + 760 * kSecond);
  EXPECT_EQ(expired(), "3 0 3 ");
  engine.run_to(begun + 2400 * kSecond);
  EXPECT_EQ(expired(), "3 3 3 ");
}

// -------------------------------------------------------------------------------------------------
// sources

void add_sources(EngineSettings& settings, bool sticky) {
  settings.sources.clear();
  SourcePool& pool = settings.pools.emplace_back();
  pool.name = "default";
  pool.sticky = sticky;
  for (uint32_t i = 0; i < 3; ++i) {
    SourceSettings& source = settings.sources.emplace_back();
    source.name = "s" + std::to_string(i);
    io::parse_address("10.9.9." + std::to_string(i + 1), source.address);
    pool.members.push_back({i, 1});
  }
}

// Of each tenant, the sources that his mail to sites of his own has left by.
std::map<unsigned, std::set<std::string>> sources_of_tenants(SmallEngine& engine) {
  std::map<unsigned, std::set<std::string>> sources;
  for (const SiteState& site : engine.sites()) {
    if (site.site.empty()) continue;
    const auto number = static_cast<unsigned>(std::stoul(site.site.substr(2)));
    sources[number].insert(site.sources.begin(), site.sources.end());
  }
  return sources;
}

void feed_tenants(SmallEngine& engine, const std::string& batch) {
  for (unsigned tenant = 0; tenant < 12; ++tenant)
    engine.feed(batch, SmallEngine::recipients(30, tenant), "", "t" + std::to_string(tenant));
}

TEST(StickyPool, EachTenantKeepsToOneSource) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { add_sources(settings, true); });
  feed_tenants(engine, "b");
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_EQ(engine.internet.taken, 360u);
  std::set<std::string> all;
  for (const auto& [tenant, sources] : sources_of_tenants(engine)) {
    EXPECT_EQ(sources.size(), 1u) << tenant;
    all.insert(sources.begin(), sources.end());
  }
  EXPECT_EQ(all.size(), 3u) << "they are spread over all";
}

TEST(StickyPool, WithoutItEachUsesAll) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { add_sources(settings, false); });
  feed_tenants(engine, "b");
  engine.run_to(engine.clock.mono + 60 * kSecond);
  for (const auto& [tenant, sources] : sources_of_tenants(engine))
    EXPECT_EQ(sources.size(), 3u) << tenant;
}

// However little goes to each site.
TEST(SourceWeights, HoldOverManySitesWithAMessageEach) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_sources(settings, false);
    settings.pools[0].members = {{0, 6}, {1, 3}, {2, 1}};
  });
  std::vector<std::string> to;
  for (int i = 0; i < 1000; ++i) to.push_back("r@d" + std::to_string(i) + ".sim");
  engine.feed("b", to);
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 1000; }, 120 * kSecond));
  std::map<std::string, double> share;
  for (const auto& [site, sources] : sources_of_tenants(engine)) {
    ASSERT_EQ(sources.size(), 1u) << site;
    share[*sources.begin()] += 1e-3;
  }
  EXPECT_NEAR(share["s0"], 0.6, 0.05);
  EXPECT_NEAR(share["s1"], 0.3, 0.05);
  EXPECT_NEAR(share["s2"], 0.1, 0.03);
}

// Only those move whose source is gone.
TEST(StickyPool, ATenantMovesWhileHisSourceIsGone) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { add_sources(settings, true); });
  feed_tenants(engine, "b");
  engine.run_to(engine.clock.mono + 60 * kSecond);
  const auto before = sources_of_tenants(engine);
  engine.settings.sources.erase(engine.settings.sources.begin());
  engine.settings.pools[0].members = {{0, 1}, {1, 1}};
  engine.core().reload(engine.settings);
  feed_tenants(engine, "c");
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_EQ(engine.internet.taken, 720u);
  for (const auto& [tenant, sources] : sources_of_tenants(engine)) {
    const bool moved = before.at(tenant).contains("s0");
    EXPECT_EQ(sources.size(), moved ? 2u : 1u) << tenant;
  }
}

// An address that goes from this host takes its source out, by itself, and back again.
TEST(MissingSource, OthersSendMeanwhile) {
  SmallEngine engine([](EngineSettings& settings, Faults&) { add_sources(settings, false); });
  engine.internet.missing_addresses.insert("10.9.9.1");
  engine.feed("b", SmallEngine::recipients(300));
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 300; }, 120 * kSecond));
  const auto delivered = [&](const std::string& source) {
    uint64_t count = 0;
    for (const SiteState& site : engine.sites()) {
      if (std::find(site.sources.begin(), site.sources.end(), source) != site.sources.end())
        count += site.delivered;
    }
    return count;
  };
  EXPECT_GT(delivered("s1"), 0u);
  EXPECT_TRUE(engine.core().exchange().source_missing(0));
  EXPECT_FALSE(engine.core().exchange().source_missing(1));
  engine.internet.missing_addresses.clear();
  EXPECT_TRUE(
      engine.run_until([&] { return !engine.core().exchange().source_missing(0); }, 120 * kSecond));
  engine.feed("c", SmallEngine::recipients(300, 1));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 600; }, 120 * kSecond));
  EXPECT_EQ(sources_of_tenants(engine).at(1).size(), 3u) << "it sends again";
}

// Staging: which rules hold depends on the DNS, whether mail goes does not.
TEST(Staging, TheHostIsSentToThoughTheDnsIsSilent) {
  const auto redirected = [](bool silent) {
    return [silent](EngineSettings& settings, Faults& faults) {
      add_provider(settings);
      settings.redirect_host = "staging.sim";
      io::parse_address("10.0.77.1", settings.redirect);
      settings.redirect.family = 4;
      faults.dns_silent = silent;
    };
  };
  const auto sites = [](SmallEngine& engine) {
    std::map<std::string, std::string> providers;
    for (const SiteState& site : engine.sites()) providers[site.site] = site.provider;
    return providers;
  };
  SmallEngine engine(redirected(false));
  engine.feed("b", {"a@d0.sim", "b@d1.sim", "c@nowhere.example"});
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 3; }, 5 * kSecond));
  EXPECT_EQ(sites(engine),
            (std::map<std::string, std::string>{
                {"mx0-b.sim,mx0.sim", "p"}, {"mx1-b.sim,mx1.sim", ""}, {"without a route", ""}}));
  // More domains than are asked for at a time.
  SmallEngine silent(redirected(true));
  std::vector<std::string> to;
  for (unsigned domain = 0; domain < 2000; ++domain)
    to.push_back("a@d" + std::to_string(domain) + ".sim");
  silent.feed("b", to);
  EXPECT_TRUE(silent.run_until([&] { return silent.internet.taken == 2000; }, 30 * kSecond));
  silent.internet.faults.dns_silent = false;
  silent.run_to(silent.clock.mono + 600 * kSecond);
  silent.feed("c", {"a@d0.sim"});
  EXPECT_TRUE(silent.run_until([&] { return silent.internet.taken == 2001; }, 30 * kSecond));
  EXPECT_TRUE(sites(silent).contains("mx0-b.sim,mx0.sim")) << "it is asked again";
}

// A source with an address of each family goes on with the one that is left.
TEST(MissingSource, ItsOtherAddressSends) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    add_sources(settings, false);
    settings.sources.resize(1);
    settings.pools[0].members.resize(1);
    io::parse_address("2001:db8::1", settings.sources[0].address6);
    settings.family = AddressFamily::prefer_ipv6;
    faults.ipv6_too = true;
  });
  engine.internet.missing_addresses.insert("2001:db8::1");
  engine.feed("b", SmallEngine::recipients(30));
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 30; }, 120 * kSecond));
  EXPECT_FALSE(engine.core().exchange().source_missing(0));
  EXPECT_EQ(engine.core().exchange().source_lacks(0), Exchange::kNoIpv6);
  const uint64_t before = engine.internet.connections6;
  engine.internet.missing_addresses.clear();
  ASSERT_TRUE(engine.run_until([&] { return engine.core().exchange().source_lacks(0) == 0; },
                               120 * kSecond));
  engine.feed("c", SmallEngine::recipients(30));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 60; }, 120 * kSecond));
  EXPECT_GT(engine.internet.connections6, before);

  engine.internet.missing_addresses = {"2001:db8::1", "10.9.9.1"};
  EXPECT_TRUE(
      engine.run_until([&] { return engine.core().exchange().source_missing(0); }, 120 * kSecond));
}

// -------------------------------------------------------------------------------------------------
// limits of a tenant

// One tenant's limit, and mail at many sites of the provider: each has its turn, on all shards.
class TenantLimitOverSites : public testing::TestWithParam<std::pair<Resource, unsigned>> {};

TEST_P(TenantLimitOverSites, StarvesNone) {
  const auto [resource, shards] = GetParam();
  SmallEngine engine(
      [&](EngineSettings& settings, Faults&) {
        Provider& p = add_provider(settings);
        p.mx = {".sim", "sim"};
        for (unsigned i = 0; i < 60; ++i) p.mx.push_back("mx" + std::to_string(i) + ".sim");
        const auto which = static_cast<size_t>(resource);
        if (resource == Resource::connections) {
          p.per_tenant.connections = 2;
        } else {
          p.per_tenant.rates[which] = {resource == Resource::byte_rate ? 1000u : 5u, kSecond};
        }
      },
      shards);
  std::vector<std::string> to;
  for (unsigned i = 0; i < 180; ++i)
    to.push_back("r" + std::to_string(i) + "@d" + std::to_string(i % 60) + ".sim");
  engine.feed("b", to);
  const uint64_t before = engine.turns;
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 180; }, 300 * kSecond))
      << engine.internet.taken << " of 180";
  EXPECT_LT(engine.turns - before, 100'000u) << "nothing travels for ever";
}

INSTANTIATE_TEST_SUITE_P(
    All, TenantLimitOverSites,
    testing::Values(std::pair(Resource::connections, 1u), std::pair(Resource::connections, 3u),
                    std::pair(Resource::message_rate, 1u), std::pair(Resource::message_rate, 3u),
                    std::pair(Resource::byte_rate, 1u), std::pair(Resource::byte_rate, 3u)),
    [](const auto& each) {
      return std::string(name_of(each.param.first)) + "_" + std::to_string(each.param.second);
    });

TEST(TenantLimit, OfBytes) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_provider(settings).per_tenant.rates[static_cast<size_t>(Resource::byte_rate)] = {10'000,
                                                                                         kSecond};
  });
  engine.feed("b", SmallEngine::recipients(2000), "", "one");
  std::vector<std::string> of_two;
  for (int i = 0; i < 2000; ++i) of_two.push_back("s" + std::to_string(i) + "@d0.sim");
  engine.feed("b", of_two, "", "two");
  const auto taken = [&](char first) {
    size_t count = 0;
    for (const auto& [to, receipts] : engine.internet.ledger) count += to[0] == first;
    return static_cast<double>(count);
  };
  engine.run_to(engine.clock.mono + 5 * kSecond);
  const double one = taken('r'), two = taken('s');
  engine.run_to(engine.clock.mono + 10 * kSecond);
  // Some 200 bytes each, with its trace fields.
  const double bytes = engine.batch("b", "one").tally.delivered == 0 ? 0 : 10 * 10'000;
  EXPECT_GT(taken('r') - one, bytes / 300);
  EXPECT_LT(taken('r') - one, bytes / 150);
  EXPECT_NEAR(taken('s') - two, taken('r') - one, 10);
}

// -------------------------------------------------------------------------------------------------
// connections

// Hosts have an address of each family.
struct Families {
  std::string name;
  AddressFamily family = AddressFamily::prefer_ipv6;
  uint8_t silent = 0;
  bool by6 = false, by4 = false;  // connects that are to be seen
};
class FamilyTest : public testing::TestWithParam<Families> {};

TEST_P(FamilyTest, IsDialledAsSaid) {
  const Families& with = GetParam();
  SmallEngine engine([&](EngineSettings& settings, Faults& faults) {
    settings.family = with.family;
    faults.ipv6_too = true;
    faults.silent_family = with.silent;
  });
  const int64_t begun = engine.clock.mono;
  engine.feed("b", SmallEngine::recipients(20));
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 20; }, 300 * kSecond));
  EXPECT_LT(engine.clock.mono - begun, 5 * kSecond) << "the other family is tried beside";
  const uint64_t six = engine.internet.connections6;
  EXPECT_EQ(six > 0, with.by6);
  EXPECT_EQ(engine.internet.connections > six, with.by4);
}

INSTANTIATE_TEST_SUITE_P(
    Families, FamilyTest,
    testing::Values(Families{"PrefersIpv6", AddressFamily::prefer_ipv6, 0, true, false},
                    Families{"PrefersIpv4", AddressFamily::prefer_ipv4, 0, false, true},
                    Families{"Ipv6IsSilent", AddressFamily::prefer_ipv6, 6, true, true},
                    Families{"Ipv4IsSilent", AddressFamily::prefer_ipv4, 4, true, true},
                    Families{"OnlyIpv4", AddressFamily::ipv4_only, 6, false, true},
                    Families{"OnlyIpv6", AddressFamily::ipv6_only, 4, true, false}),
    [](const auto& each) { return each.param.name; });

// What may not be dialled does not count among the addresses that are tried; where nothing is left
// the reason says so, and a reload brings the others.
TEST(Families, ThatMayNotBeUsedAreToldSo) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    settings.family = AddressFamily::ipv6_only;
    settings.host_down_ns = 5 * kSecond;
    settings.retry.initial_ns = settings.retry.cap_ns = 10 * kSecond;
  });
  engine.feed("b", SmallEngine::recipients(3));
  engine.run_to(engine.clock.mono + 4 * kSecond);
  WhyQuestion question;
  question.batch = engine.number_of("b");
  const WhyAnswer answer = engine.why(question);
  ASSERT_FALSE(answer.waiting.empty());
  EXPECT_NE(answer.waiting[0].conditions[0].text.find("of a family"), std::string::npos)
      << answer.waiting[0].conditions[0].text;
  engine.settings.family = AddressFamily::prefer_ipv6;
  engine.core().reload(engine.settings);
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 3; }, 300 * kSecond));
}

TEST(IdleClose, IsTheProvidersOwn) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_provider(settings).idle_close_ns = 60 * kSecond;
    settings.idle_close_ns = 2 * kSecond;
  });
  engine.feed("b", SmallEngine::recipients(3, 0));
  engine.feed("c", SmallEngine::recipients(3, 1));
  ASSERT_TRUE(engine.run_until([&] { return engine.internet.taken == 6; }, 60 * kSecond));
  const int64_t done = engine.clock.mono;
  const auto open = [&](uint32_t site) {
    const auto found = engine.internet.open_by_site.find(10u << 16 | site);
    return found == engine.internet.open_by_site.end() ? 0 : found->second;
  };
  engine.run_to(done + kSecond);
  EXPECT_GT(open(0), 0u);
  EXPECT_GT(open(1), 0u);
  engine.run_to(done + 10 * kSecond);
  EXPECT_GT(open(0), 0u);
  EXPECT_EQ(open(1), 0u);
  engine.settings.providers[0].idle_close_ns = 3 * kSecond;
  engine.core().reload(engine.settings);
  engine.run_to(done + 15 * kSecond);
  EXPECT_EQ(open(0), 0u) << "connections that idle follow a reload";
}

}  // namespace
}  // namespace veredus::sim
