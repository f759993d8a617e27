#include "engine/mail/date.h"

#include <array>
#include <chrono>

namespace veredus::mail {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDaySeconds = 86400;
constexpr int64_t kDurationMaxSeconds = int64_t{3650} * kDaySeconds;

struct Civil {
  int year;
  unsigned month, day, weekday, hour, minute, second, milli;
};

Civil civil_of(int64_t wall_ns) {
  if (wall_ns < 0) wall_ns = 0;
  const int64_t seconds = wall_ns / kSecond;
  const std::chrono::sys_days day{std::chrono::days{seconds / kDaySeconds}};
  const std::chrono::year_month_day date{day};
  const auto rest = static_cast<unsigned>(seconds % kDaySeconds);
  return {static_cast<int>(date.year()),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          std::chrono::weekday{day}.c_encoding(),
          rest / 3600,
          rest / 60 % 60,
          rest % 60,
          static_cast<unsigned>(wall_ns % kSecond / 1'000'000)};
}

void append_digits(unsigned number, unsigned width, std::string& out) {
  std::array<char, 10> digits;
  for (unsigned i = width; i-- > 0; number /= 10) digits[i] = static_cast<char>('0' + number % 10);
  out.append(digits.data(), width);
}

// Takes exactly `width` digits from the front.
bool take_digits(std::string_view& text, unsigned width, int& number) {
  if (text.size() < width) return false;
  number = 0;
  for (unsigned i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return true;
}

bool take(std::string_view& text, char c, char other = 0) {
  if (text.empty() || (text.front() != c && (other == 0 || text.front() != other))) return false;
  text.remove_prefix(1);
  return true;
}

// ".123" → nanoseconds; nothing there: 0.
bool take_fraction(std::string_view& text, int64_t& ns) {
  ns = 0;
  if (!take(text, '.')) return true;
  int64_t unit = kSecond / 10;
  size_t digits = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits, unit /= 10) {
    ns += (text[digits] - '0') * unit;
  }
  text.remove_prefix(digits);
  return digits > 0;
}

bool take_offset(std::string_view& text, int64_t& seconds) {
  seconds = 0;
  if (take(text, 'Z', 'z')) return true;
  const bool west = !text.empty() && text.front() == '-';
  if (!take(text, '+', '-')) return false;
  int hours = 0, minutes = 0;
  if (!take_digits(text, 2, hours) || !take(text, ':') || !take_digits(text, 2, minutes))
    return false;
  if (hours > 23 || minutes > 59) return false;
  seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

void append_rfc5322_date(int64_t wall_ns, std::string& out) {
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const Civil civil = civil_of(wall_ns);
  out.append(kDays.substr(civil.weekday * 3, 3));
  out += ", ";
  append_digits(civil.day, 2, out);
  out += ' ';
  out.append(kMonths.substr((civil.month - 1) * 3, 3));
  out += ' ';
  append_digits(static_cast<unsigned>(civil.year), 4, out);
  out += ' ';
  append_digits(civil.hour, 2, out);
  out += ':';
  append_digits(civil.minute, 2, out);
  out += ':';
  append_digits(civil.second, 2, out);
  out += " +0000";
}

void append_rfc3339(int64_t wall_ns, std::string& out) {
  const Civil civil = civil_of(wall_ns);
  append_digits(static_cast<unsigned>(civil.year), 4, out);
  out += '-';
  append_digits(civil.month, 2, out);
  out += '-';
  append_digits(civil.day, 2, out);
  out += 'T';
  append_digits(civil.hour, 2, out);
  out += ':';
  append_digits(civil.minute, 2, out);
  out += ':';
  append_digits(civil.second, 2, out);
  out += '.';
  append_digits(civil.milli, 3, out);
  out += 'Z';
}

bool parse_rfc3339(std::string_view text, int64_t& wall_ns) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  int64_t fraction = 0, offset = 0;
  if (!take_digits(text, 4, year) || !take(text, '-') || !take_digits(text, 2, month) ||
      !take(text, '-') || !take_digits(text, 2, day) || !take(text, 'T', 't') ||
      !take_digits(text, 2, hour) || !take(text, ':') || !take_digits(text, 2, minute) ||
      !take(text, ':') || !take_digits(text, 2, second)) {
    return false;
  }
  if (!take_fraction(text, fraction) || !take_offset(text, offset) || !text.empty()) return false;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return false;
  const int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const int64_t seconds = days * kDaySeconds + hour * 3600 + minute * 60 + second - offset;
  if (seconds < 0 || seconds >= INT64_MAX / kSecond) return false;
  wall_ns = seconds * kSecond + fraction;
  return true;
}

bool parse_duration(std::string_view text, int64_t& ns) {
  int64_t total = 0, last_unit = INT64_MAX;
  if (text.empty()) return false;
  while (!text.empty()) {
    int64_t number = 0;
    size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      number = number * 10 + (text[digits] - '0');
      if (number > kDurationMaxSeconds) return false;
    }
    if (digits == 0 || digits == text.size()) return false;
    int64_t unit = 0;
    switch (text[digits]) {
      case 's':
        unit = 1;
        break;
      case 'm':
        unit = 60;
        break;
      case 'h':
        unit = 3600;
        break;
      case 'd':
        unit = kDaySeconds;
        break;
      case 'w':
        unit = 7 * kDaySeconds;
        break;
      default:
        return false;
    }
    if (unit >= last_unit) return false;
    last_unit = unit;
    total += number * unit;
    if (total > kDurationMaxSeconds) return false;
    text.remove_prefix(digits + 1);
  }
  ns = total * kSecond;
  return true;
}

}  // namespace veredus::mail
