#include "engine/provider_index.h"

#include <gtest/gtest.h>

#include "engine/io/ports.h"
#include "queue/names.h"

namespace veredus {
namespace {

TEST(ProviderIndex, TheFirstThatFitsInAnyWay) {
  ProviderIndex index;
  index.add(0, {".google.com"}, {"gmail.com"}, {});
  index.add(1, {"mx.Example.org"}, {".example.net"}, {"10 mx.example.org"});
  index.add(2, {".org"}, {"gmail.com", "example.net"}, {});
  constexpr uint32_t kNone = ProviderIndex::kNone;
  EXPECT_EQ(index.first("", "alt1.aspmx.l.GOOGLE.com", ""), 0u);
  EXPECT_EQ(index.first("", "google.com", ""), kNone) << "only what is below it";
  EXPECT_EQ(index.first("", "notgoogle.com", ""), kNone);
  EXPECT_EQ(index.first("GMail.com", "mx.example.org", ""), 0u);
  EXPECT_EQ(index.first("x.gmail.com", "mx.example.org", ""), 1u);
  EXPECT_EQ(index.first("a.b.example.net", "", ""), 1u);
  EXPECT_EQ(index.first("example.net", "", ""), 2u);
  EXPECT_EQ(index.first("", "mx2.example.org", ""), 2u);
  EXPECT_EQ(index.first("", "", "10 mx.example.org"), 1u);
  EXPECT_EQ(index.first("", "", ""), kNone);
  EXPECT_EQ(index.first(".google.com", ".google.com", ""), kNone);
  std::string endless(300, 'a');
  endless += ".org";
  EXPECT_EQ(index.first(endless, endless, ""), kNone);
}

// What a walk over all patterns finds, of names that are made of few labels.
TEST(ProviderIndex, FindsWhatAWalkFinds) {
  io::Random random(1);
  const auto name = [&] {
    std::string made;
    for (uint64_t labels = 1 + random.below(4); labels > 0; --labels) {
      if (!made.empty()) made += '.';
      made += static_cast<char>('a' + random.below(2));
    }
    return made;
  };
  unsigned fitted = 0;
  for (int round = 0; round < 500; ++round) {
    ProviderIndex index;
    std::vector<std::vector<std::string>> patterns(1 + random.below(6));
    for (uint32_t rank = 0; rank < patterns.size(); ++rank) {
      for (uint64_t count = random.below(4); count > 0; --count)
        patterns[rank].push_back((random.below(2) == 0 ? "." : "") + name());
      index.add(rank, patterns[rank], {}, {});
    }
    for (int i = 0; i < 20; ++i) {
      const std::string asked = name();
      uint32_t wanted = ProviderIndex::kNone;
      for (uint32_t rank = 0; rank < patterns.size() && wanted == ProviderIndex::kNone; ++rank) {
        for (const std::string& pattern : patterns[rank]) {
          if (queue::fits_name(pattern, asked)) wanted = rank;
        }
      }
      EXPECT_EQ(index.first("", asked, ""), wanted) << asked;
      fitted += wanted != ProviderIndex::kNone;
    }
  }
  EXPECT_GT(fitted, 1000u);
}

}  // namespace
}  // namespace veredus
