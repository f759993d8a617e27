#include "engine/io/thread_load.h"

#include <algorithm>
#include <charconv>

#include <fcntl.h>
#include <unistd.h>

namespace veredus::io {
namespace {

// "ran waited slices": nanoseconds on a processor, nanoseconds in line for one. -1: no numbers.
int64_t busy_ns(const char* text, const char* end) {
  int64_t ran = 0, waited = 0;
  const auto first = std::from_chars(text, end, ran);
  if (first.ec != std::errc() || first.ptr == end) return -1;
  const auto second = std::from_chars(first.ptr + 1, end, waited);
  return second.ec == std::errc() ? ran + waited : -1;
}

}  // namespace

ThreadLoad::~ThreadLoad() {
  if (file_ >= 0) ::close(file_);
}

double ThreadLoad::since_last(int64_t mono_ns) {
  if (file_ == -2) file_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (file_ < 0) return 0;
  char text[128];
  const ssize_t size = pread(file_, text, sizeof text, 0);
  const int64_t busy = size <= 0 ? -1 : busy_ns(text, text + size);
  if (busy < 0) return 0;
  const int64_t passed = mono_ns - last_mono_ns_;
  const int64_t worked = busy - last_busy_ns_;
  const bool first = last_mono_ns_ == 0;
  last_mono_ns_ = mono_ns;
  last_busy_ns_ = busy;
  if (first || passed <= 0) return 0;
  return std::clamp(static_cast<double>(worked) / static_cast<double>(passed), 0.0, 1.0);
}

}  // namespace veredus::io
