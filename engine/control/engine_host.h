#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/control/config.h"
#include "engine/control/engine_view.h"
#include "engine/control/questions.h"
#include "engine/engine.h"
#include "engine/intake/intake.h"
#include "engine/io/ring_disk.h"

namespace veredus::control {

// The engine as the control thread has it: started from a configuration, with intake on top, what
// the spool held given back to intake, and answers of the shards brought to the control thread.
class EngineHost final : public EngineView, private io::Wake {
 public:
  // `post` runs work on the control thread soon; callable from any thread, as long as the host
  // lives. Blocks until the spool has been read. Errors name cause and remedy; FailedPrecondition:
  // the host cannot run it (io_uring refused).
  using Post = std::function<void(std::function<void()>)>;
  static absl::StatusOr<std::unique_ptr<EngineHost>> start(const Config& config, Post post);
  ~EngineHost() override;

  intake::Intake& intake() { return *intake_; }
  intake::ShardPort& port() { return *engine_; }
  const EngineSettings& settings() const { return settings_; }
  uint64_t recovered_batches() const { return recovered_batches_; }
  // Of the journals on disk, as the start found them.
  uint64_t recovered_bytes() const { return recovered_bytes_; }

  // Lets open transactions finish within the limit, then ends them. True: all finished. Blocks; the
  // control thread must not be needed meanwhile.
  bool stop(int64_t limit_ns) { return engine_->stop(limit_ns); }

  unsigned shards() const override { return engine_->shards(); }
  const Counters& counters(unsigned shard) const override { return engine_->counters(shard); }
  unsigned journals() const override { return engine_->homes(); }
  std::string journal_directory(unsigned journal) const override;
  queue::Location durable_end(unsigned journal) const override {
    return engine_->durable_end(journal);
  }
  uint32_t events_from(unsigned journal) const override { return engine_->events_from(journal); }
  uint64_t durable_events(unsigned journal) const override {
    return engine_->durable_events(journal);
  }
  void hold_events(unsigned journal, uint32_t segment) override {
    engine_->exchange().hold_events(journal, segment);
  }
  void store_consumer(const queue::Consumer& consumer,
                      std::function<void(absl::Status)> on_stored) override;
  std::vector<queue::Consumer> consumers_at_start() const override { return consumers_; }
  queue::Disk& disk() override { return *disk_; }
  std::shared_ptr<const queue::LiveBatch> find_batch(uint64_t number) const override;
  uint64_t first_batch_of_run() const override { return first_batch_of_run_; }
  std::vector<std::string> damage() const override { return damage_; }
  void ask_in_doubt(const InDoubtQuestion& question,
                    std::function<void(InDoubtAnswer)> on_answer) override;
  void ask_erasure(const ErasureQuestion& question,
                   std::function<void(ErasureAnswer)> on_answer) override;
  int64_t erased_after_ns() const override;
  void apply(const EngineSettings& settings) override {
    settings_.dkim = settings.dkim;  // for no key to stay because the engine began with it
    engine_->reload(settings);
  }
  void ask_order(const queue::Order& order, std::function<void(OrderAnswer)> on_answer) override;
  uint64_t next_order() override { return engine_->next_order(); }
  const std::map<uint64_t, queue::Order>& orders() const override { return engine_->orders(); }
  void ask_why(const WhyQuestion& question, std::function<void(WhyAnswer)> on_answer) override;
  void ask_tls_results(const TlsResultsQuestion& question,
                       std::function<void(TlsResultsAnswer)> on_answer) override;
  void ask_sites(const SitesQuestion& question,
                 std::function<void(SitesAnswer)> on_answer) override;
  void begin_trace(const std::shared_ptr<Trace>& trace) override { engine_->begin_trace(trace); }
  const Policy& policy() const override { return engine_->policy(); }

 private:
  EngineHost(EngineSettings settings, Post post)
      : settings_(std::move(settings)), post_(std::move(post)) {}
  void wake() override;
  void take_answers();
  void answered(InDoubtAnswer answer) { in_doubt_.answered(std::move(answer)); }
  void answered(ErasureAnswer answer) { erasures_.answered(std::move(answer)); }
  void answered(OrderAnswer answer);
  void answered(WhyAnswer answer) { whys_.answered(std::move(answer)); }
  void answered(TlsResultsAnswer answer) { tls_results_.answered(std::move(answer)); }
  void answered(SitesAnswer answer) { sites_.answered(std::move(answer)); }

  EngineSettings settings_;  // but for `dkim` as the engine began; that no shard reads
  const Post post_;
  std::atomic<bool> posted_{false};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<intake::Intake> intake_;
  std::unique_ptr<io::BlockingDisk> disk_;
  std::vector<std::string> damage_;
  Questions<InDoubtAnswer> in_doubt_;
  Questions<ErasureAnswer> erasures_;
  Questions<OrderAnswer> orders_;
  Questions<WhyAnswer> whys_;
  Questions<SitesAnswer> sites_;
  Questions<TlsResultsAnswer> tls_results_;
  std::vector<queue::Consumer> consumers_;
  // Intake's tokens are small numbers.
  static constexpr uint64_t kConsumerTokens = uint64_t{1} << 63;
  std::map<uint64_t, std::function<void(absl::Status)>> storing_;  // by token
  uint64_t next_consumer_token_ = kConsumerTokens;
  uint64_t first_batch_of_run_ = 1;
  uint64_t recovered_batches_ = 0;
  uint64_t recovered_bytes_ = 0;
};

}  // namespace veredus::control
