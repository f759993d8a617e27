#include "dns/address_policy.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::dns {
namespace {

using Verdict = AddressPolicy::Verdict;

IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(IpAddress{});
}

TEST(IpAddressTest, ParsesAndPrints) {
  for (const char* text :
       {"192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::25", "64:ff9b::c000:201"}) {
    EXPECT_EQ(ip(text).to_string(), text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4x", "[::1]",
                           "fe80::1%eth0", "::g", "1.2.3.4:25", "example.org"}) {
    EXPECT_FALSE(IpAddress::parse(text).has_value()) << text;
  }
}

TEST(AddressPolicyTest, Table) {
  struct Row {
    const char* address;
    const char* reason;  // part of it; empty: allowed
  };
  const Row rows[] = {
      {"0.0.0.0", "0.0.0.0/8"},
      {"0.255.255.255", "0.0.0.0/8"},
      {"1.0.0.0", ""},
      {"9.255.255.255", ""},
      {"10.0.0.1", "private"},
      {"10.255.255.255", "private"},
      {"11.0.0.0", ""},
      {"100.63.255.255", ""},
      {"100.64.0.0", "carrier"},
      {"100.127.255.255", "carrier"},
      {"100.128.0.0", ""},
      {"126.255.255.255", ""},
      {"127.0.0.1", "loopback"},
      {"127.255.255.255", "loopback"},
      {"128.0.0.0", ""},
      {"169.253.255.255", ""},
      {"169.254.0.1", "link-local"},
      {"169.254.169.254", "metadata"},
      {"169.254.169.253", "link-local"},
      {"169.255.0.0", ""},
      {"172.15.255.255", ""},
      {"172.16.0.0", "private"},
      {"172.31.255.255", "private"},
      {"172.32.0.0", ""},
      {"192.0.0.8", "protocols"},
      {"192.0.1.0", ""},
      {"192.0.2.1", "documentation"},
      {"192.88.99.1", "6to4"},
      {"192.167.255.255", ""},
      {"192.168.1.1", "private"},
      {"192.169.0.0", ""},
      {"198.17.255.255", ""},
      {"198.18.0.1", "benchmark"},
      {"198.19.255.255", "benchmark"},
      {"198.20.0.0", ""},
      {"198.51.100.7", "documentation"},
      {"203.0.113.7", "documentation"},
      {"223.255.255.255", ""},
      {"224.0.0.1", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.1", "reserved"},
      {"255.255.255.255", "broadcast"},
      {"::", "unspecified"},
      {"::1", "loopback"},
      {"::2", "not a global"},
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:10.1.2.3", "private"},
      {"::ffff:169.254.169.254", "metadata"},
      {"::ffff:8.8.8.8", ""},
      {"::127.0.0.1", "loopback"},
      {"64:ff9b::10.0.0.1", "private"},
      {"64:ff9b::127.0.0.1", "loopback"},
      {"64:ff9b::8.8.8.8", ""},
      {"64:ff9b:1::1", "not a global"},
      {"100::1", "not a global"},
      {"1fff:ffff::1", "not a global"},
      {"2000::1", ""},
      {"2001:0:1::f5ff:fffe", "private"},  // Teredo, client 10.0.0.1
      {"2001:0:1::f7f7:f7f7", ""},         // Teredo, client 8.8.8.8
      {"2001:2::1", "benchmark"},
      {"2001:10::1", "protocols"},
      {"2001:1ff::1", "protocols"},
      {"2001:200::1", ""},
      {"2001:db8::1", "documentation"},
      {"2001:db9::1", ""},
      {"2002:7f00:1::1", "loopback"},   // 6to4 of 127.0.0.1
      {"2002:c0a8:101::1", "private"},  // 192.168.1.1
      {"2002:808:808::1", ""},          // 8.8.8.8
      {"2a00:1450::1a", ""},
      {"3ffe::1", ""},
      {"3fff::1", "documentation"},
      {"3fff:1000::1", ""},
      {"4000::1", "not a global"},
      {"fbff::1", "not a global"},
      {"fc00::1", "private"},
      {"fd12:3456::1", "private"},
      {"fd00:ec2::254", "metadata"},
      {"fe7f::1", "not a global"},
      {"fe80::1", "link-local"},
      {"febf::1", "link-local"},
      {"fec0::1", "private"},
      {"ff02::1", "multicast"},
  };
  const AddressPolicy policy;
  for (const Row& row : rows) {
    const auto result = policy.check(ip(row.address));
    EXPECT_EQ(result.verdict, *row.reason != 0 ? Verdict::refused : Verdict::allowed)
        << row.address;
    EXPECT_THAT(result.reason, ::testing::HasSubstr(row.reason)) << row.address;
    if (*row.reason == 0) {
      EXPECT_STREQ(result.reason, "") << row.address;
    }
  }
}

TEST(AddressPolicyTest, AllowListOverrides) {
  const AddressPolicy policy({parse_cidr("127.0.0.0/8").value(), parse_cidr("fd00::/8").value()},
                             {ip("127.0.0.9")});
  EXPECT_EQ(policy.check(ip("127.0.0.1")).verdict, Verdict::allowed);
  EXPECT_EQ(policy.check(ip("127.0.0.9")).verdict, Verdict::allowed);
  EXPECT_EQ(policy.check(ip("::ffff:127.0.0.1")).verdict, Verdict::allowed);
  EXPECT_EQ(policy.check(ip("fd00::1")).verdict, Verdict::allowed);
  EXPECT_EQ(policy.check(ip("10.0.0.1")).verdict, Verdict::refused);
  EXPECT_EQ(policy.check(ip("::1")).verdict, Verdict::refused);
  EXPECT_EQ(policy.check(ip("fc00::1")).verdict, Verdict::refused);
}

TEST(AddressPolicyTest, OwnAddress) {
  const AddressPolicy policy({}, {ip("198.20.0.5"), ip("2a00::5"), ip("10.0.0.5")});
  for (const char* own :
       {"198.20.0.5", "2a00::5", "10.0.0.5", "::ffff:198.20.0.5", "64:ff9b::198.20.0.5"}) {
    EXPECT_EQ(policy.check(ip(own)).verdict, Verdict::own) << own;
  }
  EXPECT_EQ(policy.check(ip("198.20.0.6")).verdict, Verdict::allowed);
}

TEST(CidrTest, Parses) {
  struct Row {
    const char* text;
    const char* result;  // the block, or a part of the error behind '!'
  };
  const Row rows[] = {
      {"10.0.0.0/8", "10.0.0.0/8"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"192.0.2.7", "192.0.2.7/32"},
      {"192.0.2.7/32", "192.0.2.7/32"},
      {"192.0.2.8/29", "192.0.2.8/29"},
      {"::/0", "::/0"},
      {"fd00::/8", "fd00::/8"},
      {"2001:db8::1", "2001:db8::1/128"},
      {"", "!not an address block"},
      {"/8", "!not an address block"},
      {"10.0.0/8", "!not an address block"},
      {"example.org/8", "!not an address block"},
      {"10.0.0.0/", "!number from 0 to 32"},
      {"10.0.0.0/33", "!number from 0 to 32"},
      {"10.0.0.0/-1", "!number from 0 to 32"},
      {"10.0.0.0/8x", "!number from 0 to 32"},
      {"10.0.0.0/8/8", "!number from 0 to 32"},
      {"fd00::/129", "!number from 0 to 128"},
      {"10.0.0.1/8", "!for the block write 10.0.0.0/8"},
      {"192.0.2.7/29", "!for the block write 192.0.2.0/29"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<Cidr> block = parse_cidr(row.text);
    if (*row.result != '!') {
      ASSERT_TRUE(block.ok()) << row.text;
      EXPECT_EQ(block->to_string(), row.result);
      continue;
    }
    ASSERT_FALSE(block.ok()) << row.text;
    EXPECT_THAT(std::string(block.status().message()), ::testing::HasSubstr(row.result + 1));
    EXPECT_THAT(std::string(block.status().message()), ::testing::StartsWith(row.text));
  }
}

TEST(CidrTest, Contains) {
  const Cidr block = parse_cidr("192.0.2.8/29").value();
  EXPECT_TRUE(block.contains(ip("192.0.2.8")));
  EXPECT_TRUE(block.contains(ip("192.0.2.15")));
  EXPECT_FALSE(block.contains(ip("192.0.2.16")));
  EXPECT_FALSE(block.contains(ip("192.0.2.7")));
  EXPECT_FALSE(parse_cidr("0.0.0.0/0")->contains(ip("::1")));
}

}  // namespace
}  // namespace veredus::dns
