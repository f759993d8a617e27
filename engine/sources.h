#pragma once

#include <cstdint>

#include "engine/context.h"
#include "engine/io/ports.h"

namespace veredus {

// Whether the addresses to send from are on this host. A source with one that is missing is taken
// out, told, and comes back by itself. The first shard looks at all of them now and then; any shard
// may suspect one.
class Sources {
 public:
  Sources(ShardContext& shard, io::Network& network) : shard_(shard), network_(network) {}

  void run();  // once a turn
  int64_t next_due_mono_ns() const { return shard_.id == 0 ? next_look_mono_ns_ : INT64_MAX; }
  // Its address could not be used. True: it is missing.
  bool suspect(uint16_t source);

 private:
  static constexpr int64_t kLookEveryNs = 10'000'000'000;

  bool missing(const SourceSettings& source);
  void tell(const SourceSettings& source, bool missing);

  ShardContext& shard_;
  io::Network& network_;
  int64_t next_look_mono_ns_ = 0;
};

}  // namespace veredus
