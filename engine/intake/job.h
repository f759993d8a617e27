#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

#include "engine/intake/findings_tally.h"
#include "engine/intake/intake.h"
#include "queue/extent.h"

namespace veredus::intake {

// One upload: what the parser finds goes into extents, the extents to the shards, and when all of
// them are durable, the commit. Knows nothing of other uploads but through Intake.
class Intake::Job final : public FeedHandler {
 public:
  enum class State : uint8_t {
    receiving,
    comparing,   // the key is known: only the hash of the body counts
    waiting,     // the body is complete, appends are not answered yet
    committing,  // the commit is on its way: it runs to its end, whoever hears of it
    done,
  };

  Job(Intake& intake, uint64_t id, UploadListener& listener, bool overloaded);
  ~Job() override;

  void feed(std::string_view bytes);
  void finish();
  void abandon();
  void append_answered(uint64_t bytes, uint32_t recipients, const AppendAnswer& answer);
  // The others leave room: tells the listener when it may go on.
  void resume();

  bool answered() const { return answered_; }
  bool done() const { return state_ == State::done; }
  bool paused() const { return paused_; }
  bool overloaded() const { return overloaded_; }
  unsigned busy = 0;  // calls into the job under way: it must not go

  // FeedHandler
  Key on_key(std::string_view tenant, std::string_view name, FeedError& error) override;
  int64_t wall_ns() override;
  bool on_batch(const queue::Batch& batch, std::string content, FeedError& error) override;
  bool on_recipient(const queue::Entry& entry, FeedError& error) override;
  void on_refused(uint64_t line, std::string_view to, std::string_view status,
                  std::string_view reason) override;
  void on_batch_findings(const MessageFindings& findings) override;
  void on_recipient_findings(uint64_t line, const MessageFindings& findings) override;

 private:
  void reply(Answer answer);
  void refuse(const FeedError& error);
  void unavailable(std::string reason);
  void give_up();
  void release();
  void become_large();
  void close_extent();
  void put_refusals(AppendRequest& request);
  bool has_room(FeedError& error) const;
  bool tenant_has_room(FeedError& error);
  bool tenant_takes_bytes(FeedError& error);
  void refuse_over_quota(bool too_large, const std::string& quota, const std::string& setting,
                         FeedError& error) const;
  void send(unsigned shard, AppendRequest request, uint32_t recipients = 0);
  AppendRequest request() const;
  void commit();
  void committed();
  void compare();
  uint64_t held() const;
  void account();
  std::array<uint8_t, 32> digest();

  Intake& intake_;
  const uint64_t id_;
  UploadListener* listener_;
  State state_ = State::receiving;
  bool overloaded_;
  bool answered_ = false, paused_ = false;
  bool large_ = false;                                 // the batch frame was sent by itself
  std::shared_ptr<const IntakeSettings> began_under_;  // what the parser goes by
  std::unique_ptr<FeedParser> parser_;
  EVP_MD_CTX* sha_;
  std::string key_;  // set while keys_in_progress_ holds it
  BatchPtr known_;   // of the same key
  std::shared_ptr<const queue::Batch> batch_;
  std::string content_;
  std::unique_ptr<queue::ExtentWriter> extent_;
  std::shared_ptr<Tenant> tenant_;              // null: without quota
  uint64_t reserved_ = 0, reserved_bytes_ = 0;  // of its quota
  uint64_t content_bytes_ = 0;
  uint64_t last_order_ = 0;    // of operators, given before the commit
  uint64_t extent_bytes_ = 0;  // of the extents that are closed
  unsigned coordinator_ = 0;
  uint32_t accepted_ = 0, refused_ = 0, extents_ = 0;
  std::string refusals_;       // JSON lines that are in no frame yet
  std::string refusals_json_;  // of the answer
  FindingsTally findings_;
  std::string answer_;
  std::array<uint8_t, 32> sha256_{};
  queue::Location content_at_;
  uint32_t content_sum_ = 0;
  std::vector<queue::Location> refusals_at_;
  uint32_t outstanding_ = 0;  // appends without answer
  uint64_t unanswered_ = 0;   // their bytes
  uint32_t coming_ = 0;       // accepted recipients that no shard has answered for
  uint64_t held_ = 0;         // as Intake counts it
};

}  // namespace veredus::intake
