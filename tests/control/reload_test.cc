#include "engine/control/reload.h"

#include <algorithm>

#include "engine/control/config_table.h"
#include "engine/control/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// What another configuration changes while the engine runs.

namespace veredus::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Config read(std::string_view text) {
  const absl::StatusOr<Config> config = parse_config(text, "a.toml");
  EXPECT_TRUE(config.ok()) << config.status().ToString() << "\n" << text;
  return config.ok() ? *config : Config{};
}

ReloadPlan plan(std::string_view before, std::string_view after) {
  const absl::StatusOr<ReloadPlan> made = plan_reload(read(before), read(after));
  EXPECT_TRUE(made.ok()) << made.status().ToString();
  return made.ok() ? *made : ReloadPlan{};
}

TEST(ReloadPlan, WhatHasChanged) {
  const struct {
    const char *before, *after;
    std::vector<std::string> applied, needs_restart;
  } kCases[] = {
      {"", "", {}, {}},
      {"", "[smtp]\nconnections_per_site = 20\n[node]\nshards = 0\n", {}, {}},
      {"", "[smtp]\nhost_down = \"2m\"\n", {"smtp.host_down"}, {}},
      {"[smtp]\nhost_down = \"2m\"\n", "", {"smtp.host_down"}, {}},
      {"", "[retry]\nfactor = 1.0000001\n", {"retry.factor"}, {}},
      {"", "[smtp]\nredirect = \"127.0.0.1:25\"\n", {"smtp.redirect"}, {}},
      {"", "[node]\nshards = 3\n[smtp]\nport = 26\n", {}, {"node.shards", "smtp.port"}},
      {"", "[node]\npin = [1, 2]\n[http]\nlisten = \"off\"\n", {}, {"node.pin", "http.listen"}},
      {"",
       "[in_doubt]\npolicy = \"hold\"\ndelay = \"1h\"\n",
       {"in_doubt.policy", "in_doubt.delay"},
       {}},
      {"", "[[in_doubt.rules]]\ndomain = \"a.b\"\npolicy = \"hold\"\n", {"in_doubt.rules"}, {}},
      {"", "[verdict]\nrules = \"/etc/a.toml\"\n", {"verdict.rules"}, {}},
      {"", "[smtp]\nearly_mail_hosts = [\".a.b\"]\n", {"smtp.early_mail_hosts"}, {}},
      {"", "[retry]\nsite_initial = \"2m\"\n", {"retry.site_initial"}, {}},
      {"", "[limits]\nwaiting = 7\nspool = \"10GiB\"\n", {"limits.waiting"}, {"limits.spool"}},
      {"", "[providers.outlook]\nconnections = 37\n", {"providers.outlook.connections"}, {}},
      {"", "[smtp]\nwindows = \"Mo 08:00-20:00\"\n", {"smtp.windows"}, {}},
      {"[smtp]\nwindows = \"Mo 08:00-20:00\"\n",
       "[smtp]\nwindows = [\"Mo 08:00-20:00\"]\n",
       {},
       {}},
      {"[providers.p]\nmx = []\nwindows = \"Mo 08:00-20:00\"\n",
       "[providers.p]\nmx = []\nwindows = \"Mo 08:00-21:00\"\n",
       {"providers.p.windows"},
       {}},
      // Always open is not the same as nothing said of it.
      {"[providers.p]\nmx = []\n",
       "[providers.p]\nmx = []\nwindows = []\n",
       {"providers.p.windows"},
       {}},
      {"", "[providers.p]\nmx = [\"a.b\"]\n", {"providers.p"}, {}},
      {"[providers.p]\nmx = [\"a.b\"]\n", "", {"providers.p"}, {}},
      // Said of one provider, it does not follow that of all any more.
      {"[providers.p]\nmx = []\n",
       "[providers.p]\nmx = []\nhost_down = \"1m\"\n",
       {"providers.p.host_down"},
       {}},
      {"[providers.p]\nmx = []\nretry.factor = 3\n",
       "[providers.p]\nmx = []\nretry.factor = 4\n",
       {"providers.p.retry.factor"},
       {}},
      {"[providers.p]\nmx = []\n[providers.q]\nmx = []\n",
       "[providers.q]\nmx = []\n[providers.p]\nmx = []\n",
       {"providers"},
       {}},
      {"[providers.p]\nmx = []\n",
       "[providers.q]\nmx = []\n[providers.p]\nmx = []\n",
       {"providers.q"},
       {}},
      {"",
       "[groups.microsoft]\nmessage_rate = \"5/s\"\n[groups.g]\n",
       {"groups.microsoft.message_rate", "groups.g"},
       {}},
      {"",
       "[[sources]]\nehlo = \"a.example\"\nconnections = 5\n",
       {"sources.default.ehlo", "sources.default.connections"},
       {}},
      {"[[sources]]\nname = \"a\"\n",
       "[[sources]]\nname = \"b\"\naddress = \"192.0.2.1\"\n",
       {"sources.b", "sources.a"},
       {}},
      {"[[sources]]\n",
       "[[sources]]\naddress = \"192.0.2.1\"\naddress6 = \"2001:db8::1\"\n",
       {"sources.default.address", "sources.default.address6"},
       {}},
      {"[pools.p]\nsources = [\"default\"]\n",
       "[pools.p]\nsources = {default = 2}\nsticky = true\n[pools.q]\nsources = [\"default\"]\n",
       {"pools.p.sources", "pools.p.sticky", "pools.q"},
       {}},
      {"[tenants.a]\nweight = 2\n[tenants.b]\nweight = 2\n",
       "[tenants.a]\nweight = 3\nwaiting = 4\nbytes = 5\nwindows = \"Mo 08:00-20:00\"\n"
       "admission = \"off\"\nadmission_ignore = [\"bare-lf\"]\n",
       {"tenants.a.waiting", "tenants.a.bytes", "tenants.a.weight", "tenants.a.windows",
        "tenants.a.admission", "tenants.a.admission_ignore", "tenants.b"},
       {}},
  };
  for (const auto& one : kCases) {
    const ReloadPlan made = plan(one.before, one.after);
    EXPECT_EQ(made.applied, one.applied) << one.before << "---\n" << one.after;
    EXPECT_EQ(made.needs_restart, one.needs_restart) << one.before << "---\n" << one.after;
  }
}

// What needs a restart is as it was, so that it is named again next time; all else is new.
TEST(ReloadPlan, WhatIsInForceAfterwards) {
  const ReloadPlan made = plan(
      "[node]\nhostname = \"a.b\"\nshards = 2\n[smtp]\nport = 2525\n[in_doubt]\ndelay = \"1h\"\n"
      "[[in_doubt.rules]]\ndomain = \"a.b\"\npolicy = \"hold\"\n",
      "[node]\nhostname = \"a.b\"\nshards = 3\n[smtp]\nport = 26\nidle_close = \"7s\"\n"
      "[in_doubt]\ndelay = \"2h\"\n[providers.p]\nmx = [\"a.b\"]\nconnections = 3\n");
  EXPECT_EQ(made.config.shards, 2u);
  EXPECT_EQ(made.config.smtp_port, 2525);
  EXPECT_EQ(made.config.fallback.idle_close_ns, 7 * kSecond);
  const EngineSettings settings = *engine_settings(made.config);
  EXPECT_EQ(settings.in_doubt_delay_ns, 2 * kHour);
  EXPECT_EQ(settings.in_doubt_rules.size(), 0u);
  EXPECT_EQ(settings.providers[0].name, "p");
  EXPECT_EQ(settings.providers[0].retry.in_doubt_ns, 2 * kHour);
  EXPECT_EQ(settings.providers[0].origins.at("connections").line, 11u);
  const absl::StatusOr<ReloadPlan> again =
      plan_reload(made.config, read("[node]\nhostname = \"a.b\"\nshards = 3\n"));
  EXPECT_THAT(again->needs_restart, ElementsAre("node.shards", "smtp.port"));
}

// Every setting says when it holds, and one of those that need a restart does keep its value.
TEST(ReloadPlan, EachSettingDoesAsItSays) {
  const Config running = read("");
  for (const Setting& setting : all_settings()) {
    Config fresh = running;
    if (const auto* count = std::get_if<CountKind<Config, unsigned>>(&setting.kind)) {
      count->field.in(fresh) = count->field.in(fresh) + 1;
    } else if (const auto* time = std::get_if<DurationKind<Config>>(&setting.kind)) {
      time->field.in(fresh) += kSecond;
    } else if (const auto* flag = std::get_if<FlagKind<Config>>(&setting.kind)) {
      flag->field.in(fresh) = !flag->field.in(fresh);
    } else {
      continue;
    }
    const absl::StatusOr<ReloadPlan> made = plan_reload(running, fresh);
    ASSERT_TRUE(made.ok()) << setting.name() << made.status().ToString();
    const bool live = setting.applies == Applies::at_reload;
    EXPECT_EQ(made->applied.size(), live ? 1u : 0u) << setting.name();
    EXPECT_EQ(made->needs_restart.size(), live ? 0u : 1u) << setting.name();
    EXPECT_TRUE(same_value(setting, made->config, live ? fresh : running)) << setting.name();
  }
}

TEST(ReloadPlan, WhatWouldNotFitTogetherIsRefused) {
  const absl::StatusOr<ReloadPlan> made = plan_reload(
      read("[node]\nshards = 8\n"),
      read("[node]\nshards = 4\n[smtp]\nconnections_total = 5\nconnections_per_site = 5\n"));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().message(),
            "smtp.connections_total is less than node.shards: each shard needs one at least, as "
            "long as node.shards is what it was at start: restart instead");
}

// Ids stay, whatever comes and goes.
TEST(ReloadPlan, APolicyIsMadeOfIt) {
  const auto settings_of = [](std::string_view text) { return *engine_settings(read(text)); };
  const auto first = make_policy(settings_of("[providers.p]\nmx = [\"p.b\"]\n"), nullptr);
  const auto second = make_policy(settings_of("[providers.q]\nmx = [\".b\"]\n"), first.get());
  const auto third = make_policy(
      settings_of("[providers.q]\nmx = [\".b\"]\n[providers.p]\nmx = [\"p.b\"]\n"), second.get());
  const uint32_t p = first->provider_of("", "p.b", ""), q = second->provider_of("", "p.b", "");
  EXPECT_NE(p, q);
  EXPECT_EQ(second->provider_of("", "p.b", ""), q);
  EXPECT_EQ(third->provider_of("", "p.b", ""), q) << "the first in order";
  EXPECT_EQ(third->providers[p].name, "p");
  EXPECT_EQ(third->version, 3u);
}

}  // namespace
}  // namespace veredus::control
