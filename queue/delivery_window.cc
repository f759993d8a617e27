#include "queue/delivery_window.h"

#include <algorithm>

#include "absl/time/civil_time.h"

namespace veredus::queue {
namespace {

using Span = DeliveryWindows::Span;
using Zone = DeliveryWindows::Zone;

constexpr int32_t kDay = 24 * 3600;
constexpr int32_t kWeek = 7 * kDay;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kAheadSeconds = 4 * int64_t{kWeek};
// Later times are taken for this one, so that nothing overflows: 2262 less two years.
constexpr int64_t kLatestSecond = kNever / kNsPerSecond - 2 * 366 * int64_t{kDay};

// From here on, times are whole seconds since 1970, UTC.

int64_t second_of(int64_t wall_ns) {
  return std::min(absl::ToUnixSeconds(absl::FromUnixNanos(wall_ns)), kLatestSecond);
}

int32_t second_of_week(const Zone& zone, int64_t second) {
  const absl::CivilSecond local = zone.zone.At(absl::FromUnixSeconds(second)).cs;
  const auto day = static_cast<int32_t>(absl::GetWeekday(local));  // Monday is 0
  return ((day * 24 + local.hour()) * 60 + local.minute()) * 60 + local.second();
}

bool covers(const Zone& zone, int32_t of_week) {
  return std::any_of(zone.spans.begin(), zone.spans.end(),
                     [&](const Span& span) { return span.begin <= of_week && of_week < span.end; });
}

bool is_open(const Zone& zone, int64_t second) {
  return covers(zone, second_of_week(zone, second));
}

bool never_closes(const Zone& zone) {
  return zone.spans.front().begin == 0 && zone.spans.front().end == kWeek;
}

// The next second of the week at which a span begins or ends, or the week does.
int32_t next_edge(const Zone& zone, int32_t of_week) {
  for (const Span& span : zone.spans) {
    if (span.begin > of_week) return span.begin;
    if (span.end > of_week) return span.end;
  }
  return kWeek;
}

// When the clocks of the zone are next put forward or back.
int64_t next_transition(const Zone& zone, int64_t second) {
  absl::TimeZone::CivilTransition transition;
  if (!zone.zone.NextTransition(absl::FromUnixSeconds(second), &transition)) return kNever;
  const int64_t at = absl::ToUnixSeconds(zone.zone.At(transition.to).trans);
  return at > second ? at : kNever;
}

// When it opens, or closes, after `second`; `horizon` if not before.
int64_t next_change(const Zone& zone, int64_t second, int64_t horizon) {
  const bool before = is_open(zone, second);
  while (second < horizon) {
    // Up to the transition local time runs evenly.
    const int32_t of_week = second_of_week(zone, second);
    const int64_t edge = second + (next_edge(zone, of_week) - of_week);
    second = std::min(edge, next_transition(zone, second));
    if (is_open(zone, second) != before) return std::min(second, horizon);
  }
  return horizon;
}

}  // namespace

bool DeliveryWindows::open(int64_t wall_ns) const {
  if (empty()) return true;
  const int64_t second = second_of(wall_ns);
  return std::any_of(zones.begin(), zones.end(),
                     [&](const Zone& zone) { return is_open(zone, second); });
}

int64_t DeliveryWindows::opens_wall_ns(int64_t wall_ns) const {
  if (open(wall_ns)) return wall_ns;
  const int64_t second = second_of(wall_ns);
  int64_t opens = second + kAheadSeconds;
  for (const Zone& zone : zones) opens = next_change(zone, second, opens);
  return opens * kNsPerSecond;
}

int64_t DeliveryWindows::closes_wall_ns(int64_t wall_ns) const {
  if (empty() || std::any_of(zones.begin(), zones.end(), never_closes)) return kNever;
  if (!open(wall_ns)) return wall_ns;
  int64_t second = second_of(wall_ns);
  const int64_t horizon = second + kAheadSeconds;
  // From the end of one to the end of another that is open then, until none is.
  while (second < horizon) {
    const auto zone = std::find_if(zones.begin(), zones.end(),
                                   [&](const Zone& it) { return is_open(it, second); });
    if (zone == zones.end()) break;
    second = next_change(*zone, second, horizon);
  }
  return second * kNsPerSecond;
}

bool WindowClock::open(const DeliveryWindows& windows, int64_t wall_ns) {
  if (wall_ns >= from_wall_ns_ && wall_ns < until_wall_ns_) return open_;
  open_ = windows.open(wall_ns);
  from_wall_ns_ = wall_ns;
  until_wall_ns_ = open_ ? windows.closes_wall_ns(wall_ns) : windows.opens_wall_ns(wall_ns);
  return open_;
}

}  // namespace veredus::queue
