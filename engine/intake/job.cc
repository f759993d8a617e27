#include "engine/intake/job.h"

#include <algorithm>
#include <cassert>

#include "engine/intake/json_writer.h"
#include "engine/intake/memory.h"

namespace veredus::intake {
namespace {

using queue::FrameType;

constexpr std::string_view kNotReplayed = "false}";  // how every stored answer ends

}  // namespace

Intake::Job::Job(Intake& intake, uint64_t id, UploadListener& listener, bool overloaded)
    : intake_(intake),
      id_(id),
      listener_(&listener),
      overloaded_(overloaded),
      sha_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(sha_, EVP_sha256(), nullptr);
}

Intake::Job::~Job() {
  intake_.held_ -= held_;
  intake_.coming_ -= coming_;
  EVP_MD_CTX_free(sha_);
}

// -------------------------------------------------------------------------------------------------
// from outside

void Intake::Job::feed(std::string_view bytes) {
  if (state_ != State::receiving && state_ != State::comparing) return;
  if (overloaded_) {
    return unavailable("there are " + std::to_string(intake_.settings().uploads_max) +
                       " uploads at once already");
  }
  if (parser_ == nullptr) {
    began_under_ = intake_.settings_;
    parser_ = std::make_unique<FeedParser>(began_under_->feed, *this);
  }
  EVP_DigestUpdate(sha_, bytes.data(), bytes.size());
  if (state_ == State::comparing) return;
  if (!parser_->feed(bytes)) return refuse(parser_->error());
  account();
  if (intake_.held_ > intake_.settings().held_max) {
    return unavailable("uploads under way hold the maximum of " +
                       std::to_string(intake_.settings().held_max) + " bytes");
  }
  paused_ = state_ == State::receiving && (unanswered_ > intake_.settings().upload_unanswered_max ||
                                           intake_.unanswered_ > intake_.settings().unanswered_max);
}

void Intake::Job::finish() {
  feed({});  // an empty body has to be looked at, too
  if (state_ == State::comparing) return compare();
  if (state_ != State::receiving) return;
  if (!parser_->finish()) return refuse(parser_->error());
  if (state_ == State::comparing) return compare();  // the only line lacked its end
  sha256_ = digest();
  parser_.reset();
  paused_ = false;
  if (!large_) return commit();
  close_extent();
  account();
  state_ = State::waiting;
  if (outstanding_ == 0) commit();
}

void Intake::Job::abandon() {
  listener_ = nullptr;
  answered_ = true;
  if (state_ == State::committing || state_ == State::done) return;
  give_up();
}

void Intake::Job::append_answered(uint64_t bytes, uint32_t recipients, const AppendAnswer& answer) {
  --outstanding_;
  unanswered_ -= bytes;
  coming_ -= recipients;
  intake_.coming_ -= recipients;
  if (state_ == State::done) return;
  if (!answer.status.ok()) {
    return unavailable("the spool could not be written: " + std::string(answer.status.message()));
  }
  if (answer.content.length != 0) {
    content_at_ = answer.content;
    content_sum_ = answer.content_sum;
  }
  refusals_at_.insert(refusals_at_.end(), answer.refusals.begin(), answer.refusals.end());
  if (state_ == State::committing) return committed();
  if (state_ == State::waiting && outstanding_ == 0) commit();
}

void Intake::Job::resume() {
  if (!paused_ || unanswered_ > intake_.settings().upload_unanswered_max / 2) return;
  paused_ = false;
  if (listener_ != nullptr && !answered_) listener_->on_resume();
}

// -------------------------------------------------------------------------------------------------
// what is told

void Intake::Job::reply(Answer answer) {
  state_ = State::done;
  paused_ = false;
  if (answered_) return;
  answered_ = true;
  if (listener_ != nullptr) listener_->on_answer(answer);
}

void Intake::Job::refuse(const FeedError& error) {
  Answer answer;
  answer.status = error.http;
  if (error.http == 503 || error.http == 429)
    answer.retry_after_s = intake_.settings().retry_after_s;
  append_error_json(error, answer.body);
  give_up();
  reply(std::move(answer));
}

void Intake::Job::unavailable(std::string reason) {
  FeedError error;
  error.http = 503;
  error.code = "unavailable";
  error.reason = std::move(reason);
  error.hint = "nothing of the batch was kept: send it again later";
  refuse(error);
}

// Nothing of the batch is kept: neither now nor after a crash.
void Intake::Job::give_up() {
  assert(state_ != State::done);
  if (batch_ != nullptr && (large_ || state_ == State::committing)) {
    AppendRequest abort;
    abort.batch = batch_->number;
    abort.frames.push_back({FrameType::abort, {}});
    append_number(batch_->number, abort.frames.back().payload);
    intake_.port_.append(coordinator_, std::move(abort));
    intake_.port_.discard(batch_->number);
  }
  release();
  state_ = State::done;
}

void Intake::Job::release() {
  if (!key_.empty()) intake_.keys_in_progress_.erase(key_);
  key_.clear();
  if (tenant_ != nullptr) tenant_->release(reserved_, reserved_bytes_);
  tenant_.reset();
}

// ------------------------------------------------------------------------------------------- what
// the parser finds

FeedHandler::Key Intake::Job::on_key(std::string_view tenant, std::string_view name,
                                     FeedError& error) {
  std::string key = key_of(tenant, name);
  error = FeedError();
  if (intake_.keys_in_progress_.contains(key)) {
    error.http = 409;
    error.code = "in_progress";
    error.reason = "an upload of this batch is running";
    error.hint = "wait for its end, then send the same body again: the answer will be the same";
    return Key::refuse;
  }
  const auto known = intake_.keys_.find(key);
  if (known != intake_.keys_.end()) {
    known_ = known->second;
    state_ = State::comparing;
    return Key::compare;
  }
  error.http = 503;
  error.code = "unavailable";
  error.hint = "nothing of the batch was kept: send it again later";
  if (!intake_.port_.accepting(error.reason)) return Key::refuse;
  const IntakeSettings& settings = intake_.settings();
  if (intake_.keys_.size() + intake_.keys_in_progress_.size() >= settings.batches_max) {
    error.reason =
        "the maximum of " + std::to_string(settings.batches_max) + " remembered batches is reached";
    return Key::refuse;
  }
  if (intake_.answers_bytes_ > settings.answers_bytes_max) {
    error.reason = "the answers remembered take the maximum of " +
                   std::to_string(settings.answers_bytes_max) + " bytes";
    return Key::refuse;
  }
  error = FeedError();
  intake_.keys_in_progress_.emplace(key, id_);
  key_ = std::move(key);
  return Key::proceed;
}

int64_t Intake::Job::wall_ns() {
  return intake_.port_.wall_ns();
}

bool Intake::Job::on_batch(const queue::Batch& batch, std::string content, FeedError& error) {
  tenant_ = intake_.tenants_.of(batch.tenant);
  content_bytes_ = content.size();
  if (!tenant_takes_bytes(error)) return false;
  auto mine = std::make_shared<queue::Batch>(batch);
  mine->number = intake_.next_number_++;
  batch_ = std::move(mine);
  content_ = std::move(content);
  coordinator_ = intake_.take_shard();
  if (content_.size() > intake_.settings().small_bytes) become_large();
  return true;
}

// Whether one more recipient may come. Until the shards count them themselves (they have answered)
// those of uploads are counted here; in between some count twice, never none. What waits grows only
// by what comes through here, so the shards are asked again only when the room of last time is used
// up.
bool Intake::Job::has_room(FeedError& error) const {
  const uint64_t most = intake_.settings().waiting_max;
  if (intake_.room_ == 0) {
    const uint64_t taken = intake_.port_.waiting_recipients() + intake_.coming_;
    intake_.room_ = most - std::min(most, taken);
  }
  if (accepted_ < most && intake_.room_ > 0) return true;
  error = FeedError();
  if (accepted_ >= most) {
    error.http = 413;
    error.code = "too_large";
    error.reason =
        "the batch has more recipients than may wait in the engine (" + std::to_string(most) + ")";
    error.hint = "send it in smaller batches, or raise limits.waiting";
  } else {
    error.http = 503;
    error.code = "unavailable";
    error.reason =
        "with this batch more recipients would wait than may (" + std::to_string(most) + ")";
    error.hint = "nothing of the batch was kept: send it again later";
  }
  return false;
}

// The same for the tenant; what is asked for is taken.
bool Intake::Job::tenant_has_room(FeedError& error) {
  if (tenant_ == nullptr) return true;
  const uint64_t most = tenant_->quota().waiting;
  const bool too_large = most != 0 && accepted_ >= most;
  if (!too_large && tenant_->reserve_recipient()) {
    ++reserved_;
    return true;
  }
  const std::string quota = std::to_string(most) + " recipients waiting";
  refuse_over_quota(too_large, quota, tenant_->waiting_setting(), error);
  return false;
}

// What has come of the batch since the last call, against the tenant's bytes.
bool Intake::Job::tenant_takes_bytes(FeedError& error) {
  if (tenant_ == nullptr) return true;
  const uint64_t most = tenant_->quota().bytes;
  const uint64_t bytes =
      content_bytes_ + extent_bytes_ + (extent_ == nullptr ? 0 : extent_->bytes());
  const bool too_large = most != 0 && bytes > most;
  if (!too_large && tenant_->reserve_bytes(bytes - std::min(bytes, reserved_bytes_))) {
    reserved_bytes_ = std::max(bytes, reserved_bytes_);
    return true;
  }
  const std::string quota = std::to_string(most) + " bytes in the spool";
  refuse_over_quota(too_large, quota, tenant_->bytes_setting(), error);
  return false;
}

void Intake::Job::refuse_over_quota(bool too_large, const std::string& quota,
                                    const std::string& setting, FeedError& error) const {
  error = FeedError();
  const std::string whose = "the quota of tenant " + tenant_->name() + ", " + quota;
  if (too_large) {
    error.http = 413;
    error.code = "too_large";
    error.reason = "the batch by itself is more than " + whose;
    error.hint = "send it in smaller batches, or raise " + setting;
  } else {
    error.http = 429;
    error.code = "tenant_quota";
    error.reason = "with this batch there would be more than " + whose;
    error.hint =
        "nothing of the batch was kept: send it again when more of the tenant's mail has "
        "left, or raise " +
        setting;
  }
}

void Intake::Job::on_batch_findings(const MessageFindings& findings) {
  findings_.add_batch(findings);
}
void Intake::Job::on_recipient_findings(uint64_t line, const MessageFindings& findings) {
  findings_.add_recipient(line, findings);
}

bool Intake::Job::on_recipient(const queue::Entry& entry, FeedError& error) {
  if (!has_room(error) || !tenant_has_room(error)) return false;
  ++coming_;
  ++intake_.coming_;
  --intake_.room_;
  const IntakeSettings& settings = intake_.settings();
  if (extent_ != nullptr && (extent_->count() >= settings.extent_recipients ||
                             extent_->bytes() >= settings.extent_bytes)) {
    close_extent();
  }
  if (extent_ != nullptr && !extent_->add(entry)) close_extent();
  if (extent_ == nullptr) {
    // Not the first: this one will be full, too.
    const size_t expected = large_ ? settings.extent_bytes + queue::kPageBytesTarget : 0;
    extent_ = std::make_unique<queue::ExtentWriter>(batch_->number, entry.index, expected);
    const bool added = extent_->add(entry);
    assert(added && "the first entry of an extent is in its span");
    static_cast<void>(added);
  }
  ++accepted_;
  if (!entry.has_message) findings_.add_sharer();
  return tenant_takes_bytes(error);
}

void Intake::Job::on_refused(uint64_t line, std::string_view to, std::string_view status,
                             std::string_view reason) {
  constexpr size_t kToShown = 320;  // what was fed may be anything
  const size_t start = refusals_.size();
  JsonWriter json(refusals_);
  json.begin_object().field("line", line).field("to", to.substr(0, kToShown));
  json.field("status", status).field("reason", reason).end_object();
  if (refused_ < intake_.settings().refusals_in_answer) {
    if (refused_ > 0) refusals_json_ += ',';
    refusals_json_.append(refusals_, start);
  }
  refusals_ += '\n';
  ++refused_;
  if (refusals_.size() < intake_.settings().extent_bytes) return;
  if (!large_) become_large();
  AppendRequest frame = request();
  put_refusals(frame);
  send(coordinator_, std::move(frame));
}

// -------------------------------------------------------------------------------------------- down
// to the shards

AppendRequest Intake::Job::request() const {
  AppendRequest made;
  made.batch = batch_->number;
  made.meta = batch_;
  return made;
}

void Intake::Job::send(unsigned shard, AppendRequest request, uint32_t recipients) {
  ++outstanding_;
  unanswered_ += intake_.send(id_, shard, std::move(request), recipients);
}

void Intake::Job::become_large() {
  large_ = true;
  AppendRequest begin = request();
  begin.begins = true;
  begin.content = std::move(content_);
  content_ = std::string();
  begin.meta_to_write = *batch_;
  send(coordinator_, std::move(begin));
}

void Intake::Job::close_extent() {
  if (extent_ == nullptr) return;
  if (!large_) become_large();
  AppendRequest made = request();
  const uint32_t recipients = extent_->count();
  made.frames.push_back({FrameType::extent, extent_->finish()});
  extent_bytes_ += made.frames.back().payload.size();
  extent_.reset();
  ++extents_;
  send(intake_.take_shard(), std::move(made), recipients);
}

void Intake::Job::put_refusals(AppendRequest& request) {
  if (refusals_.empty()) return;
  request.frames.push_back({FrameType::refusals, {}});
  std::string& payload = request.frames.back().payload;
  append_number(batch_->number, payload);
  payload += refusals_;
  refusals_.clear();
}

// Everything is in the journals, or goes into the same group: with this frame durable, the batch
// exists.
void Intake::Job::commit() {
  AppendRequest last = request();
  uint32_t recipients = 0;
  if (!large_) {
    last.begins = true;
    last.content = std::move(content_);
    content_ = std::string();
    last.meta_to_write = *batch_;
    if (extent_ != nullptr) {
      recipients = extent_->count();
      last.frames.push_back({FrameType::extent, extent_->finish()});
      extent_bytes_ += last.frames.back().payload.size();
      extent_.reset();
      ++extents_;
    }
  }
  put_refusals(last);
  JsonWriter json(answer_);
  json.begin_object()
      .field("batch", batch_->name)
      .field("accepted", accepted_)
      .field("refused", refused_);
  json.raw_field("refusals", "[" + refusals_json_ + "]");
  findings_.append(json);
  json.field("replayed", false).end_object();
  refusals_json_ = std::string();
  queue::Commit commit;
  commit.number = batch_->number;
  commit.accepted = accepted_;
  commit.refused = refused_;
  commit.extents = extents_;
  commit.extent_bytes = extent_bytes_;
  commit.body_sha256.assign(reinterpret_cast<const char*>(sha256_.data()), sha256_.size());
  commit.answer_json = answer_;
  commit.last_order = last_order_ = intake_.port_.last_order();
  last.frames.push_back({FrameType::commit, {}});
  queue::encode_commit(commit, last.frames.back().payload);
  state_ = State::committing;
  send(coordinator_, std::move(last), recipients);
  account();
}

void Intake::Job::committed() {
  auto live = std::make_shared<queue::LiveBatch>();
  live->batch = *batch_;
  live->batch.content = content_at_;
  live->batch.content_sum = content_sum_;
  live->accepted = accepted_;
  live->refused = refused_;
  live->extents = extents_;
  live->extent_bytes = extent_bytes_;
  live->coordinator = static_cast<uint16_t>(coordinator_);
  live->body_sha256 = sha256_;
  live->taken_up.last_order = last_order_;
  live->answer_json = std::make_shared<const std::string>(answer_);
  if (!refusals_at_.empty()) {
    live->refusals = std::make_shared<const std::vector<queue::Location>>(std::move(refusals_at_));
  }
  release();
  intake_.remember({live, std::nullopt});
  intake_.port_.announce(std::move(live));
  reply({200, std::move(answer_), 0});
}

void Intake::Job::compare() {
  if (digest() == known_->body_sha256) {
    const queue::LiveBatch::Text answer = known_->answer_json.load();
    std::string body = answer == nullptr ? std::string() : *answer;
    if (body.ends_with(kNotReplayed)) {
      body.resize(body.size() - kNotReplayed.size());
      body += "true}";
    }
    return reply({200, std::move(body), 0});
  }
  FeedError error;
  error.http = 409;
  error.code = "conflict";
  error.reason = "there is a batch of this name with other content";
  error.hint = "give the new content a name of its own; the name was taken by batch number " +
               std::to_string(known_->batch.number);
  refuse(error);
}

std::array<uint8_t, 32> Intake::Job::digest() {
  std::array<uint8_t, 32> sum{};
  EVP_DigestFinal_ex(sha_, sum.data(), nullptr);
  return sum;
}

uint64_t Intake::Job::held() const {
  return (parser_ == nullptr ? 0 : parser_->bytes_held()) + content_.capacity() +
         refusals_.capacity() + refusals_json_.capacity() +
         (extent_ == nullptr ? 0 : extent_->bytes());
}

void Intake::Job::account() {
  intake_.held_ -= held_;
  held_ = held();
  intake_.held_ += held_;
}

}  // namespace veredus::intake
