#include "engine/io/clock.h"

#include <time.h>

namespace veredus::io {
namespace {

int64_t read(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int64_t SystemClock::mono_ns() {
  return read(CLOCK_MONOTONIC);
}

int64_t SystemClock::wall_ns() {
  return read(CLOCK_REALTIME);
}

}  // namespace veredus::io
