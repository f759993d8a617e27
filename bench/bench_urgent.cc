// How long urgent mail waits behind a bulk batch at a site at its limit. Whole engines
// (bench/whole_engine.h) in simulated time, in which the engine itself costs a microsecond a turn:
// what is measured is the order of things, not the processor.
//
// One recipient in a hundred of a bulk batch of 10 million is urgent (priority 100) and has a time
// of its own, anywhere in the time that is simulated: so urgent mail is one part in a hundred of
// what the site takes. Round trips take 0.1 to 20 ms.
//
// For each urgent recipient: from when it was due to its MAIL (`waited`), and of that what came
// after the first session or token that was free for it (`late`): from the first reply to an end of
// data, or, if that was sooner, from the first MAIL to anybody, that came when it was due. Where a
// rate is the limit sessions are free all the time: there only the first MAIL to anybody counts.
//
// Then others are fed one by one, as often, each in a batch of its own, and count from their
// acknowledgement. Those of the batch go on beside. Who comes while another urgent one is ahead of
// him is late by that, too.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/whole_engine.h"
#include "engine/mail/date.h"

namespace veredus::bench {
namespace {

constexpr int64_t kSecond = WholeEngine::kSecond;

constexpr char kUsage[] = R"(bench_urgent: urgent mail behind millions, at a site at its limit.

  --recipients N  in bulk, with the urgent ones (10000000)
  --seconds S     simulated, for the urgent ones of the batch (100)
  --fed N         urgent ones that are fed one by one (1000)
  --connections C at the site (20)      --rate R   messages per second there; 0: no limit (0)
  --shards N      (1)                   --priority P  of the urgent ones (100)
)";

struct Settings {
  uint32_t recipients = 10'000'000, seconds = 100, fed = 1000, connections = 20, rate = 0;
  uint32_t shards = 1, priority = 100;
};

bool read(int argc, char** argv, Settings& s) {
  return read_options(argc, argv,
                      {{"--recipients", &s.recipients},
                       {"--seconds", &s.seconds},
                       {"--fed", &s.fed},
                       {"--connections", &s.connections},
                       {"--rate", &s.rate},
                       {"--shards", &s.shards},
                       {"--priority", &s.priority}}) &&
         s.seconds > 0 && s.shards > 0;
}

class Measured {
 public:
  explicit Measured(const Settings& settings) : settings_(settings), engine_(options()) {
    engine_.on_recipient([this](std::string_view address) {
      mails_.push_back(engine_.clock.mono);
      if (address[0] != watched_) return;
      uint32_t number = 0;
      std::from_chars(address.data() + 1, address.data() + address.size(), number);
      urgent_[number].mail_ns = engine_.clock.mono;
    });
    if (settings.rate == 0)
      engine_.on_heard = [this](int64_t mono_ns) { freed_.push_back(mono_ns); };
  }

  void run() {
    feed();
    mails_.clear();
    freed_.clear();
    const int64_t begun_ns = engine_.clock.mono;
    // A while longer, so that the last ones can come.
    engine_.run_for(begin_ns_ + (settings_.seconds + 1) * kSecond - engine_.clock.mono);
    told("of the batch", begun_ns);
    feed_one_by_one();
  }

 private:
  struct Urgent {
    int64_t due_ns = 0;
    int64_t mail_ns = 0;  // 0: not yet
  };

  WholeEngine::Options options() const {
    WholeEngine::Options options;
    options.shards = settings_.shards;
    options.change = [this](EngineSettings& settings, sim::Faults& faults) {
      settings.connections_per_site = settings_.connections;
      faults.latency_max_ns = 10'000'000;  // each way
      settings.fallback_limits.rates[static_cast<size_t>(Resource::message_rate)] = {settings_.rate,
                                                                                     kSecond};
    };
    return options;
  }

  // That the site takes, about.
  double mails_per_second() const {
    return settings_.rate != 0 ? settings_.rate : settings_.connections * 1000.0 / 12.6;
  }

  // Urgent ones begin to be due when all has been fed.
  void feed() {
    constexpr uint32_t kBatch = 1'000'000;
    io::Random random(1);
    // Feeding takes simulated time, too: about so much.
    begin_ns_ = engine_.clock.mono + kSecond + settings_.recipients * int64_t{20'000};
    // Those who would be due later are never seen: their times are spread over all that the batch
    // would take.
    const uint32_t urgent = settings_.recipients / 100;
    const int64_t all_ns = static_cast<int64_t>(settings_.recipients / mails_per_second() *
                                                static_cast<double>(kSecond));
    urgent_.reserve(urgent + settings_.fed);
    std::string line;
    for (uint32_t first = 0; first < settings_.recipients; first += kBatch) {
      engine_.feed(
          "big" + std::to_string(first), "big", std::min(kBatch, settings_.recipients - first),
          [&](uint32_t i) {
            if (i % 100 != 50) return "\"to\":\"b" + std::to_string(first + i) + "@d0.sim\"";
            const int64_t due =
                begin_ns_ + static_cast<int64_t>(random.below(static_cast<uint64_t>(all_ns)));
            // As it is written: in milliseconds.
            const int64_t wall =
                (due + engine_.clock.wall_minus_mono) / WholeEngine::kMs * WholeEngine::kMs;
            line = "\"to\":\"u" + std::to_string(urgent_.size()) +
                   "@d0.sim\",\"priority\":" + std::to_string(settings_.priority) +
                   ",\"not_before\":\"";
            mail::append_rfc3339(wall, line);
            urgent_.push_back({wall - engine_.clock.wall_minus_mono, 0});
            return line + "\"";
          });
    }
    std::fprintf(stderr, "%lu recipients wait, %.1f s before the first urgent one is due\n",
                 engine_.waiting(), static_cast<double>(begin_ns_ - engine_.clock.mono) * 1e-9);
    if (begin_ns_ < engine_.clock.mono) WholeEngine::die("feeding took longer than was thought");
    engine_.run_for(begin_ns_ - engine_.clock.mono);
  }

  void feed_one_by_one() {
    io::Random random(2);
    const int64_t between_ns =
        static_cast<int64_t>(2 * 100 * static_cast<double>(kSecond) / mails_per_second());
    mails_.clear();
    freed_.clear();
    urgent_.clear();
    watched_ = 's';  // those of the batch go on
    const int64_t begun_ns = engine_.clock.mono;
    for (uint32_t i = 0; i < settings_.fed; ++i) {
      engine_.run_for(static_cast<int64_t>(random.below(static_cast<uint64_t>(between_ns))));
      urgent_.push_back({INT64_MAX, 0});
      const std::string to = "\"to\":\"s" + std::to_string(i) +
                             "@d0.sim\",\"priority\":" + std::to_string(settings_.priority);
      engine_.feed("urgent" + std::to_string(i), "big", 1, [&](uint32_t) { return to; });
      urgent_.back().due_ns = engine_.clock.mono;
    }
    engine_.run_for(kSecond);
    told("fed singly", begun_ns);
  }

  void told(const char* which, int64_t begun_ns) {
    std::sort(freed_.begin(), freed_.end());
    std::vector<double> waited, late;
    uint64_t missing = 0;
    const int64_t now = engine_.clock.mono;
    for (const Urgent& each : urgent_) {
      if (each.mail_ns == 0) {
        missing += each.due_ns < now - kSecond;
        continue;
      }
      // Before its acknowledgement came.
      if (each.mail_ns < each.due_ns) {
        waited.push_back(0);
        late.push_back(0);
        continue;
      }
      int64_t free_ns = *std::lower_bound(mails_.begin(), mails_.end(), each.due_ns);
      const auto freed = std::lower_bound(freed_.begin(), freed_.end(), each.due_ns);
      if (freed != freed_.end()) free_ns = std::min(free_ns, *freed);
      waited.push_back(static_cast<double>(each.mail_ns - each.due_ns) * 1e-6);
      late.push_back(static_cast<double>(each.mail_ns - free_ns) * 1e-6);
    }
    std::printf("%s: %zu urgent of %zu mails (%.0f/s), %lu not sent within a second\n", which,
                waited.size(), mails_.size(),
                static_cast<double>(mails_.size()) / static_cast<double>(now - begun_ns) * 1e9,
                missing);
    for (const auto& [name, values] : {std::pair("waited", &waited), std::pair("late", &late)})
      std::printf("  %-6s p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", name, quantile(*values, 0.5),
                  quantile(*values, 0.99), quantile(*values, 1));
    std::fflush(stdout);
  }

  const Settings settings_;
  WholeEngine engine_;
  int64_t begin_ns_ = 0;
  std::vector<Urgent> urgent_;
  char watched_ = 'u';  // first letter of their addresses, behind which stands the place in urgent_
  std::vector<int64_t> mails_, freed_;  // when; ascending
};

}  // namespace
}  // namespace veredus::bench

int main(int argc, char** argv) {
  veredus::bench::Settings settings;
  if (!veredus::bench::read(argc, argv, settings)) {
    std::fputs(veredus::bench::kUsage, stderr);
    return 64;
  }
  veredus::bench::Measured(settings).run();
  return 0;
}
