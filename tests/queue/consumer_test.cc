#include "queue/consumer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

TEST(ConsumerTest, ComesBackAsItWas) {
  for (const Consumer& consumer :
       {Consumer{"billing", "AAEC", 1'782'898'205'000'000'000}, Consumer{"gone", "", INT64_MIN},
        Consumer{std::string("\0\xff", 2), std::string(100'000, 'c'), INT64_MAX}}) {
    std::string bytes = "what was there before";
    encode_consumer(consumer, bytes);
    const auto read = decode_consumer(bytes);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, consumer);
  }
}

TEST(ConsumerTest, WhatIsCutOffOrGoesOnIsRefused) {
  std::string bytes;
  encode_consumer({"billing", "AAEC", 12}, bytes);
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A string of its own, so that a sanitizer sees a read beyond it.
    const std::string prefix = bytes.substr(0, length);
    EXPECT_EQ(decode_consumer(prefix).status().code(), absl::StatusCode::kDataLoss) << length;
  }
  EXPECT_EQ(decode_consumer(bytes + '\0').status().code(), absl::StatusCode::kDataLoss);
}

TEST(ConsumerTest, WithoutANameThereIsNone) {
  std::string bytes;
  encode_consumer({"", "AAEC", 12}, bytes);
  EXPECT_EQ(decode_consumer(bytes).status().code(), absl::StatusCode::kDataLoss);
}

TEST(ConsumerTest, AnotherVersionIsRefusedByName) {
  std::string bytes;
  encode_consumer({"billing", "AAEC", 12}, bytes);
  bytes[0] = 2;
  const absl::Status read = decode_consumer(bytes).status();
  EXPECT_EQ(read.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(read.message()), testing::HasSubstr("version 2"));
}

}  // namespace
}  // namespace veredus::queue
