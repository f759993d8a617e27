#include "engine/io/ports.h"

#include <string>

#include <gtest/gtest.h>

#include "engine/io/clock.h"

namespace veredus::io {
namespace {

TEST(Endpoint, TextBothWays) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "::ffff:192.0.2.1"}) {
    Endpoint endpoint;
    endpoint.port = 25;
    ASSERT_TRUE(parse_address(text, endpoint)) << text;
    EXPECT_EQ(to_text(endpoint), text);
    EXPECT_EQ(endpoint.port, 25);
    EXPECT_EQ(endpoint.family, std::string(text).find(':') == std::string::npos ? 4 : 6);
  }
}

TEST(Endpoint, RefusesWhatIsNoAddress) {
  Endpoint endpoint;
  ASSERT_TRUE(parse_address("192.0.2.7", endpoint));
  const Endpoint before = endpoint;
  using namespace std::string_view_literals;
  for (std::string_view text :
       {""sv, "192.0.2"sv, "192.0.2.256"sv, "[::1]"sv, "::1%lo"sv, "1.2.3.4 "sv, "a"sv,
        "192.0.2.1\0x"sv, "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111"sv}) {
    EXPECT_FALSE(parse_address(text, endpoint)) << text;
    EXPECT_EQ(endpoint, before);
  }
  EXPECT_EQ(to_text(Endpoint{}), "");
}

// xoshiro256** behind splitmix64, computed elsewhere: a replayed seed must mean the same in every
// build.
TEST(Random, IsTheSameEverywhere) {
  Random random(1);
  EXPECT_EQ(random.next(), 0xb3f2af6d0fc710c5u);
  EXPECT_EQ(random.next(), 0x853b559647364ceau);
  for (int i = 2; i < 99; ++i) random.next();
  EXPECT_EQ(random.next(), 0x8ffcb3abe15e0bf9u);
  EXPECT_NE(Random(2).next(), 0xb3f2af6d0fc710c5u);
}

TEST(Random, StaysWithinItsBounds) {
  Random random(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    EXPECT_LT(random.below(10), 10u);
    const double unit = random.unit();
    EXPECT_GE(unit, 0);
    EXPECT_LT(unit, 1);
    sum += unit;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
  EXPECT_EQ(random.below(0), 0u);
}

TEST(SystemClock, GoesOn) {
  SystemClock clock;
  const int64_t first = clock.mono_ns();
  EXPECT_GE(clock.mono_ns(), first);
  EXPECT_GT(clock.wall_ns(), int64_t{1'600'000'000} * 1'000'000'000);
}

}  // namespace
}  // namespace veredus::io
