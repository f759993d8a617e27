#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace veredus {

// Whose sessions somebody wants to see; all that is set must fit. Names of domains and hosts in
// lower case, with a dot in front all below.
struct TraceFilter {
  std::string site;  // key
  std::string
      domain;        // of recipients: sessions to the sites its mail goes to, but for others' mail
  std::string host;  // of the site; or its address
  std::string source, provider;
  bool credentials = false;  // else what AUTH says is left out
  bool content = false;      // else only how large it is
};

// What a session did, said or heard.
struct TraceLine {
  enum class What : uint8_t { dialled, connected, tls, client, server, content, closed };
  What what = What::client;
  uint16_t shard = 0;
  int64_t wall_ns = 0;
  uint64_t session = 0;  // the shard's number of it
  std::string site, host, address, source;
  std::string text;  // raw bytes of the far side, or of the content; without end of line
  size_t bytes() const {
    return sizeof *this + site.size() + host.size() + address.size() + source.size() + text.size();
  }
};

// Lines on their way from the shards to somebody who looks on. What he does not take is left out,
// and counted: no shard waits for him.
class Trace {
 public:
  static constexpr size_t kBytesMax = size_t{1} << 20;  // that lie here

  explicit Trace(TraceFilter filter) : filter_(std::move(filter)) {}

  const TraceFilter& filter() const { return filter_; }

  // Whoever looks on, any thread: what has come; and how many lines were left out meanwhile.
  std::vector<TraceLine> take(uint64_t& left_out);
  // He has gone: the shards let go of it.
  void end() { over_.store(true, std::memory_order_relaxed); }

  // Any shard.
  bool over() const { return over_.load(std::memory_order_relaxed); }
  // Empties `lines`, and makes `left_out` 0. False: somebody else is at it, next turn.
  bool hand_over(std::vector<TraceLine>& lines, uint64_t& left_out);
  // Sites that the mail of filter().domain goes to, by number.
  void add_site(uint32_t site);
  bool has_site(uint32_t site);

 private:
  const TraceFilter filter_;
  std::atomic<bool> over_{false};
  std::mutex mutex_;  // of all that follows; held for moments
  std::vector<TraceLine> lines_;
  size_t bytes_ = 0;
  uint64_t left_out_ = 0;
  absl::flat_hash_set<uint32_t> sites_;
};

}  // namespace veredus
