#include <string>

#include <benchmark/benchmark.h>

#include "engine/mail/address.h"
#include "engine/mail/content.h"
#include "engine/mail/template.h"

namespace veredus::mail {
namespace {

std::string message_of(size_t bytes, const std::string& slots) {
  std::string text =
      "From: news@news.example\r\nTo: {{to}}\r\nSubject: Hello\r\nDate: x\r\nMessage-ID: "
      "<x@y>\r\n\r\n";
  if (slots.empty()) text.replace(text.find("{{to}}"), 6, "you@x.y");
  text += slots;
  while (text.size() + 72 < bytes) text += std::string(70, 'x') + "\r\n";
  return text;
}

void check_address_typical(benchmark::State& state) {
  const std::string address = "ada.lovelace+news@mail.example.org";
  Address parts;
  for (auto _ : state) {
    benchmark::DoNotOptimize(address.data());
    benchmark::DoNotOptimize(check_address(address, parts));
  }
}
BENCHMARK(check_address_typical);

void normalise_clean(benchmark::State& state) {
  const std::string message = message_of(static_cast<size_t>(state.range(0)), "");
  Normalised out;
  ContentError error;
  for (auto _ : state) benchmark::DoNotOptimize(normalise(message, false, out, error));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * message.size()));
}
BENCHMARK(normalise_clean)->Arg(2048)->Arg(102400);

void render(benchmark::State& state, size_t bytes, const std::string& slots, bool trace) {
  const std::string message = message_of(bytes, slots);
  const uint8_t flags = slots.empty() ? 0 : queue::kContentMerge;
  const absl::StatusOr<Template> compiled = Template::compile(message, flags);
  RenderSettings settings;
  settings.hostname = "mx1.news.example";
  settings.trace = trace;
  Renderer renderer(settings);
  queue::Batch batch;
  batch.number = 3;
  batch.sender = "bounce@news.example";
  batch.accepted_wall_ns = 1'782'898'205'000'000'000;
  queue::Entry entry;
  entry.to = "ada@example.org";
  for (int i = 0; i < 10; ++i) entry.vars.emplace_back("v", "value");
  entry.vars.back().first = "first";
  std::string reverse_path, scratch;
  Rendered out;
  RenderRequest request;
  request.batch = &batch;
  request.entry = &entry;
  for (auto _ : state) {
    ++entry.index;
    benchmark::DoNotOptimize(renderer.render(&*compiled, request, reverse_path, scratch, out).ok());
  }
}
BENCHMARK_CAPTURE(render, 2k_one_slot, 2048, std::string("."), false);
BENCHMARK_CAPTURE(render, 2k_one_slot_trace, 2048, std::string("."), true);
BENCHMARK_CAPTURE(render, 2k_no_slot_trace, 2048, std::string(), true);
BENCHMARK_CAPTURE(render, 10k_ten_slots, 10240,
                  std::string("{{first}} {{first}} {{first}} {{first}} {{first}} {{first}} "
                              "{{first}} {{first}} {{index}}\r\n"),
                  true);

// A newsletter in HTML, 10 KiB, with ten variables, as its door checks it and as it is rendered.
struct Newsletter {
  Newsletter() {
    message =
        "From: News <news@news.example>\r\nTo: {{name}} <{{to}}>\r\n"
        "Subject: {{first}}, your offers for {{month}}\r\nDate: x\r\nMessage-ID: <x@y>\r\n"
        "List-Unsubscribe: <https://news.example/u?t={{token}}>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>Dear {{first}} "
        "{{last}},</p>\r\n";
    const std::string slots[] = {"<p>{{city}}, {{plan}}</p>\r\n", "<b>{{points}}</b>\r\n"};
    for (size_t i = 0; message.size() + 120 < 10240; ++i) {
      if (i % 50 == 20) message += slots[i / 50 % 2];
      message += "<td style=\"padding:0\">" + std::string(50, 'x') + "</td>\r\n";
    }
    message += "<a href=\"https://news.example/u?t={{token}}\">out</a></body></html>\r\n";
    batch.number = 3;
    batch.sender = "bounce@news.example";
    batch.accepted_wall_ns = 1'782'898'205'000'000'000;
    entry.to = "ada@example.org";
    entry.name = "Ada Lovelace";
    entry.vars = {{"first", "Ada"},     {"last", "Lovelace & Sons"}, {"city", "London"},
                  {"plan", "premium"},  {"points", "12,345"},        {"token", "0123456789abcdef"},
                  {"month", "December"}};
  }
  std::string message;
  queue::Batch batch;
  queue::Entry entry;
};

void render_newsletter(benchmark::State& state, bool dot_stuffed) {
  Newsletter news;
  const absl::StatusOr<Template> compiled = Template::compile(news.message, queue::kContentMerge);
  RenderSettings settings;
  Renderer renderer(settings);
  std::string reverse_path, scratch;
  Rendered out;
  RenderRequest request;
  request.batch = &news.batch;
  request.entry = &news.entry;
  request.dot_stuffed = dot_stuffed;
  for (auto _ : state) {
    ++news.entry.index;
    benchmark::DoNotOptimize(renderer.render(&*compiled, request, reverse_path, scratch, out).ok());
  }
  state.counters["slots"] = static_cast<double>(compiled->slots().size());
  state.counters["bytes"] = static_cast<double>(out.size);
  state.counters["copied"] = static_cast<double>(scratch.size());
}
BENCHMARK_CAPTURE(render_newsletter, bdat, false);
BENCHMARK_CAPTURE(render_newsletter, data, true);

void check_newsletter(benchmark::State& state) {
  Newsletter news;
  const absl::StatusOr<Template> compiled =
      Template::compile_for_check(news.message, queue::kContentMerge);
  Refusal refusal;
  for (auto _ : state) {
    ++news.entry.index;
    benchmark::DoNotOptimize(compiled->check(news.batch, news.entry, refusal));
  }
}
BENCHMARK(check_newsletter);

void compile_newsletter(benchmark::State& state) {
  Newsletter news;
  for (auto _ : state)
    benchmark::DoNotOptimize(Template::compile(news.message, queue::kContentMerge).ok());
}
BENCHMARK(compile_newsletter);

}  // namespace
}  // namespace veredus::mail

BENCHMARK_MAIN();
