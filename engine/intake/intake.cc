#include "engine/intake/intake.h"

#include <algorithm>
#include <cassert>

#include "engine/intake/job.h"
#include "engine/intake/json_writer.h"
#include "engine/intake/memory.h"
#include "queue/planted.h"

namespace veredus::intake {
namespace {

constexpr size_t kLookedAtPerTick = 256;  // batches

uint64_t bytes_of(const AppendRequest& request) {
  uint64_t bytes = request.content.size();
  for (const AppendRequest::Frame& frame : request.frames) bytes += frame.payload.size();
  return bytes;
}

}  // namespace

Upload::Upload(Intake& intake, uint64_t id) : intake_(intake), id_(id) {}
Upload::~Upload() {
  abandon();
}

void Upload::feed(std::string_view bytes) {
  intake_.with(id_, [&](Intake::Job& job) { job.feed(bytes); });
}
void Upload::finish() {
  intake_.with(id_, [](Intake::Job& job) { job.finish(); });
}
void Upload::abandon() {
  intake_.with(id_, [](Intake::Job& job) { job.abandon(); });
}
bool Upload::wants_pause() const {
  const Intake::Job* job = intake_.find_job(id_);
  return job != nullptr && job->paused();
}
bool Upload::answered() const {
  const Intake::Job* job = intake_.find_job(id_);
  return job == nullptr || job->answered();
}

Intake::Intake(ShardPort& port, IntakeSettings settings)
    : port_(port), settings_(std::make_shared<const IntakeSettings>(std::move(settings))) {}
Intake::~Intake() = default;

std::shared_ptr<Upload> Intake::begin_upload(UploadListener& listener) {
  const uint64_t id = next_upload_++;
  const auto running = std::count_if(uploads_.begin(), uploads_.end(), [](const auto& upload) {
    return !upload.second->overloaded();
  });
  uploads_.emplace(id,
                   std::make_unique<Job>(*this, id, listener, running >= settings_->uploads_max));
  return std::make_shared<Upload>(*this, id);
}

Intake::Job* Intake::find_job(uint64_t id) const {
  const auto found = uploads_.find(id);
  return found == uploads_.end() ? nullptr : found->second.get();
}

template <typename Call>
void Intake::with(uint64_t id, const Call& call) {
  Job* const job = find_job(id);
  if (job == nullptr) return;
  ++job->busy;
  call(*job);
  if (--job->busy == 0 && job->done()) uploads_.erase(id);
}

uint64_t Intake::send(uint64_t upload, unsigned shard, AppendRequest request, uint32_t recipients) {
  const uint64_t bytes = bytes_of(request);
  request.token = next_token_++;
  tokens_.emplace(request.token, Sent{upload, bytes, recipients});
  unanswered_ += bytes;
  port_.append(shard, std::move(request));
  return bytes;
}

void Intake::on_answer(const AppendAnswer& answer) {
  if (const auto going = forgetting_.find(answer.token); going != forgetting_.end()) {
    const std::vector<uint64_t> numbers = std::move(going->second);
    forgetting_.erase(going);
    // If the append failed they are found again when their turn comes.
    if (!answer.status.ok()) return;
    for (const uint64_t number : numbers) forget(number);
    return;
  }
  const auto found = tokens_.find(answer.token);
  if (found == tokens_.end()) return;
  const Sent sent = found->second;
  tokens_.erase(found);
  unanswered_ -= sent.bytes;
  with(sent.upload, [&](Job& job) { job.append_answered(sent.bytes, sent.recipients, answer); });
  resume_some();
}

void Intake::resume_some() {
  if (unanswered_ > settings_->unanswered_max / 2) return;
  std::vector<uint64_t> paused;
  for (const auto& [id, job] : uploads_) {
    if (job->paused()) paused.push_back(id);
  }
  for (const uint64_t id : paused) {
    with(id, [](Job& job) { job.resume(); });
  }
}

void Intake::remember(Remembered entry) {
  const queue::Batch& batch = entry.live->batch;
  answers_bytes_ += entry.live->answer_bytes();
  tenants_.add(entry.live);
  keys_[key_of(batch.tenant, batch.name)] = entry.live;
  batches_[batch.number] = std::move(entry);
}

void Intake::restore(BatchPtr live) {
  next_number_ = std::max(next_number_, live->batch.number + 1);
  Remembered entry;
  if (live->tally.finals() >= live->accepted) {
    const queue::LiveBatch::TakenUp& then = live->taken_up;
    const int64_t last_wall_ns = live->tally.last_outcome_wall_ns;
    const int64_t finished_wall_ns =
        last_wall_ns != 0 ? last_wall_ns : live->batch.accepted_wall_ns;
    entry.finished_mono_ns =
        then.mono_ns - finished_age_on_load_ns(settings_->remember_ns, finished_wall_ns,
                                               then.last_wall_ns, then.wall_ns);
  }
  entry.live = std::move(live);
  remember(std::move(entry));
}

void Intake::apply(IntakeSettings settings) {
  const bool other_quotas = settings.quotas != tenants_.quotas();
  settings_ = std::make_shared<const IntakeSettings>(std::move(settings));
  room_ = 0;
  if (!other_quotas) return;
  tenants_.set_quotas(settings_->quotas);
  for (const auto& [number, entry] : batches_) tenants_.add(entry.live);
}

// -------------------------------------------------------------------------------------------------
// forgetting

int64_t finished_age_on_load_ns(int64_t remember_ns, int64_t finished_wall_ns, int64_t last_wall_ns,
                                int64_t now_wall_ns) {
  const int64_t ran_ns = std::min(last_wall_ns, now_wall_ns) - finished_wall_ns;
  const int64_t oldest = std::max<int64_t>(0, remember_ns - kRememberedAfterStartNs);
  return std::clamp<int64_t>(ran_ns, 0, oldest);
}

bool Intake::may_go(Remembered& entry, int64_t now_mono_ns) const {
  const queue::Tally& tally = entry.live->tally;
  const bool held_count = queue::is_planted(queue::Planted::forgotten_held);
  if ((held_count ? tally.settled() : tally.finals()) < entry.live->accepted) return false;
  if (queue::is_planted(queue::Planted::forgotten_early)) return true;
  if (!entry.finished_mono_ns) entry.finished_mono_ns = now_mono_ns;
  return now_mono_ns - *entry.finished_mono_ns >= settings_->remember_ns;
}

void Intake::tick() {
  // One round's appends at a time. While a journal cannot be written an outcome may not be durable
  // yet, however long ago it was.
  std::string reason;
  if (!forgetting_.empty() || batches_.empty() || !port_.accepting(reason)) return;
  const int64_t now_mono_ns = port_.mono_ns();
  std::map<unsigned, std::vector<uint64_t>> going;  // by journal
  auto at = batches_.lower_bound(next_looked_at_);
  for (size_t left = std::min(kLookedAtPerTick, batches_.size()); left > 0; --left) {
    if (at == batches_.end()) at = batches_.begin();
    if (may_go(at->second, now_mono_ns)) going[at->second.live->coordinator].push_back(at->first);
    ++at;
  }
  next_looked_at_ = at == batches_.end() ? 0 : at->first;
  for (auto& [journal, numbers] : going) {
    AppendRequest request;
    request.token = next_token_++;
    for (const uint64_t number : numbers) {
      request.frames.push_back({queue::FrameType::forgotten, {}});
      append_number(number, request.frames.back().payload);
    }
    forgetting_.emplace(request.token, std::move(numbers));
    port_.append(journal, std::move(request));
  }
}

// Durably so: what is fed under its key from now on is a new batch.
void Intake::forget(uint64_t number) {
  const auto found = batches_.find(number);
  if (found == batches_.end()) return;
  const BatchPtr live = std::move(found->second.live);
  batches_.erase(found);
  answers_bytes_ -= live->answer_bytes();
  tenants_.remove(*live);
  const auto key = keys_.find(key_of(live->batch.tenant, live->batch.name));
  if (key != keys_.end() && key->second == live) keys_.erase(key);
  port_.forget(number);
}

Intake::BatchPtr Intake::find(std::string_view tenant, std::string_view name) const {
  const auto found = keys_.find(key_of(tenant, name));
  return found == keys_.end() ? nullptr : found->second;
}

void Intake::for_each(const std::function<void(const BatchPtr&)>& visit) const {
  for (const auto& [number, entry] : batches_) visit(entry.live);
}

static void append_quota(const TenantQuota& quota, JsonWriter& json) {
  json.field("waiting", quota.waiting).field("bytes", quota.bytes);
}

std::string Intake::limits_json() const {
  const FeedLimits& limits = settings_->feed.limits;
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("recipients", limits.recipients_max)
      .field("batch_line_bytes", limits.batch_line_bytes);
  json.field("recipient_line_bytes", limits.recipient_line_bytes)
      .field("message_bytes", limits.message_bytes);
  json.field("nesting", limits.nesting_max)
      .field("vars", limits.vars_max)
      .field("tags", limits.tags_max)
      .field("dkim", limits.dkim_max)
      .field("headers", limits.headers_max)
      .field("attachments", limits.attachments_max);
  json.field("meta_bytes", limits.meta_bytes).field("uploads", settings_->uploads_max);
  json.field("remember_s", settings_->remember_ns / 1'000'000'000);
  json.field("batches", settings_->batches_max)
      .field("refusals_in_answer", settings_->refusals_in_answer);
  json.field("waiting", settings_->waiting_max);
  // 0: no bound.
  json.key("tenant").begin_object();
  append_quota(settings_->quotas.each, json);
  json.end_object().key("tenants").begin_object();
  for (const auto& [name, quota] : settings_->quotas.of) {
    json.key(name).begin_object();
    append_quota(quota, json);
    json.end_object();
  }
  json.end_object().key("pools").begin_array();
  for (const std::string& pool : limits.pools) json.value(pool);
  json.end_array().end_object();
  return out;
}

void append_batch_json(const queue::LiveBatch& live, int64_t now_wall_ns, std::string& out) {
  constexpr double kSecond = 1e9;
  const queue::Batch& batch = live.batch;
  const queue::Tally& tally = live.tally;
  const auto read = [](const auto& count) { return count.load(std::memory_order_relaxed); };
  // Each is read once, so that what is told adds up.
  const uint32_t delivered = read(tally.delivered), failed = read(tally.failed),
                 expired = read(tally.expired);
  const uint32_t cancelled = read(tally.cancelled), suppressed = read(tally.suppressed);
  const uint32_t in_doubt = read(tally.in_doubt_held);
  const uint32_t settled = delivered + failed + expired + cancelled + suppressed + in_doubt;
  const uint32_t waiting = live.accepted - std::min(settled, live.accepted);
  const int64_t last_ns = read(tally.last_outcome_wall_ns);
  const int64_t until_ns = waiting == 0 && last_ns != 0 ? last_ns : now_wall_ns;
  const double seconds = static_cast<double>(until_ns - batch.accepted_wall_ns) / kSecond;
  const double rate = seconds > 0 ? settled / seconds : 0;
  JsonWriter json(out);
  json.begin_object()
      .field("tenant", batch.tenant)
      .field("batch", batch.name)
      .field_if("campaign", batch.campaign);
  json.field("number", batch.number).time_field("accepted_at", batch.accepted_wall_ns);
  json.field("accepted", live.accepted).field("refused", live.refused);
  json.field("delivered", delivered)
      .field("failed", failed)
      .field("expired", expired)
      .field("cancelled", cancelled);
  json.field("suppressed", suppressed).field("waiting", waiting).field("in_doubt", in_doubt);
  json.field("deferred", std::min(read(tally.deferred_now), waiting));
  json.field("in_doubt_waiting", std::min(read(tally.in_doubt_waiting), waiting));
  json.field("attempts", read(tally.attempts));
  json.field("rate", static_cast<double>(static_cast<int64_t>(rate * 10)) / 10).key("finish_s");
  if (waiting == 0) {
    json.value(0);
  } else if (rate > 0) {
    json.value(static_cast<uint64_t>(waiting / rate));
  } else {
    json.null();
  }
  if (last_ns != 0) json.time_field("last_outcome_at", last_ns);
  json.end_object();
}

}  // namespace veredus::intake
