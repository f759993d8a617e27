// Mail that goes to hosts that the configuration names.

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/next_hops.h"
#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr int64_t kSecond = SmallEngine::kSecond;

StaticRoute& add_route(EngineSettings& settings, const std::string& name,
                       const std::vector<std::string>& domains,
                       const std::vector<std::string>& hosts) {
  StaticRoute& made = settings.routes.emplace_back();
  made.name = name;
  made.domains = domains;
  for (const std::string& host : hosts) made.hops.push_back({host, 25});
  made.origin = {"routes." + name, "a.toml", 7};
  return made;
}
void add_credentials(StaticRoute& route) {
  auto credentials = std::make_shared<smtp::Credentials>();
  credentials->user = "us";
  credentials->password = "secret";
  credentials->allow_in_clear = true;
  route.credentials = std::move(credentials);
  route.credentials_origin = {"routes." + route.name + ".auth", "a.toml", 9};
}
void reload(SmallEngine& engine, const std::function<void(EngineSettings&)>& change) {
  EngineSettings fresh = engine.settings;
  change(fresh);
  engine.core().reload(fresh);
}
std::set<std::string> sites_of(SmallEngine& engine) {
  std::set<std::string> keys;
  for (const SiteState& site : engine.sites()) keys.insert(site.site);
  return keys;
}
const queue::Tally& tally_of(SmallEngine& engine, const std::string& batch) {
  return engine.core().find_batch(engine.number_of(batch))->tally;
}

TEST(StaticRoutes, TheNearestNameHolds) {
  RouteIndex index;
  const std::vector<std::vector<std::string>> kDomains = {
      {".example.org", "Example.NET"}, {"*"}, {"a.example.org", ".b.example.org"}};
  for (uint32_t id = 0; id < kDomains.size(); ++id) {
    StaticRoute route;
    route.id = id;
    route.domains = kDomains[id];
    index.add(route);
  }
  const std::map<std::string, uint32_t> kFound = {
      {"x.example.org", 0},   {"example.net", 0},       {"EXAMPLE.net", 0},  {"x.y.Example.org", 0},
      {"example.org", 1},     {"x.example.net", 1},     {"org", 1},          {"", 1},
      {".example.org", 1},    {"xexample.org", 1},      {"[192.0.2.1]", 1},  {"a.example.org", 2},
      {"x.b.example.org", 2}, {"x.y.b.example.org", 2}, {"b.example.org", 0}};
  for (const auto& [domain, id] : kFound) EXPECT_EQ(index.find(domain), id) << domain;
  EXPECT_EQ(RouteIndex().find("example.org"), RouteIndex::kNone);
}

TEST(StaticRoutes, ManyHostsHaveAKeyOfBoundedLength) {
  StaticRoute route;
  route.name = "relay";
  route.hops = {{"a.example", 587}, {"2001:db8::1", 465}};
  EXPECT_EQ(site_key(route), "a.example:587,[2001:db8::1]:465 by route relay");
  for (char c = 'a'; c < 'o'; ++c) route.hops.push_back({std::string(100, c) + ".example", 25});
  EXPECT_THAT(site_key(route), testing::MatchesRegex("sha256:[0-9a-f]{64} by route relay"));
}

// The DNS has nothing to say of such a domain, and others go as ever.
TEST(StaticRoutes, NobodyAsksForMailHosts) {
  for (const unsigned shards : {1u, 3u}) {
    SmallEngine engine(
        [](EngineSettings& settings, Faults&) {
          add_provider(settings).domains = {"b.nowhere.example"};
          add_route(settings, "relay", {"nowhere.example", ".nowhere.example"}, {"mx3.sim"});
          add_route(settings, "number", {"d7.sim"}, {"10.9.9.1"});
        },
        shards);
    engine.feed("b", {"a@nowhere.example", "b@B.nowhere.example", "c@d1.sim", "d@d7.sim"});
    EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 4; }, 20 * kSecond));
    EXPECT_THAT(sites_of(engine),
                UnorderedElementsAre("mx3.sim:25 by route relay", "mx3.sim:25 by route relay for p",
                                     "mx1-b.sim,mx1.sim", "10.9.9.1:25 by route number"));
    EXPECT_EQ(engine.core().policy().route_of_key("mx3.sim:25 by route relay for p")->name,
              "relay");
    EXPECT_EQ(engine.core().policy().route_of_key("mx1-b.sim,mx1.sim"), nullptr);
  }
}

TEST(StaticRoutes, AllOtherMailToOneHost) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    add_route(settings, "all", {"*"}, {"mx3.sim"});
    add_route(settings, "one", {"d0.sim"}, {"mx4.sim"});
    faults.dns_failure = 0;
  });
  engine.feed("b", {"a@d0.sim", "b@d1.sim", "c@nowhere.example"});
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 3; }, 20 * kSecond));
  EXPECT_THAT(sites_of(engine),
              UnorderedElementsAre("mx3.sim:25 by route all", "mx4.sim:25 by route one"));
}

// The first host does not answer: it is the second one's turn.
TEST(StaticRoutes, HostsInOrder) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    faults.first_hosts_silent = true;
    faults.dns_failure = 0;
    settings.session_limits.connect_ns = 2 * kSecond;
    add_route(settings, "relay", {"d0.sim"}, {"nowhere.example", "mx3.sim", "mx4-b.sim"});
  });
  engine.feed("b", SmallEngine::recipients(5));
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 5; }, 60 * kSecond));
}

// Who waits for a host that does not answer goes by the new route at once, or as the DNS says.
TEST(StaticRoutes, AReloadMovesWhatWaits) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults& faults) {
        settings.session_limits.connect_ns = 3600 * kSecond;
        settings.session_limits.setup_ns = 3600 * kSecond;
        faults.first_hosts_silent = true;
        add_route(settings, "relay", {"d0.sim", "d1.sim"}, {"mx3.sim"});
      },
      2);
  engine.feed("b", SmallEngine::recipients(300));
  engine.run_to(engine.clock.mono + 10 * kSecond);
  EXPECT_EQ(engine.internet.taken, 0u);
  reload(engine, [](EngineSettings& fresh) { fresh.routes[0].hops[0].host = "mx3-b.sim"; });
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 300; }, 30 * kSecond));
  EXPECT_TRUE(sites_of(engine).contains("mx3-b.sim:25 by route relay"));
  engine.feed("c", SmallEngine::recipients(300, 1));
  reload(engine, [](EngineSettings& fresh) { fresh.routes.clear(); });
  engine.internet.faults.first_hosts_silent = false;
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 600; }, 60 * kSecond));
  EXPECT_EQ(tally_of(engine, "b").failed.load() + tally_of(engine, "c").failed.load(), 0u);
}

// Relays stand in private networks; what is our own is none. Mail hosts are not so well known.
TEST(StaticRoutes, Addresses) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    faults.dns_failure = 0;
    settings.address_policy = dns::AddressPolicy({}, {*dns::IpAddress::parse("10.0.4.1")});
    add_route(settings, "private", {"d0.sim"}, {"mx3.sim"});
    add_route(settings, "ours", {"d1.sim"}, {"mx4.sim"});
    add_route(settings, "loopback", {"d3.sim"}, {"127.0.0.1"});
  });
  engine.feed("b", {"a@d0.sim"});
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 1; }, 20 * kSecond));
  engine.feed("c", {"a@d1.sim"});
  engine.feed("d", {"a@d2.sim"});
  engine.feed("e", {"a@d3.sim"});
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_EQ(tally_of(engine, "c").failed.load(), 1u) << "a loop";
  EXPECT_EQ(tally_of(engine, "d").delivered.load() + tally_of(engine, "d").failed.load(), 0u);
  EXPECT_EQ(tally_of(engine, "e").delivered.load(), 1u);
}

// Staging goes before: what belongs to the route's hosts is nothing for that one.
TEST(StaticRoutes, Staging) {
  SmallEngine engine([](EngineSettings& settings, Faults& faults) {
    StaticRoute& route = add_route(settings, "relay", {"d0.sim"}, {"mx3.sim"});
    route.implicit_tls = true;
    add_credentials(route);
    settings.redirect_host = "staging.sim";
    io::parse_address("10.0.77.1", settings.redirect);
    settings.redirect.family = 4;
    faults.dns_silent = true;
  });
  engine.feed("b", {"a@d0.sim"});
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken == 1; }, 10 * kSecond));
  EXPECT_THAT(sites_of(engine), UnorderedElementsAre("mx3.sim:25 by route relay"));
  // Without it: under TLS or not at all, which nobody here speaks.
  reload(engine, [](EngineSettings& fresh) { fresh.redirect = {}; });
  engine.feed("c", {"b@d0.sim"});
  engine.run_to(engine.clock.mono + 120 * kSecond);
  EXPECT_EQ(engine.internet.taken, 1u);
}

// The mail waits, and whoever asks why is told which setting it is.
TEST(StaticRoutes, AHostThatTakesNoCredentials) {
  SmallEngine engine([](EngineSettings& settings, Faults&) {
    add_credentials(add_route(settings, "relay", {"d0.sim"}, {"mx3.sim"}));
    settings.host_down_ns = 600 * kSecond;
  });
  engine.feed("b", SmallEngine::recipients(3));
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_EQ(engine.internet.taken, 0u);
  EXPECT_EQ(tally_of(engine, "b").failed.load(), 0u);
  const std::vector<SiteState> sites = engine.sites();
  ASSERT_EQ(sites.size(), 1u);
  ASSERT_FALSE(sites[0].conditions.empty());
  const Condition& condition = sites[0].conditions[0];
  EXPECT_EQ(condition.what, "site_down");
  EXPECT_EQ(condition.origin.setting, "routes.relay.auth");
  EXPECT_EQ(condition.origin.line, 9u);
  EXPECT_THAT(condition.text, HasSubstr("credentials are configured"));
  EXPECT_THAT(engine.reports, testing::Contains(testing::AllOf(HasSubstr("(routes.relay.auth)"),
                                                               HasSubstr("a.toml:9"))));
  for (const std::string& report : engine.reports)
    EXPECT_THAT(report, testing::Not(HasSubstr("secret")));
  // Idle sessions that have said nothing are of no use when it is configured later on, nor those
  // that have when it is not any more.
  reload(engine, [](EngineSettings& fresh) { fresh.routes[0].credentials.reset(); });
  engine.feed("c", {"x@d0.sim"});
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken > 0; }, 1200 * kSecond));
  const size_t taken = engine.internet.taken;
  reload(engine, [](EngineSettings&) {});
  engine.feed("d", {"y@d0.sim"});
  engine.run_to(engine.clock.mono + 60 * kSecond);
  EXPECT_FALSE(engine.taken("y@d0.sim")) << taken;
}

}  // namespace
}  // namespace veredus::sim
