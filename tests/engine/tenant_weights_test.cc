// Tenants share what a provider takes by their weights, whichever of its sites, lanes and shards
// their mail goes by.

#include <map>

#include <gtest/gtest.h>

#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

struct Case {
  std::string name;
  unsigned shards = 1;
  LimitSettings limits;
  bool own_sites = false;  // each tenant sends to a site of his own
  unsigned sites = 1;      // else all send to so many
};

LimitSettings connections(uint32_t count) {
  LimitSettings limits;
  limits.connections = count;
  return limits;
}

LimitSettings messages(uint64_t a_second) {
  LimitSettings limits;
  limits.rates[static_cast<size_t>(Resource::message_rate)] = {a_second, kSecond};
  return limits;
}

class TenantWeights : public testing::TestWithParam<Case> {};

// Weights 1:2:4, and all have more than what can go.
TEST_P(TenantWeights, AreTheirSharesOfAProvider) {
  const Case& with = GetParam();
  const std::map<std::string, uint32_t> weights = {{"one", 1}, {"two", 2}, {"four", 4}};
  SmallEngine engine(
      [&](EngineSettings& settings, Faults& faults) {
        Provider& p = add_provider(settings);
        p.mx = {".sim", "sim"};
        for (unsigned i = 0; i < 16; ++i) p.mx.push_back("mx" + std::to_string(i) + ".sim");
        p.per_source = with.limits;
        for (const auto& [name, weight] : weights) {
          TenantPolicy& tenant = settings.tenants.emplace_back();
          tenant.name = name;
          tenant.weight = weight;
        }
        faults.latency_max_ns = 20'000'000;
      },
      with.shards);
  std::map<std::string, std::string> tenant_of;  // by address
  unsigned number = 0, site = 0;
  for (const auto& [name, weight] : weights) {
    std::vector<std::string> to;
    for (unsigned i = 0; i < 12000; ++i) {
      const unsigned domain = with.own_sites ? site : i % with.sites;
      to.push_back("r" + std::to_string(number++) + "@d" + std::to_string(domain) + ".sim");
      tenant_of[to.back()] = name;
    }
    engine.feed("b", to, "", name);
    ++site;
  }
  const auto taken = [&] {
    std::map<std::string, double> counts;
    for (const auto& [to, receipts] : engine.internet.ledger) counts[tenant_of.at(to)] += 1;
    return counts;
  };
  const auto run_until_taken = [&](size_t count) {
    return engine.run_until([&] { return engine.internet.ledger.size() >= count; }, 3600 * kSecond);
  };
  // Who was fed first was first.
  ASSERT_TRUE(run_until_taken(3000));
  std::map<std::string, double> before = taken();
  ASSERT_TRUE(run_until_taken(10000));
  std::map<std::string, double> counts = taken();
  for (const auto& [name, weight] : weights) {
    const double share = (counts[name] - before[name]) / 7000;
    EXPECT_NEAR(share / (weight / 7.0), 1, 0.05)
        << name << " had " << share << " of it, and should have " << weight / 7.0;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Everywhere, TenantWeights,
    testing::Values(Case{"one_lane_by_rate", 1, messages(50)},
                    Case{"own_lanes_by_rate", 1, messages(50), true},
                    Case{"own_lanes_by_a_high_rate", 1, messages(1000), true},
                    Case{"own_lanes_by_rate_on_three_shards", 3, messages(50), true},
                    Case{"nine_lanes_by_rate_on_three_shards", 3, messages(50), false, 9},
                    Case{"one_lane_by_connections", 1, connections(5)},
                    Case{"own_lanes_by_connections", 1, connections(7), true},
                    Case{"own_lanes_by_few_connections_on_three_shards", 3, connections(7), true},
                    Case{"own_lanes_by_connections_on_three_shards", 3, connections(14), true},
                    Case{"nine_lanes_by_connections_on_three_shards", 3, connections(20), false,
                         9}),
    [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace veredus::sim
