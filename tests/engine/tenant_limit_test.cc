// Limits of a tenant's own at a receiver: transactions at a time, where others compete for the
// sessions, and where they hold for what is under way already.

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/engine/add_provider.h"
#include "tests/engine/small_engine.h"
#include "tests/sim/watcher.h"

namespace veredus::sim {
namespace {

constexpr int64_t kSecond = SmallEngine::kSecond;

std::vector<std::string> named(char first, unsigned count) {
  std::vector<std::string> to;
  for (unsigned i = 0; i < count; ++i) to.push_back(first + std::to_string(i) + "@d0.sim");
  return to;
}

// His turn comes when a session is free; by then the slot that he was called for must still be
// there, though the session was at work with another tenant's when it came.
TEST(TenantSlots, AreThereWhenASessionIsFree) {
  for (const unsigned shards : {1u, 3u}) {
    SmallEngine engine(
        [](EngineSettings& settings, Faults&) {
          Provider& p = add_provider(settings);
          p.per_source.connections = 1;
          p.per_tenant.connections = 1;
        },
        shards);
    engine.feed("b", named('r', 300), "", "one");
    engine.feed("b", named('s', 300), "", "two");
    EXPECT_TRUE(engine.run_until([&] { return engine.internet.taken >= 200; }, 300 * kSecond));
    const auto of_one = std::count_if(engine.internet.ledger.begin(), engine.internet.ledger.end(),
                                      [](const auto& each) { return each.first[0] == 'r'; });
    EXPECT_NEAR(static_cast<double>(of_one), 100, 10) << shards << " shards";
  }
}

// Transactions that servers have heard of, by when they left; over for them is before the engine
// hears of it, so there are never more than it counts.
class Transactions final : public Watcher {
 public:
  explicit Transactions(const SimClock& clock) : clock_(clock) {}
  void opened(uint64_t, const io::Endpoint&, const io::Endpoint&) override {}
  void closed(uint64_t connection) override { transaction_over(connection); }
  void transaction(uint64_t connection, int64_t sent_mono_ns) override {
    begun_[connection] = sent_mono_ns;
  }
  void recipient(uint64_t, const std::string&, bool) override {}
  void content(uint64_t, uint64_t) override {}
  void transaction_over(uint64_t connection) override {
    const auto found = begun_.find(connection);
    if (found == begun_.end()) return;
    spans_.emplace_back(found->second, clock_.mono);
    begun_.erase(found);
  }
  // Those under way at the moment at which one began, at most; of those that began from then on.
  size_t most_since(int64_t mono_ns) {
    std::vector<std::pair<int64_t, int64_t>> spans = spans_;
    for (const auto& [connection, begun] : begun_) spans.emplace_back(begun, INT64_MAX);
    size_t most = 0;
    for (const auto& [begun, over] : spans) {
      if (begun < mono_ns) continue;
      size_t open = 0;
      for (const auto& other : spans) open += other.first <= begun && other.second > begun;
      most = std::max(most, open);
    }
    return most;
  }
  size_t open() const { return begun_.size(); }

 private:
  const SimClock& clock_;
  std::map<uint64_t, int64_t> begun_;  // by connection
  std::vector<std::pair<int64_t, int64_t>> spans_;
};

TEST(TenantSlots, CountTransactionsUnderWayWhenTheLimitComes) {
  SmallEngine engine(
      [](EngineSettings& settings, Faults& faults) {
        add_provider(settings).per_source.connections = 16;
        faults.latency_max_ns = 4 * kSecond;
      },
      2);
  Transactions transactions(engine.clock);
  engine.internet.watcher = &transactions;
  engine.internet.chunking = false;  // MAIL, and the content later
  engine.feed("b", named('r', 3000));
  ASSERT_TRUE(engine.run_until([&] { return transactions.open() >= 6; }, 300 * kSecond));
  EngineSettings fresh = engine.settings;
  fresh.providers[0].per_tenant.connections = 2;
  engine.core().reload(fresh);
  const int64_t reloaded = engine.clock.mono + kSecond / 10;
  engine.run_to(reloaded + 120 * kSecond);
  EXPECT_EQ(transactions.most_since(reloaded), 2u);
  engine.internet.watcher = nullptr;
}

}  // namespace
}  // namespace veredus::sim
