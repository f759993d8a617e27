#include "queue/bytes.h"

#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

TEST(Bytes, VarintsAreWrittenAsInProtobuf) {
  std::string out;
  put_varint(out, 0);
  put_varint(out, 127);
  put_varint(out, 128);
  put_varint(out, 300);
  put_varint(out, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(out,
            std::string("\x00\x7f\x80\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 16));
}

TEST(Bytes, EveryNumberComesBack) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; ++round) {
    const uint64_t value = random() >> (random() % 64);
    std::string out;
    put_varint(out, value);
    put_varint(out, zigzag(static_cast<int64_t>(value)));
    put_number(out, value);
    put_bytes(out, std::string(value % 300, 'x'));
    ByteReader in(out);
    EXPECT_EQ(in.varint(), value);
    EXPECT_EQ(unzigzag(in.varint()), static_cast<int64_t>(value));
    EXPECT_EQ(in.u64(), value);
    EXPECT_EQ(in.bytes().size(), value % 300);
    EXPECT_TRUE(in.ok() && in.at_end());
  }
  EXPECT_EQ(zigzag(0), 0u);
  EXPECT_EQ(zigzag(-1), 1u);
  EXPECT_EQ(zigzag(1), 2u);
  EXPECT_EQ(unzigzag(zigzag(std::numeric_limits<int64_t>::min())),
            std::numeric_limits<int64_t>::min());
}

TEST(Bytes, PastTheEndFailsForGood) {
  ByteReader in(std::string_view("\x05xy", 3));
  EXPECT_EQ(in.bytes(), "");
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0);
  EXPECT_FALSE(in.ok());
}

TEST(Bytes, VarintOfMoreThan64BitsIsRefused) {
  const std::string eleven(10, '\xff');
  ByteReader long_one(eleven);
  long_one.varint();
  EXPECT_FALSE(long_one.ok());
  std::string over(9, '\xff');
  over += '\x02';
  ByteReader wide(over);
  wide.varint();
  EXPECT_FALSE(wide.ok());
  ByteReader bounded(std::string_view("\x65", 1));
  bounded.varint(100);
  EXPECT_FALSE(bounded.ok());
}

}  // namespace
}  // namespace veredus::queue
