#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "queue/window_clock.h"

namespace veredus::queue {

// Times of the week in which mail may be sent. A window is open while the clock on the wall of its
// time zone shows a time in it: an hour that is repeated when summer time ends counts twice, one
// that is left out when it begins is not there (a window that lies wholly in it is open a week
// later). Immutable; may be shared between threads.
struct DeliveryWindows {
  // Seconds since Monday, 00:00; begin < end.
  struct Span {
    int32_t begin = 0;
    int32_t end = 0;
  };
  struct Zone {
    absl::TimeZone zone;
    std::vector<Span> spans;  // in order, none touches the next
  };
  std::vector<Zone> zones;  // none: always open; else one that is open will do

  bool empty() const { return zones.empty(); }

  // Wall times are ns since 1970, UTC.
  bool open(int64_t wall_ns) const;
  // `wall_ns` if it is open then, else when it opens next: within two weeks, mostly one.
  int64_t opens_wall_ns(int64_t wall_ns) const;
  // `wall_ns` if it is closed then, else up to when it is open: INT64_MAX where it never closes. It
  // is not looked further ahead than four weeks; it may be open still when they are over.
  int64_t closes_wall_ns(int64_t wall_ns) const;
};

// Windows of all texts together, at most kWindowsMax. None: always open. A text has one or more
// windows, with ';' between: "Mo-Fr 08:00-20:00 Europe/Berlin; Sa,Su 10:00-12:00,14:00-18:00 UTC".
// Days in English, of two or three letters, as ranges and lists (none: every day); times from
// 00:00 to 24:00, over midnight where the end is not after the beginning ("22:00-06:00": until 6 of
// the next day); an IANA time zone (none: UTC). The error says which window is wrong, and how it
// should be.
absl::StatusOr<DeliveryWindows> parse_windows(const std::vector<std::string>& texts);
absl::StatusOr<DeliveryWindows> parse_windows(std::string_view text);
inline constexpr size_t kWindowsMax = 100;

}  // namespace veredus::queue
