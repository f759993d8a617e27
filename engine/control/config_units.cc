#include <array>
#include <charconv>
#include <cstdio>

#include "engine/control/config_table.h"

// Times and sizes as people write them.

namespace veredus::control {
namespace {

struct Unit {
  std::string_view name;
  int64_t ns;
};
// Longest first where one begins with another.
constexpr Unit kUnits[] = {
    {"w", 7 * kDay}, {"d", kDay},    {"h", kHour}, {"ms", kMs},
    {"m", kMinute},  {"s", kSecond}, {"us", 1000},
};

struct Size {
  std::string_view name;
  uint64_t bytes;
};
constexpr Size kSizes[] = {
    {"", 1},           {"B", 1},      {"kB", 1000},          {"KB", 1000},  {"KiB", kKiB},
    {"MB", 1'000'000}, {"MiB", kMiB}, {"GB", 1'000'000'000}, {"GiB", kGiB},
};

// Of rates.
constexpr Unit kSpans[] = {{"s", kSecond}, {"min", kMinute}, {"h", kHour}, {"d", kDay}};

}  // namespace

std::optional<int64_t> parse_duration_ns(std::string_view text) {
  int64_t sum = 0;
  int64_t last_unit = std::numeric_limits<int64_t>::max();
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      if (text.starts_with(unit.name)) {
        found = &unit;
        break;
      }
    }
    // In descending order, each unit once: "30m1h" is a slip, not a time.
    if (found == nullptr || found->ns >= last_unit) return std::nullopt;
    if (number > 3660 * kDay / found->ns) return std::nullopt;
    last_unit = found->ns;
    sum += number * found->ns;
    text.remove_prefix(found->name.size());
  }
  return sum;
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  for (const Size& size : kSizes) {
    if (text != size.name) continue;
    if (number > (uint64_t{1} << 62) / size.bytes) return std::nullopt;
    return number * size.bytes;
  }
  return std::nullopt;
}

std::string duration_text(int64_t ns) {
  if (ns == 0) return "0s";
  constexpr Unit kWritten[] = {{"d", kDay},    {"h", kHour}, {"m", kMinute},
                               {"s", kSecond}, {"ms", kMs},  {"us", 1000}};
  std::string out;
  for (const Unit& unit : kWritten) {
    if (ns < unit.ns) continue;
    out += std::to_string(ns / unit.ns);
    out += unit.name;
    ns %= unit.ns;
  }
  return out;
}

std::string bytes_text(uint64_t bytes) {
  constexpr Size kWritten[] = {{"GiB", kGiB}, {"MiB", kMiB}, {"KiB", kKiB}};
  for (const Size& size : kWritten) {
    if (bytes >= size.bytes && bytes % size.bytes == 0) {
      return std::to_string(bytes / size.bytes) + std::string(size.name);
    }
  }
  return std::to_string(bytes) + "B";
}

std::string real_text(double number) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), number);
  std::string out(text.data(), end);
  return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;  // TOML tells them apart
}

std::optional<queue::Rate> parse_rate(std::string_view text, bool bytes) {
  if (text == "none") return queue::Rate{};
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view amount = text.substr(0, slash), span = text.substr(slash + 1);
  queue::Rate rate;
  if (bytes) {
    rate.count = parse_bytes(amount).value_or(0);
  } else {
    const auto [end, error] =
        std::from_chars(amount.data(), amount.data() + amount.size(), rate.count);
    if (error != std::errc{} || end != amount.data() + amount.size()) return std::nullopt;
  }
  if (rate.count == 0) return std::nullopt;  // nothing at all is no rate, and "none" is said so
  for (const Unit& unit : kSpans) {
    if (span != unit.name) continue;
    rate.per_ns = unit.ns;
    return rate;
  }
  return std::nullopt;
}

std::string rate_text(const queue::Rate& rate, bool bytes) {
  if (!rate.limited()) return "none";
  const std::string amount = bytes ? bytes_text(rate.count) : std::to_string(rate.count);
  for (const Unit& unit : kSpans) {
    if (rate.per_ns == unit.ns) return amount + "/" + std::string(unit.name);
  }
  return amount + "/" + duration_text(rate.per_ns);  // none that was read
}

}  // namespace veredus::control
