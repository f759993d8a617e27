#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "dns/ares_resolver.h"
#include "engine/engine_core.h"
#include "engine/io/clock.h"
#include "engine/io/filer.h"
#include "engine/sts_fetcher.h"

namespace veredus {

struct EngineOptions {
  unsigned shards = 1;
  std::vector<unsigned> cores;  // shard i is pinned to cores[i % size]; empty: not pinned
  std::string spool;            // directory; made if it is missing
  dns::AresResolver::Settings dns;
  // Of MTA-STS: authorities in PEM that vouch for policy hosts and for mail hosts, and the policy
  // hosts' port.
  std::string authorities = "/etc/ssl/certs/ca-certificates.crt";
  uint16_t sts_port = 443;
};

// The engine on threads: one a shard, each with a ring of its own.
class Engine final : public EngineCore, private Exchange::Answers {
 public:
  // Starts the threads and recovers the spool; returns when every shard takes turns. `control` is
  // woken when answers to intake have come. `settings` and `control` outlive the engine. Errors
  // name cause and remedy (io_uring refused: FailedPrecondition).
  static absl::StatusOr<std::unique_ptr<Engine>> start(const EngineSettings& settings,
                                                       EngineOptions options, io::Wake& control);
  ~Engine() override;

  // What the spool held at start; once.
  RecoveredSpool take_recovered() { return std::move(recovered_); }
  // Answers to intake that have come since the last call. Control thread.
  std::vector<intake::AppendAnswer> take_answers();
  // Places of the spool found damaged since the start, since the last call. Control thread.
  std::vector<std::string> take_damage();
  std::vector<QuestionAnswer> take_question_answers();
  std::vector<std::string> take_reports();

  // No new transaction begins; open ones may finish until the limit; what is decided is made
  // durable. Blocks. True when everything finished by itself.
  bool stop(int64_t limit_ns);

 private:
  struct Runner;  // what one thread owns

  Engine(const EngineSettings& settings, EngineOptions options, unsigned homes, io::Wake& control);
  absl::Status launch();
  void run(unsigned id);
  void prepare_tls();
  absl::Status prepare(Runner& runner);
  void answer(intake::AppendAnswer answer) override;
  void damage(std::string what) override;
  void answer_question(QuestionAnswer answer) override;
  void report(std::string what) override;
  void post_stop(bool abort);
  void join();

  const EngineOptions options_;
  io::Wake& control_;
  io::SystemClock clock_instance_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::unique_ptr<io::Filer> filer_;
  std::unique_ptr<StsFetcher> sts_;
  std::shared_ptr<const io::TlsTrust> trust_;

  mutable std::mutex mutex_;  // start, stop and answers: nothing on the way of a message
  std::condition_variable changed_;
  std::vector<intake::AppendAnswer> answers_;
  std::vector<std::string> damage_;
  std::vector<QuestionAnswer> question_answers_;
  std::vector<std::string> reports_;
  std::vector<RecoveredHome> found_;
  RecoveredSpool recovered_;
  Committed committed_;
  unsigned prepared_ = 0, resumed_ = 0, drained_ = 0;
  absl::Status start_status_;
  bool merged_ = false, leave_ = false;
};

}  // namespace veredus
