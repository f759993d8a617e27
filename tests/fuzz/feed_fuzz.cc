#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/intake/feed_parser.h"
#include "engine/intake/json_check.h"
#include "engine/mail/idn.h"

namespace {

using namespace veredus;

struct Ledger : intake::FeedHandler {
  Key on_key(std::string_view, std::string_view, intake::FeedError&) override {
    return Key::proceed;
  }
  int64_t wall_ns() override { return 1'782'898'205'000'000'000; }
  bool on_batch(const queue::Batch& batch, std::string content, intake::FeedError&) override {
    log += batch.name + "\n" + content;
    return true;
  }
  bool on_recipient(const queue::Entry& entry, intake::FeedError&) override {
    for (const char c : entry.to) {
      if (c == '\r' || c == '\n' || c == '\0') abort();
    }
    if (mail::has_high(entry.to.substr(entry.to.rfind('@')))) abort();
    log.append(entry.to)
        .append("|")
        .append(entry.message)
        .append("|")
        .append(entry.meta_json)
        .append("\n");
    return true;
  }
  void on_refused(uint64_t line, std::string_view to, std::string_view status,
                  std::string_view) override {
    log.append(std::to_string(line)).append(to).append(status).append("\n");
  }
  std::string log;
};

std::string play(const intake::FeedSettings& settings, std::string_view body, size_t cut) {
  Ledger ledger;
  intake::FeedParser parser(settings, ledger);
  parser.feed(std::string(body.substr(0, cut)));
  parser.feed(std::string(body.substr(cut)));
  const bool good = parser.finish();
  if (!good && (parser.error().reason.empty() || parser.error().http < 400)) abort();
  return ledger.log + (good ? "good" : parser.error().reason + std::to_string(parser.error().byte));
}

}  // namespace

// The first byte says where the body is cut: it must not matter. What is taken for good is JSON,
// line by line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const intake::FeedSettings settings;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = rest.size() * data[0] / 255;
  for (const std::string& body :
       {std::string(rest),
        R"({"batch":"b","sender":"a@b.c","message":{"from":"a@b.c","html":"<p>{{id|x}}"}})"
        "\n" +
            std::string(rest),
        R"({"batch":"b","sender":"a@b.c"})"
        "\n"
        R"({"to":"a@b.c","message":{"from":"a@b.c",)" +
            std::string(rest),
        R"({"batch":"b","sender":"a@b.c","merge":true,"message":{"raw":"A: b\n\n{{id|x}}"}})"
        "\n" +
            std::string(rest)}) {
    const std::string whole = play(settings, body, body.size());
    if (whole != play(settings, body, cut)) abort();
    if (!whole.ends_with("good")) continue;
    for (size_t at = 0; at < body.size();) {
      const size_t end = std::min(body.find('\n', at), body.size());
      const std::string_view line = std::string_view(body).substr(at, end - at);
      const bool blank = line.find_first_not_of(" \t\r") == std::string_view::npos;
      if (!blank && !intake::find_json_fault(line, settings.limits.nesting_max).reason.empty())
        abort();
      at = end + 1;
    }
  }
  return 0;
}
