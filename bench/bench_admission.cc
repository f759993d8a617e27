#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/intake/admission_gate.h"
#include "engine/mail/admission.h"
#include "tests/mail/dkim_test_keys.h"

// What the admission check costs: of a batch's message once, of each message that a recipient
// carries, and of each recipient where the address of From is his own.

namespace veredus::intake {
namespace {

std::string message_of(std::string_view from, size_t body_bytes) {
  std::string text = "From: ";
  text += from;
  text +=
      "\r\nTo: Ada Lovelace <ada.lovelace@example.org>\r\nSubject: What is new in spring\r\n"
      "Date: Tue, 24 Nov 2026 00:28:29 +0000\r\nMessage-ID: <20261124.1.2@news.example>\r\n"
      "Reply-To: \"The News\" <reply@news.example>\r\n"
      "List-Unsubscribe: <mailto:u@news.example?subject=1>, <https://news.example/u/1>\r\n"
      "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: "
      "spring:acme:news:sender\r\n"
      "X-Campaign: spring\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n";
  while (text.size() < body_bytes)
    text += "a line of the body, about sixty bytes long, as they are\r\n";
  return text;
}

const mail::DkimIdentities& identities() {
  static const auto made = [] {
    mail::DkimIdentity identity;
    identity.name = "news";
    identity.domain = "news.example";
    identity.selector = "s1";
    identity.key = mail::testing::ed25519_key();
    std::vector<mail::DkimIdentity> all = {std::move(identity)};
    return *mail::DkimIdentities::make(std::move(all));
  }();
  return made;
}

AdmissionSettings settings_of(AdmissionMode mode) {
  AdmissionSettings settings;
  settings.each.mode = mode;
  return settings;
}

// A message through the door, without the check (0) and with it (1): the difference is the check.
void message(benchmark::State& state, size_t bytes) {
  const auto mode = state.range(0) == 0 ? AdmissionMode::off : AdmissionMode::warn;
  const AdmissionSettings settings = settings_of(mode);
  const std::string text = message_of("The News <news@mail.news.example>", bytes);
  const queue::Batch batch;
  AdmissionGate gate(settings, &identities(), "sender");
  gate.begin(batch);
  mail::Normalised normalised;
  mail::ContentError fault;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        gate.normalise(text, false, mail::ContentOrigin::fed, normalised, fault));
    if (!gate.findings().found.empty()) state.SkipWithError("it is no good message");
  }
}
void BM_Message2KiB(benchmark::State& state) {
  message(state, 2 << 10);
}
BENCHMARK(BM_Message2KiB)->Arg(0)->Arg(1);
void BM_Message64KiB(benchmark::State& state) {
  message(state, 64 << 10);
}
BENCHMARK(BM_Message64KiB)->Arg(0)->Arg(1);

// A recipient whose From is his own: domains of one brand in a row, or another one each time.
void BM_VaryingAuthor(benchmark::State& state) {
  const AdmissionSettings settings = settings_of(AdmissionMode::warn);
  const queue::Batch batch;
  AdmissionGate gate(settings, &identities(), "sender");
  gate.begin(batch);
  mail::Normalised normalised;
  mail::ContentError fault;
  const std::string text = message_of("The News <{{from}}>", 2 << 10);
  if (!gate.normalise(text, true, mail::ContentOrigin::fed, normalised, fault) || !gate.varies())
    return state.SkipWithError("the author does not vary");
  std::vector<std::string> authors;
  for (int i = 0; i < state.range(0); ++i)
    authors.push_back("news@brand" + std::to_string(i) + ".news.example");
  queue::Entry entry;
  entry.to = "ada@example.org";
  size_t next = 0;
  for (auto _ : state) {
    entry.vars.assign(1, {"from", authors[next++ % authors.size()]});
    benchmark::DoNotOptimize(gate.check_recipient(entry).found);
  }
}
BENCHMARK(BM_VaryingAuthor)->Arg(1)->Arg(100);

}  // namespace
}  // namespace veredus::intake

BENCHMARK_MAIN();
