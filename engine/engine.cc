#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "engine/io/ares_host.h"
#include "engine/io/ring.h"
#include "engine/io/ring_disk.h"
#include "engine/io/ring_network.h"
#include "engine/io/thread_load.h"
#include "engine/io/wakeup.h"

namespace veredus {

namespace {

uint64_t random_seed() {
  uint64_t seed = 0;
  while (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
  }
  return seed;
}

// Of each shard. What the limit leaves to others is for files of the spool, feeders and readers:
// sessions that take every descriptor would stop dialling last and the journal first.
unsigned descriptors_for_sockets(unsigned shards) {
  constexpr rlim_t kReserve = 512, kReservePerShard = 128;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT32_MAX;
  const rlim_t reserve = std::min(limit.rlim_cur * 2 / 3, kReserve + shards * kReservePerShard);
  return static_cast<unsigned>(
      std::clamp<rlim_t>((limit.rlim_cur - reserve) / shards, 1, UINT32_MAX));
}

absl::Status pin_to(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
    return absl::InvalidArgumentError(
        "cannot pin a shard to core " + std::to_string(core) +
        ": this process may not run there; see `pin` in the configuration");
  }
  return absl::OkStatus();
}

}  // namespace

// One shard's thread: its ring, what stands on the ring, and the loop's two ends.
struct Engine::Runner final : ShardPorts::Loop {
  explicit Runner(Engine& the_engine, unsigned number) : engine(the_engine), id(number) {}

  void reap() override {
    ring->collect();
    ring->run_collected();
  }
  void submit(int64_t until_mono_ns) override {
    const int64_t now_ns = engine.clock_instance_.mono_ns();
    if (until_mono_ns <= now_ns) {
      ring->submit();
      return;
    }
    // Whoever sends us something after this looks at the flag and wakes us; what was sent before is
    // seen here.
    wake->prepare_sleep();
    if (engine.exchange().anything_for(id)) {
      ring->submit();
    } else {
      ring->submit_and_wait(until_mono_ns - now_ns);
    }
    wake->awake();
  }
  double load_since_last(int64_t mono_ns) override { return load.since_last(mono_ns); }

  Engine& engine;
  const unsigned id;
  std::thread thread;
  std::unique_ptr<io::Ring> ring;
  io::TimerWheel timers;
  io::ThreadLoad load;
  std::unique_ptr<io::EventWake> wake;
  std::unique_ptr<io::RingNetwork> network;
  std::unique_ptr<io::RingDisk> disk;
  std::unique_ptr<io::AresHost> dns_host;
  Shard* shard = nullptr;
};

Engine::Engine(const EngineSettings& settings, EngineOptions options, unsigned homes,
               io::Wake& control)
    : EngineCore(settings, options.shards, homes, clock_instance_),
      options_(std::move(options)),
      control_(control) {
  exchange().set_answers(this);
  found_.resize(homes);
}

Engine::~Engine() {
  stop(0);
  // What stands on a ring is let go by the ring first; shards before what they stand on.
  for (const std::unique_ptr<Runner>& runner : runners_) {
    if (runner->ring != nullptr) runner->ring->abandon();
  }
  drop_shards();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::start(const EngineSettings& settings,
                                                      EngineOptions options, io::Wake& control) {
  if (absl::Status usable = io::Ring::probe(); !usable.ok()) return usable;
  auto files = io::SpoolFiles::open(options.spool);
  if (!files.ok()) return files.status();
  auto files_to_look_at = io::SpoolFiles::open(options.spool);
  if (!files_to_look_at.ok()) return files_to_look_at.status();
  io::BlockingDisk disk(*std::move(files_to_look_at));
  const absl::StatusOr<unsigned> journals = journals_in(disk);
  if (!journals.ok()) return journals.status();
  const unsigned homes = std::max(options.shards, *journals);
  std::unique_ptr<Engine> engine(new Engine(settings, std::move(options), homes, control));
  engine->filer_ = std::make_unique<io::Filer>(*std::move(files));
  if (absl::Status launched = engine->launch(); !launched.ok()) return launched;
  return engine;
}

// Threads prepare (ring, ports, recovery of their journals); the caller merges what they found;
// threads resume.
absl::Status Engine::launch() {
  for (unsigned id = 0; id < options_.shards; ++id) {
    runners_.push_back(std::make_unique<Runner>(*this, id));
    runners_.back()->wake = std::make_unique<io::EventWake>();
    exchange().set_wake(id, runners_.back()->wake.get());
  }
  prepare_tls();
  for (unsigned id = 0; id < options_.shards; ++id)
    runners_[id]->thread = std::thread([this, id] { run(id); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return prepared_ == options_.shards; });
  if (start_status_.ok()) {
    recovered_ = merge(std::move(found_));
    committed_ = committed_of(recovered_);
  } else {
    leave_ = true;
  }
  merged_ = true;
  changed_.notify_all();
  if (start_status_.ok()) {
    changed_.wait(lock, [&] { return resumed_ == options_.shards; });
    committed_.clear();
    recovered_.marks = {};
    recovered_.rates = {};
    if (sts_ != nullptr) sts_->forget_known();
    return absl::OkStatus();
  }
  lock.unlock();
  join();
  return start_status_;
}

// Without authorities, or without the fetcher, mail goes on: who must be verified waits.
void Engine::prepare_tls() {
  absl::StatusOr<std::shared_ptr<const io::TlsTrust>> trust =
      io::TlsTrust::load(options_.authorities);
  if (trust.ok()) {
    trust_ = *std::move(trust);
  } else {
    report(std::string(trust.status().message()));
  }
  StsFetcher::Settings settings;
  settings.file = options_.spool + "/mta-sts";
  settings.authorities = options_.authorities;
  settings.port = options_.sts_port;
  StsFetcher::Events events;
  events.report = [this](std::string what) { report(std::move(what)); };
  events.fetched = [this](uint16_t shard, tls::StsFetched fetched) {
    auto message = std::make_unique<StsFetchedMessage>();
    message->fetched = std::move(fetched);
    exchange().post(shard, std::move(message));
  };
  sts_ = StsFetcher::start(std::move(settings), std::move(events));
  if (sts_ == nullptr) report("libcurl cannot be used; MTA-STS policies are not looked for");
}

absl::Status Engine::prepare(Runner& runner) {
  if (!options_.cores.empty()) {
    if (absl::Status pinned = pin_to(options_.cores[runner.id % options_.cores.size()]);
        !pinned.ok())
      return pinned;
  }
  auto ring = io::Ring::create();
  if (!ring.ok()) return ring.status();
  runner.ring = *std::move(ring);
  if (absl::Status armed = runner.wake->arm(*runner.ring); !armed.ok()) return armed;
  io::NetworkSettings sockets;
  sockets.max_sockets = std::min(std::max(1u, settings().connections_total / options_.shards) + 16,
                                 descriptors_for_sockets(options_.shards));
  auto network = io::RingNetwork::create(*runner.ring, sockets);
  if (!network.ok()) return network.status();
  runner.network = *std::move(network);
  runner.disk = std::make_unique<io::RingDisk>(*runner.ring, *filer_, *runner.wake);
  dns::AresResolver::Settings dns = options_.dns;
  dns.max_in_flight = dns::AresResolver::in_flight_share(options_.shards);
  auto dns_host = io::AresHost::create(*runner.ring, runner.timers, clock_instance_, dns);
  if (!dns_host.ok()) return dns_host.status();
  runner.dns_host = *std::move(dns_host);
  runner.shard = &add_shard(static_cast<uint16_t>(runner.id),
                            {clock_instance_, runner, *runner.network, *runner.disk,
                             runner.dns_host->lookups(), runner.timers, sts_.get(), trust_},
                            random_seed());
  absl::StatusOr<std::vector<RecoveredHome>> found = runner.shard->recover();
  if (!found.ok()) return found.status();
  for (RecoveredHome& home : *found)
    found_[home.home] = std::move(home);  // this thread's own places
  return absl::OkStatus();
}

void Engine::run(unsigned id) {
  Runner& runner = *runners_[id];
  const absl::Status ready = prepare(runner);
  {
    std::unique_lock lock(mutex_);
    if (!ready.ok() && start_status_.ok()) start_status_ = ready;
    ++prepared_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return merged_; });
    if (leave_) return;
  }
  runner.shard->resume(committed_, recovered_.marks, recovered_.orders, recovered_.rates);
  publish(id);
  {
    std::unique_lock lock(mutex_);
    ++resumed_;
    changed_.notify_all();
  }
  bool told_drained = false;
  for (;;) {
    runner.shard->run_turn();
    publish(id);
    if (!runner.shard->draining()) continue;
    std::unique_lock lock(mutex_);
    if (!told_drained && runner.shard->drained()) {
      told_drained = true;
      ++drained_;
      changed_.notify_all();
    }
    if (!leave_) continue;
    lock.unlock();
    return runner.shard->end();
  }
}

// -------------------------------------------------------------------------------------------------
// the end

void Engine::join() {
  for (const std::unique_ptr<Runner>& runner : runners_) runner->thread.join();
  // Files under way come to their end before the rings that they would answer to go.
  filer_.reset();
  sts_.reset();
}

void Engine::post_stop(bool abort) {
  for (unsigned id = 0; id < options_.shards; ++id) {
    auto stop = std::make_unique<StopMessage>();
    stop->abort = abort;
    exchange().post(id, std::move(stop));
  }
}

bool Engine::stop(int64_t limit_ns) {
  if (runners_.empty() || !runners_.front()->thread.joinable()) return true;
  post_stop(false);
  std::unique_lock lock(mutex_);
  const auto all_drained = [&] { return drained_ == options_.shards; };
  const bool by_itself = changed_.wait_for(lock, std::chrono::nanoseconds(limit_ns), all_drained);
  if (!by_itself) {
    lock.unlock();
    post_stop(true);
    lock.lock();
    changed_.wait_for(lock, std::chrono::seconds(5), all_drained);
  }
  leave_ = true;
  lock.unlock();
  post_stop(!by_itself);  // wakes them
  join();
  return by_itself;
}

// -------------------------------------------------------------------------------------------------
// answers to intake

void Engine::answer(intake::AppendAnswer answer) {
  {
    std::unique_lock lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  control_.wake();
}

void Engine::answer_question(QuestionAnswer answer) {
  {
    std::unique_lock lock(mutex_);
    question_answers_.push_back(std::move(answer));
  }
  control_.wake();
}

std::vector<QuestionAnswer> Engine::take_question_answers() {
  std::unique_lock lock(mutex_);
  return std::exchange(question_answers_, {});
}

void Engine::report(std::string what) {
  {
    std::unique_lock lock(mutex_);
    reports_.push_back(std::move(what));
  }
  control_.wake();
}

std::vector<std::string> Engine::take_reports() {
  std::unique_lock lock(mutex_);
  return std::exchange(reports_, {});
}

std::vector<intake::AppendAnswer> Engine::take_answers() {
  std::unique_lock lock(mutex_);
  return std::exchange(answers_, {});
}

void Engine::damage(std::string what) {
  {
    std::unique_lock lock(mutex_);
    damage_.push_back(std::move(what));
  }
  control_.wake();
}

std::vector<std::string> Engine::take_damage() {
  std::unique_lock lock(mutex_);
  return std::exchange(damage_, {});
}

}  // namespace veredus
