#pragma once

#include <cstdint>

#include "engine/context.h"
#include "engine/io/ports.h"

namespace veredus {

// Whether the addresses to send from are on this host. One that is missing is told and not sent
// from; a source that has no other is taken out. Both come back by themselves. The first shard
// looks at all of them in turn; any shard may suspect one.
class Sources {
 public:
  Sources(ShardContext& shard, io::Network& network) : shard_(shard), network_(network) {}

  void run();  // once a turn
  int64_t next_due_mono_ns() const { return shard_.id == 0 ? next_look_mono_ns_ : INT64_MAX; }
  // An address of it could not be used.
  void suspect(uint16_t source);

 private:
  static constexpr int64_t kLookEveryNs = 10'000'000'000;
  static constexpr size_t kLookedAt = 16;  // at a time

  void look(const SourceSettings& source);
  void report(const SourceSettings& source, const io::Endpoint& address, bool gone);

  ShardContext& shard_;
  io::Network& network_;
  size_t next_ = 0;  // id of the one that is looked at next
  int64_t next_look_mono_ns_ = 0;
};

}  // namespace veredus
