#include "queue/erasure.h"

#include <gtest/gtest.h>

#include "queue/checkpoint.h"
#include "queue/ledger.h"

namespace veredus::queue {
namespace {

TEST(Erasure, IsReadBackAsItWasWritten) {
  for (const Erasure& erasure :
       {Erasure{}, Erasure{-5, {1}}, Erasure{1'800'000'000'000'000'000, {3, 4, 4'000'000'000u}}}) {
    std::string bytes;
    encode_erasure(erasure, bytes);
    const absl::StatusOr<Erasure> read = decode_erasure(bytes);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, erasure);
    for (size_t length = 0; length < bytes.size(); ++length)
      EXPECT_FALSE(decode_erasure(std::string_view(bytes).substr(0, length)).ok()) << length;
    EXPECT_FALSE(decode_erasure(bytes + "x").ok());
  }
}

TEST(Erasure, WhatNoWriterWritesIsDamage) {
  std::string bytes;
  encode_erasure({7, {2, 3}}, bytes);
  std::string other = bytes;
  other[0] = 2;
  EXPECT_EQ(decode_erasure(other).status().code(), absl::StatusCode::kFailedPrecondition);
  bytes.back() = 0;  // the same segment twice
  EXPECT_EQ(decode_erasure(bytes).status().code(), absl::StatusCode::kDataLoss);
  // A count that the bytes do not hold.
  std::string many(bytes, 0, 9);
  many += "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
  EXPECT_EQ(decode_erasure(many).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Erasure, TheLedgerKeepsTheEarliestTime) {
  Ledger ledger(0);
  std::string bytes;
  encode_erasure({50, {1, 2}}, bytes);
  ledger.on_frame(FrameType::erasure, {0, 1, 4096, 0}, bytes);
  encode_checkpoint_erasure({40, {2, 3}}, bytes);
  ledger.on_frame(FrameType::checkpoint, {0, 1, 8192, 0}, bytes);
  encode_erasure({60, {3}}, bytes);
  ledger.on_frame(FrameType::erasure, {0, 1, 9000, 0}, bytes);
  EXPECT_TRUE(ledger.damage().empty());
  EXPECT_EQ(ledger.erasures(), (std::map<uint32_t, int64_t>{{1, 50}, {2, 40}, {3, 40}}));
  ledger.on_frame(FrameType::erasure, {0, 1, 9000, 0}, "\x01");
  EXPECT_EQ(ledger.damage().size(), 1u);
}

}  // namespace
}  // namespace veredus::queue
