#include "engine/mail/address.h"

#include <string>

#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

AddressFault fault_of(std::string_view text) {
  Address address;
  return check_address(text, address);
}

TEST(Address, GoodOnes) {
  for (const std::string_view good :
       {"ada@example.org", "a.b.c@x.y", "ada+tag=x@example.org", "\"ada lovelace\"@example.org",
        "\"a\\\"b\"@example.org", "\"a@b\"@example.org", "!#$%&'*+-/=?^_`{|}~@example.org",
        "ada@xn--bcher-kva.example", "ada@a-b.3com.com", "a@localhost", "ad\xC3\xA4@example.org",
        "\u00a0\u2027\u202f\u2065\u206a\u200d@example.org", "1@1.example"}) {
    EXPECT_EQ(fault_of(good), AddressFault::none) << good;
  }
}

TEST(Address, FaultsByName) {
  using F = AddressFault;
  const std::pair<std::string, F> rows[] = {
      {"", F::empty},
      {"ada", F::no_at},
      {"\"ada\"x@example.org", F::no_at},
      {"\"ada@example.org", F::no_at},
      {"x@", F::domain_empty},
      {"@example.org", F::local_empty},
      {".ada@example.org", F::local_syntax},
      {"ada.@example.org", F::local_syntax},
      {"a..b@example.org", F::local_syntax},
      {"a b@example.org", F::local_syntax},
      {"a,b@example.org", F::local_syntax},
      {"a@b@example.org", F::domain_syntax},
      {"ada@-x.org", F::domain_syntax},
      {"ada@x-.org", F::domain_syntax},
      {"ada@x-", F::domain_syntax},
      {"ada@x..org", F::domain_syntax},
      {"ada@.org", F::domain_syntax},
      {"ada@x.org.", F::domain_syntax},
      {"ada@x_y.org", F::domain_syntax},
      {"ada@x y.org", F::domain_syntax},
      {"ada@192.0.2.1", F::domain_syntax},
      {"ada@[192.0.2.1]", F::literal},
      {"<ada@example.org>", F::brackets},
      {"Ada <ada@example.org>", F::brackets},
      {"ad\xC3@example.org", F::local_syntax},
      {"ada@b\xC3\xBC"
       "cher.example",
       F::domain_utf8},
      {"ada\r\nRCPT TO:<eve@x.y>@example.org", F::control},
      {"ada@example.org\r\n", F::control},
      {"ada@example.org\n", F::control},
      {std::string("ada\0@example.org", 16), F::control},
      {"ada\t@example.org", F::control},
      {"ada\x7f@example.org", F::control},
      {"ada\u0080@example.org", F::control},
      {"ada\u009f@example.org", F::control},
      {"\"ada\u009b\"@example.org", F::control},
      {"\u202eada@example.org", F::control},
      {"ada\u2028@example.org", F::control},
      {"ada\u200f@example.org", F::control},
      {"ada\u2066@example.org", F::control},
      {"\ufeffada@example.org", F::control},
      {std::string(65, 'a') + "@example.org", F::local_long},
      {"a@" + std::string(64, 'x') + ".org", F::domain_long},
      {std::string(60, 'a') + "@" + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
           std::string(60, 'd') + "." + std::string(60, 'e'),
       F::too_long},
  };
  for (const auto& [text, fault] : rows) {
    EXPECT_EQ(fault_of(text), fault) << text;
    EXPECT_FALSE(reason_of(fault).empty());
  }
}

TEST(Address, LongestThatFit) {
  EXPECT_EQ(fault_of(std::string(64, 'a') + "@example.org"), AddressFault::none);
  EXPECT_EQ(fault_of("a@" + std::string(63, 'x') + ".org"), AddressFault::none);
  const std::string domain =
      std::string(63, 'b') + "." + std::string(63, 'c') + "." + std::string(63, 'd');  // 191
  EXPECT_EQ(fault_of(std::string(62, 'a') + "@" + domain), AddressFault::none);        // 254
  EXPECT_EQ(fault_of(std::string(63, 'a') + "@" + domain), AddressFault::too_long);
}

TEST(Address, StatusCodes) {
  EXPECT_EQ(status_of(AddressFault::domain_empty), "5.1.3");
  EXPECT_EQ(status_of(AddressFault::domain_empty, true), "5.1.7");
  EXPECT_EQ(status_of(AddressFault::domain_idn), "5.1.2");
}

TEST(Address, OnlyTheDomainIsMadeSmall) {
  Address address;
  std::string scratch;
  const std::string_view mixed = "Ada.Lovelace@Example.ORG";
  ASSERT_EQ(check_address(mixed, address), AddressFault::none);
  EXPECT_EQ(canonical(mixed, address, scratch), "Ada.Lovelace@example.org");
  const std::string_view small = "Ada@example.org";
  ASSERT_EQ(check_address(small, address), AddressFault::none);
  EXPECT_EQ(canonical(small, address, scratch).data(), small.data());
}

}  // namespace
}  // namespace veredus::mail
