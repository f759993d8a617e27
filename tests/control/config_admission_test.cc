#include "engine/control/config_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config_text.h"

// [admission], and what a tenant says of it.

namespace veredus::control {
namespace {

using intake::AdmissionMode;
using mail::Finding;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

intake::AdmissionSettings admission_of(std::string_view text) {
  return intake_settings(good(text), EngineSettings{}).feed.admission;
}

TEST(ConfigAdmission, WarnsWhereNothingIsSaid) {
  const intake::AdmissionSettings settings = admission_of("");
  EXPECT_EQ(settings.each, (intake::AdmissionRules{AdmissionMode::warn, {}}));
  EXPECT_TRUE(settings.of.empty());
}

// Described and read again it is the same.
TEST(ConfigAdmission, ATenantSaysWhatItSaysAndNoMore) {
  const std::string file =
      "[admission]\nmode = \"refuse\"\nignore = [\"feedback-id-missing\", \"bare-lf\"]\n"
      "[tenants.a]\nadmission = \"fix\"\n"
      "[tenants.b]\nadmission_ignore = []\n"
      "[tenants.c]\nweight = 2\n"
      "[tenants.d]\nadmission = \"off\"\nadmission_ignore = [\"unsubscribe-missing\"]\n";
  for (const std::string& text : {file, describe_config(good(file))}) {
    const intake::AdmissionSettings settings = admission_of(text);
    const mail::Findings all = {Finding::feedback_id_missing, Finding::bare_lf};
    EXPECT_EQ(settings.each, (intake::AdmissionRules{AdmissionMode::refuse, all}));
    EXPECT_EQ(settings.of_tenant("a"), (intake::AdmissionRules{AdmissionMode::fix, all}));
    EXPECT_EQ(settings.of_tenant("b"), (intake::AdmissionRules{AdmissionMode::refuse, {}}));
    EXPECT_EQ(settings.of_tenant("c"), settings.each);
    EXPECT_EQ(settings.of_tenant("d"),
              (intake::AdmissionRules{AdmissionMode::off, {Finding::unsubscribe_missing}}));
    EXPECT_EQ(settings.of_tenant("nobody"), settings.each);
  }
}

TEST(ConfigAdmission, WhatIsWrongIsNamedByPlace) {
  const std::pair<std::string, std::string> rows[] = {
      {"[admission]\nmode = \"strict\"\n", "a.toml:2:8: admission.mode"},
      {"[admission]\nmode = true\n", "a.toml:2:8: admission.mode"},
      {"[admission]\nignore = [\"feedback\"]\n", "a.toml:2:11: admission.ignore"},
      {"[admission]\nmodus = \"warn\"\n", "a.toml:2:1: "},
      {"[tenants.a]\nadmission = \"on\"\n", "a.toml:2:13: tenants.a.admission"},
      {"[tenants.a]\nadmission_ignore = [\"dkim\"]\n", "a.toml:2:21: tenants.a.admission_ignore"},
      {"[tenants.a]\nadmision = \"off\"\n", "a.toml:2:1: "},
  };
  for (const auto& [text, where] : rows) {
    const absl::StatusOr<Config> config = parse_config(text, "a.toml");
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_THAT(std::string(config.status().message()), StartsWith(where)) << text;
  }
}

}  // namespace
}  // namespace veredus::control
