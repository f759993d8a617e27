#include "engine/intake/intake.h"

#include <algorithm>
#include <cassert>

#include "engine/intake/job.h"
#include "engine/intake/json_writer.h"

namespace veredus::intake {
namespace {

std::string key_of(std::string_view tenant, std::string_view name) {
  std::string key(tenant);
  key += '\0';
  key.append(name);
  return key;
}

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
    : port_(port), settings_(std::move(settings)) {}
Intake::~Intake() = default;

std::shared_ptr<Upload> Intake::begin_upload(UploadListener& listener) {
  const uint64_t id = next_upload_++;
  const auto running = std::count_if(uploads_.begin(), uploads_.end(), [](const auto& upload) {
    return !upload.second->overloaded();
  });
  uploads_.emplace(id,
                   std::make_unique<Job>(*this, id, listener, running >= settings_.uploads_max));
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
  const auto found = tokens_.find(answer.token);
  if (found == tokens_.end()) return;
  const Sent sent = found->second;
  tokens_.erase(found);
  unanswered_ -= sent.bytes;
  with(sent.upload, [&](Job& job) { job.append_answered(sent.bytes, sent.recipients, answer); });
  resume_some();
}

void Intake::resume_some() {
  if (unanswered_ > settings_.unanswered_max / 2) return;
  std::vector<uint64_t> paused;
  for (const auto& [id, job] : uploads_) {
    if (job->paused()) paused.push_back(id);
  }
  for (const uint64_t id : paused) {
    with(id, [](Job& job) { job.resume(); });
  }
}

void Intake::remember(BatchPtr live) {
  const queue::Batch& batch = live->batch;
  answers_bytes_ += live->answer_json.size();
  keys_[key_of(batch.tenant, batch.name)] = live;
  batches_[batch.number] = std::move(live);
}

void Intake::restore(BatchPtr live) {
  next_number_ = std::max(next_number_, live->batch.number + 1);
  remember(std::move(live));
}

Intake::BatchPtr Intake::find(std::string_view tenant, std::string_view name) const {
  const auto found = keys_.find(key_of(tenant, name));
  return found == keys_.end() ? nullptr : found->second;
}

void Intake::for_each(const std::function<void(const BatchPtr&)>& visit) const {
  for (const auto& [number, live] : batches_) visit(live);
}

std::string Intake::limits_json() const {
  const FeedLimits& limits = settings_.feed.limits;
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("recipients", limits.recipients_max)
      .field("batch_line_bytes", limits.batch_line_bytes);
  json.field("recipient_line_bytes", limits.recipient_line_bytes)
      .field("message_bytes", limits.message_bytes);
  json.field("nesting", limits.nesting_max)
      .field("vars", limits.vars_max)
      .field("tags", limits.tags_max);
  json.field("meta_bytes", limits.meta_bytes).field("uploads", settings_.uploads_max);
  json.field("batches", settings_.batches_max)
      .field("refusals_in_answer", settings_.refusals_in_answer);
  json.key("pools").begin_array();
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
