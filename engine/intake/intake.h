#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/intake/feed_parser.h"
#include "engine/intake/port.h"
#include "engine/intake/tenants.h"
#include "queue/batch.h"
#include "queue/live_batch.h"

namespace veredus::intake {

struct IntakeSettings {
  FeedSettings feed;
  uint64_t upload_unanswered_max =
      16u << 20;  // bytes sent to shards and not answered, of one upload: it pauses
  uint64_t unanswered_max = 64u << 20;  // of all uploads: all pause
  uint64_t held_max =
      512u << 20;             // bytes that all uploads hold here: the next one is refused (503)
  uint32_t uploads_max = 64;  // at once; more are refused (503)
  // Recipients in the engine, those of uploads under way included: beyond it a batch is refused
  // (503), before anything of it is written; one that is larger by itself always (413).
  uint64_t waiting_max = 50'000'000;
  uint64_t small_bytes = 1u << 20;  // a batch up to this goes as one request to one shard: one sync
  uint64_t extent_bytes = 512u << 10;  // of a large batch; the extents go round all shards
  uint32_t extent_recipients = 4096;   // a shard makes records of one in a turn
  uint32_t refusals_in_answer = 1000;
  uint32_t batches_max =
      1'000'000;  // remembered (idempotency); at the maximum new ones are refused (503)
  uint64_t answers_bytes_max = 1u << 30;  // of their stored answers; likewise
  // How long a batch is remembered after its last outcome (idempotency): see memory.h.
  int64_t remember_ns = 7 * 86400 * int64_t{1'000'000'000};
  unsigned retry_after_s = 5;  // told with every 503 and 429
  TenantQuotas quotas;
};

// What the feeder is told.
struct Answer {
  int status = 200;
  std::string body;            // JSON
  unsigned retry_after_s = 0;  // 0: no Retry-After
};

class UploadListener {
 public:
  virtual ~UploadListener() = default;
  // Once per upload, unless it is abandoned; may come from inside feed() or finish(). The rest of
  // the body, if any, is of no interest any more.
  virtual void on_answer(const Answer& answer) = 0;
  // wants_pause() is false again.
  virtual void on_resume() = 0;
};

class Intake;

// One POST /v1/batches under way. Dropping the last handle of an upload that was neither answered
// nor abandoned is as abandon(). Must not outlive the Intake.
class Upload {
 public:
  Upload(Intake& intake, uint64_t id);
  ~Upload();

  void feed(std::string_view bytes);
  void finish();  // the body is complete
  // The connection is lost; the listener hears nothing more. Before the commit was asked for,
  // nothing of the batch is kept; after it, the batch goes its way, and the feeder will get the
  // stored answer when it asks again.
  void abandon();
  // True: do not read on until on_resume(). What feed() is given is taken all the same.
  bool wants_pause() const;
  bool answered() const;

 private:
  Intake& intake_;
  const uint64_t id_;
};

// The feed's side of the engine: turns uploads into appends to the shards' journals, and remembers
// what it told whom. Thread-less: all calls from one thread (the control thread; in tests the
// simulated world).
//
// A batch exists when its commit frame is durable, and is announced and acknowledged only then. A
// small batch is one request: batch, content, extent, refusals, commit in one group of one journal.
// A large one begins at a coordinator shard; extents go round all shards, and the commit to the
// coordinator when every append before it was answered well.
class Intake {
 public:
  using BatchPtr = std::shared_ptr<const queue::LiveBatch>;

  Intake(ShardPort& port, IntakeSettings settings);
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  std::shared_ptr<Upload> begin_upload(UploadListener& listener);
  void on_answer(const AppendAnswer& answer);
  // Other settings hold from now on: at once but for uploads under way, which keep the limits of
  // lines, and the pools, that were there when they began.
  void apply(IntakeSettings settings);
  // Now and then, as often as the caller likes: forgets what need not be remembered any more. A
  // bounded piece of work.
  void tick();

  // Recovery, before the first upload: the next free number; each batch that exists.
  void set_next_number(uint64_t number) { next_number_ = number; }
  void restore(BatchPtr live);

  // A batch that exists; null: there is none of that name.
  BatchPtr find(std::string_view tenant, std::string_view name) const;
  // In ascending number.
  void for_each(const std::function<void(const BatchPtr&)>& visit) const;
  size_t batches() const { return batches_.size(); }
  // The highest number of those that exist; 0: there are none.
  uint64_t highest_number() const { return batches_.empty() ? 0 : batches_.rbegin()->first; }
  void for_each_tenant(const std::function<void(Tenant&)>& visit) const {
    tenants_.for_each(visit);
  }
  size_t uploads() const { return uploads_.size(); }
  // Bytes sent to shards and not answered; what all uploads hold here.
  uint64_t unanswered_bytes() const { return unanswered_; }
  uint64_t held_bytes() const { return held_; }
  const IntakeSettings& settings() const { return *settings_; }
  // The answer to GET /v1/limits.
  std::string limits_json() const;

 private:
  friend class Upload;
  class Job;  // an upload, from its first byte to its last answer
  struct Sent {
    uint64_t upload = 0;
    uint64_t bytes = 0;
    uint32_t recipients = 0;
  };
  Job* find_job(uint64_t id) const;
  // Gives `job` its say and lets go of it when it is done.
  template <typename Call>
  void with(uint64_t id, const Call& call);
  uint64_t send(uint64_t upload, unsigned shard, AppendRequest request, uint32_t recipients);
  unsigned take_shard() { return next_shard_++ % port_.shards(); }
  // A batch that exists, and since when (monotonic clock) all of it is settled, as far as is known.
  struct Remembered {
    BatchPtr live;
    std::optional<int64_t> finished_mono_ns;
  };
  void remember(Remembered entry);
  bool may_go(Remembered& entry, int64_t now_mono_ns) const;
  void forget(uint64_t number);
  void resume_some();

  ShardPort& port_;
  std::shared_ptr<const IntakeSettings> settings_;
  Tenants tenants_{settings_->quotas};
  uint64_t next_number_ = 1;
  uint64_t next_upload_ = 1;
  uint64_t next_token_ = 1;
  unsigned next_shard_ = 0;
  uint64_t unanswered_ = 0;
  uint64_t held_ = 0;
  uint64_t room_ = 0;    // recipients that may come before the shards are asked again
  uint64_t coming_ = 0;  // recipients of uploads that the shards do not count yet
  uint64_t answers_bytes_ = 0;
  std::map<uint64_t, std::unique_ptr<Job>> uploads_;             // by id
  absl::flat_hash_map<uint64_t, Sent> tokens_;                   // appends without answer
  absl::flat_hash_map<std::string, uint64_t> keys_in_progress_;  // tenant NUL name → upload id
  absl::flat_hash_map<std::string, BatchPtr> keys_;
  std::map<uint64_t, Remembered> batches_;                           // by number
  absl::flat_hash_map<uint64_t, std::vector<uint64_t>> forgetting_;  // by token: numbers
  uint64_t next_looked_at_ = 0;                                      // batch number
};

// One batch's tallies as a JSON object: tenant, batch, campaign, accepted, refused, delivered,
// failed, expired, cancelled, suppressed, waiting, in_doubt, deferred, attempts, rate, finish_s and
// times. rate is outcomes a second since acceptance.
void append_batch_json(const queue::LiveBatch& live, int64_t now_wall_ns, std::string& out);

}  // namespace veredus::intake
