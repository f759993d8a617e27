#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "queue/batch.h"
#include "queue/bytes.h"
#include "queue/checkpoint.h"
#include "queue/extent.h"
#include "queue/ledger.h"
#include "queue/outcome.h"

// Frames of a journal made by hand, as replay gives them.
namespace veredus::queue {

struct HandFrame {
  FrameType type;
  Location at;
  std::string payload;
};

inline std::string batch_payload(uint64_t number, int64_t accepted_wall_ns = 0) {
  Batch batch;
  batch.number = number;
  batch.name = "b" + std::to_string(number);
  batch.accepted_wall_ns = accepted_wall_ns;
  std::string payload;
  encode_batch(batch, payload);
  return payload;
}
inline std::string commit_payload(uint64_t number, uint32_t accepted = 1) {
  Commit commit;
  commit.number = number;
  commit.accepted = accepted;
  std::string payload;
  encode_commit(commit, payload);
  return payload;
}
inline std::string extent_payload(uint64_t batch, uint32_t first_index,
                                  const std::vector<uint32_t>& indexes, bool carried = false) {
  ExtentWriter writer(batch, first_index);
  for (const uint32_t index : indexes) {
    Entry entry;
    entry.index = index;
    entry.to = "a@b.test";
    EXPECT_TRUE(writer.add(entry));
  }
  return writer.finish(carried);
}
inline std::string number_payload(uint64_t number) {
  std::string payload;
  put_number(payload, number);
  return payload;
}
inline std::string outcomes_payload(const std::vector<Outcome>& outcomes) {
  OutcomeWriter writer;
  for (const Outcome& outcome : outcomes) writer.add(outcome);
  std::string payload;
  writer.take(payload);
  return payload;
}
inline Outcome outcome_of(OutcomeType type, uint64_t batch, uint32_t index, const Location& extent,
                          uint16_t attempt = 1, int64_t next_due_wall_ns = 0) {
  Outcome outcome;
  outcome.type = type;
  outcome.batch = batch;
  outcome.index = index;
  outcome.attempt = attempt;
  outcome.segment = extent.segment;
  outcome.page_offset = extent.offset + kExtentHeaderBytes;
  outcome.next_due_wall_ns = next_due_wall_ns;
  return outcome;
}
inline std::string waiting_payload(const WaitingExtent& extent,
                                   const std::vector<std::pair<uint16_t, WaitingState>>& who) {
  WaitingWriter writer;
  for (const auto& [ordinal, state] : who) writer.add(1, extent, ordinal, state);
  std::string payload;
  writer.take(payload);
  return payload;
}
inline std::string tallies_payload(const std::vector<std::pair<uint64_t, Settled>>& tallies) {
  TalliesWriter writer;
  for (const auto& [batch, settled] : tallies) writer.add(batch, settled);
  std::string payload;
  writer.take(payload);
  return payload;
}

}  // namespace veredus::queue
