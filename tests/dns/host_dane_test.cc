// Which TLSA records a router finds for a host, through aliases, signed zones and others.

#include "dns/host_dane.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dns/router.h"
#include "tests/dns/message.h"
#include "tests/dns/scripted_lookups.h"

namespace veredus::dns {
namespace {

using testing::Bytes;
using ::testing::HasSubstr;
using testing::Message;
using testing::ScriptedLookups;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000'000;

struct Waiter final : AddressHandler {
  void on_addresses(const Addresses& addresses) override {
    ++calls;
    last = addresses;
  }
  int calls = 0;
  Addresses last;
};

class HostDaneTest : public ::testing::Test {
 protected:
  HostDaneTest() {
    RouterSettings settings;
    settings.tlsa_port = 25;
    router = std::make_unique<Router>(lookups, settings, [this] { return now; });
  }
  Addresses ask(const std::vector<Message>& messages, std::string_view host = "mx.org") {
    Waiter waiter;
    EXPECT_EQ(router->addresses(host, waiter), nullptr);
    for (const Message& message : messages) EXPECT_TRUE(lookups.give(message));
    EXPECT_EQ(waiter.calls, 1);
    return waiter.last;
  }
  // Messages: `secure` ones are validated.
  static Message a(bool secure, std::string_view name = "mx.org") {
    return made(secure, name, RecordType::a).address(name, 600, "192.0.2.1");
  }
  static Message aaaa(bool secure, std::string_view name = "mx.org") {
    return made(secure, name, RecordType::aaaa);
  }
  // Through an alias to mx.net.
  static Message aliased(bool secure) {
    return made(secure, "mx.org", RecordType::a)
        .cname("mx.org", 600, "mx.net")
        .address("mx.net", 600, "192.0.2.1");
  }
  static Message aliased6(bool secure) {
    return made(secure, "mx.org", RecordType::aaaa)
        .cname("mx.org", 600, "mx.net")
        .soa("net", 300, 300);
  }
  static Message alias(bool secure) {
    return made(secure, "mx.org", RecordType::cname).cname("mx.org", 600, "mx.net");
  }
  static Message tlsa(bool secure, std::string_view host, uint8_t usage = 3) {
    const std::string name = "_25._tcp." + std::string(host);
    Bytes data = {usage, 1, 1};
    data.resize(35, 7);
    return made(secure, name, RecordType::tlsa).record({0xC0, 12}, 52, 120, data);
  }
  static Message none(bool secure, std::string_view host, unsigned rcode = kRcodeNameError) {
    Message message("_25._tcp." + std::string(host), RecordType::tlsa, rcode);
    if (secure) message.authentic();
    return message.soa("org", 90, 90);
  }
  static Message made(bool secure, std::string_view name, RecordType type) {
    Message message(name, type);
    if (secure) message.authentic();
    return message;
  }
  int64_t seconds(const Addresses& found) const { return (found.expires_mono_ns - now) / kSecond; }

  ScriptedLookups lookups;
  int64_t now = 1000 * kSecond;
  std::unique_ptr<Router> router;
};

TEST_F(HostDaneTest, WhichRecordsHold) {
  struct Row {
    const char* what;
    std::vector<Message> messages;
    const char* base;  // null: no DANE
    TlsaStatus status = TlsaStatus::usable;
    int64_t seconds = 120;  // that it is believed
  };
  const Row rows[] = {
      {"signed", {a(true), aaaa(true), tlsa(true, "mx.org")}, "mx.org"},
      {"no usable record",
       {a(true), aaaa(true), tlsa(true, "mx.org", 0)},
       "mx.org",
       TlsaStatus::unusable},
      {"proven: none", {a(true), aaaa(true), none(true, "mx.org")}, nullptr},
      {"proven: none, the name is there", {a(true), aaaa(true), none(true, "mx.org", 0)}, nullptr},
      {"its zone ends above", {a(true), aaaa(true), tlsa(false, "mx.org")}, nullptr},
      {"not signed: never asked", {a(false), aaaa(false)}, nullptr},
      {"one family is not", {a(true), aaaa(false)}, nullptr},
      {"one family failed",
       {a(true), Message("mx.org", RecordType::aaaa, kRcodeServerFailure), tlsa(true, "mx.org")},
       "mx.org",
       TlsaStatus::usable,
       15},
      {"forged",
       {a(true), aaaa(true), none(false, "mx.org", kRcodeServerFailure)},
       "mx.org",
       TlsaStatus::failed,
       15},
      {"refused",
       {a(true), aaaa(true), none(false, "mx.org", kRcodeRefused)},
       "mx.org",
       TlsaStatus::failed,
       15},
      {"an alias, all signed", {aliased(true), aliased6(true), tlsa(true, "mx.net")}, "mx.net"},
      {"… whose target has none",
       {aliased(true), aliased6(true), none(true, "mx.net"), tlsa(true, "mx.org")},
       "mx.org",
       TlsaStatus::usable,
       90},
      {"… nor has it",
       {aliased(true), aliased6(true), none(true, "mx.net"), none(true, "mx.org")},
       nullptr},
      {"… whose target's are kept back",
       {aliased(true), aliased6(true), none(false, "mx.net", kRcodeServerFailure)},
       "mx.net",
       TlsaStatus::failed,
       15},
      {"a signed alias to elsewhere",
       {aliased(false), aliased6(false), alias(true), tlsa(true, "mx.org")},
       "mx.org"},
      {"an alias that is not signed", {aliased(false), aliased6(false), alias(false)}, nullptr},
      {"an alias that is kept back",
       {aliased(false), aliased6(false), Message("mx.org", RecordType::cname, kRcodeServerFailure)},
       "mx.org",
       TlsaStatus::failed,
       15},
      {"the records are an alias",
       {a(true), aaaa(true),
        made(true, "_25._tcp.mx.org", RecordType::tlsa).cname("_25._tcp.mx.org", 60, "key.net"),
        made(true, "key.net", RecordType::tlsa)
            .record(testing::wire_name("key.net"), 52, 60, Bytes(35, 3))},
       "mx.org",
       TlsaStatus::unusable,
       60},
      {"… that nobody has signed",
       {a(true), aaaa(true),
        made(false, "_25._tcp.mx.org", RecordType::tlsa).cname("_25._tcp.mx.org", 60, "key.net")},
       nullptr},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    now += 100'000 * kSecond;  // nothing is known any more
    const Addresses found = ask(row.messages);
    EXPECT_EQ(found.status, AddressStatus::ok);
    ASSERT_EQ(found.dane != nullptr, row.base != nullptr);
    if (row.base == nullptr) continue;
    EXPECT_EQ(found.dane->base, row.base);
    EXPECT_EQ(found.dane->host, "mx.org");
    EXPECT_EQ(found.dane->status, row.status);
    EXPECT_THAT(found.dane->records, SizeIs(row.status == TlsaStatus::usable ? 1 : 0));
    if (row.status == TlsaStatus::failed) {
      EXPECT_THAT(found.dane->why, HasSubstr(row.base + std::string(": ")));
    }
    EXPECT_EQ(seconds(found), row.seconds);
  }
}

// Name servers send them in turns.
TEST_F(HostDaneTest, RecordsHaveAnOrder) {
  const auto records = [this](const std::vector<uint8_t>& usages) {
    now += 100'000 * kSecond;
    const std::string name = "_25._tcp.mx.org";
    Message message = made(true, name, RecordType::tlsa);
    for (const uint8_t usage : usages) {
      Bytes data = {usage, 1, 1};
      data.resize(35, 7);
      message.record({0xC0, 12}, 52, 120, data);
    }
    return ask({a(true), aaaa(true), message}).dane->records;
  };
  EXPECT_EQ(records({2, 3}), records({3, 2}));
}

TEST_F(HostDaneTest, HowLongThereAreNoneIsRemembered) {
  EXPECT_EQ(seconds(ask({a(true), aaaa(true), none(true, "mx.org")})), 90);
}

TEST_F(HostDaneTest, AliasesOfRecordsWithoutEnd) {
  Waiter waiter;
  router->addresses("mx.org", waiter);
  lookups.give(a(true));
  lookups.give(aaaa(true));
  std::string name = "_25._tcp.mx.org";
  for (unsigned i = 0; i <= kMaxAliases; ++i) {
    const std::string next = "k" + std::to_string(i) + ".net";
    EXPECT_EQ(waiter.calls, 0);
    lookups.give(made(true, name, RecordType::tlsa).cname(name, 60, next));
    name = next;
  }
  ASSERT_EQ(waiter.calls, 1);
  EXPECT_EQ(waiter.last.dane->status, TlsaStatus::failed);
}

TEST_F(HostDaneTest, NotAskedWhereTheyAreNotWanted) {
  router = std::make_unique<Router>(lookups, RouterSettings{}, [this] { return now; });
  EXPECT_EQ(ask({a(true), aaaa(true)}).dane, nullptr);
}

TEST_F(HostDaneTest, DestroyedWithASearchUnderWay) {
  Waiter waiter;
  router->addresses("mx.org", waiter);
  lookups.give(a(true));
  lookups.give(aaaa(true));
  EXPECT_TRUE(lookups.pending("_25._tcp.mx.org", RecordType::tlsa));
  router.reset();
  EXPECT_FALSE(lookups.pending("_25._tcp.mx.org", RecordType::tlsa));
  EXPECT_EQ(waiter.calls, 0);
}

}  // namespace
}  // namespace veredus::dns
