// A whole engine for benchmarks, on one thread in simulated time: the shards of the product, the
// wires, servers and DNS of tests/sim, a disk that costs next to nothing. Every turn of every shard
// is measured by the thread's CPU time, with the doubles that work within it (they stand for what
// the kernel would cost). tests/engine/small_engine.h is its like for tests; there time does not
// follow the processor, and the disk forgets.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <time.h>

#include "bench/memory_disk.h"
#include "dns/address_policy.h"
#include "engine/engine_core.h"
#include "engine/intake/intake.h"
#include "tests/sim/internet.h"

namespace veredus::bench {

inline int64_t thread_cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

// The value below which this share of them lies; sorts them. 0: there are none.
template <class Number>
Number quantile(std::vector<Number>& of, double share) {
  if (of.empty()) return 0;
  std::sort(of.begin(), of.end());
  return of[std::min(of.size() - 1, static_cast<size_t>(share * static_cast<double>(of.size())))];
}

// "--name number" pairs. False: an unknown name, or no number.
inline bool read_options(int argc, char** argv,
                         std::initializer_list<std::pair<std::string_view, uint32_t*>> options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], text = argv[i + 1];
    const auto known = std::find_if(options.begin(), options.end(),
                                    [name](const auto& option) { return option.first == name; });
    if (known == options.end()) return false;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), *known->second);
    if (error != std::errc() || end != text.data() + text.size()) return false;
  }
  return argc % 2 == 1;
}

// Tells of each recipient that an engine hands to a server.
class WatchedNetwork final : public io::Network {
 public:
  explicit WatchedNetwork(sim::Internet& internet) : inner(internet) {}
  io::Socket connect(const io::Endpoint& peer, const io::Endpoint& source,
                     io::SocketEvents& events) override {
    return inner.connect(peer, source, events);
  }
  void send(io::Socket socket, std::span<const iovec> pieces) override {
    if (on_recipient && !pieces.empty()) {
      const std::string_view head(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len);
      constexpr std::string_view kCommand = "RCPT TO:<";
      if (const size_t at = head.find(kCommand); at != head.npos)
        on_recipient(head.substr(at + kCommand.size()));
    }
    inner.send(socket, pieces);
  }
  uint64_t sent_so_far(io::Socket socket) const override { return inner.sent_so_far(socket); }
  void close(io::Socket socket, bool abort) override { inner.close(socket, abort); }
  size_t open_sockets() const override { return inner.open_sockets(); }
  bool has_address(const io::Endpoint& source) override { return inner.has_address(source); }

  sim::SimNetwork inner;
  std::function<void(std::string_view)> on_recipient;  // begins with the address
};

class WholeEngine final : private Exchange::Answers {
 public:
  struct Options {
    unsigned shards = 1;
    uint32_t sites = 1;  // mail of dN.sim goes to mxS.sim with S = N modulo this
    // A turn takes as long in simulated time as it took of the processor; else a microsecond.
    bool time_follows_processor = false;
    std::function<void(EngineSettings&, sim::Faults&)> change;
  };

  explicit WholeEngine(const Options& options) : internet(1, clock), options_(options) {
    settings.hostname = "mta.sim";
    settings.node = "sim";
    settings.own_names = {"mta.sim"};
    settings.recipients_per_transaction = 1;
    settings.address_policy = dns::AddressPolicy({*dns::parse_cidr("10.0.0.0/8")}, {});
    if (options.change) options.change(settings, internet.faults);
    start();
  }
  ~WholeEngine() override {
    for (const auto& place : places_) place->network.inner.forget();
    intake_.reset();
    core_.reset();
  }

  // Feeds a batch as fast as it is taken: `line(i)` makes the members of a recipient's line.
  // Returns when it is acknowledged.
  void feed(const std::string& name, const std::string& tenant, uint32_t count,
            const std::function<std::string(uint32_t)>& line, const std::string& more = "") {
    Listener listener;
    const std::shared_ptr<intake::Upload> upload = intake_->begin_upload(listener);
    std::string body = "{\"batch\":\"" + name + "\",\"tenant\":\"" + tenant +
                       "\",\"sender\":\"a@b.sim\"" + more +
                       ",\"message\":{\"raw\":\"From: a@b.sim\\r\\n\\r\\nHello\\r\\n\"}}\n";
    for (uint32_t i = 0; i < count && !upload->answered(); ++i) {
      body += "{" + line(i) + "}\n";
      if (body.size() < 64 * 1024) continue;
      upload->feed(std::exchange(body, {}));
      while (upload->wants_pause() && !upload->answered()) step();
    }
    upload->feed(body);
    if (!upload->answered()) upload->finish();
    while (listener.status == 0) step();
    if (listener.status != 200) die(listener.body);
  }

  // A turn of each shard that has something to do, or time moves to when the next thing happens.
  void step() {
    storage_.keep_ready(settings.journal.segment_bytes);
    internet.run_due();
    for (const intake::AppendAnswer& answer : std::exchange(appended_, {}))
      intake_->on_answer(answer);
    bool busy = false;
    for (const auto& place : places_) {
      if (!place->awake && place->due() > clock.mono) continue;
      busy = true;
      place->awake = false;
      const int64_t before = thread_cpu_ns();
      place->shard->run_turn();
      core_->publish(place->id);
      const int64_t took = thread_cpu_ns() - before;
      turns_ns.push_back(took);
      clock.mono += options_.time_follows_processor ? std::max<int64_t>(took, 1000) : 1000;
    }
    // Nobody looks at these.
    internet.ledger.clear();
    if (!on_heard) internet.heard_at.clear();
    for (const auto& [transaction, mono_ns] : std::exchange(internet.heard_at, {}))
      on_heard(mono_ns);
    if (busy || !appended_.empty()) return;
    int64_t next = std::min(internet.next_event(), stop_at_);
    for (const auto& place : places_) next = std::min(next, place->due());
    clock.mono = std::max(clock.mono, next);
  }
  template <class Done>
  bool run_until(Done&& done, int64_t limit_ns) {
    const int64_t end = clock.mono + limit_ns;
    stop_at_ = end;
    while (!done() && clock.mono < end) step();
    stop_at_ = INT64_MAX;
    return done();
  }
  void run_for(int64_t ns) {
    run_until([] { return false; }, ns);
  }

  // Gives an order, without waiting for anything.
  queue::Order give(queue::Order order) {
    if (order.number == 0) order.number = core_->next_order();
    OrderQuestion question;
    question.token = order.number;
    question.order = order;
    order_durable_ = 0;
    core_->ask_order(question);
    return order;
  }
  // Of the last one given.
  bool order_is_durable() const { return order_durable_ == core_->homes(); }

  EngineCore& core() { return *core_; }
  intake::Intake& intake() { return *intake_; }
  uint64_t waiting() const { return core_->waiting_recipients(); }
  void on_recipient(const std::function<void(std::string_view)>& told) {
    for (const auto& place : places_) place->network.on_recipient = told;
  }

  static constexpr int64_t kSecond = 1'000'000'000;
  static constexpr int64_t kMs = 1'000'000;
  EngineSettings settings;
  sim::SimClock clock;
  sim::Internet internet;
  std::vector<int64_t> turns_ns;  // CPU time of each turn, since somebody emptied it
  // A server's last word to a transaction has come: its session is free.
  std::function<void(int64_t mono_ns)> on_heard;

  [[noreturn]] static void die(const std::string& why) {
    std::fprintf(stderr, "bench: %s\n", why.c_str());
    std::exit(1);
  }

 private:
  struct Listener : intake::UploadListener {
    void on_answer(const intake::Answer& answer) override {
      status = answer.status;
      body = answer.body;
    }
    void on_resume() override {}
    int status = 0;
    std::string body;
  };
  struct Place final : ShardPorts::Loop, io::Wake {
    Place(WholeEngine& the_engine, unsigned number)
        : engine(the_engine),
          id(number),
          timers(engine.clock.mono),
          network(engine.internet),
          lookups(engine.internet,
                  [sites = engine.options_.sites](uint32_t domain) { return domain % sites; }),
          disk(engine.storage_, engine.clock.mono) {
      network.inner.on_ready = lookups.on_ready = [this] { awake = true; };
    }
    void reap() override {
      network.inner.run_ready();
      lookups.run_ready();
      disk.run();
    }
    void submit(int64_t until_mono_ns) override {
      sleep_until = until_mono_ns;
      awake = network.inner.ready() || lookups.ready() || engine.core_->exchange().anything_for(id);
    }
    void wake() override { awake = true; }
    int64_t due() const { return std::min(sleep_until, disk.next_due_ns()); }

    WholeEngine& engine;
    const unsigned id;
    io::TimerWheel timers;
    WatchedNetwork network;
    sim::SimLookups lookups;
    MemoryDisk disk;
    Shard* shard = nullptr;
    int64_t sleep_until = 0;
    bool awake = true;
  };

  void start() {
    core_ = std::make_unique<EngineCore>(settings, options_.shards, options_.shards, clock);
    core_->exchange().set_answers(this);
    std::vector<RecoveredHome> found;
    for (unsigned id = 0; id < options_.shards; ++id) {
      places_.push_back(std::make_unique<Place>(*this, id));
      Place& place = *places_.back();
      core_->exchange().set_wake(id, &place);
      place.shard = &core_->add_shard(
          static_cast<uint16_t>(id),
          {clock, place, place.network, place.disk, place.lookups, place.timers}, id + 1);
      absl::StatusOr<std::vector<RecoveredHome>> recovered = place.shard->recover();
      if (!recovered.ok()) die(recovered.status().ToString());
      std::move(recovered->begin(), recovered->end(), std::back_inserter(found));
    }
    RecoveredSpool spool = core_->merge(std::move(found));
    for (const auto& place : places_) {
      place->shard->resume(EngineCore::committed_of(spool), spool.marks, spool.orders, spool.rates);
      core_->publish(place->id);
    }
    intake_ = std::make_unique<intake::Intake>(*core_, intake::IntakeSettings());
    intake_->set_next_number(spool.next_batch);
  }

  void answer(intake::AppendAnswer one) override { appended_.push_back(std::move(one)); }
  void damage(std::string what) override { die(what); }
  void answer_question(QuestionAnswer one) override {
    const auto* const of_order = std::get_if<OrderAnswer>(&one);
    if (of_order == nullptr) return;
    if (!of_order->status.ok()) die(of_order->status.ToString());
    order_durable_ += of_order->token != 0;
    if (of_order->done != 0) core_->order_done(of_order->done);
  }

  const Options options_;
  MemoryStorage storage_;
  std::vector<std::unique_ptr<Place>> places_;
  std::unique_ptr<EngineCore> core_;
  std::unique_ptr<intake::Intake> intake_;
  std::vector<intake::AppendAnswer> appended_;
  unsigned order_durable_ = 0;
  int64_t stop_at_ = INT64_MAX;
};

}  // namespace veredus::bench
