#pragma once

#include <cstddef>
#include <cstdint>

namespace veredus {

// What a home does at most before others have their turn, and other bounds of it.
struct HomeBudgets {
  // Of a turn; homes on one shard share them.
  static constexpr uint32_t kDuePerTurn = 2048;        // records taken from the wheel
  static constexpr uint32_t kActivatedPerTurn = 8192;  // records of new batches, or unparked
  static constexpr uint32_t kLoadedPerTurn = 16384;    // records made of what the journal held
  static constexpr uint64_t kReplaySegmentsMax = 3;    // of 64 MiB, and outcomes behind it
  static constexpr int64_t kTryAgainNs = 1'000'000'000;
  static constexpr int64_t kWitnessNs = 1'000'000'000;
  static constexpr size_t kCheckpointBytesPerTurn = 64 * 1024;
  static constexpr size_t kCarriedBytesPerTurn = 512 * 1024;
  static constexpr uint64_t kAppendedBytesPerTurn = 256 * 1024;
  static constexpr uint32_t kTicketsPerTurn = 1024;
  static constexpr uint32_t kWalkedPerTurn =
      16384;  // records looked at for a question, or for their ends
  static constexpr uint32_t kRoutesAskedMax = 256;   // questions open at a time
  static constexpr uint32_t kFailuresPerTurn = 512;  // settled, for their domain has no route
  static constexpr uint32_t kHotRecords = 512;  // ready for one site: several shards send to it
  static constexpr uint32_t kHotRecordsMin = 16;
  static constexpr uint32_t kWokenPerTurn = 4096;  // lanes, when any may have room
  static constexpr uint32_t kBurst = 32;           // of one domain in a row
};

}  // namespace veredus
