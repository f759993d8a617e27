#pragma once

#include <cstdint>

namespace veredus::io {

// How busy the calling thread is: the share of time in which it ran, or could have run and waited
// for a processor, by the kernel's accounts (/proc/thread-self/schedstat). A thread that is busy
// all the time is as fast as it can be, whatever it waits for seems to take.
class ThreadLoad {
 public:
  ThreadLoad() = default;
  ~ThreadLoad();
  ThreadLoad(const ThreadLoad&) = delete;
  ThreadLoad& operator=(const ThreadLoad&) = delete;

  // 0 … 1, since the last call; 0 at the first one, and where the kernel keeps no such accounts.
  // Always from the same thread.
  double since_last(int64_t mono_ns);

 private:
  int file_ = -2;  // -2: not opened yet, -1: there is none
  int64_t last_mono_ns_ = 0;
  int64_t last_busy_ns_ = 0;
};

}  // namespace veredus::io
