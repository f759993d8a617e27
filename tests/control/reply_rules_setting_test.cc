#include <cstdio>
#include <fstream>
#include <string>

#include <unistd.h>

#include "engine/control/settings.h"
#include "engine/policy.h"
#include "engine/smtp/reply_rules.h"
#include "engine/smtp/verdict.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// [verdict] rules: an operator's file on its way to who judges replies.

namespace veredus::control {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ReplyRulesSetting : public ::testing::Test {
 protected:
  ~ReplyRulesSetting() override { std::remove(path_.c_str()); }

  void write(const std::string& text) { std::ofstream(path_) << text; }
  absl::StatusOr<EngineSettings> settings() {
    const auto config =
        parse_config("[node]\nname = \"a\"\n[verdict]\nrules = \"" + path_ + "\"\n", "a.toml");
    return config.ok() ? engine_settings(*config) : config.status();
  }

  const std::string path_ = ::testing::TempDir() + "/replies-" + std::to_string(getpid()) + ".toml";
};

TEST_F(ReplyRulesSetting, WithoutAFileThoseShippedHold) {
  const auto settings = engine_settings(*parse_config("", "a.toml"));
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->reply_rules, nullptr);
  EXPECT_EQ(make_policy(*settings, nullptr)->reply_rules, nullptr);
}

TEST_F(ReplyRulesSetting, AFileReachesThePolicy) {
  write(
      "[[rules]]\nname = 'mine'\ntext = 'computer says no'\n"
      "scope = 'recipient'\nkind = 'soft'\nclass = 'other'\n");
  const auto made = settings();
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  const auto policy = make_policy(*made, nullptr);
  ASSERT_NE(policy->reply_rules, nullptr);
  const smtp::Said said = {smtp::Phase::rcpt, smtp::Reason::none, 550, {}, false,
                           "Computer says no"};
  EXPECT_EQ(smtp::judge(said, *policy->reply_rules).rule, "mine");
}

TEST_F(ReplyRulesSetting, WhatIsWrongIsToldWithItsPlace) {
  EXPECT_THAT(std::string(settings().status().message()),
              StartsWith("a.toml:4: verdict.rules: " + path_ + ": cannot be read: No such file"));
  write("\n[[rules]]\nname = 'mine'\ntext = '('\n");
  const absl::Status status = settings().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), StartsWith(path_ + ":4:8: the pattern \"(\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("RE2"));
}

}  // namespace
}  // namespace veredus::control
