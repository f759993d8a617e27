// What a home does for each recipient whose time has come, against the least that could: a bare
// timing wheel of the same records. All wait for about an hour, come up in random order, are sent
// to, are put off by the site, and wait again.
//
//   bare_wheel  one array of lists, a tick each, so long that nothing is ever looked at in vain;
//               records of the same 28 bytes, in order within a tick
//   due_wheel   queue/due_wheel.h over queue/record_table.h, whose records lie on huge pages
//   home        engine/home.h, driven as a shard drives it: due → line of its domain → ticket in
//               the shard's queue; and from the returned message to the outcome, gathered for the
//               journal, and into the wheel again
//
// Each computes the next delay by the same retry policy and random numbers. Time is simulated in
// turns of 100 ms. The first hour is not counted: it shuffles the lists, which are filled in the
// order of the records.
//
// Counted of a home: run_due(), dispatch(), returned(), as CPU time of the thread. Not counted: the
// lane's part (it takes the tickets out of the queue and makes the message), and the journal's
// (checkpoints, groups, checksums), on a disk that does nothing; both are shown beside (`lane`,
// `journal`). `outcomes` is what gathering these outcomes for the journal costs alone: it is within
// `home`, and no wheel does it.
//
// All figures are CPU nanoseconds for each recipient that came up.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <time.h>

#include "absl/status/statusor.h"
#include "engine/exchange.h"
#include "engine/home.h"
#include "engine/policy.h"
#include "queue/extent.h"
#include "queue/outcome.h"
#include "tests/queue/null_disk.h"

namespace veredus {
namespace {

using queue::kNoSlot;
using queue::Record;

constexpr int64_t kTurnNs = 100'000'000;
constexpr int64_t kRoundNs = queue::kHourNs;  // in which everybody comes up, about once
constexpr uint32_t kFirstTicks = static_cast<uint32_t>(kRoundNs / queue::kTickNs);

queue::RetryPolicy retry_policy() {
  queue::RetryPolicy policy;
  policy.initial_ns = policy.cap_ns = kRoundNs;
  policy.factor = 1;
  policy.jitter = 0.5;
  policy.max_age_ns = 30 * queue::kDayNs;
  return policy;
}

// The tick at which a record is due first: 1 … kFirstTicks, as good as random.
uint32_t first_due(uint32_t record) {
  uint64_t z = record * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 31)) * 0xbf58476d1ce4e5b9u;
  return 1 + static_cast<uint32_t>((z ^ (z >> 29)) % kFirstTicks);
}

// Where the thread's CPU time goes.
class Watch {
 public:
  Watch() : last_(now()) {}
  // Nanoseconds since the last call.
  int64_t lap() {
    const int64_t before = std::exchange(last_, now());
    return last_ - before;
  }

 private:
  static int64_t now() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  }
  int64_t last_;
};

// CPU nanoseconds, of so many that came up.
struct Spent {
  uint64_t count = 0;
  int64_t due = 0, dispatch = 0, returned = 0;
  int64_t lane = 0, journal = 0;  // beside
  double each(int64_t ns) const { return static_cast<double>(ns) / static_cast<double>(count); }
  int64_t counted() const { return due + dispatch + returned; }
};

// -------------------------------------------------------------------------------------------------
// bare_wheel

class BareWheel {
 public:
  explicit BareWheel(uint32_t records) : records_(records), slots_(kSlots) {
    for (uint32_t i = 0; i < records; ++i) {
      records_[i].due = first_due(i);
      schedule(i);
    }
  }
  Spent run(int64_t for_ns) {
    Spent spent;
    Watch watch;
    for (const int64_t end = now_ns_ + for_ns; now_ns_ < end;) {
      now_ns_ += kTurnNs;
      for (const uint32_t last = queue::tick_at(now_ns_); tick_ != last;) {
        ++tick_;
        // Nothing goes back to where it comes from: no delay is that long, or that short.
        List due = std::exchange(slots_[tick_ % kSlots], List());
        while (due.head != kNoSlot) {
          const uint32_t at = due.head;
          Record& record = records_[at];
          due.head = record.next;
          record.attempts = queue::attempts_plus_one(record.attempts);
          record.due = queue::tick_after(
              now_ns_, queue::next_delay_ns(policy_, record.attempts, random_.next()));
          schedule(at);
          ++spent.count;
        }
      }
    }
    spent.due = watch.lap();
    return spent;
  }

 private:
  static constexpr uint32_t kSlots = 1u << 19;  // 2.3 hours
  struct List {
    uint32_t head = kNoSlot, tail = kNoSlot;
  };
  void schedule(uint32_t at) {
    List& list = slots_[records_[at].due % kSlots];
    records_[at].next = kNoSlot;
    (list.head == kNoSlot ? list.head : records_[list.tail].next) = at;
    list.tail = at;
  }
  std::vector<Record> records_;
  std::vector<List> slots_;
  const queue::RetryPolicy policy_ = retry_policy();
  io::Random random_{1};
  int64_t now_ns_ = 0;
  uint32_t tick_ = 0;
};

// -------------------------------------------------------------------------------------------------
// due_wheel

class WheelAlone {
 public:
  explicit WheelAlone(uint32_t records) : table_(records), wheel_(table_) {
    for (uint32_t i = 0; i < records; ++i) {
      const uint32_t slot = table_.allocate();
      table_[slot].due = first_due(i);
      wheel_.schedule(slot);
    }
  }
  Spent run(int64_t for_ns) {
    Spent spent;
    Watch watch;
    for (const int64_t end = now_ns_ + for_ns; now_ns_ < end;) {
      now_ns_ += kTurnNs;
      const auto take = [&](uint32_t slot) {
        Record& record = table_[slot];
        record.attempts = queue::attempts_plus_one(record.attempts);
        record.due = queue::tick_after(
            now_ns_, queue::next_delay_ns(policy_, record.attempts, random_.next()));
        wheel_.schedule(slot);
        ++spent.count;
      };
      while (!wheel_.advance(queue::tick_at(now_ns_), 2048, take)) {
      }
    }
    spent.due = watch.lap();
    return spent;
  }

 private:
  queue::RecordTable table_;
  queue::DueWheel wheel_;
  const queue::RetryPolicy policy_ = retry_policy();
  io::Random random_{1};
  int64_t now_ns_ = 0;
};

// -------------------------------------------------------------------------------------------------
// home

constexpr std::string_view kReply = "4.2.1 mailbox is over its quota, try again later";
constexpr std::string_view kMxName = "mx1.mail.example";
constexpr std::string_view kMxAddress = "192.0.2.25";

// A home in a shard of one, with a lane that puts everybody off at once.
class HomeAlone final : private Exchange::Answers, private io::Wake {
 public:
  HomeAlone(uint32_t recipients, uint32_t domains, uint32_t sites)
      : settings_(settings()),
        exchange_(1, 1, settings_.tickets_max),
        shard_{0,
               1,
               settings_,
               exchange_,
               random_,
               counters_,
               1'000'000'000,
               1'700'000'000'000'000'000,
               make_policy(settings_, nullptr)},
        home_(shard_, disk_, 0) {
    exchange_.set_answers(this);
    exchange_.set_wake(0, this);
    for (uint32_t i = 0; i < sites; ++i) {
      auto site = std::make_shared<Site>();
      site->number = i + 1;
      site->key = "mx" + std::to_string(i) + ".mail.example";
      site->hosts.push_back({site->key, 10});
      sites_.push_back(std::move(site));
    }
    if (!home_.recover().ok()) std::abort();
    home_.resume({});
    feed(recipients, domains);
  }

  Spent run(int64_t for_ns) {
    Spent spent;
    for (const int64_t end = shard_.mono_ns + for_ns; shard_.mono_ns < end;) {
      shard_.mono_ns += kTurnNs;
      shard_.wall_ns += kTurnNs;
      do {
        turn(spent);
      } while (home_.more_to_do());
    }
    return spent;
  }
  uint64_t waiting() const { return counters_.waiting.load(); }

 private:
  static EngineSettings settings() {
    EngineSettings settings;
    settings.retry = retry_policy();
    return settings;
  }

  void turn(Spent& spent) {
    Watch watch;
    home_.run_due();
    spent.due += watch.lap();
    home_.dispatch();
    spent.dispatch += watch.lap();
    hear();
    put_off();
    spent.lane += watch.lap();
    if (!returned_.items.empty()) home_.returned(returned_);
    spent.returned += watch.lap();
    spent.count += returned_.items.size();
    home_.maintain();
    home_.flush();
    disk_.run();
    spent.journal += watch.lap();
  }

  void put_off() {
    returned_.items.clear();
    ++returned_.number;
    for (;;) {
      queue::Ticket tickets[64];
      const size_t count = exchange_.tickets(0).pop(tickets);
      if (count == 0) return;
      for (size_t i = 0; i < count; ++i) {
        Returned& item = returned_.items.emplace_back();
        item.ticket = tickets[i];
        item.verdict.result = smtp::Result::later;
        item.verdict.rule = "later-reply";
        item.stage = 4;
        item.code = 450;
        item.enhanced = {4, 2, 1};
        item.text_length = static_cast<uint32_t>(kReply.size());
        item.mx_at = item.text_length;
        item.mx_length = static_cast<uint32_t>(kMxName.size());
        item.address_at = item.mx_at + item.mx_length;
        item.address_length = static_cast<uint32_t>(kMxAddress.size());
        item.timing = {1000, 0, 0, 0, 20'000, queue::kNotReached, queue::kNotReached};
      }
    }
  }

  // The domain's shard, and the site's owner.
  void hear() {
    Message* next = exchange_.mailbox(0).take();
    while (next != nullptr) {
      const std::unique_ptr<Message> owned(next);
      next = owned->next;
      if (owned->kind != Message::Kind::route_ask) continue;
      const auto& ask = static_cast<const RouteAsk&>(*owned);
      RouteTold told;
      told.domain_id = ask.domain_id;
      told.expires_mono_ns = INT64_MAX;
      told.policy_version = shard_.policy->version;
      told.site = sites_[ask.domain_id % sites_.size()];
      home_.route_told(told);
    }
  }

  void feed(uint32_t recipients, uint32_t domains) {
    auto live = std::make_shared<queue::LiveBatch>();
    live->batch.number = 1;
    live->batch.accepted_wall_ns = shard_.wall_ns;
    live->accepted = recipients;
    live->taken_up = {shard_.mono_ns, shard_.wall_ns, shard_.wall_ns};
    std::string to;
    for (uint32_t first = 0; first < recipients; first += queue::kExtentRecipientsMax) {
      queue::ExtentWriter extent(1, first);
      const uint32_t end = std::min(recipients, first + queue::kExtentRecipientsMax);
      for (uint32_t i = first; i < end; ++i) {
        to = "recipient" + std::to_string(i) + "@domain" + std::to_string(i % domains) + ".example";
        queue::Entry entry;
        entry.index = i;
        entry.to = to;
        entry.not_before_wall_ns = shard_.wall_ns + first_due(i) * queue::kTickNs;
        if (!extent.add(entry)) std::abort();
      }
      auto message = std::make_unique<AppendMessage>();
      message->request.batch = 1;
      message->request.token = 1;
      message->request.frames.push_back({queue::FrameType::extent, extent.finish()});
      home_.append(std::move(message));
      for (++asked_; answered_ < asked_;) {
        home_.flush();
        disk_.run();
      }
    }
    home_.announce(live);
    do {
      home_.run_due();
    } while (home_.more_to_do());
  }

  void answer(intake::AppendAnswer answer) override {
    if (!answer.status.ok()) std::abort();
    ++answered_;
  }
  void damage(std::string) override { std::abort(); }
  void wake() override {}

  const EngineSettings settings_;
  Exchange exchange_;
  io::Random random_{1};
  Counters counters_;
  ShardContext shard_;
  queue::NullDisk disk_;
  Home home_;
  std::vector<std::shared_ptr<const Site>> sites_;
  ReturnedMessage returned_ = [] {
    ReturnedMessage message;
    message.arena = std::string(kReply) + std::string(kMxName) + std::string(kMxAddress);
    return message;
  }();
  uint32_t asked_ = 0, answered_ = 0;
};

// -------------------------------------------------------------------------------------------------

// CPU nanoseconds each, by records and name: of all repetitions.
std::map<std::pair<int64_t, std::string>, std::vector<double>>& found() {
  static std::map<std::pair<int64_t, std::string>, std::vector<double>> all;
  return all;
}
double median(std::vector<double> of) {
  if (of.empty()) return 0;
  std::sort(of.begin(), of.end());
  return of[of.size() / 2];
}

void note(benchmark::State& state, const std::string& name, const Spent& spent) {
  const double each = spent.each(spent.counted());
  state.SetIterationTime(static_cast<double>(spent.counted()) * 1e-9);
  state.counters["ns/each"] = each;
  state.counters["count"] = static_cast<double>(spent.count);
  found()[{state.range(0), name}].push_back(each);
}

template <class Wheel>
void wheel(benchmark::State& state, const std::string& name) {
  for (auto _ : state) {
    Wheel one(static_cast<uint32_t>(state.range(0)));
    one.run(kRoundNs);
    note(state, name, one.run(kRoundNs));
  }
}
void bare_wheel(benchmark::State& state) {
  wheel<BareWheel>(state, "bare_wheel");
}
void due_wheel(benchmark::State& state) {
  wheel<WheelAlone>(state, "due_wheel");
}

// Args: recipients, domains, sites.
void home(benchmark::State& state) {
  for (auto _ : state) {
    HomeAlone one(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)),
                  static_cast<uint32_t>(state.range(2)));
    one.run(kRoundNs);
    const Spent spent = one.run(kRoundNs);
    if (one.waiting() != static_cast<uint64_t>(state.range(0)))
      return state.SkipWithError("somebody does not wait any more");
    note(state, "home/" + std::to_string(state.range(1)) + "/" + std::to_string(state.range(2)),
         spent);
    state.counters["due"] = spent.each(spent.due);
    state.counters["dispatch"] = spent.each(spent.dispatch);
    state.counters["returned"] = spent.each(spent.returned);
    state.counters["lane"] = spent.each(spent.lane);
    state.counters["journal"] = spent.each(spent.journal);
  }
}

// The outcomes of home, as they are gathered and nothing else.
void outcomes(benchmark::State& state) {
  for (auto _ : state) {
    queue::OutcomeWriter writer;
    std::string out;
    Spent spent;
    spent.count = static_cast<uint64_t>(state.range(0));
    Watch watch;
    for (uint32_t i = 0; i < spent.count; ++i) {
      queue::Outcome outcome;
      outcome.code = 450;
      outcome.enhanced = {4, 2, 1};
      outcome.stage = 4;
      outcome.batch = 1;
      outcome.index = i * 7919 % static_cast<uint32_t>(spent.count);
      outcome.segment = outcome.index >> 20;
      outcome.page_offset = outcome.index << 4 & 0x3fffc000;
      outcome.entry_offset = outcome.index & 0x3fff;
      outcome.wall_ns = 1'700'000'000'000'000'000 + i * int64_t{300'000};
      outcome.next_due_wall_ns = outcome.wall_ns + kRoundNs;
      outcome.timing = {1000, 0, 0, 0, 20'000, queue::kNotReached, queue::kNotReached};
      outcome.text = kReply;
      outcome.rule = "later-reply";
      outcome.mx_name = kMxName;
      outcome.mx_address = kMxAddress;
      outcome.site = kMxName;
      outcome.source = "default";
      writer.add(outcome);
      if (writer.count() == 1000) writer.take(out);
    }
    spent.returned = watch.lap();
    note(state, "outcomes", spent);
  }
}

void print_ratios() {
  for (const auto& [key, values] : found()) {
    const auto bare = found().find({key.first, "bare_wheel"});
    if (bare == found().end() || key.second == "bare_wheel" || key.second == "outcomes") continue;
    const double against = median(bare->second), mine = median(values);
    std::printf("%ld waiting: %s / bare_wheel = %.1f ns / %.1f ns = %.2f", key.first,
                key.second.c_str(), mine, against, mine / against);
    const auto gathered = found().find({key.first, "outcomes"});
    if (gathered != found().end() && key.second.starts_with("home")) {
      const double less = mine - median(gathered->second);
      std::printf("; without gathering outcomes (%.1f ns) %.2f", median(gathered->second),
                  less / against);
    }
    std::printf("\n");
  }
}

void add(const char* name, void (*function)(benchmark::State&),
         const std::vector<std::vector<int64_t>>& args) {
  benchmark::internal::Benchmark* const added = benchmark::RegisterBenchmark(name, function);
  for (const std::vector<int64_t>& each : args) added->Args(each);
  added->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(1)->Repetitions(3);
}

}  // namespace
}  // namespace veredus

int main(int argc, char** argv) {
  using namespace veredus;
  add("bare_wheel", bare_wheel, {{1'000'000}, {10'000'000}});
  add("due_wheel", due_wheel, {{1'000'000}, {10'000'000}});
  add("home", home, {{1'000'000, 1000, 100}, {10'000'000, 1000, 100}, {10'000'000, 1, 1}});
  add("outcomes", outcomes, {{1'000'000}, {10'000'000}});
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  print_ratios();
  return 0;
}
