#include "engine/control/engine_host.h"

#include <utility>

#include "engine/control/settings.h"
#include "engine/store.h"
#include "queue/journal_files.h"

namespace veredus::control {

namespace {

constexpr unsigned kJournalsMax = 256;

// A journal whose shard does not exist would be mail that nobody delivers: better not to start at
// all.
absl::Status check_journals(queue::Disk& disk, unsigned shards, const std::string& spool) {
  for (unsigned journal = kJournalsMax; journal-- > shards;) {
    const std::string directory = Store::journal_directory(static_cast<uint16_t>(journal));
    const absl::StatusOr<std::vector<queue::SegmentFile>> segments =
        queue::list_segments(disk, directory);
    if (!segments.ok()) return segments.status();
    if (segments->empty()) continue;
    return absl::FailedPreconditionError(
        "the spool " + spool + " was written with at least " + std::to_string(journal + 1) +
        " shards, now there are " + std::to_string(shards) + ": set node.shards to " +
        std::to_string(journal + 1) + " or more, so that no journal is left out");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<EngineHost>> EngineHost::start(const Config& config, Post post) {
  absl::StatusOr<EngineSettings> settings = engine_settings(config);
  if (!settings.ok()) return settings.status();
  EngineOptions options;
  options.shards = shards_of(config);
  options.cores = cores_of(config);
  options.spool = config.spool;
  options.dns.servers = config.dns_servers;
  options.dns.timeout_ms = static_cast<int>(config.dns_timeout_ns / 1'000'000);
  options.dns.tries = static_cast<int>(config.dns_tries);

  std::unique_ptr<EngineHost> host(new EngineHost(*std::move(settings), std::move(post)));
  auto files = io::SpoolFiles::open(config.spool);
  if (!files.ok()) return files.status();
  host->disk_ = std::make_unique<io::BlockingDisk>(*std::move(files));
  if (absl::Status sound = check_journals(*host->disk_, options.shards, config.spool); !sound.ok())
    return sound;

  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::start(host->settings_, std::move(options), *host);
  if (!engine.ok()) return engine.status();
  host->engine_ = *std::move(engine);
  RecoveredSpool spool = host->engine_->take_recovered();
  host->intake_ = std::make_unique<intake::Intake>(*host->engine_, intake_settings(config));
  host->intake_->set_next_number(spool.next_batch);
  for (const auto& [number, location] : spool.refusals)
    host->intake_->on_recovered_refusals(number, location);
  for (const RecoveredSpool::Known& known : spool.batches)
    host->intake_->restore(known.commit, known.batch);
  host->first_batch_of_run_ = spool.next_batch;
  host->recovered_batches_ = spool.batches.size();
  host->damage_ = std::move(spool.damage);
  return host;
}

EngineHost::~EngineHost() {
  // Shards answer to intake until they have ended.
  if (engine_ != nullptr) engine_->stop(0);
  intake_.reset();
}

std::string EngineHost::journal_directory(unsigned journal) const {
  return Store::journal_directory(static_cast<uint16_t>(journal));
}

std::shared_ptr<const queue::LiveBatch> EngineHost::find_batch(uint64_t number) const {
  return engine_->find_batch(number);
}

// From any shard's thread; several answers share one way to the control thread.
void EngineHost::wake() {
  if (posted_.exchange(true, std::memory_order_acq_rel)) return;
  post_([this] { take_answers(); });
}

void EngineHost::take_answers() {
  posted_.store(false, std::memory_order_release);
  if (intake_ == nullptr) return;
  for (const intake::AppendAnswer& answer : engine_->take_answers()) intake_->on_answer(answer);
}

}  // namespace veredus::control
