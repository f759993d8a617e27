// What a lookup costs besides the network: reading an answer, and finding a route that is known.

#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "dns/answer.h"
#include "dns/router.h"
#include "tests/dns/message.h"
#include "tests/dns/scripted_lookups.h"

namespace veredus::dns {
namespace {

testing::Message mx_answer(const std::string& domain, int hosts) {
  testing::Message message(domain, RecordType::mx);
  for (int i = 0; i < hosts; ++i) {
    message.mx(domain, 300, static_cast<unsigned>(10 * i),
               "mx" + std::to_string(i) + ".mail.example.net");
  }
  return message;
}

void parse_mx(benchmark::State& state) {
  const testing::Message message = mx_answer("example.org", static_cast<int>(state.range(0)));
  Answer answer;
  for (auto _ : state) {
    benchmark::DoNotOptimize(parse_answer(message.bytes(), "example.org", RecordType::mx, answer));
  }
}
BENCHMARK(parse_mx)->Arg(1)->Arg(5)->Arg(100);

void parse_addresses(benchmark::State& state) {
  testing::Message message("mx.example.org", RecordType::a);
  for (int i = 0; i < 4; ++i) message.address("mx.example.org", 300, "192.0.2.1");
  Answer answer;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        parse_answer(message.bytes(), "mx.example.org", RecordType::a, answer));
  }
}
BENCHMARK(parse_addresses);

struct Nobody final : RouteHandler {
  void on_route(const Route&) override {}
};

// Arg: domains in the cache, all asked for in turn.
void cache_hit(benchmark::State& state) {
  testing::ScriptedLookups lookups;
  Router router(lookups, {}, [] { return int64_t{0}; });
  Nobody handler;
  std::vector<std::string> domains;
  for (int i = 0; i < state.range(0); ++i) {
    domains.push_back("domain-" + std::to_string(i) + ".example");
    router.resolve(domains.back(), handler);
    lookups.give(mx_answer(domains.back(), 2));
  }
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(router.cached(domains[next], 1));
    if (++next == domains.size()) next = 0;
  }
}
BENCHMARK(cache_hit)->Arg(1)->Arg(1000)->Arg(50000);

// Everything but the network: asked, answered, kept, the handler called; another domain evicted.
void cache_miss(benchmark::State& state) {
  testing::ScriptedLookups lookups;
  RouterSettings settings;
  settings.max_routes = 1000;
  Router router(lookups, settings, [] { return int64_t{0}; });
  std::vector<std::string> domains;
  std::vector<testing::Message> messages;
  for (int i = 0; i < 2000; ++i) {
    domains.push_back("domain-" + std::to_string(i) + ".example");
    messages.push_back(mx_answer(domains.back(), 2));
  }
  Nobody handler;
  size_t next = 0;
  for (auto _ : state) {
    router.resolve(domains[next], handler);
    lookups.give(messages[next]);
    if (lookups.asked.size() > 100000) lookups.asked.clear();
    if (++next == domains.size()) next = 0;
  }
}
BENCHMARK(cache_miss);

}  // namespace
}  // namespace veredus::dns

BENCHMARK_MAIN();
