#include "engine/control/config_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/delivery_window.h"
#include "tests/control/config_text.h"

// When mail is sent: retry policies, and delivery windows.

namespace veredus::control {
namespace {

// A dead site is dialled again when its hosts are, unless it is said when.
TEST(ConfigTimes, TheClockOfASite) {
  const struct {
    const char* file;
    int64_t all_initial, all_cap, p_initial, p_cap;
  } kCases[] = {
      {"[providers.p]\nmx = []\n", kMinute, 30 * kMinute, kMinute, 30 * kMinute},
      {"[smtp]\nhost_down = \"2m\"\n[providers.p]\nmx = []\nhost_down = \"1h\"\n", 2 * kMinute,
       30 * kMinute, kHour, kHour},
      {"[retry]\nsite_initial = \"3m\"\n[providers.p]\nmx = []\nhost_down = \"4m\"\n", 3 * kMinute,
       30 * kMinute, 3 * kMinute, 30 * kMinute},
      {"[retry]\nsite_initial = \"3m\"\n[providers.p]\nmx = []\nhost_down = \"4m\"\n"
       "retry.site_initial = \"0s\"\nretry.site_cap = \"5m\"\n",
       3 * kMinute, 30 * kMinute, 4 * kMinute, 5 * kMinute},
      {"[providers.p]\nmx = []\nretry.site_initial = \"1s\"\nretry.site_cap = \"1s\"\n", kMinute,
       30 * kMinute, kSecond, kSecond},
  };
  for (const auto& one : kCases) {
    // Described and read again it is the same.
    for (const std::string& file : {std::string(one.file), describe_config(good(one.file))}) {
      const auto policy = make_policy(settings_of(file), nullptr);
      const queue::RetryPolicy& all = policy->providers[0].retry;
      EXPECT_EQ(all.site_initial_ns, one.all_initial) << file;
      EXPECT_EQ(all.site_cap_ns, one.all_cap) << file;
      for (const Provider& provider : policy->providers) {
        if (provider.name != "p") continue;
        EXPECT_EQ(provider.retry.site_initial_ns, one.p_initial) << file;
        EXPECT_EQ(provider.retry.site_cap_ns, one.p_cap) << file;
      }
    }
  }
}

// Said of a provider, they hold instead of those of all; a tenant's are beside them.
TEST(ConfigTimes, DeliveryWindows) {
  const EngineSettings settings = settings_of(R"(
[smtp]
windows = ["Mo-Fr 08:00-20:00 Europe/Berlin", "Sa 10:00-12:00 Europe/Berlin; Su 10:00-12:00"]
[providers.p]
mx = ["p.example"]
windows = "Tu 00:00-24:00"
[providers.always]
mx = ["a.example"]
windows = []
[providers.q]
mx = ["q.example"]
[tenants.acme]
windows = "We 06:00-07:00"
[tenants.b]
weight = 2
)");
  const auto policy = make_policy(settings, nullptr);
  const auto sending = [&policy](std::string_view mx) -> const Provider& {
    return policy->providers[policy->provider_of("x.example", mx, mx)];
  };
  constexpr int64_t kMonday = 4 * kDay;  // 5 January 1970, 00:00 UTC
  constexpr int64_t kBerlin = kHour;     // that much ahead of UTC in January
  const auto opens = [](const std::shared_ptr<const queue::DeliveryWindows>& windows) {
    return windows == nullptr ? 0 : windows->opens_wall_ns(kMonday) - kMonday;
  };
  EXPECT_EQ(opens(sending("").windows), 8 * kHour - kBerlin);
  EXPECT_EQ(sending("").windows->zones.size(), 2u);
  EXPECT_EQ(opens(sending("p.example").windows), kDay);
  EXPECT_EQ(sending("a.example").windows, nullptr);
  EXPECT_EQ(opens(sending("q.example").windows), 8 * kHour - kBerlin);
  EXPECT_EQ(at(sending("").origins.at("windows")), "smtp.windows a.toml:3");
  EXPECT_EQ(at(sending("p.example").origins.at("windows")), "providers.p.windows a.toml:6");
  EXPECT_EQ(at(sending("q.example").origins.at("windows")), "smtp.windows a.toml:3");
  EXPECT_EQ(opens(policy->tenants.at("acme").windows), 2 * kDay + 6 * kHour);
  EXPECT_EQ(at(policy->tenants.at("acme").windows_origin), "tenants.acme.windows a.toml:13");
  EXPECT_EQ(policy->tenants.at("b").windows, nullptr);

  const EngineSettings defaults = settings_of("");
  EXPECT_EQ(defaults.windows, nullptr);
  for (const Provider& shipped : defaults.providers) EXPECT_EQ(shipped.windows, nullptr);
}

}  // namespace
}  // namespace veredus::control
