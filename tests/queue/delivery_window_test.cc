#include "queue/delivery_window.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/time/civil_time.h"
#include "gtest/gtest.h"

namespace veredus::queue {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

DeliveryWindows windows(const std::vector<std::string>& texts) {
  absl::StatusOr<DeliveryWindows> parsed = parse_windows(texts);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : DeliveryWindows();
}

int64_t at(const char* rfc3339) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, rfc3339, &time, &error)) << rfc3339 << error;
  return absl::ToUnixNanos(time);
}

std::string text(int64_t wall_ns) {
  if (wall_ns == kNever) return "never";
  return absl::FormatTime(absl::RFC3339_full, absl::FromUnixNanos(wall_ns), absl::UTCTimeZone());
}

struct Row {
  const char* window;
  const char* now;
  const char* opens;   // nullptr: it is open
  const char* closes;  // likewise closed; "never"
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const DeliveryWindows it = windows({row.window});
    const int64_t now = at(row.now);
    const std::string what = std::string(row.window) + " at " + row.now;
    EXPECT_EQ(it.open(now), row.opens == nullptr) << what;
    EXPECT_EQ(text(it.opens_wall_ns(now)), text(row.opens == nullptr ? now : at(row.opens)))
        << what;
    const std::string closes = row.closes == nullptr                ? text(now)
                               : std::string(row.closes) == "never" ? "never"
                                                                    : text(at(row.closes));
    EXPECT_EQ(text(it.closes_wall_ns(now)), closes) << what;
  }
}

TEST(DeliveryWindows, NoneIsAlwaysOpen) {
  const DeliveryWindows none = windows({});
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(none.open(0));
  EXPECT_EQ(none.opens_wall_ns(5), 5);
  EXPECT_EQ(none.closes_wall_ns(5), kNever);
}

// 2026-07-01 was a Wednesday.
TEST(DeliveryWindows, DaysAndTimes) {
  check({
      {"08:00-20:00", "2026-07-01T07:59:59Z", "2026-07-01T08:00:00Z", nullptr},
      {"08:00-20:00", "2026-07-01T08:00:00Z", nullptr, "2026-07-01T20:00:00Z"},
      {"08:00-20:00", "2026-07-01T19:59:59.999999999Z", nullptr, "2026-07-01T20:00:00Z"},
      {"08:00-20:00", "2026-07-01T20:00:00Z", "2026-07-02T08:00:00Z", nullptr},
      {"Mo-Fr 08:00-20:00", "2026-07-03T21:00:00Z", "2026-07-06T08:00:00Z", nullptr},
      {"Mon-Fri 08:00-20:00 UTC", "2026-07-04T12:00:00Z", "2026-07-06T08:00:00Z", nullptr},
      {"Mo,We,Fr 08:00-20:00", "2026-07-02T12:00:00Z", "2026-07-03T08:00:00Z", nullptr},
      {"mo, we, FRI 8:00 - 20:00", "2026-07-01T12:00:00Z", nullptr, "2026-07-01T20:00:00Z"},
      {"Sa-Mo 10:00-11:00", "2026-07-05T11:00:00Z", "2026-07-06T10:00:00Z", nullptr},
      {"Sa-Mo 10:00-11:00", "2026-07-06T11:00:00Z", "2026-07-11T10:00:00Z", nullptr},
      {"Fr-Tu 10:00-11:00", "2026-07-06T09:00:00Z", "2026-07-06T10:00:00Z", nullptr},
      {"08:00-20:00", "1969-12-30T07:59:59.5Z", "1969-12-30T08:00:00Z", nullptr},
      {"We 10:00-11:00", "2026-07-01T11:00:00Z", "2026-07-08T10:00:00Z", nullptr},
      {"08:00-12:00,13:00-18:00", "2026-07-01T12:30:00Z", "2026-07-01T13:00:00Z", nullptr},
      {"08:00-12:00,12:00-18:00", "2026-07-01T09:00:00Z", nullptr, "2026-07-01T18:00:00Z"},
      {"08:00\xe2\x80\x93"
       "20:00",
       "2026-07-01T12:00:00Z", nullptr, "2026-07-01T20:00:00Z"},
      {"Mo-We\t08:00 \xe2\x80\x93 10:00", "2026-07-01T09:00:00Z", nullptr, "2026-07-01T10:00:00Z"},
  });
}

TEST(DeliveryWindows, OverMidnightAndTheEndOfTheWeek) {
  check({
      {"22:00-06:00", "2026-07-01T23:00:00Z", nullptr, "2026-07-02T06:00:00Z"},
      {"22:00-06:00", "2026-07-01T05:59:00Z", nullptr, "2026-07-01T06:00:00Z"},
      {"22:00-06:00", "2026-07-01T06:00:00Z", "2026-07-01T22:00:00Z", nullptr},
      {"Fr 22:00-06:00", "2026-07-04T05:00:00Z", nullptr, "2026-07-04T06:00:00Z"},
      {"Fr 22:00-06:00", "2026-07-03T05:00:00Z", "2026-07-03T22:00:00Z", nullptr},
      {"Su 22:00-06:00", "2026-07-05T23:00:00Z", nullptr, "2026-07-06T06:00:00Z"},
      {"Su 22:00-06:00", "2026-07-06T05:00:00Z", nullptr, "2026-07-06T06:00:00Z"},
      {"Su 22:00-00:00", "2026-07-05T23:00:00Z", nullptr, "2026-07-06T00:00:00Z"},
      {"Su 22:00-24:00", "2026-07-05T23:00:00Z", nullptr, "2026-07-06T00:00:00Z"},
      {"Sa,Su 00:00-24:00", "2026-07-04T01:00:00Z", nullptr, "2026-07-06T00:00:00Z"},
      {"Sa-Mo 00:00-24:00", "2026-07-04T01:00:00Z", nullptr, "2026-07-07T00:00:00Z"},
      {"00:00-24:00", "2026-07-05T23:00:00Z", nullptr, "never"},
      {"00:00-12:00; 12:00-24:00", "2026-07-05T23:00:00Z", nullptr, "never"},
      {"18:00-12:00; 11:00-19:00", "2026-07-05T23:00:00Z", nullptr, "never"},
  });
}

TEST(DeliveryWindows, SeveralZones) {
  const char* kBoth = "Mo-Fr 08:00-20:00 Europe/Berlin; Mo-Fr 08:00-20:00 America/New_York";
  check({
      {kBoth, "2026-07-01T05:00:00Z", "2026-07-01T06:00:00Z", nullptr},
      {kBoth, "2026-07-01T07:00:00Z", nullptr, "2026-07-02T00:00:00Z"},  // one after the other
      {kBoth, "2026-07-01T23:00:00Z", nullptr, "2026-07-02T00:00:00Z"},
      {kBoth, "2026-07-03T20:00:00Z", nullptr, "2026-07-04T00:00:00Z"},
      {kBoth, "2026-07-04T12:00:00Z", "2026-07-06T06:00:00Z", nullptr},
      // Always open, but nobody can know: looked at for four weeks.
      {"00:00-12:00; 12:00-24:00 Etc/UTC", "2026-07-01T00:00:00Z", nullptr, "2026-07-29T00:00:00Z"},
  });
  const DeliveryWindows list =
      windows({"Mo-Fr 08:00-20:00 Europe/Berlin", "Mo-Fr 08:00-20:00 America/New_York"});
  EXPECT_EQ(text(list.closes_wall_ns(at("2026-07-01T07:00:00Z"))), "2026-07-02T00:00:00+00:00");
  EXPECT_EQ(list.zones.size(), 2u);
}

// Clocks go from 2:00 to 3:00 on 2026-03-29, and from 3:00 back to 2:00 on 2026-10-25.
TEST(DeliveryWindows, SummerTimeInBerlin) {
  check({
      {"08:00-20:00 Europe/Berlin", "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z", nullptr},
      {"08:00-20:00 Europe/Berlin", "2026-10-24T19:00:00Z", "2026-10-25T07:00:00Z", nullptr},
      {"22:00-06:00 Europe/Berlin", "2026-03-28T21:00:00Z", nullptr, "2026-03-29T04:00:00Z"},
      {"22:00-06:00 Europe/Berlin", "2026-10-24T20:00:00Z", nullptr, "2026-10-25T05:00:00Z"},
      // Begins or ends in the hour that is not there.
      {"02:30-04:00 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", nullptr},
      {"01:00-02:30 Europe/Berlin", "2026-03-29T00:00:00Z", nullptr, "2026-03-29T01:00:00Z"},
      // Lies in it.
      {"02:00-03:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z", nullptr},
      {"Su 02:10-02:20 Europe/Berlin", "2026-03-22T02:00:00Z", "2026-04-05T00:10:00Z", nullptr},
      // In the hour that is there twice.
      {"02:30-04:00 Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", nullptr},
      {"02:30-04:00 Europe/Berlin", "2026-10-25T00:30:00Z", nullptr, "2026-10-25T01:00:00Z"},
      {"02:30-04:00 Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", nullptr},
      {"01:00-02:30 Europe/Berlin", "2026-10-25T00:00:00Z", nullptr, "2026-10-25T00:30:00Z"},
      {"01:00-02:30 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", nullptr},
      {"02:00-03:00 Europe/Berlin", "2026-10-25T00:00:00Z", nullptr, "2026-10-25T02:00:00Z"},
  });
}

TEST(DeliveryWindows, OtherZones) {
  check({
      {"Mo-Fr 08:00-20:00 America/New_York", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z",
       nullptr},
      {"Mo-Fr 08:00-20:00 America/New_York", "2026-10-31T12:00:00Z", "2026-11-02T13:00:00Z",
       nullptr},
      {"08:00-20:00 Asia/Kolkata", "2026-07-01T02:29:59Z", "2026-07-01T02:30:00Z", nullptr},
      {"08:00-20:00 Asia/Kolkata", "2026-07-01T03:00:00Z", nullptr, "2026-07-01T14:30:00Z"},
      {"Mo 00:00-24:00 Asia/Kolkata", "2026-07-05T18:00:00Z", "2026-07-05T18:30:00Z", nullptr},
      // By half an hour: 2:00 becomes 1:30 on 2026-04-05, and 2:30 on 2026-10-04.
      {"01:45-03:00 Australia/Lord_Howe", "2026-04-04T14:45:00Z", nullptr, "2026-04-04T15:00:00Z"},
      {"01:45-03:00 Australia/Lord_Howe", "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z", nullptr},
      {"02:10-03:00 Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z", nullptr},
      {"02:00-02:30 Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-04T15:00:00Z", nullptr},
  });
}

TEST(DeliveryWindows, ErrorsNameWhatIsWrongAndHowItShouldBe) {
  const struct {
    const char* window;
    const char* words;
  } rows[] = {
      {"", "is empty"},
      {"Mo 08:00-09:00;", "is empty"},
      {"Mo-Fr", "the times are missing"},
      {"Mo-Fr Europe/Berlin", "the times are missing"},
      {"Mo-Xy 08:00-20:00", "\"Mo-Xy\" is no day"},
      {"Mo,,Fr 08:00-20:00", "\"\" is no day"},
      {"Mo-Tu-We 08:00-20:00", "\"Mo-Tu-We\" is no day"},
      {"M 08:00-20:00", "\"M\" is no day"},
      {"Monday 08:00-20:00", "\"Monday\" is no day"},
      {"Mo-Fr 08:00", "\"08:00\" is no time of day"},
      {"Mo-Fr 8-20", "\"8-20\" is no time of day"},
      {"Mo-Fr 08:00-25:00", "\"08:00-25:00\" is no time of day"},
      {"Mo-Fr 08:60-20:00", "is no time of day"},
      {"Mo-Fr 08:00-24:01", "is no time of day"},
      {"Mo-Fr 08:00-20:0", "is no time of day"},
      {"Mo-Fr 008:00-20:00", "is no time of day"},
      {"Mo-Fr 08:00-+9:00", "is no time of day"},
      {"Mo-Fr 08:00-20:00-22:00", "is no time of day"},
      {"Mo-Fr 08:00-20:00:00", "is no time of day"},
      {"Mo-Fr 08:00-08:00", "is never open"},
      {"Mo-Fr 24:00-06:00", "24:00 is an end"},
      {"Mo-Fr 08:00-20:00 Europe/Berlim", "there is no time zone \"Europe/Berlim\""},
      {"08:00-20:00 /etc/localtime", "there is no time zone"},
      {"08:00-20:00 Europe/../Europe/Berlin", "there is no time zone"},
      {"08:00-20:00 UTC Mo", "\"Mo\" is one word too many"},
      {"08:00-20:00 Mo-Fr", "there is no time zone \"Mo-Fr\""},
  };
  for (const auto& row : rows) {
    const absl::StatusOr<DeliveryWindows> parsed = parse_windows(row.window);
    ASSERT_FALSE(parsed.ok()) << row.window;
    const std::string why(parsed.status().message());
    EXPECT_NE(why.find(row.words), std::string::npos) << why;
    EXPECT_NE(why.find("Mo-Fr 08:00-20:00 Europe/Berlin"), std::string::npos) << why;
  }
  const std::vector<std::string> many(kWindowsMax, "08:00-09:00");
  EXPECT_TRUE(parse_windows(many).ok());
  std::string more;
  for (size_t i = 0; i < kWindowsMax; ++i) more += "08:00-09:00;";
  EXPECT_FALSE(parse_windows(more + "08:00-09:00").ok());
}

TEST(DeliveryWindowsDeathTest, AHostWithoutTimeZonesIsToldSo) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";  // a process that has loaded none yet
  EXPECT_EXIT(
      {
        setenv("TZDIR", "/nonexistent", 1);
        const absl::StatusOr<DeliveryWindows> parsed = parse_windows("08:00-09:00 Europe/Berlin");
        if (!parsed.ok()) std::fputs(std::string(parsed.status().message()).c_str(), stderr);
        std::exit(parse_windows("08:00-09:00 UTC").ok() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "install the package tzdata");
}

// --- Against a clock that is looked at minute by minute

struct Plain {
  std::array<bool, 7> days{};
  int from = 0;  // minutes
  int to = 0;    // likewise; ≤ from: of the next day
  std::string zone;
  absl::TimeZone loaded;
};

bool is_open(const std::vector<Plain>& all, int64_t wall_ns) {
  return std::any_of(all.begin(), all.end(), [&](const Plain& it) {
    const absl::CivilSecond local = it.loaded.At(absl::FromUnixNanos(wall_ns)).cs;
    const auto day = static_cast<size_t>(absl::GetWeekday(local));
    const int minute = local.hour() * 60 + local.minute();
    if (it.to > it.from) return it.days[day] && minute >= it.from && minute < it.to;
    return (it.days[day] && minute >= it.from) || (it.days[(day + 6) % 7] && minute < it.to);
  });
}

std::string text(const Plain& it) {
  static constexpr const char* kNames[] = {"Mo", "Tue", "We", "Thu", "Fr", "Sat", "Su"};
  std::string days;
  for (size_t day = 0; day < 7; ++day) {
    if (it.days[day]) days += std::string(days.empty() ? "" : ",") + kNames[day];
  }
  char times[32];
  std::snprintf(times, sizeof(times), "%02d:%02d-%02d:%02d", it.from / 60, it.from % 60, it.to / 60,
                it.to % 60);
  return days + " " + times + " " + it.zone;
}

std::vector<Plain> random_windows(std::mt19937_64& random) {
  static const char* const kZones[] = {"Europe/Berlin", "America/New_York", "Asia/Kolkata",
                                       "Australia/Lord_Howe", "UTC"};
  std::vector<Plain> all(1 + random() % 3);
  for (Plain& it : all) {
    for (bool& day : it.days) day = random() % 3 == 0;
    it.days[random() % 7] = true;
    // Mostly at night, where clocks are changed.
    const int range = random() % 2 == 0 ? 5 * 60 : 24 * 60;
    do {
      it.from = static_cast<int>(random() % static_cast<uint64_t>(range));
      it.to = static_cast<int>(random() % static_cast<uint64_t>(range + 1));
    } while (it.from == it.to);
    it.zone = kZones[random() % 5];
    EXPECT_TRUE(absl::LoadTimeZone(it.zone, &it.loaded));
  }
  return all;
}

TEST(DeliveryWindows, AgreeWithAClockLookedAtEveryMinute) {
  static const char* const kTransitions[] = {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z",
                                             "2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z",
                                             "2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"};
  std::mt19937_64 random(1);
  for (int i = 0; i < 400; ++i) {
    const std::vector<Plain> plain = random_windows(random);
    std::vector<std::string> texts;
    for (const Plain& it : plain) texts.push_back(text(it));
    const DeliveryWindows it = windows(texts);
    const int64_t near = at(kTransitions[random() % 6]);
    const int64_t now =
        near - 2 * 24 * kHour + static_cast<int64_t>(random() % (4 * 24 * 60)) * kMinute;
    const bool open = is_open(plain, now);
    ASSERT_EQ(it.open(now), open) << texts[0] << " " << text(now);
    int64_t change = now;
    while (change < now + 28 * 24 * kHour && is_open(plain, change) == open) change += kMinute;
    const int64_t wanted_opens = open ? now : change;
    const int64_t wanted_closes = open ? change : now;
    ASSERT_EQ(text(it.opens_wall_ns(now)), text(wanted_opens)) << texts[0] << " " << text(now);
    if (it.closes_wall_ns(now) != kNever) {
      ASSERT_EQ(text(it.closes_wall_ns(now)), text(wanted_closes)) << texts[0] << " " << text(now);
    }
  }
}

TEST(WindowClock, SaysWhatTheWindowsSayWhereverTheClockGoes) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> texts;
    if (i > 0) {
      for (const Plain& it : random_windows(random)) texts.push_back(text(it));
    }
    const DeliveryWindows it = windows(texts);
    WindowClock clock;
    int64_t now = at("2026-03-29T01:00:00Z");
    for (int j = 0; j < 100; ++j) {
      ASSERT_EQ(clock.open(it, now), it.open(now)) << text(now);
      ASSERT_GT(clock.until_wall_ns(), now);
      switch (random() % 4) {
        case 0:
          now -= static_cast<int64_t>(random() % 50) * kHour;  // the clock is put back
          break;
        case 1:
          if (clock.until_wall_ns() < now + 60 * 24 * kHour) now = clock.until_wall_ns();
          break;
        default:
          now += static_cast<int64_t>(random() % 100) * 10 * kMinute;
      }
    }
  }
}

TEST(WindowClock, KeepsItsAnswerUpToTheChange) {
  const DeliveryWindows windows_of_day = windows({"08:00-20:00"});
  WindowClock clock;
  EXPECT_TRUE(clock.open(windows_of_day, at("2026-07-01T08:00:00Z")));
  EXPECT_EQ(text(clock.until_wall_ns()), text(at("2026-07-01T20:00:00Z")));
  // It does not ask: these would say something else.
  const DeliveryWindows others = windows({"21:00-22:00"});
  EXPECT_TRUE(clock.open(others, at("2026-07-01T19:59:59Z")));
  EXPECT_FALSE(clock.open(others, at("2026-07-01T20:00:00Z")));
  EXPECT_EQ(text(clock.until_wall_ns()), text(at("2026-07-01T21:00:00Z")));
  EXPECT_FALSE(clock.open(windows_of_day, at("2026-07-01T20:30:00Z")));
  EXPECT_TRUE(clock.open(windows_of_day, at("2026-07-01T19:00:00Z")));  // put back
}

}  // namespace
}  // namespace veredus::queue
