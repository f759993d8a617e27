// Each cause for which mail waits is set up by itself, named, and clears when it was said to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "queue/delivery_window.h"
#include "tests/engine/why_asking.h"

namespace veredus::sim {
namespace {

using queue::Filter;
using queue::Rate;
using testing::Contains;
using testing::Field;

constexpr int64_t kSecond = SmallEngine::kSecond;
constexpr Rate kOneASecond = {60, 60 * kSecond};

// How what `clears` is checked.
enum class Clears : uint8_t {
  not_said,
  // It is there one tenth of the time before, and gone one tenth behind.
  as_said,
};

struct Cause {
  std::string name;
  SmallEngine::Change settings;
  // Brings it about; feeds batch "b" of tenant "t".
  std::function<void(SmallEngine&)> arrange;
  uint32_t index = 0;
  std::string what, setting;
  Clears clears = Clears::not_said;
  std::string also = {};  // somewhere behind it in the chain
};

void feed(SmallEngine& engine, unsigned count) {
  engine.feed("b", SmallEngine::recipients(count));
}
std::function<void(SmallEngine&)> feeds(unsigned count, const std::string& more = "") {
  return [=](SmallEngine& engine) { engine.feed("b", SmallEngine::recipients(count), more); };
}
// Transactions take much the same time, so that what is reckoned from them does not depend on
// those that were the last.
void set_latency(Faults& faults, int64_t latency_ns) {
  faults.latency_min_ns = latency_ns / 2;
  faults.latency_max_ns = latency_ns / 10;
}
// A time that is reckoned from transactions takes some to have been seen.
void sees(SmallEngine& engine, unsigned taken) {
  EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken >= taken; }, 120 * kSecond));
}
std::function<void(SmallEngine&)> feeds_and_sees(unsigned count, unsigned taken) {
  return [=](SmallEngine& engine) {
    feed(engine, count);
    sees(engine, taken);
  };
}
// The mail of d0 belongs to provider p, which is as `change` makes it.
SmallEngine::Change provider(std::function<void(Provider&)> change, int64_t latency_ns = 0) {
  return [=](EngineSettings& settings, Faults& faults) {
    Provider p;
    p.name = "p";
    p.mx = {"mx0.sim"};
    p.per_source.connections = 20;
    p.recipients_per_transaction = 1;
    p.session_limits = settings.session_limits;
    p.dialogue = settings.dialogue;
    change(p);
    settings.providers.push_back(p);
    if (latency_ns != 0) set_latency(faults, latency_ns);
  };
}
SmallEngine::Change fault(double Faults::*which) {
  return [=](EngineSettings&, Faults& faults) { faults.*which = 1; };
}
SmallEngine::Change slow(int64_t latency_ns, unsigned connections_per_site = 20) {
  return [=](EngineSettings& settings, Faults& faults) {
    set_latency(faults, latency_ns);
    settings.connections_per_site = connections_per_site;
  };
}
// The simulated world begins on 14 November 2023, a Tuesday, at 22:13:21 UTC.
std::shared_ptr<const queue::DeliveryWindows> opens_in_100_s() {
  return std::make_shared<queue::DeliveryWindows>(
      *queue::parse_windows("Tu 22:15-22:30 UTC; We-Mo 08:00-20:00 UTC"));
}
Cause suspended(const std::string& by, Filter filter) {
  return {"suspended by " + by,
          provider([](Provider&) {}),
          [=](SmallEngine& engine) {
            engine.suspend(filter);
            engine.feed("b", SmallEngine::recipients(3), ",\"campaign\":\"c\"");
          },
          1,
          "suspended",
          ""};
}
LimitSettings one_a_second(Resource resource, uint64_t count = 60) {
  LimitSettings limits;
  limits.rates[static_cast<size_t>(resource)] = {count, 60 * kSecond};
  return limits;
}

std::vector<Cause> causes() {
  std::vector<Cause> all;
  const auto rate_of = static_cast<size_t>(Resource::message_rate);

  // Clocks.
  all.push_back({"not before a time", nullptr, feeds(3, ",\"not_before\":\"90s\""), 1, "not_before",
                 "", Clears::as_said});
  all.push_back({"delivery window of a provider", provider([](Provider& p) {
                   p.windows = opens_in_100_s();
                   p.origins["windows"] = {"providers.p.windows", "v.toml", 3};
                 }),
                 feeds(3), 1, "window", "providers.p.windows", Clears::as_said});
  all.push_back({"delivery window of a tenant",
                 [](EngineSettings& settings, Faults&) {
                   TenantPolicy& tenant = settings.tenants.emplace_back();
                   tenant.name = "t";
                   tenant.windows = opens_in_100_s();
                   tenant.windows_origin = {"tenants.t.windows", "v.toml", 7};
                 },
                 feeds(3), 1, "window", "tenants.t.windows", Clears::as_said});
  all.push_back({"an attempt failed", fault(&Faults::recipient_later), feeds(3), 1, "retry",
                 "retry.initial", Clears::as_said});
  all.push_back({"greylisted",
                 [](EngineSettings&, Faults& faults) {
                   faults.recipient_later = 1;
                   faults.later_reply = "451 4.7.1 Greylisted, please try again";
                 },
                 feeds(3), 1, "greylisted", "retry.greylist", Clears::as_said});
  all.push_back({"in doubt", fault(&Faults::reset_before_reply), feeds(3), 1, "in_doubt",
                 "in_doubt.delay", Clears::as_said});
  all.push_back({"held in doubt",
                 [](EngineSettings& settings, Faults& faults) {
                   settings.in_doubt = InDoubtPolicy::hold;
                   faults.reset_before_reply = 1;
                 },
                 feeds(3), 1, "held", "in_doubt.policy"});
  all.push_back({"held in doubt at a provider",
                 [](EngineSettings& settings, Faults& faults) {
                   provider([](Provider& p) {
                     p.in_doubt = InDoubtPolicy::hold;
                     p.origins["in_doubt"].setting = "providers.p.in_doubt";
                   })(settings, faults);
                   faults.reset_before_reply = 1;
                 },
                 feeds(3), 1, "held", "providers.p.in_doubt"});
  const auto with_rule = [](InDoubtRule rule) {
    return [=](EngineSettings& settings, Faults& faults) {
      settings.in_doubt_rules.push_back(rule);
      faults.reset_before_reply = 1;
    };
  };
  const Origin rule_policy = {"in_doubt.rules[0].policy", "v.toml", 4};
  const Origin rule_delay = {"in_doubt.rules[0].delay", "v.toml", 5};
  all.push_back(
      {"in doubt by a rule for a host",
       with_rule({"mx0.sim", "", InDoubtPolicy::retry, 200 * kSecond, rule_policy, rule_delay}),
       feeds(3), 0, "in_doubt", "in_doubt.rules[0].delay", Clears::as_said});
  all.push_back({"held by a rule for a domain",
                 with_rule({"", "d0.sim", InDoubtPolicy::hold, 0, rule_policy, rule_delay}),
                 feeds(3), 1, "held", "in_doubt.rules[0].policy"});
  all.push_back({"due at a suspended site", fault(&Faults::recipient_later),
                 [](SmallEngine& engine) {
                   feed(engine, 3);
                   engine.run_to(engine.clock.mono + 5 * kSecond);
                   engine.suspend({.site = "mx0-b.sim,mx0.sim"});
                 },
                 1, "retry", "retry.initial", Clears::not_said, "suspended"});

  // Orders.
  all.push_back(suspended("tenant", {.tenant = "t"}));
  all.push_back(suspended("campaign", {.campaign = "c"}));
  all.push_back(suspended("batch", {.tenant = "t", .batch = "b"}));
  all.push_back(suspended("provider", {.provider = "p"}));
  all.push_back(suspended("site", {.site = "mx0-b.sim,mx0.sim"}));
  all.push_back(suspended("domain", {.domain = "d0.sim"}));
  all.push_back(suspended("recipient", {.recipient = "r1@d0.sim"}));
  all.push_back(suspended("source", {.source = "default"}));
  all.push_back({"suspended for a while", nullptr,
                 [](SmallEngine& engine) {
                   engine.suspend({.tenant = "t"}, engine.clock.wall_ns() + 300 * kSecond);
                   feed(engine, 3);
                 },
                 1, "suspended", "", Clears::as_said});
  all.push_back({"cancelled while it is sent", slow(2 * kSecond),
                 [](SmallEngine& engine) {
                   feed(engine, 1);
                   const auto sent = [&] {
                     return waits_on(engine.why(about(engine, 0)), "in_flight");
                   };
                   EXPECT_TRUE(engine.run_until(sent, 60 * kSecond));
                   queue::Order cancel;
                   cancel.kind = queue::Order::Kind::cancel;
                   cancel.filter = {.tenant = "t", .batch = "b"};
                   cancel.last_batch = engine.number_of("b");
                   engine.order(cancel);
                 },
                 0, "in_flight", "", Clears::not_said, "cancelled"});

  // Where it goes.
  all.push_back({"its route is looked up", slow(60 * kSecond), feeds(1), 0, "route", ""});
  all.push_back({"no route", fault(&Faults::dns_failure), feeds(3), 1, "retry", "retry.initial",
                 Clears::as_said, "no_route"});
  all.push_back({"addresses are looked up", slow(60 * kSecond), feeds(1), 0, "addresses", ""});
  all.push_back({"a connection is opened", fault(&Faults::connect_silent), feeds(1), 0, "dialling",
                 "smtp.setup_limit"});
  all.push_back({"no host can be reached", fault(&Faults::connect_refused), feeds(100), 99,
                 "site_down", "smtp.host_down", Clears::as_said});
  all.push_back({"no host can be reached, and it is said how long",
                 [](EngineSettings& settings, Faults& faults) {
                   provider([](Provider& p) {
                     p.site_initial_ns = 300 * kSecond;
                     p.origins["retry.site_initial"].setting = "providers.p.retry.site_initial";
                   })(settings, faults);
                   faults.connect_refused = 1;
                 },
                 feeds(100), 99, "site_down", "providers.p.retry.site_initial", Clears::as_said});
  all.push_back({"a further connection was refused", slow(kSecond),
                 [](SmallEngine& engine) {
                   feed(engine, 2000);
                   sees(engine, 1);
                   engine.internet.faults.connect_refused = 1;
                 },
                 1999, "no_growth", "smtp.host_down", Clears::as_said});
  all.push_back({"no descriptors", nullptr,
                 [](SmallEngine& engine) {
                   engine.network().descriptors_max = 0;
                   feed(engine, 3);
                 },
                 1, "descriptors", ""});
  all.push_back({"a pool that a reload removed",
                 [](EngineSettings& settings, Faults&) {
                   SourcePool& pool = settings.pools.emplace_back();
                   pool.name = "q";
                   pool.members = {{0, 1}};
                 },
                 [](SmallEngine& engine) {
                   engine.feed("b", SmallEngine::recipients(3),
                               ",\"pool\":\"q\",\"not_before\":\"5s\"");
                   engine.settings.pools.clear();
                   engine.core().reload(engine.settings);
                   engine.run_to(engine.clock.mono + 6 * kSecond);
                 },
                 1, "pool", "pools.q"});
  all.push_back({"our address is missing",
                 [](EngineSettings& settings, Faults&) {
                   io::parse_address("10.9.9.9", settings.sources[0].address);
                   settings.sources[0].address.family = 4;
                   settings.sources[0].address_origin = {"sources.default.address", "v.toml", 8};
                 },
                 [](SmallEngine& engine) {
                   engine.internet.missing_addresses.insert("10.9.9.9");
                   engine.run_to(engine.clock.mono + 30 * kSecond);
                   feed(engine, 3);
                 },
                 1, "source_address", "sources.default.address"});

  // Limits of connections.
  all.push_back({"connections of a site", slow(kSecond, 1), feeds_and_sees(400, 40), 300,
                 "connections", "smtp.connections_per_site", Clears::as_said, "line"});
  all.push_back({"connections of a provider",
                 provider([](Provider& p) { p.per_source.connections = 1; }, kSecond),
                 feeds_and_sees(400, 40), 300, "connections", "providers.p.connections",
                 Clears::as_said});
  all.push_back({"connections of the process",
                 [](EngineSettings& settings, Faults& faults) {
                   settings.connections_total = 1;
                   set_latency(faults, kSecond);
                 },
                 [](SmallEngine& engine) {
                   engine.feed("other", SmallEngine::recipients(300, 1));
                   sees(engine, 40);
                   feed(engine, 3);
                 },
                 1, "connections", "smtp.connections_total", Clears::as_said});
  all.push_back({"connections of a group",
                 [](EngineSettings& settings, Faults& faults) {
                   ProviderGroup group;
                   group.name = "g";
                   group.limits.connections = 1;
                   settings.groups.push_back(group);
                   provider(
                       [](Provider& p) {
                         p.groups = {0};
                         p.mx = {".sim"};
                       },
                       kSecond)(settings, faults);
                 },
                 [](SmallEngine& engine) {
                   engine.feed("other", SmallEngine::recipients(300, 1));
                   sees(engine, 40);
                   feed(engine, 3);
                 },
                 1, "connections", "groups.g.connections", Clears::as_said});
  all.push_back({"transactions of a tenant",
                 provider([](Provider& p) { p.per_tenant.connections = 1; }, kSecond),
                 feeds_and_sees(200, 40), 150, "connections", "providers.p.tenant_connections",
                 Clears::as_said});

  // Rates.
  all.push_back({"message rate of a provider",
                 provider([=](Provider& p) { p.per_source.rates[rate_of] = kOneASecond; }),
                 feeds(60), 40, "message_rate", "providers.p.message_rate", Clears::as_said,
                 "behind"});
  all.push_back({"message rate, for one at home",
                 provider([=](Provider& p) { p.per_source.rates[rate_of] = kOneASecond; }),
                 feeds(400), 300, "message_rate", "providers.p.message_rate", Clears::as_said,
                 "line"});
  all.push_back({"message rate of sites",
                 [=](EngineSettings& settings, Faults&) {
                   settings.fallback_limits = one_a_second(Resource::message_rate);
                 },
                 feeds(60), 40, "message_rate", "smtp.site_message_rate", Clears::as_said});
  all.push_back({"message rate of a source",
                 [=](EngineSettings& settings, Faults&) {
                   settings.sources[0].limits = one_a_second(Resource::message_rate);
                 },
                 feeds(60), 40, "message_rate", "sources.default.message_rate", Clears::as_said});
  all.push_back({"message rate of the process",
                 [=](EngineSettings& settings, Faults&) {
                   settings.global_limits = one_a_second(Resource::message_rate);
                 },
                 feeds(60), 40, "message_rate", "smtp.message_rate", Clears::as_said});
  all.push_back({"message rate of a group",
                 [](EngineSettings& settings, Faults& faults) {
                   ProviderGroup group;
                   group.name = "g";
                   group.limits = one_a_second(Resource::message_rate);
                   settings.groups.push_back(group);
                   provider([](Provider& p) { p.groups = {0}; })(settings, faults);
                 },
                 feeds(60), 40, "message_rate", "groups.g.message_rate", Clears::as_said});
  all.push_back({"message rate of a tenant",
                 provider([=](Provider& p) { p.per_tenant.rates[rate_of] = kOneASecond; }),
                 feeds(60), 40, "message_rate", "providers.p.tenant_message_rate",
                 Clears::as_said});
  all.push_back({"message rate, shared with another site",
                 [](EngineSettings& settings, Faults&) {
                   settings.global_limits = one_a_second(Resource::message_rate);
                 },
                 [](SmallEngine& engine) {
                   engine.feed("other", SmallEngine::recipients(60, 1));
                   feed(engine, 60);
                 },
                 30, "message_rate", "smtp.message_rate", Clears::as_said});
  all.push_back({"byte rate", provider([](Provider& p) {
                   p.per_source = one_a_second(Resource::byte_rate, 20'000);
                   p.per_source.connections = 20;
                 }),
                 feeds(60), 50, "byte_rate", "providers.p.byte_rate", Clears::as_said});
  all.push_back({"connection rate", provider([](Provider& p) {
                   p.per_source = one_a_second(Resource::connection_rate);
                   p.per_source.connections = 20;
                   p.messages_per_connection = 1;
                 }),
                 feeds(60), 40, "connection_rate", "providers.p.connection_rate", Clears::as_said});

  // Its turn.
  all.push_back({"all connections are at work", slow(kSecond), feeds_and_sees(200, 40), 150, "busy",
                 "", Clears::as_said, "behind"});
  all.push_back({"it is being sent", slow(kSecond), feeds(1), 0, "in_flight", ""});
  all.push_back({"others are more urgent", slow(kSecond, 1),
                 [](SmallEngine& engine) {
                   engine.feed("urgent", SmallEngine::recipients(80), ",\"priority\":90");
                   engine.feed("b", SmallEngine::recipients(30), ",\"priority\":10");
                   sees(engine, 40);
                 },
                 20, "connections", "smtp.connections_per_site", Clears::as_said, "priority"});
  all.push_back({"other tenants have their share", slow(kSecond, 1),
                 [](SmallEngine& engine) {
                   engine.feed("other", SmallEngine::recipients(80), "", "u");
                   feed(engine, 80);
                   sees(engine, 40);
                 },
                 50, "connections", "smtp.connections_per_site", Clears::as_said, "fairness"});

  // The engine itself.
  all.push_back({"a start still reads", nullptr,
                 [](SmallEngine& engine) {
                   engine.feed("b", SmallEngine::recipients(3), ",\"not_before\":\"1h\"");
                   engine.storage.faults.latency_min_ns = 20 * kSecond;
                   engine.storage.faults.latency_max_ns = 21 * kSecond;
                   engine.restart();
                 },
                 1, "loading", ""});
  all.push_back({"its page is read", nullptr,
                 [](SmallEngine& engine) {
                   feed(engine, 3);
                   engine.storage.faults.latency_min_ns = 20 * kSecond;
                   engine.storage.faults.latency_max_ns = 21 * kSecond;
                 },
                 1, "on_its_way", ""});
  all.push_back({"the disk is behind",
                 [](EngineSettings& settings, Faults&) { settings.attempt_marks = 24; },
                 [](SmallEngine& engine) {
                   feed(engine, 200);
                   sees(engine, 1);
                   engine.storage.faults.latency_min_ns = 100 * kSecond;
                   engine.storage.faults.latency_max_ns = 101 * kSecond;
                 },
                 199, "disk_behind", ""});
  all.push_back({"it is being stopped", slow(kSecond),
                 [](SmallEngine& engine) {
                   feed(engine, 200);
                   sees(engine, 1);
                   engine.core().shard(0).drain();
                 },
                 199, "stopping", ""});
  return all;
}

class WhyTest : public testing::TestWithParam<Cause> {};

// Until it waits on that, or a long time has passed.
WhyAnswer await(SmallEngine& engine, const WhyQuestion& question, const Cause& cause) {
  WhyAnswer answer;
  const int64_t end = engine.clock.mono + 120 * kSecond;
  while (engine.clock.mono < end) {
    answer = engine.why(question);
    const bool said =
        cause.clears == Clears::not_said ||
        (waits_on(answer, cause.what) && answer.waiting[0].conditions[0].clears_mono_ns != 0);
    if (waits_on(answer, cause.what) && said) break;
    engine.run_to(engine.clock.mono + 10'000'000);
  }
  return answer;
}

// It does not wait on that any more, or again and not still.
bool cleared(const WhyAnswer& answer, const Cause& cause, const Waiting& before) {
  if (!waits_on(answer, cause.what)) return true;
  const Waiting& now = answer.waiting[0];
  return now.attempts != before.attempts ||
         (!now.conditions[0].is_estimate &&
          now.conditions[0].clears_mono_ns > before.conditions[0].clears_mono_ns + kSecond / 10);
}

TEST_P(WhyTest, IsNamedAndClears) {
  const Cause& cause = GetParam();
  SmallEngine engine(cause.settings);
  cause.arrange(engine);
  const WhyQuestion question = about(engine, cause.index);
  const WhyAnswer answer = await(engine, question, cause);
  ASSERT_TRUE(waits_on(answer, cause.what)) << words(answer);
  const Waiting& item = answer.waiting[0];
  const Condition& first = item.conditions[0];
  EXPECT_EQ(first.origin.setting, cause.setting) << words(answer);
  EXPECT_EQ(item.index, cause.index);
  EXPECT_FALSE(first.text.empty());
  EXPECT_EQ(first.order != 0, cause.what == "suspended");
  if (!cause.also.empty()) {
    EXPECT_THAT(item.conditions, Contains(Field(&Condition::what, cause.also))) << words(answer);
  }
  if (cause.clears == Clears::not_said) return;
  const int64_t asked = engine.clock.mono, left = first.clears_mono_ns - asked;
  ASSERT_GT(left, 0);
  engine.run_to(asked + left - left / 10);
  EXPECT_FALSE(cleared(engine.why(question), cause, item))
      << "too early; said to take " << static_cast<double>(left) / 1e9 << " s: " << words(answer);
  engine.run_to(asked + left + left / 10);
  EXPECT_TRUE(cleared(engine.why(question), cause, item))
      << "too late; said to take " << static_cast<double>(left) / 1e9 << " s: " << words(answer);
}

INSTANTIATE_TEST_SUITE_P(Causes, WhyTest, testing::ValuesIn(causes()), [](const auto& of) {
  std::string name = of.param.name;
  std::erase_if(name, [](char c) { return c == ','; });
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

}  // namespace
}  // namespace veredus::sim
