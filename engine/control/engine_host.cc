#include "engine/control/engine_host.h"

#include <fstream>
#include <utility>

#include "engine/control/log.h"
#include "engine/control/settings.h"
#include "engine/store.h"

namespace veredus::control {

namespace {

constexpr size_t kDamageToldMax = 1000;  // the log has all

// Another one after each start of the host; empty where the kernel does not say.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EngineHost>> EngineHost::start(const Config& config, Post post) {
  absl::StatusOr<EngineSettings> settings = engine_settings(config);
  if (!settings.ok()) return settings.status();
  settings->boot_id = boot_id();
  EngineOptions options;
  options.shards = shards_of(config);
  options.cores = cores_of(config);
  options.spool = config.spool;
  options.dns.servers = config.dns_servers;
  options.dns.trust_ad = config.dns_trust_ad;
  options.authorities = config.authorities;
  options.sts_port = config.sts_port;
  options.dns.timeout_ms = static_cast<int>(config.dns_timeout_ns / 1'000'000);
  options.dns.tries = static_cast<int>(config.dns_tries);

  std::unique_ptr<EngineHost> host(new EngineHost(*std::move(settings), std::move(post)));
  auto files = io::SpoolFiles::open(config.spool);
  if (!files.ok()) return files.status();
  host->disk_ = std::make_unique<io::BlockingDisk>(*std::move(files));

  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::start(host->settings_, std::move(options), *host);
  if (!engine.ok()) return engine.status();
  host->engine_ = *std::move(engine);
  RecoveredSpool spool = host->engine_->take_recovered();
  host->intake_ =
      std::make_unique<intake::Intake>(*host->engine_, intake_settings(config, host->settings_));
  host->intake_->set_next_number(spool.next_batch);
  for (const auto& live : spool.batches) host->intake_->restore(live);
  host->first_batch_of_run_ = spool.next_batch;
  host->recovered_batches_ = spool.batches.size();
  host->recovered_bytes_ = spool.file_bytes;
  host->damage_ = std::move(spool.damage);
  for (auto& [name, consumer] : spool.consumers) host->consumers_.push_back(std::move(consumer));
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
  for (std::string& place : engine_->take_damage()) {
    log_line(LogLevel::error, "damage in the spool: " + place);
    if (damage_.size() < kDamageToldMax) damage_.push_back(std::move(place));
  }
  for (const std::string& what : engine_->take_reports()) log_line(LogLevel::warning, what);
  for (const intake::AppendAnswer& answer : engine_->take_answers()) {
    if (answer.token < kConsumerTokens) {
      intake_->on_answer(answer);
    } else if (auto stored = storing_.extract(answer.token)) {
      stored.mapped()(answer.status);
    }
  }
  for (QuestionAnswer& answer : engine_->take_question_answers())
    std::visit([this](auto& each) { answered(std::move(each)); }, answer);
}

void EngineHost::store_consumer(const queue::Consumer& consumer,
                                std::function<void(absl::Status)> on_stored) {
  intake::AppendRequest request;
  request.token = next_consumer_token_++;
  storing_[request.token] = std::move(on_stored);
  request.frames.push_back({queue::FrameType::consumer, {}});
  queue::encode_consumer(consumer, request.frames.back().payload);
  engine_->append(queue::kConsumersJournal, std::move(request));
}

void EngineHost::ask_in_doubt(const InDoubtQuestion& question,
                              std::function<void(InDoubtAnswer)> on_answer) {
  InDoubtQuestion asked = question;
  asked.token = in_doubt_.asked(std::move(on_answer), journals());
  engine_->ask_in_doubt(asked);
}

void EngineHost::ask_erasure(const ErasureQuestion& question,
                             std::function<void(ErasureAnswer)> on_answer) {
  ErasureQuestion asked = question;
  asked.token = erasures_.asked(std::move(on_answer), journals());
  engine_->ask_erasure(asked);
}

void EngineHost::ask_order(const queue::Order& order, std::function<void(OrderAnswer)> on_answer) {
  OrderQuestion asked;
  asked.order = order;
  asked.token = orders_.asked(std::move(on_answer), journals());
  engine_->ask_order(asked);
}

void EngineHost::answered(OrderAnswer answer) {
  if (answer.done != 0) engine_->order_done(answer.done);
  orders_.answered(std::move(answer));
}

void EngineHost::ask_why(const WhyQuestion& question, std::function<void(WhyAnswer)> on_answer) {
  WhyQuestion asked = question;
  asked.token = whys_.asked(std::move(on_answer), journals());
  engine_->ask_why(asked);
}

void EngineHost::ask_sites(const SitesQuestion& question,
                           std::function<void(SitesAnswer)> on_answer) {
  SitesQuestion asked = question;
  asked.token = sites_.asked(std::move(on_answer), shards());
  engine_->ask_sites(asked);
}

void EngineHost::ask_tls_results(const TlsResultsQuestion& question,
                                 std::function<void(TlsResultsAnswer)> on_answer) {
  TlsResultsQuestion asked = question;
  asked.token = tls_results_.asked(std::move(on_answer), shards());
  engine_->ask_tls_results(asked);
}

// Events of it are kept as all others are. A registered consumer may hold them longer.
int64_t EngineHost::erased_after_ns() const {
  const EventSettings& events = settings_.events;
  return settings_.erase_within_ns +
         (consumers_.empty() ? events.keep_ns : std::max(events.keep_ns, events.consumers_keep_ns));
}

}  // namespace veredus::control
