#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "queue/batch.h"
#include "queue/journal.h"
#include "queue/live_batch.h"

namespace veredus::intake {

// One thing that intake asks of a shard: frames to append to its journal, in one group, in this
// order.
struct AppendRequest {
  uint64_t token = 0;  // comes back in Appended; 0: no answer wanted
  uint64_t batch = 0;  // number
  struct Frame {
    queue::FrameType type;
    std::string payload;
  };
  std::vector<Frame> frames;
  // With extent frames: what the shard needs to load their recipients as dormant records (content
  // location not set yet).
  std::shared_ptr<const queue::Batch> meta;
  // When set, the shard appends `content`, sets meta_to_write.content to where it lies, and appends
  // the batch frame itself, before `frames`.
  bool begins = false;
  std::string content;  // empty: no batch message
  queue::Batch meta_to_write;
};

struct AppendAnswer {
  uint64_t token = 0;
  absl::Status status;  // not ok: nothing of the request will come back after a crash as committed
  queue::Location content;                // with `begins`
  uint32_t content_sum = 0;               // likewise
  std::vector<queue::Location> refusals;  // where the refusals frames of the request lie
};

// How intake reaches the shards. Calls do not block; answers come by Intake::on_answer, when
// durable.
class ShardPort {
 public:
  virtual ~ShardPort() = default;
  virtual unsigned shards() const = 0;
  virtual void append(unsigned shard, AppendRequest request) = 0;
  // The batch exists (its commit is durable): every shard activates the dormant records it has of
  // it.
  virtual void announce(std::shared_ptr<const queue::LiveBatch> batch) = 0;
  // The upload was given up: every shard frees what it holds of it.
  virtual void discard(uint64_t batch) = 0;
  // The batch is remembered no longer (durably so): every shard lets go of what it knows of it.
  virtual void forget(uint64_t batch) = 0;
  // Recipients that the shards hold: those waiting, and those of uploads under way.
  virtual uint64_t waiting_recipients() const = 0;
  // False while some shard's journal is unhealthy or full: 503.
  virtual bool accepting(std::string& reason) const = 0;
  // The number of the last order that an operator gave; 0: there was none.
  virtual uint64_t last_order() const = 0;
  virtual int64_t wall_ns() const = 0;
  virtual int64_t mono_ns() const = 0;
};

}  // namespace veredus::intake
