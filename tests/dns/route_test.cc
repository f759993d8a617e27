#include "dns/route.h"

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::dns {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

Route make_route(std::vector<MxHost> hosts) {
  Route route;
  route.status = RouteStatus::ok;
  route.hosts = std::move(hosts);
  return route;
}

std::vector<std::string> ordered(const Route& route, const std::vector<std::string>& own,
                                 uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  const HostOrder order = order_hosts(route, own, [&] { return random(); });
  std::vector<std::string> names;
  for (size_t i = 0; i < order.count; ++i) names.push_back(route.hosts[order.index[i]].name);
  EXPECT_EQ(order.loop, names.empty());
  return names;
}

TEST(HostOrderTest, ByPreference) {
  EXPECT_THAT(ordered(make_route({{"a", 5}, {"b", 10}, {"c", 20}}), {}),
              ElementsAre("a", "b", "c"));
}

TEST(HostOrderTest, AtRandomWithinOnePreference) {
  const Route route = make_route({{"a", 5}, {"b", 10}, {"c", 10}, {"d", 10}, {"e", 20}});
  std::map<std::vector<std::string>, int> seen;
  for (uint64_t seed = 0; seed < 6000; ++seed) {
    const std::vector<std::string> names = ordered(route, {}, seed);
    ASSERT_EQ(names.size(), 5u);
    ASSERT_EQ(names.front(), "a");
    ASSERT_EQ(names.back(), "e");
    ++seen[names];
  }
  ASSERT_EQ(seen.size(), 6u);
  for (const auto& [names, count] : seen) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(ordered(route, {}, 7), ordered(route, {}, 7));
}

// RFC 5321 §5.1: ourselves and everything that is not better is left out.
TEST(HostOrderTest, OwnHostCut) {
  const Route route = make_route({{"a", 5}, {"b", 10}, {"we", 10}, {"c", 20}});
  EXPECT_THAT(ordered(route, {"we"}), ElementsAre("a"));
  EXPECT_THAT(ordered(route, {"other", "c"}), ::testing::SizeIs(3));
  EXPECT_THAT(ordered(route, {"c", "we"}), ElementsAre("a"));
  EXPECT_THAT(ordered(route, {"nobody"}), ::testing::SizeIs(4));
}

TEST(HostOrderTest, LoopWhenWeAreTheBest) {
  EXPECT_THAT(ordered(make_route({{"we", 5}, {"b", 10}}), {"we"}), IsEmpty());
  EXPECT_THAT(ordered(make_route({{"b", 5}, {"we", 5}}), {"we"}), IsEmpty());
  EXPECT_THAT(ordered(make_route({{"we", 0}}), {"we"}), IsEmpty());
}

TEST(HostOrderTest, NothingForARouteWithoutHosts) {
  Route route;
  const HostOrder order = order_hosts(route, {}, [] { return 0; });
  EXPECT_EQ(order.count, 0);
  EXPECT_FALSE(order.loop);
}

TEST(AddressOrderTest, FamiliesStayTogether) {
  std::vector<IpAddress> addresses;
  for (uint8_t i = 0; i < 4; ++i) addresses.push_back(IpAddress::v4(192, 0, 2, i));
  for (uint8_t i = 0; i < 4; ++i) addresses.push_back(IpAddress::v6({0x2a, i}));
  const std::set<IpAddress> all(addresses.begin(), addresses.end());
  std::mt19937_64 random(1);
  std::set<std::vector<IpAddress>> orders;
  for (int i = 0; i < 1000; ++i) {
    shuffle_addresses(addresses, [&] { return random(); });
    EXPECT_EQ(addresses[3].family, IpAddress::Family::v4);
    EXPECT_EQ(addresses[4].family, IpAddress::Family::v6);
    EXPECT_EQ(std::set<IpAddress>(addresses.begin(), addresses.end()), all);
    orders.insert(addresses);
  }
  EXPECT_GT(orders.size(), 400u);  // of 576
}

TEST(SiteKeyTest, IsTheSortedSetOfNames) {
  EXPECT_EQ(site_key(make_route({{"b.org", 5}, {"a.org", 10}})), "a.org,b.org");
  EXPECT_EQ(site_key(make_route({{"a.org", 0}, {"b.org", 5}})), "a.org,b.org");
  EXPECT_EQ(site_key(make_route({{"a.org", 0}})), "a.org");
  EXPECT_EQ(site_key(Route{}), "");
}

TEST(SiteKeyTest, LongOnesAreHashed) {
  std::vector<MxHost> hosts;
  for (char c = 'a'; c < 'i'; ++c) hosts.push_back({std::string(63, c), 1});
  const Route fits = make_route(hosts);  // 8 * 63 + 7 = 511
  EXPECT_EQ(site_key(fits).size(), 511u);
  hosts[0].name += "bc";
  const std::string key = site_key(make_route(hosts));
  EXPECT_THAT(key, StartsWith("sha256:"));
  EXPECT_EQ(key.size(), 7u + 64);
  std::vector<MxHost> turned(hosts.rbegin(), hosts.rend());
  EXPECT_EQ(site_key(make_route(turned)), key);
  hosts[0].name += "d";
  EXPECT_NE(site_key(make_route(hosts)), key);
}

}  // namespace
}  // namespace veredus::dns
