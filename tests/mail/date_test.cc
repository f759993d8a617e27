#include "engine/mail/date.h"

#include <gtest/gtest.h>

namespace veredus::mail {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Date, BothForms) {
  std::string mail, json;
  append_rfc5322_date(1782898205'125'999'999, mail);
  append_rfc3339(1782898205'125'999'999, json);
  EXPECT_EQ(mail, "Wed, 01 Jul 2026 09:30:05 +0000");
  EXPECT_EQ(json, "2026-07-01T09:30:05.125Z");
  mail.clear();
  append_rfc5322_date(0, mail);
  EXPECT_EQ(mail, "Thu, 01 Jan 1970 00:00:00 +0000");
  mail.clear();
  append_rfc5322_date(951782400 * kSecond, mail);
  EXPECT_EQ(mail, "Tue, 29 Feb 2000 00:00:00 +0000");
}

TEST(Date, ReadsRfc3339) {
  int64_t ns = 0;
  ASSERT_TRUE(parse_rfc3339("2026-07-01T09:30:05Z", ns));
  EXPECT_EQ(ns, 1782898205 * kSecond);
  ASSERT_TRUE(parse_rfc3339("2026-07-01t11:30:05.125+02:00", ns));
  EXPECT_EQ(ns, 1782898205 * kSecond + 125'000'000);
  ASSERT_TRUE(parse_rfc3339("2026-07-01T04:00:05.1234567891-05:30", ns));
  EXPECT_EQ(ns, 1782898205 * kSecond + 123'456'789);
  ASSERT_TRUE(parse_rfc3339("2016-12-31T23:59:60Z", ns));
  EXPECT_EQ(ns, 1483228800 * kSecond);
  for (const char* bad : {"", "2026-07-01", "2026-07-01T09:30:05", "2026-02-29T00:00:00Z",
                          "2026-13-01T00:00:00Z", "2026-07-01T24:00:00Z", "2026-07-01T09:60:00Z",
                          "2026-07-01T09:30:61Z", "2026-07-01T09:30:05.Z", "2026-07-01T09:30:05Zx",
                          "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "2026-07-01 09:30:05Z",
                          "2026-07-01T09:30:05+0200", "2026-07-01T09:30:05+24:00"}) {
    EXPECT_FALSE(parse_rfc3339(bad, ns)) << bad;
  }
}

TEST(Date, ReadsDurations) {
  int64_t ns = 0;
  const std::pair<const char*, int64_t> good[] = {
      {"30s", 30},     {"90m", 5400},   {"12h", 43200}, {"5d", 432000},
      {"2w", 1209600}, {"1h30m", 5400}, {"0s", 0},      {"3650d", 315360000}};
  for (const auto& [text, seconds] : good) {
    ASSERT_TRUE(parse_duration(text, ns)) << text;
    EXPECT_EQ(ns, seconds * kSecond) << text;
  }
  for (const char* bad : {"", "5", "d", "-5d", "5 d", "5dd", "30m1h", "1m1m", "3651d",
                          "99999999999999999999s", "1.5h", "5D"}) {
    EXPECT_FALSE(parse_duration(bad, ns)) << bad;
  }
}

}  // namespace
}  // namespace veredus::mail
