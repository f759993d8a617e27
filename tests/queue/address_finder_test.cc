#include "queue/address_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

AddressFinder finder(std::initializer_list<std::string_view> addresses) {
  AddressFinder made;
  for (const std::string_view address : addresses) EXPECT_TRUE(made.add(address)) << address;
  return made;
}

TEST(AddressFinder, TakesNothingThatCannotBeAnAddress) {
  AddressFinder made;
  for (const std::string_view text : {"", "@", "ada", "ada@", "@example.org", "a@b"})
    EXPECT_FALSE(made.add(text)) << text;
  EXPECT_FALSE(made.add(std::string(250, 'a') + "@b.org"));
  EXPECT_TRUE(made.empty());
  EXPECT_FALSE(made.in("ada@example.org"));
}

TEST(AddressFinder, IsTheWholeAddressWithoutCase) {
  const AddressFinder made = finder({"Ada@example.org", "\"a@b\"@c.de"});
  EXPECT_TRUE(made.is("ada@EXAMPLE.org"));
  EXPECT_TRUE(made.is("\"A@b\"@c.de"));
  for (const std::string_view other :
       {"", "@", "a@", "xada@example.org", "ada@example.or", "ada@example.orgs", "da@example.org",
        "b\"@c.de", "ada@@example.org"})
    EXPECT_FALSE(made.is(other)) << other;
}

struct InCase {
  std::string bytes;
  std::string masked;
};

TEST(AddressFinder, FindsThemAmongOtherBytes) {
  const AddressFinder made = finder({"ada@e.org", "bob@b.de", "a.bob@b.de"});
  using namespace std::string_literals;
  const InCase cases[] = {
      {"ada@e.org", "*********"},
      {"\0\x09"s + "ada@e.org\x01"s, "\0\x09"s + "*********\x01"s},
      {"<ADA@E.org> and bob@b.de.", "<*********> and ********."},
      {"xada@e.org", "x*********"},
      {"ada@e.or", "ada@e.or"},
      {"da@e.org", "da@e.org"},
      {"@ada@e.org", "@*********"},
      {"ada@@e.org ada@e.orgy", "ada@@e.org *********y"},
      {"a.bob@b.de", "**********"},  // the longest of those at one place
      {"ada@e.orgbob@b.de", "*****************"},
      {"bob@b.d", "bob@b.d"},
      {"@", "@"},
      {"", ""},
  };
  for (const InCase& each : cases) {
    EXPECT_EQ(made.masked(each.bytes), each.masked) << each.bytes;
    EXPECT_EQ(made.in(each.bytes), each.masked != each.bytes) << each.bytes;
  }
}

}  // namespace
}  // namespace veredus::queue
