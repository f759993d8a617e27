#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "queue/delivery_window.h"

namespace veredus::queue {
namespace {

using Span = DeliveryWindows::Span;
using Zone = DeliveryWindows::Zone;

constexpr int32_t kMinute = 60;
constexpr int32_t kDay = 24 * 60 * kMinute;
constexpr int32_t kWeek = 7 * kDay;

absl::Status wrong(absl::string_view window, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", window, "\": ", why,
                                                 " (a window is written like "
                                                 "\"Mo-Fr 08:00-20:00 Europe/Berlin\")"));
}

// Without spaces beside '-' and ',', one between other words; a dash as word processors make it is
// a '-'.
std::string tidied(absl::string_view text) {
  const auto joins = [](char c) { return c == '-' || c == ','; };
  std::string tidy;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 3) == "\xe2\x80\x93") {
      i += 2;
      while (!tidy.empty() && tidy.back() == ' ') tidy.pop_back();
      tidy.push_back('-');
    } else if (absl::ascii_isspace(static_cast<unsigned char>(text[i]))) {
      if (!tidy.empty() && tidy.back() != ' ' && !joins(tidy.back())) tidy.push_back(' ');
    } else {
      if (joins(text[i]) && !tidy.empty() && tidy.back() == ' ') tidy.pop_back();
      tidy.push_back(text[i]);
    }
  }
  while (!tidy.empty() && tidy.back() == ' ') tidy.pop_back();
  return tidy;
}

// 0 is Monday; -1: none.
int day_of(absl::string_view name) {
  static constexpr std::array<const char*, 7> kDays = {"mon", "tue", "wed", "thu",
                                                       "fri", "sat", "sun"};
  if (name.size() != 2 && name.size() != 3) return -1;
  const std::string lower = absl::AsciiStrToLower(name);
  for (int day = 0; day < 7; ++day) {
    if (absl::string_view(kDays[static_cast<size_t>(day)]).substr(0, lower.size()) == lower) {
      return day;
    }
  }
  return -1;
}

using Days = std::array<bool, 7>;

// "Mo-Fr", "Sa-Mo", "Mo,We,Fr". False, and `bad` says which, if something is no day.
bool read_days(absl::string_view text, Days& days, std::string& bad) {
  days.fill(false);
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(item, '-');
    const int first = day_of(ends.front());
    const int last = day_of(ends.back());
    if (ends.size() > 2 || first < 0 || last < 0) {
      bad = std::string(item);
      return false;
    }
    for (int day = first;; day = (day + 1) % 7) {
      days[static_cast<size_t>(day)] = true;
      if (day == last) break;
    }
  }
  return true;
}

// "08:00", "8:00", "24:00", in seconds; -1: not a time.
int32_t time_of(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  const auto is_number = [](absl::string_view part, size_t least, size_t most) {
    return part.size() >= least && part.size() <= most &&
           std::all_of(part.begin(), part.end(),
                       [](unsigned char c) { return c >= '0' && c <= '9'; });
  };
  if (parts.size() != 2 || !is_number(parts[0], 1, 2) || !is_number(parts[1], 2, 2)) return -1;
  int32_t hours = 0;
  int32_t minutes = 0;
  if (!absl::SimpleAtoi(parts[0], &hours) || !absl::SimpleAtoi(parts[1], &minutes)) return -1;
  if (minutes > 59 || hours * 60 + minutes > 24 * 60) return -1;
  return (hours * 60 + minutes) * kMinute;
}

// Of one day: from its midnight on. The end may lie in the next day.
absl::StatusOr<Span> read_times(absl::string_view window, absl::string_view text) {
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  const int32_t begin = ends.size() == 2 ? time_of(ends[0]) : -1;
  const int32_t end = ends.size() == 2 ? time_of(ends[1]) : -1;
  if (begin < 0 || end < 0) {
    return wrong(window, absl::StrCat("\"", text, "\" is no time of day, from 00:00 to 24:00"));
  }
  if (begin == end) {
    return wrong(window,
                 absl::StrCat("\"", text, "\" is never open; 00:00-24:00 is the whole day"));
  }
  if (begin == kDay) {
    return wrong(window, "24:00 is an end; the day begins with 00:00");
  }
  return Span{begin, end > begin ? end : end + kDay};
}

// Adds it to the spans of a week; what goes over its end goes on at its beginning.
void add(Span span, std::vector<Span>& spans) {
  if (span.end > kWeek) {
    spans.push_back({0, span.end - kWeek});
    span.end = kWeek;
  }
  spans.push_back(span);
}

// In order, those that touch or overlap as one.
void merge(std::vector<Span>& spans) {
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::vector<Span> merged;
  for (const Span& span : spans) {
    if (merged.empty() || span.begin > merged.back().end) {
      merged.push_back(span);
    } else {
      merged.back().end = std::max(merged.back().end, span.end);
    }
  }
  spans = std::move(merged);
}

absl::StatusOr<absl::TimeZone> read_zone(absl::string_view window, absl::string_view name) {
  absl::TimeZone zone;
  // A name, never a file: those would be looked for below the database.
  const bool is_name =
      absl::ascii_isalpha(static_cast<unsigned char>(name[0])) && !absl::StrContains(name, ".");
  if (is_name && absl::LoadTimeZone(name, &zone)) return zone;
  absl::TimeZone any;
  if (!absl::LoadTimeZone("Etc/UTC", &any)) {
    return wrong(window, absl::StrCat("the time zone \"", name,
                                      "\" cannot be looked up, for this host has no time zone "
                                      "database: install the package tzdata"));
  }
  return wrong(window, absl::StrCat("there is no time zone \"", name,
                                    "\" (names are those of the IANA database, as in "
                                    "/usr/share/zoneinfo)"));
}

bool looks_like_time(absl::string_view word) {
  return absl::ascii_isdigit(static_cast<unsigned char>(word[0])) != 0;
}

struct Window {
  std::string zone = "UTC";  // its name
  absl::TimeZone loaded = absl::UTCTimeZone();
  std::vector<Span> spans;
};

absl::StatusOr<Window> read_window(absl::string_view text) {
  const std::string tidy = tidied(text);
  if (tidy.empty()) return wrong(tidy, "is empty");
  std::vector<absl::string_view> words = absl::StrSplit(tidy, ' ');

  Days days;
  days.fill(true);
  if (!looks_like_time(words.front())) {
    std::string bad;
    if (!read_days(words.front(), days, bad)) {
      return wrong(tidy, absl::StrCat("\"", bad, "\" is no day: Mo Tu We Th Fr Sa Su"));
    }
    words.erase(words.begin());
  }
  if (words.empty() || !looks_like_time(words.front())) {
    return wrong(tidy, "the times are missing; 00:00-24:00 is the whole day");
  }
  if (words.size() > 2) {
    return wrong(tidy, absl::StrCat("\"", words[2], "\" is one word too many; ';' parts windows"));
  }

  Window window;
  for (const absl::string_view times : absl::StrSplit(words.front(), ',')) {
    const absl::StatusOr<Span> span = read_times(tidy, times);
    if (!span.ok()) return span.status();
    for (int32_t day = 0; day < 7; ++day) {
      if (!days[static_cast<size_t>(day)]) continue;
      add({day * kDay + span->begin, day * kDay + span->end}, window.spans);
    }
  }
  if (words.size() == 1) return window;
  const absl::StatusOr<absl::TimeZone> zone = read_zone(tidy, words[1]);
  if (!zone.ok()) return zone.status();
  window.zone = std::string(words[1]);
  window.loaded = *zone;
  return window;
}

}  // namespace

absl::StatusOr<DeliveryWindows> parse_windows(const std::vector<std::string>& texts) {
  std::map<std::string, Zone> by_name;
  size_t count = 0;
  for (const std::string& text : texts) {
    for (const absl::string_view part : absl::StrSplit(text, ';')) {
      if (++count > kWindowsMax) {
        return wrong(part, absl::StrCat("there are more than ", kWindowsMax, " windows"));
      }
      absl::StatusOr<Window> window = read_window(part);
      if (!window.ok()) return window.status();
      Zone& zone = by_name[window->zone];
      zone.zone = window->loaded;
      zone.spans.insert(zone.spans.end(), window->spans.begin(), window->spans.end());
    }
  }
  DeliveryWindows windows;
  for (auto& [name, zone] : by_name) {
    merge(zone.spans);
    windows.zones.push_back(std::move(zone));
  }
  return windows;
}

absl::StatusOr<DeliveryWindows> parse_windows(std::string_view text) {
  return parse_windows(std::vector<std::string>{std::string(text)});
}

}  // namespace veredus::queue
