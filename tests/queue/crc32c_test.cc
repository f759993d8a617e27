#include "queue/crc32c.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

TEST(Crc32c, CheckValues) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c_by_table("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  // RFC 3720 appendix B.4: 32 bytes of zeros, of ones, ascending.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32c, InstructionAndTableAgreeAndPiecesAddUp) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % (round % 4 == 0 ? 6000 : 200), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const size_t cut = bytes.empty() ? 0 : random() % bytes.size();
    const uint32_t whole = crc32c(bytes);
    EXPECT_EQ(whole, crc32c_by_table(bytes));
    EXPECT_EQ(whole, crc32c(bytes.substr(cut), crc32c(bytes.substr(0, cut))));
    EXPECT_EQ(whole, crc32c_by_table(bytes.substr(cut), crc32c_by_table(bytes.substr(0, cut))));
  }
}

}  // namespace
}  // namespace veredus::queue
