#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "engine/context.h"
#include "engine/sts_policies.h"
#include "engine/tls_result.h"

namespace veredus {

// How a fault of a policy is counted; `success`: not at all.
TlsResult::Type type_of(tls::StsFault fault);

// One shard's. Days of UTC: this one and the one before; a restart forgets them.
class TlsResults {
 public:
  static constexpr size_t kRowsMax = 65536;  // of a day
  static constexpr size_t kReasonMax = 256;  // bytes of one

  // All outlive it.
  TlsResults(ShardContext& shard, StsPolicies& policies) : shard_(shard), policies_(policies) {}

  void add(TlsResult result);

  void asked(const TlsResultsQuestion& question);
  // Each turn: goes on with the answers, and with forgetting.
  void run();
  bool more_to_do() const { return !answering_.empty() || !gone_.empty(); }

 private:
  static constexpr size_t kToldPerTurn = 2048;
  struct Day {
    int64_t number = -1;
    std::deque<TlsResultsAnswer::Row> rows;
    absl::flat_hash_map<uint64_t, size_t> places;  // by hash of TlsResult::key()
    uint64_t left_out = 0;
  };
  struct Answering {
    TlsResultsQuestion question;
    TlsResultsAnswer answer;
  };
  Day* day(int64_t number);

  ShardContext& shard_;
  StsPolicies& policies_;
  std::array<Day, 2> days_;
  std::deque<Answering> answering_;         // the first one is under way
  std::deque<TlsResultsAnswer::Row> gone_;  // of a day that is over: a share of them goes each turn
};

}  // namespace veredus
