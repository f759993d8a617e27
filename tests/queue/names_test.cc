#include "queue/names.h"

#include <string>

#include <gtest/gtest.h>

namespace veredus::queue {
namespace {

TEST(Names, OfTheFeed) {
  for (const std::string& name :
       {std::string("a"), std::string("Spring-7.a_b:c@d"), std::string(128, '9')})
    EXPECT_TRUE(is_name(name)) << name;
  for (const std::string& text :
       {std::string(), std::string(129, 'a'), std::string("a b"), std::string("a/b"),
        std::string("\xc3\xa4"), std::string(1, '\0')})
    EXPECT_FALSE(is_name(text)) << text;
}

TEST(Names, OfDomains) {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  for (const std::string& name :
       {std::string("org"), std::string("Example.ORG"), std::string("xn--bcher-kva.example"),
        std::string("1.2-3"), longest})
    EXPECT_TRUE(is_domain(name)) << name;
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".org"), std::string("example.org."),
        std::string("a..b"), std::string("a_b.org"), std::string("a b"), std::string("[192.0.2.1]"),
        "a." + label + "a", longest + "a"})
    EXPECT_FALSE(is_domain(text)) << text;
}

TEST(Names, PatternsOfHosts) {
  struct Row {
    const char *pattern, *name;
    bool fits;
  };
  for (const Row& row : {Row{"example.org", "example.org", true},
                         {"example.org", "EXAMPLE.org", true},
                         {"example.org", "mx.example.org", false},
                         {"example.org", "example.orga", false},
                         {".example.org", "mx.example.org", true},
                         {".example.org", "a.b.Example.Org", true},
                         {".example.org", "example.org", false},
                         {".example.org", ".example.org", false},
                         {".example.org", "badexample.org", false},
                         {".example.org", "", false}})
    EXPECT_EQ(fits_name(row.pattern, row.name), row.fits) << row.pattern << " " << row.name;
}

}  // namespace
}  // namespace veredus::queue
