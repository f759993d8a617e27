#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "engine/smtp/capabilities.h"
#include "engine/smtp/dialogue.h"
#include "engine/smtp/reply.h"
#include "engine/smtp/reply_rules.h"
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

// By the rules that are shipped, once their automaton knows the text.
void judge_text(benchmark::State& state, Phase stage, uint16_t code, EnhancedStatus enhanced,
                std::string_view text) {
  Said said{stage, Reason::none, code, enhanced, false, text};
  for (auto _ : state) {
    benchmark::DoNotOptimize(said);
    benchmark::DoNotOptimize(judge(said));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void BM_VerdictNoSuchAccount(benchmark::State& state) {
  judge_text(
      state, Phase::rcpt, 550, {5, 1, 1},
      "The email account that you tried to reach does not exist. Please try\ndouble-checking "
      "the recipient's email address for typos or\nunnecessary spaces. Learn more at\n"
      "https://support.example/mail/?p=NoSuchUser 4fb4d7f45d1cf-5c0r1234567a12.1 - gsmtp");
}
BENCHMARK(BM_VerdictNoSuchAccount);

void BM_VerdictDeferred(benchmark::State& state) {
  judge_text(
      state, Phase::mail, 421, {4, 7, 0},
      "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user "
      "complaints - 4.16.55.1; see https://postmaster.example/error-codes");
}
BENCHMARK(BM_VerdictDeferred);

// As much as is looked at, and no rule before the last row.
void BM_VerdictLongText(benchmark::State& state) {
  std::string text;
  while (text.size() < kReplyLookedAt)
    text += "Nothing here that anybody would know, line upon line.\n";
  judge_text(state, Phase::end_of_data, 554, {}, text);
}
BENCHMARK(BM_VerdictLongText);

// Texts that were never seen before: 1 KiB of printable bytes, as a hostile host may send them.
void BM_VerdictStrangeText(benchmark::State& state) {
  std::mt19937 random(1);
  std::string text(kReplyLookedAt, ' ');
  for (auto _ : state) {
    state.PauseTiming();
    for (char& c : text) c = static_cast<char>(' ' + random() % 95);
    state.ResumeTiming();
    benchmark::DoNotOptimize(judge({Phase::rcpt, Reason::none, 550, {}, false, text}));
  }
}
BENCHMARK(BM_VerdictStrangeText);

void BM_VerdictRulesMade(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ReplyRules::make("", ""));
}
BENCHMARK(BM_VerdictRulesMade);

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
