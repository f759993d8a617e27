#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/intake/admission_gate.h"
#include "engine/intake/findings_tally.h"
#include "engine/mail/admission.h"
#include "tests/mail/dkim_test_keys.h"

// What the admission check costs a recipient: of a message of his own (BM_Check, the check alone),
// of a share in the batch's message, and where the address of From is his own. It must be 1 µs at
// most, in CPU time.

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

// 10 KiB of text and HTML, in UTF-8.
std::string utf8_parts() {
  std::string text = message_of("The News <news@mail.news.example>", 0);
  constexpr std::string_view kType = "Content-Type: text/html; charset=utf-8\r\n";
  const std::string boundary = "=_0f3a9b2c77d14e58a6b1c0d2e4f60718_a";
  text.replace(text.find(kType), kType.size(),
               "Content-Type: multipart/alternative; boundary=\"" + boundary +
                   "\"\r\nContent-Transfer-Encoding: 8bit\r\n");
  for (const std::string_view type : {"plain", "html"}) {
    text += "--" + boundary + "\r\nContent-Type: text/" + std::string(type) +
            "; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    for (int line = 0; line < 85; ++line)
      text += "eine Zeile für jene, die sechzig Bytes lang ist - wie üblich\r\n";
  }
  return text + "--" + boundary + "--\r\n";
}

// The check alone, of a message that has been normalised.
void BM_Check(benchmark::State& state, const std::string& text) {
  const queue::Batch batch;
  const mail::BatchSigners signers(&identities(), batch);
  mail::Normalised normalised;
  mail::ContentError fault;
  if (!mail::normalise(text, false, normalised, fault)) return state.SkipWithError("no message");
  mail::AdmissionFacts facts;
  facts.eight_bit = (normalised.flags & queue::kContentEightBit) != 0;
  facts.signers = &signers;
  mail::Admission admission;
  for (auto _ : state) {
    const mail::AdmissionReport& report = admission.check(normalised.bytes, facts);
    if (!report.found.empty()) state.SkipWithError("it is no good message");
  }
}
BENCHMARK_CAPTURE(BM_Check, 2KiB, message_of("The News <news@mail.news.example>", 2 << 10));
BENCHMARK_CAPTURE(BM_Check, 10KiB_utf8_parts, utf8_parts());
BENCHMARK_CAPTURE(BM_Check, 64KiB, message_of("The News <news@mail.news.example>", 64 << 10));

// Of 1,000 recipients who share the batch's message: a check, and what is counted for each.
void BM_SharedMessage(benchmark::State& state) {
  constexpr int kRecipients = 1000;
  const AdmissionSettings settings = settings_of(AdmissionMode::warn);
  const std::string text = message_of("The News <news@other.example>", 10 << 10);
  const queue::Batch batch;
  AdmissionGate gate(settings, &identities(), "sender");
  gate.begin(batch);
  mail::Normalised normalised;
  mail::ContentError fault;
  while (state.KeepRunningBatch(kRecipients)) {
    if (!gate.normalise(text, false, mail::ContentOrigin::fed, normalised, fault))
      return state.SkipWithError("no message");
    FindingsTally tally;
    tally.add_batch(gate.findings());
    for (int i = 0; i < kRecipients; ++i) {
      benchmark::DoNotOptimize(gate.varies());
      tally.add_sharer();
    }
    std::string answer;
    JsonWriter json(answer);
    json.begin_object();
    tally.append(json);
    benchmark::DoNotOptimize(answer.data());
  }
}
BENCHMARK(BM_SharedMessage);

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
