#include "dns/router.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/dns/message.h"
#include "tests/dns/scripted_lookups.h"

namespace veredus::dns {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Message;
using testing::ScriptedLookups;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000'000;

struct RouteWaiter final : RouteHandler {
  void on_route(const Route& route) override {
    ++calls;
    last = route;
    if (then) then();
  }
  int calls = 0;
  Route last;
  std::function<void()> then;
};

struct AddressWaiter final : AddressHandler {
  void on_addresses(const Addresses& addresses) override {
    ++calls;
    last = addresses;
  }
  int calls = 0;
  Addresses last;
};

class RouterTest : public ::testing::Test {
 protected:
  void make(RouterSettings settings) {
    router = std::make_unique<Router>(lookups, settings, [this] { return now; });
  }
  void SetUp() override { make({}); }

  // Asks, gives the messages, and hands back what came of it. `messages` are all consumed, or the
  // test fails.
  Route route(std::string_view domain, const std::vector<Message>& messages) {
    RouteWaiter waiter;
    const Route* known = router->resolve(domain, waiter);
    EXPECT_EQ(known, nullptr);
    for (const Message& message : messages) EXPECT_TRUE(lookups.give(message));
    EXPECT_EQ(waiter.calls, 1);
    return waiter.last;
  }
  Addresses addresses(std::string_view host, const std::vector<Message>& messages) {
    AddressWaiter waiter;
    EXPECT_EQ(router->addresses(host, waiter), nullptr);
    for (const Message& message : messages) EXPECT_TRUE(lookups.give(message));
    EXPECT_EQ(waiter.calls, 1);
    return waiter.last;
  }
  static Message mx(std::string_view name, unsigned rcode = 0) {
    return {name, RecordType::mx, rcode};
  }
  static Message a(std::string_view name, unsigned rcode = 0) {
    return {name, RecordType::a, rcode};
  }
  static Message aaaa(std::string_view name, unsigned rcode = 0) {
    return {name, RecordType::aaaa, rcode};
  }
  static std::vector<std::string> names(const Route& route) {
    std::vector<std::string> result;
    for (const MxHost& host : route.hosts)
      result.push_back(std::to_string(host.preference) + ' ' + host.name);
    return result;
  }
  static std::vector<std::string> texts(const Addresses& addresses) {
    std::vector<std::string> result;
    for (const IpAddress& address : addresses.list) result.push_back(address.to_string());
    return result;
  }
  int64_t seconds_left(int64_t expires_mono_ns) const { return (expires_mono_ns - now) / kSecond; }

  int64_t now = 1000 * kSecond;
  ScriptedLookups lookups;
  std::unique_ptr<Router> router;
};

TEST_F(RouterTest, SortsByPreferenceAndNameAndLeavesOutDoubles) {
  const Route found = route("Example.ORG.", {mx("example.org")
                                                 .mx("example.org", 300, 20, "b.example.net")
                                                 .mx("example.org", 400, 10, "z.example.net")
                                                 .mx("example.org", 300, 10, "c.example.net")
                                                 .mx("example.org", 300, 30, "Z.example.net")});
  EXPECT_EQ(found.status, RouteStatus::ok);
  EXPECT_THAT(names(found),
              ElementsAre("10 c.example.net", "10 z.example.net", "20 b.example.net"));
  EXPECT_FALSE(found.implicit);
  EXPECT_FALSE(found.secure);
  EXPECT_STREQ(found.enhanced, "");
  EXPECT_EQ(found.reason, "");
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 300);
  EXPECT_THAT(lookups.asked, SizeIs(1));
}

TEST_F(RouterTest, CapsHostsByPreference) {
  Message message = mx("example.org");
  for (unsigned i = 0; i < 100; ++i)
    message.mx("example.org", 300, 100 - i, "mx" + std::to_string(i) + ".example.org");
  const Route found = route("example.org", {message});
  ASSERT_THAT(found.hosts, SizeIs(20));
  EXPECT_EQ(found.hosts.front().preference, 1);
  EXPECT_EQ(found.hosts.back().preference, 20);
}

TEST_F(RouterTest, NullMx) {
  const Route found = route("example.org", {mx("example.org").mx("example.org", 300, 0, "")});
  EXPECT_EQ(found.status, RouteStatus::null_mx);
  EXPECT_TRUE(found.permanent());
  EXPECT_STREQ(found.enhanced, "5.1.10");
  EXPECT_THAT(found.hosts, IsEmpty());
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 300);
}

TEST_F(RouterTest, NullMxBesideOthersIsPassedOver) {
  const Route found = route("example.org", {mx("example.org")
                                                .mx("example.org", 300, 0, "")
                                                .mx("example.org", 300, 10, "mx.example.org")});
  EXPECT_EQ(found.status, RouteStatus::ok);
  EXPECT_THAT(names(found), ElementsAre("10 mx.example.org"));
}

TEST_F(RouterTest, MxOfUnusableNamesOnly) {
  const Route found =
      route("example.org", {mx("example.org").mx("example.org", 300, 10, "mail host.example.org")});
  EXPECT_EQ(found.status, RouteStatus::no_mail_host);
  EXPECT_STREQ(found.enhanced, "5.4.4");
  EXPECT_THAT(lookups.asked, SizeIs(1));  // above all: no implicit MX
}

TEST_F(RouterTest, NullMxBesideUnusableNames) {
  const Route found =
      route("example.org", {mx("example.org")
                                .mx("example.org", 300, 0, "")
                                .mx("example.org", 300, 10, "mail host.example.org")});
  EXPECT_EQ(found.status, RouteStatus::no_mail_host);
}

TEST_F(RouterTest, NoSuchDomain) {
  const Route found =
      route("example.org", {mx("example.org", kRcodeNameError).soa("org", 900, 77)});
  EXPECT_EQ(found.status, RouteStatus::no_such_domain);
  EXPECT_TRUE(found.permanent());
  EXPECT_STREQ(found.enhanced, "5.1.2");
  EXPECT_EQ(found.reason, "example.org: the domain does not exist");
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 77);
}

TEST_F(RouterTest, ImplicitMx) {
  const Route found =
      route("example.org", {mx("example.org").soa("example.org", 600, 600),
                            a("example.org").address("example.org", 120, "192.0.2.1"),
                            aaaa("example.org").soa("example.org", 600, 600)});
  EXPECT_EQ(found.status, RouteStatus::ok);
  EXPECT_TRUE(found.implicit);
  EXPECT_THAT(names(found), ElementsAre("0 example.org"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 120);
  // Its addresses are known by now.
  const Addresses* known = router->cached_addresses("example.org", now);
  ASSERT_NE(known, nullptr);
  EXPECT_THAT(texts(*known), ElementsAre("192.0.2.1"));
}

TEST_F(RouterTest, ImplicitMxByIpv6Only) {
  const Route found =
      route("example.org", {mx("example.org"), a("example.org"),
                            aaaa("example.org").address("example.org", 120, "2a00::1")});
  EXPECT_EQ(found.status, RouteStatus::ok);
  EXPECT_TRUE(found.implicit);
}

TEST_F(RouterTest, NeitherMxNorAddress) {
  const Route found =
      route("example.org", {mx("example.org"), a("example.org"), aaaa("example.org")});
  EXPECT_EQ(found.status, RouteStatus::no_such_domain);
  EXPECT_STREQ(found.enhanced, "5.1.2");
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 60);
}

TEST_F(RouterTest, ImplicitMxOfAnAlias) {
  const Route found = route(
      "example.org",
      {mx("example.org").cname("example.org", 90, "web.example.net").soa("example.net", 600, 600),
       a("web.example.net").address("web.example.net", 120, "192.0.2.1"), aaaa("web.example.net")});
  EXPECT_EQ(found.status, RouteStatus::ok);
  EXPECT_THAT(names(found), ElementsAre("0 web.example.net"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 90);
}

TEST_F(RouterTest, MxOfAnAlias) {
  const Route found = route("example.org", {mx("example.org")
                                                .cname("example.org", 90, "example.net")
                                                .mx("example.net", 300, 10, "mx.example.net")});
  EXPECT_THAT(names(found), ElementsAre("10 mx.example.net"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 90);
}

// A server that gives an alias and not a word about its target has to be asked about the target.
TEST_F(RouterTest, AliasWithoutTargetIsAskedAgain) {
  const Route found = route(
      "example.org", {mx("example.org").cname("example.org", 90, "example.net"),
                      mx("example.net").authentic().mx("example.net", 300, 10, "mx.example.net")});
  EXPECT_THAT(names(found), ElementsAre("10 mx.example.net"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 90);
  EXPECT_FALSE(found.secure);  // only one of the two was validated
}

TEST_F(RouterTest, AliasesWithoutEndAreTemporary) {
  RouteWaiter waiter;
  EXPECT_EQ(router->resolve("n0.org", waiter), nullptr);
  int asked = 0;
  for (; asked < 50 && waiter.calls == 0; ++asked) {
    const std::string name = 'n' + std::to_string(asked) + ".org";
    ASSERT_TRUE(lookups.give(mx(name).cname(name, 60, 'n' + std::to_string(asked + 1) + ".org")));
  }
  EXPECT_EQ(asked, 9);
  EXPECT_EQ(waiter.last.status, RouteStatus::temporary);
  EXPECT_STREQ(waiter.last.enhanced, "4.4.3");

  AddressWaiter host;
  EXPECT_EQ(router->addresses("h0.org", host), nullptr);
  EXPECT_TRUE(lookups.give(aaaa("h0.org")));
  for (asked = 0; asked < 50 && host.calls == 0; ++asked) {
    const std::string name = 'h' + std::to_string(asked) + ".org";
    ASSERT_TRUE(lookups.give(a(name).cname(name, 60, 'h' + std::to_string(asked + 1) + ".org")));
  }
  EXPECT_EQ(asked, 9);
  EXPECT_EQ(host.last.status, AddressStatus::temporary);
}

// Whatever goes wrong with the MX question is "later": never an implicit MX, never a bounce.
TEST_F(RouterTest, EveryFailureOfMxIsTemporary) {
  struct Row {
    QueryStatus status;
    testing::Bytes raw;
    const char* reason;
    int64_t ttl_s;
  };
  Message loop = mx("example.org");
  loop.cname("example.org", 60, "b.org").cname("b.org", 60, "example.org");
  const Row rows[] = {
      {QueryStatus::timed_out, {}, "in time", 15},
      {QueryStatus::unreachable, {}, "reached", 15},
      {QueryStatus::refused, {}, "waiting", 1},
      {QueryStatus::answered, {}, "malformed", 15},
      {QueryStatus::answered, mx("example.net").bytes(), "malformed", 15},
      {QueryStatus::answered, mx("example.org", 1).bytes(), "FORMERR", 15},
      {QueryStatus::answered, mx("example.org", 2).bytes(), "SERVFAIL", 15},
      {QueryStatus::answered, mx("example.org", 4).bytes(), "NOTIMP", 15},
      {QueryStatus::answered, mx("example.org", 5).bytes(), "REFUSED", 15},
      {QueryStatus::answered, mx("example.org", 9).bytes(), "an error", 15},
      {QueryStatus::answered, mx("example.org", 3).truncated().bytes(), "cut off", 15},
      {QueryStatus::answered, mx("example.org").truncated().bytes(), "cut off", 15},
      {QueryStatus::answered, loop.bytes(), "aliases", 15},
      {QueryStatus::answered, {0, 0, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0}, "SERVFAIL", 15},
  };
  for (const Row& row : rows) {
    make({});
    lookups.asked.clear();
    RouteWaiter waiter;
    EXPECT_EQ(router->resolve("example.org", waiter), nullptr);
    ASSERT_TRUE(lookups.give("example.org", RecordType::mx, row.status, row.raw));
    ASSERT_EQ(waiter.calls, 1) << row.reason;
    EXPECT_EQ(waiter.last.status, RouteStatus::temporary) << row.reason;
    EXPECT_FALSE(waiter.last.permanent());
    EXPECT_STREQ(waiter.last.enhanced, "4.4.3");
    EXPECT_THAT(waiter.last.reason, HasSubstr("MX of example.org: "));
    EXPECT_THAT(waiter.last.reason, HasSubstr(row.reason));
    EXPECT_EQ(seconds_left(waiter.last.expires_mono_ns), row.ttl_s) << row.reason;
    EXPECT_THAT(lookups.asked, SizeIs(1)) << row.reason;
  }
}

TEST_F(RouterTest, FailureOfTheDomainsOwnAddressesIsTemporary) {
  const Route found =
      route("example.org", {mx("example.org"), a("example.org"), aaaa("example.org", 2)});
  EXPECT_EQ(found.status, RouteStatus::temporary);
  EXPECT_STREQ(found.enhanced, "4.4.3");
  EXPECT_THAT(found.reason, HasSubstr("AAAA of example.org: "));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 15);
}

TEST_F(RouterTest, SecureOnlyIfAllOfItIs) {
  EXPECT_TRUE(route("a.org", {mx("a.org").authentic().mx("a.org", 60, 1, "mx.a.org")}).secure);
  EXPECT_TRUE(route("b.org", {mx("b.org").authentic(),
                              a("b.org").authentic().address("b.org", 60, "192.0.2.1"),
                              aaaa("b.org").authentic()})
                  .secure);
  EXPECT_FALSE(
      route("c.org", {mx("c.org").authentic(), a("c.org").address("c.org", 60, "192.0.2.1"),
                      aaaa("c.org").authentic()})
          .secure);
  EXPECT_FALSE(
      route("d.org", {mx("d.org"), a("d.org").authentic().address("d.org", 60, "192.0.2.1"),
                      aaaa("d.org").authentic()})
          .secure);
  EXPECT_FALSE(route("e.org", {mx("e.org", 2).authentic()}).secure);
}

TEST_F(RouterTest, CachedUntilItExpires) {
  route("example.org", {mx("example.org").mx("example.org", 300, 10, "mx.example.org")});
  RouteWaiter waiter;
  now += 299 * kSecond;
  const Route* known = router->resolve("EXAMPLE.org", waiter);
  ASSERT_NE(known, nullptr);
  EXPECT_THAT(names(*known), ElementsAre("10 mx.example.org"));
  EXPECT_FALSE(waiter.linked());
  EXPECT_EQ(router->cached("example.org", now), known);
  now += 1 * kSecond;
  EXPECT_EQ(router->cached("example.org", now), nullptr);
  EXPECT_EQ(router->resolve("example.org", waiter), nullptr);
  EXPECT_EQ(router->cached("example.org", now),
            nullptr);  // what has expired is not served meanwhile
  EXPECT_TRUE(lookups.give(mx("example.org").mx("example.org", 300, 10, "new.example.org")));
  EXPECT_THAT(names(waiter.last), ElementsAre("10 new.example.org"));
  EXPECT_EQ(router->routes(), 1u);
}

TEST_F(RouterTest, TimesToLiveAreClamped) {
  EXPECT_EQ(
      seconds_left(route("a.org", {mx("a.org").mx("a.org", 0, 1, "mx.a.org")}).expires_mono_ns),
      30);
  EXPECT_EQ(seconds_left(
                route("b.org", {mx("b.org").mx("b.org", 9999999, 1, "mx.b.org")}).expires_mono_ns),
            86400);
  EXPECT_EQ(seconds_left(route("c.org", {mx("c.org", 3).soa("org", 1, 1)}).expires_mono_ns), 10);
  EXPECT_EQ(seconds_left(route("d.org", {mx("d.org", 3).soa("org", 99999, 99999)}).expires_mono_ns),
            900);
}

TEST_F(RouterTest, NegativeAnswersAreCached) {
  route("example.org", {mx("example.org", 3).soa("org", 100, 100)});
  ASSERT_NE(router->cached("example.org", now + 99 * kSecond), nullptr);
  EXPECT_EQ(router->cached("example.org", now + 99 * kSecond)->status, RouteStatus::no_such_domain);
  EXPECT_EQ(router->cached("example.org", now + 100 * kSecond), nullptr);
}

TEST_F(RouterTest, OneLookupForAllWhoAsk) {
  RouteWaiter first, second, third;
  EXPECT_EQ(router->resolve("example.org", first), nullptr);
  EXPECT_EQ(router->resolve("EXAMPLE.ORG", second), nullptr);
  EXPECT_EQ(router->resolve("example.org.", third), nullptr);
  third.unlink();
  EXPECT_THAT(lookups.asked, SizeIs(1));
  EXPECT_TRUE(lookups.give(mx("example.org").mx("example.org", 60, 1, "mx.example.org")));
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(second.calls, 1);
  EXPECT_EQ(third.calls, 0);
  EXPECT_EQ(router->counters().joined, 2u);

  // Two domains without MX that are aliases of one host share its address lookups.
  RouteWaiter left, right;
  lookups.asked.clear();
  EXPECT_EQ(router->resolve("left.org", left), nullptr);
  EXPECT_EQ(router->resolve("right.org", right), nullptr);
  EXPECT_TRUE(lookups.give(mx("left.org").cname("left.org", 60, "web.net").soa("net", 60, 60)));
  EXPECT_TRUE(lookups.give(mx("right.org").cname("right.org", 60, "web.net").soa("net", 60, 60)));
  EXPECT_THAT(lookups.asked, SizeIs(4));
  EXPECT_TRUE(lookups.give(a("web.net").address("web.net", 60, "192.0.2.1")));
  EXPECT_TRUE(lookups.give(aaaa("web.net")));
  EXPECT_EQ(left.calls + right.calls, 2);
}

TEST_F(RouterTest, WaiterMayGoAwayAndTheAnswerIsKept) {
  {
    RouteWaiter waiter;
    EXPECT_EQ(router->resolve("example.org", waiter), nullptr);
  }
  EXPECT_TRUE(lookups.give(mx("example.org").mx("example.org", 60, 1, "mx.example.org")));
  EXPECT_NE(router->cached("example.org", now), nullptr);
}

TEST_F(RouterTest, WaitersMayAskFromTheirCall) {
  RouterSettings settings;
  settings.max_routes = 2;
  make(settings);
  RouteWaiter first, second, other, same;
  const Route* seen = nullptr;
  first.then = [&] {
    EXPECT_EQ(router->resolve("other.org", other),
              nullptr);  // needs room: must not take it from under `second`
    seen = router->resolve("example.org", same);
  };
  EXPECT_EQ(router->resolve("example.org", first), nullptr);
  EXPECT_EQ(router->resolve("example.org", second), nullptr);
  EXPECT_TRUE(lookups.give(mx("example.org").mx("example.org", 60, 1, "mx.example.org")));
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(second.calls, 1);
  EXPECT_THAT(names(second.last), ElementsAre("1 mx.example.org"));
  EXPECT_EQ(same.calls, 0);
}

TEST_F(RouterTest, EvictsTheLeastRecentlyUsed) {
  RouterSettings settings;
  settings.max_routes = 3;
  make(settings);
  for (const char* name : {"a.org", "b.org", "c.org"})
    route(name, {mx(name).mx(name, 300, 1, "mx.org")});
  EXPECT_NE(router->cached("a.org", now), nullptr);
  route("d.org", {mx("d.org").mx("d.org", 300, 2, "mx.d.org")});
  EXPECT_EQ(router->routes(), 3u);
  EXPECT_EQ(router->cached("b.org", now), nullptr);
  EXPECT_NE(router->cached("a.org", now), nullptr);
  EXPECT_NE(router->cached("c.org", now), nullptr);
  ASSERT_NE(router->cached("d.org", now), nullptr);
  EXPECT_THAT(names(*router->cached("d.org", now)), ElementsAre("2 mx.d.org"));
  EXPECT_EQ(router->counters().evicted, 1u);
}

TEST_F(RouterTest, FullOfLookupsMeansLater) {
  RouterSettings settings;
  settings.max_routes = 2;
  settings.max_hosts = 1;
  make(settings);
  RouteWaiter a_waiter, b_waiter, c_waiter;
  EXPECT_EQ(router->resolve("a.org", a_waiter), nullptr);
  EXPECT_EQ(router->resolve("b.org", b_waiter), nullptr);
  const Route* busy = router->resolve("c.org", c_waiter);
  ASSERT_NE(busy, nullptr);
  EXPECT_EQ(busy->status, RouteStatus::temporary);
  EXPECT_EQ(seconds_left(busy->expires_mono_ns), 1);
  EXPECT_FALSE(c_waiter.linked());
  // An implicit MX that finds the hosts full is "later", too.
  AddressWaiter host;
  EXPECT_EQ(router->addresses("x.org", host), nullptr);
  EXPECT_TRUE(lookups.give(mx("a.org")));
  EXPECT_EQ(a_waiter.last.status, RouteStatus::temporary);
  EXPECT_EQ(router->counters().overloaded, 2u);
  EXPECT_EQ(router->resolve("c.org", c_waiter), nullptr);  // a.org is settled: there is room
}

TEST_F(RouterTest, WhatIsNoNameIsNotAsked) {
  RouteWaiter waiter;
  AddressWaiter host;
  for (const char* text :
       {"", "a..b", "[192.0.2.1]", "a b.org", "x\r\nRCPT TO:<y>", "hidden.onion"}) {
    const Route* known = router->resolve(text, waiter);
    ASSERT_NE(known, nullptr) << text;
    EXPECT_EQ(known->status, RouteStatus::no_such_domain);
    EXPECT_STREQ(known->enhanced, "5.1.2");
    const Addresses* none = router->addresses(text, host);
    ASSERT_NE(none, nullptr) << text;
    EXPECT_EQ(none->status, AddressStatus::none);
  }
  EXPECT_THAT(lookups.asked, IsEmpty());
}

TEST_F(RouterTest, AddressesOfBothFamilies) {
  const Addresses found = addresses("mx.org", {aaaa("mx.org").address("mx.org", 200, "2a00::1"),
                                               a("mx.org").address("mx.org", 100, "192.0.2.1")});
  EXPECT_EQ(found.status, AddressStatus::ok);
  EXPECT_THAT(texts(found), ElementsAre("192.0.2.1", "2a00::1"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 100);
  EXPECT_NE(router->cached_addresses("MX.org", now + 99 * kSecond), nullptr);
  EXPECT_EQ(router->cached_addresses("mx.org", now + 100 * kSecond), nullptr);
}

TEST_F(RouterTest,
       AddressesThroughAnAlias) {  // an MX that names an alias is tolerated (RFC 2181 §10.3)
  const Addresses found = addresses(
      "mx.org", {a("mx.org").cname("mx.org", 100, "host.net").address("host.net", 200, "192.0.2.1"),
                 aaaa("mx.org").cname("mx.org", 100, "host.net"), aaaa("host.net")});
  EXPECT_THAT(texts(found), ElementsAre("192.0.2.1"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 100);
}

TEST_F(RouterTest, AddressesCappedOverBothFamilies) {
  struct Row {
    int fours, sixes, want_fours, want_sixes;
  };
  for (const Row& row : {Row{100, 100, 8, 8}, Row{100, 3, 13, 3}, Row{2, 100, 2, 14},
                         Row{5, 5, 5, 5}, Row{40, 0, 16, 0}}) {
    make({});
    Message four = a("mx.org"), six = aaaa("mx.org");
    for (int i = 0; i < row.fours; ++i) four.address("mx.org", 60, "192.0.2." + std::to_string(i));
    for (int i = 0; i < row.sixes; ++i) six.address("mx.org", 60, "2a00::" + std::to_string(i + 1));
    const Addresses found = addresses("mx.org", {four, six});
    int fours = 0, sixes = 0;
    for (const IpAddress& address : found.list)
      ++(address.family == IpAddress::Family::v4 ? fours : sixes);
    EXPECT_EQ(fours, row.want_fours);
    EXPECT_EQ(sixes, row.want_sixes);
  }
}

TEST_F(RouterTest, AddressFailures) {
  Addresses found =
      addresses("a.org", {a("a.org", 3).soa("org", 60, 60), aaaa("a.org", 3).soa("org", 50, 50)});
  EXPECT_EQ(found.status, AddressStatus::none);
  EXPECT_STREQ(found.enhanced, "5.4.4");
  EXPECT_EQ(found.reason, "a.org: the host does not exist");
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 50);

  found = addresses("b.org", {a("b.org"), aaaa("b.org")});
  EXPECT_EQ(found.status, AddressStatus::none);
  EXPECT_EQ(found.reason, "b.org: the host has no address");

  // One family failed: what the other has is used, but not for long.
  found = addresses("c.org", {a("c.org").address("c.org", 600, "192.0.2.1"), aaaa("c.org", 2)});
  EXPECT_EQ(found.status, AddressStatus::ok);
  EXPECT_THAT(texts(found), ElementsAre("192.0.2.1"));
  EXPECT_EQ(seconds_left(found.expires_mono_ns), 15);

  // One failed, the other has nothing: not known.
  found = addresses("d.org", {a("d.org", 2), aaaa("d.org").soa("org", 600, 600)});
  EXPECT_EQ(found.status, AddressStatus::temporary);
  EXPECT_STREQ(found.enhanced, "4.4.3");
  EXPECT_THAT(found.reason, HasSubstr("A of d.org: the name server answered SERVFAIL"));

  AddressWaiter waiter;
  EXPECT_EQ(router->addresses("e.org", waiter), nullptr);
  EXPECT_TRUE(lookups.give("e.org", RecordType::a, QueryStatus::timed_out));
  EXPECT_TRUE(lookups.give("e.org", RecordType::aaaa, QueryStatus::refused));
  EXPECT_EQ(waiter.last.status, AddressStatus::temporary);
  EXPECT_EQ(seconds_left(waiter.last.expires_mono_ns), 1);
}

TEST_F(RouterTest, WithoutIpv6OnlyAIsAsked) {
  RouterSettings settings;
  settings.ask_ipv6 = false;
  make(settings);
  const Addresses found =
      addresses("mx.org", {a("mx.org").authentic().address("mx.org", 100, "192.0.2.1")});
  EXPECT_THAT(texts(found), ElementsAre("192.0.2.1"));
  EXPECT_TRUE(found.secure);
  EXPECT_THAT(lookups.asked, SizeIs(1));
}

TEST_F(RouterTest, DestroyedWithLookupsUnderWay) {
  RouteWaiter waiter;
  AddressWaiter host;
  EXPECT_EQ(router->resolve("a.org", waiter), nullptr);
  EXPECT_EQ(router->addresses("b.org", host), nullptr);
  router.reset();
  EXPECT_FALSE(lookups.pending("a.org", RecordType::mx));
  EXPECT_FALSE(lookups.pending("b.org", RecordType::a));
  EXPECT_FALSE(lookups.pending("b.org", RecordType::aaaa));
  EXPECT_FALSE(waiter.linked());
  EXPECT_EQ(waiter.calls + host.calls, 0);
  EXPECT_GE(lookups.cancelled, 3);
}

// The same questions in the same order give the same queries, whatever a hash table does.
TEST_F(RouterTest, ReplaysAlike) {
  std::vector<std::vector<ScriptedLookups::Key>> runs;
  for (int run = 0; run < 2; ++run) {
    RouterSettings settings;
    settings.max_routes = 16;
    make(settings);
    lookups.asked.clear();
    for (int i = 0; i < 500; ++i) {
      const std::string name = "d" + std::to_string(i * 7919 % 61) + ".org";
      RouteWaiter waiter;
      if (router->resolve(name, waiter) == nullptr) {
        EXPECT_TRUE(lookups.give(mx(name).mx(name, 300, 1, "mx.org")));
      }
    }
    runs.push_back(lookups.asked);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_GT(runs[0].size(), 61u);
}

}  // namespace
}  // namespace veredus::dns
