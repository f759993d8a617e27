#include <string>

#include <benchmark/benchmark.h>

#include "engine/intake/feed_parser.h"
#include "engine/intake/intake.h"
#include "engine/intake/json_writer.h"
#include "queue/extent.h"

namespace veredus::intake {
namespace {

const std::string kBatchLine =
    R"({"batch":"b1","sender":"b@news.example","message":{"raw":"From: a@b.c\r\n\r\nHello {{id}}\r\n"}})"
    "\n";

std::string body_of(int recipients, bool vars) {
  std::string body = kBatchLine;
  for (int i = 0; i < recipients; ++i) {
    const std::string number = std::to_string(i);
    body += "{\"to\":\"user" + number + "@domain" + std::to_string(i % 1000) + ".example\"";
    if (vars)
      body += ",\"id\":\"" + number +
              "\",\"vars\":{\"first\":\"Ada\",\"city\":\"London\"},\"meta\":{\"user\":" + number +
              "}";
    body += "}\n";
  }
  return body;
}

// Every recipient with a message of its own, of about 2 KiB.
std::string distinct_body_of(int recipients) {
  std::string body = "{\"batch\":\"b1\",\"sender\":\"b@news.example\"}\n";
  std::string text;
  for (int i = 0; i < 28; ++i)
    text += "a line of the message, with \\\"quotes\\\" and so on, of seventy bytes\\r\\n";
  for (int i = 0; i < recipients; ++i) {
    const std::string number = std::to_string(i);
    body += "{\"to\":\"user" + number +
            "@example.org\",\"message\":{\"raw\":\"From: a@b.c\\r\\nDate: x\\r\\nMessage-ID: <" +
            number + "@x>\\r\\n\\r\\n" + text + "\"}}\n";
  }
  return body;
}

struct Nobody : FeedHandler {
  Key on_key(std::string_view, std::string_view, FeedError&) override { return Key::proceed; }
  int64_t wall_ns() override { return 1'782'898'205'000'000'000; }
  bool on_batch(const queue::Batch&, std::string, FeedError&) override { return true; }
  bool on_recipient(const queue::Entry& entry, FeedError&) override {
    benchmark::DoNotOptimize(entry.to.data());
    return true;
  }
  void on_refused(uint64_t, std::string_view, std::string_view, std::string_view) override {}
};

constexpr int kRecipients = 10000;

void parse(benchmark::State& state, const std::string& body) {
  const FeedSettings settings;
  Nobody nobody;
  for (auto _ : state) {
    FeedParser parser(settings, nobody);
    for (size_t at = 0; at < body.size(); at += 65536)
      parser.feed(std::string_view(body).substr(at, 65536));
    if (!parser.finish()) state.SkipWithError("refused");
  }
  state.SetItemsProcessed(state.iterations() * kRecipients);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK_CAPTURE(parse, plain, body_of(kRecipients, false));
BENCHMARK_CAPTURE(parse, vars_and_meta, body_of(kRecipients, true));
BENCHMARK_CAPTURE(parse, distinct_2k, distinct_body_of(kRecipients));

// Answers every append at once, and keeps nothing.
struct FastPort : ShardPort {
  unsigned shards() const override { return 2; }
  void append(unsigned, AppendRequest request) override {
    if (request.token == 0) return;
    answers.emplace_back();
    answers.back().token = request.token;
  }
  void announce(std::shared_ptr<const queue::LiveBatch>) override {}
  void discard(uint64_t) override {}
  void forget(uint64_t) override {}
  uint64_t waiting_recipients() const override { return 0; }
  bool accepting(std::string&) const override { return true; }
  uint64_t last_order() const override { return 0; }
  int64_t wall_ns() const override { return 1'782'898'205'000'000'000; }
  int64_t mono_ns() const override { return 0; }
  std::vector<AppendAnswer> answers;
};
struct Listener : UploadListener {
  void on_answer(const Answer& answer) override { status = answer.status; }
  void on_resume() override {}
  int status = 0;
};

// The whole of intake: SHA-256, parsing, extents, commit.
void upload(benchmark::State& state) {
  const std::string body = body_of(kRecipients, false);
  for (auto _ : state) {
    FastPort port;
    Intake intake(port, {});
    Listener listener;
    const std::shared_ptr<Upload> one = intake.begin_upload(listener);
    const auto answer = [&] {
      while (!port.answers.empty()) {
        for (const AppendAnswer& each : std::exchange(port.answers, {})) intake.on_answer(each);
      }
    };
    for (size_t at = 0; at < body.size(); at += 65536) {
      one->feed(std::string_view(body).substr(at, 65536));
      answer();
    }
    one->finish();
    answer();
    if (listener.status != 200) state.SkipWithError("not accepted");
  }
  state.SetItemsProcessed(state.iterations() * kRecipients);
}
BENCHMARK(upload);

void write_json_line(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    JsonWriter json(out);
    json.begin_object()
        .field("v", 1)
        .field("type", "delivered")
        .field("batch", "spring-7")
        .field("index", 123456);
    json.field("to", "ada@example.org").time_field("time", 1'782'898'205'125'000'000);
    json.key("response")
        .begin_object()
        .field("code", 250)
        .field("text", "2.0.0 Ok: queued as 4F2C1")
        .end_object();
    json.end_object().newline();
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(write_json_line);

}  // namespace
}  // namespace veredus::intake

BENCHMARK_MAIN();
