// What it costs to be allowed to send: a token of a rate (queue/rate.h), and the choice of whose
// turn it is (queue/fair_order.h).

#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "queue/fair_order.h"
#include "queue/rate.h"

namespace veredus::queue {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

// A token that is here.
void BM_RateTake(benchmark::State& state) {
  RateHolder holder;
  holder.on_grant({0, UINT64_MAX, 0, INT64_MAX});
  int64_t now = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(now);
    benchmark::DoNotOptimize(holder.take(1, now));
  }
}
BENCHMARK(BM_RateTake);

// None is here: what a session pays that has to wait.
void BM_RateTakeInVain(benchmark::State& state) {
  RateHolder holder;
  int64_t now = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(now);
    benchmark::DoNotOptimize(holder.take(1, now));
  }
}
BENCHMARK(BM_RateTakeInVain);

// A turn of the owner each millisecond: everybody has wishes, and is granted his part.
void BM_RateOwnerTurn(benchmark::State& state) {
  const uint32_t holders = static_cast<uint32_t>(state.range(0));
  RateOwner owner({1'000'000, kSecond}, holders, 0);
  std::vector<RateNotice> notices;
  for (uint32_t holder = 0; holder < holders; ++holder) {
    owner.request(holder, {uint64_t{1} << 60, 1}, 0, notices);
  }
  int64_t now = 0;
  for (auto _ : state) {
    notices.clear();
    owner.run(now += kMs, notices);
    benchmark::DoNotOptimize(notices.data());
  }
}
BENCHMARK(BM_RateOwnerTurn)->Arg(1)->Arg(4)->Arg(16);

// Grant, use and request for one token at a time, owner and holder beside each other.
void BM_RateTokenByToken(benchmark::State& state) {
  RateOwner owner({1'000'000, kSecond}, 1, 0);
  RateHolder holder;
  std::vector<RateNotice> notices;
  int64_t now = kSecond;
  for (auto _ : state) {
    now += 1'100;
    notices.clear();
    if (const auto asked = holder.ask(1, 1, now)) owner.request(0, *asked, now, notices);
    for (const RateNotice& notice : notices) holder.on_grant(notice);
    benchmark::DoNotOptimize(holder.take(1, now));
  }
}
BENCHMARK(BM_RateTokenByToken);

// next() and charge() among so many who all have something.
void BM_FairNextAndCharge(benchmark::State& state) {
  const uint32_t keys = static_cast<uint32_t>(state.range(0));
  std::mt19937_64 random(1);
  FairPasses<uint32_t> passes;
  FairOrder<uint32_t> order(passes);
  std::vector<uint32_t> weights(keys);
  for (uint32_t key = 0; key < keys; ++key) {
    weights[key] = static_cast<uint32_t>(1 + random() % 10);
    order.activate(key);
  }
  for (auto _ : state) {
    const uint32_t key = order.next();
    order.charge(key, 1, weights[key]);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FairNextAndCharge)->Arg(1)->Arg(3)->Arg(16)->Arg(17)->Arg(100)->Arg(10'000);

// The same where each has one thing only: it leaves, and another one of four times as many comes.
void BM_FairComeNextChargeLeave(benchmark::State& state) {
  const uint32_t keys = static_cast<uint32_t>(state.range(0));
  FairPasses<uint32_t> passes;
  FairOrder<uint32_t> order(passes);
  for (uint32_t key = 0; key < keys; ++key) order.activate(key);
  std::vector<uint32_t> idle(3 * keys);
  std::iota(idle.begin(), idle.end(), keys);
  size_t longest = 0;  // idle
  for (auto _ : state) {
    const uint32_t key = order.next();
    order.charge(key, 1, 1);
    order.deactivate(key);
    order.activate(std::exchange(idle[longest], key));
    if (++longest == idle.size()) longest = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FairComeNextChargeLeave)->Arg(1)->Arg(3)->Arg(100)->Arg(10'000);

// Many lanes over the same passes, a few tenants in each.
void BM_FairManyLanes(benchmark::State& state) {
  const size_t lanes = static_cast<size_t>(state.range(0));
  std::mt19937_64 random(1);
  FairPasses<uint32_t> passes;
  std::vector<std::unique_ptr<FairOrder<uint32_t>>> orders;
  for (size_t lane = 0; lane < lanes; ++lane) {
    orders.push_back(std::make_unique<FairOrder<uint32_t>>(passes));
    const uint32_t first = static_cast<uint32_t>(random() % 1000);
    for (uint32_t key = first; key < first + 3; ++key) orders.back()->activate(key);
  }
  size_t lane = 0;
  for (auto _ : state) {
    FairOrder<uint32_t>& order = *orders[lane];
    if (++lane == lanes) lane = 0;
    order.charge(order.next(), 1, 1);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FairManyLanes)->Arg(1000);

}  // namespace
}  // namespace veredus::queue

BENCHMARK_MAIN();
