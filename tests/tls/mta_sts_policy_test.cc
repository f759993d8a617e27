#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/tls/mta_sts.h"

namespace veredus::tls {
namespace {

using ::testing::HasSubstr;

std::string mode_mx_age(const StsPolicy& policy) {
  std::string text = sts_mode_text(policy.mode);
  for (const StsPattern& pattern : policy.mx) {
    text += pattern.wildcard ? " *." : " ";
    text += pattern.name;
  }
  return text + " " + std::to_string(policy.max_age_s);
}

TEST(StsPolicyTest, Valid) {
  struct Row {
    std::string text;
    const char* policy;
  };
  const Row rows[] = {
      // RFC 8461 §3.2
      {"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\n"
       "mx: backupmx.example.com\nmax_age: 604800\n",
       "enforce mail.example.com *.example.net backupmx.example.com 604800"},
      {"version: STSv1\r\nmode: testing\r\nmx: a.example\r\nmax_age: 0\r\n", "testing a.example 0"},
      {"version: STSv1\nmode: testing\r\nmx: a.example\nmax_age: 1", "testing a.example 1"},
      {"max_age:31557600\nmx:a\nmode:enforce\nversion:STSv1", "enforce a 31557600"},
      {"version:STSv1\nmode:none\nmax_age:0000000012", "none 12"},
      {"version:STSv1\nmode:none\nmx:a.example\nmax_age:1", "none a.example 1"},
      {"version: \t STSv1 \t\nmode:\tenforce\t\nmx:  a.example  \nmax_age: 5 \n",
       "enforce a.example 5"},
      // Normal form; what many publish though the grammar has it not.
      {"version:STSv1\nmode:enforce\nmx:MAIL.Example.COM\nmx:*.Example.NET.\nmx:m_x.example\n"
       "mx:xn--mx-eka.example\nmax_age:5",
       "enforce mail.example.com *.example.net m_x.example xn--mx-eka.example 5"},
      {"\n\r\nversion:STSv1\n \t\nmode:enforce\nmx:a\nmax_age:5\n\n", "enforce a 5"},
      // Passed over.
      {"version:STSv1\nfuture.x_1-y: some \xC3\xBCtf-8, a:colon\nmode:enforce\nempty:\nmx:a\n"
       "max_age:5\nMode: none\nMX: b\n",
       "enforce a 5"},
      // The first counts, but all mx do.
      {"version:STSv1\nmode:enforce\nmx:a\nmx:a\nmax_age:5\nversion:STSv2\nmode:nonsense\n"
       "max_age:-1\n",
       "enforce a a 5"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<StsPolicy> policy = parse_sts_policy(row.text);
    ASSERT_TRUE(policy.ok()) << row.text << policy.status();
    EXPECT_EQ(mode_mx_age(*policy), row.policy);
    const std::string printed = sts_policy_text(*policy);
    EXPECT_LE(printed.size(), row.text.size());
    const absl::StatusOr<StsPolicy> again = parse_sts_policy(printed);
    ASSERT_TRUE(again.ok()) << printed << again.status();
    EXPECT_EQ(*again, *policy);
  }
}

TEST(StsPolicyTest, InvalidSaysWhereAndWhy) {
  struct Row {
    std::string text;
    const char* error;
  };
  const std::string head = "version:STSv1\nmode:enforce\n";
  const Row rows[] = {
      {"", "0 lines: no version"},
      {"mode:enforce\nmx:a\nmax_age:1\n", "3 lines: no version"},
      {"version:STSv1\nmx:a\nmax_age:1\n", "3 lines: no mode"},
      {"version:STSv1\nmode:none", "2 lines: no max_age"},
      {head + "max_age:1\n", "3 lines: no mx"},
      {"version:STSv1\nmode:testing\nmax_age:1\n", "3 lines: no mx"},
      {"mode:none", "1 line: no version"},
      {"version:STSv2\nmode:none\nmax_age:1", "line 1: version is \"STSv2\", not STSv1"},
      {"version:stsv1\nmode:none\nmax_age:1", "line 1: version is \"stsv1\""},
      {"version:\nmode:none\nmax_age:1", "line 1: version is \"\""},
      {"version:STSv2\nversion:STSv1\nmode:none\nmax_age:1", "line 1: version is \"STSv2\""},
      {"version:STSv1\nmode:Enforce\nmx:a\nmax_age:1", "line 2: mode is \"Enforce\", not enforce"},
      {"version:STSv1\nmode:report\nmx:a\nmax_age:1", "line 2: mode is \"report\""},
      {"version:STSv1\nmode:\nmode:none\nmax_age:1", "line 2: mode is \"\""},
      {"version:STSv1\nmode:none\nmax_age:31557601", "line 3: max_age is \"31557601\", not 0 to"},
      {"version:STSv1\nmode:none\nmax_age:4294967297", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:00000000001", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:99999999999999999999", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:-1", "line 3: max_age is \"-1\""},
      {"version:STSv1\nmode:none\nmax_age:+1", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:1s", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:1 2", "line 3: max_age"},
      {"version:STSv1\nmode:none\nmax_age:", "line 3: max_age is \"\""},
      {head + "mx:\nmax_age:1", "line 3: mx is \"\""},
      {head + "mx:*\nmax_age:1", "line 3: mx is \"*\", neither"},
      {head + "mx:*.\nmax_age:1", "line 3: mx is \"*.\""},
      {head + "mx:.\nmax_age:1", "line 3: mx is \".\""},
      {head + "mx:*.*.example\nmax_age:1", "line 3: mx is \"*.*.example\""},
      {head + "mx:m*.example\nmax_age:1", "line 3: mx is \"m*.example\""},
      {head + "mx:a.*.example\nmax_age:1", "line 3: mx"},
      {head + "mx:.example\nmax_age:1", "line 3: mx is \".example\""},
      {head + "mx:*example\nmax_age:1", "line 3: mx"},
      {head + "mx:a..b\nmax_age:1", "line 3: mx"},
      {head + "mx:a b\nmax_age:1", "line 3: mx is \"a b\""},
      {head + "mx:[192.0.2.1]\nmax_age:1", "line 3: mx"},
      {head + "mx:m\xC3\xBCx.example\nmax_age:1", "line 3: mx is \"m\\xc3\\xbcx.example\""},
      {head + "mx:" + std::string(64, 'a') + "\nmax_age:1", "line 3: mx"},
      {head + "mx:good\nmx:a,b\nmax_age:1", "line 4: mx is \"a,b\""},
      {"version:STSv1\nnonsense\nmode:none\nmax_age:1", "line 2: \"nonsense\" is no field"},
      {"version:STSv1\n:x\nmode:none\nmax_age:1", "line 2: \":x\" is no field"},
      {"version:STSv1\n mode:none\nmax_age:1", "line 2: \" mode:none\" is no field"},
      {"version:STSv1\nmode :none\nmax_age:1", "line 2: \"mode :none\" is no field"},
      {"version:STSv1\n" + std::string(33, 'x') + ":\nmode:none\nmax_age:1", "line 2: \"xxx"},
      {"\xEF\xBB\xBFversion:STSv1\nmode:none\nmax_age:1", "line 1: \"\\xef\\xbb\\xbfversion"},
      {"<html>\n<body>404: not here</body>\n", "line 1: \"<html>\" is no field"},
      {"version:STSv1\rmode:none\rmax_age:1", "line 1: control byte \"\\r\""},
      {"version:STSv1\nmode:none\nmax_age:1\r", "line 3: control byte \"\\r\""},
      {"version:STSv1\r\r\nmode:none\nmax_age:1", "line 1: control byte \"\\r\""},
      {std::string("version:STSv1\nmode:none\nmax_age:1\0", 34), "line 3: control byte \"\\x00\""},
      {"version:STSv1\nx:\x1B[2J\nmode:none\nmax_age:1", "line 2: control byte \"\\x1b\""},
      {"version:STSv1\nx:\x7F\nmode:none\nmax_age:1", "line 2: control byte"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<StsPolicy> policy = parse_sts_policy(row.text);
    ASSERT_FALSE(policy.ok()) << row.text;
    EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string message(policy.status().message());
    EXPECT_THAT(message, HasSubstr(row.error)) << row.text;
    EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) {
      return c >= ' ' && c <= '~';
    })) << message;
  }
}

TEST(StsPolicyTest, Bounds) {
  std::string text = "version:STSv1\nmode:enforce\nmax_age:1\nmx:a\nx:";
  text.resize(kStsPolicyBytesMax, 'x');
  EXPECT_TRUE(parse_sts_policy(text).ok());
  const absl::Status large = parse_sts_policy(text + "x").status();
  EXPECT_THAT(std::string(large.message()), HasSubstr("of 65537 bytes: no more than 65536"));

  std::string many = "version:STSv1\nmode:enforce\nmax_age:1\n";
  for (size_t i = 0; i < kStsPatternsMax; ++i) many += "mx:a\n";
  const absl::StatusOr<StsPolicy> all = parse_sts_policy(many);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->mx.size(), kStsPatternsMax);
  EXPECT_THAT(std::string(parse_sts_policy(many + "mx:a\n").status().message()),
              HasSubstr("line 1028: more than 1024 mx lines"));

  const absl::Status wide = parse_sts_policy(std::string(60000, '\xFF')).status();
  EXPECT_LT(wide.message().size(), 400u);
}

TEST(StsPolicyTest, Matches) {
  struct Row {
    const char* pattern;
    const char* host;
    bool matches;
  };
  const Row rows[] = {
      {"mail.example.com", "mail.example.com", true},
      {"mail.example.com", "MAIL.Example.Com", true},
      {"Mail.Example.COM", "mail.example.com.", true},
      {"mail.example.com", "mail.example.org", false},
      {"mail.example.com", "example.com", false},
      {"mail.example.com", "a.mail.example.com", false},
      {"mail.example.com", "xmail.example.com", false},
      {"*.example.com", "mail.example.com", true},
      {"*.example.com", "MAIL.EXAMPLE.COM.", true},
      {"*.example.com", "example.com", false},
      {"*.example.com", "a.mail.example.com", false},
      {"*.example.com", "mailexample.com", false},
      {"*.example.com", ".example.com", false},
      {"*.example.com", "*.example.com", false},  // no host is called so
      {"*.example.com", "mail.example.com.evil.example", false},
      {"*.example.com", "mail.badexample.com", false},
      {"*.com", "example.com", true},
      {"*.com", "com", false},
      {"a", "a", true},
      {"mail.example.com", "", false},
      {"*.example.com", "", false},
      {"*.example.com", "m x.example.com", false},
      {"*.example.com", "m\xC3\xBCx.example.com", false},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<StsPolicy> policy = parse_sts_policy(
        std::string("version:STSv1\nmode:enforce\nmax_age:1\nmx:") + row.pattern + "\n");
    ASSERT_TRUE(policy.ok());
    EXPECT_EQ(matches(policy->mx.front(), row.host), row.matches) << row.pattern << " " << row.host;
    EXPECT_EQ(matches(*policy, row.host), row.matches) << row.pattern << " " << row.host;
  }
  const StsPolicy two = {StsMode::enforce, 1, {{false, "a.example"}, {true, "b.example"}}};
  EXPECT_TRUE(matches(two, "a.example"));
  EXPECT_TRUE(matches(two, "x.b.example"));
  EXPECT_FALSE(matches(two, "x.a.example"));
  EXPECT_FALSE(matches(StsPolicy{}, "a.example"));
}

const CachedSts kCached = {"example.org",
                           "20260701Z",
                           1'790'000'000,
                           {StsMode::enforce, 86400, {{false, "a.example"}, {true, "b.example"}}}};
constexpr std::string_view kCachedText =
    "1 example.org 20260701Z 1790000000 68\n"
    "version:STSv1\nmode:enforce\nmx:a.example\nmx:*.b.example\nmax_age:86400";

TEST(CachedStsTest, TextForm) {
  EXPECT_EQ(encode(kCached), kCachedText);
  const absl::StatusOr<CachedSts> read = decode_cached_sts(kCachedText);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, kCached);
  EXPECT_EQ(read->expires_wall_s(), 1'790'086'400);
  for (const CachedSts& cached : {CachedSts{"a", "1", 0, {}},
                                  CachedSts{"a", "1", int64_t{1} << 40, {StsMode::none, 9, {}}}}) {
    const absl::StatusOr<CachedSts> again = decode_cached_sts(encode(cached));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, cached);
  }
}

TEST(CachedStsTest, OfTheLargestPolicy) {
  std::string text = "max_age:31557600\nversion:STSv1\nmode:enforce\n";
  const std::string mx = "mx:" + std::string(60, 'a') + "\n";
  while (text.size() + mx.size() <= kStsPolicyBytesMax) text += mx;
  text += "mx:" + std::string(kStsPolicyBytesMax - text.size() - 3, 'a');
  ASSERT_EQ(text.size(), kStsPolicyBytesMax);
  const absl::StatusOr<StsPolicy> policy = parse_sts_policy(text);
  ASSERT_TRUE(policy.ok()) << policy.status();
  const std::string label(63, 'd');
  const CachedSts cached = {label + '.' + label + '.' + label + '.' + std::string(61, 'd'),
                            std::string(kStsIdMax, 'i'), int64_t{1} << 40, *policy};
  const std::string bytes = encode(cached);
  EXPECT_LE(bytes.size(), kStsCachedBytesMax);
  const absl::StatusOr<CachedSts> read = decode_cached_sts(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, cached);
}

TEST(CachedStsTest, OtherVersion) {
  for (const char* const text : {"2 anything", "\x01", "0"}) {
    EXPECT_EQ(decode_cached_sts(text).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(CachedStsTest, CutOffAfterEveryByteOrLengthened) {
  for (size_t size = 0; size < kCachedText.size(); ++size)
    EXPECT_FALSE(decode_cached_sts(kCachedText.substr(0, size)).ok()) << size;
  for (const char more : {'\n', '0', '\0', ' '})
    EXPECT_FALSE(decode_cached_sts(std::string(kCachedText) + more).ok());
}

TEST(CachedStsTest, Damaged) {
  const std::string policy(kCachedText.substr(kCachedText.find('\n')));
  struct Row {
    std::string bytes;
    const char* error;
  };
  const Row rows[] = {
      {"", "byte 1: nothing there"},
      {"1", "cut off"},
      {"1 example.org 20260701Z 1790000000 68", "cut off"},
      {"1" + policy, "byte 3: no domain"},
      {"1 " + policy, "byte 3: no domain"},
      {"1example.org 20260701Z 1790000000 68" + policy, "no domain"},
      {"1 exa/mple.org 20260701Z 1790000000 68" + policy, "no domain"},
      {"1 example.org" + policy, "byte 15: no id"},
      {"1 example.org id-1 1790000000 68" + policy, "byte 15: no id"},
      {"1 example.org 20260701Z -1 68" + policy, "byte 25: no time"},
      {"1 example.org 20260701Z 1099511627777 68" + policy, "byte 25: no time"},
      {"1 example.org 20260701Z 99999999999999999999 68" + policy, "no time"},
      {"1 example.org 20260701Z 1790000000" + policy, "no number of bytes"},
      {"1 example.org 20260701Z 1790000000 " + policy, "no number of bytes"},
      {"1 example.org 20260701Z 1790000000 x" + policy, "no number of bytes"},
      {"1 example.org 20260701Z 1790000000 68 1" + policy, "no number of bytes"},
      {"1 example.org 20260701Z 1790000000 67" + policy, "the policy is not of 67 bytes"},
      {"1 example.org 20260701Z 1790000000 69" + policy, "the policy is not of 69 bytes"},
      {"1 example.org 20260701Z 1790000000 7\nmode:no", "byte 38: MTA-STS policy, line 1: mode is"},
      // Nothing that encode() would not write: each of these could be read otherwise.
      {"1 EXAMPLE.org 20260701Z 1790000000 68" + policy, "not as it would be written"},
      {"1 example.org. 20260701Z 1790000000 68" + policy, "not as it would be written"},
      {"1 example.org 20260701Z 01790000000 68" + policy, "not as it would be written"},
      {"1 example.org 20260701Z 1790000000 068" + policy, "not as it would be written"},
      {"1 example.org 20260701Z 1790000000 69" + policy + "\n", "not as it would be written"},
      {"1 example.org 20260701Z 1790000000 37\nmode:none\nversion:STSv1\nmax_age:86400",
       "not as it would be written"},
      {"1 example.org 20260701Z 1790000000 9" + std::string(kStsCachedBytesMax, 'x'), "longer"},
  };
  for (const Row& row : rows) {
    const absl::StatusOr<CachedSts> read = decode_cached_sts(row.bytes);
    ASSERT_FALSE(read.ok()) << row.bytes;
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(row.error)) << row.bytes;
  }
}

}  // namespace
}  // namespace veredus::tls
