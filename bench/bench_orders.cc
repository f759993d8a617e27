// What an operator's order costs a shard where millions wait: a tenant with 5 million recipients is
// suspended, resumed, cancelled. Whole engines (bench/whole_engine.h); simulated time goes on by
// what each turn took of the processor, or to when the next thing happens.
//
// Half of the tenant's recipients are due and stand before sites at their limits, the other half
// wait for a time to come. Another tenant's mail flows beside it.
//
// Told for each step: when the last MAIL for the tenant went out after the order (suspend, cancel),
// or the first MAIL or connection, and the first MAIL at every site (resume), which comes a few of
// the wires' times later where connections were closed meanwhile; when the order was durable; when
// it was done (cancel); and the CPU time of the turns meanwhile,
// and while all was fed.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/whole_engine.h"

namespace veredus::bench {
namespace {

constexpr int64_t kSecond = WholeEngine::kSecond;

constexpr char kUsage[] =
    R"(bench_orders: suspend, resume and cancel a tenant of whom millions wait.

  --recipients N  of the tenant (5000000)     --sites S        that all of it goes to (1000)
  --shards N      (1)                         --domains D      (1000)
  --connections C at each site (2)            --waiting SHARE  per cent that wait for a time (50)
)";

struct Settings {
  uint32_t recipients = 5'000'000, sites = 1000, domains = 1000, connections = 2, waiting = 50;
  uint32_t shards = 1;
};

bool read(int argc, char** argv, Settings& s) {
  return read_options(argc, argv,
                      {{"--recipients", &s.recipients},
                       {"--sites", &s.sites},
                       {"--domains", &s.domains},
                       {"--connections", &s.connections},
                       {"--waiting", &s.waiting},
                       {"--shards", &s.shards}}) &&
         s.sites > 0 && s.sites <= s.domains && s.shards > 0;
}

class Measured {
 public:
  explicit Measured(const Settings& settings) : settings_(settings), engine_(options()) {
    seen_at_.resize(settings.sites);
    engine_.on_recipient([this](std::string_view address) {
      if (address[0] != 'b') {
        ++others_;
        return;
      }
      ++sent_;
      last_ns_ = engine_.clock.mono;
      if (first_ns_ == 0) first_ns_ = last_ns_;
      const size_t at = address.find('@') + 2;
      uint32_t domain = 0;
      std::from_chars(address.data() + at, address.data() + address.size(), domain);
      int64_t& seen = seen_at_[domain % settings_.sites];
      if (seen == 0) {
        seen = last_ns_;
        ++sites_seen_;
      }
    });
  }

  void run() {
    feed();
    begin("flowing");
    engine_.run_for(3 * kSecond);
    end();

    queue::Order order;
    order.given_wall_ns = engine_.clock.wall_ns();
    order.filter.tenant = "big";
    order.last_batch = queue::kEveryBatch;
    begin("suspend");
    order = engine_.give(order);
    engine_.run_until([&] { return engine_.order_is_durable(); }, 10 * kSecond);
    durable_ns_ = engine_.clock.mono - begun_ns_;
    engine_.run_for(10 * kSecond);
    end();
    begin("suspended");
    engine_.run_for(5 * kSecond);
    end();
    if (sent_ > 0) WholeEngine::die("mail of the suspended tenant went out");

    order.state = queue::Order::State::lifted;
    order.ended_wall_ns = engine_.clock.wall_ns();
    begin("resume");
    engine_.give(order);
    engine_.run_until([&] { return engine_.order_is_durable(); }, 10 * kSecond);
    durable_ns_ = engine_.clock.mono - begun_ns_;
    const uint64_t before = engine_.internet.connections;
    engine_.run_until([&] { return first_ns_ != 0 || engine_.internet.connections != before; },
                      10 * kSecond);
    moved_ns_ = engine_.clock.mono - begun_ns_;
    engine_.run_until([&] { return sites_seen_ == settings_.sites; }, 10 * kSecond);
    engine_.run_for(5 * kSecond);
    end();

    queue::Order cancel;
    cancel.kind = queue::Order::Kind::cancel;
    cancel.given_wall_ns = engine_.clock.wall_ns();
    cancel.filter.tenant = "big";
    cancel.last_batch = engine_.intake().highest_number();
    begin("cancel");
    engine_.give(cancel);
    engine_.run_until([&] { return engine_.order_is_durable(); }, 10 * kSecond);
    durable_ns_ = engine_.clock.mono - begun_ns_;
    if (!engine_.run_until([&] { return engine_.core().orders().empty(); }, 600 * kSecond))
      WholeEngine::die("the order is not done after ten minutes");
    done_ns_ = engine_.clock.mono - begun_ns_;
    engine_.run_for(5 * kSecond);
    end();
  }

 private:
  WholeEngine::Options options() const {
    WholeEngine::Options options;
    options.shards = settings_.shards;
    options.sites = settings_.sites;
    options.time_follows_processor = true;
    options.change = [this](EngineSettings& settings, sim::Faults& faults) {
      settings.connections_per_site = settings_.connections;
      faults.latency_max_ns = 400'000'000;
    };
    return options;
  }

  void feed() {
    constexpr uint32_t kBatch = 1'000'000;
    const auto line_of = [this](const char* who, uint32_t number) {
      return "\"to\":\"" + std::string(who) + std::to_string(number) + "@d" +
             std::to_string(number % settings_.domains) + ".sim\"";
    };
    begin("feeding");
    engine_.feed("others", "others", std::min(kBatch, settings_.domains * 200),
                 [&](uint32_t i) { return line_of("o", i); });
    for (uint32_t first = 0; first < settings_.recipients; first += kBatch) {
      engine_.feed("big" + std::to_string(first), "big",
                   std::min(kBatch, settings_.recipients - first), [&](uint32_t i) {
                     const uint32_t number = first + i;
                     // Neighbours and domains alike are of both halves.
                     const bool waits = number / settings_.domains * 37 % 100 < settings_.waiting;
                     return line_of("b", number) + (waits ? ",\"not_before\":\"1h\"" : "");
                   });
    }
    end();
    std::fprintf(stderr, "%lu recipients wait\n", engine_.waiting());
    // Until all have been looked at, and all domains have routes.
    engine_.run_until([&] { return sites_seen_ == settings_.sites; }, 600 * kSecond);
    engine_.run_for(5 * kSecond);
  }

  void begin(const char* step) {
    step_ = step;
    begun_ns_ = engine_.clock.mono;
    sent_ = others_ = 0;
    first_ns_ = last_ns_ = 0;
    durable_ns_ = done_ns_ = moved_ns_ = -1;
    sites_seen_ = 0;
    std::fill(seen_at_.begin(), seen_at_.end(), 0);
    engine_.turns_ns.clear();
  }
  void end() {
    std::vector<int64_t>& turns = engine_.turns_ns;
    const auto ms = [](int64_t ns) { return static_cast<double>(ns) * 1e-6; };
    const size_t count = turns.size();
    const size_t over = static_cast<size_t>(
        std::count_if(turns.begin(), turns.end(), [](int64_t ns) { return ns > 5'000'000; }));
    int64_t sum = 0;
    for (const int64_t ns : turns) sum += ns;
    std::printf(
        "%-10s turns %7zu: median %.3f ms, p99.9 %.3f ms, max %.3f ms, %zu over 5 ms, sum "
        "%.0f ms; %lu sent of it, %lu of others\n",
        step_, count, ms(quantile(turns, 0.5)), ms(quantile(turns, 0.999)), ms(quantile(turns, 1)),
        over, ms(sum), sent_, others_);
    if (durable_ns_ >= 0) std::printf("%-10s durable after %.1f ms\n", "", ms(durable_ns_));
    if (moved_ns_ >= 0)
      std::printf("%-10s first MAIL or connection after %.1f ms\n", "", ms(moved_ns_));
    if (first_ns_ != 0) {
      std::printf("%-10s first MAIL after %.1f ms, last after %.1f ms", "",
                  ms(first_ns_ - begun_ns_), ms(last_ns_ - begun_ns_));
      if (sites_seen_ == settings_.sites)
        std::printf(", at every site after %.1f ms",
                    ms(*std::max_element(seen_at_.begin(), seen_at_.end()) - begun_ns_));
      std::printf("\n");
    }
    if (done_ns_ >= 0) std::printf("%-10s done after %.1f ms\n", "", ms(done_ns_));
    std::fflush(stdout);
  }

  const Settings settings_;
  WholeEngine engine_;
  const char* step_ = "";
  int64_t begun_ns_ = 0, durable_ns_ = -1, done_ns_ = -1, moved_ns_ = -1, first_ns_ = 0,
          last_ns_ = 0;
  uint64_t sent_ = 0, others_ = 0;
  std::vector<int64_t> seen_at_;  // by site: first MAIL of the tenant
  uint32_t sites_seen_ = 0;
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
