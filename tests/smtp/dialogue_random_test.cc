#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/smtp/dialogue_model.h"

namespace veredus::smtp_test {
namespace {

// Any bytes.
std::vector<uint8_t> wild(std::mt19937& random) {
  std::vector<uint8_t> bytes(20 + random() % 200);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// A server that mostly answers what it should, so that the dialogue gets far.
std::vector<uint8_t> tame(std::mt19937& random) {
  const auto any = [&random] { return static_cast<uint8_t>(random()); };
  std::vector<uint8_t> bytes = {static_cast<uint8_t>(any() | 8)};
  for (int i = 0; i < 60; ++i) {
    const unsigned what = random() % 64;
    if (what == 0) {
      bytes.push_back(any());
    } else if (what < 10) {
      const auto count = static_cast<uint8_t>(random() % 5);
      bytes.insert(bytes.end(), {8, count});
      for (unsigned n = 0; n <= count; ++n) bytes.push_back(any());
    } else if (what < 14) {
      bytes.insert(bytes.end(), {6, any(), static_cast<uint8_t>(any() & 15)});
    } else {
      bytes.insert(bytes.end(), {0, any(), static_cast<uint8_t>(any() & 15)});
    }
  }
  return bytes;
}

// The model of the fuzz target, on random bytes from fixed seeds.
TEST(DialogueRandom, KeepsItsPromises) {
  size_t delivered = 0;
  for (uint32_t seed = 0; seed < 300'000; ++seed) {
    std::mt19937 random(seed);
    const std::vector<uint8_t> bytes = seed % 2 == 0 ? tame(random) : wild(random);
    DialogueModel model(bytes.data(), bytes.size());
    ASSERT_EQ(model.run(), "") << "seed " << seed;
    delivered += model.delivered();
  }
  // Else the promises were hardly tried.
  EXPECT_GT(delivered, 15'000u);
}

}  // namespace
}  // namespace veredus::smtp_test
