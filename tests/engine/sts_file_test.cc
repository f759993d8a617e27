// Policies on disk: what is kept, what is lost of a damaged file, and what is left alone.

#include "engine/sts_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace veredus {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kNow = 1'700'000'000;

tls::CachedSts policy_of(const std::string& domain, const std::string& id = "1",
                         int64_t fetched_wall_s = kNow) {
  return {domain, id, fetched_wall_s, {tls::StsMode::enforce, 86'400, {{true, domain}}}};
}

class StsFileTest : public testing::Test {
 protected:
  StsFileTest() {
    directory_ =
        testing::TempDir() + "sts-" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directory(directory_);
    path_ = directory_ + "/mta-sts";
  }
  ~StsFileTest() override { std::filesystem::remove_all(directory_); }

  absl::Status keep(const std::vector<tls::CachedSts>& cached) {
    StsFile file(path_);
    std::vector<tls::CachedSts> before;
    if (absl::Status loaded = file.load(kNow, before); !loaded.ok()) return loaded;
    return file.keep(cached, kNow);
  }
  // "domain id" of each.
  std::vector<std::string> load(int64_t wall_s = kNow, absl::Status* status = nullptr) {
    StsFile file(path_);
    std::vector<tls::CachedSts> found;
    const absl::Status loaded = file.load(wall_s, found);
    if (status != nullptr) *status = loaded;
    std::vector<std::string> out;
    for (const tls::CachedSts& each : found) {
      EXPECT_EQ(each, policy_of(each.domain, each.id, each.fetched_wall_s));
      out.push_back(each.domain + " " + each.id);
    }
    return out;
  }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void put(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::string directory_, path_;
};

TEST_F(StsFileTest, WhatIsKeptIsThereTheLastOfADomain) {
  EXPECT_THAT(load(), IsEmpty());
  ASSERT_TRUE(keep({policy_of("a.org"), policy_of("b.org")}).ok());
  ASSERT_TRUE(keep({policy_of("a.org", "2")}).ok());
  EXPECT_THAT(load(), ElementsAre("a.org 2", "b.org 1"));
  EXPECT_THAT(load(kNow + 86'400), IsEmpty()) << "over";
  EXPECT_EQ(bytes(), std::string(1, StsFile::kVersion)) << "and not kept any longer";
}

// Wherever it was cut off, what stands before that is there; then it is whole again.
TEST_F(StsFileTest, CutAnywhere) {
  ASSERT_TRUE(keep({policy_of("a.org"), policy_of("b.org")}).ok());
  const std::string whole = bytes();
  const size_t first = 1 + (whole.size() - 1) / 2;
  for (size_t size = 0; size <= whole.size(); ++size) {
    put(whole.substr(0, size));
    absl::Status status;
    const std::vector<std::string> found = load(kNow, &status);
    EXPECT_EQ(found.size(), size == whole.size() ? 2u : size >= first ? 1u : 0u) << size;
    const bool between = size <= 1 || size == first || size == whole.size();
    EXPECT_EQ(status.ok(), between) << size << " " << status;
    EXPECT_EQ(load(kNow, &status), found);
    EXPECT_TRUE(status.ok()) << "mended";
  }
}

TEST_F(StsFileTest, NoFlippedBitIsBelieved) {
  ASSERT_TRUE(keep({policy_of("a.org")}).ok());
  const std::string whole = bytes();
  for (size_t at = 1; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    put(flipped);
    absl::Status status;
    EXPECT_THAT(load(kNow, &status), IsEmpty()) << at;
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(StsFileTest, OnlyWhatIsDamagedIsLost) {
  ASSERT_TRUE(keep({policy_of("a.org"), policy_of("b.org"), policy_of("c.org")}).ok());
  std::string flipped = bytes();
  flipped[1 + (flipped.size() - 1) / 2] ^= 4;  // in the second one's body
  put(flipped);
  absl::Status status;
  EXPECT_THAT(load(kNow, &status), ElementsAre("a.org 1", "c.org 1"));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(StsFileTest, AnotherVersionIsLeftAlone) {
  const std::string newer = "\x02what a newer program has written";
  put(newer);
  StsFile file(path_);
  std::vector<tls::CachedSts> found;
  const absl::Status loaded = file.load(kNow, found);
  EXPECT_EQ(loaded.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(loaded.message()), HasSubstr("version 2"));
  EXPECT_TRUE(file.keep({policy_of("a.org")}, kNow).ok());
  EXPECT_EQ(bytes(), newer);
}

TEST_F(StsFileTest, WhatCannotBeWrittenIsToldAndTriedAgain) {
  StsFile file(directory_ + "/missing/mta-sts");
  std::vector<tls::CachedSts> found;
  EXPECT_THAT(std::string(file.load(kNow, found).message()), HasSubstr("/missing/mta-sts"));
  EXPECT_FALSE(file.keep({policy_of("a.org")}, kNow).ok());
  std::filesystem::create_directory(directory_ + "/missing");
  EXPECT_TRUE(file.keep({policy_of("b.org")}, kNow).ok());
  path_ = directory_ + "/missing/mta-sts";
  EXPECT_THAT(load(), ElementsAre("a.org 1", "b.org 1"));
}

TEST_F(StsFileTest, WrittenAnewWhenMostOfItIsOver) {
  StsFile file(path_);
  std::vector<tls::CachedSts> found;
  ASSERT_TRUE(file.load(kNow, found).ok());
  std::vector<tls::CachedSts> many;
  for (int i = 0; i < 2'000; ++i) many.push_back(policy_of("d" + std::to_string(i) + ".org"));
  uintmax_t largest = 0;
  for (int round = 0; round < 40; ++round) {
    ASSERT_TRUE(file.keep(many, kNow).ok());
    largest = std::max(largest, std::filesystem::file_size(path_));
  }
  EXPECT_LT(largest, uintmax_t{2} << 20);
  EXPECT_EQ(load().size(), many.size());
}

}  // namespace
}  // namespace veredus
