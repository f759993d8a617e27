#include <algorithm>

#include "engine/control/config.h"
#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/delivery_window.h"
#include "tests/control/config_text.h"

// Providers, groups, sources, pools, and limits: what the file says of how mail is sent.

namespace veredus::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr size_t kConnections = 0, kConnectionRate = 1, kMessageRate = 2, kByteRate = 3;
const queue::Rate kNoRate;

TEST(Rates, AsTheyAreWritten) {
  const struct {
    std::string_view text;
    bool bytes;
    queue::Rate rate;
  } kGood[] = {
      {"100/s", false, {100, kSecond}},
      {"1000/min", false, {1000, kMinute}},
      {"50000/h", false, {50'000, kHour}},
      {"1000000/d", false, {1'000'000, kDay}},
      {"10MiB/s", true, {10 * kMiB, kSecond}},
      {"1500B/min", true, {1500, kMinute}},
      {"none", false, kNoRate},
      {"none", true, kNoRate},
  };
  for (const auto& one : kGood) {
    const auto rate = parse_rate(one.text, one.bytes);
    ASSERT_TRUE(rate.has_value()) << one.text;
    EXPECT_EQ(*rate, one.rate) << one.text;
    EXPECT_EQ(rate_text(*rate, one.bytes), one.text);
  }
  for (const char* wrong : {"", "100", "/s", "100/", "100/m", "100/week", "0/s", "-1/s", "1.5/s",
                            "10MiB/s", "100 /s", "100/s ", "None", "99999999999999999999/s"}) {
    EXPECT_FALSE(parse_rate(wrong, false).has_value()) << wrong;
  }
  for (const char* wrong : {"10 apples/s", "0B/s", "MiB/s", "10MiB"}) {
    EXPECT_FALSE(parse_rate(wrong, true).has_value()) << wrong;
  }
}

TEST(ConfigSending, EverySettingOfAProvider) {
  const EngineSettings settings = settings_of(R"(
[groups.g]
connections = 7
message_rate = "9/s"
[providers.p]
mx = [".example.net", "mx.example.org"]
domains = ["example.org"]
sites = ["a.example,b.example"]
groups = ["microsoft", "g"]
connections = 3
connection_rate = "1/s"
message_rate = "2/min"
byte_rate = "1MiB/h"
tenant_connections = 4
tenant_message_rate = "6/s"
tenant_byte_rate = "7B/s"
messages_per_connection = 8
recipients_per_transaction = 9
addresses_tried = 10
idle_close = "11s"
idle_max = 12
connection_age = "13s"
host_down = "14s"
family = "ipv4-only"
connect_limit = "15s"
greeting_limit = "16s"
ehlo_limit = "17s"
mail_limit = "18s"
rcpt_limit = "19s"
data_limit = "20s"
block_limit = "21s"
dot_limit = "22s"
setup_limit = "23s"
transaction_limit = "24s"
content_bytes_per_second = 25
use_chunking = false
use_pipelining = false
tls = "required"
dane = false
mta_sts = false
tls_limit = "33s"
auth_limit = "34s"
early_mail = true
in_doubt = "hold"
in_doubt_delay = "26s"
windows = "Mo 08:00-20:00"
[providers.p.retry]
initial = "27s"
factor = 1.5
cap = "28s"
jitter = 0.25
max_age = "29m"
intervals = ["1s", "2s"]
greylist = []
hint_max = "30s"
site_initial = "31s"
site_cap = "32s"
)");
  const Provider& p = provider(settings, "p");
  EXPECT_THAT(p.mx, ElementsAre(".example.net", "mx.example.org"));
  EXPECT_THAT(p.domains, ElementsAre("example.org"));
  EXPECT_THAT(p.sites, ElementsAre("a.example,b.example"));
  ASSERT_EQ(p.groups.size(), 2u);
  EXPECT_EQ(settings.groups[p.groups[0]].name, "microsoft");
  EXPECT_EQ(settings.groups[p.groups[1]].name, "g");
  EXPECT_EQ(settings.groups[p.groups[1]].limits.connections, 7u);
  EXPECT_EQ(settings.groups[p.groups[1]].limits.rates[kMessageRate], (queue::Rate{9, kSecond}));
  EXPECT_EQ(p.per_source.connections, 3u);
  EXPECT_EQ(p.per_source.rates[kConnectionRate], (queue::Rate{1, kSecond}));
  EXPECT_EQ(p.per_source.rates[kMessageRate], (queue::Rate{2, kMinute}));
  EXPECT_EQ(p.per_source.rates[kByteRate], (queue::Rate{kMiB, kHour}));
  EXPECT_EQ(p.per_tenant.connections, 4u);
  EXPECT_EQ(p.per_tenant.rates[kMessageRate], (queue::Rate{6, kSecond}));
  EXPECT_EQ(p.per_tenant.rates[kByteRate], (queue::Rate{7, kSecond}));
  EXPECT_EQ(p.messages_per_connection, 8u);
  EXPECT_EQ(p.recipients_per_transaction, 9u);
  EXPECT_EQ(p.addresses_tried, 10u);
  EXPECT_EQ(p.idle_close_ns, 11 * kSecond);
  EXPECT_EQ(p.idle_max, 12u);
  EXPECT_EQ(p.connection_age_ns, 13 * kSecond);
  EXPECT_EQ(p.host_down_ns, 14 * kSecond);
  EXPECT_EQ(p.family, AddressFamily::ipv4_only);
  const auto limit = [&p](smtp::Phase phase) {
    return p.dialogue.time_limit_ns[static_cast<size_t>(phase)] / kSecond;
  };
  EXPECT_EQ(p.session_limits.connect_ns, 15 * kSecond);
  EXPECT_EQ(limit(smtp::Phase::connect), 15);
  EXPECT_EQ(limit(smtp::Phase::greeting), 16);
  EXPECT_EQ(limit(smtp::Phase::ehlo), 17);
  EXPECT_EQ(limit(smtp::Phase::helo), 17);
  EXPECT_EQ(limit(smtp::Phase::mail), 18);
  EXPECT_EQ(limit(smtp::Phase::rcpt), 19);
  EXPECT_EQ(limit(smtp::Phase::data), 20);
  EXPECT_EQ(limit(smtp::Phase::body), 21);
  EXPECT_EQ(limit(smtp::Phase::end_of_data), 22);
  EXPECT_EQ(p.session_limits.setup_ns, 23 * kSecond);
  EXPECT_EQ(p.session_limits.transaction_ns, 24 * kSecond);
  EXPECT_EQ(p.session_limits.content_bytes_per_s, 25u);
  EXPECT_FALSE(p.dialogue.use_chunking);
  EXPECT_FALSE(p.dialogue.use_pipelining);
  EXPECT_EQ(p.dialogue.tls, smtp::TlsUse::required);
  EXPECT_FALSE(p.dane);
  EXPECT_FALSE(p.mta_sts);
  EXPECT_EQ(limit(smtp::Phase::tls), 33);
  EXPECT_EQ(limit(smtp::Phase::auth), 34);
  EXPECT_TRUE(p.dialogue.allow_early_mail);
  EXPECT_EQ(p.in_doubt, InDoubtPolicy::hold);
  EXPECT_EQ(p.in_doubt_delay_ns, 26 * kSecond);
  EXPECT_EQ(p.retry.in_doubt_ns, 26 * kSecond);
  ASSERT_NE(p.windows, nullptr);
  EXPECT_EQ(p.windows->zones.size(), 1u);
  EXPECT_EQ(p.retry.initial_ns, 27 * kSecond);
  EXPECT_EQ(p.retry.factor, 1.5);
  EXPECT_EQ(p.retry.cap_ns, 28 * kSecond);
  EXPECT_EQ(p.retry.jitter, 0.25);
  EXPECT_EQ(p.retry.max_age_ns, 29 * kMinute);
  EXPECT_THAT(p.retry.intervals_ns, ElementsAre(kSecond, 2 * kSecond));
  EXPECT_THAT(p.retry.greylist_ns, IsEmpty());
  EXPECT_EQ(p.retry.hint_max_ns, 30 * kSecond);
  EXPECT_EQ(p.retry.site_initial_ns, 31 * kSecond);
  EXPECT_EQ(p.retry.site_cap_ns, 32 * kSecond);
  // Nothing was left out here.
  EXPECT_EQ(p.origins.size(), provider_settings().size());
}

// What is not said is as it is for all, whichever stands first in the file.
// As the DNS has them, and as recipients' domains are kept.
TEST(ConfigSending, NamesInULabels) {
  const EngineSettings settings = settings_of(
      "[providers.p]\nmx = [\".b\u00fccher.example\"]\n"
      "domains = [\"B\u00fccher.example\", \".n\u00e4ws.example\", \"x.example\"]\n");
  const Provider& p = provider(settings, "p");
  EXPECT_THAT(p.mx, ElementsAre(".xn--bcher-kva.example"));
  EXPECT_THAT(p.domains, ElementsAre("xn--bcher-kva.example", ".xn--nws-qla.example", "x.example"));
}

TEST(ConfigSending, AProviderFallsBackToWhatHoldsForAll) {
  const EngineSettings settings = settings_of(R"(
[providers.p]
domains = ["example.org"]
host_down = "2m"
retry.factor = 3
[smtp]
connections_per_site = 33
site_message_rate = "44/h"
site_tenant_connections = 45
idle_close = "10m"
dot_limit = "8m"
family = "prefer-ipv4"
use_chunking = false
[retry]
initial = "5m"
[in_doubt]
policy = "hold"
delay = "20m"
)");
  const Provider& p = provider(settings, "p");
  EXPECT_EQ(p.per_source.connections, 33u);
  EXPECT_EQ(p.per_source.rates[kMessageRate], (queue::Rate{44, kHour}));
  EXPECT_FALSE(p.per_source.rates[kByteRate].limited());
  EXPECT_EQ(p.per_tenant.connections, 45u);
  EXPECT_EQ(at(p.per_tenant.origins[kConnections]), "smtp.site_tenant_connections a.toml:9");
  EXPECT_EQ(p.idle_close_ns, 10 * kMinute);
  EXPECT_EQ(p.host_down_ns, 2 * kMinute);
  EXPECT_EQ(p.dialogue.time_limit_ns[static_cast<size_t>(smtp::Phase::end_of_data)], 8 * kMinute);
  EXPECT_EQ(p.family, AddressFamily::prefer_ipv4);
  EXPECT_FALSE(p.dialogue.use_chunking);
  EXPECT_EQ(p.retry.initial_ns, 5 * kMinute);
  EXPECT_EQ(p.retry.factor, 3.0);
  EXPECT_EQ(p.retry.cap_ns, 4 * kHour);
  EXPECT_EQ(p.in_doubt, std::nullopt);
  EXPECT_EQ(p.in_doubt_delay_ns, 20 * kMinute);
  EXPECT_EQ(p.retry.in_doubt_ns, 20 * kMinute);

  EXPECT_EQ(settings.connections_per_site, 33u);
  EXPECT_EQ(settings.fallback_limits.rates[kMessageRate], (queue::Rate{44, kHour}));
  EXPECT_EQ(settings.fallback_per_tenant.connections, 45u);
  EXPECT_EQ(settings.host_down_ns, kMinute);
  EXPECT_EQ(settings.retry.factor, 2.0);
}

TEST(ConfigSending, OriginsNameTheLine) {
  const EngineSettings settings = settings_of(
      "[smtp]\n"                         // 1
      "connections_total = 500\n"        // 2
      "message_rate = \"9/s\"\n"         // 3
      "site_byte_rate = \"1MiB/s\"\n"    // 4
      "redirect = \"127.0.0.1:2525\"\n"  // 5
      "[providers.p]\n"                  // 6
      "domains = [\"a.example\"]\n"      // 7
      "connections = 3\n"                // 8
      "tenant_message_rate = \"1/s\"\n"  // 9
      "retry = {initial = \"5m\"}\n"     // 10
      "[[sources]]\n"                    // 11
      "connections = 4\n"                // 12
      "name = \"a\"\n"                   // 13
      "[tenants.acme]\n"                 // 14
      "weight = 5\n"                     // 15
      "[providers.outlook]\n"            // 16
      "messages_per_connection = 6\n"    // 17
      "[retry]\n"                        // 18
      "cap = \"1h\"\n"                   // 19
      "[groups.microsoft]\n"             // 20
      "byte_rate = \"1GiB/d\"\n"         // 21
      "[[sources]]\n"                    // 22
      "name = \"b\"\n"                   // 23
      "address = \"192.0.2.1\"\n");      // 24
  EXPECT_EQ(at(settings.global_limits.origins[kConnections]), "smtp.connections_total a.toml:2");
  EXPECT_EQ(at(settings.global_limits.origins[kMessageRate]), "smtp.message_rate a.toml:3");
  EXPECT_EQ(at(settings.global_limits.origins[kByteRate]), "smtp.byte_rate :0");
  EXPECT_EQ(at(settings.fallback_limits.origins[kByteRate]), "smtp.site_byte_rate a.toml:4");
  EXPECT_EQ(at(settings.fallback_limits.origins[kConnections]), "smtp.connections_per_site :0");
  EXPECT_EQ(at(settings.redirect_origin), "smtp.redirect a.toml:5");
  EXPECT_EQ(at(settings.sources[0].limits.origins[kConnections]),
            "sources.a.connections a.toml:12");
  EXPECT_EQ(at(settings.sources[0].limits.origins[kByteRate]), "sources.a.byte_rate :0");
  EXPECT_EQ(at(settings.sources[1].address_origin), "sources.b.address a.toml:24");
  ASSERT_EQ(settings.tenants.size(), 1u);
  EXPECT_EQ(at(settings.tenants[0].weight_origin), "tenants.acme.weight a.toml:15");
  EXPECT_EQ(settings.tenants[0].weight, 5u);
  EXPECT_EQ(at(settings.fallback_origins.at("retry.cap")), "retry.cap a.toml:19");
  EXPECT_FALSE(settings.fallback_origins.contains("host_down"));

  const Provider& p = provider(settings, "p");
  EXPECT_EQ(at(p.per_source.origins[kConnections]), "providers.p.connections a.toml:8");
  EXPECT_EQ(at(p.per_source.origins[kByteRate]), "smtp.site_byte_rate a.toml:4");
  EXPECT_EQ(at(p.per_source.origins[kMessageRate]), "smtp.site_message_rate :0");
  EXPECT_EQ(at(p.per_tenant.origins[kMessageRate]), "providers.p.tenant_message_rate a.toml:9");
  EXPECT_EQ(at(p.origins.at("retry.initial")), "providers.p.retry.initial a.toml:10");
  EXPECT_EQ(at(p.origins.at("retry.cap")), "retry.cap a.toml:19");
  EXPECT_EQ(at(p.origins.at("domains")), "providers.p.domains a.toml:7");
  EXPECT_FALSE(p.origins.contains("host_down"));
  EXPECT_FALSE(p.origins.contains("mx"));

  // What is shipped stands in the shipped file, each setting on its own.
  const Provider& shipped = provider(settings, "outlook");
  EXPECT_EQ(at(shipped.origins.at("messages_per_connection")),
            "providers.outlook.messages_per_connection a.toml:17");
  const Origin& connections = shipped.per_source.origins[kConnections];
  EXPECT_EQ(connections.setting, "providers.outlook.connections");
  EXPECT_EQ(connections.file, kShippedProvidersFile);
  std::string_view text = shipped_providers();
  for (uint32_t line = 1; line < connections.line; ++line) text.remove_prefix(text.find('\n') + 1);
  EXPECT_TRUE(text.starts_with("connections = ")) << text.substr(0, 80);
  for (const ProviderGroup& group : settings.groups) {
    if (group.name != "microsoft") continue;
    EXPECT_EQ(at(group.limits.origins[kByteRate]), "groups.microsoft.byte_rate a.toml:21");
    EXPECT_EQ(group.limits.origins[kConnections].file, kShippedProvidersFile);
  }
}

TEST(ConfigSending, OneSettingOfAShippedProvider) {
  const EngineSettings shipped = settings_of("");
  const EngineSettings changed = settings_of("[providers.outlook]\nconnections = 37\n");
  const Provider &before = provider(shipped, "outlook"), &after = provider(changed, "outlook");
  EXPECT_NE(before.per_source.connections, 37u);
  EXPECT_EQ(after.per_source.connections, 37u);
  EXPECT_EQ(after.mx, before.mx);
  EXPECT_EQ(after.groups, before.groups);
  EXPECT_EQ(after.messages_per_connection, before.messages_per_connection);
  ASSERT_EQ(changed.providers.size(), shipped.providers.size());
  for (size_t i = 0; i < shipped.providers.size(); ++i) {
    EXPECT_EQ(changed.providers[i].name, shipped.providers[i].name) << "the order is the same";
  }
  // Nobody, in the end: that is how one is switched off.
  const EngineSettings off = settings_of("[providers.outlook]\nmx = []\ndomains = []\n");
  const auto policy = make_policy(off, nullptr);
  EXPECT_NE(
      policy->providers[policy->provider_of("x.example", "a.olc.protection.outlook.com", "")].name,
      "outlook");
}

TEST(ConfigSending, TheFirstThatFits) {
  // Neither by name nor by kind: as they stand in the file, and before those that are shipped.
  const EngineSettings settings = settings_of(R"(
[providers.zebra]
mx = [".example.net"]
[providers.outlook]
connections = 1
[providers.ant]
domains = ["a.example", ".deep.example"]
mx = [".net"]
[providers.mule]
sites = ["mx1.example.org,mx2.example.org"]
mx = ["acme.olc.protection.outlook.com"]
)");
  const auto policy = make_policy(settings, nullptr);
  const struct {
    const char *domain, *mx, *site, *provider;
  } kCases[] = {
      {"b.example", "mx.example.net", "mx.example.net", "zebra"},
      {"a.example", "mx.example.net", "mx.example.net", "zebra"},
      {"a.example", "mx.example.com", "mx.example.com", "ant"},
      {"A.Example", "mx.example.com", "mx.example.com", "ant"},
      {"b.deep.example", "mx.example.com", "mx.example.com", "ant"},
      {"deep.example", "mx.example.com", "mx.example.com", ""},
      {"b.example", "mx.other.net", "mx.other.net", "ant"},
      {"b.example", "mx1.example.org", "mx1.example.org,mx2.example.org", "mule"},
      {"b.example", "mx1.example.org", "mx1.example.org", ""},
      {"b.example", "acme.olc.protection.outlook.com", "x", "mule"},
      {"b.example", "emca.olc.protection.outlook.com", "x", "outlook"},
      {"b.example", "", "", ""},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(policy->providers[policy->provider_of(one.domain, one.mx, one.site)].name,
              one.provider)
        << one.domain << " " << one.mx;
  }
}

TEST(ConfigSending, SourcesAndPools) {
  const EngineSettings settings = settings_of(R"(
[[sources]]
name = "a"
address = "192.0.2.1"
address6 = "2001:db8::1"
ehlo = "a.example.org"
connections = 5
connection_rate = "1/s"
message_rate = "2/min"
byte_rate = "3MiB/h"
[[sources]]
name = "b"
address = "2001:db8::2"
[[sources]]
name = "c"
[pools.even]
sources = ["c", "a"]
[pools.uneven]
sources = {b = 3, a = 1000}
sticky = true
[pools.default]
sources = ["b"]
)");
  ASSERT_EQ(settings.sources.size(), 3u);
  const SourceSettings& a = settings.sources[0];
  EXPECT_EQ(io::to_text(a.address), "192.0.2.1");
  EXPECT_EQ(io::to_text(a.address6), "2001:db8::1");
  EXPECT_EQ(a.ehlo, "a.example.org");
  EXPECT_EQ(a.limits.connections, 5u);
  EXPECT_EQ(a.limits.rates[kConnectionRate], (queue::Rate{1, kSecond}));
  EXPECT_EQ(a.limits.rates[kMessageRate], (queue::Rate{2, kMinute}));
  EXPECT_EQ(a.limits.rates[kByteRate], (queue::Rate{3 * kMiB, kHour}));
  EXPECT_EQ(settings.sources[1].address.family, 6);
  EXPECT_EQ(settings.sources[1].address6.family, 0);
  EXPECT_EQ(settings.sources[2].address.family, 0);
  EXPECT_FALSE(settings.sources[2].limits.any());
  EXPECT_THAT(settings.own_names, testing::Contains("a.example.org"));

  const auto policy = make_policy(settings, nullptr);
  const auto members = [&](std::string_view name) {
    std::string out;
    const SourcePool* pool = policy->pool_named(name);
    if (pool == nullptr) return std::string("none");
    for (const SourcePool::Member& member : pool->members) {
      out += policy->sources[member.source].name + std::to_string(member.weight) + " ";
    }
    return out + (pool->sticky ? "sticky" : "");
  };
  EXPECT_EQ(members("even"), "c1 a1 ");
  EXPECT_EQ(members("uneven"), "b3 a1000 sticky");
  EXPECT_EQ(members("default"), "b1 ");
  EXPECT_EQ(members("odd"), "none");
  EXPECT_EQ(make_policy(settings_of(""), nullptr)->pool_named("default")->members.size(), 1u);
}

TEST(ConfigSending, WhatHoldsForAll) {
  const EngineSettings settings = settings_of(R"(
[smtp]
connections_total = 900
connection_rate = "1/s"
message_rate = "2/s"
byte_rate = "3B/s"
site_connection_rate = "4/s"
site_message_rate = "5/s"
site_byte_rate = "6B/s"
idle_max = 7
connection_age = "8m"
family = "ipv4-only"
redirect = "[::1]:2525"
)");
  const auto policy = make_policy(settings, nullptr);
  EXPECT_EQ(policy->global.connections, 900u);
  EXPECT_EQ(policy->global.rates[kConnectionRate], (queue::Rate{1, kSecond}));
  EXPECT_EQ(policy->global.rates[kMessageRate], (queue::Rate{2, kSecond}));
  EXPECT_EQ(policy->global.rates[kByteRate], (queue::Rate{3, kSecond}));
  const Provider& fallback = policy->providers[0];
  EXPECT_EQ(fallback.per_source.connections, 20u);
  EXPECT_EQ(fallback.per_source.rates[kConnectionRate], (queue::Rate{4, kSecond}));
  EXPECT_EQ(fallback.per_source.rates[kMessageRate], (queue::Rate{5, kSecond}));
  EXPECT_EQ(fallback.per_source.rates[kByteRate], (queue::Rate{6, kSecond}));
  EXPECT_EQ(fallback.idle_max, 7u);
  EXPECT_EQ(fallback.connection_age_ns, 8 * kMinute);
  EXPECT_EQ(fallback.family, AddressFamily::ipv4_only);
  EXPECT_EQ(policy->redirect_host, "::1");
  EXPECT_EQ(policy->redirect.family, 6);
  EXPECT_EQ(policy->redirect.port, 2525);
  EXPECT_EQ(
      redirect_warning(good("[smtp]\nredirect = \"[::1]:2525\"\n")),
      "ALL mail goes to \"[::1]:2525\", none to its recipients' hosts: smtp.redirect, a.toml:2");
  EXPECT_THAT(redirect_warning(good("")), IsEmpty());
  EXPECT_THAT(settings_of("").redirect_host, IsEmpty());
  EXPECT_THAT(settings_of("[smtp]\nredirect = \"\"\n").redirect_host, IsEmpty());
}

TEST(ConfigSending, DescriptionReadsBack) {
  const std::string file = R"(
[smtp]
site_message_rate = "5/s"
byte_rate = "3MiB/h"
redirect = "[::1]:2525"
family = "prefer-ipv4"
windows = "Mo-Fr 08:00-20:00"
[retry]
factor = 1.0625
[providers.zebra]
mx = [".example.net"]
retry = {initial = "1m", jitter = 0.125, intervals = ["1m", "90s"]}
in_doubt = "hold"
windows = ["Mo 08:00-20:00 Europe/Berlin", "Tu 08:00-20:00"]
[providers."a.b"]
domains = ["a.example"]
groups = ["g", "microsoft"]
[providers.outlook]
mx = []
connections = 37
[groups.microsoft]
connections = 0
[groups.g]
message_rate = "7/d"
[[sources]]
name = "a:1"
address = "192.0.2.1"
address6 = "2001:db8::1"
byte_rate = "3MiB/h"
[[sources]]
name = "b"
[pools.p]
sources = {b = 3, "a:1" = 1}
sticky = true
[tenants.acme]
weight = 5
windows = "Mo 08:00-20:00"
)";
  const std::string text = describe_config(good(file));
  EXPECT_EQ(describe_config(good(text)), text);
  EXPECT_THAT(text, HasSubstr("\nsources = {b = 3, \"a:1\" = 1} "));
  EXPECT_THAT(text, HasSubstr("\n[providers.\"a.b\"]\ndomains = [\"a.example\"]\n"));
  const Config again = good(text);
  ASSERT_GE(again.providers.size(), 3u);
  EXPECT_EQ(again.providers[0].name, "zebra");
  EXPECT_EQ(again.providers[1].name, "a.b");
  EXPECT_EQ(again.fallback.retry.factor, 1.0625);
  EXPECT_THAT(again.windows, ElementsAre("Mo-Fr 08:00-20:00"));
  EXPECT_THAT(again.providers[0].windows,
              ElementsAre("Mo 08:00-20:00 Europe/Berlin", "Tu 08:00-20:00"));
  EXPECT_THAT(again.tenants[0].windows, ElementsAre("Mo 08:00-20:00"));
  // The same engine comes of both.
  const auto one = make_policy(settings_of(file), nullptr);
  const auto other = make_policy(settings_of(text), nullptr);
  EXPECT_EQ(one->in_order, other->in_order);
  for (size_t i = 0; i < one->providers.size(); ++i) {
    EXPECT_EQ(one->providers[i].per_source.connections, other->providers[i].per_source.connections);
    EXPECT_EQ(one->providers[i].mx, other->providers[i].mx);
    EXPECT_EQ(one->providers[i].retry.jitter, other->providers[i].retry.jitter);
  }
}

// Whatever check-config prints of a setting is one: its unit, range and comment are there.
TEST(ConfigSending, EverySettingIsDescribed) {
  const std::string text = describe_config(good("[[sources]]\n[groups.g]\n"));
  const auto line_of = [&text](const std::string& key) {
    const size_t at = text.find("\n" + key);
    return at == std::string::npos ? "" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  };
  for (const auto& setting : provider_settings()) {
    const std::string line = line_of("#   " + setting.name() + " ");
    EXPECT_THAT(line, HasSubstr(std::string(setting.help))) << setting.name();
    EXPECT_THAT(line, HasSubstr("default: ")) << setting.name();
  }
  for (const auto& setting : source_settings()) {
    EXPECT_THAT(line_of(setting.name() + " = "), HasSubstr("  # ")) << setting.name();
  }
  EXPECT_THAT(line_of("#   message_rate"), HasSubstr("as in 1000/min; none: no limit"));
  EXPECT_THAT(line_of("#   host_down"), HasSubstr("1s to 1h; default: as smtp.host_down"));
  EXPECT_THAT(describe_config(good("[smtp]\nport = 2525\n")),
              HasSubstr("(1 to 65535; default: 25)\n"));
}

}  // namespace
}  // namespace veredus::control
