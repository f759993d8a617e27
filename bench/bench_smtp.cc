#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "engine/smtp/capabilities.h"
#include "engine/smtp/dialogue.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/verdict.h"

// The protocol alone, without socket: what a reply, a verdict and a whole transaction cost. The
// counter `allocations` is per iteration, in steady state.

namespace {
std::atomic<size_t> g_allocations{0};
}  // namespace

// Not inlined: g++ would see `free` of what `new` returned, and warn.
[[gnu::noinline]] void* operator new(size_t size) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace veredus::smtp;

void parse_replies(benchmark::State& state, const std::string& bytes, int replies) {
  ReplyParser parser;
  Reply reply;
  const size_t before = g_allocations;
  for (auto _ : state) {
    std::string_view rest = bytes;
    while (parser.feed(rest, reply) == ReplyParser::Result::reply) benchmark::DoNotOptimize(reply);
  }
  state.SetItemsProcessed(state.iterations() * replies);
  state.counters["allocations"] =
      static_cast<double>(g_allocations - before) / static_cast<double>(state.iterations());
}

void BM_ReplyOneLine(benchmark::State& state) {
  parse_replies(state, "250 2.0.0 Ok: queued as 4f8Sbz1Q2sz9sWK\r\n", 1);
}
BENCHMARK(BM_ReplyOneLine);

void BM_ReplyThreeOfAnEnvelope(benchmark::State& state) {
  parse_replies(state, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
                3);
}
BENCHMARK(BM_ReplyThreeOfAnEnvelope);

constexpr std::string_view kEhlo =
    "250-mx.example\r\n250-PIPELINING\r\n250-SIZE "
    "52428800\r\n250-VRFY\r\n250-ETRN\r\n250-STARTTLS\r\n"
    "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n";

void BM_ReplyEhlo(benchmark::State& state) {
  parse_replies(state, std::string(kEhlo), 1);
}
BENCHMARK(BM_ReplyEhlo);

void BM_VerdictDelivered(benchmark::State& state) {
  Said said{Phase::end_of_data, Reason::none, 250,
            {2, 0, 0},          false,        "Ok: queued as 4f8Sbz1Q2sz9sWK"};
  for (auto _ : state) {
    benchmark::DoNotOptimize(said);
    benchmark::DoNotOptimize(judge(said));
  }
}
BENCHMARK(BM_VerdictDelivered);

void BM_VerdictUnknownUser(benchmark::State& state) {
  Said said{Phase::rcpt, Reason::none, 550,
            {},          false,        "<ada@example.org>: Recipient address rejected"};
  for (auto _ : state) {
    benchmark::DoNotOptimize(said);
    benchmark::DoNotOptimize(judge(said));
  }
}
BENCHMARK(BM_VerdictUnknownUser);

// Offer, commands, replies, outcomes: all that the dialogue does for one message on a reused
// connection.
class Driver {
 public:
  explicit Driver(bool chunking) {
    settings_.use_chunking = chunking;
    submit(dialogue_.connected(output_));
    submit(feed(dialogue_, parser_, "220 mx.example ESMTP\r\n", output_));
    submit(feed(dialogue_, parser_, kEhlo, output_));
    output_.clear();
  }
  Step submit(const Step& step) {
    if (!output_.bytes.empty()) dialogue_.commands_sent();
    output_.bytes.clear();
    if (step.act == Step::Act::send_content) dialogue_.content_sent();
    return step;
  }
  void reply(std::string_view bytes) { submit(feed(dialogue_, parser_, bytes, output_)); }
  void offer(const Transaction& transaction) { submit(dialogue_.offer(transaction, output_)); }
  // One recipient delivered?
  bool take() {
    const bool good =
        output_.outcomes.size() == 1 && output_.outcomes[0].verdict.result == Result::delivered;
    output_.clear();
    return good;
  }

 private:
  DialogueSettings settings_;
  Dialogue dialogue_{&settings_};
  ReplyParser parser_;
  Output output_;
};

const std::array<std::string_view, 1> kTo = {"ada.lovelace@example.org"};
const Transaction kTransaction{"bounce+17@news.example", kTo, 2048, false};

void BM_TransactionData(benchmark::State& state) {
  Driver driver(false);
  size_t before = 0;
  for (auto _ : state) {
    driver.offer(kTransaction);
    driver.reply("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    driver.reply("250 2.0.0 Ok: queued as 4f8Sbz1Q2sz9sWK\r\n");
    if (!driver.take()) return state.SkipWithError("not delivered");
    if (before == 0) before = g_allocations;
  }
  state.counters["allocations"] =
      static_cast<double>(g_allocations - before) / static_cast<double>(state.iterations());
}
BENCHMARK(BM_TransactionData);

void BM_TransactionChunking(benchmark::State& state) {
  Driver driver(true);
  size_t before = 0;
  for (auto _ : state) {
    driver.offer(kTransaction);
    driver.reply("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: queued as 4f8Sbz1Q2sz9sWK\r\n");
    if (!driver.take()) return state.SkipWithError("not delivered");
    if (before == 0) before = g_allocations;
  }
  state.counters["allocations"] =
      static_cast<double>(g_allocations - before) / static_cast<double>(state.iterations());
}
BENCHMARK(BM_TransactionChunking);

}  // namespace

BENCHMARK_MAIN();
